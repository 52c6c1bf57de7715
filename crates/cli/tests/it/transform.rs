//! `transform`, as users run it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Said, run, run_with_stdin, tidegate};

/// A data flow; `transform` holds the lines of a transformation, if there is one.
pub(crate) fn flow(name: &str, source: &str, transform: &str, destination: &str) -> String {
    let lines: String =
        transform.trim_matches('\n').lines().map(|line| format!("        {line}\n")).collect();
    let transform = match transform {
        "" => String::new(),
        _ => format!(
            "    - operationType: BuiltInTransformation\n      builtInTransformationSettings:\n{lines}"
        ),
    };
    format!(
        "apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: {name}, namespace: azure-iot-operations }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: default, dataSources: ['{source}'] }}
{transform}    - operationType: Destination
      destinationSettings: {{ endpointRef: default, dataDestination: '{destination}' }}
"
    )
}

const FAHRENHEIT: &str = "
filter: [{ inputs: [t], expression: $1 < 0 }]
map: [{ inputs: ['*'], output: '*' }, { inputs: [t], output: t, expression: cToF($1) }]";

/// A folder of files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

/// Messages through the only flow of a text.
fn transform(resources: &str, args: &[&str], stdin: &str) -> Said {
    let dir = folder(&[("flow.yaml", resources)]);
    run_with_stdin(&[&["transform", &path(&dir, "flow.yaml")], args].concat(), stdin)
}

fn fahrenheit(args: &[&str], stdin: &str) -> Said {
    transform(&flow("press", "plant/press", FAHRENHEIT, "factory/press"), args, stdin)
}

#[test]
fn each_line_is_a_payload_and_what_comes_out_is_in_order() {
    let said =
        fahrenheit(&[], "{\"t\":100}\n\n{\"t\":-1}\r\n[plant/press] {\"t\":0}\r\nnope\n[1,2]\n{\"t\":20}");
    assert_eq!(said.stdout, "{\"t\":212.0}\n{\"t\":32.0}\n{\"t\":68.0}\n");
    assert_eq!(said.stderr, "in=6 out=3 filtered=1 errors=2\n");
    assert_eq!(said.code, Some(0));
}

#[test]
fn nothing_in_is_nothing_out() {
    let said = fahrenheit(&["--fail-on-error"], "");
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", "in=0 out=0 filtered=0 errors=0\n"));
    assert_eq!(said.code, Some(0));
}

#[test]
fn what_is_dropped_is_told_when_asked_for() {
    let said = fahrenheit(&["-v"], "{\"t\":-1}\nnope\n{}\n{\"t\":\"x\"}\n{\"t\":1}\n");
    assert_eq!(
        said.stderr,
        "\
line 1: filtered by rule 1, which drops messages where t < 0
line 2: error: the payload is not JSON: not a value (byte 0)
line 3: error: filter rule 1: `t` is missing
line 4: error: filter rule 1: `t < 0`: two numbers or two texts can be compared, not a text and an integer
in=5 out=1 filtered=1 errors=3
"
    );
}

#[test]
fn errors_make_the_exit_code_1_only_when_asked_for() {
    for (args, code) in [(&[][..], 0), (&["--fail-on-error"], 1)] {
        assert_eq!(fahrenheit(args, "nope\n").code, Some(code));
        assert_eq!(fahrenheit(args, "{\"t\":-1}\n").code, Some(0), "filtered is no error");
    }
}

#[test]
fn explain_says_what_each_rule_did() {
    let said = fahrenheit(&["--explain"], "{\"t\":100,\"id\":\"a\"}\n{\"t\":-1}\n");
    assert_eq!(
        said.stderr,
        "\
line 1: passed
  filter rule 1: false
  map rule 1: t replaced by rule 2
  map rule 1: id -> id
  map rule 2: t -> t
line 2: filtered by rule 1, which drops messages where t < 0
  filter rule 1: true
in=2 out=1 filtered=1 errors=0
"
    );
}

#[test]
fn control_characters_in_messages_never_reach_a_terminal() {
    let said = transform(
        &flow(
            "press",
            "a",
            "map: [{ inputs: [$metadata.topic, t], output: t, expression: $1 + $2 }]",
            "b/${inputTopic}",
        ),
        &["--explain", "--format", "message"],
        r#"{"topic":"\u001b[2J","payload":{"t":"x"}}"#,
    );
    assert!(said.stderr.starts_with("line 1: passed to b/\\u{1b}[2J\n"), "{}", said.stderr);
}

#[test]
fn messages_have_a_topic_and_properties() {
    let transform_settings = "
map:
  - { inputs: [t], output: t }
  - { inputs: [$metadata.topic], output: from }
  - { inputs: [$metadata.user_property.asset], output: $metadata.user_property.origin }";
    let said = transform(
        &flow("press", "plant/+", transform_settings, "clean/${inputTopic.2}"),
        &["--format", "message"],
        concat!(
            r#"{"topic":"plant/p7","payload":{"t":1.50,"x":0},"userProperties":[["asset","7"]],"contentType":"a/b","stage":"source"}"#,
            "\n",
            r#"{"topic":"plant/p8","payload":{"t":2},"userProperties":{"asset":"8"},"messageExpiryInterval":5,"timestamp":"2026-03-01T00:00:00Z"}"#,
        ),
    );
    assert_eq!(
        said.stdout,
        concat!(
            r#"{"topic":"clean/p7","payload":{"t":1.50,"from":"plant/p7"},"userProperties":[["asset","7"],["origin","7"]],"contentType":"a/b"}"#,
            "\n",
            r#"{"topic":"clean/p8","payload":{"t":2,"from":"plant/p8"},"userProperties":[["asset","8"],["origin","8"]],"messageExpiryInterval":5,"timestamp":"2026-03-01T00:00:00.000Z"}"#,
            "\n",
        )
    );
    assert_eq!(said.stderr, "in=2 out=2 filtered=0 errors=0\n");
}

#[test]
fn what_comes_out_can_go_in_again() {
    let stdin = r#"{"topic":"a","payloadBase64":"/w==","userProperties":[["k","v"],["k","w"]],"contentType":"c","responseTopic":"r","correlationDataBase64":"AQ==","payloadFormatIndicator":1,"keyBase64":"aw==","timestamp":"1970-01-01T00:00:00.001Z"}"#;
    let said = transform(&flow("copy", "a", "", "a"), &["--format", "message"], stdin);
    assert_eq!(said.stdout.trim_end(), stdin);
}

#[test]
fn a_topic_that_can_not_be_resolved_is_an_error() {
    let resources = flow("copy", "plant/+", "", "clean/${inputTopic.2}");
    let said = transform(
        &resources,
        &["--format", "message", "-v"],
        "{\"topic\":\"plant\",\"payload\":1}\n{\"payload\":1}\n",
    );
    assert_eq!(said.stdout, "");
    assert_eq!(
        said.stderr,
        "\
line 1: error: the topic `clean/${inputTopic.2}` can't be resolved for a message on `plant`
line 2: error: the topic `clean/${inputTopic.2}` can't be resolved for a message on ``
in=2 out=0 filtered=0 errors=2
"
    );
}

#[test]
fn a_message_without_topic_comes_from_the_first_source_that_is_one_topic() {
    let resources = flow("copy", "+/x', '$share/g/plant/press', 'b", "", "clean/${inputTopic.2}");
    let said = transform(&resources, &["--format", "message"], "{\"payload\":1}\n");
    assert_eq!(said.stdout, "{\"topic\":\"clean/press\",\"payload\":1}\n");
}

#[test]
fn what_is_no_message_is_an_error_and_the_next_goes_on() {
    let said = fahrenheit(&["--format", "message", "-v"], "{\"t\":1}\n{\"payload\":{\"t\":0}}\n");
    assert_eq!(said.stdout, "{\"topic\":\"factory/press\",\"payload\":{\"t\":32.0}}\n");
    assert!(
        said.stderr
            .starts_with("line 1: error: this is no message: unknown field `t`, expected one of `topic`"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.ends_with("in=2 out=1 filtered=0 errors=1\n"));
}

#[test]
fn without_a_transformation_bytes_pass_as_they_are() {
    let dir = folder(&[("flow.yaml", &flow("copy", "a", "", "b"))]);
    let mut child = tidegate(&["transform", &path(&dir, "flow.yaml")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{ \"a\" : 1.0 }\n\xff\x00 nope\n[a/b] \xfe\n[1] \n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"{ \"a\" : 1.0 }\n\xff\x00 nope\n\xfe\n[1] \n");
    assert_eq!(output.stderr, b"in=4 out=4 filtered=0 errors=0\n");
}

#[test]
fn header_actions_and_cloud_events_show_in_messages() {
    let endpoint = "---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: { name: events, namespace: azure-iot-operations }
spec:
  endpointType: Mqtt
  mqttSettings:
    host: aio-broker:18883
    cloudEventAttributes: CreateOrRemap
    authentication: { method: ServiceAccountToken, serviceAccountTokenSettings: { audience: aio-internal } }
";
    let headers = "dataDestination: 'b', headers: [{ actionType: Remove, key: a }, { actionType: AddOrReplace, key: site, value: north }]";
    let resources = flow("copy", "a", "", "b")
        .replace("endpointRef: default, dataDestination: 'b'", &format!("endpointRef: events, {headers}"))
        + endpoint;
    let stdin = r#"{"payload":1,"userProperties":[["a","1"],["id","mine"]],"retain":true}"#;
    let said = transform(&resources, &["--format", "message"], stdin);
    let message: Value = serde_json::from_str(&said.stdout).unwrap();
    let property = |name: &str| {
        let pairs = message["userProperties"].as_array().unwrap();
        pairs.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    assert_eq!(property("a"), None);
    for (name, value) in [("site", "north"), ("id", "mine"), ("source", "aio://events"), ("subject", "b")] {
        assert_eq!(property(name).as_deref(), Some(value), "{message}");
    }
    assert_eq!((&message["topic"], &message["retain"]), (&"b".into(), &true.into()));
}

#[test]
fn a_filter_means_what_the_flag_says_and_the_annotation_more() {
    let lines = "{\"t\":-1}\n{\"t\":1}\n";
    let resources = flow("press", "a", "filter: [{ inputs: [t], expression: $1 < 0 }]", "b");
    let annotated = resources.replace(
        "name: press,",
        "name: press, annotations: { tidegate.dev/filter-semantics: pass-when-true },",
    );
    let (drops, passes) = ("drop-when-true", "pass-when-true");
    for (resources, args, expected) in [
        (&resources, &[][..], "{\"t\":1}\n"),
        (&resources, &["--filter-semantics", drops], "{\"t\":1}\n"),
        (&resources, &["--filter-semantics", passes], "{\"t\":-1}\n"),
        (&annotated, &["--filter-semantics", drops], "{\"t\":-1}\n"),
    ] {
        assert_eq!(transform(resources, args, lines).stdout, expected, "{args:?}");
    }
}

#[test]
fn one_of_several_flows_is_named() {
    let two = format!("{}---\n{}", flow("one", "a", FAHRENHEIT, "b"), flow("two", "a", "", "b"));
    for (args, expected) in [
        (&[][..], "error: there are several data flows: `one`, `two`; `--flow NAME` says which\n"),
        (
            &["--flow", "three"],
            "error: there is no data flow `three`, but `one`, `two`; `--flow NAME` says which\n",
        ),
    ] {
        let said = transform(&two, args, "");
        assert_eq!((said.stderr.as_str(), said.code), (expected, Some(2)));
    }
    assert_eq!(transform(&two, &["--flow", "one"], "{\"t\":0}\n").stdout, "{\"t\":32.0}\n");
    assert_eq!(transform(&two, &["--flow", "two"], "{\"t\":0}\n").stdout, "{\"t\":0}\n");
    let none = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\n";
    assert!(transform(none, &[], "").stderr.starts_with("error: there is no data flow;"));
}

#[test]
fn endpoints_and_profiles_elsewhere_do_not_matter_nor_does_a_disabled_mode() {
    let elsewhere = flow("press", "plant/press", FAHRENHEIT, "factory/press")
        .replace("endpointRef: default, dataDestination", "endpointRef: lake, dataDestination")
        .replace("endpointRef: default, dataSources", "endpointRef: hub, dataSources")
        .replace("profileRef: default", "profileRef: line-a\n  mode: Disabled");
    let said = transform(&elsewhere, &["--format", "message"], "{\"payload\":{\"t\":0}}\n");
    assert_eq!(said.stdout, "{\"topic\":\"factory/press\",\"payload\":{\"t\":32.0}}\n");
    assert_eq!(said.stderr, "in=1 out=1 filtered=0 errors=0\n");
}

#[test]
fn an_invalid_flow_exits_1_with_its_diagnostics() {
    let wrong = flow("press", "a", "map: [{ inputs: [t], output: t, expression: cToK($1) }]", "b");
    let said = transform(&wrong, &[], "{\"t\":1}\n");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    for expected in ["error[TG0312]", "flow.yaml:11:", "did you mean `cToF`?", "1 error"] {
        assert!(said.stderr.contains(expected), "no {expected} in\n{}", said.stderr);
    }
    let said = transform(&wrong, &["--output", "json"], "");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &report["diagnostics"][0]["code"]), (Some(1), &"TG0312".into()));
}

const ENRICHED: &str = "
datasets: [{ key: assets.line7 as a, inputs: [$source.id, $context.id], expression: $1 == $2 }]
map: [{ inputs: [id], output: id }, { inputs: [$context(a).site], output: site }]";

#[test]
fn datasets_are_files_of_json_lines() {
    let dir = folder(&[
        ("flow.yaml", &flow("press", "a", ENRICHED, "b")),
        ("assets.jsonl", "{\"id\":\"p7\",\"site\":\"north\"}\n\nnope\n{\"id\":\"p8\",\"site\":\"south\"}\n"),
    ]);
    let (resources, assets) = (path(&dir, "flow.yaml"), path(&dir, "assets.jsonl"));
    let run = |dataset: &str| {
        run_with_stdin(&["transform", &resources, "--dataset", dataset], "{\"id\":\"p8\"}\n{\"id\":\"p9\"}\n")
    };
    let said = run(&format!("assets.line7={assets}"));
    assert_eq!(said.stdout, "{\"id\":\"p8\",\"site\":\"south\"}\n{\"id\":\"p9\"}\n");
    assert!(
        said.stderr.starts_with(&format!("{assets}:3: passed over, as it is not a value")),
        "{}",
        said.stderr
    );
    for (dataset, expected) in [
        ("a=x.jsonl", "error: --dataset a: the data flow takes assets.line7"),
        ("assets.line7=nowhere.jsonl", "error: can't read nowhere.jsonl: No such file"),
        ("assets.line7", "write KEY=FILE"),
    ] {
        let said = run(dataset);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    let said = run_with_stdin(&["transform", &resources], "{\"id\":\"p8\"}\n");
    assert_eq!(said.stdout, "{\"id\":\"p8\"}\n");
    assert!(said.stderr.starts_with("dataset `assets.line7` has no records; `--dataset"), "{}", said.stderr);
}

#[test]
fn schemas_are_files_too() {
    let settings =
        "serializationFormat: Parquet\nschemaRef: aio-sr://row:1\nmap: [{ inputs: [t], output: u }]";
    let document = |column: &str| {
        format!(
            r#"{{"$schema":"Delta/1.0","type":"object","properties":{{"type":"struct","fields":[{{"name":"{column}","type":"double","nullable":false,"metadata":{{}}}}]}}}}"#
        )
    };
    let endpoint = "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\nmetadata: { name: disk, namespace: azure-iot-operations }\nspec: { endpointType: LocalStorage, localStorageSettings: { persistentVolumeClaimRef: v } }\n";
    let resources = flow("rows", "a", settings, "rows")
        .replace("endpointRef: default, dataDestination", "endpointRef: disk, dataDestination");
    let dir = folder(&[
        ("flow.yaml", &(resources + endpoint)),
        ("row.json", &document("u")),
        ("wrong.json", "{\"$schema\":\"Delta/1.0\"}"),
    ]);
    let run = |file: &str| {
        let schema = format!("row:1={}", path(&dir, file));
        run_with_stdin(&["transform", &path(&dir, "flow.yaml"), "--schema", &schema], "{\"t\":1}\n")
    };
    let said = run("row.json");
    assert_eq!((said.stdout.as_str(), said.code), ("{\"u\":1}\n", Some(0)), "{}", said.stderr);
    let said = run("wrong.json");
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("`type` of a schema document is `object`"), "{}", said.stderr);
    assert!(said.stderr.contains("--> --schema row:1:1:"), "{}", said.stderr);
    let said = run("nowhere.json");
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("nowhere.json: No such file"), "{}", said.stderr);
}

#[test]
fn standard_input_is_for_messages() {
    let said = run(&["transform", "-"]);
    assert!(said.stderr.contains("standard input is for the messages"), "{}", said.stderr);
    assert_eq!(said.code, Some(2));
    let said = run(&["transform"]);
    assert!(said.stderr.contains("`tidegate transform PATH`"), "{}", said.stderr);
}

#[test]
fn each_answer_comes_before_the_next_question() {
    let dir = folder(&[("flow.yaml", &flow("press", "a", FAHRENHEIT, "b"))]);
    let mut child = tidegate(&["transform", &path(&dir, "flow.yaml")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for (question, expected) in
        [("{\"t\":0}\n", "{\"t\":32.0}\n"), ("{\"t\":-5}\n{\"t\":100}\n", "{\"t\":212.0}\n")]
    {
        stdin.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        assert_eq!(answer, expected);
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "in=3 out=2 filtered=1 errors=0\n");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let dir = folder(&[("flow.yaml", &flow("copy", "a", "", "b"))]);
    let mut child = tidegate(&["transform", &path(&dir, "flow.yaml")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // until the other side has closed its end
    while stdin.write_all(b"{}\n").is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!((String::from_utf8(output.stderr).unwrap().as_str(), output.status.code()), ("", Some(0)));
}

/// The manifests of AIO's own pages, where they lie beside the repository.
#[test]
fn flows_of_public_pages_can_be_tried_without_their_endpoints() {
    let corpus = std::env::var_os("TIDEGATE_CORPUS").map(PathBuf::from);
    let corpus =
        corpus.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"));
    let page = corpus.join("k8s/docs-dataflow_broker_to_broker.yaml");
    if page.is_file() {
        let said = run_with_stdin(&["transform", page.to_str().unwrap()], "{\"a\":1}\n");
        assert_eq!((said.stdout.as_str(), said.code), ("{\"a\":1}\n", Some(0)), "{}", said.stderr);
    }
}
