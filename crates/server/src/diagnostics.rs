//! Diagnostics as programs read them: the one form of `check --output json` and of the API.

use serde::Serialize;
use tidegate_core::{Diagnostic, FileId, Files, Severity};
use utoipa::ToSchema;

/// How many there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "they are named after the severities")]
pub struct Summary {
    pub errors: usize,
    pub warnings: usize,
    pub notes: usize,
}

impl Summary {
    /// Counts.
    pub fn of<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic> + Clone) -> Self {
        let count = |severity| diagnostics.clone().filter(|d| d.severity == severity).count();
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
        }
    }
}

/// What there is to say about some resources: the form of `tidegate check --output json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Report {
    pub(crate) files: usize,
    pub(crate) resources: usize,
    pub(crate) summary: Summary,
    pub(crate) diagnostics: Vec<Entry>,
}

impl Report {
    /// Puts the diagnostics into the order of the files; those about no place in particular come last.
    pub(crate) fn new(files: &Files, resources: usize, diagnostics: &[Diagnostic]) -> Self {
        let mut sorted: Vec<_> = diagnostics.iter().collect();
        sorted.sort_by_key(|d| d.span().map_or((true, FileId(0), 0), |s| (false, s.file, s.start)));
        Self {
            files: files.len(),
            resources,
            summary: Summary::of(diagnostics.iter()),
            diagnostics: sorted.into_iter().map(|d| Entry::of(d, files)).collect(),
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.summary.errors > 0
    }
}

/// A diagnostic with its place as line and column, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// `error`, `warning` or `note`.
    severity: String,
    /// Such as `TG0110`; `tidegate explain` knows it.
    code: &'static str,
    message: String,
    help: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    end_line: Option<u32>,
    end_column: Option<u32>,
    /// Such as `Dataflow/press`.
    resource: Option<String>,
}

impl Entry {
    /// Looks the places up.
    pub fn of(diagnostic: &Diagnostic, files: &Files) -> Self {
        let span = diagnostic.span();
        let start = span.map(|s| files.position(s.file, s.start));
        let end = span.map(|s| files.position(s.file, s.end));
        Self {
            severity: diagnostic.severity.to_string(),
            code: diagnostic.code.0,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            file: span.and_then(|s| files.get(s.file)).map(|f| f.name.clone()),
            line: start.map(|p| p.line),
            column: start.map(|p| p.column),
            end_line: end.map(|p| p.line),
            end_column: end.map(|p| p.column),
            resource: diagnostic.resource.clone(),
        }
    }

    /// The same in a file whose first `lines` lines were cut off before it was read.
    pub(crate) fn moved_down(self, lines: u32) -> Self {
        Self { line: self.line.map(|l| l + lines), end_line: self.end_line.map(|l| l + lines), ..self }
    }
}
