//! `check` and `explain`.

use serde_json::{Value, json};

use crate::{Said, run, run_with_stdin};

const GOOD: &str = "\
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: press-clean
  namespace: azure-iot-operations
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings:
        endpointRef: default
        dataSources: [plant/press]
    - operationType: Destination
      destinationSettings:
        endpointRef: default
        dataDestination: factory/press
";

fn with(wrong: &str, instead_of: &str) -> String {
    assert!(GOOD.contains(instead_of));
    GOOD.replace(instead_of, wrong)
}

#[test]
fn what_is_right_is_said_to_be() {
    let said = run_with_stdin(&["check", "-"], GOOD);
    assert_eq!(
        (said.stdout.as_str(), said.code),
        ("1 file, 1 resource: no problems\n", Some(0)),
        "{}",
        said.stderr
    );
    assert_eq!(said.stderr, "");
}

#[test]
fn what_is_wrong_is_shown_where_it_stands_with_what_to_write() {
    let said = run_with_stdin(&["check", "-"], &with("dataSource:", "dataSources:"));
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.starts_with("error[TG0"), "{}", said.stdout);
    for expected in [
        "--> <stdin>:12:9\n",
        "12 |         dataSource: [plant/press]\n",
        "^^^^^^^^^^",
        "`dataSources`",
        "1 error",
    ] {
        assert!(said.stdout.contains(expected), "no {expected} in\n{}", said.stdout);
    }
}

#[test]
fn programs_get_the_same_as_json() {
    let said = run_with_stdin(&["check", "--output", "json", "-"], &with("dataSource:", "dataSources:"));
    assert_eq!(said.code, Some(1));
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&report["files"], &report["resources"]), (&json!(1), &json!(1)), "{report}");
    let unknown = report["diagnostics"].as_array().unwrap().iter().find(|d| d["code"] == "TG0110").unwrap();
    assert_eq!(unknown["severity"], "error");
    assert_eq!(unknown["file"], "<stdin>");
    let place = ["line", "column", "endLine", "endColumn"].map(|k| unknown[k].as_u64().unwrap());
    assert_eq!(place, [12, 9, 12, 19]);
    assert_eq!(unknown["resource"], "Dataflow/press-clean");
}

#[test]
fn colour_comes_only_when_asked_for_or_on_a_terminal() {
    let wrong = with("dataSource:", "dataSources:");
    for (args, colored) in [(&["check", "-"][..], false), (&["check", "--color", "always", "-"], true)] {
        assert_eq!(run_with_stdin(args, &wrong).stdout.contains('\u{1b}'), colored, "{args:?}");
    }
}

#[test]
fn a_reference_to_elsewhere_is_a_warning_and_with_strict_an_error() {
    let elsewhere = with(
        "endpointRef: plant-lake\n        dataDestination",
        "endpointRef: default\n        dataDestination",
    );
    let said = run_with_stdin(&["check", "-"], &elsewhere);
    assert!(said.stdout.contains("warning["), "{}", said.stdout);
    assert_eq!(said.code, Some(0));
    let said = run_with_stdin(&["check", "--strict", "-"], &elsewhere);
    assert!(said.stdout.contains("error["), "{}", said.stdout);
    assert_eq!(said.code, Some(1));
}

#[test]
fn all_files_of_a_folder_are_judged_together_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let two =
        format!("{}---\n{}", with("dataSource:", "dataSources:"), GOOD.replace("press-clean", "press-raw"));
    std::fs::write(dir.path().join("b.yaml"), two).unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let other = with("dataDestinations:", "dataDestination:").replace("press-clean", "oven");
    std::fs::write(dir.path().join("a/oven.yaml"), other).unwrap();
    let said = run(&["check", dir.path().to_str().unwrap()]);
    let (oven, press) = (said.stdout.find("a/oven.yaml:16").unwrap(), said.stdout.find("b.yaml:12").unwrap());
    assert!(oven < press, "{}", said.stdout);
    assert!(said.stdout.contains("2 files, 3 resources: 2 errors"), "{}", said.stdout);
}

#[test]
fn the_content_of_a_schema_is_found_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let schema = "apiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {name: press}\n\
                  spec: {version: \"1\", format: JsonSchema/draft-07, contentFile: press.json}\n";
    std::fs::write(dir.path().join("schema.yaml"), schema).unwrap();
    let path = dir.path().join("schema.yaml");
    let said = run(&["check", path.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stdout.contains("press.json"), "{}", said.stdout);
    std::fs::write(
        dir.path().join("press.json"),
        r##"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}}"##,
    )
    .unwrap();
    let said = run(&["check", path.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}", said.stdout);
}

#[test]
fn a_file_that_can_not_be_read_exits_2() {
    let said = run(&["check", "nowhere.yaml"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.starts_with("error: can't read nowhere.yaml: "), "{}", said.stderr);
}

#[test]
fn every_code_that_is_listed_is_explained() {
    let listed = run(&["explain"]).stdout;
    assert!(listed.lines().count() > 10, "{listed}");
    let code = listed.split_whitespace().next().unwrap();
    let said = run(&["explain", &code.to_lowercase()]);
    assert!(said.stdout.contains(code), "{}", said.stdout);
    assert_eq!(said.code, Some(0));
    let page: Value = serde_json::from_str(&run(&["explain", code, "--output", "json"]).stdout).unwrap();
    assert_eq!(page["code"], code);
    let all: Value = serde_json::from_str(&run(&["explain", "--output", "json"]).stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), listed.lines().count());
}

#[test]
fn a_code_that_is_none_is_no_riddle() {
    let said = run(&["explain", "TG9999"]);
    assert_eq!(
        (said.stderr.as_str(), said.code),
        ("error: there is no code TG9999; `tidegate explain` lists them all\n", Some(2))
    );
}

#[test]
fn samples_of_messages_show_what_their_columns_make_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let flow = "\
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: { name: press-rows, namespace: azure-iot-operations }
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: { endpointRef: default, dataSources: [plant/press] }
    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        serializationFormat: Parquet
        schemaRef: aio-sr://press-row:1
        map: [{ inputs: ['*'], output: '*' }]
    - operationType: Destination
      destinationSettings: { endpointRef: disk, dataDestination: press }
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: { name: disk, namespace: azure-iot-operations }
spec: { endpointType: LocalStorage, localStorageSettings: { persistentVolumeClaimRef: rows } }
---
apiVersion: tidegate.dev/v1
kind: Schema
metadata: { name: press-row }
spec:
  version: 1
  format: Delta/1.0
  content:
    $schema: Delta/1.0
    type: object
    properties:
      type: struct
      fields:
        - { name: machine, type: string, nullable: false }
        - { name: force, type: integer, nullable: false }
";
    std::fs::write(path("flow.yaml"), flow).unwrap();
    let good = r#"{"machine":"p7","force":7}"#;
    let others = [r#"{"machine":"p8","force":7.5,"oil":{"temp":20}}"#, r#"{"machine":"p9"}"#];
    std::fs::write(path("message.json"), good).unwrap();
    std::fs::write(path("messages.jsonl"), format!("{good}\n{}\n", others.join("\n"))).unwrap();
    let check = |sample: &str| run(&["check", &path("flow.yaml"), "--sample", sample]);

    let good = check(&format!("press-rows={}", path("message.json")));
    assert_eq!(good.stdout, "1 file, 3 resources: no problems\n", "{}", good.stderr);
    let said = check(&format!("press-rows={}", path("messages.jsonl")));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for expected in [
        "`*` also writes `oil.temp`, which is no column",
        r#"for example {"machine":"p7","oil":{"temp":20}}: "#,
        "column `force` must not be null, and may get no value",
        "column `force` is `integer`, and 7.5 loses its fraction",
        "1 file, 3 resources: 3 warnings",
    ] {
        assert!(said.stdout.contains(expected), "no {expected} in\n{}", said.stdout);
    }
    let unknown = check(&format!("press={}", path("message.json")));
    assert_eq!(
        (unknown.stderr.as_str(), unknown.code),
        ("error: --sample press: the files hold no such data flow\n", Some(2))
    );
}

#[test]
fn the_example_in_bicep_is_sound() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/bicep");
    let Said { stdout, code, .. } = run(&["check", examples, "--strict"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("2 files, 5 resources: 3 notes"), "{stdout}");
}
