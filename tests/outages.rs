//! Brokers and the gateway killed in mid-stream: nothing is missing at the end, acknowledgements stay in order, and the
//! books balance.

use tidegate_testkit::{Mosquitto, MosquittoOptions};
use tokio::task::JoinHandle;

use crate::client::{Got, publish, subscribe};
use crate::gateway::{Gateway, PLAIN, dataflow, mqtt_endpoint};

const MESSAGES: u64 = 50_000;
const WINDOW: usize = 100;

pub(crate) fn persistent() -> MosquittoOptions {
    MosquittoOptions { persistence: true, ..MosquittoOptions::default() }
}

fn remote(mosquitto: &Mosquitto) -> String {
    mqtt_endpoint("remote", &format!("127.0.0.1:{}", mosquitto.port()), PLAIN)
}

/// Waits until about that many have come.
pub(crate) async fn until_got(got: &Got, count: usize) {
    let deadline = tokio::time::Instant::now() + crate::gateway::PATIENCE;
    while got.all().len() < count {
        assert!(tokio::time::Instant::now() < deadline, "only {} have come", got.all().len());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn publishing(port: u16) -> JoinHandle<()> {
    tokio::spawn(async move { publish(port, "in", 0..MESSAGES, WINDOW).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_destination_is_restarted_in_mid_stream() {
    let mut mosquitto = Mosquitto::start(persistent()).await;
    let resources = remote(&mosquitto) + &dataflow("flow", ("default", "in"), ("remote", "out"));
    let gateway = Gateway::run(&resources).await;
    let (got, _subscriber) = subscribe(mosquitto.port(), "out").await;
    let publisher = publishing(gateway.port());
    until_got(&got, 10_000).await;
    mosquitto.stop().await;
    gateway.until("flow", "troubled", |f| f["state"] == "troubled").await;
    mosquitto.restart().await;
    publisher.await.unwrap();
    got.until_complete(0..MESSAGES).await;
    let flow = gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    assert_eq!(flow["messages"]["delivered"], MESSAGES);
    assert_eq!(flow["state"], "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_is_restarted_in_mid_stream() {
    let mut mosquitto = Mosquitto::start(persistent()).await;
    let resources = remote(&mosquitto) + &dataflow("flow", ("remote", "in"), ("default", "out"));
    let gateway = Gateway::run(&resources).await;
    gateway.until("flow", "running", |f| f["state"] == "running").await;
    let (got, _subscriber) = subscribe(gateway.port(), "out").await;
    let publisher = publishing(mosquitto.port());
    until_got(&got, 10_000).await;
    mosquitto.stop().await;
    gateway.until("flow", "troubled", |f| f["state"] == "troubled").await;
    mosquitto.restart().await;
    publisher.await.unwrap();
    got.until_complete(0..MESSAGES).await;
    gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    println!("{} of {MESSAGES} came more than once", got.duplicates());
}

/// The source is one Mosquitto; another one answers for `aio-broker`, so that what tidegate has acknowledged lies with
/// a broker that lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_killed_in_mid_stream() {
    let source = Mosquitto::start(persistent()).await;
    let destination = Mosquitto::start(persistent()).await;
    let resources = remote(&source) + &dataflow("flow", ("remote", "in"), ("default", "out"));
    let broker = format!("mqtt://127.0.0.1:{}", destination.port());
    let mut gateway = Gateway::run_with(&resources, &["--broker", &broker]).await;
    gateway.until("flow", "running", |f| f["state"] == "running").await;
    let (got, _subscriber) = subscribe(destination.port(), "out").await;
    let publisher = publishing(source.port());
    for part in 1..=3 {
        until_got(&got, part * 10_000).await;
        gateway.kill_9().await;
        gateway.restart().await;
        gateway.dataflow("flow").await;
    }
    publisher.await.unwrap();
    got.until_complete(0..MESSAGES).await;
    gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    // Mosquitto 2.0.11 sends thousands more than Receive Maximum allows, and with the killed process go the
    // acknowledgements it has not read, so that it delivers those again: at least once.
    println!("{} of {MESSAGES} came more than once", got.duplicates());
}

#[tokio::test]
async fn a_destination_that_is_down_at_start_is_no_failure_to_start() {
    let port = tidegate_testkit::free_port();
    let resources = mqtt_endpoint("remote", &format!("127.0.0.1:{port}"), PLAIN)
        + &dataflow("flow", ("default", "in"), ("remote", "out"));
    let mut gateway = Gateway::run(&resources).await;
    let flow = gateway.until("flow", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(flow["health"]["status"], "Unavailable");
    assert_eq!(flow["health"]["reasonCode"], "DataflowMqttTargetConnectionFailed");
    let message = flow["health"]["message"].as_str().unwrap();
    assert!(message.contains(&port.to_string()), "{message}");
    assert_eq!(gateway.get("/readyz").await.0, 200, "its trouble is known, so the instance is ready");
    assert_eq!(gateway.stop().await, Some(0));
}
