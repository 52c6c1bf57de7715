//! `test`, as users run it. What its page shows is run with the page.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run;
use crate::transform::{flow, folder};

const RULES: &str = "
filter: [{ inputs: [t], expression: $1 < 0 }]
map: [{ inputs: [t], output: t, expression: cToF($1) }, { inputs: [l ? $last], output: l }]";

/// A folder with a data flow, and a test file with these cases.
fn with_cases(cases: &str) -> TempDir {
    folder(&[
        ("flow.yaml", &flow("press", "plant/press", RULES, "factory/press")),
        ("press.test.yaml", &format!("flow: press\ncases:\n{cases}")),
    ])
}

fn test(dir: &TempDir, args: &[&str]) -> (String, Option<i32>) {
    let said = run(&[&["test", dir.path().to_str().unwrap()], args].concat());
    assert_eq!(said.stderr, "");
    (said.stdout.replace(&format!("{}/", dir.path().display()), ""), said.code)
}

#[test]
fn cases_pass_or_fail_with_what_differs() {
    let dir = with_cases(
        "  - { name: hot, input: { payload: { t: 100 } }, expect: { payload: { t: 212 }, topic: factory/press } }
  - { name: cold, input: { payload: { t: 0 } }, expect: { payload: { t: 33, x: 1 }, topic: factory/pres } }
  - { name: frozen, input: { payload: { t: -1 } }, expect: { dropped: filter } }
  - { name: none, input: { payload: {} }, expect: { dropped: error, reason: is missing } }
",
    );
    let (said, code) = test(&dir, &[]);
    assert_eq!(
        said,
        r#"ok    press.test.yaml:3: hot
FAIL  press.test.yaml:4: cold
        {
          "payload": {
      -     "t": 33,
      -     "x": 1
      +     "t": 32.0
          },
      -   "topic": "factory/pres"
      +   "topic": "factory/press"
        }
ok    press.test.yaml:5: frozen
ok    press.test.yaml:6: none
1 file, 4 cases: 3 passed, 1 failed (- expected, + what came out)
"#
    );
    assert_eq!(code, Some(1));
    let (said, _) = test(&dir, &["--quiet"]);
    assert!(said.starts_with("FAIL") && !said.contains("ok  "), "{said}");
    let (said, _) = test(&dir, &["--color", "always"]);
    assert!(said.contains("\u{1b}[31m- ") && said.contains("\u{1b}[32m+ "), "{said}");
}

#[test]
fn programs_get_what_was_expected_and_what_came_out() {
    let dir = with_cases(
        "  - name: two
    steps:
      - { input: { payload: { t: 100 } }, expect: { payload: { t: 212 } } }
      - { input: { payload: { t: 0 } }, expect: { dropped: filter } }
      - { input: { payload: { t: 0, l: 1 } } }
",
    );
    let (said, code) = test(&dir, &["--output", "json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        report["summary"],
        json!({"files": 1, "cases": 1, "passed": 0, "failed": 1, "updated": 0, "errors": 0})
    );
    assert_eq!(
        report["cases"],
        json!([{
            "file": "press.test.yaml", "line": 3, "name": "two", "passed": false,
            "failures": [
                { "step": 2, "expected": { "dropped": "filter" }, "actual": { "payload": { "t": 32.0 } } },
                { "step": 3, "expected": null, "actual": { "payload": { "t": 32.0, "l": 1 } } },
            ],
        }])
    );
    assert_eq!((&report["diagnostics"], code), (&json!([]), Some(1)));
}

#[test]
fn topic_properties_and_content_type_can_be_expected() {
    let message = "topic: plant/press, payload: { t: 0 }, userProperties: [[a, '1'], [b, x], [a, '2']], contentType: text/plain";
    let case = |expect: &str| {
        format!(
            "  - {{ name: {:?}, input: {{ {message} }}, expect: {{ {expect} }} }}\n",
            format!("with {expect}")
        )
    };
    let good = [
        "",
        "userProperties: { b: x }",
        "userProperties: { a: ['1', '2'], c: null }",
        "userProperties: [[a, '1'], [b, x], [a, '2']]",
        "contentType: text/plain",
        "topic: factory/press",
        "payload: { t: 32 }",
    ];
    let (said, code) = test(&with_cases(&good.map(case).concat()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let bad = [
        "userProperties: { b: null }",
        "userProperties: { a: '1' }",
        "userProperties: [[a, '1'], [b, x]]",
        "contentType: null",
        "topic: plant/press",
        "payload: {}",
        "payloadBase64: e30=",
        "dropped: filter",
        "dropped: error",
    ];
    let (said, code) = test(&with_cases(&bad.map(case).concat()), &[]);
    assert_eq!((said.matches("FAIL").count(), code), (bad.len(), Some(1)), "{said}");
}

#[test]
fn every_field_of_a_message_can_go_in_and_bytes_come_out() {
    let message = r#"{"stage":"source","topic":"a","payloadBase64":"/w==","userProperties":[["k","v"]],"contentType":"c","responseTopic":"r","correlationDataBase64":"AQ==","payloadFormatIndicator":1,"messageExpiryInterval":9,"retain":true,"keyBase64":"aw==","timestamp":"2026-03-01T00:00:00Z","headers":[]}"#;
    let dir = folder(&[
        ("flow.yaml", &flow("copy", "a", "", "b")),
        (
            "a.test.yml",
            &format!(
                "cases:\n- name: bytes\n  input: {message}\n  expect: {{ payloadBase64: /w==, topic: b }}\n"
            ),
        ),
    ]);
    let (said, code) = test(&dir, &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn misspelt_fields_and_impossible_messages_are_diagnostics_at_their_place() {
    let dir =
        with_cases("  - name: hot\n    input: { payload: { t: 1 } }\n    expcet: { dropped: filter }\n");
    let (said, code) = test(&dir, &[]);
    for expected in [
        "error[TG0110]: there is no field `expcet` here",
        "--> press.test.yaml:5:5",
        "did you mean `expect`?",
        "1 file, 0 cases: 0 passed, 1 error",
    ] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    assert_eq!(code, Some(1));
    let dir = with_cases("  - name: hot\n    input: { topic: a }\n");
    let (said, code) = test(&dir, &["--output", "json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    let diagnostic = &report["diagnostics"][0];
    assert_eq!(diagnostic["message"], "this is no message: it has neither `payload` nor `payloadBase64`");
    assert_eq!((&diagnostic["code"], &diagnostic["line"], code), (&json!("TG0601"), &json!(4), Some(1)));
}

#[test]
fn what_a_test_file_names_and_is_not_there_is_a_diagnostic() {
    let cases = "cases: [{ name: a, input: { payload: {} } }]\n";
    let flow = flow("press", "a", "", "b");
    for (head, place, message) in [
        ("flow: pres\n", "1:7", "there is no data flow `pres`, but `press`"),
        ("namespace: elsewhere\n", "1:1", "there is no data flow"),
        ("resources: [nowhere]\n", "1:13", "nowhere: No such file"),
        ("datasets: { assets: [] }\n", "1:13", "there is no dataset `assets`"),
    ] {
        let dir = folder(&[("flow.yaml", &flow), ("a.test.yaml", &format!("{head}{cases}"))]);
        let (said, code) = test(&dir, &[]);
        assert!(said.contains("error[TG0602]") && said.contains(message), "{head}{said}");
        assert!(said.contains(&format!("--> a.test.yaml:{place}\n")), "{head}{said}");
        assert_eq!(code, Some(1));
    }
    let enriched = "datasets: [{ key: k, inputs: [$source.a, $context.a], expression: $1 == $2 }]\nmap: [{ inputs: [$context(k).b], output: b }]";
    let enriched = crate::transform::flow("press", "a", enriched, "b");
    let dir = folder(&[
        ("flow.yaml", &enriched),
        ("a.test.yaml", &format!("datasets: {{ k: no.jsonl }}\n{cases}")),
    ]);
    let (said, _) = test(&dir, &[]);
    assert!(said.contains("--> a.test.yaml:1:16\n") && said.contains("No such file"), "{said}");
    let dir = folder(&[("a.test.yaml", cases)]);
    assert!(test(&dir, &[]).0.contains("holds no file that ends in .yaml"));
}

#[test]
fn broken_resources_are_shown_once_and_nothing_is_run() {
    let dir = with_cases(
        "  - { name: a, input: { payload: {} } }\n---\ncases: [{ name: b, input: { payload: {} } }]\n",
    );
    let path = dir.path().join("flow.yaml");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("dataDestination", "dataDestinatoin"))
        .unwrap();
    let (said, code) = test(&dir, &[]);
    assert_eq!(said.matches("did you mean `dataDestination`?").count(), 1, "{said}");
    assert!(said.ends_with("1 file, 0 cases: 0 passed, 1 error\n"), "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_filter_means_what_the_flag_says() {
    let dir = with_cases("  - { name: a, input: { payload: { t: -1 } }, expect: { dropped: filter } }\n");
    assert_eq!(test(&dir, &[]).1, Some(0));
    assert_eq!(test(&dir, &["--filter-semantics", "pass-when-true"]).1, Some(1));
}

#[test]
fn files_are_found_in_folders_and_run_in_their_order() {
    let dir = with_cases("  - { name: a, input: { payload: { t: -1 } }, expect: { dropped: filter } }\n");
    fs::create_dir(dir.path().join("more")).unwrap();
    fs::write(
        dir.path().join("more/b.test.yml"),
        "resources: [../flow.yaml]\ncases: [{ name: b, input: { payload: { t: -1 } }, expect: { dropped: filter } }]\n",
    )
    .unwrap();
    let (said, code) = test(&dir, &[]);
    assert_eq!(
        (said.as_str(), code),
        ("ok    more/b.test.yml:2: b\nok    press.test.yaml:3: a\n2 files, 2 cases: 2 passed\n", Some(0))
    );
    let said =
        run(&["test", dir.path().join("flow.yaml").parent().unwrap().join("nowhere").to_str().unwrap()]);
    assert_eq!(said.code, Some(2));
    let empty = tempfile::tempdir().unwrap();
    let said = run(&["test", empty.path().to_str().unwrap()]);
    assert!(said.stderr.ends_with("holds no file that ends in .test.yaml\n"), "{}", said.stderr);
    assert_eq!(said.code, Some(2));
}

#[test]
fn update_writes_what_came_out_and_nothing_else() {
    let dir = with_cases(
        "  # the first
  - name: hot  # very
    input: { payload: { t: 100 } }
    expect: { payload: { t: 200 } }  # wrong
  - name: dropped
    input: { payload: { t: -1 } }
  - name: fine
    input: { payload: { t: 0 } }
    expect: { payload: { t: 32 } }
",
    );
    let (said, code) = test(&dir, &["--update"]);
    assert!(said.contains("press.test.yaml: 2 expectations written anew\n"), "{said}");
    assert_eq!(code, Some(0));
    let written = fs::read_to_string(dir.path().join("press.test.yaml")).unwrap();
    assert_eq!(
        written,
        "\
flow: press
cases:
  # the first
  - name: hot  # very
    input: { payload: { t: 100 } }
    expect: { payload: { t: 212.0 } }  # wrong
  - name: dropped
    input: { payload: { t: -1 } }
    expect: { dropped: filter }
  - name: fine
    input: { payload: { t: 0 } }
    expect: { payload: { t: 32 } }
"
    );
    let (said, code) = test(&dir, &["--update"]);
    assert!(!said.contains("anew"), "{said}");
    assert_eq!((fs::read_to_string(dir.path().join("press.test.yaml")).unwrap(), code), (written, Some(0)));
}

#[test]
fn what_comes_out_anew_each_time_is_not_written() {
    let endpoint = "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\nmetadata: { name: events, namespace: azure-iot-operations }\nspec: { endpointType: Mqtt, mqttSettings: { host: 'aio-broker:18883', cloudEventAttributes: CreateOrRemap, authentication: { method: Anonymous } } }\n";
    let flow = flow("copy", "a", "", "b")
        .replace("endpointRef: default, dataDestination", "endpointRef: events, dataDestination");
    let cases = "cases: [{ name: a, input: { payload: {} }, expect: { userProperties: { id: x } } }]\n";
    let dir = folder(&[("flow.yaml", &(flow + endpoint)), ("a.test.yaml", cases)]);
    let said = run(&["test", dir.path().to_str().unwrap(), "--update"]);
    assert!(
        said.stderr.ends_with("a.test.yaml: left as it is, as it would fail again with what came out now\n")
    );
    assert!(said.stdout.starts_with("FAIL"), "{}", said.stdout);
    assert_eq!(said.code, Some(1));
    assert_eq!(fs::read_to_string(dir.path().join("a.test.yaml")).unwrap(), cases);
}

#[test]
fn an_expectation_that_is_the_input_as_well_is_not_written() {
    let cases = "cases: [{ name: a, input: { payload: &same { t: 1 } }, expect: { payload: *same } }]\n";
    let rule = "map: [{ inputs: ['*'], output: '*' }, { inputs: [], output: x, expression: '1' }]";
    let dir = folder(&[("flow.yaml", &flow("copy", "a", rule, "b")), ("a.test.yaml", cases)]);
    let said = run(&["test", dir.path().to_str().unwrap(), "--update"]);
    assert!(said.stderr.contains("left as it is"), "{}", said.stdout);
    assert_eq!(fs::read_to_string(dir.path().join("a.test.yaml")).unwrap(), cases);
}
