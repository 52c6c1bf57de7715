//! Data flows and profiles: the rules of section 18 of the digest by their numbers, and F1 to F11 of the endpoints'.

use expect_test::expect;

use crate::support::{check, check_each, check_strict, endpoint, flow};

const KAFKA: &str = "host: kafka.example:9092\nauthentication: {method: Anonymous}\n";
const SYSTEM: &str = "authentication: {method: SystemAssignedManagedIdentity}\n";
const GRID: &str = "host: p.westeurope-1.ts.eventgrid.azure.net:8883\nauthentication: {method: SystemAssignedManagedIdentity}\n";
const HUB: &str =
    "host: p.servicebus.windows.net:9093\nauthentication: {method: SystemAssignedManagedIdentity}\n";

/// A flow through the local broker with that transformation.
fn with(transform: &str) -> String {
    flow("default", "[a]", transform, "default", "b")
}

/// A flow from the local broker with those lines in its spec, before its operations.
fn spec(lines: &str) -> String {
    flow("default", "[a]", "", "default", "b").replace("  operations:", &format!("  {lines}\n  operations:"))
}

fn local_storage() -> String {
    endpoint("disk", "LocalStorage", "persistentVolumeClaimRef: vol")
}

fn profile(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn schema(format: &str, content: &str) -> String {
    format!(
        "---\napiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {{name: press-row}}\nspec: {{version: 1, format: {format}, content: {content}}}\n"
    )
}

const DELTA: &str = "{$schema: Delta/1.0, type: object, properties: {type: struct, fields: [
  {name: machine, type: string, nullable: false},
  {name: at, type: timestamp},
  {name: oil, type: {type: struct, fields: [{name: temp, type: double, nullable: false}, {name: level, type: double}]}, nullable: false}]}}";
const JSON_SCHEMA: &str =
    "{$schema: 'http://json-schema.org/draft-07/schema#', type: object, properties: {}}";

#[test]
fn rule_1_fields_are_of_their_type() {
    check_each(
        [
            ("mode", spec("mode: On")),
            ("persistence", spec("requestDiskPersistence: true")),
            ("operations", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: Dataflow\nmetadata: {name: abc}\nspec: {profileRef: default, operations: {}}\n".into()),
            ("name", flow("default", "[a]", "", "default", "b").replace("- operationType: Source", &format!("- operationType: Source\n      name: {}", "x".repeat(65)))),
            ("description", with(&format!("map: [{{inputs: [a], output: b, description: {}}}]", "x".repeat(257)))),
            ("key", with(&format!("datasets: [{{key: {}, inputs: [], expression: 1 == 1}}]", "x".repeat(65)))),
            ("source format", flow("default", "[a], serializationFormat: Avro", "", "default", "b")),
            ("filter type", with("filter: [{type: Fliter, inputs: [a], expression: $1 > 1}]")),
            ("map type", with("map: [{type: Copy, inputs: [a], output: b}]")),
            ("number as text", with("map: [{inputs: [a], output: b, expression: 400}]")),
            ("inputs as text", with("map: [{inputs: a, output: b}]")),
        ],
        expect![[r#"
            mode
            error TG0113 6:9 `On` is not `Enabled` or `Disabled`
            persistence
            error TG0112 6:27 expected `Enabled` or `Disabled`, found a boolean
            operations
            error TG0112 4:41 expected a list of objects, found an object
            name
            error TG0115 8:13 this is 65 characters long; 64 are allowed
            description
            error TG0115 11:53 this is 257 characters long; 256 are allowed
            key
            error TG0115 11:26 this is 65 characters long; 64 are allowed
            source format
            error TG0113 8:86 `Avro` is not `Json`
            filter type
            error TG0113 11:25 `Fliter` is not `Filter`
                help: did you mean `Filter`?
            note TG0318 11:58 drops messages where a > 1
            map type
            error TG0113 11:22 `Copy` is not `NewProperties`, `Rename`, `Compute`, `PassThrough` or `BuiltInFunction`
            number as text
            error TG0112 11:52 expected text, found a number
                help: write "400"
            inputs as text
            error TG0112 11:24 expected a list, each text, found text
        "#]],
    );
}

#[test]
fn rule_1_headers_have_a_value_unless_they_are_removed() {
    let headers = |h: &str| flow("default", "[a]", "", "default", &format!("b, headers: [{h}]"));
    let all = [
        "{actionType: AddIfNotPresent, key: k, value: v}, {actionType: AddOrReplace, key: k, value: ''}, {actionType: Remove, key: k}",
        "{actionType: AddOrReplace, key: k}",
        "{actionType: Remove, key: k, value: v}",
        "{actionType: Delete, key: k}",
        "{key: k, value: v}",
        "{actionType: Remove}",
    ];
    check_each(
        all.map(|h| (h, headers(h))),
        expect![[r#"
        {actionType: AddIfNotPresent, key: k, value: v}, {actionType: AddOrReplace, key: k, value: ''}, {actionType: Remove, key: k}
        {actionType: AddOrReplace, key: k}
        error TG0308 10:95 AddOrReplace needs `value`
        {actionType: Remove, key: k, value: v}
        error TG0308 10:118 a header that is removed has no value
            at 10:95: the action
        {actionType: Delete, key: k}
        error TG0113 10:95 `Delete` is not `AddIfNotPresent`, `AddOrReplace` or `Remove`
        {key: k, value: v}
        error TG0111 10:83 `actionType` is missing
            help: write `actionType` with `AddIfNotPresent`, `AddOrReplace` or `Remove`: what is done
        {actionType: Remove}
        error TG0111 10:83 `key` is missing
            help: write `key` with text: the header's name
    "#]],
    );
}

#[test]
fn rule_1_profiles_have_1_to_20_instances() {
    let specs = [
        "{}",
        "{instanceCount: 0}",
        "{instanceCount: 21}",
        "{instanceCount: two}",
        "{diagnostics: {logs: {level: 'warn,tidegate=debug'}, metrics: {prometheusPort: 65536}}}",
        "{diagnostics: {logs: {level: loud}}}",
        "{maxInstances: 2}",
    ];
    check_each(
        specs.map(|s| (s, profile("line-a", s))),
        expect![[r#"
        {}
        {instanceCount: 0}
        error TG0114 5:23 0 is not a whole number from 1 to 20
        {instanceCount: 21}
        error TG0114 5:23 21 is not a whole number from 1 to 20
        {instanceCount: two}
        error TG0112 5:23 expected a whole number from 1 to 20, found text
        {diagnostics: {logs: {level: 'warn,tidegate=debug'}, metrics: {prometheusPort: 65536}}}
        error TG0114 5:86 65536 is not a whole number from 0 to 65535
        {diagnostics: {logs: {level: loud}}}
        warning TG0212 5:36 `loud` is no log level
            help: the levels are off, error, warn, info, debug, trace
        {maxInstances: 2}
        warning TG0110 5:8 there is no field `maxInstances` here
            help: there is `instanceCount` and `diagnostics`
    "#]],
    );
}

#[test]
fn rule_2_one_source_one_destination_one_transformation() {
    let whole = with("map: []");
    let (head, rest) = whole.split_once("    - operationType: Source\n").unwrap();
    let (source, rest) = rest.split_once("    - operationType: BuiltInTransformation\n").unwrap();
    let (transform, destination) = rest.split_once("    - operationType: Destination\n").unwrap();
    let [s, t, d] = [("Source", source), ("BuiltInTransformation", transform), ("Destination", destination)]
        .map(|(name, settings)| format!("    - operationType: {name}\n{settings}"));
    check_each(
        [
            ("s t d", format!("{head}{s}{t}{d}")),
            ("d t s", format!("{head}{d}{t}{s}")),
            ("s", format!("{head}{s}")),
            ("t d", format!("{head}{t}{d}")),
            ("s s d d", format!("{head}{s}{s}{d}{d}")),
            ("s t t d", format!("{head}{s}{t}{t}{d}")),
            ("none", format!("{head}    []\n")),
            ("s and one that is misspelt", format!("{head}{s}{}", d.replace("Destination", "Destinatoin"))),
        ],
        expect![[r#"
            s t d
            d t s
            s
            error TG0301 7:7 there is no operation of type Destination
                help: a data flow has one Source and one Destination
            t d
            error TG0301 7:7 there is no operation of type Source
                help: a data flow has one Source and one Destination
            s s d d
            error TG0301 9:22 there is more than one operation of type Source
                at 7:22: first here
                help: make another data flow of it
            error TG0301 13:22 there is more than one operation of type Destination
                at 11:22: first here
                help: make another data flow of it
            s t t d
            error TG0301 12:22 there is more than one operation of type BuiltInTransformation
                at 9:22: first here
                help: make another data flow of it
            none
            error TG0301 7:5 there is no operation of type Source
                help: a data flow has one Source and one Destination
            error TG0301 7:5 there is no operation of type Destination
                help: a data flow has one Source and one Destination
            s and one that is misspelt
            error TG0113 9:22 `Destinatoin` is not `Source`, `Destination` or `BuiltInTransformation`
                help: did you mean `Destination`?
            error TG0110 10:52 there is no field `dataDestinatoin` here
                help: did you mean `dataDestination`?
        "#]],
    );
}

#[test]
fn rule_3_settings_match_their_operation() {
    let flow = flow("default", "[a]", "", "default", "b");
    check(
        &flow.replace(
            "- operationType: Source",
            "- operationType: Source\n      destinationSettings: {endpointRef: default, dataDestination: c}",
        ),
        expect![[r#"
            warning TG0302 8:7 `destinationSettings` means nothing in an operation of type Source
                at 7:22: the type
                help: remove it, or give it an operation of its own
        "#]],
    );
    check(
        &flow.replace("sourceSettings: {", "sourceSettings:\n      x: {"),
        expect![[r#"
        error TG0302 7:22 an operation of type Source needs `sourceSettings`
        warning TG0110 9:7 there is no field `x` here
            help: there is `operationType`, `name`, `sourceSettings`, `builtInTransformationSettings` and `destinationSettings`
    "#]],
    );
}

#[test]
fn rule_4_there_is_a_data_source() {
    let sources = ["[]", "['']", "[' ']", "[a, 1]", "[a, null]", "a"];
    check_each(
        sources.map(|s| (s, flow("default", s, "", "default", "b"))),
        expect![[r#"
        []
        error TG0303 8:60 a source needs at least one data source
            help: list topic filters such as `factory/+/temperature`, or Kafka topics
        ['']
        error TG0115 8:61 this must not be empty
        [' ']
        error TG0115 8:61 this must not be empty
        [a, 1]
        error TG0112 8:64 expected text, found a number
            help: write "1"
        [a, null]
        error TG0112 8:64 expected text, found nothing
        a
        error TG0112 8:60 expected a list, each text, found text
    "#]],
    );
}

#[test]
fn rule_5_topic_filters_are_valid() {
    let good = flow(
        "default",
        "['#', '+', a/+/b, 'a/#', $share/g/a, '$shared/g/a/#', /, 'a b']",
        "",
        "default",
        "b",
    );
    check(&good, expect![[""]]);
    let bad = flow(
        "default",
        "['a/#/b', 'a#', 'a+/b', $share/g, $share//a, $shared/+/a, \"a\\0\"]",
        "",
        "default",
        "b",
    );
    check(
        &bad,
        expect![[r#"
            error TG0304 8:64 `#` stands alone in the last level of a topic filter
            error TG0304 8:71 `#` stands alone in the last level of a topic filter
            error TG0304 8:77 `+` stands alone in its level of a topic filter
            error TG0304 8:84 a shared subscription is `$share/<group>/<filter>`, the group without + or #
            error TG0304 8:94 a shared subscription is `$share/<group>/<filter>`, the group without + or #
            error TG0304 8:105 a shared subscription is `$share/<group>/<filter>`, the group without + or #
            error TG0304 8:118 a topic filter holds no U+0000
        "#]],
    );
}

#[test]
fn rule_6_kafka_topics_are_plain_names() {
    let line = endpoint("line", "Kafka", &format!("{KAFKA}consumerGroupId: g"));
    let source = |sources: &str| flow("line", sources, "", "default", "b") + &line;
    check_each(
        ["[presses, a.b_c-1]", "['press/+', '#', $share/g/a, ..]"].map(|s| (s, source(s))),
        expect![[r#"
            [presses, a.b_c-1]
            ['press/+', '#', $share/g/a, ..]
            error TG0305 8:65 a Kafka topic has no wildcards
                help: Kafka topics are plain names, without levels, wildcards and variables
            error TG0305 8:70 a Kafka topic has no wildcards
                help: Kafka topics are plain names, without levels, wildcards and variables
            error TG0305 8:74 a Kafka topic has no wildcards
                help: Kafka topics are plain names, without levels, wildcards and variables
            warning TG0305 8:86 Kafka takes names of 1 to 249 characters, and neither `.` nor `..`
        "#]],
    );
    let long = "x".repeat(250);
    check(
        &source(&format!("[{long}]")),
        expect![[r#"
            warning TG0305 8:58 Kafka takes names of 1 to 249 characters, and neither `.` nor `..`
        "#]],
    );
    let destination = |d: &str| flow("default", "[a]", "", "line", d) + &line;
    check_each(
        ["factory/press", "'press #1'", "'${inputTopic.1}'"].map(|d| (d, destination(d))),
        expect![[r#"
            factory/press
            warning TG0305 10:73 Kafka takes no `/` in the name of a topic
                help: Kafka topics are plain names, without levels, wildcards and variables
            'press #1'
            error TG0305 10:73 a Kafka topic has no wildcards
                help: Kafka topics are plain names, without levels, wildcards and variables
            '${inputTopic.1}'
            error TG0307 10:67 the destination of an endpoint of type Kafka is a plain name
                help: only MQTT topics take variables
        "#]],
    );
}

#[test]
fn rule_7_endpoints_exist() {
    let text = flow("lien", "[a]", "", "defualt", "b")
        + &endpoint("line", "Kafka", &format!("{KAFKA}consumerGroupId: g"));
    check(
        &text,
        expect![[r#"
            warning TG0401 8:38 there is no endpoint `lien` in namespace `azure-iot-operations`
                help: did you mean `line`?
            warning TG0401 10:43 there is no endpoint `defualt` in namespace `azure-iot-operations`
                help: did you mean `default`?
        "#]],
    );
    check_strict(
        &text,
        expect![[r#"
            error TG0401 8:38 there is no endpoint `lien` in namespace `azure-iot-operations`
                help: did you mean `line`?
            error TG0401 10:43 there is no endpoint `defualt` in namespace `azure-iot-operations`
                help: did you mean `default`?
        "#]],
    );
    // One in another namespace is another one, and one with an error in it is there nevertheless.
    let elsewhere = endpoint("line", "Kafka", KAFKA).replace("name: line", "name: line, namespace: other");
    check(
        &(flow("default", "[a]", "", "line", "b") + &elsewhere),
        expect![[r#"
        warning TG0401 10:43 there is no endpoint `line` in namespace `azure-iot-operations`
            help: give the file it is in along with this one
    "#]],
    );
    check(
        &(flow("default", "[a]", "", "line", "b") + &endpoint("line", "Kafka", "host: kafka.example")),
        expect![[r#"
            error TG0111 17:3 `authentication` is missing
                help: write `authentication:` with a `method`, `X509Certificate`, `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity`, `Sasl` or `Anonymous`
            error TG0207 18:11 `kafka.example` is not `<host>:<port>`
                help: add the port, such as `kafka.example:9092`
        "#]],
    );
}

#[test]
fn rule_8_f2_sources_are_mqtt_or_kafka() {
    check(
        &(flow("disk", "[a]", "", "default", "b") + &local_storage()),
        expect![[r#"
        error TG0406 8:38 an endpoint of type LocalStorage can't be a source
            at 14:19: defined here
            help: a source is of type Mqtt or Kafka
    "#]],
    );
}

#[test]
fn rule_9_f3_kafka_sources_have_a_consumer_group() {
    check(
        &(flow("line", "[a]", "", "default", "b") + &endpoint("line", "Kafka", KAFKA)),
        expect![[r#"
        error TG0407 8:38 a Kafka endpoint needs `consumerGroupId` to be a source
            at 14:19: defined here
    "#]],
    );
}

#[test]
fn rule_10_f1_one_end_is_the_local_broker() {
    let line = endpoint("line", "Kafka", &format!("{KAFKA}consumerGroupId: g"));
    let other = endpoint("line-b", "Kafka", KAFKA);
    check(
        &(flow("line", "[a]", "", "line-b", "b") + &line + &other),
        expect![[r#"
        error TG0408 10:43 neither the source nor the destination is the local broker
            at 8:38: the source
            help: use the endpoint `default` for one of them, or another of type Mqtt with the host `aio-broker`
    "#]],
    );
    // What isn't known can't be told.
    check(
        &(flow("line", "[a]", "", "line-c", "b") + &line),
        expect![[r#"
        warning TG0401 10:43 there is no endpoint `line-c` in namespace `azure-iot-operations`
            help: did you mean `line`?
    "#]],
    );
    let local = endpoint("local", "Mqtt", "host: aio-broker\nauthentication: {method: Anonymous}");
    check(&(flow("line", "[a]", "", "local", "b") + &line + &local), expect![[""]]);
}

#[test]
fn rule_11_profiles_exist() {
    let text = flow("default", "[a]", "", "default", "b")
        .replace("profileRef: default", "profileRef: line-b")
        + &profile("line-a", "{}");
    check(
        &text,
        expect![[r#"
        warning TG0402 5:15 there is no profile `line-b` in namespace `azure-iot-operations`
            help: did you mean `line-a`?
    "#]],
    );
    check_strict(
        &text,
        expect![[r#"
        error TG0402 5:15 there is no profile `line-b` in namespace `azure-iot-operations`
            help: did you mean `line-a`?
    "#]],
    );
    check(
        &flow("default", "[a]", "", "default", "b").replace("  profileRef: default\n", ""),
        expect![[r#"
        warning TG0316 4:1 `profileRef` is missing
            help: write `profileRef: default`, which is what it is taken for
    "#]],
    );
}

#[test]
fn rule_13_destination_topics_are_valid() {
    let topics = [
        "'${inputTopic}'",
        "'a/${inputTopic.2}/b'",
        "a/$inputTopic.2",
        "'a/${other}'",
        "'a/#'",
        "a/+/b",
        "'${inputTopic.0}'",
        "'${inputTopic.x}'",
        "'${outputTopic}'",
    ];
    check_each(
        topics.map(|t| (t, flow("default", "[a]", "", "default", t))),
        expect![[r#"
        '${inputTopic}'
        'a/${inputTopic.2}/b'
        a/$inputTopic.2
        'a/${other}'
        warning TG0117 10:72 `${other}` looks like a placeholder that nobody filled in
        'a/#'
        error TG0306 10:72 a destination topic holds no wildcard and no U+0000
        a/+/b
        error TG0306 10:71 a destination topic holds no wildcard and no U+0000
        '${inputTopic.0}'
        error TG0306 10:70 `${inputTopic.N}` takes a level number from 1
        '${inputTopic.x}'
        error TG0306 10:70 `${inputTopic.N}` takes a level number from 1
        '${outputTopic}'
        error TG0306 10:70 `${outputTopic}` exists in data flow graphs only
    "#]],
    );
}

#[test]
fn rule_14_other_destinations_are_static() {
    let transform =
        "serializationFormat: Parquet\nschemaRef: aio-sr://press-row:1\nmap: [{inputs: ['*'], output: '*'}]";
    let text = schema("Delta/1.0", DELTA) + &local_storage();
    check(
        &(flow("default", "[a]", transform, "disk", "'a/${inputTopic.1}'") + &text),
        expect![[r#"
        error TG0307 15:69 the destination of an endpoint of type LocalStorage is a plain name
            help: only MQTT topics take variables
    "#]],
    );
    let folders = [
        "presses",
        "presses/raw",
        "/presses",
        "../presses",
        "presses/../..",
        "presses//raw",
        "'C:\\presses'",
    ];
    check_each(
        folders.map(|f| (f, flow("default", "[a]", transform, "disk", f) + &text)),
        expect![[r#"
        presses
        presses/raw
        /presses
        error TG0319 15:66 this is no folder inside the volume
            help: write a relative path such as `sensors/raw`, without `.` and `..`
        ../presses
        error TG0319 15:66 this is no folder inside the volume
            help: write a relative path such as `sensors/raw`, without `.` and `..`
        presses/../..
        error TG0319 15:66 this is no folder inside the volume
            help: write a relative path such as `sensors/raw`, without `.` and `..`
        presses//raw
        error TG0319 15:66 this is no folder inside the volume
            help: write a relative path such as `sensors/raw`, without `.` and `..`
        'C:\presses'
        error TG0319 15:66 this is no folder inside the volume
            help: write a relative path such as `sensors/raw`, without `.` and `..`
    "#]],
    );
}

#[test]
fn rule_15_16_f4_f7_storage_needs_a_schema_and_a_format_of_rows() {
    let transforms = [
        "",
        "map: []",
        "serializationFormat: Json",
        "serializationFormat: Parquet\nmap: [{inputs: [a], output: machine}]",
        "schemaRef: aio-sr://press-row:1",
        "serializationFormat: Json\nschemaRef: aio-sr://press-row:1",
        "schemaRef: ''\nserializationFormat: Parquet\nmap: [{inputs: ['*'], output: '*'}]",
    ];
    let rest = schema("Delta/1.0", DELTA) + &local_storage();
    check_each(
        transforms.map(|t| (t, flow("default", "[a]", t, "disk", "b") + &rest)),
        expect![[r#"

        error TG0409 10:43 a destination of type LocalStorage needs `schemaRef`
            help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
        map: []
        error TG0409 10:7 a destination of type LocalStorage needs `schemaRef`
            help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
        serializationFormat: Json
        error TG0409 10:7 a destination of type LocalStorage needs `schemaRef`
            help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
        error TG0410 11:30 a destination of type LocalStorage takes no Json
            help: write `serializationFormat: Delta` or `Parquet`
        serializationFormat: Parquet
        map: [{inputs: [a], output: machine}]
        error TG0409 10:7 a destination of type LocalStorage needs `schemaRef`
            help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
        schemaRef: aio-sr://press-row:1
        error TG0410 10:7 a destination of type LocalStorage takes no Json
            help: write `serializationFormat: Delta` or `Parquet`
        serializationFormat: Json
        schemaRef: aio-sr://press-row:1
        error TG0410 11:30 a destination of type LocalStorage takes no Json
            help: write `serializationFormat: Delta` or `Parquet`
        schemaRef: ''
        serializationFormat: Parquet
        map: [{inputs: ['*'], output: '*'}]
        error TG0409 10:7 a destination of type LocalStorage needs `schemaRef`
            help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
    "#]],
    );
    let lakes = [
        (
            "lake",
            endpoint("lake", "DataLakeStorage", &format!("host: plant.blob.core.windows.net\n{SYSTEM}")),
        ),
        (
            "onelake",
            endpoint(
                "onelake",
                "FabricOneLake",
                &format!(
                    "host: onelake.dfs.fabric.microsoft.com\nnames: {{workspaceName: w, lakehouseName: l}}\noneLakePathType: Tables\n{SYSTEM}"
                ),
            ),
        ),
        (
            "adx",
            endpoint(
                "adx",
                "DataExplorer",
                &format!("host: p.westeurope.kusto.windows.net\ndatabase: d\n{SYSTEM}"),
            ),
        ),
    ];
    check_each(
        lakes.map(|(name, lake)| (name, flow("default", "[a]", "", name, "b") + &lake)),
        expect![[r#"
            lake
            error TG0409 10:43 a destination of type DataLakeStorage needs `schemaRef`
                help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
            onelake
            error TG0409 10:43 a destination of type FabricOneLake needs `schemaRef`
                help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
            adx
            error TG0409 10:43 a destination of type DataExplorer needs `schemaRef`
                help: write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`
        "#]],
    );
}

#[test]
fn rule_17_f7_brokers_take_json() {
    let rest = schema("Delta/1.0", DELTA)
        + &endpoint("line", "Kafka", KAFKA)
        + &endpoint(
            "otel",
            "OpenTelemetry",
            "host: h:1\nauthentication: {method: Anonymous, anonymousSettings: {}}",
        );
    let transform = |format: &str| {
        format!(
            "serializationFormat: {format}\nschemaRef: aio-sr://press-row:1\nmap: [{{inputs: ['*'], output: '*'}}]"
        )
    };
    let to = [("default", "Delta"), ("line", "Parquet"), ("otel", "Parquet"), ("otel", "Json")];
    check_each(
        to.map(|(name, format)| {
            (format!("{name} {format}"), flow("default", "[a]", &transform(format), name, "b") + &rest)
        }),
        expect![[r#"
            default Delta
            error TG0410 11:30 a destination of type Mqtt takes no Delta
                help: write `serializationFormat: Json`, or leave it out
            line Parquet
            error TG0410 11:30 a destination of type Kafka takes no Parquet
                help: write `serializationFormat: Json`, or leave it out
            otel Parquet
            error TG0410 11:30 a destination of type OpenTelemetry takes no Parquet
                help: write `serializationFormat: Json`, or leave it out
            warning TG0414 15:43 tidegate doesn't send to OpenTelemetry endpoints yet
            otel Json
            warning TG0414 15:43 tidegate doesn't send to OpenTelemetry endpoints yet
        "#]],
    );
}

#[test]
fn rule_18_local_storage_with_delta_is_doubtful() {
    let transform =
        "serializationFormat: Delta\nschemaRef: aio-sr://press-row:1\nmap: [{inputs: ['*'], output: '*'}]";
    check(
        &(flow("default", "[a]", transform, "disk", "b") + &schema("Delta/1.0", DELTA) + &local_storage()),
        expect![[r#"
            warning TG0410 11:30 some of the product's pages say that local storage takes Parquet only
        "#]],
    );
}

#[test]
fn rule_19_schemas_are_of_the_right_format() {
    let transform = "serializationFormat: Parquet\nschemaRef: aio-sr://press-row:1\ndatasets: [{key: k, inputs: [], expression: 1 == 1, schemaRef: 'aio-sr://press-row:1'}]";
    let flow =
        flow("default", "[a], schemaRef: 'aio-sr://press-row:1'", transform, "disk", "b") + &local_storage();
    check(
        &(flow.clone() + &schema("Delta/1.0", DELTA)),
        expect![[r#"
        error TG0411 8:76 this schema is Delta/1.0, and JsonSchema/draft-07 is needed here
        warning TG0416 12:20 without a map no column is filled
            help: add a `map`; `*` to `*` fills the columns called as the message's fields
        error TG0411 13:72 this schema is Delta/1.0, and JsonSchema/draft-07 is needed here
    "#]],
    );
    check(
        &(flow + &schema("JsonSchema/draft-07", JSON_SCHEMA)),
        expect![[r#"
        error TG0411 12:20 this schema is JsonSchema/draft-07, and Delta/1.0 is needed here
    "#]],
    );
}

#[test]
fn rule_20_schema_references_are_well_formed_and_resolve() {
    let refs = [
        "aio-sr://plant/press-row:1",
        "aio-sr://press-row:2",
        "aio-sr://press-row:1.0.0",
        "press-row",
        "aio-sr://Press:1",
        "''",
        "5",
    ];
    check_each(
        refs.map(|r| {
            let flow = flow("default", &format!("[a], schemaRef: {r}"), "", "default", "b");
            (r, flow + &schema("JsonSchema/draft-07", JSON_SCHEMA))
        }),
        expect![[r#"
            aio-sr://plant/press-row:1
            aio-sr://press-row:2
            warning TG0403 8:76 there is no version 2 of schema `press-row`
                help: give the Schema along with the flow
            aio-sr://press-row:1.0.0
            warning TG0315 8:76 `aio-sr://press-row:1.0.0` is no schema reference
                help: write `aio-sr://<namespace>/<name>:<version>`; the version is a number
            press-row
            warning TG0315 8:76 `press-row` is no schema reference
                help: write `aio-sr://<namespace>/<name>:<version>`; the version is a number
            aio-sr://Press:1
            warning TG0315 8:76 `aio-sr://Press:1` is no schema reference
                help: write `aio-sr://<namespace>/<name>:<version>`; the version is a number
            ''
            5
            error TG0112 8:76 expected text, found a number
                help: write "5"
        "#]],
    );
    let text = flow("default", "[a], schemaRef: x", "schemaRef: 'aio-sr://press-row:3'", "default", "b")
        + &schema("JsonSchema/draft-07", JSON_SCHEMA);
    check_strict(
        &text,
        expect![[r#"
        error TG0315 8:76 `x` is no schema reference
            help: write `aio-sr://<namespace>/<name>:<version>`; the version is a number
        error TG0403 11:20 there is no version 3 of schema `press-row`
            help: give the Schema along with the flow
    "#]],
    );
}

#[test]
fn rule_21_one_dataset_is_what_the_api_takes() {
    let datasets =
        "datasets: [{key: a, inputs: [], expression: 1 == 1}, {key: b, inputs: [], expression: 1 == 1}]";
    check(
        &with(datasets),
        expect![[r#"
        warning TG0314 11:63 the product's API takes one dataset at most
    "#]],
    );
    check(
        r#"{"operations": [
  {"operationType": "Source", "sourceSettings": {"endpointRef": "default", "dataSources": ["a/#"]}},
  {"operationType": "BuiltInTransformation", "builtInTransformationSettings": {"datasets": [
    {"key": "a", "inputs": [], "expression": "1 == 1"},
    {"key": "b", "inputs": [], "expression": "1 == 1"}]}},
  {"operationType": "Destination", "destinationSettings": {"endpointRef": "default", "dataDestination": "b"}}]}"#,
        expect![[r#"
            error TG0314 5:6 the product's API takes one dataset at most
        "#]],
    );
}

#[test]
fn rule_22_datasets_say_what_belongs_together() {
    let datasets = [
        "{key: lines as line, inputs: ['$source.id', '$context.id'], expression: $1 == $2}",
        "{key: lines, inputs: ['$source.id', '$context(lines).id'], expression: $1 == $2}",
        "{key: lines, inputs: [id, $context.id], expression: $1 == $2}",
        "{key: lines, inputs: ['$source.*', $context.id], expression: $1 == $2}",
        "{key: lines, inputs: [$source.id, $context(other).id], expression: $1 == $2}",
        "{key: lines, inputs: [$source.id, $context.id]}",
        "{key: lines, inputs: [$source.id, $context.id], expression: $1 + $2 + 'x'}",
        "{key: ' as line', inputs: [], expression: 1 == 1}",
        "{inputs: [], expression: 1 == 1}",
        "{key: a as x, inputs: [], expression: 1 == 1}, {key: b as x, inputs: [], expression: 1 == 1}",
    ];
    check_each(
        datasets.map(|d| (d, with(&format!("datasets: [{d}]")))),
        expect![[r#"
            {key: lines as line, inputs: ['$source.id', '$context.id'], expression: $1 == $2}
            {key: lines, inputs: ['$source.id', '$context(lines).id'], expression: $1 == $2}
            {key: lines, inputs: [id, $context.id], expression: $1 == $2}
            error TG0314 11:42 an input of a dataset says where it is from
                help: write `$source.id` for a field of the message, `$context.id` for one of the record
            {key: lines, inputs: ['$source.*', $context.id], expression: $1 == $2}
            error TG0311 11:43 no `*` in a dataset rule
                help: name the field; wildcards are for map rules
            {key: lines, inputs: [$source.id, $context(other).id], expression: $1 == $2}
            error TG0311 11:54 no dataset is called `other`
                help: add it to `datasets`
            {key: lines, inputs: [$source.id, $context.id]}
            error TG0111 11:21 `expression` is missing
                help: write `expression` with text: when a record belongs to the message
            {key: lines, inputs: [$source.id, $context.id], expression: $1 + $2 + 'x'}
            error TG0312 11:80 a dataset's formula is true or false, and this is a float or a text
                help: compare it, such as `$1 > 20`
            {key: ' as line', inputs: [], expression: 1 == 1}
            error TG0314 11:27 the dataset has no key
                help: write the key in the state store, perhaps with an alias: `assets.line7 as line`
            {inputs: [], expression: 1 == 1}
            error TG0111 11:21 `key` is missing
                help: write `key` with text of at most 64 characters: the key in the state store, perhaps with an alias: `<key> as <alias>`
            {key: a as x, inputs: [], expression: 1 == 1}, {key: b as x, inputs: [], expression: 1 == 1}
            warning TG0314 11:68 the product's API takes one dataset at most
            error TG0314 11:73 another dataset is called `x`
                help: give this one an alias: `b as <alias>`
        "#]],
    );
}

#[test]
fn rule_23_filters_name_fields_and_say_what_they_do() {
    let filters = [
        "{inputs: [temperature], expression: $1 <= 20}",
        "{inputs: ['temperature ? $last', $metadata.topic], expression: '$1 > 20 && $2 == \"a\"'}",
        "{inputs: ['*'], expression: $1 > 20}",
        "{inputs: [a], expression: $1 + 1}",
        "{inputs: [a], expression: $2 > 1}",
        "{inputs: [a], expression: ''}",
        "{inputs: [a]}",
        "{expression: 1 > 2}",
    ];
    check_each(
        filters.map(|f| (f, with(&format!("filter: [{f}]")))),
        expect![[r#"
        {inputs: [temperature], expression: $1 <= 20}
        note TG0318 11:54 drops messages where temperature <= 20
        {inputs: ['temperature ? $last', $metadata.topic], expression: '$1 > 20 && $2 == "a"'}
        note TG0318 11:81 drops messages where temperature > 20 && $metadata.topic == "a"
        {inputs: ['*'], expression: $1 > 20}
        error TG0311 11:29 no `*` in a filter rule
            help: name the field; wildcards are for map rules
        {inputs: [a], expression: $1 + 1}
        error TG0312 11:44 a filter's formula is true or false, and this is a number or a text
            help: compare it, such as `$1 > 20`
        {inputs: [a], expression: $2 > 1}
        error TG0312 11:44 `$2` is beyond the rule's only input, `$1`
            help: add a path to the rule's `inputs`
        {inputs: [a], expression: ''}
        error TG0312 11:45 a filter needs a formula
            help: write a condition, such as `$1 > 20`
        {inputs: [a]}
        error TG0111 11:19 `expression` is missing
            help: write `expression` with text: true or false of a message
        {expression: 1 > 2}
        error TG0111 11:19 `inputs` is missing
            help: write `inputs` with a list, each text: fields of the message
    "#]],
    );
    let passing = with("filter: [{inputs: [temperature], expression: $1 <= 20}]").replace(
        "{ name: press-clean }",
        "{name: press-clean, annotations: {tidegate.dev/filter-semantics: pass-when-true}}",
    );
    check(
        &passing,
        expect![[r#"
        note TG0318 11:54 drops messages unless temperature <= 20
    "#]],
    );
    check(
        &passing.replace("pass-when-true", "keep"),
        expect![[r#"
        error TG0113 3:76 `keep` is not `drop-when-true` or `pass-when-true`
        note TG0318 11:54 drops messages where temperature <= 20
    "#]],
    );
}

#[test]
fn rule_24_map_rules_have_a_possible_shape() {
    let rules = [
        "{inputs: [a], output: b}",
        "{inputs: [a, b], output: c, expression: $1 + $2}",
        "{inputs: [], output: c, expression: '400'}",
        "{inputs: ['*'], output: '*'}, {inputs: [a, b], output: ''}",
        "{inputs: ['*'], output: '*'}, {inputs: [a], output: , expression: ''}",
        "{inputs: ['*'], output: '*'}, {inputs: [a], output: null, expression: null}",
        "{inputs: [a, b], output: c}",
        "{inputs: [a], output: '', expression: $1}",
        "{inputs: [], output: c}",
        "{inputs: [], output: ''}",
        "{inputs: [a]}",
        "{output: b}",
    ];
    check_each(
        rules.map(|r| (r, with(&format!("map: [{r}]")))),
        expect![[r#"
        {inputs: [a], output: b}
        {inputs: [a, b], output: c, expression: $1 + $2}
        {inputs: [], output: c, expression: '400'}
        {inputs: ['*'], output: '*'}, {inputs: [a, b], output: ''}
        {inputs: ['*'], output: '*'}, {inputs: [a], output: , expression: ''}
        {inputs: ['*'], output: '*'}, {inputs: [a], output: null, expression: null}
        {inputs: [a, b], output: c}
        error TG0309 11:16 several inputs need a formula that makes one value of them
            help: add `expression`, such as `$1 + $2`
        {inputs: [a], output: '', expression: $1}
        warning TG0311 11:25 `a` is not removed from anything
            help: only what earlier rules with `*` copy can be left out; put this rule after them
        error TG0312 11:53 a rule without an output computes nothing
            help: remove the formula, or say where its value goes
        {inputs: [], output: c}
        error TG0309 11:16 the rule has neither inputs nor a formula
        {inputs: [], output: ''}
        error TG0309 11:16 the rule has neither inputs nor an output
        {inputs: [a]}
        error TG0111 11:16 `output` is missing
            help: write `output` with text: the field to write; empty removes what the inputs name from the result of earlier rules
        {output: b}
        error TG0111 11:16 `inputs` is missing
            help: write `inputs` with a list, each text: fields of the message
    "#]],
    );
}

#[test]
fn rule_25_wildcards_are_whole_segments_and_stand_for_each_other() {
    let rules = [
        "{inputs: ['*.max', '*.min'], output: 'avg.*', expression: ($1 + $2) / 2}",
        "{inputs: ['Sens*'], output: '*'}",
        "{inputs: ['*.a.*'], output: '*'}",
        "{inputs: ['*'], output: 'a.*.*'}",
        "{inputs: [a], output: '*'}",
        "{inputs: ['*'], output: a}",
        "{inputs: [a, '*'], output: 'b.*', expression: $1 + $2}",
        "{inputs: ['\"*\"'], output: star}",
    ];
    check_each(
        rules.map(|r| (r, with(&format!("map: [{r}]")))),
        expect![[r#"
        {inputs: ['*.max', '*.min'], output: 'avg.*', expression: ($1 + $2) / 2}
        {inputs: ['Sens*'], output: '*'}
        error TG0311 11:26 `*` is a whole segment, not a part of a name
            help: match the whole segment with `*`, or put a name that holds a `*` in double quotes
        {inputs: ['*.a.*'], output: '*'}
        error TG0311 11:30 a path has at most one `*`
            help: one `*` captures one or more segments
        {inputs: ['*'], output: 'a.*.*'}
        error TG0311 11:44 a path has at most one `*`
            help: one `*` captures one or more segments
        {inputs: [a], output: '*'}
        error TG0311 11:38 there is no `*` in the inputs that this one could stand for
            help: name the field to write
        {inputs: ['*'], output: a}
        error TG0311 11:39 every field that `*` matches would be written to the same place
            help: put a `*` in the output as well
        {inputs: [a, '*'], output: 'b.*', expression: $1 + $2}
        error TG0311 11:29 the first input decides what `*` stands for
            help: put an input with `*` first
        {inputs: ['"*"'], output: star}
    "#]],
    );
}

#[test]
fn rule_26_formulas_parse_and_use_what_there_is() {
    let rules = [
        "{inputs: [a], output: b, expression: cToF($1)}",
        "{inputs: [a], output: b, expression: cToG($1)}",
        "{inputs: [a], output: b, expression: $1 +}",
        "{inputs: [a], output: b, expression: $1 + $2}",
        "{inputs: ['a ?? 0'], output: b}",
        "{inputs: [a], output: b, expression: 'str::regex_matches($1, \"x\")'}",
        "{inputs: [a], output: b, expression: '$1 == 1 or $1 == 2'}",
        "{inputs: ['$context(line).hall'], output: hall}",
        "{inputs: [$context.hall], output: hall}",
        "{inputs: [a..b], output: b}",
        "{inputs: ['@\"Tag 10\".Value'], output: b}",
        "{inputs: ['$metdata.topic'], output: b}",
        "{inputs: [a], output: $metadata.topic}",
    ];
    check_each(
        rules.map(|r| (r, with(&format!("map: [{r}]")))),
        expect![[r#"
        {inputs: [a], output: b, expression: cToF($1)}
        {inputs: [a], output: b, expression: cToG($1)}
        error TG0312 11:52 no function `cToG`
            help: did you mean `cToF`?
        {inputs: [a], output: b, expression: $1 +}
        error TG0312 11:56 the formula ends where a value is expected
        {inputs: [a], output: b, expression: $1 + $2}
        error TG0312 11:57 `$2` is beyond the rule's only input, `$1`
            help: add a path to the rule's `inputs`
        {inputs: ['a ?? 0'], output: b}
        error TG0311 11:27 `??` exists in data flow graphs only
            help: test for a missing value in the expression, such as `if($1 == (), 0, $1)`
        {inputs: [a], output: b, expression: 'str::regex_matches($1, "x")'}
        error TG0312 11:53 `str::regex_matches` exists in data flow graphs only
        {inputs: [a], output: b, expression: '$1 == 1 or $1 == 2'}
        error TG0312 11:61 no operator `or`
            help: write `||`
        {inputs: ['$context(line).hall'], output: hall}
        error TG0311 11:26 no dataset is called `line`
            help: add it to `datasets`
        {inputs: [$context.hall], output: hall}
        error TG0311 11:25 `$context` alone is the record under test, which only a dataset's rule has
            help: name the dataset: `$context(<alias or key>).<field>`
        {inputs: [a..b], output: b}
        error TG0311 11:26 an empty segment
            help: remove the extra dot, or put a name that holds dots in double quotes
        {inputs: ['@"Tag 10".Value'], output: b}
        warning TG0311 11:26 `@` is how the portal shows a field, not part of its path
            help: leave the `@` out
        {inputs: ['$metdata.topic'], output: b}
        warning TG0311 11:26 `$metdata` is read as the name of a field
            help: did you mean `$metadata`?
        {inputs: [a], output: $metadata.topic}
        warning TG0311 11:37 the topic set here has no effect on where the message goes
            help: `${outputTopic}`, which stands for it, exists in data flow graphs only
    "#]],
    );
    let declared = "datasets: [{key: lines as line, inputs: [], expression: 1 == 1}]\nmap: [{inputs: ['$context(line).hall'], output: hall}, {inputs: ['$context(lien).hall'], output: hall}]";
    check(
        &with(declared),
        expect![[r#"
        error TG0311 12:75 no dataset is called `lien`
            help: did you mean `$context(line)`?
    "#]],
    );
}

#[test]
fn rule_27_maps_fill_the_columns() {
    let of = |map: &str| {
        flow(
            "default",
            "[a]",
            &format!("serializationFormat: Parquet\nschemaRef: aio-sr://press-row:1\nmap: [{map}]"),
            "disk",
            "b",
        ) + &schema("Delta/1.0", DELTA)
            + &local_storage()
    };
    let maps = [
        "{inputs: ['*'], output: '*'}",
        "{inputs: [m], output: machine}, {inputs: ['oil.*'], output: 'oil.*'}",
        "{inputs: [m], output: machine}",
        "{inputs: [m], output: machine}, {inputs: [oil], output: oil}",
        "{inputs: [m], output: machine}, {inputs: [t], output: oil.temp}, {inputs: [x], output: oil.colour}",
        "{inputs: [m], output: $metadata.user_property.machine}",
        "",
    ];
    check_each(
        maps.map(|m| (m, of(m))),
        expect![[r#"
        {inputs: ['*'], output: '*'}
        {inputs: [m], output: machine}, {inputs: ['oil.*'], output: 'oil.*'}
        {inputs: [m], output: machine}
        warning TG0416 12:20 column `oil.temp` must not be null, and no rule writes it
            help: map something to it, or make it nullable
        {inputs: [m], output: machine}, {inputs: [oil], output: oil}
        warning TG0416 12:20 column `oil.temp` must not be null, and no rule writes it
            help: map something to it, or make it nullable
        warning TG0416 13:71 `oil` is a struct in the schema, and only its fields can be written
            help: the product drops messages that write what the schema doesn't declare
        {inputs: [m], output: machine}, {inputs: [t], output: oil.temp}, {inputs: [x], output: oil.colour}
        warning TG0416 13:102 the schema has no column `oil.colour`
            help: the product drops messages that write what the schema doesn't declare
        {inputs: [m], output: $metadata.user_property.machine}
        warning TG0416 12:20 column `machine` must not be null, and no rule writes it
            help: map something to it, or make it nullable
        warning TG0416 12:20 column `oil.temp` must not be null, and no rule writes it
            help: map something to it, or make it nullable

        warning TG0416 12:20 without a map no column is filled
            help: add a `map`; `*` to `*` fills the columns called as the message's fields
    "#]],
    );
}

#[test]
fn rule_28_f8_event_grid_sources_run_alone() {
    let text = flow("grid", "[a]", "", "default", "b") + &endpoint("grid", "Mqtt", GRID);
    check(&text, expect![[""]]);
    let shared =
        text.replace("profileRef: default", "profileRef: line-a") + &profile("line-a", "{instanceCount: 2}");
    check(
        &shared,
        expect![[r#"
        error TG0412 8:38 Event Grid has no shared subscriptions, so its flows run with one instance
            at 14:19: defined here
            help: use a profile with `instanceCount: 1` for this flow
    "#]],
    );
}

#[test]
fn rule_29_profiles_are_not_too_long_and_not_too_full() {
    check(
        &profile(&"a".repeat(40), "{}"),
        expect![[r#"
        warning TG0317 4:18 the product's pods want profile names of at most 39 characters
    "#]],
    );
    check(&profile(&"a".repeat(39), "{}"), expect![[""]]);
    let flows: String = (0..71)
        .map(|n| {
            format!(
                "---\n{}",
                flow("default", "[a]", "", "default", "b").replace("press-clean", &format!("flow-{n}"))
            )
        })
        .collect();
    check(
        &flows,
        expect![[r#"
        warning TG0413 774:19 profile `default` has more than 70 data flows
            help: the product's pods fail at start; use another profile
    "#]],
    );
}

#[test]
fn rule_30_only_the_local_broker_can_be_asked_for_persistence() {
    let text = spec("requestDiskPersistence: Enabled");
    check(&text, expect![[""]]);
    let kafka = endpoint("line", "Kafka", &format!("{KAFKA}consumerGroupId: g"));
    check(
        &(text.replace("{ endpointRef: default, dataSources", "{ endpointRef: line, dataSources") + &kafka),
        expect![[r#"
            warning TG0212 6:27 only the local broker can be asked for persistence, and the source is another
                help: AIO ignores it; tidegate keeps what waits for the destination in a spool of its own
        "#]],
    );
}

#[test]
fn rule_31_unknown_fields_are_pruned_and_said_to_be() {
    check(
        &spec("prfoileRef: x\n  requestDiskPersistance: Enabled\n  retries: 3"),
        expect![[r#"
        warning TG0110 6:3 there is no field `prfoileRef` here
            help: did you mean `profileRef`?
        warning TG0110 7:3 there is no field `requestDiskPersistance` here
            help: did you mean `requestDiskPersistence`?
        warning TG0110 8:3 there is no field `retries` here
            help: there is `profileRef`, `mode`, `requestDiskPersistence` and `operations`
    "#]],
    );
    // A misspelt field that must be there is the reason for its absence.
    check(
        &flow("default", "[a]", "", "default", "b").replace("dataSources", "dataSource"),
        expect![[r#"
        error TG0110 8:47 there is no field `dataSource` here
            help: did you mean `dataSources`?
    "#]],
    );
}

#[test]
fn f10_f11_what_services_refuse() {
    check(
        &(flow("default", "[a]", "", "grid", "b") + &endpoint("grid", "Mqtt", GRID)),
        expect![[r#"
        warning TG0415 10:43 Event Grid rejects retained messages, and this endpoint passes the flag on
            help: write `retain: Never` in the endpoint
    "#]],
    );
    check(
        &(flow("default", "[a]", "", "grid", "b")
            + &endpoint("grid", "Mqtt", &format!("{GRID}retain: Never"))),
        expect![[""]],
    );
    check(
        &(flow("default", "[a]", "", "hub", "b")
            + &endpoint("hub", "Kafka", &format!("{HUB}compression: Lz4"))),
        expect![[r#"
            warning TG0415 10:43 Event Hubs and Fabric don't take Lz4 compression
                help: write `compression: Gzip` or `None` in the endpoint
        "#]],
    );
    check(
        &(flow("default", "[a]", "", "hub", "b")
            + &endpoint("hub", "Kafka", &format!("{HUB}compression: Gzip"))),
        expect![[""]],
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = flow(
        "lien",
        "['a/#/b', '']",
        "map: [{inputs: [a, b], output: c}]\nfilter: [{inputs: [a], expression: $9}]",
        "line",
        "a/+",
    )
    .replace("profileRef: default", "profileRef: none")
        + &endpoint("line", "Kafka", "host: kafka.example\nqos: 1\ncompression: Zip");
    check(
        &text,
        expect![[r#"
        warning TG0402 5:15 there is no profile `none` in namespace `azure-iot-operations`
            help: give the file it is in along with this one
        warning TG0401 8:38 there is no endpoint `lien` in namespace `azure-iot-operations`
            help: did you mean `line`?
        error TG0115 8:67 this must not be empty
        error TG0309 11:16 several inputs need a formula that makes one value of them
            help: add `expression`, such as `$1 + $2`
        error TG0312 12:44 `$9` is beyond the rule's only input, `$1`
            help: add a path to the rule's `inputs`
        error TG0111 21:3 `authentication` is missing
            help: write `authentication:` with a `method`, `X509Certificate`, `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity`, `Sasl` or `Anonymous`
        error TG0207 22:11 `kafka.example` is not `<host>:<port>`
            help: add the port, such as `kafka.example:9092`
        warning TG0110 23:5 there is no field `qos` here
            help: there is `host`, `authentication`, `tls`, `consumerGroupId`, `compression`, `batching`, `partitionStrategy`, `partitionKeyProperty`, `kafkaAcks`, `copyMqttProperties` and `cloudEventAttributes`
        error TG0113 24:18 `Zip` is not `None`, `Gzip`, `Snappy` or `Lz4`
            help: did you mean `Gzip`?
    "#]],
    );
}
