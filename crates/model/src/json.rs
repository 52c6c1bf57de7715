//! JSON to a [`Node`]. Comments and trailing commas are tolerated with a note, as AIO's own samples hold them; what else
//! JSON5 allows is an error.

use jsonc_parser::ast::{self, ObjectPropName};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use tidegate_core::{FileId, Span};

use crate::codes;
use crate::node::{DEPTH_MAX, Entry, Node, Number, Text, Value, span, unique};
use crate::problems::{Problems, duplicate_key, error, in_a_secret, note};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads the one value of a file; none if it is empty or has a syntax error.
pub(crate) fn parse(file: FileId, text: &str, problems: &mut Problems) -> Option<Node> {
    let (base, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ('\u{feff}'.len_utf8(), rest),
        None => (0, text),
    };
    read(text, &|range| span(file, base + range.start..base + range.end), problems)
}

/// Reads the value that a text in another file holds.
pub(crate) fn parse_inner(text: &Text, problems: &mut Problems) -> Option<Node> {
    read(text.as_str(), &|range| text.part(range), problems)
}

fn read(text: &str, place: &dyn Fn(std::ops::Range<usize>) -> Span, problems: &mut Problems) -> Option<Node> {
    let mut reader = Reader { text, place, problems };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT).or_else(|strict| {
        if !matches!(
            strict.kind(),
            ParseErrorKind::CommentsNotAllowed | ParseErrorKind::TrailingCommasNotAllowed
        ) {
            return Err(strict);
        }
        let place = reader.span(strict.range());
        let options = ParseOptions { allow_comments: true, allow_trailing_commas: true, ..STRICT };
        let parsed = parse_to_ast(text, &CollectOptions::default(), &options)?;
        let message = "strict JSON has no comments and no trailing commas";
        reader
            .problems
            .push(note(codes::JSON_EXTRAS, place, message).help("`az` refuses this file as it is"));
        Ok(parsed)
    });
    match parsed {
        Ok(parsed) => reader.node(parsed.value?, 0),
        Err(e) => {
            let message = format!("invalid JSON: {}", lower_first(&e.kind().to_string()));
            if text.contains("\"Secret\"") {
                reader.problems.push(in_a_secret(codes::JSON_SYNTAX, text, e.range().start, &message));
                return None;
            }
            let problem = error(codes::JSON_SYNTAX, reader.span(e.range()), message);
            reader.problems.push(match e.kind() {
                ParseErrorKind::ExpectedStringObjectProperty => problem.help("put the key in double quotes"),
                ParseErrorKind::SingleQuotedStringsNotAllowed => problem.help("use double quotes"),
                ParseErrorKind::ExpectedComma => problem.help("put a comma here"),
                _ => problem,
            });
            None
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

struct Reader<'a> {
    text: &'a str,
    place: &'a dyn Fn(std::ops::Range<usize>) -> Span,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn span(&self, range: Range) -> Span {
        let clip = |at: usize| at.min(self.text.len());
        (self.place)(clip(range.start)..clip(range.end))
    }

    fn node(&mut self, value: ast::Value<'_>, depth: usize) -> Option<Node> {
        let place = self.span(value.range());
        if depth > DEPTH_MAX {
            let message = format!("lists and objects nest more than {DEPTH_MAX} levels deep");
            self.problems.push(error(codes::TOO_MUCH, place, message));
            return None;
        }
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(b) => Value::Bool(b.value),
            ast::Value::NumberLit(n) => {
                Value::Number(Number { text: n.value.to_owned(), integer: n.value.parse().ok() })
            }
            ast::Value::StringLit(s) => {
                let inner = s.range.start + 1..s.range.end - 1;
                let exact = self.text.get(inner.clone()) == Some(&*s.value);
                let inner = (self.place)(inner);
                let exact_from =
                    (exact && (inner.end - inner.start) as usize == s.value.len()).then_some(inner.start);
                Value::String(Text::new(s.value, place, exact_from))
            }
            ast::Value::Array(list) => Value::List(
                list.elements.into_iter().map(|v| self.node(v, depth + 1)).collect::<Option<_>>()?,
            ),
            ast::Value::Object(object) => {
                let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
                for property in object.properties {
                    let key_span = self.span(property.name.range());
                    let key = match property.name {
                        ObjectPropName::String(s) => s.value.into_owned(),
                        ObjectPropName::Word(w) => w.value.to_owned(),
                    };
                    let value = self.node(property.value, depth + 1)?;
                    entries.push(Entry { key, key_span, value });
                }
                Value::Map(unique(entries, |key, at, first| {
                    self.problems.push(duplicate_key(key, at, first));
                }))
            }
        };
        Some(Node { value, span: place })
    }
}

/// The tree as JSON text.
pub(crate) fn print(node: &Node) -> String {
    let mut text = String::new();
    write(node, &mut text);
    text
}

fn write(node: &Node, text: &mut String) {
    match &node.value {
        Value::Null | Value::Hole => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        // YAML knows numbers that JSON doesn't.
        Value::Number(number) => match number.integer {
            _ if is_json_number(&number.text) => text.push_str(&number.text),
            Some(integer) => text.push_str(&integer.to_string()),
            None => match number.text.parse::<f64>() {
                // with a fraction, so that it stays a float
                Ok(float) if float.is_finite() => text.push_str(&format!("{float:?}")),
                _ => text.push_str("null"),
            },
        },
        Value::String(value) => write_string(value.as_str(), text),
        Value::List(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                write(item, text);
            }
            text.push(']');
        }
        Value::Map(entries) => {
            text.push('{');
            for (i, entry) in entries.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                write_string(&entry.key, text);
                text.push(':');
                write(&entry.value, text);
            }
            text.push('}');
        }
    }
}

/// Whether JSON writes a number so (RFC 8259, section 6).
fn is_json_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

pub(crate) fn write_string(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}
