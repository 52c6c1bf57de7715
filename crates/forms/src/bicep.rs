//! A Bicep file, in the layout of the product's documentation.

use std::collections::HashSet;
use std::fmt::Write as _;

use tidegate_model::node::{Node, Text, Value};
use tidegate_model::{Kind, Manifest};

use crate::comments::{Placed, Said};
use crate::set::{Set, profile};
use crate::{API_VERSION, is_in_profile};

const HEAD: &str = "\
param aioInstanceName string = '<AIO_INSTANCE_NAME>'
param customLocationName string = '<CUSTOM_LOCATION_NAME>'

resource aioInstance 'Microsoft.IoTOperations/instances@VERSION' existing = {
  name: aioInstanceName
}

resource customLocation 'Microsoft.ExtendedLocation/customLocations@2021-08-31-preview' existing = {
  name: customLocationName
}
";

pub(crate) fn write(set: &Set, comments: &Placed) -> String {
    let mut names = Names::default();
    let symbols: Vec<String> = set.resources.iter().map(|r| names.of(r.name.as_str(), r.kind)).collect();
    let mut writer = Writer { text: HEAD.replace("VERSION", API_VERSION), comments };
    let mut existing = Vec::new();
    for name in set.other_profiles() {
        let symbol = names.of(name, Kind::DataflowProfile);
        let _ = write!(
            writer.text,
            "\nresource {symbol} {} existing = {{\n  parent: aioInstance\n  name: {}\n}}\n",
            full_type(Kind::DataflowProfile),
            quoted(name)
        );
        existing.push((name, symbol));
    }
    for (resource, symbol) in set.resources.iter().zip(&symbols) {
        let parent = if is_in_profile(resource.kind) {
            let name = profile(resource);
            match set.find(Kind::DataflowProfile, name) {
                Some(found) => &symbols[found],
                None => existing.iter().find(|(n, _)| *n == name).map_or("", |(_, symbol)| symbol),
            }
        } else {
            "aioInstance"
        };
        let depends: Vec<&str> =
            set.endpoints_of(resource).into_iter().map(|found| symbols[found].as_str()).collect();
        writer.resource(resource, symbol, parent, &depends);
    }
    if !comments.last.is_empty() {
        writer.text.push('\n');
        writer.lines(0, &comments.last);
    }
    writer.text
}

fn full_type(kind: Kind) -> String {
    format!("'Microsoft.IoTOperations/instances/{}@{API_VERSION}'", kind.arm_type().unwrap_or_default())
}

/// Names of resources in the file, each for one of them.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn of(&mut self, name: &str, kind: Kind) -> String {
        let kind = match kind {
            Kind::DataflowProfile => "Profile",
            Kind::DataflowEndpoint | Kind::RegistryEndpoint => "Endpoint",
            Kind::DataflowGraph => "Graph",
            _ => "Flow",
        };
        let mut symbol = String::new();
        for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
            let (first, rest) = word.split_at_checked(1).unwrap_or(("", ""));
            symbol.push_str(&if symbol.is_empty() { first.to_owned() } else { first.to_ascii_uppercase() });
            symbol.push_str(rest);
        }
        if symbol.starts_with(|c: char| c.is_ascii_digit()) {
            symbol.insert(0, '_');
        }
        symbol.push_str(kind);
        let mut n = 1;
        let mut unique = symbol.clone();
        while !self.0.insert(unique.clone()) {
            n += 1;
            unique = format!("{symbol}_{n}");
        }
        unique
    }
}

struct Writer<'a> {
    text: String,
    comments: &'a Placed,
}

impl Writer<'_> {
    fn resource(&mut self, resource: &Manifest, symbol: &str, parent: &str, depends: &[&str]) {
        self.text.push('\n');
        let head = self.comments.at(resource.at);
        self.lines(0, &head.above);
        self.lines(0, head.behind.as_slice());
        let _ = write!(
            self.text,
            "resource {symbol} {} = {{\n  parent: {parent}\n  name: {}\n  extendedLocation: {{\n    name: \
             customLocation.id\n    type: 'CustomLocation'\n  }}\n",
            full_type(resource.kind),
            quoted(resource.name.as_str())
        );
        self.entry(1, "properties", &resource.spec, &Said::default());
        if !depends.is_empty() {
            let _ = writeln!(self.text, "  dependsOn: [");
            for symbol in depends {
                let _ = writeln!(self.text, "    {symbol}");
            }
            self.text.push_str("  ]\n");
        }
        self.text.push_str("}\n");
    }

    fn lines(&mut self, depth: usize, lines: &[String]) {
        for line in lines {
            self.indent(depth);
            self.text.push_str(format!("// {line}").trim_end());
            self.text.push('\n');
        }
    }

    fn indent(&mut self, depth: usize) {
        self.text.extend(std::iter::repeat_n("  ", depth));
    }

    fn entry(&mut self, depth: usize, key: &str, value: &Node, said: &Said) {
        if is_block(value) {
            self.lines(depth, said.behind.as_slice());
        }
        self.indent(depth);
        let _ = write!(self.text, "{}: ", property(key));
        self.value(depth, value, said);
    }

    /// A value, and the end of its line.
    fn value(&mut self, depth: usize, node: &Node, said: &Said) {
        let behind = said.behind.as_ref().filter(|_| !is_block(node));
        let behind = behind.map(|text| format!(" // {text}")).unwrap_or_default();
        let behind = behind.trim_end();
        match &node.value {
            Value::Map(entries) if !entries.is_empty() => {
                let _ = writeln!(self.text, "{{{behind}");
                for entry in entries {
                    let said = self.comments.at(entry.key_span);
                    self.lines(depth + 1, &said.above);
                    self.entry(depth + 1, &entry.key, &entry.value, said);
                }
                self.indent(depth);
                self.text.push_str("}\n");
            }
            Value::List(items) if !items.is_empty() => {
                let _ = writeln!(self.text, "[{behind}");
                for item in items {
                    self.item(depth + 1, item);
                }
                self.indent(depth);
                self.text.push_str("]\n");
            }
            Value::String(text) if is_block(node) => {
                let _ = writeln!(self.text, "'''\n{}'''", text.as_str());
            }
            _ => {
                let _ = writeln!(self.text, "{}{behind}", inline(node));
            }
        }
    }

    fn item(&mut self, depth: usize, item: &Node) {
        let is_map = matches!(&item.value, Value::Map(entries) if !entries.is_empty());
        let nothing = Said::default();
        // those of the first entry of a map stand at the entry
        let said = if is_map { &nothing } else { self.comments.at_item(item) };
        self.lines(depth, &said.above);
        if is_block(item) {
            self.lines(depth, said.behind.as_slice());
        }
        self.indent(depth);
        self.value(depth, item, said);
    }
}

/// Whether a value is written as a text of several lines: nothing in it is an escape.
fn is_block(node: &Node) -> bool {
    let Some(text) = node.as_text().map(Text::as_str) else { return false };
    text.contains('\n')
        && text.chars().all(|c| c == '\n' || !c.is_control())
        && !text.contains("'''")
        && !text.ends_with('\'')
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::String(text) => quoted(text.as_str()),
        // Bicep has no fractions, and reads no sign as part of a number
        Value::Number(number) if number.integer.is_none_or(|n| n == i64::MIN) => {
            format!("json({})", quoted(&node.to_json()))
        }
        // of what Bicep and JSON write alike
        _ => node.to_json(),
    }
}

fn property(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !["for", "if", "null", "true", "false", "resource"].contains(&key);
    if plain { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            '$' if rest.peek() == Some(&'{') => quoted.push_str("\\$"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}
