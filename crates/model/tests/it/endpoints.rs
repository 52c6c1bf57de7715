//! Endpoints by themselves: the rules E1 to E17 of the digest, legacy spellings, and what defaults come out.

use std::time::Duration;

use expect_test::expect;
use tidegate_model::LoadOptions;
use tidegate_model::endpoint::{
    Authentication, Batching, CloudEventAttributes, Compression, Endpoint, Ingestion, KafkaAcks,
    KafkaBatching, MqttHost, MqttProtocol, OneLakePathType, PartitionStrategy, Qos, SaslType, SecretRef,
    Settings, Tls,
};

use crate::support::{check, check_each, endpoint, loaded, report};

const ANONYMOUS: &str = "authentication: {method: Anonymous, anonymousSettings: {}}";
const SYSTEM: &str = "authentication: {method: SystemAssignedManagedIdentity}";

/// The one endpoint of a text without any problem but notes.
fn the_endpoint(text: &str) -> Endpoint {
    let (files, parsed) = loaded(&[("a.yaml", text)], &LoadOptions::default());
    let said: String =
        report(&files, &parsed.diagnostics).lines().filter(|l| !l.starts_with("note")).collect();
    assert_eq!(said, "", "{text}");
    parsed.value.endpoints().next().unwrap().as_ref().clone()
}

fn mqtt(lines: &str) -> String {
    endpoint("plant-hq", "Mqtt", &format!("host: mqtt.example:8883\n{ANONYMOUS}\n{lines}"))
}

fn kafka(lines: &str) -> String {
    endpoint("line", "Kafka", &format!("host: kafka.example:9092\n{ANONYMOUS}\n{lines}"))
}

#[test]
fn e2_the_type_and_its_settings_are_there() {
    let of = |spec: &str| {
        format!(
            "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\nmetadata: {{name: line}}\nspec:\n{spec}"
        )
    };
    let specs = [
        "  hostType: EventGrid\n",
        "  endpointType: Kafka\n",
        "  endpointType: Kafak\n",
        "  endpointType: Pulsar\n",
        "  endpointType: Kafka\n  kafkaSettings: []\n",
        "  endpointType: Kafka\n  kafkaSettings:\n",
    ];
    check_each(
        specs.map(|s| (s.trim_end(), of(s))),
        expect![[r#"
              hostType: EventGrid
            error TG0111 4:1 `endpointType` is missing
                help: write `endpointType` with `Mqtt`, `Kafka`, `DataLakeStorage`, `FabricOneLake`, `DataExplorer`, `LocalStorage` or `OpenTelemetry`: the type, which says what settings block counts
              endpointType: Kafka
            error TG0201 5:17 an endpoint of type Kafka needs `kafkaSettings`
              endpointType: Kafak
            error TG0113 5:17 `Kafak` is not `Mqtt`, `Kafka`, `DataLakeStorage`, `FabricOneLake`, `DataExplorer`, `LocalStorage` or `OpenTelemetry`
                help: did you mean `Kafka`?
              endpointType: Pulsar
            error TG0113 5:17 `Pulsar` is not `Mqtt`, `Kafka`, `DataLakeStorage`, `FabricOneLake`, `DataExplorer`, `LocalStorage` or `OpenTelemetry`
              endpointType: Kafka
              kafkaSettings: []
            error TG0112 6:18 expected an object, found a list
              endpointType: Kafka
              kafkaSettings:
            error TG0201 5:17 an endpoint of type Kafka needs `kafkaSettings`
        "#]],
    );
}

#[test]
fn e3_settings_of_another_type_are_refused() {
    check(
        &kafka("").replace(
            "  kafkaSettings:",
            "  localStorageSettings: {persistentVolumeClaimRef: vol}\n  mqttSettings:\n  kafkaSettings:",
        ),
        expect![[r#"
            error TG0202 7:3 `localStorageSettings` doesn't belong to an endpoint of type Kafka
                at 6:17: the type
                help: remove it, or make another endpoint of it
        "#]],
    );
}

#[test]
fn e4_methods_belong_to_types() {
    let hosts = [
        ("Mqtt", "mqtt.example:8883"),
        ("Kafka", "kafka.example:9092"),
        ("DataLakeStorage", "plant.blob.core.windows.net"),
        ("FabricOneLake", "onelake.dfs.fabric.microsoft.com"),
        ("DataExplorer", "plant.westeurope.kusto.windows.net"),
        ("OpenTelemetry", "collector.example:4317"),
    ];
    let methods = [
        ("ServiceAccountToken", "serviceAccountTokenSettings: {audience: a}"),
        ("X509Certificate", "x509CertificateSettings: {secretRef: s}"),
        ("SystemAssignedManagedIdentity", "systemAssignedManagedIdentitySettings: {}"),
        ("UserAssignedManagedIdentity", "userAssignedManagedIdentitySettings: {clientId: c, tenantId: t}"),
        ("Sasl", "saslSettings: {saslType: Plain, secretRef: s}"),
        ("AccessToken", "accessTokenSettings: {secretRef: s}"),
        ("Anonymous", "anonymousSettings: {}"),
    ];
    let mut table = String::new();
    for (endpoint_type, host) in hosts {
        table += endpoint_type;
        for (method, settings) in methods {
            let extra = match endpoint_type {
                "FabricOneLake" => "\nnames: {workspaceName: w, lakehouseName: l}\noneLakePathType: Tables",
                "DataExplorer" => "\ndatabase: d",
                _ => "",
            };
            let text = endpoint(
                "line",
                endpoint_type,
                &format!("host: {host}\nauthentication: {{method: {method}, {settings}}}{extra}"),
            );
            let (files, parsed) = loaded(&[("a.yaml", &text)], &LoadOptions::default());
            if parsed.has_errors() {
                let said = report(&files, &parsed.diagnostics);
                assert!(said.starts_with("error TG0203 "), "{endpoint_type} {method}\n{said}");
            } else {
                table += &format!(" {method}");
            }
        }
        table += "\n";
    }
    // The table of authentication methods in the digest, section 4.1.
    expect![[r#"
        Mqtt ServiceAccountToken X509Certificate SystemAssignedManagedIdentity UserAssignedManagedIdentity Anonymous
        Kafka X509Certificate SystemAssignedManagedIdentity UserAssignedManagedIdentity Sasl Anonymous
        DataLakeStorage SystemAssignedManagedIdentity UserAssignedManagedIdentity AccessToken
        FabricOneLake SystemAssignedManagedIdentity UserAssignedManagedIdentity
        DataExplorer SystemAssignedManagedIdentity UserAssignedManagedIdentity
        OpenTelemetry ServiceAccountToken X509Certificate Anonymous
    "#]].assert_eq(&table);
}

#[test]
fn e4_authentication_is_there() {
    check(
        &endpoint("line", "Kafka", "host: kafka.example:9092"),
        expect![[r#"
        error TG0111 7:3 `authentication` is missing
            help: write `authentication:` with a `method`, `X509Certificate`, `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity`, `Sasl` or `Anonymous`
    "#]],
    );
    check(
        &endpoint("line", "Kafka", "host: kafka.example:9092\nauthentication:"),
        expect![[r#"
        error TG0111 7:3 `authentication` is missing
            help: write `authentication:` with a `method`, `X509Certificate`, `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity`, `Sasl` or `Anonymous`
    "#]],
    );
    check(
        &endpoint("line", "Kafka", "host: kafka.example:9092\nauthentication: {}"),
        expect![[r#"
            error TG0111 9:5 `method` is missing
                help: write `method` with `ServiceAccountToken`, `X509Certificate`, `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity`, `Sasl`, `AccessToken` or `Anonymous`: how to log in. Which methods there are depends on the endpoint type and the host
        "#]],
    );
    check(
        &endpoint(
            "disk",
            "LocalStorage",
            "persistentVolumeClaimRef: vol\nauthentication: {method: Anonymous}",
        ),
        expect![[r#"
            warning TG0110 9:5 there is no field `authentication` here
                help: there is `persistentVolumeClaimRef`
        "#]],
    );
}

#[test]
fn e5_settings_of_the_method_are_there_with_what_they_need() {
    let auth =
        |auth: &str| endpoint("line", "Kafka", &format!("host: kafka.example:9092\nauthentication: {auth}"));
    let methods = [
        "{method: X509Certificate}",
        "{method: UserAssignedManagedIdentity}",
        "{method: Sasl}",
        "{method: Sasl, saslSettings: {saslType: Plain}}",
        "{method: Sasl, saslSettings: {saslType: Digest, secretRef: Line}}",
        "{method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: '', scope: s}}",
        "{method: SystemAssignedManagedIdentity}",
        "{method: Anonymous}",
    ];
    check_each(
        methods.map(|m| (m, auth(m))),
        expect![[r#"
            {method: X509Certificate}
            error TG0204 9:30 method X509Certificate needs `x509CertificateSettings`
            {method: UserAssignedManagedIdentity}
            error TG0204 9:30 method UserAssignedManagedIdentity needs `userAssignedManagedIdentitySettings`
            {method: Sasl}
            error TG0204 9:30 method Sasl needs `saslSettings`
            {method: Sasl, saslSettings: {saslType: Plain}}
            error TG0111 9:36 `secretRef` is missing
                help: write `secretRef` with the name of a Kubernetes object: the Secret with `username` and `password`, or with `token`
            {method: Sasl, saslSettings: {saslType: Digest, secretRef: Line}}
            error TG0113 9:61 `Digest` is not `Plain`, `ScramSha256` or `ScramSha512`
            error TG0105 9:80 `Line` can't be the name of a Kubernetes object
                help: a name has 1 to 253 of a-z, 0-9, - and ., first and last a letter or digit
            {method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: '', scope: s}}
            error TG0111 9:59 `tenantId` is missing
                help: write `tenantId` with text: tenant id
            error TG0115 9:107 this must not be empty
            {method: SystemAssignedManagedIdentity}
            {method: Anonymous}
        "#]],
    );
}

#[test]
fn e5_only_the_local_broker_has_an_audience_of_its_own() {
    let sat = |host: &str, settings: &str| {
        endpoint(
            "line",
            "Mqtt",
            &format!("host: {host}\nauthentication: {{method: ServiceAccountToken{settings}}}"),
        )
    };
    for settings in
        ["", ", serviceAccountTokenSettings: {}", ", serviceAccountTokenSettings: {audience: aio-internal}"]
    {
        let Settings::Mqtt(mqtt) = the_endpoint(&sat("aio-broker", settings)).settings else { panic!() };
        assert_eq!(
            mqtt.authentication,
            Authentication::ServiceAccountToken { audience: "aio-internal".into() }
        );
    }
    check(
        &sat("mqtt.example:8883", ""),
        expect![[r#"
        error TG0111 9:30 `audience` is missing
            help: only the local broker has an audience of its own, `aio-internal`
    "#]],
    );
    check(
        &sat("mqtt.example:8883", ", serviceAccountTokenSettings: {}"),
        expect![[r#"
        error TG0111 9:51 `audience` is missing
            help: only the local broker has an audience of its own, `aio-internal`
    "#]],
    );
}

#[test]
fn e5_e16_opentelemetry_wants_the_settings_of_every_method() {
    let otel = |auth: &str| {
        endpoint(
            "otel",
            "OpenTelemetry",
            &format!("host: https://collector.example:4317\nauthentication: {auth}"),
        )
    };
    let methods = [
        "{method: Anonymous}",
        "{method: ServiceAccountToken}",
        "{method: X509Certificate}",
        "{method: Anonymous, anonymousSettings: {user: me}}",
        "{method: Anonymous, anonymousSettings: {}}",
    ];
    check_each(
        methods.map(|m| (m, otel(m))),
        expect![[r#"
            {method: Anonymous}
            error TG0204 9:30 method Anonymous needs `anonymousSettings`
            {method: ServiceAccountToken}
            error TG0204 9:30 method ServiceAccountToken needs `serviceAccountTokenSettings`
            error TG0111 9:30 `audience` is missing
                help: only the local broker has an audience of its own, `aio-internal`
            {method: X509Certificate}
            error TG0204 9:30 method X509Certificate needs `x509CertificateSettings`
            {method: Anonymous, anonymousSettings: {user: me}}
            error TG0110 9:61 there is no field `user` here
                help: this object takes no fields at all
            {method: Anonymous, anonymousSettings: {}}
        "#]],
    );
}

#[test]
fn e6_settings_of_several_methods_are_refused() {
    check(
        &kafka("").replace(
            "anonymousSettings: {}",
            "anonymousSettings: {}, saslSettings: {saslType: Plain, secretRef: s}, accessTokenSettings: null",
        ),
        expect![[r#"
            error TG0205 9:64 `saslSettings` doesn't belong to method Anonymous
                at 9:30: the method
                help: keep the settings of one method only
        "#]],
    );
}

#[test]
fn e7_required_fields_are_there_and_not_empty() {
    check(
        &endpoint("line", "Kafka", ANONYMOUS),
        expect![[r#"
            error TG0111 7:3 `host` is missing
                help: write `host` with text: the bootstrap server, `<host>:<port>`
        "#]],
    );
    check(
        &endpoint("lake", "DataLakeStorage", SYSTEM),
        expect![[r#"
            error TG0111 7:3 `host` is missing
                help: write `host` with text: `https://<account>.blob.core.windows.net`
        "#]],
    );
    check(
        &endpoint(
            "adx",
            "DataExplorer",
            &format!("host: plant.westeurope.kusto.windows.net\ndatabase: ''\n{SYSTEM}"),
        ),
        expect![[r#"
            error TG0115 9:15 this must not be empty
        "#]],
    );
    check(
        &endpoint(
            "onelake",
            "FabricOneLake",
            &format!("host: onelake.dfs.fabric.microsoft.com\nnames: {{workspaceName: w}}\n{SYSTEM}"),
        ),
        expect![[r#"
            error TG0111 7:3 `oneLakePathType` is missing
                help: write `oneLakePathType` with `Files` or `Tables`: the top folder of the lakehouse to write to
            error TG0111 9:5 `lakehouseName` is missing
                help: write `lakehouseName` with text: the lakehouse, without suffix
        "#]],
    );
    check(
        &endpoint("disk", "LocalStorage", "{}"),
        expect![[r#"
            error TG0111 7:3 `persistentVolumeClaimRef` is missing
                help: write `persistentVolumeClaimRef` with the name of a Kubernetes object: the PersistentVolumeClaim to write to
        "#]],
    );
    check(
        &endpoint("disk", "LocalStorage", "persistentVolumeClaimRef: My_Volume"),
        expect![[r#"
        error TG0105 8:31 `My_Volume` can't be the name of a Kubernetes object
            help: a name has 1 to 253 of a-z, 0-9, - and ., first and last a letter or digit
    "#]],
    );
    check(
        &endpoint(
            "otel",
            "OpenTelemetry",
            "host: ''\nauthentication: {method: Anonymous, anonymousSettings: {}}",
        ),
        expect![[r#"
            error TG0115 8:11 this must not be empty
        "#]],
    );
}

#[test]
fn e8_hosts_belong_to_their_service() {
    let lake = |host: &str| endpoint("lake", "DataLakeStorage", &format!("host: {host}\n{SYSTEM}"));
    let hosts = [
        "https://plant.blob.core.windows.net",
        "plant.blob.core.windows.net/",
        "plant.blob.core.usgovcloudapi.net",
        "https://plant.dfs.core.windows.net",
        "https://blob.core.windows.net",
        "http://plant.blob.core.windows.net",
        "https://plant.blob.core.windows.net/container",
        "<account>.blob.core.windows.net",
        "127.0.0.1:10000",
    ];
    check_each(
        hosts.map(|h| (h, lake(h))),
        expect![[r#"
        https://plant.blob.core.windows.net
        plant.blob.core.windows.net/
        plant.blob.core.usgovcloudapi.net
        https://plant.dfs.core.windows.net
        error TG0206 8:11 `https://plant.dfs.core.windows.net` is no host of this service
            help: write `https://<account>.blob.core.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
        https://blob.core.windows.net
        error TG0206 8:11 `https://blob.core.windows.net` is no host of this service
            help: write `https://<account>.blob.core.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
        http://plant.blob.core.windows.net
        warning TG0212 8:11 this service is always reached by HTTPS
            help: write `https://plant.blob.core.windows.net`
        https://plant.blob.core.windows.net/container
        error TG0206 8:11 `https://plant.blob.core.windows.net/container` is no host of this service
            help: write `https://<account>.blob.core.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
        <account>.blob.core.windows.net
        error TG0117 8:11 `<account>.blob.core.windows.net` holds a placeholder that nobody filled in
            help: put the real value here, or render the template first
        127.0.0.1:10000
        error TG0206 8:11 `127.0.0.1:10000` is no host of this service
            help: write `https://<account>.blob.core.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
    "#]],
    );
    let adx = |host: &str| endpoint("adx", "DataExplorer", &format!("host: {host}\ndatabase: d\n{SYSTEM}"));
    let hosts = [
        "https://plant.westeurope.kusto.windows.net",
        "https://plant.kusto.windows.net",
        "plant.kusto.usgovcloudapi.net",
    ];
    check_each(
        hosts.map(|h| (h, adx(h))),
        expect![[r#"
        https://plant.westeurope.kusto.windows.net
        https://plant.kusto.windows.net
        error TG0206 8:11 `https://plant.kusto.windows.net` is no host of this service
            help: write `https://<cluster>.<region>.kusto.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
        plant.kusto.usgovcloudapi.net
        error TG0206 8:11 `plant.kusto.usgovcloudapi.net` is no host of this service
            help: write `https://<cluster>.<region>.kusto.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
    "#]],
    );
}

#[test]
fn e8_emulators_are_let_in_by_an_annotation() {
    let lake = endpoint("lake", "DataLakeStorage", &format!("host: http://127.0.0.1:10000\n{SYSTEM}"))
        .replace("{ name: lake }", "{name: lake, annotations: {tidegate.dev/allow-any-host: 'true'}}");
    let Settings::DataLakeStorage(settings) = the_endpoint(&lake).settings else { panic!() };
    assert_eq!(settings.host, "http://127.0.0.1:10000");
    check(
        &lake.replace("'true'", "yes"),
        expect![[r#"
        error TG0113 4:67 `yes` is not `false` or `true`
        error TG0206 8:11 `http://127.0.0.1:10000` is no host of this service
            help: write `https://<account>.blob.core.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
    "#]],
    );
    check(
        &lake.replace("allow-any-host", "allow-any-hosts"),
        expect![[r#"
        warning TG0110 4:68 there is no annotation `tidegate.dev/allow-any-hosts`
            help: did you mean `tidegate.dev/allow-any-host`?
        error TG0206 8:11 `http://127.0.0.1:10000` is no host of this service
            help: write `https://<account>.blob.core.windows.net`; for an emulator put the annotation `tidegate.dev/allow-any-host: "true"` on the endpoint
    "#]],
    );
}

#[test]
fn azure_data_explorer_has_options_that_aio_has_no_field_for() {
    let adx = |annotations: &str| {
        let host = "https://plant.westeurope.kusto.windows.net";
        endpoint("adx", "DataExplorer", &format!("host: {host}\ndatabase: d\n{SYSTEM}"))
            .replace("{ name: adx }", &format!("{{name: adx, annotations: {{{annotations}}}}}"))
    };
    let ingestion = |annotations: &str| {
        let Settings::DataExplorer(settings) = the_endpoint(&adx(annotations)).settings else { panic!() };
        settings.ingestion
    };
    assert_eq!(ingestion(""), Ingestion { streaming: false, mapping: None, deduplicate: true });
    assert_eq!(
        ingestion(
            "tidegate.dev/adx-ingestion: streaming, tidegate.dev/adx-mapping: m, tidegate.dev/adx-deduplicate: 'false'"
        ),
        Ingestion { streaming: true, mapping: Some("m".into()), deduplicate: false }
    );
    check(
        &adx("tidegate.dev/adx-ingestion: fast, tidegate.dev/adx-mappings: m"),
        expect![[r#"
        error TG0113 4:65 `fast` is not `queued` or `streaming`
        warning TG0110 4:98 there is no annotation `tidegate.dev/adx-mappings`
            help: did you mean `tidegate.dev/adx-mapping`?
    "#]],
    );
    // elsewhere they say nothing
    let elsewhere = |annotation: &str| {
        let annotated = format!("{{name: line, annotations: {{{annotation}: streaming}}}}");
        kafka("").replace("{ name: line }", &annotated)
    };
    check(
        &elsewhere("tidegate.dev/adx-ingestion"),
        expect![[r#"
        warning TG0212 4:66 the annotation `tidegate.dev/adx-ingestion` has no effect here, but on endpoints of type DataExplorer only
            help: remove it
    "#]],
    );
    check(
        &elsewhere("tidegate.dev/filter-semantics"),
        expect![[r#"
        error TG0113 4:69 `streaming` is not `drop-when-true` or `pass-when-true`
        warning TG0212 4:69 the annotation `tidegate.dev/filter-semantics` has no effect here, but on data flows only
            help: remove it
    "#]],
    );
}

#[test]
fn e9_brokers_have_a_port_and_no_scheme() {
    let hosts = [
        "mqtt.example",
        "mqtt://mqtt.example:1883",
        "mqtt.example:0",
        "mqtt.example:65536",
        "mqtt.example:",
        ":1883",
        "mqtt example:1883",
        "mqtt.example:8883/mqtt",
        "'[::1]:1883'",
        "<HOST>:1883",
        "''",
    ];
    check_each(
        hosts.map(|h| (h, endpoint("plant-hq", "Mqtt", &format!("host: {h}\n{ANONYMOUS}")))),
        expect![[r#"
            mqtt.example
            error TG0207 8:11 `mqtt.example` is not `<host>:<port>`
                help: add the port, such as `mqtt.example:8883`
            mqtt://mqtt.example:1883
            error TG0207 8:11 `mqtt://mqtt.example:1883` is not `<host>:<port>`
                help: leave out `mqtt://`: write `mqtt.example:1883`
            mqtt.example:0
            error TG0207 8:11 `mqtt.example:0` is not `<host>:<port>`
            mqtt.example:65536
            error TG0207 8:11 `mqtt.example:65536` is not `<host>:<port>`
            mqtt.example:
            error TG0001 8:23 invalid YAML: mapping values are not allowed in this context
                help: check the indentation, and put a value that holds `: ` in quotes
            :1883
            error TG0207 8:11 `:1883` is not `<host>:<port>`
            mqtt example:1883
            error TG0207 8:11 `mqtt example:1883` is not `<host>:<port>`
            mqtt.example:8883/mqtt
            error TG0207 8:28 only a WebSocket has a path
                help: write `protocol: WebSockets`, or leave the path out
            '[::1]:1883'
            <HOST>:1883
            error TG0117 8:11 `<HOST>:1883` holds a placeholder that nobody filled in
                help: put the real value here, or render the template first
            ''
            error TG0207 8:11 `` is not `<host>:<port>`
        "#]],
    );
    check(
        &endpoint("line", "Kafka", &format!("host: kafka.example\n{ANONYMOUS}")),
        expect![[r#"
        error TG0207 8:11 `kafka.example` is not `<host>:<port>`
            help: add the port, such as `kafka.example:9092`
    "#]],
    );
}

#[test]
fn e10_numbers_are_in_range() {
    let lines = [
        "qos: 2",
        "qos: -1",
        "qos: '1'",
        "qos: one",
        "sessionExpirySeconds: -1",
        "sessionExpirySeconds: 4294967296",
        "keepAliveSeconds: 65536",
        "keepAliveSeconds: 0",
        "maxInflightMessages: 0",
        "maxInflightMessages: 65536",
    ];
    check_each(
        lines.map(|l| (l, mqtt(l))),
        expect![[r#"
        qos: 2
        error TG0114 10:10 2 is not a whole number from 0 to 1
        qos: -1
        error TG0114 10:10 -1 is not a whole number from 0 to 1
        qos: '1'
        warning TG0118 10:10 this number is text to the product
            help: write 1 without quotes
        qos: one
        error TG0112 10:10 expected a whole number from 0 to 1, found text
        sessionExpirySeconds: -1
        error TG0114 10:27 -1 is not a whole number from 0 to 4294967295
        sessionExpirySeconds: 4294967296
        error TG0114 10:27 4294967296 is not a whole number from 0 to 4294967295
        keepAliveSeconds: 65536
        error TG0114 10:23 65536 is not a whole number from 0 to 65535
        keepAliveSeconds: 0
        maxInflightMessages: 0
        error TG0114 10:26 0 is not a whole number from 1 to 65535
        maxInflightMessages: 65536
        error TG0114 10:26 65536 is not a whole number from 1 to 65535
    "#]],
    );
    let lines = ["batching: {latencyMs: 65536}", "batching: {maxBytes: -1}", "batching: {maxMessages: 0}"];
    check_each(
        lines.map(|l| (l, kafka(l))),
        expect![[r#"
        batching: {latencyMs: 65536}
        error TG0114 10:27 65536 is not a whole number from 0 to 65535
        batching: {maxBytes: -1}
        error TG0114 10:26 -1 is not a whole number from 0
        batching: {maxMessages: 0}
    "#]],
    );
    let lines = [
        "batching: {latencySeconds: 65536}",
        "batching: {maxMessages: 4294967296}",
        "batching: {latencySeconds: -1, maxMessages: 1.5}",
    ];
    check_each(
        lines.map(|l| (l, endpoint("otel", "OpenTelemetry", &format!("host: h:1\n{ANONYMOUS}\n{l}")))),
        expect![[r#"
            batching: {latencySeconds: 65536}
            error TG0114 10:32 65536 is not a whole number from 0 to 65535
            batching: {maxMessages: 4294967296}
            error TG0114 10:29 4294967296 is not a whole number from 0 to 4294967295
            batching: {latencySeconds: -1, maxMessages: 1.5}
            error TG0114 10:32 -1 is not a whole number from 0 to 65535
            error TG0114 10:49 1.5 is not a whole number from 0 to 4294967295
        "#]],
    );
}

#[test]
fn e11_words_are_of_their_list_in_any_case() {
    let lines = [
        "compression: Zstd",
        "compression: gzip",
        "kafkaAcks: None",
        "kafkaAcks: 1",
        "copyMqttProperties: true",
        "partitionStrategy: Propery",
        "tls: {mode: Off}",
    ];
    check_each(
        lines.map(|l| (l, kafka(l))),
        expect![[r#"
        compression: Zstd
        error TG0113 10:18 `Zstd` is not `None`, `Gzip`, `Snappy` or `Lz4`
        compression: gzip
        note TG0116 10:18 the product spells this `Gzip`
            help: write `Gzip`
        kafkaAcks: None
        error TG0113 10:16 `None` is not `Zero`, `One` or `All`
            help: did you mean `One`?
        kafkaAcks: 1
        error TG0112 10:16 expected `Zero`, `One` or `All`, found a number
        copyMqttProperties: true
        error TG0112 10:25 expected `Enabled` or `Disabled`, found a boolean
        partitionStrategy: Propery
        error TG0113 10:24 `Propery` is not `Default`, `Static`, `Topic` or `Property`
            help: did you mean `Property`?
        tls: {mode: Off}
        error TG0113 10:17 `Off` is not `Enabled` or `Disabled`
    "#]],
    );
    let lines = ["protocol: Websocket", "retain: Always", "cloudEventAttributes: Create"];
    check_each(
        lines.map(|l| (l, mqtt(l))),
        expect![[r#"
        protocol: Websocket
        error TG0113 10:15 `Websocket` is not `Mqtt` or `WebSockets`
            help: did you mean `WebSockets`?
        retain: Always
        error TG0113 10:13 `Always` is not `Keep` or `Never`
        cloudEventAttributes: Create
        error TG0113 10:27 `Create` is not `Propagate` or `CreateOrRemap`
    "#]],
    );
}

#[test]
fn e12_property_needs_the_property() {
    check(
        &kafka("partitionStrategy: Property"),
        expect![[r#"
        error TG0208 10:24 strategy Property needs `partitionKeyProperty`
            help: name the user property whose value is the key
    "#]],
    );
    check(
        &kafka("partitionStrategy: Property\npartitionKeyProperty: ''"),
        expect![[r#"
        error TG0115 11:27 this must not be empty
    "#]],
    );
    check(
        &kafka("partitionKeyProperty: machine"),
        expect![[r#"
        warning TG0212 10:27 strategy Default has no use for `partitionKeyProperty`
            help: write `partitionStrategy: Property`
    "#]],
    );
}

#[test]
fn e13_certificates_need_tls() {
    let certificate = "authentication: {method: X509Certificate, x509CertificateSettings: {secretRef: s}}\ntls: {mode: Disabled}";
    check(
        &endpoint("plant-hq", "Mqtt", &format!("host: mqtt.example:1883\n{certificate}")),
        expect![[r#"
        note TG0404 9:84 Secret `s` is not among these files
        warning TG0209 10:17 a client certificate is shown in the TLS handshake, and TLS is off: nobody will see it
            help: write `Enabled`
    "#]],
    );
    check(
        &endpoint("line", "Kafka", &format!("host: kafka.example:9092\n{certificate}")),
        expect![[r#"
        note TG0404 9:84 Secret `s` is not among these files
        warning TG0209 10:17 a client certificate is shown in the TLS handshake, and TLS is off: nobody will see it
            help: write `Enabled`
    "#]],
    );
    check(
        &mqtt("tls: {mode: Disabled, trustedCaCertificateConfigMapRef: ca}"),
        expect![[r#"
        warning TG0212 10:61 without TLS no certificate is checked
            at 10:17: TLS is off
    "#]],
    );
}

#[test]
fn e14_services_of_azure_speak_tls() {
    check(
        &endpoint(
            "grid",
            "Mqtt",
            &format!("host: p.westeurope-1.ts.eventgrid.azure.net:8883\n{SYSTEM}\ntls: {{mode: Disabled}}"),
        ),
        expect![[r#"
            error TG0210 10:17 Event Grid speaks TLS only
                help: write `Enabled`, or leave `tls` out
        "#]],
    );
    check(
        &endpoint(
            "hub",
            "Kafka",
            &format!("host: p.servicebus.windows.net:9093\n{SYSTEM}\ntls: {{mode: Disabled}}"),
        ),
        expect![[r#"
            error TG0210 10:17 Event Hubs and Fabric speak TLS only
                help: write `Enabled`, or leave `tls` out
        "#]],
    );
}

#[test]
fn e15_hosts_take_only_some_methods() {
    let methods = [
        "{method: ServiceAccountToken, serviceAccountTokenSettings: {audience: a}}",
        "{method: X509Certificate, x509CertificateSettings: {secretRef: s}}",
        "{method: SystemAssignedManagedIdentity}",
        "{method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t}}",
        "{method: Anonymous}",
    ];
    let at = |kind: &'static str, host: &'static str| {
        move |m: &'static str| (m, endpoint("line", kind, &format!("host: {host}\nauthentication: {m}")))
    };
    check_each(
        methods.map(at("Mqtt", "aio-broker:18883")),
        expect![[r#"
        {method: ServiceAccountToken, serviceAccountTokenSettings: {audience: a}}
        {method: X509Certificate, x509CertificateSettings: {secretRef: s}}
        {method: SystemAssignedManagedIdentity}
        error TG0211 9:30 the local broker doesn't take SystemAssignedManagedIdentity
            help: it takes `ServiceAccountToken`, `X509Certificate` or `Anonymous`
        {method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t}}
        error TG0211 9:30 the local broker doesn't take UserAssignedManagedIdentity
            help: it takes `ServiceAccountToken`, `X509Certificate` or `Anonymous`
        {method: Anonymous}
    "#]],
    );
    check_each(
        methods.map(at("Mqtt", "p.westeurope-1.ts.eventgrid.azure.net:8883")),
        expect![[r#"
        {method: ServiceAccountToken, serviceAccountTokenSettings: {audience: a}}
        error TG0211 9:30 Event Grid doesn't take ServiceAccountToken
            help: it takes `X509Certificate`, `SystemAssignedManagedIdentity` or `UserAssignedManagedIdentity`
        {method: X509Certificate, x509CertificateSettings: {secretRef: s}}
        note TG0404 9:84 Secret `s` is not among these files
        {method: SystemAssignedManagedIdentity}
        {method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t}}
        {method: Anonymous}
        error TG0211 9:30 Event Grid doesn't take Anonymous
            help: it takes `X509Certificate`, `SystemAssignedManagedIdentity` or `UserAssignedManagedIdentity`
    "#]],
    );
    check_each(
        methods.map(at("Kafka", "p.servicebus.windows.net:9093")),
        expect![[r#"
        {method: ServiceAccountToken, serviceAccountTokenSettings: {audience: a}}
        error TG0203 9:30 an endpoint of type Kafka offers no ServiceAccountToken
            help: there is `X509Certificate`, `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity`, `Sasl` and `Anonymous`
        {method: X509Certificate, x509CertificateSettings: {secretRef: s}}
        error TG0211 9:30 Event Hubs and Fabric don't take X509Certificate
            help: they take `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity` or `Sasl`
        note TG0404 9:84 Secret `s` is not among these files
        {method: SystemAssignedManagedIdentity}
        {method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t}}
        {method: Anonymous}
        warning TG0211 9:30 Event Hubs and Fabric don't take Anonymous
            help: they take `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity` or `Sasl`
    "#]],
    );
}

#[test]
fn spellings_of_v1beta1_are_read_with_a_warning() {
    check(
        "apiVersion: connectivity.iotoperations.azure.com/v1beta1
kind: DataflowEndpoint
metadata: {name: plant-hq}
spec:
  endpointType: mqtt
  authentication:
    method: x509Certificate
    x509CredentialsSettings: {certificateSecretName: hq-client}
  mqttSettings:
    host: mqtt.example:8883
    tls: {mode: enabled, trustedCaCertificateConfigMap: hq-ca}
    sharedSubscription: {groupName: g, groupMinimumShareNumber: 2}
---
apiVersion: connectivity.iotoperations.azure.com/v1beta1
kind: DataflowEndpoint
metadata: {name: disk}
spec:
  endpointType: localStorage
  localStorageSettings: {persistentVolumeClaimName: vol}
---
apiVersion: connectivity.iotoperations.azure.com/v1beta1
kind: DataflowEndpoint
metadata: {name: lake}
spec:
  endpointType: dataLakeStorage
  datalakeStorageSettings:
    host: https://plant.blob.core.windows.net
    authentication:
      method: UserAssignedManagedIdentity
      UserAssignedManagedIdentitySettings: {clientId: c, tenantId: t}
---
apiVersion: connectivity.iotoperations.azure.com/v1beta1
kind: DataflowEndpoint
metadata: {name: line}
spec:
  endpointType: kafka
  kafkaSettings:
    host: kafka.example:9092
    authentication:
      method: sasl
      saslSettings: {saslType: plain, tokenSecretName: line}
---
apiVersion: connectivity.iotoperations.azure.com/v1beta1
kind: DataflowEndpoint
metadata: {name: local}
spec:
  endpointType: mqtt
  mqttSettings:
    authentication: {method: Kubernetes, serviceAccountTokenSettings: {audience: aio-mq-internal}}
",
        expect![[r#"
            note TG0116 5:17 the product spells this `Mqtt`
                help: write `Mqtt`
            warning TG0116 6:3 `authentication` stands in the settings block since v1
                help: move it into the settings block
            note TG0116 7:13 the product spells this `X509Certificate`
                help: write `X509Certificate`
            warning TG0116 8:5 `x509CredentialsSettings` is an old spelling of `x509CertificateSettings`
                help: write `x509CertificateSettings`
            warning TG0116 8:31 `certificateSecretName` is an old spelling of `secretRef`
                help: write `secretRef`
            note TG0404 8:54 Secret `hq-client` is not among these files
            note TG0116 11:17 the product spells this `Enabled`
                help: write `Enabled`
            warning TG0116 11:26 `trustedCaCertificateConfigMap` is an old spelling of `trustedCaCertificateConfigMapRef`
                help: write `trustedCaCertificateConfigMapRef`
            note TG0404 11:57 ConfigMap `hq-ca` is not among these files
            warning TG0116 12:26 `sharedSubscription` was removed in v1
                help: remove it: with `instanceCount` above 1 subscriptions are shared by themselves
            note TG0116 18:17 the product spells this `LocalStorage`
                help: write `LocalStorage`
            warning TG0116 19:26 `persistentVolumeClaimName` is an old spelling of `persistentVolumeClaimRef`
                help: write `persistentVolumeClaimRef`
            note TG0116 25:17 the product spells this `DataLakeStorage`
                help: write `DataLakeStorage`
            warning TG0116 26:3 `datalakeStorageSettings` is an old spelling of `dataLakeStorageSettings`
                help: write `dataLakeStorageSettings`
            warning TG0116 30:7 `UserAssignedManagedIdentitySettings` is an old spelling of `userAssignedManagedIdentitySettings`
                help: write `userAssignedManagedIdentitySettings`
            note TG0116 36:17 the product spells this `Kafka`
                help: write `Kafka`
            note TG0116 40:15 the product spells this `Sasl`
                help: write `Sasl`
            note TG0116 41:32 the product spells this `Plain`
                help: write `Plain`
            warning TG0116 41:39 `tokenSecretName` is an old spelling of `secretRef`
                help: write `secretRef`
            note TG0404 41:56 Secret `line` is not among these files
            note TG0116 47:17 the product spells this `Mqtt`
                help: write `Mqtt`
            warning TG0116 49:30 `Kubernetes` is an old spelling of `ServiceAccountToken`
                help: write `ServiceAccountToken`
        "#]],
    );
}

#[test]
fn the_local_broker_is_known_by_its_host() {
    for host in [
        "",
        "host: aio-broker",
        "host: aio-broker:18883",
        "host: aio-broker.azure-iot-operations:18883",
        "host: my-aio-broker-2:1883",
    ] {
        assert!(
            the_endpoint(&endpoint("line", "Mqtt", &format!("{host}\n{ANONYMOUS}"))).is_local_broker(),
            "{host}"
        );
    }
    assert!(!the_endpoint(&mqtt("")).is_local_broker());
    assert!(
        !the_endpoint(&endpoint("line", "Kafka", &format!("host: aio-broker:9092\n{ANONYMOUS}")))
            .is_local_broker()
    );
    assert!(Endpoint::local_broker("plant").is_local_broker());
}

#[test]
fn defaults_are_filled_in() {
    let Settings::Mqtt(mqtt) = the_endpoint(&mqtt("")).settings else { panic!() };
    assert_eq!((mqtt.qos, mqtt.keep_retain, mqtt.inflight_max), (Qos::One, true, 100));
    assert_eq!((mqtt.session_expiry, mqtt.keep_alive), (Duration::from_secs(600), Duration::from_secs(60)));
    assert_eq!((mqtt.protocol, mqtt.client_id_prefix), (MqttProtocol::Mqtt, None));
    assert_eq!(mqtt.tls, Tls::Enabled { trusted_ca: None });
    assert_eq!(mqtt.cloud_event_attributes, CloudEventAttributes::Propagate);
    let Settings::Kafka(kafka) = the_endpoint(&kafka("")).settings else { panic!() };
    assert_eq!(
        (kafka.acks, kafka.compression, kafka.copy_mqtt_properties),
        (KafkaAcks::All, Compression::None, true)
    );
    let batching =
        KafkaBatching { latency: Duration::from_millis(5), bytes_max: 1_000_000, messages_max: 100_000 };
    assert_eq!((kafka.batching, kafka.partition_strategy), (Some(batching), PartitionStrategy::Default));
    let lake =
        endpoint("lake", "DataLakeStorage", &format!("host: https://plant.blob.core.windows.net\n{SYSTEM}"));
    let Settings::DataLakeStorage(lake) = the_endpoint(&lake).settings else { panic!() };
    assert_eq!(lake.host, "plant.blob.core.windows.net");
    assert_eq!(lake.batching, Batching { latency: Duration::from_secs(60), messages_max: Some(100_000) });
}

#[test]
fn what_is_written_is_what_is_meant() {
    let text = endpoint(
        "grid",
        "Mqtt",
        "host: p.westeurope-1.ts.eventgrid.azure.net:443/custom\nprotocol: WebSockets\nretain: Never\nclientIdPrefix: plant7\nqos: 0
sessionExpirySeconds: 0\nkeepAliveSeconds: 0\nmaxInflightMessages: 65535\ncloudEventAttributes: CreateOrRemap
authentication: {method: SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {audience: a}}",
    );
    let Settings::Mqtt(mqtt) = the_endpoint(&text).settings else { panic!() };
    let MqttHost::Remote { address, path } = mqtt.host else { panic!() };
    assert_eq!(
        (address.host(), address.port(), path.as_deref()),
        ("p.westeurope-1.ts.eventgrid.azure.net", 443, Some("/custom"))
    );
    assert_eq!((mqtt.qos, mqtt.keep_retain, mqtt.inflight_max), (Qos::Zero, false, 65535));
    assert_eq!((mqtt.session_expiry, mqtt.keep_alive), (Duration::ZERO, Duration::ZERO));
    assert_eq!(
        mqtt.authentication,
        Authentication::SystemAssignedManagedIdentity { audience: Some("a".into()) }
    );
    let Settings::Mqtt(mqtt) = the_endpoint(&mqtt_over_websocket()).settings else { panic!() };
    assert!(matches!(mqtt.host, MqttHost::Remote { path: Some(path), .. } if path == "/mqtt"));

    let text = endpoint(
        "line",
        "Kafka",
        "host: kafka.example:9093\nconsumerGroupId: g\ncompression: Lz4\nkafkaAcks: One\npartitionStrategy: Property\npartitionKeyProperty: machine
batching: {mode: Disabled}\ncopyMqttProperties: Disabled\ntls: {mode: Disabled}
authentication: {method: Sasl, saslSettings: {saslType: ScramSha512, secretRef: line-login}}",
    );
    let Settings::Kafka(kafka) = the_endpoint(&text).settings else { panic!() };
    assert_eq!(kafka.partition_strategy, PartitionStrategy::Property("machine".into()));
    assert_eq!((kafka.batching, kafka.tls, kafka.copy_mqtt_properties), (None, Tls::Disabled, false));
    let secret = SecretRef("line-login".into());
    assert_eq!(kafka.authentication, Authentication::Sasl { sasl_type: SaslType::ScramSha512, secret });

    let text = endpoint(
        "onelake",
        "FabricOneLake",
        &format!(
            "host: https://onelake.dfs.fabric.microsoft.com\nnames: {{workspaceName: plant, lakehouseName: telemetry}}\noneLakePathType: Files\nbatching: {{latencySeconds: 0, maxMessages: 0}}\n{SYSTEM}"
        ),
    );
    let Settings::FabricOneLake(lake) = the_endpoint(&text).settings else { panic!() };
    assert_eq!(
        (lake.workspace_name.as_str(), lake.lakehouse_name.as_str(), lake.path_type),
        ("plant", "telemetry", OneLakePathType::Files)
    );
    assert_eq!(lake.batching, Batching { latency: Duration::ZERO, messages_max: None });
}

fn mqtt_over_websocket() -> String {
    mqtt("protocol: WebSockets")
}
