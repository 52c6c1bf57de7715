//! The quickstart as the README tells it, with Debian's `mosquitto_pub` and `mosquitto_sub`.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::gateway::{Gateway, PATIENCE, repository, tidegate};

async fn quickstart() -> Gateway {
    let args = ["--mqtt-listen", "127.0.0.1:0"].map(str::to_owned);
    let path = repository().join("examples/quickstart").display().to_string();
    Gateway::start(tempfile::tempdir().unwrap(), args.into_iter().chain([path]).collect()).await
}

#[tokio::test]
async fn data_moves_on_a_machine_with_nothing_installed() {
    let gateway = quickstart().await;
    for flow in ["thermostat-fahrenheit", "assets-to-archive"] {
        gateway.until(flow, "delivered", |f| f["messages"]["delivered"].as_u64() > Some(0)).await;
    }
}

#[tokio::test]
async fn a_message_arrives_with_payload_user_properties_and_content_type() {
    let gateway = quickstart().await;
    let port = gateway.port().to_string();
    let mut sub = Command::new("mosquitto_sub")
        .args(["-V", "5", "-p", &port, "-t", "archive/#", "-F", "%t %C %P %p"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto_sub is installed: on Debian and Ubuntu, apt-get install mosquitto-clients");
    let mut lines = BufReader::new(sub.stdout.take().unwrap()).lines();
    let mut next =
        async || tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    // the simulated thermostat shows that it is subscribed
    assert!(next().await.starts_with("archive/thermostat application/json"));
    let published = Command::new("mosquitto_pub")
        .args(["-V", "5", "-q", "1", "-p", &port, "-t", "azure-iot-operations/data/pump"])
        .args(["-m", r#"{"pressure":{"Value":4.2}}"#])
        .args(["-D", "publish", "content-type", "application/json"])
        .args(["-D", "publish", "user-property", "line", "7"])
        .args(["-D", "publish", "user-property", "line", "8"])
        .status()
        .await
        .unwrap();
    assert!(published.success());
    let message = loop {
        let line = next().await;
        if !line.starts_with("archive/thermostat") {
            break line;
        }
    };
    assert_eq!(message, r#"archive/pump application/json line:7 line:8 {"pressure":{"Value":4.2}}"#);
}

/// Every example is judged; none has an error.
#[tokio::test]
async fn every_example_passes_check() {
    for example in std::fs::read_dir(repository().join("examples")).unwrap() {
        let path = example.unwrap().path();
        let output = tidegate().args(["check", "--output", "json"]).arg(&path).output().await.unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["summary"]["errors"], 0, "{}: {report}", path.display());
        assert!(report["resources"].as_u64() > Some(0), "{}: {report}", path.display());
    }
}
