//! The local broker killed right after it has acknowledged: what it said is true.

use std::num::NonZeroU16;

use bytes::Bytes;
use tidegate_core::Properties;
use tidegate_mqtt::{Ack, Connect, Packet, Publish, QoS, ReasonCode, Subscribe, Subscription, Version, Will};

use tidegate_testkit::SmallDisk;

use crate::client::{Wire, publish as publish_all};
use crate::gateway::{Gateway, PATIENCE};

const KILLS: u64 = 200;
/// To begin with, half of them with QoS 2.
const MESSAGES_A_KILL: u64 = 6;
const NOTHING: &str =
    "---\napiVersion: tidegate.dev/v1\nkind: Broker\nmetadata: { name: default }\nspec: {}\n";

fn id(number: u64) -> NonZeroU16 {
    NonZeroU16::new(number as u16).unwrap()
}

fn lasting(client_id: &str) -> Connect {
    Connect { clean_start: false, session_expiry: 3600, ..Connect::new(Version::V5, client_id) }
}

async fn connect(gateway: &Gateway, connect: Connect) -> (Wire, bool) {
    Wire::connect(gateway.port(), connect).await.expect("it is let in")
}

async fn subscribe(wire: &mut Wire, filter: &str, qos: QoS) {
    let subscribe = Subscribe {
        packet_id: id(1),
        subscriptions: vec![Subscription::new(filter, qos)],
        subscription_id: None,
        user_properties: vec![],
    };
    wire.send(&Packet::Subscribe(subscribe)).await.unwrap();
    assert!(matches!(wire.read().await, Some(Packet::SubAck(ack)) if !ack.reasons[0].is_failure()));
}

fn message(topic: &str, payload: String, qos: QoS, retain: bool, packet_id: u64) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain,
        topic: topic.into(),
        packet_id: Some(id(packet_id)),
        message_expiry: None,
        topic_alias: None,
        subscription_ids: vec![],
        properties: Properties::default(),
        payload: Bytes::from(payload),
    })
}

/// Publishes and returns as soon as the last acknowledgement is there: of QoS 2 its PUBREC.
async fn publish(wire: &mut Wire, packets: &[Packet]) {
    for packet in packets {
        wire.send(packet).await.unwrap();
    }
    for _ in packets {
        match wire.read().await.expect("it goes on") {
            Packet::PubAck(ack) | Packet::PubRec(ack) => {
                assert!(!ack.reason.is_failure(), "{:?}", ack.reason)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Takes what comes, until so many messages have, and answers for it; gives topics and payloads.
async fn receive(wire: &mut Wire, count: usize) -> Vec<(String, String)> {
    let mut got = Vec::new();
    while got.len() < count {
        match wire.read().await.expect("it goes on") {
            Packet::Publish(publish) => {
                let ack = publish.packet_id.map(|id| Ack::new(id, ReasonCode::Success));
                match (publish.qos, ack) {
                    (QoS::AtLeastOnce, Some(ack)) => wire.send(&Packet::PubAck(ack)).await.unwrap(),
                    (QoS::ExactlyOnce, Some(ack)) => wire.send(&Packet::PubRec(ack)).await.unwrap(),
                    _ => {}
                }
                let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                got.push((publish.topic.to_string(), payload));
            }
            Packet::PubRel(ack) => {
                let ack = Ack::new(ack.packet_id, ReasonCode::Success);
                wire.send(&Packet::PubComp(ack)).await.unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    got
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_kill_9() {
    let mut gateway = Gateway::run(NOTHING).await;
    let (mut wire, present) = connect(&gateway, lasting("keeper")).await;
    assert!(!present);
    subscribe(&mut wire, "t/#", QoS::ExactlyOnce).await;
    drop(wire);

    let mut expected = Vec::new();
    for kill in 0..KILLS {
        let (mut wire, present) = connect(&gateway, lasting("publisher")).await;
        assert_eq!(present, kill > 0, "the publisher's session is there after kill {kill}");
        let numbers = kill * MESSAGES_A_KILL..(kill + 1) * MESSAGES_A_KILL;
        let mut packets: Vec<_> = numbers
            .map(|n| {
                let qos = if n % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                expected.push(("t/x".to_owned(), n.to_string()));
                message("t/x", n.to_string(), qos, false, n + 1)
            })
            .collect();
        packets.push(message(&format!("r/{}", kill % 10), kill.to_string(), QoS::AtLeastOnce, true, 60_000));
        publish(&mut wire, &packets).await;
        gateway.kill_9().await;
        gateway.restart().await;
        if kill == 0 {
            // the client has its PUBREC, and the broker still knows that it has the messages
            let (mut wire, _) = connect(&gateway, lasting("publisher")).await;
            let Packet::Publish(again) = &packets[1] else { unreachable!() };
            let again = Publish { dup: true, ..again.clone() };
            publish(&mut wire, &[Packet::Publish(again)]).await;
        }
    }

    let (mut wire, present) = connect(&gateway, lasting("keeper")).await;
    assert!(present);
    let got = receive(&mut wire, expected.len()).await;
    assert_eq!(got, expected, "everything, once and in order");
    drop(wire);

    let (mut wire, _) = connect(&gateway, Connect::new(Version::V5, "curious")).await;
    subscribe(&mut wire, "r/#", QoS::AtLeastOnce).await;
    let mut retained = receive(&mut wire, 10).await;
    retained.sort();
    let last = |n: u64| (format!("r/{n}"), (KILLS - 10 + n).to_string());
    assert_eq!(retained, (0..10).map(last).collect::<Vec<_>>());
}

#[tokio::test]
async fn sessions_end_as_they_would_have_without_the_kill() {
    let mut gateway = Gateway::run(NOTHING).await;
    let (mut watcher, _) = connect(&gateway, lasting("watcher")).await;
    subscribe(&mut watcher, "wills/#", QoS::AtLeastOnce).await;
    drop(watcher);
    // one that ends with its connection, and one that stays
    for (client_id, session_expiry) in [("short", 0), ("long", 3600)] {
        let will = Will {
            topic: format!("wills/{client_id}").into(),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay: 0,
            message_expiry: None,
            properties: Properties::default(),
        };
        let with_will = Connect { session_expiry, will: Some(will), ..lasting(client_id) };
        let (wire, _) = connect(&gateway, with_will).await;
        // they are there when the process ends
        std::mem::forget(wire);
    }
    gateway.kill_9().await;
    gateway.restart().await;
    let (mut watcher, present) = connect(&gateway, lasting("watcher")).await;
    assert!(present);
    let mut wills = receive(&mut watcher, 2).await;
    wills.sort();
    assert_eq!(
        wills.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(),
        ["wills/long", "wills/short"]
    );
    for (client_id, expected) in [("short", false), ("long", true)] {
        let (_, present) = connect(&gateway, lasting(client_id)).await;
        assert_eq!(present, expected, "{client_id}");
    }
    // a session that its client forgets is gone for good
    let (_, present) = connect(&gateway, Connect { clean_start: true, ..lasting("long") }).await;
    assert!(!present);
    gateway.kill_9().await;
    gateway.restart().await;
    let (_, present) = connect(&gateway, lasting("long")).await;
    assert!(present, "the new one is there");
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    assert!(connect(&gateway, lasting("long")).await.1, "a stop is no worse than a kill");
}

/// Takes publishes without answering; of each its payload, and whether it says that it may come again.
async fn take(wire: &mut Wire, count: usize) -> Vec<(String, bool)> {
    let mut got = Vec::new();
    while got.len() < count {
        let Packet::Publish(publish) = wire.read().await.expect("it goes on") else { panic!("no publish") };
        got.push((String::from_utf8(publish.payload.to_vec()).unwrap(), publish.dup));
    }
    got
}

#[tokio::test]
async fn what_may_have_been_sent_before_a_kill_says_that_it_may_come_again() {
    let mut gateway = Gateway::run(NOTHING).await;
    let (mut keeper, _) = connect(&gateway, lasting("keeper")).await;
    subscribe(&mut keeper, "t", QoS::AtLeastOnce).await;
    let (mut publisher, _) = connect(&gateway, Connect::new(Version::V5, "publisher")).await;
    publish(&mut publisher, &[message("t", "1".into(), QoS::AtLeastOnce, false, 1)]).await;
    assert_eq!(take(&mut keeper, 1).await, [("1".to_owned(), false)]);
    gateway.kill_9().await;
    gateway.restart().await;
    let (mut keeper, _) = connect(&gateway, lasting("keeper")).await;
    let (mut publisher, _) = connect(&gateway, Connect::new(Version::V5, "publisher")).await;
    publish(&mut publisher, &[message("t", "2".into(), QoS::AtLeastOnce, false, 1)]).await;
    assert_eq!(take(&mut keeper, 2).await, [("1".to_owned(), true), ("2".to_owned(), false)]);
}

/// Waits until the local broker's health is that.
pub(crate) async fn until_broker_is(gateway: &Gateway, status: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (_, body) = gateway.get("/api/v1/broker").await;
        let broker: serde_json::Value = serde_json::from_str(&body).unwrap();
        if broker["health"]["status"] == status {
            assert_eq!(broker["log"]["full"], status == "Degraded", "{broker}");
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "never {status}: {broker}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The disk under the local broker fills up, gets room again, and fills up once more, as tidegate is killed: publishers
/// are pushed back, and whatever was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_pushes_publishers_back_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(128) else { return };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(disk.path(), dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("resources.yaml"), NOTHING).unwrap();
    let path = dir.path().join("resources.yaml").display().to_string();
    let args = ["--mqtt-listen".to_owned(), "127.0.0.1:0".to_owned(), path];
    let mut gateway = Gateway::start(dir, args.to_vec()).await;
    let (mut keeper, _) = connect(&gateway, lasting("keeper")).await;
    subscribe(&mut keeper, "t", QoS::AtLeastOnce).await;
    drop(keeper);
    publish_all(gateway.port(), "t", 0..500, 50).await;
    for from in [500, 1000] {
        disk.fill();
        let port = gateway.port();
        let publisher = tokio::spawn(async move { publish_all(port, "t", from..from + 500, 50).await });
        until_broker_is(&gateway, "Degraded").await;
        assert!(!publisher.is_finished(), "they can't all be on disk");
        if from == 1000 {
            gateway.kill_9().await;
            publisher.abort();
        }
        disk.relieve();
        if from == 1000 {
            gateway.restart().await;
        } else {
            publisher.await.unwrap();
        }
        until_broker_is(&gateway, "Available").await;
    }
    publish_all(gateway.port(), "t", 2000..2010, 10).await;
    let (mut keeper, present) = connect(&gateway, lasting("keeper")).await;
    assert!(present);
    let mut got = std::collections::BTreeSet::new();
    while !got.contains(&2009) {
        for (_, payload) in receive(&mut keeper, 1).await {
            got.insert(payload.parse::<u64>().unwrap());
        }
    }
    let missing: Vec<_> = (0..1000).chain(2000..2010).filter(|n| !got.contains(n)).collect();
    assert_eq!(missing, Vec::<u64>::new(), "acknowledged, and not there");
}
