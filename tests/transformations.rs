//! Enrich, filter and map in running flows; the state store that feeds them and the dead letters they leave.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::gateway::{Gateway, PATIENCE};

fn flow(transformation: &str) -> String {
    format!(
        "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: Dataflow\n\
         metadata: {{ name: flow, namespace: azure-iot-operations }}\nspec:\n  profileRef: default\n  operations:\n    \
         - operationType: Source\n      sourceSettings: {{ endpointRef: default, dataSources: [in] }}\n    \
         - operationType: BuiltInTransformation\n      builtInTransformationSettings:\n{transformation}    \
         - operationType: Destination\n      destinationSettings: {{ endpointRef: default, dataDestination: out }}\n"
    )
}

async fn publish(gateway: &Gateway, payload: &str) {
    let port = gateway.port().to_string();
    let published = Command::new("mosquitto_pub")
        .args(["-V", "5", "-q", "1", "-p", &port, "-t", "in", "-m", payload])
        .status();
    assert!(published.await.unwrap().success());
}

/// The retained message of the destination.
async fn until_out(gateway: &Gateway, name: &str, what: &str, n: u64) -> Value {
    gateway.until(name, what, |f| f["messages"][what].as_u64() >= Some(n)).await
}

/// A request with a body: status and body.
async fn request(gateway: &Gateway, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(&gateway.http).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// What arrives at `out` while `work` runs, as lines.
async fn received(gateway: &Gateway, count: usize, work: impl Future<Output = ()>) -> Vec<String> {
    let port = gateway.port().to_string();
    let subscriber = Command::new("mosquitto_sub")
        .args(["-V", "5", "-q", "1", "-p", &port, "-c", "-i", "lines", "-x", "3600", "-t", "out", "-E"])
        .status();
    assert!(subscriber.await.unwrap().success(), "subscribes, and leaves its session behind");
    work.await;
    let output = Command::new("mosquitto_sub")
        .args([
            "-V",
            "5",
            "-q",
            "1",
            "-p",
            &port,
            "-c",
            "-i",
            "lines",
            "-x",
            "3600",
            "-t",
            "out",
            "-C",
            &count.to_string(),
        ])
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("they arrive").unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn messages_are_filtered_mapped_and_counted() {
    let gateway = Gateway::run(&flow(
        "        filter: [{ inputs: [t], expression: '$1 < 20' }]\n        map:\n          \
         - { inputs: ['*'], output: '*' }\n          - { inputs: [t], expression: 'cToF($1)', output: t }\n",
    ))
    .await;
    let lines = received(&gateway, 2, async {
        for payload in
            [r#"{"t":100,"id":1}"#, r#"{"t":19,"id":2}"#, r#"{"t":"hot","id":3}"#, r#"{"t":0.5e2,"id":4}"#]
        {
            publish(&gateway, payload).await;
        }
        until_out(&gateway, "flow", "delivered", 2).await;
    })
    .await;
    let lines: Vec<Value> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines, [json!({"t": 212.0, "id": 1}), json!({"t": 122.0, "id": 4})]);
    let flow = until_out(&gateway, "flow", "deadLettered", 1).await;
    assert_eq!((&flow["messages"]["filtered"], &flow["messages"]["deadLettered"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn enrichment_follows_the_state_store_and_survives_a_restart() {
    let mut gateway = Gateway::run(&flow(
        "        datasets:\n          \
         - { key: machines as m, inputs: ['$source.id', '$context.id'], expression: '$1 == $2' }\n        map:\n          \
         - { inputs: [id], output: id }\n          - { inputs: ['$context(m).hall'], output: hall }\n",
    ))
    .await;
    let put = async |gateway: &Gateway, hall: &str| {
        let records = format!("{{\"id\":1,\"hall\":\"x\"}}\n{{\"id\":2,\"hall\":\"{hall}\"}}");
        assert_eq!(request(gateway, "PUT", "/api/v1/state/machines", &records).await.0, 200);
    };
    put(&gateway, "A").await;
    for hall in ["A", "B"] {
        if hall == "B" {
            put(&gateway, "B").await;
        }
        // the change reaches the flow a moment later
        let expected = format!(r#"{{"id":2,"hall":"{hall}"}}"#);
        loop {
            let lines = received(&gateway, 1, publish(&gateway, r#"{"id":2}"#)).await;
            if lines == [expected.as_str()] {
                break;
            }
        }
    }
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    let lines = received(&gateway, 1, publish(&gateway, r#"{"id":2}"#)).await;
    assert_eq!(lines, [r#"{"id":2,"hall":"B"}"#]);
}

#[tokio::test]
async fn dead_letters_are_kept_over_a_restart_replayed_and_dropped() {
    let mut gateway =
        Gateway::run(&flow("        map: [{ inputs: [a, b], expression: '$1 / $2', output: q }]\n")).await;
    for payload in [r#"{"a":1,"b":0}"#, "no json", r#"{"a":6,"b":3}"#] {
        publish(&gateway, payload).await;
    }
    until_out(&gateway, "flow", "deadLettered", 2).await;
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    let letters = |body: &str| -> Value { serde_json::from_str(body).unwrap() };
    let (status, body) = gateway.get("/api/v1/dataflows/flow/dead-letters").await;
    let list = letters(&body);
    assert_eq!((status, &list["count"]), (200, &json!(2)), "{body}");
    let first = &list["deadLetters"][0];
    assert!(first["reason"].as_str().unwrap().contains("division by zero"), "{first}");
    assert_eq!(
        (&first["message"]["topic"], &first["message"]["payload"]),
        (&json!("in"), &json!({"a": 1, "b": 0}))
    );
    assert_eq!(list["deadLetters"][1]["message"]["payloadBase64"], "bm8ganNvbg==");
    // replayed, it fails again and is a new letter
    let id = first["id"].as_str().unwrap();
    let (status, body) = request(
        &gateway,
        "POST",
        "/api/v1/dataflows/flow/dead-letters/replay",
        &format!(r#"{{"ids":["{id}"]}}"#),
    )
    .await;
    assert_eq!((status, letters(&body)), (200, json!({"replayed": 1})));
    until_out(&gateway, "flow", "deadLettered", 1).await;
    let (status, _) = gateway.get(&format!("/api/v1/dataflows/flow/dead-letters/{id}")).await;
    assert_eq!(status, 404, "the old one is gone");
    let (_, body) = request(&gateway, "DELETE", "/api/v1/dataflows/flow/dead-letters", "").await;
    assert!(letters(&body)["dropped"].as_u64() >= Some(1), "{body}");
    let (_, body) = gateway.get("/api/v1/dataflows/flow/dead-letters").await;
    assert_eq!(letters(&body)["count"], 0);
}

#[tokio::test]
async fn schemas_of_the_resources_are_in_the_registry() {
    let schema = r#"apiVersion: tidegate.dev/v1
kind: Schema
metadata: { name: row, namespace: azure-iot-operations }
spec:
  version: "1"
  format: Delta/1.0
  content: '{"$schema":"Delta/1.0","type":"object","properties":{"type":"struct","fields":[{"name":"t","type":"double"}]}}'
"#;
    let gateway = Gateway::run(schema).await;
    let (_, body) = gateway.get("/api/v1/schemas").await;
    let list: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(list["schemas"][0]["reference"], "aio-sr://row:1");
    let (status, _) = request(
        &gateway,
        "PUT",
        "/api/v1/schemas/row/1",
        r#"{"$schema":"Delta/1.0","type":"object","properties":{"type":"struct","fields":[]}}"#,
    )
    .await;
    assert_eq!(status, 409, "versions don't change");
}
