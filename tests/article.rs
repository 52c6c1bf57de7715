//! The article "Configure dataflow endpoints": its table of endpoint types, its table of supported scenarios and its
//! two Kubernetes examples. What this version can't run yet is judged right by `check`.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PLAIN, dataflow, mqtt_endpoint, tidegate};
use tidegate_testkit::{Mosquitto, MosquittoOptions};

/// `check --strict -` of some resources: the exit code and what it said.
async fn check(resources: &str) -> (i32, String) {
    let mut child = tidegate()
        .args(["check", "--strict", "--color", "never", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(resources.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn endpoint(r#type: &str, settings: &str) -> String {
    format!(
        "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\n\
         metadata: {{ name: custom, namespace: azure-iot-operations }}\nspec:\n  endpointType: {type}\n  {settings}\n"
    )
}

/// A flow that writes to storage: it needs a schema.
fn storage_flow() -> String {
    r#"---
apiVersion: tidegate.dev/v1
kind: Schema
metadata: { name: row, namespace: azure-iot-operations }
spec:
  version: "1"
  format: Delta/1.0
  content: '{"$schema":"Delta/1.0","type":"object","properties":{"type":"struct","fields":[{"name":"t","type":"double","nullable":true,"metadata":{}}]}}'
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: { name: to-storage, namespace: azure-iot-operations }
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: { endpointRef: default, dataSources: [a] }
    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        serializationFormat: Parquet
        schemaRef: aio-sr://row:1
        map: [{ inputs: [t], output: t }]
    - operationType: Destination
      destinationSettings: { endpointRef: custom, dataDestination: rows }
"#
    .into()
}

const MSI: &str =
    "authentication: { method: SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {} }";

fn as_source() -> String {
    dataflow("from-custom", ("custom", "topic"), ("default", "out"))
}

fn as_destination() -> String {
    dataflow("to-custom", ("default", "in"), ("custom", "topic"))
}

#[tokio::test]
async fn mqtt_and_kafka_endpoints_can_be_source_and_destination() {
    let mqtt = mqtt_endpoint("custom", "broker.example.com:1883", PLAIN);
    let kafka = endpoint(
        "Kafka",
        &format!("kafkaSettings: {{ host: 'k.example.com:9093', consumerGroupId: g, {MSI} }}"),
    );
    for endpoint in [mqtt, kafka] {
        for flow in [as_source(), as_destination()] {
            let (code, said) = check(&(endpoint.clone() + &flow)).await;
            assert_eq!(code, 0, "{said}");
        }
    }
}

#[tokio::test]
async fn storage_endpoints_can_be_destinations_only() {
    let lake = format!("dataLakeStorageSettings: {{ host: 'https://plant.blob.core.windows.net', {MSI} }}");
    let fabric = format!(
        "fabricOneLakeSettings: {{ host: 'https://onelake.dfs.fabric.microsoft.com', oneLakePathType: Files, \
         names: {{ workspaceName: w, lakehouseName: l }}, {MSI} }}"
    );
    let adx = format!(
        "dataExplorerSettings: {{ host: 'https://plant.westeurope.kusto.windows.net', database: d, {MSI} }}"
    );
    let local = "localStorageSettings: { persistentVolumeClaimRef: volume }".to_owned();
    for (r#type, settings) in
        [("DataLakeStorage", lake), ("FabricOneLake", fabric), ("DataExplorer", adx), ("LocalStorage", local)]
    {
        let endpoint = endpoint(r#type, &settings);
        let (code, said) = check(&(endpoint.clone() + &storage_flow())).await;
        assert_eq!(code, 0, "{said}");
        let (code, said) = check(&(endpoint.clone() + &as_source())).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("source"), "{said}");
        // storage needs a schema for serialization
        let (code, said) = check(&(endpoint + &as_destination())).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("schemaRef"), "{said}");
    }
}

#[tokio::test]
async fn the_default_endpoint_can_be_source_and_destination() {
    let gateway = Gateway::run(&dataflow("flow", ("default", "in"), ("default", "out"))).await;
    let (got, _task) = subscribe(gateway.port(), "out").await;
    publish(gateway.port(), "in", 0..100, 10).await;
    got.until_complete(0..100).await;
}

#[tokio::test]
async fn an_endpoint_of_any_name_on_the_local_broker_will_do() {
    let endpoint = mqtt_endpoint("elsewhere", "broker.example.com:1883", PLAIN)
        + &mqtt_endpoint(
            "local",
            "aio-broker.azure-iot-operations:18883",
            "    authentication: { method: ServiceAccountToken, serviceAccountTokenSettings: { audience: aio-internal } }\n",
        );
    let flow = dataflow("flow", ("local", "in"), ("local", "out"));
    let gateway = Gateway::run(&(endpoint + &flow)).await;
    let (got, _task) = subscribe(gateway.port(), "out").await;
    publish(gateway.port(), "in", 0..100, 10).await;
    got.until_complete(0..100).await;
}

#[tokio::test]
async fn a_custom_endpoint_can_be_source_and_destination_beside_the_local_broker() {
    let mosquitto = Mosquitto::start(MosquittoOptions::default()).await;
    let endpoint = mqtt_endpoint("custom", &format!("127.0.0.1:{}", mosquitto.port()), PLAIN);
    let flows = dataflow("there", ("default", "in"), ("custom", "there"))
        + &dataflow("back", ("custom", "there"), ("default", "out"));
    let gateway = Gateway::run(&(endpoint + &flows)).await;
    gateway.until("back", "subscribed", |f| f["state"] == "running").await;
    let (got, _task) = subscribe(gateway.port(), "out").await;
    publish(gateway.port(), "in", 0..100, 10).await;
    got.until_complete(0..100).await;
}

#[tokio::test]
async fn custom_endpoints_on_both_sides_are_refused() {
    let endpoint = mqtt_endpoint("custom", "broker.example.com:1883", PLAIN);
    let (code, said) = check(&(endpoint + &dataflow("flow", ("custom", "in"), ("custom", "out")))).await;
    assert_eq!(code, 1);
    assert!(said.contains("aio-broker"), "{said}");
}

/// Both examples of the article, word for word.
const EXAMPLES: [&str; 2] = [
    "apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: broker-to-broker
  namespace: azure-iot-operations
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings:
        endpointRef: default
        dataSources:
        - example/topic/1
    - operationType: Destination
      destinationSettings:
        endpointRef: default
        dataDestination: example/topic/2
",
    "apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: broker-to-eh
  namespace: azure-iot-operations
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings:
        endpointRef: default
        dataSources:
        - example/topic/3
    - operationType: Destination
      destinationSettings:
        # The endpoint needs to be created before you can reference it here
        endpointRef: example-event-hub-endpoint
        dataDestination: example/topic/4
",
];

#[tokio::test]
async fn the_examples_load_unchanged() {
    let gateway = Gateway::run(EXAMPLES[0]).await;
    let (got, _task) = subscribe(gateway.port(), "example/topic/2").await;
    publish(gateway.port(), "example/topic/1", 0..100, 10).await;
    got.until_complete(0..100).await;

    let event_hub =
        endpoint("Kafka", &format!("kafkaSettings: {{ host: 'ns.servicebus.windows.net:9093', {MSI} }}"))
            .replace("name: custom", "name: example-event-hub-endpoint");
    let (code, said) = check(&(event_hub + "---\n" + EXAMPLES[1])).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = check(EXAMPLES[1]).await;
    assert_eq!(code, 1, "the endpoint needs to be created before");
    assert!(said.contains("example-event-hub-endpoint"), "{said}");
}

/// "You can use the same endpoint for multiple dataflows that use different topic filters."
#[tokio::test]
async fn one_endpoint_serves_many_flows() {
    let flows: String = (0..5)
        .map(|n| {
            dataflow(&format!("flow-{n}"), ("default", &format!("in/{n}")), ("default", &format!("out/{n}")))
        })
        .collect();
    let gateway = Gateway::run(&flows).await;
    let (got, _task) = subscribe(gateway.port(), "out/#").await;
    for n in 0..5 {
        publish(gateway.port(), &format!("in/{n}"), n * 10..n * 10 + 10, 10).await;
    }
    got.until_complete(0..50).await;
}
