//! Resources that change while an instance runs: `apply`, `get`, `diff`, `delete`, `run --watch`, and what becomes of the
//! messages meanwhile.

use std::process::Output;

use serde_json::Value;

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PATIENCE, dataflow, tidegate};

const LISTEN: [&str; 2] = ["--mqtt-listen", "127.0.0.1:0"];

fn flow(destination: &str) -> String {
    dataflow("flow", ("default", "in/+"), ("default", destination))
}

/// An instance without files.
async fn instance() -> Gateway {
    Gateway::start(tempfile::tempdir().unwrap(), LISTEN.map(String::from).to_vec()).await
}

async fn cli(gateway: &Gateway, args: &[&str]) -> Output {
    tidegate().args(args).args(["--api", &format!("http://{}", gateway.http)]).output().await.unwrap()
}

/// A command that is to succeed: what it says.
async fn done(gateway: &Gateway, args: &[&str]) -> String {
    let output = cli(gateway, args).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(gateway: &Gateway, text: &str) -> String {
    let path = gateway.dir.path().join("flow.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn resources_are_applied_shown_kept_and_deleted() {
    let mut gateway = instance().await;
    let first = format!("# the press\n{}", flow("out/a").trim_start_matches("---\n"));
    let file = write(&gateway, &first);
    let said = done(&gateway, &["apply", "-f", &file, "--dry-run=server"]).await;
    assert_eq!(said, "dataflow/flow created (server dry run)\n");
    assert_eq!(done(&gateway, &["get", "all"]).await.lines().count(), 1, "a dry run changes nothing");
    assert_eq!(done(&gateway, &["apply", "-f", &file]).await, "dataflow/flow created\n");
    assert_eq!(done(&gateway, &["apply", "-f", &file]).await, "dataflow/flow unchanged\n");
    gateway.until("flow", "available", |f| f["health"]["status"] == "Available").await;

    let yaml = done(&gateway, &["get", "dataflow", "flow", "-o", "yaml"]).await;
    assert!(yaml.starts_with("# the press\n"), "comments are kept: {yaml}");
    assert!(
        yaml.contains("status:\n  provisioningState: Succeeded\n  healthState:\n    status: Available\n"),
        "{yaml}"
    );
    let json: Value =
        serde_json::from_str(&done(&gateway, &["get", "dataflows", "flow", "-o", "json"]).await).unwrap();
    assert_eq!(
        (&json["kind"], &json["status"]["healthState"]["status"]),
        (&"Dataflow".into(), &"Available".into())
    );
    assert!(done(&gateway, &["describe", "dataflow", "flow"]).await.contains("delivered"));

    // what is shown can be applied again
    let shown = write(&gateway, &yaml);
    done(&gateway, &["apply", "-f", &shown]).await;

    let file = write(&gateway, &flow("out/b"));
    let diff = cli(&gateway, &["diff", "-f", &file]).await;
    let text = String::from_utf8(diff.stdout).unwrap();
    assert_eq!(diff.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|l| l.starts_with('+') && l.contains("out/b")), "{text}");
    assert_eq!(done(&gateway, &["apply", "-f", &file]).await, "dataflow/flow configured\n");

    // one error, and nothing of the call is done
    let bad = dataflow("other", ("default", "x"), ("default", "y")) + &flow("out/#");
    let refused = cli(&gateway, &["apply", "-f", &write(&gateway, &bad)]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("flow.yaml:") && said.contains("error[TG"), "{said}");
    let all = done(&gateway, &["get", "dataflows"]).await;
    assert!(!all.contains("other") && all.contains("Available"), "{all}");

    gateway.kill_9().await;
    gateway.restart().await;
    let (got, _task) = subscribe(gateway.port(), "out/b").await;
    publish(gateway.port(), "in/1", 0..10, 10).await;
    got.until_complete(0..10).await;
    assert_eq!(done(&gateway, &["delete", "dataflow", "flow"]).await, "dataflow/flow deleted\n");
    assert_eq!(done(&gateway, &["get", "all"]).await.lines().count(), 1);
    assert_eq!(cli(&gateway, &["delete", "dataflow", "flow"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn an_instance_of_files_is_changed_by_its_files() {
    let gateway = Gateway::run_with(&flow("out/a"), &["--mqtt-listen", "127.0.0.1:0", "--watch"]).await;
    let path = gateway.dir.path().join("resources.yaml");
    let refused = cli(&gateway, &["apply", "-f", &path.display().to_string()]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("run --watch"), "{said}");
    let to = |topic: &'static str| move |f: &Value| f["destination"]["dataDestination"] == topic;
    gateway.until("flow", "as written", to("out/a")).await;
    std::fs::write(&path, flow("out/b")).unwrap();
    gateway.until("flow", "as written now", to("out/b")).await;
}

/// QoS 1 messages keep coming while the flow, its endpoint and its profile change: none is lost, the books balance, and a
/// flow that is not touched is not stopped. `TIDEGATE_TEST_APPLIES` says how many changes.
#[tokio::test]
async fn nothing_is_lost_while_resources_change() {
    let applies: u32 = std::env::var("TIDEGATE_TEST_APPLIES").map_or(20, |n| n.parse().unwrap());
    let messages = u64::from(applies) * 500;
    let gateway = instance().await;
    let version = |n: u32| {
        // one of the three changes each time, and each does so again and again
        let (keep_alive, instances) = (30 + n / 3 % 7, 1 + (n + 1) / 3 % 2);
        let flow = dataflow("flow", ("local", "in/+"), ("local", &format!("out/{}", n.div_ceil(3))))
            .replace("profileRef: default", "profileRef: line");
        format!(
            "{flow}{}---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\n\
             metadata: {{ name: line, namespace: azure-iot-operations }}\nspec: {{ instanceCount: {instances} }}\n\
             ---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\n\
             metadata: {{ name: local, namespace: azure-iot-operations }}\n\
             spec:\n  endpointType: Mqtt\n  mqttSettings:\n    host: aio-broker:18883\n    keepAliveSeconds: {keep_alive}\n    \
             tls: {{ mode: Enabled }}\n    authentication: {{ method: ServiceAccountToken, \
             serviceAccountTokenSettings: {{ audience: aio-internal }} }}\n",
            dataflow("still", ("default", "still/+"), ("default", "rest"))
        )
    };
    done(&gateway, &["apply", "-f", &write(&gateway, &version(0))]).await;
    gateway.until("flow", "available", |f| f["health"]["status"] == "Available").await;
    let since = gateway.dataflow("still").await["health"]["lastTransitionTime"].clone();
    let (got, _task) = subscribe(gateway.port(), "out/#").await;
    let load = publish(gateway.port(), "in/a", 0..messages, 100);
    let changes = async {
        for n in 1..=applies {
            let said = done(&gateway, &["apply", "-f", &write(&gateway, &version(n))]).await;
            assert!(said.contains("configured"), "{said}");
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(load, changes) }).await.unwrap();
    got.until_complete(0..messages).await;
    let flow = gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    println!("{applies} changes, {messages} messages, {} came twice: {flow}", got.duplicates());
    assert_eq!(gateway.dataflow("still").await["health"]["lastTransitionTime"], since, "not touched");
}
