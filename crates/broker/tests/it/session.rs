//! What outlives a connection.

use std::time::Duration;

use tidegate_broker::{Broker, BrokerConfig, Limits};
use tidegate_mqtt::{Ack, Connect, Packet, ReasonCode};

use crate::client::*;
use crate::connect::will;

#[tokio::test(start_paused = true)]
async fn messages_wait_for_an_absent_client() {
    let broker = Broker::new(BrokerConfig::default());
    for version in [V311, V5] {
        let mut client = TestClient::connect_with(&broker, resume(version, "a")).await;
        client.subscribe("t/+", Q2).await;
        client.disconnect().await;
        let mut publisher = TestClient::connect(&broker, "publisher").await;
        for (topic, qos) in [("t/0", Q0), ("t/1", Q1), ("t/2", Q2)] {
            publisher.say(topic, topic, qos).await;
        }
        let (mut client, connack) = TestClient::ask(&broker, resume(version, "a")).await;
        assert!(connack.session_present);
        let got = [client.take().await, client.take().await];
        assert_eq!(payloads(&got), ["t/1", "t/2"]);
        assert!(got.iter().all(|publish| !publish.dup));
        client.disconnect().await;
        TestClient::connect_with(&broker, Connect::new(version, "a")).await.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_answered_for_comes_again_in_order() {
    let broker = Broker::new(BrokerConfig::default());
    for version in [V311, V5] {
        let mut client = TestClient::connect_with(&broker, resume(version, "a")).await;
        client.subscribe("t", Q2).await;
        let mut publisher = TestClient::connect(&broker, "publisher").await;
        for (payload, qos) in [("1", Q1), ("2", Q2), ("3", Q2), ("4", Q1)] {
            publisher.say("t", payload, qos).await;
        }
        let sent = client.all().await;
        client.finish(&sent[0]).await;
        let received = Ack::new(sent[2].packet_id.unwrap(), ReasonCode::Success);
        client.send(Packet::PubRec(received.clone())).await;
        assert_eq!(client.answer().await, Packet::PubRel(received.clone()));
        client.vanish(&broker, "a").await;

        let mut client = TestClient::connect_with(&broker, resume(version, "a")).await;
        let again = client.next().await;
        assert_eq!((again.dup, again.packet_id, &*again.payload), (true, sent[1].packet_id, &b"2"[..]));
        assert_eq!(client.receive().await, Some(Packet::PubRel(received.clone())));
        client.send(Packet::PubComp(received)).await;
        client.finish(&again).await;
        let last = client.take().await;
        assert_eq!((last.dup, last.packet_id), (true, sent[3].packet_id));
        assert_eq!(client.all().await, []);
        assert_eq!(broker.stats().queued_messages, 0);
        client.disconnect().await;
        TestClient::connect_with(&broker, Connect::new(version, "a")).await.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_after_its_interval() {
    let broker = Broker::new(BrokerConfig::default());
    let connect = || Connect { session_expiry: 5, clean_start: false, ..Connect::new(V5, "a") };
    for (pause, present) in [(4, true), (6, false)] {
        let client = TestClient::connect_with(&broker, connect()).await;
        client.disconnect().await;
        tokio::time::sleep(Duration::from_secs(pause)).await;
        assert_eq!(broker.stats().sessions, usize::from(present));
        let (client, connack) = TestClient::ask(&broker, connect()).await;
        assert_eq!(connack.session_present, present);
        client.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_broker_may_limit_the_life_of_sessions() {
    let limits = Limits { session_expiry_max: Some(Duration::from_secs(5)), ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    for version in [V311, V5] {
        TestClient::connect_with(&broker, resume(version, "a")).await.disconnect().await;
        assert_eq!(broker.stats().sessions, 1);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(broker.stats().sessions, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_waits_for_its_client() {
    let broker = Broker::new(BrokerConfig::default());
    let mut watcher = TestClient::connect(&broker, "watcher").await;
    watcher.subscribe("will", Q1).await;
    let connect = || Connect {
        will: Some(will("will", "gone", 3)),
        session_expiry: 60,
        clean_start: false,
        ..Connect::new(V5, "a")
    };
    let client = TestClient::connect_with(&broker, connect()).await;
    client.vanish(&broker, "a").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let client = TestClient::connect_with(&broker, connect()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(watcher.all().await, []);
    client.vanish(&broker, "a").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(watcher.all().await, []);
    assert_eq!(payloads([&watcher.take().await]), ["gone"], "after a while");
}

#[tokio::test(start_paused = true)]
async fn the_will_of_a_client_that_is_taken_over_is_published() {
    let broker = Broker::new(BrokerConfig::default());
    let mut watcher = TestClient::connect(&broker, "watcher").await;
    watcher.subscribe("will", Q1).await;
    let connect = Connect { will: Some(will("will", "gone", 0)), ..resume(V5, "a") };
    let _first = TestClient::connect_with(&broker, connect).await;
    let _second = TestClient::connect_with(&broker, resume(V5, "a")).await;
    assert_eq!(payloads([&watcher.take().await]), ["gone"]);
}
