//! What is wrong with an endpoint, told apart: each cause has its reason code and a sentence that names cause and mend.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_testkit::{
    Azurite, EntraId, Fault, Kafka, KafkaOptions, Kusto, KustoFault, Mosquitto, MosquittoOptions,
    StorageFront, free_port,
};

use crate::bridge::secret;
use crate::client::publish;
use crate::gateway::{Gateway, PLAIN, Request, dataflow, doctor, mqtt_endpoint};
use crate::kafka::kafka_endpoint;
use crate::lake_one_lake::create_container;
use crate::{adx, lake, lake_one_lake};

/// Waits for the flow's trouble and checks what its health says.
async fn says(gateway: &Gateway, flow: &str, reason: &str, sentence: &str) {
    let flow = gateway.until(flow, "troubled", |f| f["state"] == "troubled").await;
    let health = &flow["health"];
    assert_eq!(health["reasonCode"], reason, "{flow}");
    assert!(health["message"].as_str().unwrap().contains(sentence), "{flow}");
    assert_eq!(health["status"], "Unavailable", "{flow}");
}

/// What the doctor says last of something.
fn diagnosis(checks: &[Value], subject: &str) -> (String, String) {
    let found = checks.iter().rfind(|check| check["subject"] == subject).unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

/// What "Test connection" says of an endpoint among resources that are not applied.
async fn tried(gateway: &Gateway, resources: &str, endpoint: &str) -> Value {
    let documents = json!({ "files": [{ "name": "resources.yaml", "text": resources }] });
    let body = json!({ "documents": documents, "endpoint": endpoint }).to_string();
    let headers = [("Content-Type", "application/json")];
    let request = Request { method: "POST", path: "/api/v1/endpoints:test", headers: &headers, body: &body };
    let (status, body) = gateway.ask(request).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// What doctor and "Test connection" say alike of endpoints, in a folder with the resources: for each its status, reason code
/// and a part of the sentence.
async fn both_say(
    (dir, environment): (&Path, &[(&'static str, String)]),
    args: &[&str],
    expected: &[(&str, &str, &str, &str)],
) {
    let resources = std::fs::read_to_string(dir.join("resources.yaml")).unwrap();
    let (code, checks) = doctor(dir, environment, args).await;
    let failures = checks.iter().filter(|check| check["status"] == "failed").count();
    assert_eq!(code, Some(i32::from(failures > 0)));
    let args: Vec<&str> = ["--mqtt-listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
    let unused = mqtt_endpoint("unused", "127.0.0.1:1", PLAIN);
    let gateway = Gateway::run_in(environment.to_vec(), &unused, &args).await;
    for (name, expected, reason, sentence) in expected {
        let (status, message) = diagnosis(&checks, &format!("endpoint/{name}"));
        assert_eq!((&*status, message.contains(sentence)), (*expected, true), "{name}: {message}");
        let tried = tried(&gateway, &resources, name).await;
        assert_eq!(tried["ok"], *expected != "failed", "{tried}");
        assert_eq!(tried["reasonCode"].as_str().unwrap_or_default(), *reason, "{tried}");
        if *expected == "ok" {
            assert!(tried["message"].as_str().unwrap().contains("takes the credentials"), "{tried}");
        } else {
            assert!(tried["message"].as_str().unwrap().contains(sentence), "{tried}");
        }
        for said in [message, tried.to_string()] {
            assert!(!said.contains("sig="), "{said}");
        }
    }
}

fn with_login(secret: &str) -> String {
    format!(
        "    authentication:\n      method: Sasl\n      saslSettings: {{ saslType: ScramSha256, secretRef: {secret} }}\n    \
         tls: {{ mode: Disabled }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_kafka() {
    let kafka = Kafka::start(KafkaOptions {
        protocol: "SASL_PLAINTEXT",
        more: "sasl.enabled.mechanisms=SCRAM-SHA-256\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-256\n\
               listener.name.clients.scram-sha-256.sasl.jaas.config=\
               org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"right\";\n\
               auto.create.topics.enable=false\n\
               authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
               super.users=User:admin;User:ANONYMOUS\n"
            .into(),
        scram: vec![
            "SCRAM-SHA-256=[name=admin,password=right]".into(),
            "SCRAM-SHA-256=[name=nobody,password=right]".into(),
        ],
        ..KafkaOptions::default()
    })
    .await;
    let endpoint = |name: &str, port, more: &str| {
        kafka_endpoint(port, more).replace("{ name: kafka,", &format!("{{ name: {name},"))
    };
    let mut resources = secret("admin", &[("username", "admin"), ("password", "right")])
        + &secret("wrong", &[("username", "admin"), ("password", "wrong")])
        + &secret("nobody", &[("username", "nobody"), ("password", "right")]);
    for (name, port, login) in [
        ("address", free_port(), "admin"),
        ("password", kafka.port(), "wrong"),
        ("topic", kafka.port(), "admin"),
        ("rights", kafka.port(), "nobody"),
        ("missing-secret", kafka.port(), "none"),
    ] {
        resources += &endpoint(name, port, &with_login(login));
        resources += &dataflow(&format!("to-{name}"), ("default", "in"), (name, "there"));
        resources += &dataflow(&format!("from-{name}"), (name, "there"), ("default", "out"));
    }
    let gateway = Gateway::run(&resources).await;
    for (name, reason, sentence) in [
        ("address", "DataflowKafkaTargetEndpointUnreachable", "can't be reached"),
        ("password", "DataflowKafkaTargetConnectionFailed", "did not accept the credentials"),
        ("topic", "DataflowKafkaTargetConfigurationError", "has no such topic"),
        ("rights", "DataflowKafkaTargetSendFailed", "does not let this client use the topic"),
        ("missing-secret", "DataflowKafkaTargetConfigurationError", "Secret `none`"),
    ] {
        says(&gateway, &format!("to-{name}"), reason, sentence).await;
        // AIO has one reason code for Kafka sources
        says(&gateway, &format!("from-{name}"), "DataflowKafkaSourceConnectionFailed", sentence).await;
    }
    let (code, checks) = gateway.doctor().await;
    assert_eq!(code, Some(1));
    for (name, sentence) in [
        ("address", "refuses the connection"),
        ("password", "did not accept the credentials"),
        ("topic", "has no such topic"),
        ("rights", "does not let this client use the topic"),
        ("missing-secret", "Secret `none`"),
    ] {
        let (status, message) = diagnosis(&checks, &format!("endpoint/{name}"));
        assert_eq!(status, "failed", "{message}");
        assert!(message.contains(sentence), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mqtt() {
    let closed =
        Mosquitto::start(MosquittoOptions { listener: "allow_anonymous false".into(), ..Default::default() })
            .await;
    let open = Mosquitto::start(MosquittoOptions {
        general: "acl_file {dir}/acl".into(),
        files: vec![("acl".into(), "topic readwrite allowed/#\n".into())],
        ..Default::default()
    })
    .await;
    let mut resources = String::new();
    for (name, port) in [("address", free_port()), ("login", closed.port()), ("rights", open.port())] {
        resources += &mqtt_endpoint(name, &format!("127.0.0.1:{port}"), PLAIN);
        resources += &dataflow(&format!("to-{name}"), ("default", "in"), (name, "forbidden"));
        resources += &dataflow(&format!("from-{name}"), (name, "forbidden"), ("default", "out"));
    }
    let secured = "    authentication: { method: X509Certificate, x509CertificateSettings: { secretRef: none } }\n    tls: { mode: Enabled }\n";
    resources += &mqtt_endpoint("missing-secret", &format!("127.0.0.1:{}", open.port()), secured);
    resources += &dataflow("to-missing-secret", ("default", "in"), ("missing-secret", "allowed/a"));
    resources += &dataflow("from-missing-secret", ("missing-secret", "allowed/a"), ("default", "out"));
    let gateway = Gateway::run(&resources).await;
    // only what is published shows that it may not be
    publish(gateway.port(), "in", 0..1, 1).await;
    for (name, reason, sentence) in [
        ("address", "ConnectionFailed", "refused the connection"),
        ("login", "ConnectionFailed", "give it the right to connect"),
        ("rights", "ConnectionFailed", "does not let this client publish to `forbidden`"),
        ("missing-secret", "ConfigurationError", "`none`"),
    ] {
        says(&gateway, &format!("to-{name}"), &format!("DataflowMqttTarget{reason}"), sentence).await;
        // Mosquitto takes every subscription and withholds the messages: that is no trouble anybody could see
        if name != "rights" {
            says(&gateway, &format!("from-{name}"), &format!("DataflowMqttSource{reason}"), sentence).await;
        }
    }
    let (code, checks) = gateway.doctor().await;
    assert_eq!(code, Some(1));
    for (subject, expected, sentence) in [
        ("resources", "ok", "8 data flows to run"),
        ("data directory", "ok", "in use by the tidegate that runs"),
        ("clock", "ok", ""),
        ("port 127.0.0.1:0", "ok", ""),
        ("endpoint/address", "failed", "refuses the connection"),
        ("endpoint/login", "failed", "give it the right to connect"),
        // only what is published shows that it may not be
        ("endpoint/rights", "ok", "connected and let in (Mqtt)"),
        ("endpoint/missing-secret", "failed", "`none`"),
    ] {
        let (status, message) = diagnosis(&checks, subject);
        // a slow disk is no failure
        assert!(status == expected || subject == "data directory" && status == "warning", "{message}");
        assert!(message.contains(sentence), "{subject}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_data_explorer() {
    let azurite = Azurite::start().await;
    let [well, forbidden, blind] = [
        Kusto::start(azurite.accounts()).await,
        Kusto::start(azurite.accounts()).await,
        Kusto::start(azurite.accounts()).await,
    ];
    for table in ["Numbers", "Slow"] {
        well.execute("plant", &format!(".create table {table} (n: long, asset: string)")).unwrap();
    }
    well.execute("plant", ".alter table Slow policy streamingingestion disable").unwrap();
    forbidden.set_fault(KustoFault::Forbidden, usize::MAX);
    blind.forbid_looks();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let one = |name: &str, url: &str, ingestion: &str, table: &str| {
        let all = adx::resources(url, ingestion, 1000);
        // the schema is there once
        let rest = if name == "well" { &*all } else { all.split_once("---\n").unwrap().1 };
        let rest = rest.replace("name: adx\n", &format!("name: {name}\n"));
        let rest = rest.replace(
            "endpointRef: adx, dataDestination: Numbers",
            &format!("endpointRef: {name}, dataDestination: {table}"),
        );
        rest.replace("metadata: { name: flow,", &format!("metadata: {{ name: to-{name},"))
    };
    let resources = [
        one("well", &well.url(), "streaming", "Numbers"),
        one("address", &nobody, "queued", "Numbers"),
        one("table", &well.url(), "queued", "Missing"),
        one("streaming-off", &well.url(), "streaming", "Slow"),
        one("rights", &forbidden.url(), "queued", "Numbers"),
        one("ingestor-only", &blind.url(), "queued", "Numbers"),
    ];
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("resources.yaml"), resources.join("---\n")).unwrap();
    let entra = EntraId::start().await;
    let expected = [
        ("well", "ok", "", "let in (DataExplorer), `Numbers` is there"),
        ("address", "failed", "DataflowAdxTargetSendFailed", "check the host and its port"),
        (
            "table",
            "failed",
            "DataflowAdxTargetConfigurationError",
            "create it: `.create table ['Missing'] (['n']: long, ['asset']: string)`",
        ),
        ("streaming-off", "warning", "", "`.alter table ['Slow'] policy streamingingestion enable`"),
        ("rights", "failed", "DataflowAdxTargetAuthenticationFailed", "make the identity an ingestor"),
        ("ingestor-only", "warning", "", "not allowed to look at database `plant`"),
    ];
    both_say((dir.path(), &entra.imds()), &[], &expected).await;
    entra.set_fault(Some(Fault::Status(
        400,
        r#"{"error":"invalid_request","error_description":"Identity not found"}"#.into(),
    )));
    let no_identity = [("well", "failed", "DataflowAdxTargetAuthenticationFailed", "Identity not found")];
    both_say((dir.path(), &entra.imds()), &[], &no_identity).await;
    let tables = well.execute("plant", ".show tables").unwrap();
    assert_eq!((tables.len(), well.messages().len(), well.streamed()), (2, 0, 0), "nothing is changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_storage() {
    let azurite = Azurite::start().await;
    let account = &azurite.accounts()[0];
    create_container(account, "there").await;
    let one_lake = StorageFront::one_lake(account, "there", "plant").await;
    let dir = tempfile::tempdir().unwrap();
    let (volume, no_folder) = (dir.path().join("volume"), dir.path().join("no-folder"));
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(&no_folder, "a file").unwrap();
    let lake = |host: &str, sas: &str| {
        let login = format!(
            "    authentication: {{ method: AccessToken, accessTokenSettings: {{ secretRef: {sas} }} }}\n"
        );
        lake_one_lake::endpoint("DataLakeStorage", &format!("    host: {host}\n{login}"))
    };
    let one_lake = |workspace: &str, lakehouse: &str, audience: &str| {
        let settings = format!(
            "    host: {}\n    names: {{ workspaceName: {workspace}, lakehouseName: {lakehouse} }}\n    oneLakePathType: \
             Tables\n    authentication:\n      method: SystemAssignedManagedIdentity\n      \
             systemAssignedManagedIdentitySettings: {{ {audience} }}\n",
            one_lake.url()
        );
        lake_one_lake::endpoint("FabricOneLake", &settings)
    };
    let local = |volume: &str| {
        "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\nmetadata:\n  name: storage\n  \
         namespace: azure-iot-operations\nspec:\n  endpointType: LocalStorage\n  localStorageSettings: { \
         persistentVolumeClaimRef: "
            .to_owned()
            + volume
            + " }\n"
    };
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let mut resources = secret("right", &[("accessToken", &account.signature())])
        + &secret("reads", &[("accessToken", &account.signature_for("rl", "2099-01-01T00:00:00Z"))])
        + &secret("ended", &[("accessToken", &account.signature_for("rwl", "2026-01-01T00:00:00Z"))])
        + &secret("strange", &[("accessToken", &format!("{}x", account.signature()))])
        + &lake::schema(1, &lake::numbered());
    for (name, endpoint, destination) in [
        ("well", lake(&account.blobs, "right"), "there"),
        ("address", lake(&nobody, "right"), "there"),
        ("container", lake(&account.blobs, "right"), "missing"),
        ("rights", lake(&account.blobs, "reads"), "there"),
        ("ended", lake(&account.blobs, "ended"), "there"),
        ("strange", lake(&account.blobs, "strange"), "there"),
        ("no-secret", lake(&account.blobs, "none"), "there"),
        ("one-lake", one_lake("there", "plant", ""), "rows"),
        ("workspace", one_lake("elsewhere", "plant", ""), "rows"),
        ("lakehouse", one_lake("there", "missing", ""), "rows"),
        ("audience", one_lake("there", "plant", "audience: 'https://vault.azure.net'"), "rows"),
        ("folder", local("archive"), "rows"),
        ("no-folder", local("file"), "rows"),
    ] {
        resources += &endpoint.replace("name: storage\n", &format!("name: {name}\n"));
        let to = format!("endpointRef: {name}, dataDestination: {destination} ");
        let from = format!("endpointRef: storage, dataDestination: to-{name} ");
        resources += &lake::flow(&format!("to-{name}"), "Parquet", 1).replace(&from, &to);
    }
    std::fs::write(dir.path().join("resources.yaml"), resources).unwrap();
    let volumes = [format!("archive={}", volume.display()), format!("file={}", no_folder.display())];
    let args = ["--volume", &volumes[0], "--volume", &volumes[1]];
    let entra = EntraId::start().await;
    let [login, settings, sending] = ["AuthenticationFailed", "ConfigurationError", "SendFailed"]
        .map(|end| format!("DataflowObjectStoreTarget{end}"));
    let expected = [
        ("well", "ok", "", "`there` can be written"),
        ("address", "failed", &*sending, "check the host and its port"),
        ("container", "failed", &*settings, "ContainerNotFound; create it"),
        ("rights", "failed", &*login, "it needs read, create, write and list"),
        ("ended", "failed", &*login, "has run out, at 2026-01-01T00:00:00Z"),
        ("strange", "failed", &*login, "is not one of this account"),
        ("no-secret", "failed", &*login, "Secret `none`"),
        ("one-lake", "ok", "", "`rows` can be written"),
        ("workspace", "failed", &*settings, "WorkspaceNotFound; create it"),
        ("lakehouse", "failed", &*settings, "ArtifactNotFound; create it"),
        ("audience", "failed", &*login, "check the audience"),
        ("folder", "ok", "", "`rows` can be written"),
        ("no-folder", "failed", &*settings, "choose another volume"),
    ];
    both_say((dir.path(), &entra.imds()), &args, &expected).await;
    assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 0, "nothing is left behind");
    let fetched = tempfile::tempdir().unwrap();
    let url = format!("{}/there?{}", account.blobs, account.signature());
    lake::rows_py(&["fetch", &url, fetched.path().to_str().unwrap()]).await.unwrap();
    assert_eq!(std::fs::read_dir(fetched.path()).unwrap().count(), 0, "nothing is left behind");
}
