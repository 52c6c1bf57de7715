//! `bench mqtt` against a real broker, and against one that does everything wrong.

use serde_json::Value;
use tidegate_mqtt::{Ack, Packet, Publish, ReasonCode, SubAck};
use tidegate_testkit::{Mosquitto, MosquittoOptions, PeerConnection, ScriptedPeer};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{Said, run};

/// Starts the command and goes on; some broker has to answer it.
fn bench(port: u16, args: &[&str]) -> JoinHandle<Said> {
    let mut all = vec!["bench".into(), "mqtt".into(), "--url".into(), format!("mqtt://127.0.0.1:{port}")];
    all.extend(args.iter().map(|a| (*a).to_owned()));
    spawn_blocking(move || run(&all.iter().map(String::as_str).collect::<Vec<_>>()))
}

async fn report(port: u16, args: &[&str]) -> (Value, Option<i32>) {
    let said = bench(port, &[args, &["--output", "json"]].concat()).await.unwrap();
    (serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr)), said.code)
}

#[tokio::test]
async fn every_pattern_and_qos_arrives_whole() {
    let broker = Mosquitto::start(MosquittoOptions {
        general: "max_inflight_messages 0\n".into(),
        ..MosquittoOptions::default()
    })
    .await;
    for (args, expected) in [
        (&["--messages", "500"][..], 500),
        (&["--messages", "500", "--qos", "0", "--payload-bytes", "36"], 500),
        (&["--messages", "300", "--qos", "2", "--window", "7"], 300),
        (&["--messages", "100", "--publishers", "5", "--threads", "1"], 500),
        (&["--messages", "200", "--publishers", "3", "--subscribers", "2", "--pattern", "fan-in"], 600),
        (&["--messages", "200", "--publishers", "2", "--subscribers", "3", "--pattern", "fan-out"], 1200),
        (
            &["--messages", "100", "--payload", "thermostat", "--topic", "plant/line1", "--rate", "100000"],
            100,
        ),
    ] {
        let (report, code) = report(broker.port(), args).await;
        assert_eq!(report["messages"]["received"], expected, "{args:?}: {report}");
        for count in ["refused", "lost", "duplicated", "reordered", "foreign"] {
            assert_eq!(report["messages"][count], 0, "{args:?}: {report}");
        }
        let latency = |p: &str| report["latencyMicroseconds"][p].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
        assert_eq!(code, Some(0), "{args:?}: {report}");
    }
}

#[tokio::test]
async fn a_load_may_end_at_another_broker() {
    let end = Mosquitto::start(MosquittoOptions::default()).await;
    let bridge = Mosquitto::start(MosquittoOptions {
        general: format!("connection out\naddress 127.0.0.1:{}\ntopic # out 1\n", end.port()),
        ..MosquittoOptions::default()
    })
    .await;
    let to = format!("mqtt://127.0.0.1:{}", end.port());
    let (report, code) = report(bridge.port(), &["--messages", "50", "--subscribe-url", &to]).await;
    assert_eq!((&report["messages"]["received"], code), (&50.into(), Some(0)), "{report}");
    assert_eq!(report["subscribeUrl"], to);
}

#[tokio::test]
async fn what_never_arrives_is_lost_and_fails_the_run_unless_nothing_was_promised() {
    let broker = Mosquitto::start(MosquittoOptions::default()).await;
    let nowhere = ["--messages", "20", "--subscribe-topic", "nowhere", "--settle", "200ms"];
    for (qos, expected) in [("0", Some(0)), ("1", Some(1))] {
        let (report, code) = report(broker.port(), &[&nowhere[..], &["--qos", qos]].concat()).await;
        assert_eq!((&report["messages"]["lost"], code), (&20.into(), expected), "{report}");
        assert_eq!(report["latencyMicroseconds"], Value::Null);
    }
}

#[tokio::test]
async fn a_run_is_over_when_its_time_is_up() {
    let broker = Mosquitto::start(MosquittoOptions::default()).await;
    let (report, code) =
        report(broker.port(), &["--rate", "1", "--messages", "1000", "--timeout", "300ms"]).await;
    assert_eq!((&report["timedOut"], code), (&true.into(), Some(1)), "{report}");
}

/// Lets the one subscriber and the one publisher in.
async fn welcome(peer: &ScriptedPeer) -> (PeerConnection, PeerConnection) {
    let (mut subscriber, _) = peer.welcome_any().await;
    let Packet::Subscribe(subscribe) = subscriber.read().await else { panic!("a subscriber subscribes") };
    let granted = SubAck {
        packet_id: subscribe.packet_id,
        reasons: vec![ReasonCode::GrantedQoS1],
        reason_string: None,
        user_properties: Vec::new(),
    };
    subscriber.send(Packet::SubAck(granted)).await;
    let (publisher, _) = peer.welcome_any().await;
    (subscriber, publisher)
}

async fn publish(publisher: &mut PeerConnection) -> Publish {
    let Packet::Publish(publish) = publisher.read().await else { panic!("a publisher publishes") };
    publish
}

const ONE_THREAD: [&str; 8] = ["--messages", "10", "--threads", "1", "--settle", "200ms", "--output", "json"];

#[tokio::test]
async fn what_a_broker_does_wrong_is_counted() {
    let peer = ScriptedPeer::listen().await;
    let said = bench(peer.port(), &ONE_THREAD);
    let (mut subscriber, mut publisher) = welcome(&peer).await;
    let mut messages = Vec::new();
    for n in 0..10 {
        let message = publish(&mut publisher).await;
        let reason = if n == 8 { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        publisher.send(Packet::PubAck(Ack::new(message.packet_id.unwrap(), reason))).await;
        messages.push(message);
    }
    // 3 overtakes 2, 4 comes twice, 8 was refused, 9 is lost
    for n in [0, 1, 3, 2, 4, 4, 5, 6, 7] {
        subscriber.send(Packet::Publish(messages[n].clone())).await;
    }
    let foreign = Publish { payload: "hello".into(), ..messages[0].clone() };
    subscriber.send(Packet::Publish(foreign)).await;
    let said = said.await.unwrap();
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        report["messages"],
        serde_json::json!({
            "published": 10, "acknowledged": 9, "refused": 1, "expected": 9, "received": 8,
            "lost": 1, "duplicated": 1, "reordered": 1, "foreign": 1,
        })
    );
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn a_broker_that_goes_away_fails_the_run() {
    let peer = ScriptedPeer::listen().await;
    let said = bench(peer.port(), &ONE_THREAD);
    let (_subscriber, mut publisher) = welcome(&peer).await;
    publish(&mut publisher).await;
    drop(publisher);
    let said = said.await.unwrap();
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let error = report["errors"][0].as_str().unwrap();
    assert!(error.starts_with("publisher 0: the "), "{error}");
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn a_broker_that_can_not_be_reached_exits_2() {
    let said = bench(tidegate_testkit::free_port(), &[]).await.unwrap();
    assert!(said.stderr.contains("can't connect to 127.0.0.1:"), "{}", said.stderr);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
}
