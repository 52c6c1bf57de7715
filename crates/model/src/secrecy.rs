//! No diagnostic points at a line that holds a value of a Secret: whoever shows a diagnostic shows its lines.

use tidegate_core::{Diagnostic, Files, Label, Span};

use crate::load::Documents;
use crate::node::{Node, Text, Value};
use crate::resource::Kind;

/// Moves what points at a value to the Secret's name, or takes the place away if even that line holds a value.
pub(crate) fn keep(documents: &Documents, files: &Files, diagnostics: &mut [Diagnostic]) {
    let secrets: Vec<Secret> =
        documents.iter().flat_map(|(_, nodes)| nodes).flat_map(Secret::all_in).collect();
    for diagnostic in diagnostics {
        diagnostic.labels.retain_mut(|label| secrets.iter().all(|secret| secret.keep_shut(label, files)));
    }
}

/// Where a Secret has its name and its values.
struct Secret {
    name: Option<Span>,
    values: Vec<Span>,
}

impl Secret {
    /// Those of a document, or of the items of a list.
    fn all_in(document: &Node) -> Vec<Self> {
        if let Some(Value::List(items)) = document.get("items").map(|items| &items.value) {
            return items.iter().flat_map(Self::all_in).collect();
        }
        if document.get("kind").and_then(Node::as_text).map(Text::as_str) != Some(Kind::Secret.as_str()) {
            return vec![];
        }
        let name = document.get("metadata").and_then(|m| m.get("name")).map(|n| n.span);
        let others = document
            .entries()
            .iter()
            .filter(|e| !["apiVersion", "kind", "metadata"].contains(&e.key.as_str()));
        vec![Self { name, values: others.map(|e| e.value.span).collect() }]
    }

    /// Whether the label may stay, where it is or where it was moved to.
    fn keep_shut(&self, label: &mut Label, files: &Files) -> bool {
        let shows = |at: Span| self.values.iter().any(|value| share_a_line(at, *value, files));
        if shows(label.span) {
            match self.name.filter(|name| !shows(*name)) {
                Some(name) => label.span = name,
                None => return false,
            }
        }
        true
    }
}

fn share_a_line(a: Span, b: Span, files: &Files) -> bool {
    let (first, second) = if a.start <= b.start { (a, b) } else { (b, a) };
    let between = Span { file: a.file, start: first.end, end: second.start };
    a.file == b.file && !files.text(between).contains('\n')
}
