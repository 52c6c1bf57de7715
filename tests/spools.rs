//! Spools between a source and a destination that is away.

use tidegate_testkit::{Kafka, KafkaOptions, Mosquitto};

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PLAIN, dataflow, mqtt_endpoint};
use crate::kafka::{kafka_endpoint, produce};
use crate::outages::persistent;

/// A flow by a spool.
fn spooled(source: (&str, &str), destination: (&str, &str)) -> String {
    dataflow("flow", source, destination)
        .replace("spec:\n", "spec:\n  requestDiskPersistence: Enabled\n")
        .replace("profileRef: default", "profileRef: line")
}

/// Runs it with that Mosquitto as the local broker.
async fn run(resources: &str, local: &Mosquitto) -> Gateway {
    let broker = format!("mqtt://127.0.0.1:{}", local.port());
    let gateway = Gateway::run_with(resources, &["--broker", &broker]).await;
    gateway.until("flow", "available", |f| f["health"]["status"] == "Available").await;
    gateway
}

fn profile(instances: u32) -> String {
    format!(
        "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\n\
         metadata: {{ name: line, namespace: azure-iot-operations }}\nspec: {{ instanceCount: {instances} }}\n"
    )
}

/// Waits until so many messages lie in the spools of the flow.
async fn until_spooled(gateway: &Gateway, messages: u64) {
    gateway.until("flow", "spooled", |f| f["spool"]["messages"] == messages).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_was_told_is_kept_is_in_the_spool_over_kill_9() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    kafka.create_topic("there", 4).await;
    let mut destination = Mosquitto::start(persistent()).await;
    let (got, _subscriber) = subscribe(destination.port(), "out").await;
    let flow = spooled(("kafka", "there"), ("default", "out"));
    let resources = kafka_endpoint(kafka.port(), PLAIN) + &flow + &profile(1);
    let mut gateway = run(&resources, &destination).await;
    destination.stop().await;
    produce(kafka.port(), 0..2000).await;
    until_spooled(&gateway, 2000).await;
    gateway.kill_9().await;
    gateway.restart().await;
    // what was committed to Kafka is not asked for again, and is still there
    gateway.until("flow", "as it was", |f| f["spool"]["messages"].as_u64() >= Some(2000)).await;
    destination.restart().await;
    got.until_complete(0..2000).await;
    let flow = gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    assert!(flow["messages"]["delivered"].as_u64() >= Some(2000), "{flow}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_has_its_spool_and_one_that_is_no_longer_wanted_is_emptied() {
    let source = Mosquitto::start(persistent()).await;
    let mut destination = Mosquitto::start(persistent()).await;
    let (got, _subscriber) = subscribe(destination.port(), "out").await;
    let there = mqtt_endpoint("there", &format!("127.0.0.1:{}", destination.port()), PLAIN);
    let flow = there + &spooled(("default", "in"), ("there", "out"));
    let mut gateway = run(&(flow.clone() + &profile(3)), &source).await;
    destination.stop().await;
    publish(source.port(), "in", 0..3000, 100).await;
    until_spooled(&gateway, 3000).await;
    let spools = gateway.dir.path().join("data/spool/azure-iot-operations.flow");
    for instance in ["0", "1", "2"] {
        assert!(spools.join(instance).exists(), "{instance}");
    }
    gateway.kill_9().await;
    std::fs::write(gateway.dir.path().join("resources.yaml"), flow + &profile(1)).unwrap();
    gateway.restart().await;
    destination.restart().await;
    got.until_complete(0..3000).await;
    gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    until_spooled(&gateway, 0).await;
}
