//! YAML to [`Node`]s: YAML 1.2 core schema, several documents, anchors with a budget, merge keys.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use tidegate_core::{Diagnostic, FileId, Span};

use crate::codes;
use crate::node::{DEPTH_MAX, Entry, Node, Number, Text, Value, span, unique};
use crate::problems::{Problems, duplicate_key, error, in_a_secret, warning};

/// How many nodes anchors and aliases may add to a file: far more than a manifest needs, far fewer than a bomb makes.
const ALIASED_NODES_MAX: usize = 100_000;

/// Reads every document of a file. A document with a syntax error is left out; those after it are read.
pub(crate) fn parse(file: FileId, text: &str, problems: &mut Problems) -> Vec<Node> {
    let mut documents = Vec::new();
    let mut aliased = 0;
    let mut from = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while let Some(rest) = text.get(from..) {
        let offsets = Offsets::new(rest, from);
        let mut builder = Builder {
            file,
            text,
            offsets,
            aliased,
            problems,
            document: from,
            stack: vec![],
            anchors: HashMap::new(),
        };
        let failed_at = builder.documents(rest, &mut documents);
        aliased = builder.aliased;
        match failed_at.and_then(|at| next_document(text, from, at)) {
            Some(next) => from = next,
            None => break,
        }
    }
    documents
}

/// The first `---` line at or after the line of `error_at`, but after the line that starts at `from`.
fn next_document(text: &str, from: usize, error_at: usize) -> Option<usize> {
    let line_start = text[..error_at].rfind('\n').map_or(0, |i| i + 1);
    let mut at = line_start;
    for line in text[line_start..].split_inclusive('\n') {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && at > from {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// The parser counts characters, spans count bytes.
struct Offsets {
    base: usize,
    /// Byte offset of each character; none for ASCII, where both counts agree.
    bytes: Option<Vec<usize>>,
    len: usize,
}

impl Offsets {
    fn new(text: &str, base: usize) -> Self {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i).collect());
        Self { base, bytes, len: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        let at = match &self.bytes {
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.len),
            None => character.min(self.len),
        };
        self.base + at
    }
}

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    offsets: Offsets,
    aliased: usize,
    problems: &'a mut Problems,
    /// Where the document starts.
    document: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
}

/// A list or map whose end hasn't come yet.
struct Frame {
    start: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    /// `{{ ... }}`, which is no YAML but a template that nobody rendered: two objects, one the key of the other.
    Template,
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<Key>,
        merged: Vec<Node>,
    },
}

struct Key {
    /// `None` for a key that was complained about already.
    text: Option<String>,
    span: Span,
    merge: bool,
}

impl Builder<'_> {
    /// Adds the documents of `rest`; gives the place of a syntax error, where reading stopped.
    fn documents(&mut self, rest: &str, documents: &mut Vec<Node>) -> Option<usize> {
        let mut parser = Parser::new_from_str(rest);
        loop {
            let (event, place) = match parser.next_event()? {
                Ok(event) => event,
                Err(e) => {
                    let at = self.offsets.byte(e.marker().index());
                    self.syntax_error(at, e.info());
                    return Some(at);
                }
            };
            let (start, end) = (self.offsets.byte(place.start.index()), self.offsets.byte(place.end.index()));
            let done = match event {
                Event::DocumentStart(_) => {
                    self.document = start;
                    self.anchors.clear();
                    None
                }
                Event::Scalar(value, style, anchor, tag) => {
                    let node = self.scalar(&value, style, tag.as_deref(), start..end);
                    self.anchored(anchor, node, style == ScalarStyle::Plain)
                }
                Event::Alias(id) => match self.alias(id, start..end) {
                    Ok(node) => self.complete(node, false),
                    Err(problem) => {
                        self.problems.push(problem);
                        return Some(start);
                    }
                },
                Event::SequenceStart(anchor, tag) => {
                    self.check_tag(tag.as_deref(), &["seq"], start..end);
                    self.stack.push(Frame { start, anchor, content: Content::List(vec![]) });
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    self.check_tag(tag.as_deref(), &["map"], start..end);
                    let content = Content::Map { entries: vec![], key: None, merged: vec![] };
                    self.stack.push(Frame { start, anchor, content });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(end),
                Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => None,
            };
            documents.extend(done.filter(|node| node.value != Value::Null));
            if self.stack.len() > DEPTH_MAX {
                self.problems.push(self.too_deep(start..end));
                return Some(start);
            }
        }
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        span(self.file, range)
    }

    fn too_deep(&self, range: std::ops::Range<usize>) -> Diagnostic {
        let message = format!("lists and objects nest more than {DEPTH_MAX} levels deep");
        error(codes::TOO_MUCH, self.span(range), message)
    }

    fn syntax_error(&mut self, at: usize, info: &str) {
        let line_start = self.text[..at].rfind('\n').map_or(0, |i| i + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let end = self.text[at..].chars().next().filter(|c| *c != '\n').map_or(at, |c| at + c.len_utf8());
        let document =
            &self.text[self.document..next_document(self.text, self.document, at).unwrap_or(self.text.len())];
        if document.lines().any(|line| line.trim_end() == "kind: Secret") {
            self.problems.push(in_a_secret(
                codes::YAML_SYNTAX,
                self.text,
                at,
                &format!("invalid YAML: {info}"),
            ));
            return;
        }
        let problem = error(codes::YAML_SYNTAX, self.span(at..end), format!("invalid YAML: {info}"));
        let indent = &line[..line.len() - line.trim_start().len()];
        self.problems.push(if line.contains("{{") || line.contains("{%") {
            problem.help("this looks like a template: render it first, then load the result")
        } else if indent.contains('\t') {
            problem.help("indent with spaces, YAML allows no tabs")
        } else if self.text[at..].starts_with(['*', '&', '@', '`', '%', '#', '!']) {
            problem.help("put a value that starts with this character in quotes")
        } else if info.contains("mapping values are not allowed") {
            problem.help("check the indentation, and put a value that holds `: ` in quotes")
        } else {
            problem
        });
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: std::ops::Range<usize>,
    ) -> Node {
        if value.is_empty() && style == ScalarStyle::Plain && tag.is_none() {
            // The parser places an absent value at what comes next; what came before says more.
            let at = self.text[..range.start].trim_end().len();
            return Node { value: Value::Null, span: self.span(at.max(self.offsets.base)..at) };
        }
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let raw = &self.text[range.clone()];
        // The parser counts a comment behind quotes as theirs.
        let raw = if quoted { &raw[..closing_quote(raw)] } else { raw.trim_end() };
        let end = range.start + raw.len();
        let inner_end = end - usize::from(quoted);
        let exact_from = (raw.len() >= value.len() + 2 * usize::from(quoted)
            && !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
            && self.text[..inner_end].ends_with(value))
        .then(|| u32::try_from(inner_end - value.len()).ok())
        .flatten();
        let place = self.span(range.start..end);
        let text = || Value::String(Text::new(value, place, exact_from));
        let core = tag.is_some_and(Tag::is_yaml_core_schema);
        self.check_tag(tag, &["str", "null", "bool", "int", "float"], range);
        let value = match tag {
            Some(tag) if tag.suffix == "str" || tag.suffix.is_empty() => text(),
            Some(_) if core => plain(value).unwrap_or_else(text),
            _ if style == ScalarStyle::Plain => plain(value).unwrap_or_else(text),
            _ => text(),
        };
        Node { value, span: place }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, known: &[&str], range: std::ops::Range<usize>) {
        let Some(tag) = tag else { return };
        let means_something =
            tag.suffix.is_empty() || tag.is_yaml_core_schema() && known.contains(&tag.suffix.as_str());
        if !means_something {
            let end = range.start + self.text[range.clone()].find([' ', '\n', '\r']).unwrap_or(range.len());
            let message = format!("the tag `{tag}` means nothing here and is ignored");
            self.problems.push(warning(codes::YAML_TAG, self.span(range.start..end), message));
        }
    }

    fn alias(&mut self, id: usize, range: std::ops::Range<usize>) -> Result<Node, Diagnostic> {
        let place = self.span(range.clone());
        let node = self.anchors.get(&id);
        self.aliased += node.map_or(0, Node::size);
        if self.aliased > ALIASED_NODES_MAX {
            let message = format!("aliases make this file more than {ALIASED_NODES_MAX} values long");
            return Err(error(codes::TOO_MUCH, place, message));
        }
        let Some(node) = node else {
            let message = "this alias names no anchor before it in its document";
            return Err(error(codes::YAML_SYNTAX, place, message));
        };
        if self.stack.len() + node.depth() > DEPTH_MAX {
            return Err(self.too_deep(range));
        }
        Ok(node.clone())
    }

    fn close(&mut self, end: usize) -> Option<Node> {
        let Frame { start, anchor, content } = self.stack.pop()?;
        // A block collection ends where the next thing starts; its own last line is what it covers.
        let end = start + self.text[start..end.max(start)].trim_end().len();
        let place = self.span(start..end);
        let value = match content {
            Content::Template => Value::String(Text::new(&self.text[start..end], place, Some(place.start))),
            Content::List(items) => Value::List(items),
            Content::Map { entries, merged, .. } => {
                let mut entries = unique(entries, |key, at, first| {
                    self.problems.push(duplicate_key(key, at, first));
                });
                for node in merged {
                    if let Value::Map(more) = node.value {
                        entries.extend(more);
                    }
                }
                // What stands in the object itself wins over what is merged in.
                Value::Map(unique(entries, |_, _, _| {}))
            }
        };
        self.anchored(anchor, Node { value, span: place }, false)
    }

    fn anchored(&mut self, anchor: usize, node: Node, plain: bool) -> Option<Node> {
        if anchor > 0 {
            // The copy that is kept counts too, as anchors may lie in each other.
            self.aliased += node.size();
            if self.aliased <= ALIASED_NODES_MAX {
                self.anchors.insert(anchor, node.clone());
            }
        }
        self.complete(node, plain)
    }

    /// Puts a finished node where it belongs; gives it back if it is a whole document.
    fn complete(&mut self, node: Node, plain: bool) -> Option<Node> {
        let Some(frame) = self.stack.last_mut() else { return Some(node) };
        match &mut frame.content {
            Content::Template => {}
            Content::List(items) => items.push(node),
            Content::Map { key: None, .. }
                if matches!(node.value, Value::Map(_)) && node.span.start as usize == frame.start + 1 =>
            {
                frame.content = Content::Template;
            }
            Content::Map { entries, key, merged } => match key.take() {
                None => *key = Some(as_key(node, plain, self.problems)),
                Some(Key { text: None, .. }) => {}
                Some(Key { merge: true, .. }) => match node.value {
                    Value::List(items) => merged.extend(items),
                    _ => merged.push(node),
                },
                Some(Key { text: Some(key), span: key_span, .. }) => {
                    entries.push(Entry { key, key_span, value: node });
                }
            },
        }
        None
    }
}

/// Where a quoted scalar that a text begins with ends.
fn closing_quote(text: &str) -> usize {
    let mut rest = text.char_indices().peekable();
    let Some((_, quote)) = rest.next() else { return 0 };
    while let Some((at, c)) = rest.next() {
        if c == quote && !(quote == '\'' && rest.next_if(|(_, next)| *next == quote).is_some()) {
            return at + 1;
        }
        if c == '\\' && quote == '"' {
            rest.next();
        }
    }
    text.trim_end().len()
}

fn as_key(node: Node, plain: bool, problems: &mut Problems) -> Key {
    let span = node.head();
    let text = match node.value {
        Value::String(text) => Some(text.as_str().to_owned()),
        Value::Number(number) => Some(number.text),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Hole => {
            problems.push(error(codes::YAML_SYNTAX, span, "the key of an object is text"));
            None
        }
    };
    let merge = plain && text.as_deref() == Some("<<");
    Key { text, span, merge }
}

/// What a plain scalar means in the core schema (YAML 1.2.2, section 10.3.2); `None` for text.
fn plain(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
            let digits = |s: &str, radix| !s.is_empty() && s.chars().all(|c| c.is_digit(radix));
            let integer = if let Some(hex) = text.strip_prefix("0x").filter(|s| digits(s, 16)) {
                i64::from_str_radix(hex, 16).ok()
            } else if let Some(octal) = text.strip_prefix("0o").filter(|s| digits(s, 8)) {
                i64::from_str_radix(octal, 8).ok()
            } else if digits(unsigned, 10) {
                text.parse().ok()
            } else if is_float(unsigned) {
                None
            } else {
                return None;
            };
            Value::Number(Number { text: text.to_owned(), integer })
        }
    })
}

fn is_float(unsigned: &str) -> bool {
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (unsigned, None),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    !(whole.is_empty() && fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && exponent.is_none_or(|e| !e.is_empty() && all_digits(e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_core::Files;

    use super::*;
    use crate::json;

    /// Trees as both forms can write them.
    fn trees() -> impl Strategy<Value = Node> {
        let file = FileId(0);
        let node = move |value| Node { value, span: span(file, 0..0) };
        let text = move || "[ -~äöü€😀\n\t]{0,8}".prop_map(move |s| Text::new(s, span(file, 0..0), None));
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|n| Value::Number(Number { text: n.to_string(), integer: Some(n) })),
            text().prop_map(Value::String),
        ];
        leaf.prop_map(node).prop_recursive(4, 32, 5, move |inner| {
            let entry = (text(), inner.clone()).prop_map(move |(key, value)| Entry {
                key: key.as_str().to_owned(),
                key_span: span(file, 0..0),
                value,
            });
            prop_oneof![
                proptest::collection::vec(inner, 0..5).prop_map(Value::List),
                proptest::collection::vec(entry, 0..5)
                    .prop_map(|entries| Value::Map(unique(entries, |_, _, _| {}))),
            ]
            .prop_map(node)
        })
    }

    /// The same tree without its places.
    fn bare(node: &Node) -> Node {
        let none = span(FileId(0), 0..0);
        let value = match &node.value {
            Value::String(text) => Value::String(Text::new(text.as_str(), none, None)),
            Value::List(items) => Value::List(items.iter().map(bare).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|e| Entry { key: e.key.clone(), key_span: none, value: bare(&e.value) })
                    .collect(),
            ),
            other => other.clone(),
        };
        Node { value, span: none }
    }

    /// Every node lies in the file and within what it is part of, and exact texts stand where they say.
    fn check_places(node: &Node, files: &Files) {
        let within = |inner: Span| node.span.start <= inner.start && inner.end <= node.span.end;
        assert!(
            files
                .get(node.span.file)
                .unwrap()
                .text
                .get(node.span.start as usize..node.span.end as usize)
                .is_some()
        );
        match &node.value {
            Value::String(text) => {
                let part = text.part(0..text.as_str().len());
                assert!(part == node.span || files.text(part) == text.as_str(), "{text:?} at {part:?}");
            }
            Value::List(items) => items.iter().for_each(|item| {
                assert!(within(item.span), "{item:?} in {:?}", node.span);
                check_places(item, files);
            }),
            Value::Map(entries) => entries.iter().for_each(|e| {
                assert!(within(e.key_span) && within(e.value.span), "{e:?} in {:?}", node.span);
                check_places(&e.value, files);
            }),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn json_says_the_same_as_json_and_as_yaml(tree in trees()) {
            let text = json::print(&tree);
            let mut files = Files::default();
            let file = files.add("a", text.as_str());
            let mut problems = Problems::default();
            let from_json = json::parse(file, &text, &mut problems).unwrap();
            let from_yaml = parse(file, &text, &mut problems);
            assert_eq!(problems.errors(), 0, "{text}: {:?}", problems.into_sorted());
            assert_eq!(bare(&from_json), bare(&tree));
            // A document that is null is none.
            let expected = (tree.value != Value::Null).then(|| bare(&tree));
            assert_eq!(from_yaml.iter().map(bare).collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
            check_places(&from_json, &files);
            from_yaml.iter().for_each(|node| check_places(node, &files));
        }
    }
}
