//! The envelopes: manifests, lists of them, ARM resources, config files of `az iot ops`.

use expect_test::{Expect, expect};
use tidegate_model::{Kind, LoadOptions};

use crate::support::{check, check_each, check_with, flow, loaded, report};

const FLOW_BODY: &str = r#"{
  "operations": [
    {"operationType": "Source", "sourceSettings": {"endpointRef": "default", "dataSources": ["a/#"]}},
    {"operationType": "Destination", "destinationSettings": {"endpointRef": "default", "dataDestination": "b"}}
  ]
}"#;

/// What is loaded from a file, as `kind namespace/name` and, for data flows, the profile.
fn resources(name: &str, text: &str, options: &LoadOptions, expected: Expect) {
    let (files, parsed) = loaded(&[(name, text)], options);
    let mut said = report(&files, &parsed.diagnostics);
    for r in parsed.value.resources() {
        said += &format!("{} {}/{}\n", r.kind, r.namespace, r.name);
    }
    for flow in parsed.value.dataflows() {
        said += &format!("  {} runs in {}\n", flow.name, flow.profile);
    }
    expected.assert_eq(&said);
}

#[test]
fn lists_hold_resources() {
    let flow = flow("default", "[a]", "", "default", "b");
    let item: String = flow.lines().map(|l| format!("    {l}\n")).collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  -\n{item}");
    resources(
        "a.yaml",
        &list,
        &LoadOptions::default(),
        expect![[r#"
        Dataflow azure-iot-operations/press-clean
          press-clean runs in default
    "#]],
    );
    let typed = list.replace("kind: List", "kind: DataflowList");
    resources(
        "a.yaml",
        &typed,
        &LoadOptions::default(),
        expect![[r#"
        Dataflow azure-iot-operations/press-clean
          press-clean runs in default
    "#]],
    );
    resources("a.yaml", "apiVersion: v1\nkind: List\nitems: []\n", &LoadOptions::default(), expect![[""]]);
}

#[test]
fn arm_resources_say_what_they_are_and_where_they_belong() {
    let arm = |of: &str, name: &str| {
        format!(
            r#"{{"type": "Microsoft.IoTOperations/instances/{of}", "apiVersion": "2026-07-01", "name": "{name}",
                "extendedLocation": {{"name": "[parameters('where')]", "type": "CustomLocation"}}, "properties": {FLOW_BODY}}}"#
        )
    };
    let options = LoadOptions::default();
    resources(
        "a.json",
        &arm("dataflowProfiles/dataflows", "my-instance/default/press"),
        &options,
        expect![[r#"
        Dataflow azure-iot-operations/press
          press runs in default
    "#]],
    );
    resources(
        "a.json",
        &arm("DataflowProfiles/Dataflows", "press"),
        &options,
        expect![[r#"
        Dataflow azure-iot-operations/press
          press runs in default
    "#]],
    );
    resources(
        "a.json",
        &arm("dataflowProfiles/dataflows", "[parameters('name')]"),
        &options,
        expect![[r#"
        error TG0117 1:111 `[parameters('name')]` is a placeholder that nobody filled in
            help: put the real value here, or render the template first
    "#]],
    );
    resources(
        "a.json",
        &arm("brokers", "press"),
        &options,
        expect![[r#"
        note TG0103 1:10 a resource of type `Microsoft.IoTOperations/instances/brokers` is passed over
    "#]],
    );
    let in_profile = LoadOptions { profile: Some("line-a".into()), namespace: "plant".into(), ..options };
    resources(
        "a.json",
        &arm("dataflowProfiles/dataflows", "press"),
        &in_profile,
        expect![[r#"
        warning TG0402 2:98 there is no profile `line-a` in namespace `plant`
            help: give the file it is in along with this one
        Dataflow plant/press
          press runs in line-a
    "#]],
    );
}

#[test]
fn config_files_are_told_by_their_fields_and_named_by_their_files() {
    let options = LoadOptions::default();
    resources(
        "flows/Press_Clean.v2.json",
        FLOW_BODY,
        &options,
        expect![[r#"
        Dataflow azure-iot-operations/press-clean-v2
          press-clean-v2 runs in default
    "#]],
    );
    resources(
        "press-clean.json",
        &format!("{{\"properties\": {FLOW_BODY}}}"),
        &options,
        expect![[r#"
        Dataflow azure-iot-operations/press-clean
          press-clean runs in default
    "#]],
    );
    resources(
        "line-a.json",
        r#"{"instanceCount": 2}"#,
        &options,
        expect![[r#"
        DataflowProfile azure-iot-operations/line-a
    "#]],
    );
    resources(
        "line-a.json",
        r#"{"diagnostics": {}}"#,
        &options,
        expect![[r#"
        DataflowProfile azure-iot-operations/line-a
    "#]],
    );
    resources(
        "thermo.json",
        r#"{"nodes": []}"#,
        &options,
        expect![[r#"
        note TG0104 1:2 tidegate doesn't run a DataflowGraph yet
        DataflowGraph azure-iot-operations/thermo
    "#]],
    );
    resources(
        "line-a.json",
        r#"{"mode": "Enabled"}"#,
        &options,
        expect![[r#"
        error TG0101 1:2 it can't be told what resource this is
            help: a manifest has `kind`, an ARM resource `type` and `name`, a config file `operations`, `nodes`, `endpointType`, `instanceCount` or `diagnostics`
    "#]],
    );
    resources(
        "x.json",
        r#"{"instanceCount": 2}"#,
        &options,
        expect![[r#"
        error TG0105 1:2 `x` can't be the name of a DataflowProfile
            help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
    "#]],
    );
    let named = LoadOptions { kind: Some(Kind::DataflowProfile), name: Some("line-b".into()), ..options };
    resources(
        "x.json",
        "{}",
        &named,
        expect![[r#"
        DataflowProfile azure-iot-operations/line-b
    "#]],
    );
}

#[test]
fn kinds_and_versions_go_together() {
    let of = |api_version: &str, kind: &str| {
        format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: abc}}\nspec: {{}}\n")
    };
    check(&of("connectivity.iotoperations.azure.com/v1beta1", "DataflowProfile"), expect![[""]]);
    check(
        &of("connectivity.iotoperations.azure.com/v2", "DataflowProfile"),
        expect![[r#"
        error TG0102 1:13 DataflowProfile has no API version `connectivity.iotoperations.azure.com/v2`
            help: write `connectivity.iotoperations.azure.com/v1`
    "#]],
    );
    check(
        &of("iotoperations.azure.com/v1", "DataflowProfile"),
        expect![[r#"
        error TG0102 1:13 DataflowProfile has no API version `iotoperations.azure.com/v1`
            help: write `connectivity.iotoperations.azure.com/v1`
    "#]],
    );
    check(
        &of("connectivity.iotoperations.azure.com/v1", "DataFlowProfile"),
        expect![[r#"
        error TG0102 2:7 `connectivity.iotoperations.azure.com/v1` has no kind `DataFlowProfile`
            help: did you mean `DataflowProfile`?
    "#]],
    );
    check(
        &of("connectivity.iotoperations.azure.com/v1", "Pipeline"),
        expect![[r#"
        error TG0102 2:7 `connectivity.iotoperations.azure.com/v1` has no kind `Pipeline`
    "#]],
    );
    check(
        &of("mqttbroker.iotoperations.azure.com/v1", "Broker"),
        expect![[r#"
        note TG0103 2:7 `Broker` of `mqttbroker.iotoperations.azure.com/v1` is passed over
    "#]],
    );
    check(
        &of("tidegate.dev/v2", "Broker"),
        expect![[r#"
        error TG0102 1:13 Broker has no API version `tidegate.dev/v2`
            help: write `tidegate.dev/v1`
    "#]],
    );
    check(
        &of("apps/v1", "Deployment"),
        expect![[r#"
        note TG0103 2:7 `Deployment` of `apps/v1` is passed over
    "#]],
    );
    check(
        &of("secret-sync.x-k8s.io/v1alpha1", "Secret"),
        expect![[r#"
        note TG0103 2:7 `Secret` of `secret-sync.x-k8s.io/v1alpha1` is passed over
    "#]],
    );
    check(
        "kind: Dataflow\nmetadata: {name: abc}\n",
        expect![[r#"
        error TG0111 1:7 `apiVersion` is missing
            help: write `apiVersion: connectivity.iotoperations.azure.com/v1`
    "#]],
    );
    check(
        "apiVersion: v1\nmetadata: {name: abc}\n",
        expect![[r#"
        error TG0111 1:1 `kind` is missing
            help: a manifest has apiVersion, kind, metadata and spec
    "#]],
    );
    check(
        "apiVersion: v1\nkind: [a]\n",
        expect![[r#"
        error TG0112 2:8 expected text, found a list
    "#]],
    );
    check(
        "apiVersion: v1\nkind: Secret\n",
        expect![[r#"
        error TG0111 1:1 `metadata` is missing
    "#]],
    );
    check(
        "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: Dataflow\nmetdata: {name: abc}\n",
        expect![[r#"
            error TG0111 1:1 `spec` is missing
                help: write `spec` with an object: what it is to be
            error TG0110 3:1 there is no field `metdata` here
                help: did you mean `metadata`?
        "#]],
    );
    check(
        "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: Dataflow\nmetadata: {nam: abc, lable: {}}\nspec: {}\n",
        expect![[r#"
            error TG0110 3:12 there is no field `nam` here
                help: did you mean `name`?
            warning TG0110 3:22 there is no field `lable` here
                help: did you mean `labels`?
        "#]],
    );
}

#[test]
fn graphs_and_registries_are_known_and_not_run() {
    check_each(["DataflowGraph", "RegistryEndpoint"].map(|kind| {
        (kind, format!("apiVersion: connectivity.iotoperations.azure.com/v1\nkind: {kind}\nmetadata: {{name: abc}}\nspec: {{any: thing}}\n"))
    }), expect![[r#"
        DataflowGraph
        note TG0104 3:18 tidegate doesn't run a DataflowGraph yet
        RegistryEndpoint
        note TG0104 3:18 tidegate doesn't run a RegistryEndpoint yet
    "#]]);
}

#[test]
fn names_are_checked_once_and_taken_once() {
    let profile = |name: &str| {
        format!(
            "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        )
    };
    let names = [
        "ab",
        "-abc",
        "abc-",
        "Abc",
        "a_c",
        "a.c",
        "''",
        "12",
        "<NAME>",
        "'${NAME}'",
        "'{{ .name }}'",
        "{{ .name }}",
        "{NAME}",
        "'df-{POSTFIX}'",
    ];
    check_each(
        names.map(|name| (name, profile(name))),
        expect![[r#"
            ab
            error TG0105 4:18 `ab` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            -abc
            error TG0105 4:18 `-abc` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            abc-
            error TG0105 4:18 `abc-` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            Abc
            error TG0105 4:18 `Abc` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            a_c
            error TG0105 4:18 `a_c` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            a.c
            error TG0105 4:18 `a.c` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            ''
            error TG0105 4:18 `` can't be the name of a DataflowProfile
                help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
            12
            error TG0112 4:18 expected text, found a number
                help: write "12"
            <NAME>
            error TG0117 4:18 `<NAME>` is a placeholder that nobody filled in
                help: put the real value here, or render the template first
            '${NAME}'
            error TG0117 4:18 `${NAME}` is a placeholder that nobody filled in
                help: put the real value here, or render the template first
            '{{ .name }}'
            error TG0117 4:18 `{{ .name }}` is a placeholder that nobody filled in
                help: put the real value here, or render the template first
            {{ .name }}
            error TG0117 4:18 `{{ .name }}` is a placeholder that nobody filled in
                help: put the real value here, or render the template first
            {NAME}
            error TG0117 4:19 `{NAME}` is a placeholder that nobody filled in
                help: put the real value here, or render the template first
            'df-{POSTFIX}'
            error TG0117 4:18 `df-{POSTFIX}` holds a placeholder that nobody filled in
                help: put the real value here, or render the template first
        "#]],
    );
    check(
        &(profile("abc") + &profile("abd") + &profile("abc")),
        expect![[r#"
        error TG0106 14:18 DataflowProfile `abc` is defined twice
            at 4:18: first here
            help: remove one, or give it another name
    "#]],
    );
    let elsewhere = profile("abc").replace("name: abc", "name: abc, namespace: other");
    check(&(profile("abc") + &elsewhere), expect![[""]]);
}

#[test]
fn the_namespace_of_resources_that_name_none_is_an_option() {
    let flow = flow("line", "[a]", "", "default", "b");
    let options = LoadOptions { namespace: "plant".into(), ..LoadOptions::default() };
    check_with(
        &options,
        &flow,
        expect![[r#"
        warning TG0401 8:38 there is no endpoint `line` in namespace `plant`
            help: give the file it is in along with this one
    "#]],
    );
    check(
        &flow.replace("name: press-clean", "name: press-clean, namespace: Plant"),
        expect![[r#"
        error TG0105 3:43 `Plant` can't be the name of a namespace
            help: a name has 1 to 253 of a-z, 0-9, - and ., first and last a letter or digit
        warning TG0401 8:38 there is no endpoint `line` in namespace `azure-iot-operations`
            help: give the file it is in along with this one
    "#]],
    );
}
