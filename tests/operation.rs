//! What operators rely on: ready, healthy, metrics, tap, top, a clean stop, one instance to a data directory.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PATIENCE, dataflow, get, tidegate};

fn flow() -> String {
    dataflow("flow", ("default", "in/+"), ("default", "out/${inputTopic.2}"))
}

#[tokio::test]
async fn sigterm_drains_and_exits_0() {
    let mut gateway = Gateway::run(&flow()).await;
    let (got, _task) = subscribe(gateway.port(), "out/#").await;
    publish(gateway.port(), "in/a", 0..100, 100).await;
    got.until_complete(0..100).await;
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test]
async fn metrics_carry_the_names_of_aio_and_the_ledger() {
    let gateway = Gateway::run(&flow()).await;
    let (got, _task) = subscribe(gateway.port(), "out/#").await;
    publish(gateway.port(), "in/a", 0..100, 100).await;
    got.until_complete(0..100).await;
    gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    let (status, text) = gateway.get("/metrics").await;
    assert_eq!(status, 200);
    let local = r#"{category="",dataflow="flow",source_service_type="Local AIO MQTT Broker"} 100"#;
    assert!(text.contains(&format!("aio_dataflow_messages_received{local}")), "{text}");
    let local = local.replace("source", "target");
    assert!(text.contains(&format!("aio_dataflow_messages_sent{local}")), "{text}");
    assert!(text.contains("aio_dataflow_processing_latency_bucket"), "{text}");
    assert!(text.contains("aio_dataflow_active_dataflows 1"), "{text}");
}

#[tokio::test]
async fn health_and_readiness_answer() {
    let gateway = Gateway::run(&flow()).await;
    assert_eq!(gateway.get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(gateway.get("/readyz").await.0, 200);
    assert_eq!(gateway.get("/api/v1/nothing").await.0, 404);
    assert_eq!(gateway.get("/api/v1/dataflows/nobody/tap").await.0, 404);
}

/// A page of another host must not read the API through a name it has bound to 127.0.0.1.
#[tokio::test]
async fn the_api_is_safe_from_dns_rebinding() {
    let gateway = Gateway::run(&flow()).await;
    assert_eq!(get(&gateway.http, "/api/v1/dataflows", "evil.example:9464").await.0, 403);
    assert_eq!(get(&gateway.http, "/api/v1/dataflows", "localhost:9464").await.0, 200);
    assert_eq!(get(&gateway.http, "/api/v1/dataflows", "[::1]:9464").await.0, 200);
    assert_eq!(get(&gateway.http, "/healthz", "gateway.plant.example").await.0, 200);
}

#[tokio::test]
async fn tap_shows_messages_of_every_stage() {
    let gateway = Gateway::run(&flow()).await;
    let mut tap = tidegate()
        .args([
            "tap",
            "flow",
            "--count",
            "3",
            "--output",
            "json",
            "--api",
            &format!("http://{}", gateway.http),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tap.stdout.take().unwrap()).lines();
    let work = async {
        // the tap shows what passes while it watches, so something has to pass until it does
        let mut seen: Vec<Value> = vec![];
        while seen.len() < 3 {
            tokio::select! {
                line = lines.next_line() => seen.push(serde_json::from_str(&line.unwrap().unwrap()).unwrap()),
                () = tokio::time::sleep(std::time::Duration::from_millis(50)) => publish(gateway.port(), "in/a", 7..8, 1).await,
            }
        }
        seen
    };
    let seen = tokio::time::timeout(PATIENCE, work).await.unwrap();
    let stages: Vec<_> = seen.iter().map(|m| m["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["source", "transformed", "destination"]);
    assert_eq!(seen[0]["topic"], "in/a");
    assert_eq!(seen[2]["topic"], "out/a", "the destination's topic is resolved");
    assert_eq!(seen[0]["payload"], 7);
    assert!(tap.wait().await.unwrap().success());
}

#[tokio::test]
async fn top_lists_the_flows() {
    let disabled =
        flow().replace("name: flow", "name: idle-flow").replace("profileRef: default", "mode: Disabled");
    let gateway = Gateway::run(&(flow() + &disabled)).await;
    let output = tidegate()
        .args(["top", "--once", "--api", &format!("http://{}", gateway.http)])
        .output()
        .await
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("flow") && table.contains("idle-flow") && table.contains("disabled"), "{table}");
}

#[tokio::test]
async fn a_second_instance_on_one_data_directory_is_refused() {
    let gateway = Gateway::run(&flow()).await;
    let output = tidegate()
        .args(["run", "--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data-dir"])
        .arg(gateway.dir.path().join("data"))
        .arg(gateway.dir.path().join("resources.yaml"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("in use") && said.contains(&gateway.pid().to_string()), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_by_its_name() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flow.yaml"), flow()).unwrap();
    let output = tidegate()
        .args(["run", "--http-listen", "127.0.0.1:0", "--mqtt-listen", &address, "--data-dir"])
        .arg(dir.path().join("data"))
        .arg(dir.path().join("flow.yaml"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[tokio::test]
async fn bad_resources_are_not_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flow.yaml"), flow().replace("dataSources", "dataSourcez")).unwrap();
    let output = tidegate()
        .args(["run", "--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .arg(dir.path().join("flow.yaml"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("did you mean `dataSources`"), "{said}");
}

/// `instanceCount: 3` runs three instances that share the messages.
#[tokio::test]
async fn instances_of_a_profile_share_the_messages() {
    let profile = "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\n\
                   metadata: { name: many, namespace: azure-iot-operations }\nspec: { instanceCount: 3 }\n";
    let gateway =
        Gateway::run(&(profile.to_owned() + &flow().replace("profileRef: default", "profileRef: many")))
            .await;
    let (got, _task) = subscribe(gateway.port(), "out/#").await;
    publish(gateway.port(), "in/a", 0..1000, 100).await;
    got.until_complete(0..1000).await;
    assert_eq!(got.duplicates(), 0);
    let flow = gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    assert_eq!((&flow["messages"]["delivered"], &flow["instanceCount"]), (&1000.into(), &3.into()));
}
