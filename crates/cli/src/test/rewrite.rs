//! New expectations in an old text: only what differs is written anew; comments, order and layout of the rest stay.

use std::borrow::Cow;
use std::ops::Range;

use tidegate_expr::{Json, parse_json};
use tidegate_model::cases::Step;
use tidegate_model::node::{Entry, Node, Value};

use super::compare::matches;

/// How long a line may become before a collection is written over several.
const LINE_MAX: usize = 100;
/// By how much a collection is indented below its key.
const INDENT: usize = 2;

/// The text of a test file with what came out, for each step that expects something else.
pub(super) fn rewrite(text: &str, failed: &[(&Step, &Json<'_>)]) -> String {
    let mut edits = Edits { text, edits: Vec::new() };
    for (step, actual) in failed {
        match &step.expect {
            Some(expect) => edits.change(&expect.entry.value, Some(&expect.entry), actual, false),
            None => edits.insert_after(&step.input, "expect", actual),
        }
    }
    edits.apply()
}

struct Edits<'a> {
    text: &'a str,
    edits: Vec<(Range<usize>, String)>,
}

impl Edits<'_> {
    fn apply(mut self) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut text = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, with) in &self.edits {
            // what lies in another edit's range was written with it
            if range.start >= at {
                text.push_str(&self.text[at..range.start]);
                text.push_str(with);
                at = range.end;
            }
        }
        text.push_str(&self.text[at..]);
        text
    }

    /// Makes `node`, the value of `entry` if of one, into `actual`. `in_flow` is within braces or brackets.
    fn change(&mut self, node: &Node, entry: Option<&Entry>, actual: &Json<'_>, in_flow: bool) {
        let written = node.to_json();
        if parse_json(written.as_bytes()).is_ok_and(|expected| matches(&expected, actual)) {
            return;
        }
        let is_flow = in_flow || self.is_flow(node);
        match (&node.value, actual) {
            (Value::Map(entries), Json::Object(members)) => {
                let gone = entries.iter().any(|e| !members.contains_key(e.key.as_str()));
                let kept = entries.iter().any(|e| members.contains_key(e.key.as_str()));
                let new = members.keys().any(|name| !entries.iter().any(|e| e.key == *name));
                if is_flow && (gone || new) || !kept || gone && !self.removable(entries) {
                    return self.replace(node, entry, actual, in_flow);
                }
                for entry in entries {
                    match members.get(entry.key.as_str()) {
                        Some(actual) => self.change(&entry.value, Some(entry), actual, is_flow),
                        None => {
                            // with the line break before it, as the one behind is where new members go
                            let start = self.line_start(entry).saturating_sub(1);
                            self.edits.push((start..self.line_end(self.end(&entry.value)), String::new()));
                        }
                    }
                }
                for (name, actual) in
                    members.iter().filter(|(name, _)| !entries.iter().any(|e| e.key == **name))
                {
                    self.insert_after(&entries[entries.len() - 1], name, actual);
                }
            }
            (Value::List(items), Json::Array(actual)) if items.len() == actual.len() => {
                for (item, actual) in items.iter().zip(actual) {
                    self.change(item, None, actual, is_flow);
                }
            }
            _ => self.replace(node, entry, actual, in_flow),
        }
    }

    fn replace(&mut self, node: &Node, entry: Option<&Entry>, actual: &Json<'_>, in_flow: bool) {
        let value = node.span.start as usize..self.end(node);
        self.edits.push(match entry {
            Some(entry) if !in_flow => {
                let start = entry.key_span.end as usize;
                (start..value.end.max(start), format!(":{}", below(actual, self.column(start_of(entry)))))
            }
            None if !in_flow => (value.clone(), beside(actual, self.column(value.start))),
            _ => (value, flow(actual)),
        });
    }

    /// A new member on a line of its own, or behind a comma.
    fn insert_after(&mut self, entry: &Entry, name: &str, actual: &Json<'_>) {
        let end = self.end(&entry.value);
        let rest = self.text[end..self.line_end(end)].trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            let column = self.column(start_of(entry));
            let member = format!("\n{}{}:{}", " ".repeat(column), key(name), below(actual, column));
            let mut at = self.line_end(end);
            at -= usize::from(self.text[..at].ends_with('\r'));
            self.edits.push((at..at, member));
        } else {
            self.edits.push((end..end, format!(", {}: {}", key(name), flow(actual))));
        }
    }

    /// Whether each of the entries has its lines for itself.
    fn removable(&self, entries: &[Entry]) -> bool {
        entries.iter().all(|entry| self.text[self.line_start(entry)..start_of(entry)].trim().is_empty())
    }

    fn is_flow(&self, node: &Node) -> bool {
        self.text[node.span.start as usize..].starts_with(['{', '['])
    }

    /// Where a value ends: a collection in block style with its last value, and not with the comments behind it.
    fn end(&self, node: &Node) -> usize {
        let last = match &node.value {
            _ if self.is_flow(node) => None,
            Value::List(items) => items.last(),
            Value::Map(entries) => entries.last().map(|entry| &entry.value),
            _ => None,
        };
        last.map_or(node.span.end as usize, |last| self.end(last))
    }

    fn line_start(&self, entry: &Entry) -> usize {
        self.text[..start_of(entry)].rfind('\n').map_or(0, |i| i + 1)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |i| at + i)
    }

    fn column(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(at, |newline| at - newline - 1)
    }
}

fn start_of(entry: &Entry) -> usize {
    entry.key_span.start as usize
}

/// A value behind the colon of a key at that column: on the same line, or on lines below it.
fn below(json: &Json<'_>, column: usize) -> String {
    let line = flow(json);
    if is_scalar(json) || column + line.len() <= LINE_MAX {
        return format!(" {line}");
    }
    let column = column + INDENT;
    format!("\n{}{}", " ".repeat(column), block(json, column))
}

/// A value that starts at that column.
fn beside(json: &Json<'_>, column: usize) -> String {
    let line = flow(json);
    if is_scalar(json) || column + line.len() <= LINE_MAX { line } else { block(json, column) }
}

fn is_scalar(json: &Json<'_>) -> bool {
    match json {
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => true,
    }
}

/// In YAML's flow style, on one line.
fn flow(json: &Json<'_>) -> String {
    match json {
        Json::Object(members) if !members.is_empty() => {
            let members: Vec<_> =
                members.iter().map(|(name, v)| format!("{}: {}", key(name), flow(v))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::String(text) => key(text).into_owned(),
        scalar => scalar.to_string(),
    }
}

/// In YAML's block style, the first line without its indentation.
fn block(json: &Json<'_>, column: usize) -> String {
    let between = format!("\n{}", " ".repeat(column));
    match json {
        Json::Object(members) if !members.is_empty() => {
            let member =
                |(name, value): (&Cow<'_, str>, &Json<'_>)| format!("{}:{}", key(name), below(value, column));
            members.iter().map(member).collect::<Vec<_>>().join(&between)
        }
        Json::Array(items) if !items.is_empty() => {
            let item = |item: &Json<'_>| format!("- {}", beside(item, column + 2));
            items.iter().map(item).collect::<Vec<_>>().join(&between)
        }
        scalar => flow(scalar),
    }
}

/// Text as YAML writes it: plain where nobody could take it for anything else.
fn key(text: &str) -> Cow<'_, str> {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./ ".contains(c))
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(text));
    if plain { Cow::Borrowed(text) } else { Cow::Owned(Json::String(Cow::Borrowed(text)).to_string()) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use tidegate_core::Files;
    use tidegate_model::cases;

    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        let file = Files::default().add("t", text);
        let parsed = cases::parse(file, text);
        assert!(parsed.diagnostics.is_empty(), "{text}\n{:?}", parsed.diagnostics);
        parsed.value.into_iter().flat_map(|suite| suite.cases).flat_map(|case| case.steps).collect()
    }

    /// The text with its first expectations made into these.
    fn rewritten(text: &str, actual: &[&str]) -> String {
        let steps = steps(text);
        let actual: Vec<_> = actual.iter().map(|json| parse_json(json.as_bytes()).unwrap()).collect();
        let new = rewrite(text, &steps.iter().zip(&actual).collect::<Vec<_>>());
        for (step, actual) in self::steps(&new).iter().zip(&actual) {
            let written = step.expect.as_ref().unwrap().entry.value.to_json();
            assert!(matches(&parse_json(written.as_bytes()).unwrap(), actual), "{written} in\n{new}");
        }
        new
    }

    fn check(text: &str, actual: &[&str], expected: Expect) {
        expected.assert_eq(&rewritten(text, actual));
    }

    const CASE: &str = "\
cases:
  - name: a  # the first
    input: { payload: { t: 1 } }
    expect:  # as the manual says
      payload:
        # in Fahrenheit
        temperature: 212  # boiling
        list:
          - 1   # one
          - two
        'quoted key': \"x\"
      topic: a/b
  # the end
";

    #[test]
    fn only_what_differs_is_written() {
        let actual =
            r#"{"payload":{"temperature":100.5,"list":[1.0,"to: two"],"quoted key":"x"},"topic":"a/b"}"#;
        check(
            CASE,
            &[actual],
            expect![[r#"
            cases:
              - name: a  # the first
                input: { payload: { t: 1 } }
                expect:  # as the manual says
                  payload:
                    # in Fahrenheit
                    temperature: 100.5  # boiling
                    list:
                      - 1   # one
                      - "to: two"
                    'quoted key': "x"
                  topic: a/b
              # the end
        "#]],
        );
    }

    #[test]
    fn members_come_and_go_by_the_line() {
        let actual = r#"{"payload":{"temperature":212,"quoted key":{"a":[]},"new":{"deep":[1,{"x":null}]}},"topic":"true"}"#;
        check(
            CASE,
            &[actual],
            expect![[r#"
            cases:
              - name: a  # the first
                input: { payload: { t: 1 } }
                expect:  # as the manual says
                  payload:
                    # in Fahrenheit
                    temperature: 212  # boiling
                    'quoted key': { a: [] }
                    new: { deep: [1, { x: null }] }
                  topic: "true"
              # the end
        "#]],
        );
    }

    #[test]
    fn a_message_may_be_dropped_now_and_come_out_again() {
        let dropped = rewritten(CASE, &[r#"{"dropped":"filter"}"#]);
        assert!(dropped.ends_with("    expect: { dropped: filter }\n  # the end\n"), "{dropped}");
        let again = rewritten(&dropped, &[r#"{"payload":{"t":1}}"#]);
        assert!(again.ends_with("    expect: { payload: { t: 1 } }\n  # the end\n"), "{again}");
    }

    #[test]
    fn what_nobody_expected_is_added() {
        let text = "\
cases:
  - name: block
    input:
      payload: 1  # one
  - { name: flow, input: { payload: 1 } }
  - name: steps
    steps:
      - input: { payload: 1 }
      - { input: { payload: 2 } }";
        let long = format!(r#"{{"payload":{{"{}":1,"b":{{"c":[2]}}}}}}"#, "a".repeat(90));
        check(
            text,
            &[r#"{"payload":{"t":1}}"#, r#"{"payload":2}"#, &long, r#"{"dropped":"error"}"#],
            expect![[r#"
            cases:
              - name: block
                input:
                  payload: 1  # one
                expect: { payload: { t: 1 } }
              - { name: flow, input: { payload: 1 }, expect: { payload: 2 } }
              - name: steps
                steps:
                  - input: { payload: 1 }
                    expect:
                      payload:
                        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1
                        b: { c: [2] }
                  - { input: { payload: 2 }, expect: { dropped: error } }"#]],
        );
    }

    #[test]
    fn a_list_at_the_column_of_its_key_and_text_over_several_lines_give_way() {
        let text = "cases:\n- name: a\n  input: {payload: 1}\n  expect:\n    payload:\n    - 1\n    - b: |\n        x\n        y\n    topic: >-\n      a\n      b\n";
        check(
            text,
            &[r#"{"payload":[1,{"b":"z"}],"topic":"t"}"#],
            expect![[r#"
            cases:
            - name: a
              input: {payload: 1}
              expect:
                payload:
                - 1
                - b: z
                topic: t
        "#]],
        );
        check(
            text,
            &[r#"{"payload":{"a":1},"topic":"a b"}"#],
            expect![[r#"
            cases:
            - name: a
              input: {payload: 1}
              expect:
                payload: { a: 1 }
                topic: >-
                  a
                  b
        "#]],
        );
    }

    fn values() -> impl Strategy<Value = String> {
        let text = "[ -~äöü€\n\t]{0,6}".prop_map(|text| Json::String(text.into()).to_string());
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            text.clone(),
            Just("\"yes\"".to_owned()),
            Just("\"1.5\"".to_owned()),
        ];
        leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::btree_map(text.clone(), inner, 0..4).prop_map(|members| {
                    let members: Vec<_> =
                        members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_payload_can_take_the_place_of_any_other(old in values(), new in values(), other in values(), style in 0..3) {
            let wrapped = |value: &str| format!(r#"{{"payload":{value},"topic":"t"}}"#);
            let (old, new) = (wrapped(&old), wrapped(&new));
            let json = parse_json(old.as_bytes()).unwrap();
            let expect = match style {
                0 => format!("    expect: {}", flow(&json)),
                1 => format!("    expect:\n      {}", block(&json, 6)),
                _ => format!("    expect: {old}"),
            };
            let text = format!("cases:\n  - name: a\n    input: {{ payload: {other} }}\n{expect}\n  - name: b\n    input: {{ payload: 1 }}\n");
            let text = rewritten(&text, &[&new, &old]);
            rewritten(&text, &[&old, &new]);
        }
    }
}
