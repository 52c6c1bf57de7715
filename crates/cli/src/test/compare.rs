//! What is expected beside what came out.

use std::borrow::Cow;

use tidegate_expr::{Json, Object};

/// How far numbers may be apart, as a part of the larger one, or of 1: floats come with noise in the last digits.
const TOLERANCE: f64 = 1e-9;
/// Cells of the table a difference is searched in; beyond that all lines count as different.
const CELLS_MAX: usize = 16 << 20;

/// Whether `actual` is what is expected. The order of members makes no difference, nor how a number is written.
pub(super) fn matches(expected: &Json<'_>, actual: &Json<'_>) -> bool {
    match (expected, actual) {
        (Json::Number(a), Json::Number(b)) => numbers_match(a, b),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(expected, actual)| matches(expected, actual))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|actual| matches(value, actual)))
        }
        (a, b) => a == b,
    }
}

fn numbers_match(a: &str, b: &str) -> bool {
    if let (Ok(a), Ok(b)) = (a.parse::<i64>(), b.parse::<i64>()) {
        return a == b;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0),
        _ => a == b,
    }
}

/// What is expected, written as what came out wherever they match: members in the same order, numbers with the same
/// digits. So their lines differ only where it matters.
pub(super) fn aligned<'a>(expected: &'a Json<'a>, actual: &'a Json<'a>) -> Json<'a> {
    match (expected, actual) {
        (expected, actual) if matches(expected, actual) => actual.clone(),
        (Json::Array(a), Json::Array(b)) => {
            let both = a.iter().zip(b).map(|(expected, actual)| aligned(expected, actual));
            Json::Array(both.chain(a.iter().skip(b.len()).cloned()).collect())
        }
        (Json::Object(a), Json::Object(b)) => {
            let mut members: Object<'a> = Object::default();
            for (name, actual) in b {
                if let Some(expected) = a.get(name) {
                    members.insert(Cow::Borrowed(name), aligned(expected, actual));
                }
            }
            for (name, expected) in a {
                if !b.contains_key(name) {
                    members.insert(Cow::Borrowed(name), expected.clone());
                }
            }
            Json::Object(members)
        }
        (expected, _) => expected.clone(),
    }
}

/// JSON over several lines: a line for each member, and for each element of an array that holds arrays or objects.
pub(super) fn pretty(json: &Json<'_>) -> String {
    let mut text = String::new();
    write(json, 0, &mut text);
    text
}

fn write(json: &Json<'_>, depth: usize, text: &mut String) {
    let line = |depth: usize, text: &mut String| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    match json {
        Json::Object(members) if !members.is_empty() => {
            text.push('{');
            for (i, (name, value)) in members.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                line(depth + 1, text);
                text.push_str(&Json::String(Cow::Borrowed(name)).to_string());
                text.push_str(": ");
                write(value, depth + 1, text);
            }
            line(depth, text);
            text.push('}');
        }
        Json::Array(items) if items.iter().any(|i| matches!(i, Json::Array(_) | Json::Object(_))) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                line(depth + 1, text);
                write(item, depth + 1, text);
            }
            line(depth, text);
            text.push(']');
        }
        _ => text.push_str(&json.to_string()),
    }
}

/// A line, and on which side it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Both(&'a str),
    Expected(&'a str),
    Actual(&'a str),
}

/// The lines of both texts in one sequence, as many as possible of them on both sides.
pub(super) fn diff<'a>(expected: &'a str, actual: &'a str) -> Vec<Line<'a>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_a, middle_b) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut lines: Vec<_> = a[..head].iter().map(|line| Line::Both(line)).collect();
    between(middle_a, middle_b, &mut lines);
    lines.extend(a[a.len() - tail..].iter().map(|line| Line::Both(line)));
    lines
}

/// By the table of longest common subsequences.
fn between<'a>(a: &[&'a str], b: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = b.len() + 1;
    let mut common = vec![0u32; 0];
    let known = (a.len() + 1).saturating_mul(width) <= CELLS_MAX;
    if known {
        common.resize((a.len() + 1) * width, 0);
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                common[i * width + j] = if a[i] == b[j] {
                    common[(i + 1) * width + j + 1] + 1
                } else {
                    common[(i + 1) * width + j].max(common[i * width + j + 1])
                };
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if known && i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(Line::Both(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len()
            && (j == b.len() || !known || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            lines.push(Line::Expected(a[i]));
            i += 1;
        } else {
            lines.push(Line::Actual(b[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_expr::parse_json;

    use super::*;

    fn json(text: &str) -> Json<'_> {
        parse_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_match_by_value_and_members_by_name() {
        for (a, b, expected) in [
            ("212", "212.0", true),
            ("70.7", "70.70000000000002", true),
            ("0", "5e-17", true),
            ("1e3", "1000", true),
            ("9007199254740993", "9007199254740992", false),
            ("1", "\"1\"", false),
            ("21.5", "21.6", false),
            (r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false),
            ("[1,2]", "[2,1]", false),
            ("null", "{}", false),
        ] {
            assert_eq!(matches(&json(a), &json(b)), expected, "{a} {b}");
            assert_eq!(matches(&json(b), &json(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_what_matters_differs() {
        let expected = json(r#"{"x":1,"temperature":212,"list":[1,{"a":1}],"gone":true}"#);
        let actual = json(r#"{"temperature":212.0,"list":[1,{"a":2}],"x":1.0,"new":[1,2]}"#);
        let (expected, actual) = (pretty(&aligned(&expected, &actual)), pretty(&actual));
        let shown: Vec<_> = diff(&expected, &actual)
            .iter()
            .map(|line| match line {
                Line::Both(text) => format!("  {text}"),
                Line::Expected(text) => format!("- {text}"),
                Line::Actual(text) => format!("+ {text}"),
            })
            .collect();
        let wanted = [
            "  {",
            "    \"temperature\": 212.0,",
            "    \"list\": [",
            "      1,",
            "      {",
            "-       \"a\": 1",
            "+       \"a\": 2",
            "      }",
            "    ],",
            "    \"x\": 1.0,",
            "-   \"gone\": true",
            "+   \"new\": [1,2]",
            "  }",
        ];
        assert_eq!(shown, wanted);
    }

    proptest! {
        #[test]
        fn a_difference_holds_both_sides(a in "[ab\n]{0,20}", b in "[ab\n]{0,20}") {
            let lines = diff(&a, &b);
            let side = |wanted: fn(&Line<'_>) -> bool| -> Vec<String> {
                lines
                    .iter()
                    .filter(|line| wanted(line))
                    .map(|(Line::Both(text) | Line::Expected(text) | Line::Actual(text))| text.to_string())
                    .collect()
            };
            prop_assert_eq!(side(|line| !matches!(line, Line::Actual(_))), a.lines().collect::<Vec<_>>());
            prop_assert_eq!(side(|line| !matches!(line, Line::Expected(_))), b.lines().collect::<Vec<_>>());
            if a.lines().eq(b.lines()) {
                prop_assert!(lines.iter().all(|line| matches!(line, Line::Both(_))));
            }
        }
    }
}
