//! One tree for every form a file can have: values with the places they came from. The readers of YAML and JSON make
//! it; nothing after it knows which of them did.

use std::collections::HashMap;
use std::ops::Range;

use tidegate_core::{FileId, Span};

/// How deep lists and maps may nest in each other.
pub const DEPTH_MAX: usize = 128;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where. A list or map in YAML's block style spans from its first item to the end of its last.
    pub span: Span,
}

/// What a [`Node`] can be.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// What an expression of a template should have made and did not, which was complained about. It reads as anything
    /// without being anything, so that no second complaint comes of it.
    Hole,
}

/// A number as written, and as an integer if it is one that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// As written.
    pub text: String,
    /// `None` for fractions, exponents, and what `i64` can't hold.
    pub integer: Option<i64>,
}

/// A key of a map and its value. The keys of a map are unique.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// Text that knows where it stands, so that a complaint about a part of it can point there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    value: String,
    span: Span,
    exact_from: Option<u32>,
}

impl Text {
    /// `exact_from` is where the text starts if the file holds it byte for byte, without escapes or folding.
    pub fn new(value: impl Into<String>, span: Span, exact_from: Option<u32>) -> Self {
        Self { value: value.into(), span, exact_from }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Where it starts, if the file holds it byte for byte.
    pub(crate) fn exact_from(&self) -> Option<u32> {
        self.exact_from
    }

    /// The whole scalar, quotes included.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The place of some bytes of the text: exactly those where the file holds the text as it is, else all of it.
    pub fn part(&self, range: Range<usize>) -> Span {
        let place = |at: usize| Some(self.exact_from? + u32::try_from(at.min(self.value.len())).ok()?);
        match (place(range.start), place(range.end)) {
            (Some(start), Some(end)) if start <= end => Span { file: self.span.file, start, end },
            _ => self.span,
        }
    }
}

impl Node {
    /// The value of a key, if this is a map that has it. An explicit null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value).filter(|n| n.value != Value::Null)
    }

    /// The entry of a key, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The text of a string.
    pub fn as_text(&self) -> Option<&Text> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// Where to point when something is said about the whole: the first key or item of a collection, as nobody wants
    /// carets under twenty lines.
    pub fn head(&self) -> Span {
        match &self.value {
            Value::List(items) => items.first().map_or(self.span, Node::head),
            Value::Map(entries) => entries.first().map_or(self.span, |e| e.key_span),
            _ => self.span,
        }
    }

    /// It as JSON on one line. Numbers that JSON can't write, which YAML has, become null.
    pub fn to_json(&self) -> String {
        crate::json::print(self)
    }

    /// What to call it in a sentence.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
            Value::Hole => "nothing that is known",
        }
    }

    /// Whether there is a [`Value::Hole`] in it.
    pub(crate) fn has_hole(&self) -> bool {
        match &self.value {
            Value::Hole => true,
            Value::List(items) => items.iter().any(Node::has_hole),
            Value::Map(entries) => entries.iter().any(|e| e.value.has_hole()),
            _ => false,
        }
    }

    /// How many lists, maps and scalars it is made of, itself included.
    pub(crate) fn size(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|e| e.value.size()).sum(),
            _ => 0,
        }
    }

    /// How many lists and maps lie around its innermost scalar.
    pub(crate) fn depth(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// A text as a string of JSON.
pub fn json_string(text: &str) -> String {
    let mut written = String::new();
    crate::json::write_string(text, &mut written);
    written
}

/// Keeps the first entry of each key and hands key, place and first place of the others to `repeated`.
pub(crate) fn unique(entries: Vec<Entry>, mut repeated: impl FnMut(&str, Span, Span)) -> Vec<Entry> {
    let mut first: HashMap<&str, Span> = HashMap::new();
    let keep: Vec<bool> = entries
        .iter()
        .map(|e| match first.get(e.key.as_str()) {
            Some(first) => {
                repeated(&e.key, e.key_span, *first);
                false
            }
            None => first.insert(&e.key, e.key_span).is_none(),
        })
        .collect();
    entries.into_iter().zip(keep).filter_map(|(e, keep)| keep.then_some(e)).collect()
}

/// A span from byte offsets.
pub(crate) fn span(file: FileId, range: Range<usize>) -> Span {
    let at = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span { file, start: at(range.start), end: at(range.end.max(range.start)) }
}
