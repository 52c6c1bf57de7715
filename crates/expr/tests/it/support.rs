//! Rules in one line, messages as JSON.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::{Properties, PropertiesBuilder, Property};
use tidegate_expr::{
    Dataset, DatasetRule, FilterRule, Finding, Host, Json, MapRule, Message, Outcome, Passed, Rules,
    Semantics, Transform, Transformer, parse_json,
};

/// `in1, in2 :: formula => output`; no formula is a copy, no input is written `[]`, no output `∅`.
pub(crate) fn map_rule(text: &str) -> MapRule {
    let (rest, output) = text.rsplit_once(" => ").expect("an output");
    let (inputs, expression) = inputs_and_formula(rest);
    MapRule {
        inputs, expression, output: if output == "∅" { "" } else { output }.into(), description: None
    }
}

/// `in1, in2 :: formula`.
pub(crate) fn filter_rule(text: &str) -> FilterRule {
    let (inputs, expression) = inputs_and_formula(text);
    FilterRule { inputs, expression: expression.unwrap_or_default(), description: None }
}

pub(crate) fn dataset_rule(key: &str, text: &str) -> DatasetRule {
    let (inputs, expression) = inputs_and_formula(text);
    DatasetRule { key: key.into(), inputs, expression }
}

fn inputs_and_formula(text: &str) -> (Vec<String>, Option<String>) {
    let (inputs, formula) = match text.split_once(":: ") {
        Some((inputs, formula)) => (inputs.trim_end_matches(' '), Some(formula.to_owned())),
        None => (text, None),
    };
    let inputs = if inputs == "[]" { Vec::new() } else { inputs.split(", ").map(String::from).collect() };
    (inputs, formula)
}

pub(crate) fn map_rules(rules: &[&str]) -> Rules {
    Rules { maps: rules.iter().map(|r| map_rule(r)).collect(), ..Rules::default() }
}

pub(crate) fn graph() -> Semantics {
    Semantics { host: Host::Graph, ..Semantics::default() }
}

/// The errors of rules that must not compile.
pub(crate) fn rejected(rules: Rules, semantics: Semantics) -> Vec<Finding> {
    match Transform::compile(rules, semantics) {
        Ok((transform, _)) => panic!("accepted: {:?}", transform.rules()),
        Err(findings) => findings,
    }
}

/// A transformation under test.
pub(crate) struct Bench {
    pub(crate) transformer: Transformer,
}

impl Bench {
    pub(crate) fn new(rules: Rules, semantics: Semantics) -> Self {
        let shown = format!("{rules:?}");
        match Transform::compile(rules, semantics) {
            Ok((transform, _)) => Self { transformer: Transformer::new(Arc::new(transform)) },
            Err(findings) => panic!("{shown}: {findings:#?}"),
        }
    }

    pub(crate) fn dataset(mut self, key: &str, lines: &str) -> Self {
        let (dataset, bad) = Dataset::parse(Bytes::copy_from_slice(lines.as_bytes()));
        assert_eq!(bad, []);
        self.transformer.set_dataset(key, &dataset);
        self
    }

    pub(crate) fn outcome(&mut self, payload: &str) -> Outcome {
        self.outcome_of(payload, "plant/a/t1", &[("asset", "p7"), ("weird key", "w")])
    }

    pub(crate) fn outcome_of(&mut self, payload: &str, topic: &str, properties: &[(&str, &str)]) -> Outcome {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let properties = properties_of(properties);
        self.transformer.apply(Message { payload: &payload, topic, properties: &properties })
    }

    pub(crate) fn passed(&mut self, payload: &str) -> Passed {
        match self.outcome(payload) {
            Outcome::Pass(passed) => passed,
            other => panic!("{payload}: {other:?}"),
        }
    }

    /// What becomes of a message, in a word: the payload, `filtered` or `failed`.
    pub(crate) fn result(&mut self, payload: &str) -> String {
        match self.outcome(payload) {
            Outcome::Pass(passed) => text(&passed.payload),
            Outcome::Filtered { .. } => "filtered".into(),
            Outcome::Failed(_) => "failed".into(),
        }
    }
}

pub(crate) fn properties_of(properties: &[(&str, &str)]) -> Properties {
    let mut builder = PropertiesBuilder::default();
    for (name, value) in properties {
        assert!(builder.push(Property::UserProperty(name, value)));
    }
    builder.build().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares results as JSON, numbers by value, or as the words they are.
#[track_caller]
pub(crate) fn assert_same(result: &str, expected: &str, context: &str) {
    let same = match (parse_json(result.as_bytes()), parse_json(expected.as_bytes())) {
        (Ok(a), Ok(b)) => same_json(&a, &b),
        _ => result == expected,
    };
    assert!(same, "{context}\n  result: {result}\nexpected: {expected}");
}

pub(crate) fn same_json(a: &Json<'_>, b: &Json<'_>) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            let number = |text: &str| text.parse::<f64>().unwrap();
            a == b || (number(a) - number(b)).abs() <= 1e-9 * number(a).abs().max(1.0)
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same_json(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Runs rules on a sequence of messages in a data flow graph.
#[track_caller]
pub(crate) fn check_maps(case: &str, rules: &[&str], messages: &[(&str, &str)]) {
    check_maps_with(case, rules, graph(), messages);
}

#[track_caller]
pub(crate) fn check_maps_with(case: &str, rules: &[&str], semantics: Semantics, messages: &[(&str, &str)]) {
    let mut bench = Bench::new(map_rules(rules), semantics);
    for (payload, expected) in messages {
        assert_same(&bench.result(payload), expected, &format!("{case} {rules:?} on {payload}"));
    }
}
