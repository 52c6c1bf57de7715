//! How complaints are made.

use std::ops::Range;

use tidegate_core::{Code, Diagnostic, FileId, Severity, Span};

pub(crate) fn error(code: Code, at: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Error, message).at(at)
}

pub(crate) fn note(code: Code, at: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Note, message).at(at)
}

pub(crate) fn span(file: FileId, range: Range<usize>) -> Span {
    let at = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span { file, start: at(range.start), end: at(range.end.max(range.start)) }
}

/// The candidate that was probably meant.
pub(crate) fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&lower, &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= c.len().max(written.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}
