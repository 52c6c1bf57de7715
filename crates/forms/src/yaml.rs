//! Kubernetes manifests in YAML.

use std::fmt::Write as _;

use tidegate_model::Manifest;
use tidegate_model::node::{Node, Text, Value};

use crate::comments::{Placed, Said};
use crate::is_in_profile;
use crate::set::{Set, profile};

pub(crate) fn write(set: &Set, comments: &Placed) -> String {
    let mut writer = Writer { text: String::new(), comments };
    for (n, resource) in set.resources.iter().enumerate() {
        if n > 0 {
            writer.text.push_str("---\n");
        }
        writer.resource(resource);
    }
    writer.lines(0, &comments.last);
    writer.text
}

struct Writer<'a> {
    text: String,
    comments: &'a Placed,
}

impl Writer<'_> {
    fn resource(&mut self, resource: &Manifest) {
        let kind = resource.kind;
        let head = self.comments.at(resource.at);
        self.lines(0, &head.above);
        self.lines(0, head.behind.as_slice());
        let _ = writeln!(self.text, "apiVersion: {}\nkind: {kind}\nmetadata:", kind.api_versions()[0]);
        let _ = writeln!(self.text, "  name: {}", scalar(resource.name.as_str()));
        let _ = writeln!(self.text, "  namespace: {}", scalar(&resource.namespace));
        if let Some(labels) = &resource.labels {
            self.entry(1, "labels", labels, &Said::default());
        }
        if !resource.annotations.is_empty() {
            self.text.push_str("  annotations:\n");
            for (key, value) in &resource.annotations {
                let _ = writeln!(self.text, "    {}: {}", scalar(key), scalar(value.as_str()));
            }
        }
        if kind.is_core() {
            self.entries(0, &resource.spec, false);
            return;
        }
        if is_in_profile(kind) {
            let _ = writeln!(self.text, "spec:\n  profileRef: {}", scalar(profile(resource)));
            self.entries(1, &resource.spec, false);
        } else {
            self.entry(0, "spec", &resource.spec, &Said::default());
        }
    }

    fn lines(&mut self, depth: usize, lines: &[String]) {
        for line in lines {
            self.indent(depth);
            self.text.push_str(format!("# {line}").trim_end());
            self.text.push('\n');
        }
    }

    fn indent(&mut self, depth: usize) {
        self.text.extend(std::iter::repeat_n("  ", depth));
    }

    /// The entries of a map; of an item in a list the first one's line was begun.
    fn entries(&mut self, depth: usize, node: &Node, begun: bool) {
        for (n, entry) in node.entries().iter().enumerate() {
            let said = self.comments.at(entry.key_span);
            if begun && n == 0 {
                self.value(depth, &format!("{}:", scalar(&entry.key)), &entry.value, said);
            } else {
                self.lines(depth, &said.above);
                self.entry(depth, &entry.key, &entry.value, said);
            }
        }
    }

    fn entry(&mut self, depth: usize, key: &str, value: &Node, said: &Said) {
        if is_block(value) {
            self.lines(depth, said.behind.as_slice());
        }
        self.indent(depth);
        self.value(depth, &format!("{}:", scalar(key)), value, said);
    }

    /// A value behind `before`, and the end of its line.
    fn value(&mut self, depth: usize, before: &str, node: &Node, said: &Said) {
        self.text.push_str(before);
        let behind = said.behind.as_ref().filter(|_| !is_block(node));
        let behind = behind.map(|text| format!(" # {text}")).unwrap_or_default();
        let behind = behind.trim_end();
        match &node.value {
            Value::Map(entries) if !entries.is_empty() => {
                let _ = writeln!(self.text, "{behind}");
                self.entries(depth + 1, node, false);
            }
            Value::List(items) if !items.is_empty() => {
                let _ = writeln!(self.text, "{behind}");
                items.iter().for_each(|item| self.item(depth + 1, item));
            }
            Value::String(text) if is_block(node) => self.block(depth + 1, text.as_str()),
            _ => {
                let _ = writeln!(self.text, " {}{behind}", inline(node));
            }
        }
    }

    fn item(&mut self, depth: usize, item: &Node) {
        let said = self.comments.at_item(item);
        self.lines(depth, &said.above);
        if item.entries().first().map_or(is_block(item), |first| is_block(&first.value)) {
            self.lines(depth, said.behind.as_slice());
        }
        self.indent(depth);
        match &item.value {
            Value::Map(entries) if !entries.is_empty() => {
                self.text.push_str("- ");
                self.entries(depth + 1, item, true);
            }
            Value::List(items) if !items.is_empty() => {
                self.text.push_str("-\n");
                items.iter().for_each(|item| self.item(depth + 1, item));
            }
            _ => self.value(depth, "-", item, said),
        }
    }

    /// A text of several lines, as they are.
    fn block(&mut self, depth: usize, text: &str) {
        self.text.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if !line.is_empty() {
                self.indent(depth);
            }
            let _ = writeln!(self.text, "{line}");
        }
    }
}

/// Whether a value is written as a text of several lines (YAML 1.2.2, section 8.1.2).
fn is_block(node: &Node) -> bool {
    let Some(text) = node.as_text().map(Text::as_str) else { return false };
    let inner = text.strip_suffix('\n').unwrap_or(text);
    inner.contains('\n')
        && !inner.starts_with([' ', '\n'])
        && !inner.ends_with('\n')
        && text.chars().all(|c| c == '\n' || is_printable(c))
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::String(text) => scalar(text.as_str()),
        Value::Number(number) if number.integer.is_none() => number.text.clone(),
        // of what YAML and JSON write alike
        _ => node.to_json(),
    }
}

/// Whether a character may stand in YAML as it is (section 5.1); those that end lines in YAML 1.1 may not.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text on one line: plain where every version of YAML reads it as that text, otherwise in quotes.
fn scalar(text: &str) -> String {
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_alphabetic() || ['/', '$', '_'].contains(&c))
        && !words.contains(&text.to_ascii_lowercase().as_str())
        && text.chars().all(is_printable)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !text.contains("{{");
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
