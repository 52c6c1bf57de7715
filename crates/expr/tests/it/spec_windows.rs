//! Windows of data flow graphs.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::Properties;
use tidegate_expr::{
    AccumulateRule, Boundary, Limit, Message, Part, TriggerRule, Window, WindowFinding, WindowRules, Windower,
};

use crate::support::{assert_same, map_rule, text};

/// Rules in one line each: `in1, in2 :: formula => output`.
fn accumulate(rules: &[&str]) -> Vec<AccumulateRule> {
    rules
        .iter()
        .map(|rule| {
            let rule = map_rule(rule);
            let expression = rule.expression.unwrap_or_default();
            AccumulateRule { inputs: rule.inputs, output: rule.output, expression, description: None }
        })
        .collect()
}

fn trigger(inputs: &[&str], formula: &str, boundary: Boundary) -> TriggerRule {
    TriggerRule {
        inputs: inputs.iter().map(|input| (*input).into()).collect(),
        trigger: formula.into(),
        boundary,
    }
}

fn limit(max: u64, boundary: Boundary) -> Option<Limit> {
    Some(Limit { max: NonZeroU64::new(max).unwrap(), boundary })
}

fn windower(rules: WindowRules) -> Windower {
    match Window::compile(rules) {
        Ok((window, _)) => Windower::new(Arc::new(window)),
        Err(findings) => panic!("{findings:#?}"),
    }
}

fn rejected(rules: WindowRules) -> Vec<WindowFinding> {
    match Window::compile(rules) {
        Ok((window, _)) => panic!("accepted: {window:?}"),
        Err(findings) => findings,
    }
}

/// What closes with this message, or `open`; `failed` of what can't be computed, `dropped` of the message itself.
fn push(windower: &mut Windower, payload: &str) -> String {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    let message = Message { payload: &payload, topic: "plant/a", properties: &Properties::default() };
    match windower.push(message) {
        Ok(None) => "open".into(),
        Ok(Some(Ok(payload))) => text(&payload),
        Ok(Some(Err(_))) => "failed".into(),
        Err(_) => "dropped".into(),
    }
}

/// The message made of these.
fn window_of(rules: &[&str], messages: &[&str]) -> String {
    let mut windower = windower(WindowRules { accumulate: accumulate(rules), ..WindowRules::default() });
    for message in messages {
        assert_eq!(push(&mut windower, message), "open");
    }
    match windower.close() {
        None => "nothing".into(),
        Some(Ok(payload)) => text(&payload),
        Some(Err(failure)) => failure.to_string(),
    }
}

#[test]
fn g_aggregations() {
    for (case, rules, messages, expected) in [
        (
            "G01",
            &[
                "t :: average($1) => avgTemperature",
                "t :: min($1) => minTemperature",
                "t :: max($1) => maxTemperature",
                "t :: count($1) => readingCount",
                "t :: max($1) - min($1) => tempRange",
                "t :: first($1) => ends.first",
                "t :: last($1) => ends.last",
            ][..],
            &[r#"{"t":21.5}"#, r#"{"t":23.0}"#, r#"{"t":19.8}"#][..],
            r#"{"avgTemperature":21.433333333333334,"minTemperature":19.8,"maxTemperature":23.0,
                "readingCount":3,"tempRange":3.1999999999999993,"ends":{"first":21.5,"last":19.8}}"#,
        ),
        (
            "G02",
            &["v :: sum($1) => s", "v :: average($1) => a", "v :: count($1) => n", "v :: last($1) => l"],
            &[r#"{"v":1}"#, r#"{"v":"x"}"#, "{}", r#"{"v":3}"#],
            r#"{"s":4.0,"a":2.0,"n":3,"l":3}"#,
        ),
        ("G03", &["v :: sum($1) => s", "v :: count($1) => n"], &["{}"], r#"{"s":0.0,"n":0}"#),
        (
            "G03",
            &["v :: average($1) => a"],
            &["{}"],
            "accumulate rule 1: `average(v)`: there is no number in the window",
        ),
        ("G03*", &["v :: count($1) => n"], &[r#"{"v":null}"#], r#"{"n":0}"#),
        ("G03*", &["v :: if(count($1) > 0, average($1), 0) => a"], &["{}"], r#"{"a":0}"#),
        ("G04", &["c :: cToF(average($1)) => f"], &[r#"{"c":20}"#, r#"{"c":30}"#], r#"{"f":77.0}"#),
        ("G04", &["a, b :: average($1) + max($2) => x"], &[r#"{"a":1,"b":7}"#], r#"{"x":8.0}"#),
        (
            "types",
            &["v :: min($1) => lo", "v :: max($1) => hi"],
            &[r#"{"v":2}"#, r#"{"v":2.5}"#],
            r#"{"lo":2,"hi":2.5}"#,
        ),
        ("texts", &["v :: first($1) + last($1) => x"], &[r#"{"v":"a"}"#, r#"{"v":"b"}"#], r#"{"x":"ab"}"#),
        ("arrays", &["v :: max(last($1)) => x"], &[r#"{"v":[1,9]}"#], r#"{"x":9}"#),
        ("none", &["v :: count($1) => n"], &[], "nothing"),
    ] {
        assert_same(&window_of(rules, messages), expected, &format!("{case} {rules:?}"));
    }
}

/// G04, and what else an accumulate rule can't have.
#[test]
fn g04_rules_that_do_not_aggregate_are_rejected() {
    for (rule, part, said) in [
        ("a, b :: average($1 + $2) => x", Part::Expression, "takes one of the rule's inputs"),
        ("a :: $1 => x", Part::Expression, "functions over the window"),
        ("a :: average($1) + $1 => x", Part::Expression, "`$1` has many values in a window"),
        ("a :: average(average($1)) => x", Part::Expression, "takes one of the rule's inputs"),
        ("a :: average($2) => x", Part::Expression, "`$2` is beyond the rule's only input"),
        ("a :: count() => x", Part::Expression, "takes one of the rule's inputs"),
        ("a :: running_sum($1) => x", Part::Expression, "no function `running_sum`"),
        (
            "a :: str::regex_matches(last($1), \"x\") => x",
            Part::Expression,
            "does not exist in accumulate rules",
        ),
        ("a.* :: sum($1) => x", Part::Input(0), "no `*`"),
        ("a ?? 0 :: sum($1) => x", Part::Input(0), "no `? $last` and no `??`"),
        ("$metadata.topic :: last($1) => x", Part::Input(0), "no metadata"),
        ("$context(d).a :: sum($1) => x", Part::Input(0), "no dataset"),
        ("a :: sum($1) => $metadata.topic", Part::Output, "writes a field"),
        ("a :: sum($1) => ∅", Part::Output, "writes a field"),
    ] {
        let findings = rejected(WindowRules { accumulate: accumulate(&[rule]), ..WindowRules::default() });
        assert_eq!(findings[0].part, part, "{rule}: {findings:?}");
        assert!(findings[0].error.message.contains(said), "{rule}: {findings:?}");
    }
    let twice = accumulate(&["a :: sum($1) => x", "a :: count($1) => x"]);
    let findings = rejected(WindowRules { accumulate: twice, ..WindowRules::default() });
    assert_eq!(findings[0].error.message, "another rule writes this field");
}

#[test]
fn g_triggers_close_windows() {
    let statistics = ["t :: average($1) => mean", "t :: count($1) => n", "t :: max($1) - min($1) => range"];
    let run = |trigger: TriggerRule, messages: &[(&str, &str)]| {
        let shown = format!("{trigger:?}");
        let mut windower = windower(WindowRules {
            triggers: vec![trigger],
            accumulate: accumulate(&statistics),
            ..WindowRules::default()
        });
        for (payload, expected) in messages {
            assert_same(&push(&mut windower, payload), expected, &format!("{shown} on {payload}"));
        }
    };
    let sum = "running_sum($1) + $1 > 100";
    // G05
    run(
        trigger(&["t"], sum, Boundary::Current),
        &[
            (r#"{"t":40}"#, "open"),
            (r#"{"t":35}"#, "open"),
            (r#"{"t":30}"#, r#"{"mean":35.0,"n":3,"range":10}"#),
            (r#"{"t":99}"#, "open"),
        ],
    );
    // the message that closes the window opens the next one, and counts there
    run(
        trigger(&["t"], sum, Boundary::Next),
        &[
            (r#"{"t":200}"#, "open"),
            (r#"{"t":1}"#, r#"{"mean":200.0,"n":1,"range":0}"#),
            (r#"{"t":99.5}"#, r#"{"mean":1.0,"n":1,"range":0}"#),
        ],
    );
    let one = r#"{"mean":1.0,"n":1,"range":0}"#;
    for (formula, first, second) in [
        ("changed($1)", "open", "open"),
        ("running_count() >= 1", "open", r#"{"mean":1.0,"n":2,"range":0}"#),
        ("running_count($1) == 0", one, one),
        ("running_avg($1) == 0.0", one, one),
        ("running_min($1) == $1 && running_max($1) == $1 && first($1) == $1 && prev($1) == $1", one, one),
        ("str::regex_matches(str::from($1), \"^1\")", one, one),
        ("$1 + 1", "rejected", "rejected"),
        ("if($1 == 1, \"yes\", true)", "dropped", "dropped"),
        ("() + $1 == 1", "dropped", "dropped"),
    ] {
        let trigger = trigger(&["t"], formula, Boundary::Current);
        if first == "rejected" {
            let findings = rejected(WindowRules { triggers: vec![trigger], ..WindowRules::default() });
            assert_eq!(findings[0].part, Part::Expression, "{formula}");
        } else {
            run(trigger, &[(r#"{"t":1}"#, first), (r#"{"t":1}"#, second)]);
        }
    }
    // a missing value is neither a change nor forgotten
    run(
        trigger(&["t"], "changed($1)", Boundary::Next),
        &[
            (r#"{"t":1}"#, "open"),
            ("{}", "open"),
            (r#"{"t":1}"#, "open"),
            (r#"{"t":2}"#, r#"{"mean":1.0,"n":2,"range":0}"#),
        ],
    );
    run(
        trigger(&["$metadata.topic", "t ? $last ?? 7"], "$1 == \"plant/a\" && $2 == 7", Boundary::Current),
        &[("{}", "failed"), (r#"{"t":1}"#, "open"), ("{}", "open")],
    );
}

#[test]
fn windows_close_by_memory_then_count_then_trigger() {
    let rules = WindowRules {
        memory: limit(40, Boundary::Next),
        count: limit(3, Boundary::Current),
        triggers: vec![trigger(&["v"], "$1 < 0", Boundary::Current)],
        accumulate: accumulate(&["v :: count($1) => n", "v :: last($1) => v"]),
    };
    let mut windower = windower(rules);
    for (payload, expected) in [
        (r#"{"v":1}"#, "open"),
        (r#"{"v":2}"#, "open"),
        (r#"{"v":3}"#, r#"{"n":3,"v":3}"#),
        (r#"{"v":-4}"#, r#"{"n":1,"v":-4}"#),
        (r#"{"v":5}"#, "open"),
        ("[1]", "dropped"),
        ("{", "dropped"),
        (r#"{"v":6,"long":"01234567890123456789"}"#, r#"{"n":1,"v":5}"#),
        // with the long one from before, whatever the count
        (r#"{"v":7}"#, r#"{"n":1,"v":6}"#),
    ] {
        assert_same(&push(&mut windower, payload), expected, payload);
    }
    assert_eq!(text(&windower.close().unwrap().unwrap()), r#"{"n":1,"v":7}"#);
    assert!(windower.close().is_none());
}
