//! Diagnostics as people and programs read them: compiler style and JSON. Which ones there are is the model's business.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_core::{Diagnostic, FileId, Files, Label, Severity};
use tidegate_server::diagnostics::{Entry, Summary};

/// What there is to say about a load.
pub(crate) struct Report<'a> {
    files: &'a Files,
    resources: usize,
    diagnostics: Vec<&'a Diagnostic>,
}

impl<'a> Report<'a> {
    /// Puts the diagnostics into the order of the files; those about no place in particular come last.
    pub(crate) fn new(files: &'a Files, resources: usize, diagnostics: &'a [Diagnostic]) -> Self {
        let mut diagnostics: Vec<_> = diagnostics.iter().collect();
        diagnostics.sort_by_key(|d| d.span().map_or((true, FileId(0), 0), |s| (false, s.file, s.start)));
        Self { files, resources, diagnostics }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    pub(crate) fn errors(&self) -> usize {
        self.summary().errors
    }

    /// Every diagnostic with the lines it is about, then the summary.
    pub(crate) fn human(&self, colored: bool) -> String {
        format!("{}{}\n", self.problems(colored), self.summary_line())
    }

    /// Every diagnostic with the lines it is about.
    pub(crate) fn problems(&self, colored: bool) -> String {
        let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&renderer.render(&[self.group(diagnostic)]));
            text.push_str("\n\n");
        }
        text
    }

    /// The form of section 4 of the contract, on one line.
    pub(crate) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Root {
            files: usize,
            resources: usize,
            summary: Summary,
            diagnostics: Vec<Box<RawValue>>,
        }
        let root = Root {
            files: self.files.len(),
            resources: self.resources,
            summary: self.summary(),
            diagnostics: self.entries(),
        };
        let mut text = serde_json::to_string(&root).expect("all keys are strings");
        text.push('\n');
        text
    }

    /// Every diagnostic as JSON.
    pub(crate) fn entries(&self) -> Vec<Box<RawValue>> {
        let entries = self.diagnostics.iter().map(|d| Entry::of(d, self.files));
        entries.map(|e| serde_json::value::to_raw_value(&e).expect("all keys are strings")).collect()
    }

    fn summary(&self) -> Summary {
        Summary::of(self.diagnostics.iter().copied())
    }

    /// Such as `3 files, 7 resources: 1 error, 2 warnings`.
    fn summary_line(&self) -> String {
        let count = |n, one| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        let Summary { errors, warnings, notes } = self.summary();
        let found: Vec<_> = [(errors, "error"), (warnings, "warning"), (notes, "note")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, one)| count(n, one))
            .collect();
        let found = if found.is_empty() { "no problems".into() } else { found.join(", ") };
        format!("{}, {}: {found}", count(self.files.len(), "file"), count(self.resources, "resource"))
    }

    fn group(&self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group =
            Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code.to_string()));
        let mut labels: Vec<_> = diagnostic.labels.iter().enumerate().collect();
        // one snippet for each file, that of the primary label first
        while let Some(&(_, first)) = labels.first() {
            let file = first.span.file;
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                labels.into_iter().partition(|(_, label)| label.span.file == file);
            group = group.elements(self.snippet(file, &here));
            labels = elsewhere;
        }
        match &diagnostic.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }

    /// Only the lines from the first label to the last are handed on: a snippet takes time for all it is given.
    fn snippet(&self, file: FileId, labels: &[(usize, &'a Label)]) -> Option<Snippet<'a, Annotation<'a>>> {
        let source = self.files.get(file)?;
        let text: &str = &source.text;
        let first = labels.iter().map(|(_, l)| l.span.start).min()?;
        let last = labels.iter().map(|(_, l)| l.span.end).max()?;
        let (first, last) = (floor_boundary(text, first), floor_boundary(text, last.max(first)));
        let mut start = text[..first].rfind('\n').map_or(0, |i| i + 1);
        if start == 0 && text.starts_with('\u{feff}') {
            start = '\u{feff}'.len_utf8();
        }
        let end = text[last..].find('\n').map_or(text.len(), |i| last + i + 1).max(start);
        let annotations = labels.iter().map(|(i, label)| {
            let kind = if *i == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let at = |offset| floor_boundary(text, offset).saturating_sub(start);
            let span = at(label.span.start)..at(label.span.end).max(at(label.span.start));
            kind.span(span).label(Some(label.text.as_str()).filter(|t| !t.is_empty()))
        });
        let line = self.files.position(file, u32::try_from(start).unwrap_or(u32::MAX)).line;
        Some(
            Snippet::source(&text[start..end])
                .line_start(line as usize)
                .path(source.name.as_str())
                .annotations(annotations),
        )
    }
}

/// The nearest place at or before `offset` that is in the text and not inside a character.
fn floor_boundary(text: &str, offset: u32) -> usize {
    text.floor_char_boundary(offset as usize)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use tidegate_core::{Code, Span};

    use super::*;

    fn span(files: &Files, file: u32, text: &str) -> Span {
        let start = files.get(FileId(file)).unwrap().text.find(text).unwrap();
        Span { file: FileId(file), start: start as u32, end: (start + text.len()) as u32 }
    }

    fn error(message: &str) -> Diagnostic {
        Diagnostic::new(Code("TG0110"), Severity::Error, message)
    }

    fn check(files: &Files, diagnostics: &[Diagnostic], expected: Expect) {
        expected.assert_eq(&Report::new(files, 3, diagnostics).human(false));
    }

    #[test]
    fn a_problem_shows_its_line_with_carets_and_the_way_out() {
        let mut files = Files::default();
        files.add("press.yaml", "kind: Dataflow\r\nspec:\r\n  ä: 1\r\n  dataSource: [a/b]\r\n");
        let problem = error("unknown field `dataSource`")
            .label(span(&files, 0, "dataSource"), "not a field of sourceSettings")
            .help("did you mean `dataSources`?");
        check(
            &files,
            &[problem],
            expect![[r#"
            error[TG0110]: unknown field `dataSource`
             --> press.yaml:4:3
              |
            4 |   dataSource: [a/b]
              |   ^^^^^^^^^^ not a field of sourceSettings
              |
              = help: did you mean `dataSources`?

            1 file, 3 resources: 1 error
        "#]],
        );
    }

    #[test]
    fn problems_come_in_file_order_and_those_without_a_place_last() {
        let mut files = Files::default();
        files.add("a.yaml", "one: 1\n");
        files.add("b.yaml", "two: 2\nthree: 3\n");
        let diagnostics = [
            Diagnostic::new(Code("TG0001"), Severity::Note, "nothing to run"),
            error("third").at(span(&files, 1, "three")).label(span(&files, 0, "one"), "first given here"),
            Diagnostic::new(Code("TG0002"), Severity::Warning, "second").at(span(&files, 1, "two")),
            error("first").at(span(&files, 0, "1")),
        ];
        check(
            &files,
            &diagnostics,
            expect![[r#"
            error[TG0110]: first
             --> a.yaml:1:6
              |
            1 | one: 1
              |      ^

            warning[TG0002]: second
             --> b.yaml:1:1
              |
            1 | two: 2
              | ^^^

            error[TG0110]: third
             --> b.yaml:2:1
              |
            2 | three: 3
              | ^^^^^
              |
             ::: a.yaml:1:1
              |
            1 | one: 1
              | --- first given here

            note[TG0001]: nothing to run

            2 files, 3 resources: 2 errors, 1 warning, 1 note
        "#]],
        );
    }

    #[test]
    fn nothing_wrong_is_said_too() {
        check(
            &Files::default(),
            &[],
            expect![[r#"
            0 files, 3 resources: no problems
        "#]],
        );
    }

    #[test]
    fn the_json_form_is_the_contracts() {
        let mut files = Files::default();
        files.add("a.yaml", "\u{feff}x: 1\nyö: 2\n");
        let mut problem = error("no").at(span(&files, 0, ": 2")).help("so");
        problem.resource = Some("Dataflow/press-clean".into());
        let placeless = Diagnostic::new(Code("TG0001"), Severity::Note, "empty");
        let json = Report::new(&files, 1, &[placeless, problem]).json();
        expect![[r#"
            {"files":1,"resources":1,"summary":{"errors":1,"warnings":0,"notes":1},"diagnostics":[{"severity":"error","code":"TG0110","message":"no","help":"so","file":"a.yaml","line":2,"column":3,"endLine":2,"endColumn":6,"resource":"Dataflow/press-clean"},{"severity":"note","code":"TG0001","message":"empty","help":null,"file":null,"line":null,"column":null,"endLine":null,"endColumn":null,"resource":null}]}
        "#]]
        .assert_eq(&json);
    }

    proptest! {
        #[test]
        fn any_span_in_any_text_is_shown_at_the_place_that_json_gives(
            text in "(\u{feff})?[a-zä€\u{1F600}\\t \\r\\n]{0,40}", start in 0..50u32, len in 0..50u32,
        ) {
            let mut files = Files::default();
            let file = files.add("f", text.as_str());
            let end = start + len;
            let diagnostic = error("m").at(Span { file, start, end });
            let human = Report::new(&files, 0, std::slice::from_ref(&diagnostic)).human(false);
            let at = files.position(file, start);
            let shown = format!("--> f:{}:{}\n", at.line, at.column);
            prop_assert!(human.contains(&shown), "{} in\n{}", shown, human);
        }
    }
}
