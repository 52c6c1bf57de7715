//! Kafka endpoints against a real Apache Kafka: what arrives, what a second look with kcat finds there, and what is left
//! after outages.

use std::num::NonZeroU16;
use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use tidegate_core::{Properties, PropertiesBuilder, Property};
use tidegate_mqtt::{Connect, Packet, Publish, QoS, Version};
use tidegate_testkit::{Authority, Kafka, KafkaOptions, Validity};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::bridge::{config_map, secret};
use crate::client::{Wire, publish, subscribe};
use crate::gateway::{Gateway, PLAIN, dataflow};
use crate::outages::until_got;

const MESSAGES: u64 = 20_000;
const WINDOW: usize = 500;

/// A Kafka endpoint; `more` are further lines of `kafkaSettings`, indented by four.
pub(crate) fn kafka_endpoint(port: u16, more: &str) -> String {
    format!(
        r"---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: kafka, namespace: azure-iot-operations }}
spec:
  endpointType: Kafka
  kafkaSettings:
    host: 'localhost:{port}'
    consumerGroupId: gateways
{more}"
    )
}

/// Up from `up` to the Kafka topic `there`, and down from there to `down`.
fn up_and_down() -> String {
    dataflow("upward", ("default", "up/#"), ("kafka", "there"))
        + &dataflow("downward", ("kafka", "there"), ("default", "down"))
}

/// Everything in a topic, as kcat prints it in this format.
pub(crate) async fn kcat(port: u16, topic: &str, format: &str) -> Vec<String> {
    let broker = format!("localhost:{port}");
    let output = Command::new("kcat")
        .args(["-C", "-q", "-e", "-o", "beginning", "-b", &broker, "-t", topic, "-f", format])
        .output()
        .await
        .expect("kcat can be executed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

async fn publish_one(port: u16, topic: &str, payload: Vec<u8>, properties: Properties, expiry: Option<u32>) {
    let (mut wire, _) = Wire::connect(port, Connect::new(Version::V5, "one")).await.unwrap();
    let packet = Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: topic.into(),
        packet_id: NonZeroU16::new(1),
        message_expiry: expiry,
        topic_alias: None,
        subscription_ids: vec![],
        properties,
        payload: payload.into(),
    });
    wire.send(&packet).await.unwrap();
    let Some(Packet::PubAck(ack)) = wire.read().await else { panic!("it is acknowledged") };
    assert!(!ack.reason.is_failure());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_up_with_headers_and_keys_and_come_down_again() {
    let kafka = Kafka::start(KafkaOptions { partitions: 3, ..KafkaOptions::default() }).await;
    kafka.create_topic("there", 3).await;
    let endpoint =
        kafka_endpoint(kafka.port(), &format!("{PLAIN}    partitionStrategy: Topic\n    compression: Lz4\n"));
    let gateway = Gateway::run(&(endpoint + &up_and_down())).await;
    let (got, _subscriber) = subscribe(gateway.port(), "down").await;
    for topic in ["up/a", "up/b", "up/c"] {
        let mut properties = PropertiesBuilder::default();
        assert!(properties.push(Property::ContentType("application/json")));
        assert!(properties.push(Property::UserProperty("machine", topic)));
        let properties = properties.build().unwrap();
        for number in 0..2u8 {
            publish_one(gateway.port(), topic, vec![b'0' + number], properties.clone(), Some(3600)).await;
        }
    }
    got.until_complete(0..2).await;
    gateway.until("downward", "done", |f| f["messages"]["delivered"] == 6).await;
    let found = kcat(kafka.port(), "there", "%k %s %h\n").await;
    let expected = ["up/a", "up/b", "up/c"].iter().flat_map(|topic| {
        [0, 1].map(|n| {
            format!("{topic} {n} Content Type=application/json,machine={topic},Message Expiry Interval=3600")
        })
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
    // equal keys, equal partition
    let mut partitions = kcat(kafka.port(), "there", "%k %p\n").await;
    partitions.dedup();
    assert_eq!(partitions.len(), 3, "{partitions:?}");
    // what Kafka says of a record goes along
    let (mut wire, _) = Wire::connect(gateway.port(), Connect::new(Version::V5, "look")).await.unwrap();
    wire.send(&Packet::Subscribe(tidegate_mqtt::Subscribe {
        packet_id: NonZeroU16::MIN,
        subscriptions: vec![tidegate_mqtt::Subscription::new("down", QoS::AtMostOnce)],
        subscription_id: None,
        user_properties: vec![],
    }))
    .await;
    assert!(matches!(wire.read().await, Some(Packet::SubAck(_))));
    publish_one(gateway.port(), "up/key", b"7".to_vec(), Properties::default(), None).await;
    let Some(Packet::Publish(message)) = wire.read().await else { panic!("it comes down") };
    assert_eq!(message.properties.user_property("Key"), Some("up/key"));
    let millis: u64 = message.properties.user_property("Timestamp").unwrap().parse().unwrap();
    assert!(millis > 1_700_000_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_partition_keeps_the_order() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    let gateway = Gateway::run(&(kafka_endpoint(kafka.port(), PLAIN) + &up_and_down())).await;
    gateway.until("upward", "running", |f| f["state"] == "running").await;
    let (got, _subscriber) = subscribe(gateway.port(), "down").await;
    publish(gateway.port(), "up", 0..MESSAGES, WINDOW).await;
    got.until_complete(0..MESSAGES).await;
    assert_eq!(got.all(), (0..MESSAGES).collect::<Vec<_>>(), "in order, each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_as_destination_is_killed_and_frozen_in_mid_stream() {
    let mut kafka = Kafka::start(KafkaOptions::default()).await;
    let gateway = Gateway::run(&(kafka_endpoint(kafka.port(), PLAIN) + &up_and_down())).await;
    let (got, _subscriber) = subscribe(gateway.port(), "down").await;
    publish(gateway.port(), "up", 0..2_000, WINDOW).await;
    until_got(&got, 2_000).await;
    kafka.kill().await;
    // what there is to write shows the trouble: all of it might have been written before
    let port = gateway.port();
    let publisher = tokio::spawn(async move { publish(port, "up", 2_000..MESSAGES, WINDOW).await });
    let flow = gateway.until("upward", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(flow["health"]["reasonCode"], "DataflowKafkaTargetEndpointUnreachable", "{flow}");
    kafka.restart().await;
    let so_far = got.all().len();
    until_got(&got, so_far + 2_000).await;
    kafka.freeze().await;
    // nothing is waited for: so long it stands still
    tokio::time::sleep(Duration::from_secs(2)).await;
    kafka.thaw().await;
    publisher.await.unwrap();
    got.until_complete(0..MESSAGES).await;
    let drained = |f: &serde_json::Value| f["messages"]["inFlight"] == 0 && f["state"] == "running";
    gateway.until("upward", "drained", drained).await;
    gateway.until("downward", "drained", drained).await;
    let mut stored: Vec<u64> =
        kcat(kafka.port(), "there", "%s\n").await.iter().map(|s| s.parse().unwrap()).collect();
    stored.sort_unstable();
    stored.dedup();
    assert_eq!(stored, (0..MESSAGES).collect::<Vec<_>>());
    println!("{} of {MESSAGES} came more than once", got.duplicates());
}

/// Numbers as messages of the topic `there`, spread over its partitions.
pub(crate) async fn produce(port: u16, numbers: Range<u64>) {
    let mut kcat = Command::new("kcat")
        .args([
            "-P",
            "-b",
            &format!("localhost:{port}"),
            "-t",
            "there",
            "-X",
            "sticky.partitioning.linger.ms=0",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat can be executed");
    let lines: String = numbers.map(|n| format!("{n}\n")).collect();
    kcat.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    assert!(kcat.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_cluster_becomes_a_dead_letter() {
    let kafka =
        Kafka::start(KafkaOptions { more: "message.max.bytes=50000".into(), ..KafkaOptions::default() })
            .await;
    let gateway = Gateway::run(&(kafka_endpoint(kafka.port(), PLAIN) + &up_and_down())).await;
    let (got, _subscriber) = subscribe(gateway.port(), "down").await;
    publish(gateway.port(), "up", 0..100, 100).await;
    publish_one(gateway.port(), "up/large", vec![b'x'; 60_000], Properties::default(), None).await;
    publish(gateway.port(), "up", 100..200, 100).await;
    got.until_complete(0..200).await;
    let flow = gateway.until("upward", "settled", |f| f["messages"]["inFlight"] == 0).await;
    assert_eq!(flow["messages"]["deadLettered"], 1, "{flow}");
    assert_eq!(flow["messages"]["delivered"], 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_scram_and_without_the_right_password() {
    let authority = Authority::new("kafka authority");
    let server = authority.server(&["localhost"], Validity::Now);
    let kafka = Kafka::start(KafkaOptions {
        protocol: "SASL_SSL",
        more: "ssl.keystore.type=PEM\nssl.keystore.location={dir}/server.pem\nsasl.enabled.mechanisms=SCRAM-SHA-512\n\
               sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
               listener.name.clients.scram-sha-512.sasl.jaas.config=\
               org.apache.kafka.common.security.scram.ScramLoginModule required username=\"gateway\" password=\"right\";\n\
               ssl.truststore.type=PEM\nssl.truststore.location={dir}/ca.pem"
            .into(),
        scram: vec!["SCRAM-SHA-512=[name=gateway,password=right]".into()],
        files: vec![
            ("server.pem".into(), format!("{}\n{}", server.key, server.certificate)),
            ("ca.pem".into(), authority.certificate().to_owned()),
        ],
        ..KafkaOptions::default()
    })
    .await;
    let sasl = "    authentication:\n      method: Sasl\n      saslSettings: { saslType: ScramSha512, secretRef: login }\n    \
                tls: { trustedCaCertificateConfigMapRef: kafka-ca }\n";
    let resources = |password: &str| {
        config_map("kafka-ca", authority.certificate())
            + &secret("login", &[("username", "gateway"), ("password", password)])
            + &kafka_endpoint(kafka.port(), sasl)
            + &up_and_down()
    };
    let gateway = Gateway::run(&resources("wrong")).await;
    let flow = gateway.until("upward", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(flow["health"]["reasonCode"], "DataflowKafkaTargetConnectionFailed", "{flow}");
    assert!(flow["health"]["message"].as_str().unwrap().contains("credentials"), "{flow}");
    let flow = gateway.until("downward", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(flow["health"]["reasonCode"], "DataflowKafkaSourceConnectionFailed", "{flow}");
    drop(gateway);
    let gateway = Gateway::run(&resources("right")).await;
    let (got, _subscriber) = subscribe(gateway.port(), "down").await;
    publish(gateway.port(), "up", 0..100, 100).await;
    got.until_complete(0..100).await;
}
