//! Test files: what they may say, and what is said of them.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use tidegate_core::Files;
use tidegate_model::cases::{Fate, Records, Suite, parse};

use crate::support::report;

fn suites(text: &str) -> (Vec<Suite>, String) {
    let mut files = Files::default();
    let file = files.add("press.test.yaml", text);
    let parsed = parse(file, text);
    (parsed.value, report(&files, &parsed.diagnostics))
}

fn check(text: &str, expected: Expect) {
    let (suites, said) = suites(text);
    expected.assert_eq(&said);
    assert_eq!(suites.len(), usize::from(said.is_empty()), "what has an error is left out");
}

#[test]
fn a_test_file_says_what_goes_in_and_what_comes_out() {
    let (suites, said) = suites(
        r#"
flow: press-clean
resources: [../flows, more.yaml]
datasets:
  assets: [{id: p7, site: 1.50}, {id: p8}]
  limits: limits.jsonl
cases:
  - name: one message
    input: {"stage":"source","topic":"a","payload":{"t":.5},"userProperties":[["k","v"]],"timestamp":"2026-01-01T00:00:00Z"}
    expect: {payload: null, topic: b, userProperties: {k: v, l: null, m: [a, b]}, contentType: null}
  - name: several
    steps:
      - input: {payload: 1}
        expect: {dropped: filter}
      - input: {payload: 2}
        expect: {dropped: error, reason: division}
      - input: {payload: 3}
---
cases: [{name: only one flow, input: {payload: 1}, expect: {userProperties: [[k, v]]}}]
"#,
    );
    assert_eq!(said, "");
    let [first, second] = suites.as_slice() else { panic!("{suites:?}") };
    assert_eq!(first.flow.as_ref().unwrap().as_str(), "press-clean");
    assert!(second.flow.is_none());
    assert_eq!(first.resources.iter().map(|r| r.as_str()).collect::<Vec<_>>(), ["../flows", "more.yaml"]);
    let Records::Here(lines) = &first.datasets[0].records else { panic!("they stand in the file") };
    assert_eq!(lines, "{\"id\":\"p7\",\"site\":1.50}\n{\"id\":\"p8\"}\n");
    assert!(matches!(&first.datasets[1].records, Records::File(name) if name.as_str() == "limits.jsonl"));
    assert_eq!(
        first.cases[0].steps[0].input.value.to_json(),
        r#"{"stage":"source","topic":"a","payload":{"t":0.5},"userProperties":[["k","v"]],"timestamp":"2026-01-01T00:00:00Z"}"#
    );
    let fates: Vec<_> =
        first.cases[1].steps.iter().map(|step| step.expect.as_ref().map(|e| e.fate.clone())).collect();
    let failed = Fate::Failed { reason: Some("division".into()) };
    assert_eq!(fates, [Some(Fate::Filtered), Some(failed), None]);
}

#[test]
fn misspelt_fields_are_errors_at_their_place() {
    check(
        "\
folw: press-clean
cases:
  - name: hot
    inptu: { payload: 1 }
    input: { paylod: 1, topik: a }
    expect: { payload: 1, contenttype: a, colour: red }
",
        expect![[r#"
            error TG0110 1:1 there is no field `folw` here
                help: did you mean `flow`?
            error TG0110 4:5 there is no field `inptu` here
                help: did you mean `input`?
            error TG0110 5:14 there is no field `paylod` here
                help: did you mean `payload`?
            error TG0110 5:25 there is no field `topik` here
                help: did you mean `topic`?
            error TG0110 6:27 there is no field `contenttype` here
                help: did you mean `contentType`?
            error TG0110 6:43 there is no field `colour` here
                help: there is `dropped`, `reason`, `payload`, `payloadBase64`, `topic`, `userProperties` and `contentType`
        "#]],
    );
}

#[test]
fn what_can_not_be_expected_is_said() {
    check(
        "\
cases:
  - name: two fates
    input: { payload: 1 }
    expect: { dropped: filter, topic: a }
  - name: a reason for success
    input: { payload: 1 }
    expect: { reason: because }
  - name: two payloads
    input: { payload: 1 }
    expect: { payload: 1, payloadBase64: MQ== }
  - name: unknown fate
    input: { payload: 1 }
    expect: { dropped: filtered }
  - name: a number that JSON lacks
    input: { payload: [.inf, { a: 1e400 }] }
  - name: properties
    input: { payload: 1 }
    expect: { userProperties: { a: 1, b: [c, 2] }, contentType: 3 }
  - name: pairs
    input: { payload: 1 }
    expect: { userProperties: [[a]] }
",
        expect![[r#"
            error TG0601 4:32 of a message that is dropped nothing else can be expected
            error TG0601 7:23 `reason` goes with `dropped: error` only
            error TG0601 10:42 a message has `payload` or `payloadBase64`, not both
            error TG0113 13:24 `filtered` is not `filter` or `error`
                help: did you mean `filter`?
            error TG0601 15:24 JSON can't write the number .inf
            error TG0601 15:35 JSON can't write the number 1e400
            error TG0112 18:36 expected text or null, found a number
            error TG0112 18:46 expected text, found a number
                help: write "2"
            error TG0112 18:65 expected text or null, found a number
            error TG0112 21:33 expected a pair, `[name, value]`, found a list
        "#]],
    );
}

#[test]
fn a_case_has_a_name_and_a_message() {
    check(
        "\
datasets: { a: [1], b: 2 }
cases:
  - input: { payload: 1 }
  - name: nothing goes in
  - name: twice
    input: { payload: 1 }
    steps: [{ input: { payload: 1 } }]
  - name: expected of none
    steps: [{ input: { payload: 1 } }]
    expect: {}
  - name: no steps
    steps: []
",
        expect![[r#"
            error TG0112 1:17 expected an object, as a record is one, found a number
            error TG0112 1:24 expected a list of objects, or the name of a file of JSON Lines, found a number
            error TG0111 3:5 `name` is missing
                help: write `name` with text: what the case shows
            error TG0601 4:5 this case has no message
                help: write it under `input`, or several under `steps`
            error TG0601 7:12 a case has `input` or `steps`, not both
            error TG0601 10:5 with `steps`, each step has its own `expect`
            error TG0601 12:12 there are no steps here
        "#]],
    );
    check(
        "# nothing\n",
        expect![[r#"
        error TG0601 1:1 there are no test cases in this file
    "#]],
    );
    check(
        "cases: []\n",
        expect![[r#"
        error TG0601 1:8 there are no cases here
    "#]],
    );
    check(
        "cases: [\n",
        expect![[r#"
        error TG0001 2:1 invalid YAML: while parsing a node, did not find expected node content
    "#]],
    );
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "((cases|name|input|expect|steps|dropped|payload|userProperties): ?|[-\\[\\]{},.0-9a-z \n])*") {
        suites(&text);
    }
}
