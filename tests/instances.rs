//! Several processes that share the work of one flow, `--instance I/N`, and one of them killed.

use std::time::Duration;

use tidegate_testkit::{Kafka, KafkaOptions, Mosquitto};

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PLAIN, dataflow, mqtt_endpoint};
use crate::kafka::{kafka_endpoint, produce};
use crate::outages::persistent;

const MESSAGES: u64 = 40_000;

async fn two(resources: &str, broker: u16) -> [Gateway; 2] {
    let broker = format!("mqtt://127.0.0.1:{broker}");
    let run =
        async |instance| Gateway::run_with(resources, &["--broker", &broker, "--instance", instance]).await;
    [run("0/2").await, run("1/2").await]
}

async fn delivered(gateway: &Gateway) -> u64 {
    gateway.dataflow("flow").await["messages"]["delivered"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn share_the_messages_of_an_mqtt_broker() {
    let source = Mosquitto::start(persistent()).await;
    let destination = Mosquitto::start(persistent()).await;
    let resources = mqtt_endpoint("remote", &format!("127.0.0.1:{}", source.port()), PLAIN)
        + &dataflow("flow", ("remote", "in"), ("default", "out"));
    let [stays, mut dies] = two(&resources, destination.port()).await;
    for gateway in [&stays, &dies] {
        gateway.until("flow", "running", |f| f["state"] == "running").await;
        assert_eq!(gateway.dataflow("flow").await["instanceCount"], 2);
    }
    let (got, _subscriber) = subscribe(destination.port(), "out").await;
    let port = source.port();
    let publisher = tokio::spawn(async move { publish(port, "in", 0..MESSAGES, 100).await });
    stays.until("flow", "at work", |f| f["messages"]["delivered"].as_u64() > Some(2_000)).await;
    dies.until("flow", "at work", |f| f["messages"]["delivered"].as_u64() > Some(2_000)).await;
    dies.kill_9().await;
    let before = delivered(&stays).await;
    stays.until("flow", "going on", |f| f["messages"]["delivered"].as_u64() > Some(before)).await;
    // what the broker keeps in the session of the one that died waits for its return
    dies.restart().await;
    publisher.await.unwrap();
    got.until_complete(0..MESSAGES).await;
    println!("{} of {MESSAGES} came more than once", got.duplicates());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn share_the_partitions_of_kafka() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    kafka.create_topic("there", 4).await;
    let destination = Mosquitto::start(persistent()).await;
    let (got, _subscriber) = subscribe(destination.port(), "out").await;
    let resources =
        kafka_endpoint(kafka.port(), PLAIN) + &dataflow("flow", ("kafka", "there"), ("default", "out"));
    let [stays, mut dies] = two(&resources, destination.port()).await;
    let mut sent = 0;
    while delivered(&stays).await == 0 || delivered(&dies).await == 0 {
        produce(kafka.port(), sent..sent + 1000).await;
        sent += 1000;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    produce(kafka.port(), sent..sent + 10_000).await;
    dies.kill_9().await;
    produce(kafka.port(), sent + 10_000..sent + 20_000).await;
    // the other one takes over its partitions
    got.until_complete(0..sent + 20_000).await;
    // and gives some back
    dies.restart().await;
    let mut more = sent + 20_000;
    while delivered(&dies).await == 0 {
        produce(kafka.port(), more..more + 1000).await;
        more += 1000;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    got.until_complete(0..more).await;
    println!("{} of {more} came more than once", got.duplicates());
}
