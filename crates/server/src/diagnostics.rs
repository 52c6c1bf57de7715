//! Diagnostics as programs read them: the one form of `check --output json` and of the API.

use serde::Serialize;
use tidegate_core::{Diagnostic, Files, Severity};

/// How many there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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

/// A diagnostic with its place as line and column, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    severity: String,
    code: &'static str,
    message: String,
    help: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    end_line: Option<u32>,
    end_column: Option<u32>,
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
