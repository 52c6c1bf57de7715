//! The complaints of a load while they are collected.

use std::collections::HashSet;

use tidegate_core::{Code, Diagnostic, Severity, Span};

use crate::codes;

/// All that was found wrong, each with the resource being read at the time.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    resource: Option<String>,
    errors: usize,
}

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, mut problem: Diagnostic) {
        self.errors += usize::from(problem.severity == Severity::Error);
        problem.resource = problem.resource.or_else(|| self.resource.clone());
        self.found.push(problem);
    }

    /// Adds some.
    pub(crate) fn extend(&mut self, problems: impl IntoIterator<Item = Diagnostic>) {
        problems.into_iter().for_each(|p| self.push(p));
    }

    /// Runs `read` on behalf of the resource `Kind/name`; gives what it made, and whether it found no error.
    pub(crate) fn about<T>(&mut self, resource: String, read: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = self.errors;
        let outer = self.resource.replace(resource);
        let made = read(self);
        self.resource = outer;
        (made, self.errors == before)
    }

    /// How many errors there are so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// How many there are so far.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is an error at a place within these bytes.
    pub(crate) fn has_error_in(&self, whole: Span) -> bool {
        let within = |s: Span| s.file == whole.file && whole.start <= s.start && s.end <= whole.end;
        self.found.iter().any(|d| d.severity == Severity::Error && d.span().is_some_and(within))
    }

    /// All of them in file order; what has no place comes first.
    pub(crate) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort_by_key(|d| d.span());
        // A template's loop makes the same mistake in each round.
        let mut said = HashSet::new();
        found.retain(|d| d.labels.is_empty() || said.insert((d.code, d.labels[0].span, d.message.clone())));
        found
    }
}

/// An error at a place.
pub(crate) fn error(code: Code, at: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Error, message).at(at)
}

/// A warning at a place.
pub(crate) fn warning(code: Code, at: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Warning, message).at(at)
}

/// A note at a place.
pub(crate) fn note(code: Code, at: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Note, message).at(at)
}

/// The complaint about a key that stands twice in one object.
pub(crate) fn duplicate_key(key: &str, at: Span, first: Span) -> Diagnostic {
    error(codes::DUPLICATE_KEY, at, format!("`{key}` stands twice in this object")).label(first, "first here")
}

/// The complaint about a Secret that can't be read. It has no place, as whoever shows a place shows the line, and the
/// line may hold a value.
pub(crate) fn in_a_secret(code: Code, text: &str, at: usize, message: &str) -> Diagnostic {
    let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    Diagnostic::new(code, Severity::Error, format!("line {line}, in a Secret: {message}"))
}
