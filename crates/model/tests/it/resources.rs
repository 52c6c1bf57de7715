//! Secrets, ConfigMaps, schemas and tidegate's own resources.

use expect_test::expect;
use tidegate_model::broker::{Allowed, Anonymous, AuthorizationRule, BrokerMethod, ListenerProtocol};
use tidegate_model::endpoint::{ConfigMapRef, SecretRef};
use tidegate_model::schema::{DeltaField, DeltaType, SchemaDocument};
use tidegate_model::{LoadOptions, load, missing_files};

use crate::support::{check, check_each, endpoint, loaded, report};

fn secret(fields: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: line-login}}\n{fields}\n")
}

fn sasl() -> String {
    endpoint(
        "line",
        "Kafka",
        "host: kafka.example:9092\nauthentication: {method: Sasl, saslSettings: {saslType: Plain, secretRef: line-login}}\ntls: {trustedCaCertificateConfigMapRef: ca}",
    )
}

#[test]
fn values_of_secrets_and_config_maps_are_found_by_name_and_key() {
    let text = secret(
        "type: Opaque\nimmutable: true\ndata: {username: Z2F0\n  ZXdheQ==, password: b2xk}\nstringData: {password: new}",
    ) + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: plant}\ndata: {ca.crt: PEM}\nbinaryData: {der: AAE=}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: vol}\nspec: {accessModes: [ReadWriteOnce]}\n";
    let (files, parsed) = loaded(&[("a.yaml", &text)], &LoadOptions::default());
    assert_eq!(report(&files, &parsed.diagnostics), "");
    let catalog = parsed.value;
    let secret =
        |key| catalog.secret("azure-iot-operations", "line-login", key).map(|s| s.expose().as_slice());
    assert_eq!(secret("username"), Some(&b"gateway"[..]));
    assert_eq!(secret("password"), Some(&b"new"[..]));
    assert_eq!(secret("token"), None);
    let ca = catalog.config_map("plant", "ca").unwrap();
    assert_eq!((ca["ca.crt"].as_slice(), ca["der"].as_slice()), (&b"PEM"[..], &[0, 1][..]));
    assert!(catalog.config_map("azure-iot-operations", "ca").is_none());
    let shown = format!("{catalog:?}");
    assert!(!shown.contains("new") && !shown.contains("gateway"), "{shown}");
}

#[test]
fn what_is_not_given_is_a_note_and_what_is_given_incomplete_a_warning() {
    check(
        &sasl(),
        expect![[r#"
        note TG0404 9:79 Secret `line-login` is not among these files
        note TG0404 10:45 ConfigMap `ca` is not among these files
    "#]],
    );
    let secrets = ["{username: u, password: p}", "{token: t}", "{username: u}", "{}"];
    check_each(
        secrets.map(|s| (s, sasl() + &secret(&format!("stringData: {s}")))),
        expect![[r#"
        {username: u, password: p}
        note TG0404 10:45 ConfigMap `ca` is not among these files
        {token: t}
        note TG0404 10:45 ConfigMap `ca` is not among these files
        {username: u}
        warning TG0405 9:79 Secret `line-login` lacks what is needed here
            help: it needs `username` and `password`, or `token`
        note TG0404 10:45 ConfigMap `ca` is not among these files
        {}
        warning TG0405 9:79 Secret `line-login` lacks what is needed here
            help: it needs `username` and `password`, or `token`
        note TG0404 10:45 ConfigMap `ca` is not among these files
    "#]],
    );
}

#[test]
fn complaints_about_secrets_show_no_value() {
    let fields = [
        "stringData: {password: 12345}",
        "stringData: {password: <PASSWORD>}",
        "data: {password: 'not base64!'}",
        "data: [password]",
        "stringDate: {password: p}",
    ];
    check_each(
        fields.map(|f| (f, secret(f))),
        expect![[r#"
            stringData: {password: 12345}
            error TG0112 4:18 the value of `password` is a number, expected text
                help: put it in quotes
            stringData: {password: <PASSWORD>}
            warning TG0117 4:18 the value of `password` looks like a placeholder that nobody filled in
            data: {password: 'not base64!'}
            error TG0503 4:18 the value of `password` is not base64
                help: put plain values into `stringData`
            data: [password]
            error TG0112 4:18 expected an object whose values are base64, found a list
            stringDate: {password: p}
            warning TG0110 4:18 there is no field `stringDate` here
                help: did you mean `stringData`?
        "#]],
    );
    check(
        &secret("stringData:\n  password: a\n  password: b"),
        expect![[r#"
        error TG0004 4:18 `password` stands twice in this object
            at 4:18: first here
    "#]],
    );
    check(
        &secret("stringData:\n  password: \"a"),
        expect![[r#"
        error TG0001 - line 6, in a Secret: invalid YAML: while scanning a quoted scalar, found unexpected end of stream
    "#]],
    );
    // On one line there is no place that would not show a value.
    let line = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "line-login"}, "data": {"password": "not base64!"}}"#;
    check(
        line,
        expect![[r#"
        error TG0503 - the value of `password` is not base64
            help: put plain values into `stringData`
    "#]],
    );
    check(
        &line.replace("base64!\"", "base64"),
        expect![[r#"
        error TG0002 - line 1, in a Secret: invalid JSON: unterminated string literal
    "#]],
    );
}

fn schema(format: &str, content: &str) -> String {
    format!(
        "---\napiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {{name: press-row}}\nspec: {{version: 1, format: {format}, {content}}}\n"
    )
}

fn delta(fields: &str) -> String {
    schema(
        "Delta/1.0",
        &format!(
            "content: {{$schema: Delta/1.0, type: object, properties: {{type: struct, fields: [{fields}]}}}}"
        ),
    )
}

#[test]
fn delta_schemas_are_read_column_by_column() {
    let text = delta(
        "{name: machine id, type: string, nullable: false, metadata: {}}, {name: n, type: long}, {name: d, type: 'decimal(10, 2)'},
  {name: e, type: {type: decimal, precision: 5, scale: 1}}, {name: tags, type: {type: array, elementType: string, containsNull: false}},
  {name: oil, type: {type: struct, fields: [{name: temp, type: double}]}}",
    );
    let (files, parsed) = loaded(&[("a.yaml", &text)], &LoadOptions::default());
    assert_eq!(report(&files, &parsed.diagnostics), "");
    let schema = parsed.value.schemas().next().unwrap().clone();
    let column = |name: &str, data_type, nullable| DeltaField { name: name.into(), data_type, nullable };
    let SchemaDocument::Delta(columns) = &schema.document else { panic!() };
    assert_eq!(
        *columns,
        [
            column("machine id", DeltaType::String, false),
            column("n", DeltaType::Long, true),
            column("d", DeltaType::Decimal { precision: 10, scale: 2 }, true),
            column("e", DeltaType::Decimal { precision: 5, scale: 1 }, true),
            column(
                "tags",
                DeltaType::Array { element: Box::new(DeltaType::String), contains_null: false },
                true
            ),
            column("oil", DeltaType::Struct(vec![column("temp", DeltaType::Double, true)]), true),
        ]
    );
    assert!(
        schema.content.starts_with(r#"{"$schema":"Delta/1.0","type":"object","properties":"#),
        "{}",
        schema.content
    );
}

#[test]
fn rule_32_schemas_are_well_formed() {
    let columns = [
        "{name: a, type: text}",
        "{name: a, type: 'decimal(39,2)'}",
        "{name: a, type: {type: map, keyType: string, valueType: long}}",
        "{name: a, type: {type: list}}",
        "{name: a}",
        "{type: string}",
        "{name: a, type: string, nullable: maybe}",
        "a",
    ];
    check_each(
        columns.map(|c| (c, delta(c))),
        expect![[r#"
            {name: a, type: text}
            error TG0501 5:135 Delta has no type `text`
                help: the types are string, long, integer, short, byte, float, double, boolean, binary, date, timestamp, timestamp_ntz and `decimal(p,s)`
            {name: a, type: 'decimal(39,2)'}
            error TG0501 5:135 Delta has no type `decimal(39,2)`
                help: the types are string, long, integer, short, byte, float, double, boolean, binary, date, timestamp, timestamp_ntz and `decimal(p,s)`
            {name: a, type: {type: map, keyType: string, valueType: long}}
            warning TG0501 5:129 a map can't be written: the product refuses it at run time
                help: make it a struct
            {name: a, type: {type: list}}
            error TG0501 5:142 a type object is a struct, an array, a map or a decimal
            {name: a}
            error TG0111 5:120 `type` is missing
                help: write `type` with a type such as `string`, or an object for a struct, array or map: the type
            {type: string}
            error TG0111 5:120 `name` is missing
                help: write `name` with text: the name; any text
            {name: a, type: string, nullable: maybe}
            error TG0112 5:153 expected `true` or `false`, found text
            a
            error TG0112 5:119 expected an object, found text
        "#]],
    );
    let documents = [
        "content: {$schema: Delta/1.0, type: object, properties: {}}",
        "content: {$schema: Delta/1.0, type: array, properties: {type: struct, fields: []}}",
        "content: {$schema: Delta/1.0, type: Object}",
        "content: {type: object}",
        "content: {$schema: 'http://json-schema.org/draft-07/schema#', type: object, properties: {}}",
        "content: '{\"$schema\": \"Delta/1.0\" \"type\": \"object\"}'",
        "content: '{\"$schema\": \"Delta/2.0\", \"type\": \"object\", \"properties\": {}}'",
        "content: 5",
        "displayName: none",
        "content: {}, contentFile: a.json",
        "contentFile: a.json",
    ];
    check_each(
        documents.map(|d| (d, schema("Delta/1.0", d))),
        expect![[r#"
        content: {$schema: Delta/1.0, type: object, properties: {}}
        error TG0501 5:83 a type object is a struct, an array, a map or a decimal
        content: {$schema: Delta/1.0, type: array, properties: {type: struct, fields: []}}
        error TG0501 5:75 `type` of a schema document is `object`
        content: {$schema: Delta/1.0, type: Object}
        error TG0501 5:1 a schema document has `properties`, an object
        content: {type: object}
        error TG0501 5:1 `$schema` is missing
            help: write `Delta/1.0` or `http://json-schema.org/draft-07/schema#`
        content: {$schema: 'http://json-schema.org/draft-07/schema#', type: object, properties: {}}
        error TG0501 5:58 `http://json-schema.org/draft-07/schema#` is not Delta/1.0
        content: '{"$schema": "Delta/1.0" "type": "object"}'
        error TG0002 5:72 invalid JSON: expected comma
            help: put a comma here
        content: '{"$schema": "Delta/2.0", "type": "object", "properties": {}}'
        error TG0501 5:61 `Delta/2.0` is not Delta/1.0
        content: 5
        error TG0112 5:48 expected a schema document, found a number
        displayName: none
        error TG0502 5:1 the document of this schema is missing
            help: write it under `content`, or name its file with `contentFile`
        content: {}, contentFile: a.json
        error TG0502 5:65 a schema has `content` or `contentFile`, not both
        contentFile: a.json
        error TG0502 5:52 the file `a.json` was not given
    "#]],
    );
    let text =
        schema("Avro", "content: {}").replace("version: 1", "version: 1.0.0").replace("press-row", "Press");
    check(
        &text,
        expect![[r#"
        error TG0105 4:18 `Press` can't be the name of a Schema
            help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
        error TG0501 5:1 `$schema` is missing
            help: write `Delta/1.0` or `http://json-schema.org/draft-07/schema#`
        error TG0501 5:17 `1.0.0` is not a version, 1 to 10 digits
        error TG0113 5:32 `Avro` is not `Delta/1.0` or `JsonSchema/draft-07`
    "#]],
    );
}

#[test]
fn rule_33_a_version_is_defined_once() {
    let one = delta("{name: a, type: string}");
    check(&(one.clone() + &one.replace("version: 1", "version: 2")), expect![[""]]);
    check(
        &(one.clone() + &one),
        expect![[r#"
        error TG0106 10:1 version 1 of schema `press-row` is defined twice
            help: a change is a new version
    "#]],
    );
}

#[test]
fn documents_of_schemas_may_stand_in_files() {
    let document =
        r#"{"$schema": "Delta/1.0", "type": "object", "properties": {"type": "struct", "fields": []}}"#;
    let manifest = schema("Delta/1.0", "contentFile: ../files/row.json");
    let options = LoadOptions::default();
    let (files, _) = loaded(&[("plant/flows/a.yaml", &manifest)], &options);
    assert_eq!(missing_files(&files, &options), ["plant/files/row.json"]);

    let all = [
        ("plant/flows/a.yaml", manifest.as_str()),
        ("plant/./files/row.json", document),
        ("plant/schemas/press/12.json", document),
        ("plant/schemas/Press/12.json", r#"{"instanceCount": 1}"#),
    ];
    let (files, parsed) = loaded(&all, &options);
    assert!(missing_files(&files, &options).is_empty());
    let schemas: Vec<_> = parsed
        .value
        .schemas()
        .map(|s| format!("{}:{} {}", s.name, s.version, s.content == document))
        .collect();
    assert_eq!(schemas, ["press:12 true", "press-row:1 true"]);
    expect![[r#"
        error TG0105 plant/schemas/Press/12.json:1:2 `12` can't be the name of a DataflowProfile
            help: a name has 3 to 63 of a-z, 0-9 and -, neither first nor last a dash
    "#]]
    .assert_eq(&report(&files, &parsed.diagnostics));
}

#[test]
fn schemas_in_a_registry_folder_are_checked() {
    let (files, parsed) = loaded(
        &[(
            "schemas/press/1.json",
            r#"{"$schema": "Delta/1.0", "type": "object", "properties": {"type": "struct", "fields": [{"name": "a", "type": "strnig"}]}}"#,
        )],
        &LoadOptions::default(),
    );
    expect![[r#"
        error TG0501 1:110 Delta has no type `strnig`
            help: did you mean `string`?
    "#]]
    .assert_eq(&report(&files, &parsed.diagnostics));
}

const BROKER: &str = "
apiVersion: tidegate.dev/v1
kind: Broker
metadata: {name: default}
spec:
  listeners:
    - {address: '0.0.0.0:8883', tls: {secretRef: server, clientCaConfigMapRef: client-ca}}
    - {address: '[::1]:8080', protocol: WebSockets, path: /ws}
  authentication: {users: [{secretRef: line7}], anonymous: Denied}
  authorization:
    rules:
      - principals: {clientIds: [press], usernames: [line7]}
        brokerResources: [{method: Connect}, {method: Publish, topics: ['plant/{principal.clientId}/#']}]
      - brokerResources: [{method: Subscribe, topics: ['#']}]
  limits: {connectionsMax: 100, receiveMaximum: 10}
";

#[test]
fn the_local_brokers_settings_are_read() {
    let (_, parsed) = loaded(&[("a.yaml", BROKER)], &LoadOptions::default());
    let broker = parsed.value.broker().unwrap();
    let [tls, websocket] = broker.listeners.as_slice() else { panic!() };
    assert_eq!((tls.address.to_string(), tls.protocol), ("0.0.0.0:8883".into(), ListenerProtocol::Mqtt));
    let server = tls.tls.as_ref().unwrap();
    assert_eq!(
        (&server.secret, &server.client_ca),
        (&SecretRef("server".into()), &Some(ConfigMapRef("client-ca".into())))
    );
    assert_eq!(
        (websocket.address.to_string(), websocket.path.as_str(), &websocket.tls),
        ("[::1]:8080".into(), "/ws", &None)
    );
    assert_eq!(
        (broker.anonymous, broker.users.as_slice()),
        (Anonymous::Denied, &[SecretRef("line7".into())][..])
    );
    let [of_press, of_all] = broker.authorization.as_deref().unwrap() else { panic!() };
    assert_eq!(
        (of_press.client_ids.as_slice(), of_press.usernames.as_slice()),
        (&["press".to_owned()][..], &["line7".to_owned()][..])
    );
    let publish =
        Allowed { method: BrokerMethod::Publish, topics: vec!["plant/{principal.clientId}/#".into()] };
    assert_eq!(of_press.allows, [Allowed { method: BrokerMethod::Connect, topics: vec![] }, publish]);
    let subscribe = Allowed { method: BrokerMethod::Subscribe, topics: vec!["#".into()] };
    assert_eq!(*of_all, AuthorizationRule { client_ids: vec![], usernames: vec![], allows: vec![subscribe] });
    assert_eq!(
        (broker.limits.connections_max, broker.limits.receive_maximum, broker.limits.queue_bytes_max),
        (Some(100), Some(10), None)
    );
}

#[test]
fn the_local_brokers_settings_are_checked() {
    check(
        BROKER,
        expect![[r#"
        note TG0404 7:50 Secret `server` is not among these files
        note TG0404 7:80 ConfigMap `client-ca` is not among these files
        note TG0404 9:40 Secret `line7` is not among these files
    "#]],
    );
    check(
        &BROKER
            .replace("name: default", "name: mine")
            .replace("0.0.0.0:8883", "0.0.0.0")
            .replace("protocol: WebSockets, path: /ws", "path: ws")
            .replace("Denied", "Never")
            .replace("'#'", "'#/a'")
            .replace("topics: ['plant/{principal.clientId}/#']", "topic: []")
            .replace("receiveMaximum: 10", "receiveMaximum: 65536, memory: 1"),
        expect![[r#"
            error TG0105 4:18 there is one local broker, called `default`
                help: write `default`
            error TG0504 7:17 `0.0.0.0` is not `<address>:<port>`
                help: write `127.0.0.1:1883` for this machine, `0.0.0.0:8883` for all
            note TG0404 7:45 Secret `server` is not among these files
            note TG0404 7:75 ConfigMap `client-ca` is not among these files
            error TG0504 8:37 only a listener for WebSockets has a path
                help: write `protocol: WebSockets`, or leave the path out
            note TG0404 9:40 Secret `line7` is not among these files
            error TG0113 9:60 `Never` is not `Loopback`, `Allowed` or `Denied`
            error TG0111 13:47 Publish needs `topics`
                help: list topic filters; `#` is every topic
            warning TG0110 13:64 there is no field `topic` here
                help: did you mean `topics`?
            error TG0304 14:56 `#` stands alone in the last level of a topic filter
            error TG0114 15:49 65536 is not a whole number from 1 to 65535
            warning TG0110 15:56 there is no field `memory` here
                help: there is `connectionsMax`, `packetBytesMax`, `queueMessagesMax`, `queueBytesMax`, `receiveMaximum`, `topicAliasMax`, `sessionExpirySecondsMax`, `keepAliveSecondsMax`, `retainedMessagesMax` and `subscriptionsPerClientMax`
        "#]],
    );
    check(
        &BROKER.replace("WebSockets, path: /ws", "WebSockets, path: ws"),
        expect![[r#"
        note TG0404 7:50 Secret `server` is not among these files
        note TG0404 7:80 ConfigMap `client-ca` is not among these files
        error TG0504 8:59 a path starts with `/`
        note TG0404 9:40 Secret `line7` is not among these files
    "#]],
    );
}

#[test]
fn simulators_publish_to_one_topic() {
    let simulator = |spec: &str| {
        format!(
            "apiVersion: tidegate.dev/v1\nkind: Simulator\nmetadata: {{name: thermostat}}\nspec: {spec}\n"
        )
    };
    let (_, parsed) = loaded(
        &[("a.yaml", &simulator("{topic: a/b, intervalMilliseconds: 5, seed: 7}"))],
        &LoadOptions::default(),
    );
    let [simulator_read] = parsed.value.simulators() else { panic!() };
    assert_eq!(
        (simulator_read.topic.as_str(), simulator_read.interval.as_millis(), simulator_read.seed),
        ("a/b", 5, 7)
    );
    let specs = ["{}", "{topic: 'a/#'}", "{topic: '${inputTopic}'}", "{topic: a, intervalMilliseconds: 0}"];
    check_each(
        specs.map(|s| (s, simulator(s))),
        expect![[r#"
        {}
        error TG0111 4:1 `topic` is missing
            help: write `topic` with text: the topic on the local broker that it publishes to
        {topic: 'a/#'}
        error TG0306 4:15 a destination topic holds no wildcard and no U+0000
        {topic: '${inputTopic}'}
        error TG0306 4:15 the topic of a simulator holds no variables
        {topic: a, intervalMilliseconds: 0}
        error TG0114 4:40 0 is not a whole number from 1 to 3600000
    "#]],
    );
}

#[test]
fn nothing_is_loaded_from_nothing() {
    let parsed = load(&tidegate_core::Files::default(), &LoadOptions::default());
    assert!(
        parsed.diagnostics.is_empty()
            && parsed.value.resources().is_empty()
            && parsed.value.plans().is_empty()
    );
}
