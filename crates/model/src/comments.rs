//! The comments in files, for those who write resources down again.

use std::ops::Range;

use tidegate_core::{FileId, Files, Span};
use tidegate_template as template;

use crate::load::{Form, form};
use crate::node::{Node, Value, span};
use crate::problems::Problems;
use crate::yaml;

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where, its signs included.
    pub span: Span,
    /// What it says, line by line: without its signs and the blank after them.
    pub lines: Vec<String>,
    /// Whether something stands before it on its line.
    pub follows: bool,
}

/// The comments in some files, in file order.
pub fn comments(files: &Files) -> Vec<Comment> {
    let mut found = Vec::new();
    for (id, file) in files.iter() {
        let text: &str = &file.text;
        let ranges = match form(&file.name, text) {
            Form::Bicep => template::comments(id, text),
            Form::Json => of_json(text),
            Form::Yaml => of_yaml(id, text),
        };
        found.extend(ranges.into_iter().map(|range| comment(id, text, range)));
    }
    found
}

fn comment(file: FileId, text: &str, range: Range<usize>) -> Comment {
    let raw = &text[range.clone()];
    let line = text[..range.start].rfind('\n').map_or(0, |i| i + 1);
    let follows = !text[line..range.start].trim_matches(['\u{feff}', ' ', '\t']).is_empty();
    let lines = match raw.strip_prefix("/*") {
        Some(block) => {
            let block = block.strip_suffix("*/").unwrap_or(block);
            let lines = block.lines().map(|l| l.trim().trim_start_matches('*').trim().to_owned());
            let lines: Vec<String> = lines.collect();
            let is_blank = |line: &&String| line.is_empty();
            let before = lines.iter().take_while(is_blank).count();
            let after = lines.iter().skip(before).rev().take_while(is_blank).count();
            lines[before..lines.len() - after].to_vec()
        }
        None => {
            let said = raw.strip_prefix("//").or_else(|| raw.strip_prefix('#')).unwrap_or(raw);
            vec![said.strip_prefix(' ').unwrap_or(said).trim_end().to_owned()]
        }
    };
    Comment { span: span(file, range), lines, follows }
}

/// A `#` begins one at the start of a line or after a blank, but not in a scalar (YAML 1.2.2, section 6.6).
fn of_yaml(file: FileId, text: &str) -> Vec<Range<usize>> {
    let mut scalars = Vec::new();
    for document in yaml::parse(file, text, &mut Problems::default()) {
        all_scalars(&document, &mut scalars);
    }
    scalars.sort_by_key(|range| range.start);
    let mut scalars = scalars.into_iter().peekable();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('#').map(|at| from + at) {
        while scalars.next_if(|scalar| scalar.end <= at).is_some() {}
        if let Some(scalar) = scalars.peek().filter(|scalar| scalar.start <= at) {
            from = scalar.end;
        } else if text[..at].chars().next_back().is_none_or(|c| [' ', '\t', '\n', '\u{feff}'].contains(&c)) {
            let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
            found.push(at..end);
            from = end;
        } else {
            from = at + 1;
        }
    }
    found
}

fn all_scalars(node: &Node, found: &mut Vec<Range<usize>>) {
    let range = |span: Span| span.start as usize..span.end as usize;
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| all_scalars(item, found)),
        Value::Map(entries) => {
            for entry in entries {
                found.push(range(entry.key_span));
                all_scalars(&entry.value, found);
            }
        }
        _ => found.push(range(node.span)),
    }
}

/// `//` and `/*`, where no text is.
fn of_json(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find(['"', '/']).map(|next| at + next) {
        let rest = &text[next..];
        let length = if let Some(inner) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = inner.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("//") || rest.starts_with("/*") {
            let length = match rest.starts_with("//") {
                true => rest.find('\n').unwrap_or(rest.len()),
                false => rest.find("*/").map_or(rest.len(), |end| end + 2),
            };
            found.push(next..next + length);
            length
        } else {
            1
        };
        at = next + length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> Vec<(String, bool)> {
        let mut files = Files::default();
        files.add(name, text);
        comments(&files).into_iter().map(|c| (c.lines.join("|"), c.follows)).collect()
    }

    fn of(text: &str, follows: bool) -> (String, bool) {
        (text.into(), follows)
    }

    #[test]
    fn of_yaml_files() {
        let text = "# first\r\na: 'x # y' # after\nb#c: d#e\nc: |\n  # no\n  # comment\n#last\nd: \"#\"\n--- # here\ne:\n  # in\n  - 1";
        let expected =
            [of("first", false), of("after", true), of("last", false), of("here", true), of("in", false)];
        assert_eq!(said("a.yaml", text), expected);
    }

    #[test]
    fn of_json_files() {
        let text = "{\n // one\n \"a//\": \"\\\"// no\", // two\n /* three\n  * four\n  */ \"b\": 1 }";
        assert_eq!(said("a.json", text), [of("one", false), of("two", true), of("three|four", false)]);
        assert_eq!(said("a.json", "{\"a\": \"/"), []);
    }

    #[test]
    fn of_bicep_files() {
        let text = "// one\nvar a = 'b // no' // two\n#disable-next-line x\nvar c = '''\n// no\n''' /* three */\nvar d = '${a /* four */}'";
        let expected = [of("one", false), of("two", true), of("three", true), of("four", true)];
        assert_eq!(said("a.bicep", text), expected);
    }
}
