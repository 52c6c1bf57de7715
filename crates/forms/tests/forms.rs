//! Every form of the same resources reads as the same, whichever way they went.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect;
use proptest::prelude::*;
use tidegate_core::Files;
use tidegate_forms::{Form, Written, write};
use tidegate_model::node::json_string;
use tidegate_model::{LoadOptions, load, manifests, missing_files};

const FORMS: [Form; 4] = [Form::Yaml, Form::Bicep, Form::Arm, Form::Cli];

fn files_of(texts: &[(String, String)]) -> Files {
    let mut files = Files::default();
    for (name, text) in texts {
        files.add(name.as_str(), text.as_str());
    }
    files
}

/// What the resources say, in no order.
fn meaning(files: &Files) -> Vec<String> {
    let found = manifests(files, &LoadOptions::default()).value;
    let mut all: Vec<_> = found
        .iter()
        .map(|m| {
            let profile = m.profile.as_deref().unwrap_or("default");
            format!("{} {} {} {}", m.kind, m.name.as_str(), profile, m.spec.to_json())
        })
        .collect();
    all.sort();
    all
}

fn one(written: &Written) -> &str {
    let [(_, text)] = written.files.as_slice() else { panic!("{:?}", written.files) };
    text
}

/// Takes resources through every form, and from each on to every other one.
fn there_and_back(files: &Files) {
    let options = LoadOptions::default();
    for form in FORMS {
        let written = write(files, &options, form);
        assert_eq!(written.lost, [], "{form:?}: {:?}", written.files);
        let there = files_of(&written.files);
        assert_eq!(meaning(&there), meaning(files), "{form:?}: {:?}", written.files);
        for next in FORMS {
            let back = write(&there, &options, next);
            assert_eq!(back.lost, [], "{form:?}, {next:?}");
            assert_eq!(
                meaning(&files_of(&back.files)),
                meaning(files),
                "{form:?}, {next:?}: {:?}",
                back.files
            );
        }
    }
}

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all_files(&path, found),
            false => found.push(path),
        }
    }
}

/// The file, and those that it names.
fn read(path: &Path) -> Files {
    let mut files = Files::default();
    files.add(path.to_str().unwrap(), fs::read_to_string(path).unwrap());
    loop {
        let before = files.len();
        for name in missing_files(&files, &LoadOptions::default()) {
            if let Ok(text) = fs::read_to_string(&name) {
                files.add(name, text);
            }
        }
        if files.len() == before {
            return files;
        }
    }
}

#[test]
fn real_resources_go_there_and_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("TIDEGATE_CORPUS").map(PathBuf::from);
    let corpus = corpus.unwrap_or_else(|| root.join("../../../shared/corpus"));
    let mut paths = Vec::new();
    for folder in [root.join("../model/tests/data"), root.join("../../examples"), corpus] {
        all_files(&folder, &mut paths);
    }
    let extensions = ["yaml", "yml", "json", "bicep", "bicepparam"];
    paths.retain(|p| p.extension().is_some_and(|e| extensions.iter().any(|x| *x == e)));
    let mut went = BTreeMap::new();
    for path in paths {
        let files = read(&path);
        let parsed = load(&files, &LoadOptions::default());
        let arm_only = manifests(&files, &LoadOptions::default()).value.iter().all(|m| {
            m.kind.arm_type().is_some() && m.annotations.is_empty() && m.namespace == "azure-iot-operations"
        });
        if !parsed.has_errors() && arm_only && !parsed.value.resources().is_empty() {
            there_and_back(&files);
            *went.entry(path.extension().unwrap().to_owned()).or_insert(0) += 1;
        }
    }
    println!("{went:?}");
    assert!(went.values().sum::<i32>() > 15, "{went:?}");
}

fn value() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        any::<String>(),
        "[-a-z0-9 :#'\"{}$\\\\\\[\\]\n\t.,&*!|>%@`~]{0,20}",
        "[a-z]{1,6}( [a-z]{1,6}\n[ a-z]{0,6}){1,4}",
        "'{0,4}\\$\\{[a-z]\\}'{0,4}",
        "[Yy]es|no|null|~|0x1f|1e3|[0-9]{1,3}:[0-9]{2}|\\[.{0,5}\\]",
    ];
    let leaf = prop_oneof![
        text.prop_map(|t| json_string(&t)),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<f32>().prop_filter("JSON has it", |f| f.is_finite()).prop_map(|f| format!("{f:?}")),
        Just("null".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            // no two that differ in case only, which ARM takes for one, and no `copy`, which makes loops in it
            prop::collection::btree_map("[A-Z_ ][-a-z_.: 0-9']{0,9}", inner, 0..5).prop_map(|entries| {
                let entries: Vec<_> =
                    entries.iter().map(|(k, v)| format!("{}:{v}", json_string(k))).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_they_hold_resources_go_there_and_back(said in value(), name in "[a-z0-9][-a-z0-9]{1,8}[a-z0-9]") {
        let manifest = format!(
            r#"{{"apiVersion":"connectivity.iotoperations.azure.com/v1","kind":"Dataflow","metadata":{{"name":"{name}"}},
                "spec":{{"profileRef":"fast","qqqq":{said},"operations":[
                  {{"operationType":"Source","sourceSettings":{{"endpointRef":"default","dataSources":["a/b"]}}}},
                  {{"operationType":"Destination","destinationSettings":{{"endpointRef":"default","dataDestination":"c"}}}}]}}}}"#
        );
        let given = files_of(&[("flow.json".into(), manifest)]);
        let mut at = given.clone();
        for form in [Form::Bicep, Form::Yaml, Form::Arm, Form::Cli, Form::Bicep] {
            let written = write(&at, &LoadOptions::default(), form);
            prop_assert_eq!(&written.lost, &[], "{:?}: {:?}", form, written.files);
            at = files_of(&written.files);
        }
        prop_assert_eq!(meaning(&at), meaning(&given));
    }
}

const YAML: &str = "\
# The presses of hall 2.
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: plant
  namespace: azure-iot-operations
spec:
  endpointType: Mqtt
  # the one in the hall, not the old one
  mqttSettings:
    host: mqtt.plant.example:8883 # TLS
    authentication:
      method: Anonymous
      anonymousSettings: {}
    tls:
      mode: Enabled
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: press-alarms
  namespace: azure-iot-operations
spec:
  profileRef: default
  operations:
    # in
    - operationType: Source # one of them
      sourceSettings:
        endpointRef: default
        dataSources:
          # all presses
          - press/+/force
    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        filter:
          - inputs:
              - force # kN
            expression: |-
              $1 < 1800 &&
              $1 > -1
            description: \"it's ${force}: ok\"
    - operationType: Destination
      destinationSettings:
        endpointRef: plant
        dataDestination: alarms
# The end.
";

#[test]
fn comments_stay_with_what_they_are_about() {
    let options = LoadOptions::default();
    let yaml = files_of(&[("flows.yaml".into(), YAML.into())]);
    let bicep = write(&yaml, &options, Form::Bicep);
    expect![[r#"
        param aioInstanceName string = '<AIO_INSTANCE_NAME>'
        param customLocationName string = '<CUSTOM_LOCATION_NAME>'

        resource aioInstance 'Microsoft.IoTOperations/instances@2026-07-01' existing = {
          name: aioInstanceName
        }

        resource customLocation 'Microsoft.ExtendedLocation/customLocations@2021-08-31-preview' existing = {
          name: customLocationName
        }

        resource defaultProfile 'Microsoft.IoTOperations/instances/dataflowProfiles@2026-07-01' existing = {
          parent: aioInstance
          name: 'default'
        }

        // The presses of hall 2.
        resource plantEndpoint 'Microsoft.IoTOperations/instances/dataflowEndpoints@2026-07-01' = {
          parent: aioInstance
          name: 'plant'
          extendedLocation: {
            name: customLocation.id
            type: 'CustomLocation'
          }
          properties: {
            endpointType: 'Mqtt'
            // the one in the hall, not the old one
            mqttSettings: {
              host: 'mqtt.plant.example:8883' // TLS
              authentication: {
                method: 'Anonymous'
                anonymousSettings: {}
              }
              tls: {
                mode: 'Enabled'
              }
            }
          }
        }

        resource pressAlarmsFlow 'Microsoft.IoTOperations/instances/dataflowProfiles/dataflows@2026-07-01' = {
          parent: defaultProfile
          name: 'press-alarms'
          extendedLocation: {
            name: customLocation.id
            type: 'CustomLocation'
          }
          properties: {
            operations: [
              {
                // in
                operationType: 'Source' // one of them
                sourceSettings: {
                  endpointRef: 'default'
                  dataSources: [
                    // all presses
                    'press/+/force'
                  ]
                }
              }
              {
                operationType: 'BuiltInTransformation'
                builtInTransformationSettings: {
                  filter: [
                    {
                      inputs: [
                        'force' // kN
                      ]
                      expression: '''
        $1 < 1800 &&
        $1 > -1'''
                      description: 'it\'s \${force}: ok'
                    }
                  ]
                }
              }
              {
                operationType: 'Destination'
                destinationSettings: {
                  endpointRef: 'plant'
                  dataDestination: 'alarms'
                }
              }
            ]
          }
          dependsOn: [
            plantEndpoint
          ]
        }

        // The end.
    "#]]
    .assert_eq(one(&bicep));
    let back = write(&files_of(&bicep.files), &options, Form::Yaml);
    assert_eq!(one(&back), YAML);
}

#[test]
fn templates_and_config_files_are_as_azure_takes_them() {
    let options = LoadOptions::default();
    let flow = YAML.split("---\n").nth(1).unwrap();
    let yaml = files_of(&[("flows.yaml".into(), flow.replace("alarms\n# The", "'[a]'\n# The"))]);
    let arm = write(&yaml, &options, Form::Arm);
    expect![[r#"
        {
          "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
          "contentVersion": "1.0.0.0",
          "parameters": {
            "aioInstanceName": { "type": "string", "defaultValue": "<AIO_INSTANCE_NAME>" },
            "customLocationName": { "type": "string", "defaultValue": "<CUSTOM_LOCATION_NAME>" }
          },
          "resources": [
            {
              "type": "Microsoft.IoTOperations/instances/dataflowProfiles/dataflows",
              "apiVersion": "2026-07-01",
              "name": "[format('{0}/default/press-alarms', parameters('aioInstanceName'))]",
              "extendedLocation": { "name": "[resourceId('Microsoft.ExtendedLocation/customLocations', parameters('customLocationName'))]", "type": "CustomLocation" },
              "properties": {
                "operations": [
                  {
                    "operationType": "Source",
                    "sourceSettings": {
                      "endpointRef": "default",
                      "dataSources": [
                        "press/+/force"
                      ]
                    }
                  },
                  {
                    "operationType": "BuiltInTransformation",
                    "builtInTransformationSettings": {
                      "filter": [
                        {
                          "inputs": [
                            "force"
                          ],
                          "expression": "$1 < 1800 &&\n$1 > -1",
                          "description": "it's ${force}: ok"
                        }
                      ]
                    }
                  },
                  {
                    "operationType": "Destination",
                    "destinationSettings": {
                      "endpointRef": "plant",
                      "dataDestination": "[[a]"
                    }
                  }
                ]
              }
            }
          ]
        }
    "#]].assert_eq(one(&arm));
    let cli = write(&yaml, &options, Form::Cli);
    assert_eq!(cli.files[0].0, "dataflowProfiles/default/dataflows/press-alarms.json");
    expect![[r#"
        {
          "operations": [
            {
              "operationType": "Source",
              "sourceSettings": {
                "endpointRef": "default",
                "dataSources": [
                  "press/+/force"
                ]
              }
            },
            {
              "operationType": "BuiltInTransformation",
              "builtInTransformationSettings": {
                "filter": [
                  {
                    "inputs": [
                      "force"
                    ],
                    "expression": "$1 < 1800 &&\n$1 > -1",
                    "description": "it's ${force}: ok"
                  }
                ]
              }
            },
            {
              "operationType": "Destination",
              "destinationSettings": {
                "endpointRef": "plant",
                "dataDestination": "[a]"
              }
            }
          ]
        }
    "#]]
    .assert_eq(one(&cli));
}

#[test]
fn what_a_form_has_no_words_for_is_said() {
    let text = format!(
        "{YAML}---
apiVersion: v1
kind: Secret
metadata: {{ name: keys }}
stringData: {{ password: hunter2 }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{ name: trust }}
data: {{ ca.crt: none }}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: other, namespace: hall-3, labels: {{ a: b }} }}
spec: {{ endpointType: LocalStorage, localStorageSettings: {{ persistentVolumeClaimRef: disk }} }}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowProfile
metadata: {{ name: fast, labels: {{ a: b }}, annotations: {{ tidegate.dev/filter-semantics: pass-when-true }} }}
spec: {{ instanceCount: 1 }}
"
    );
    let files = files_of(&[("all.yaml".into(), text)]);
    let said = |form| {
        let written = write(&files, &LoadOptions::default(), form);
        assert!(!format!("{written:?}").contains("hunter2"));
        let line = |r: &tidegate_forms::Remark| format!("{}: {}\n", r.resource, r.message);
        let lost: String = written.lost.iter().map(line).collect();
        format!("{lost}notes:\n{}", written.notes.iter().map(line).collect::<String>())
    };
    expect![[r#"
        Secret/keys: the values of a Secret are never written: keep its file
        notes:
    "#]]
    .assert_eq(&said(Form::Yaml));
    expect![[r#"
        Secret/keys: the values of a Secret are never written: keep its file
        ConfigMap/trust: Bicep has no ConfigMap: keep its file
        DataflowEndpoint/other: Bicep is for one namespace, and this is in `hall-3`, not in `azure-iot-operations`: convert them apart
        DataflowProfile/fast: Bicep has no annotations, and `tidegate.dev/filter-semantics` changes what it does
        notes:
    "#]].assert_eq(&said(Form::Bicep));
    expect![[r#"
        Secret/keys: the values of a Secret are never written: keep its file
        ConfigMap/trust: a file for `az iot ops` has no ConfigMap: keep its file
        DataflowEndpoint/other: a file for `az iot ops` is for one namespace, and this is in `hall-3`, not in `azure-iot-operations`: convert them apart
        DataflowProfile/fast: a file for `az iot ops` has no annotations, and `tidegate.dev/filter-semantics` changes what it does
        notes:
        : a file for `az iot ops` has no comments: those of the files are not in it
    "#]].assert_eq(&said(Form::Cli));
}
