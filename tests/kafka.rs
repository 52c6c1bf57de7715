//! Kafka endpoints against a real Apache Kafka: what arrives, what a second look with kcat finds there, and what is left
//! after outages.

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
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
    named_endpoint("kafka", port, more)
}

pub(crate) fn named_endpoint(name: &str, port: u16, more: &str) -> String {
    format!(
        r"---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: {name}, namespace: azure-iot-operations }}
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

/// How many records a topic has ever held, duplicates included.
pub(crate) async fn kcat_count(port: u16, topic: &str, partitions: u32) -> u64 {
    let mut kcat = Command::new("kcat");
    kcat.args(["-Q", "-b", &format!("localhost:{port}")]);
    for partition in 0..partitions {
        kcat.args(["-t", &format!("{topic}:{partition}:-1")]);
    }
    let output = kcat.output().await.expect("kcat can be executed");
    // `there [0] offset 123`
    let offsets = String::from_utf8_lossy(&output.stdout).into_owned();
    offsets.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

pub(crate) async fn publish_one(
    port: u16,
    topic: &str,
    payload: Vec<u8>,
    properties: Properties,
    expiry: Option<u32>,
) {
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

/// A broker's own certificate and its CA, for a Kafka that speaks TLS to clients who trust that CA.
fn tls_files(authority: &Authority) -> Vec<(String, String)> {
    let server = authority.peer("localhost", Validity::Now);
    vec![
        ("server.pem".into(), format!("{}\n{}", server.key, server.certificate)),
        ("ca.pem".into(), authority.certificate().to_owned()),
    ]
}

const TLS: &str = "ssl.keystore.type=PEM\nssl.keystore.location={dir}/server.pem\nssl.truststore.type=PEM\n\
                   ssl.truststore.location={dir}/ca.pem\n";

/// Up to a topic of the endpoint's name and down from it.
pub(crate) fn there_and_back(endpoint: &str) -> String {
    dataflow(&format!("up-{endpoint}"), ("default", &format!("up/{endpoint}")), (endpoint, endpoint))
        + &dataflow(
            &format!("down-{endpoint}"),
            (endpoint, endpoint),
            ("default", &format!("down/{endpoint}")),
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sasl_mechanism_lets_in_over_tls_both_ways() {
    const MECHANISMS: [(&str, &str); 3] =
        [("plain", "Plain"), ("scram-sha-256", "ScramSha256"), ("scram-sha-512", "ScramSha512")];
    let authority = Authority::new("kafka authority");
    let modules = "org.apache.kafka.common.security";
    let kafka = Kafka::start(KafkaOptions {
        protocol: "SASL_SSL",
        more: format!(
            "{TLS}sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=PLAIN\n\
             listener.name.clients.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
             username=\"gateway\" password=\"right\" user_gateway=\"right\";\n\
             listener.name.clients.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;\n\
             listener.name.clients.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;"
        ),
        scram: MECHANISMS[1..]
            .iter()
            .map(|(name, _)| format!("{}=[name=gateway,password=right]", name.to_ascii_uppercase()))
            .collect(),
        files: tls_files(&authority),
        ..KafkaOptions::default()
    })
    .await;
    let mut resources = config_map("kafka-ca", authority.certificate())
        + &secret("login", &[("username", "gateway"), ("password", "right")]);
    for (name, sasl_type) in MECHANISMS {
        let sasl = format!(
            "    authentication: {{ method: Sasl, saslSettings: {{ saslType: {sasl_type}, secretRef: login }} }}\n    \
             tls: {{ trustedCaCertificateConfigMapRef: kafka-ca }}\n"
        );
        resources += &(named_endpoint(name, kafka.port(), &sasl) + &there_and_back(name));
    }
    let gateway = Gateway::run(&resources).await;
    for (name, _) in MECHANISMS {
        let (got, _subscriber) = subscribe(gateway.port(), &format!("down/{name}")).await;
        publish(gateway.port(), &format!("up/{name}"), 0..50, 50).await;
        got.until_complete(0..50).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_lets_in_and_none_does_not() {
    let authority = Authority::new("kafka authority");
    let kafka = Kafka::start(KafkaOptions {
        protocol: "SSL",
        more: format!("{TLS}ssl.client.auth=required\n"),
        files: tls_files(&authority),
        ..KafkaOptions::default()
    })
    .await;
    let client = authority.client("gateway", Validity::Now);
    let tls = "    tls: { trustedCaCertificateConfigMapRef: kafka-ca }\n";
    let x509 =
        "    authentication: { method: X509Certificate, x509CertificateSettings: { secretRef: client } }\n";
    let anonymous = "    authentication: { method: Anonymous, anonymousSettings: {} }\n";
    let resources = config_map("kafka-ca", authority.certificate())
        + &secret("client", &[("client_cert.pem", &client.certificate), ("client_key.pem", &client.key)])
        + &named_endpoint("with", kafka.port(), &format!("{x509}{tls}"))
        + &named_endpoint("without", kafka.port(), &format!("{anonymous}{tls}"))
        + &there_and_back("with")
        + &there_and_back("without");
    let gateway = Gateway::run(&resources).await;
    let (got, _subscriber) = subscribe(gateway.port(), "down/with").await;
    publish(gateway.port(), "up/with", 0..50, 50).await;
    got.until_complete(0..50).await;
    gateway.until("up-without", "troubled", |f| f["state"] == "troubled").await;
    gateway.until("down-without", "troubled", |f| f["state"] == "troubled").await;
}

/// Runs a flow `to-<name>` from `up/<name>` to the topic `<name>` for each of these settings, by an endpoint that has them.
async fn one_flow_for_each(settings: &[(&str, &str)], port: u16) -> Gateway {
    let mut resources = String::new();
    for (name, more) in settings {
        let endpoint = format!("kafka-{name}");
        resources += &named_endpoint(&endpoint, port, &format!("{PLAIN}{more}"));
        resources += &dataflow(&format!("to-{name}"), ("default", &format!("up/{name}")), (&endpoint, name));
    }
    let gateway = Gateway::run(&resources).await;
    for (name, _) in settings {
        gateway.until(&format!("to-{name}"), "running", |f| f["state"] == "running").await;
    }
    gateway
}

/// One endpoint for each setting, and what Kafka's own tools and kcat find in their topics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_setting_of_a_destination_shows_in_kafka() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    let settings = [
        ("default", ""),
        ("gzip", "    compression: Gzip\n"),
        ("snappy", "    compression: Snappy\n"),
        ("lz4", "    compression: Lz4\n"),
        ("singly", "    batching: { mode: Disabled }\n"),
        ("by-count", "    batching: { latencyMs: 60000, maxMessages: 10 }\n"),
        ("by-bytes", "    batching: { latencyMs: 1000, maxBytes: 2000 }\n"),
        ("acks-one", "    kafkaAcks: One\n"),
        ("acks-zero", "    kafkaAcks: Zero\n"),
    ];
    let gateway = one_flow_for_each(&settings, kafka.port()).await;
    for (name, _) in settings {
        publish(gateway.port(), &format!("up/{name}"), 0..1000, 1000).await;
    }
    for (name, _) in settings {
        gateway.until(&format!("to-{name}"), "done", |f| f["messages"]["delivered"] == 1000).await;
        let batches = kafka.batches(name, 0).await;
        let word = |batch: &str, key: &str| {
            let mut words = batch.split(' ').skip_while(|word| *word != key);
            words.nth(1).unwrap_or_else(|| panic!("{key} in {batch}")).to_owned()
        };
        let number = |batch: &str, key: &str| word(batch, key).parse::<i64>().unwrap();
        assert_eq!(batches.iter().map(|b| number(b, "count:")).sum::<i64>(), 1000, "{name}");
        for batch in &batches {
            let codec = if ["gzip", "snappy", "lz4"].contains(&name) { name } else { "none" };
            assert_eq!(word(batch, "compresscodec:"), codec, "{name}");
            // only an idempotent producer has an id
            assert_eq!(number(batch, "producerId:") >= 0, !name.starts_with("acks-"), "{name}: {batch}");
            match name {
                "singly" => assert_eq!(number(batch, "count:"), 1),
                "by-count" => assert_eq!(number(batch, "count:"), 10),
                "by-bytes" => assert!(number(batch, "size:") <= 2000, "{batch}"),
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_partitions_and_headers_are_as_the_endpoint_says() {
    let kafka = Kafka::start(KafkaOptions { partitions: 4, ..KafkaOptions::default() }).await;
    let settings = [
        ("spread", ""),
        ("static", "    partitionStrategy: Static\n"),
        ("property", "    partitionStrategy: Property\n    partitionKeyProperty: machine\n"),
        ("bare", "    copyMqttProperties: Disabled\n"),
        ("event", "    cloudEventAttributes: CreateOrRemap\n"),
    ];
    let gateway = one_flow_for_each(&settings, kafka.port()).await;
    let properties = |machine: &str| {
        let mut builder = PropertiesBuilder::default();
        for property in [
            Property::PayloadFormatIndicator(true),
            Property::ContentType("text/plain"),
            Property::ResponseTopic("answers/here"),
            Property::CorrelationData(b"c-1"),
            Property::UserProperty("machine", machine),
            Property::UserProperty("machine", "second"),
        ] {
            assert!(builder.push(property));
        }
        builder.build().unwrap()
    };
    for machine in ["a", "b", "c", "d", "a", "b", "c", "d"] {
        for name in ["static", "property"] {
            publish_one(gateway.port(), &format!("up/{name}"), b"x".to_vec(), properties(machine), None)
                .await;
        }
    }
    for name in ["spread", "bare", "event"] {
        publish_one(gateway.port(), &format!("up/{name}"), b"x".to_vec(), properties("a"), Some(600)).await;
    }
    for (name, count) in [("static", 8), ("property", 8), ("spread", 1), ("bare", 1), ("event", 1)] {
        gateway.until(&format!("to-{name}"), "done", |f| f["messages"]["delivered"] == count).await;
    }
    // the partition of the first and only instance
    assert_eq!(kcat(kafka.port(), "static", "%K %p\n").await, ["-1 0"; 8]);
    let keyed = kcat(kafka.port(), "property", "%k %p\n").await;
    let twice = |key: &str, partition: u8| [format!("{key} {partition}"), format!("{key} {partition}")];
    // where Kafka's own clients put these keys: murmur2
    let expected = [twice("a", 0), twice("b", 0), twice("c", 2), twice("d", 1)].concat();
    assert_eq!(keyed, expected);
    let copied = "Payload Format Indicator=1,Content Type=text/plain,Response Topic=answers/here,Correlation Data=c-1,\
                  machine=a,machine=second,Message Expiry Interval=600";
    assert_eq!(kcat(kafka.port(), "spread", "%k|%h\n").await, [format!("|{copied}")]);
    assert_eq!(kcat(kafka.port(), "bare", "%k|%h\n").await, ["|"]);
    let event = kcat(kafka.port(), "event", "%h\n").await.concat();
    for header in [
        "ce_specversion=1.0",
        "ce_type=ms.aio-dataflow.telemetry",
        "ce_source=aio://kafka-event",
        "ce_subject=event",
        "ce_id=",
        "ce_time=",
        "content-type=text/plain",
        "Response Topic=answers/here",
    ] {
        assert!(event.split(',').any(|h| h.starts_with(header)), "{header} in {event}");
    }
}

/// What kcat sends with these arguments.
async fn kcat_produce(port: u16, args: &[OsString], payload: &str) {
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", &format!("localhost:{port}")])
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat can be executed");
    kcat.stdin.take().unwrap().write_all(payload.as_bytes()).await.unwrap();
    assert!(kcat.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_mqtt_comes_along_from_several_topics() {
    let kafka = Kafka::start(KafkaOptions::default()).await;
    for topic in ["one", "two"] {
        kafka.create_topic(topic, 1).await;
    }
    let resources = kafka_endpoint(kafka.port(), PLAIN)
        + &dataflow("downward", ("kafka", "one', 'two"), ("default", "down/${inputTopic}"));
    let gateway = Gateway::run(&resources).await;
    let (mut wire, _) = Wire::connect(gateway.port(), Connect::new(Version::V5, "look")).await.unwrap();
    wire.send(&Packet::Subscribe(tidegate_mqtt::Subscribe {
        packet_id: NonZeroU16::MIN,
        subscriptions: vec![tidegate_mqtt::Subscription::new("down/#", QoS::AtMostOnce)],
        subscription_id: None,
        user_properties: vec![],
    }))
    .await;
    assert!(matches!(wire.read().await, Some(Packet::SubAck(_))));
    let bytes = |prefix: &str, rest: Vec<u8>| OsString::from_vec([prefix.as_bytes(), &rest].concat());
    let header = |text: OsString| ["-H".into(), text];
    let one: Vec<OsString> = ["-t", "one", "-k", "press"]
        .map(OsString::from)
        .into_iter()
        .chain(header("line=3".into()))
        .chain(header(bytes("not-text=", vec![0xff])))
        .chain(header(bytes("too-long=", vec![b'x'; 65_536])))
        .chain(header(bytes("just-fits=", vec![b'x'; 65_535])))
        .chain(header("line=4".into()))
        .collect();
    kcat_produce(kafka.port(), &one, "a").await;
    let two: Vec<OsString> =
        ["-t", "two", "-k"].map(OsString::from).into_iter().chain([OsString::from_vec(vec![0xff])]).collect();
    kcat_produce(kafka.port(), &two, "b").await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let Some(Packet::Publish(message)) = wire.read().await else { panic!("both come down") };
        let properties = message.properties.user_properties().map(|(name, value)| match name {
            // the time is Kafka's
            "Timestamp" => name.to_owned(),
            "just-fits" => format!("{name} {}", value.len()),
            _ => format!("{name}={value}"),
        });
        let properties: Vec<String> = properties.collect();
        seen.push((
            message.topic.to_string(),
            String::from_utf8(message.payload.to_vec()).unwrap(),
            properties,
        ));
    }
    seen.sort();
    let named = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = [
        (
            "down/one".to_owned(),
            "a".to_owned(),
            named(&["Key=press", "Timestamp", "line=3", "just-fits 65535", "line=4"]),
        ),
        ("down/two".to_owned(), "b".to_owned(), named(&["Timestamp"])),
    ];
    assert_eq!(seen, expected);
}
