//! A publish is acknowledged if, and only if, everybody who must get it will.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate_broker::{Broker, BrokerConfig, Limits, LinkOptions, Message};
use tidegate_mqtt::{Connect, Packet, ReasonCode};
use tokio::time::{Instant, timeout};

use crate::client::*;

fn small(queue_messages_max: usize) -> Broker {
    let limits = Limits { queue_messages_max, ..Limits::default() };
    Broker::new(BrokerConfig { limits, ..BrokerConfig::default() })
}

#[tokio::test(start_paused = true)]
async fn a_stalled_subscriber_delays_the_publisher_and_then_refuses_it() {
    let broker = small(2);
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    subscriber.subscribe("t", Q1).await;
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    for payload in ["1", "2"] {
        assert_eq!(publisher.say("t", payload, Q1).await, ReasonCode::Success);
    }
    let started = Instant::now();
    assert_eq!(publisher.say("t", "3", Q1).await, ReasonCode::QuotaExceeded);
    assert_eq!(started.elapsed().as_secs(), Limits::default().publish_wait_max.as_secs());
    let started = Instant::now();
    assert_eq!(publisher.say("t", "4", Q2).await, ReasonCode::QuotaExceeded);
    assert_eq!(started.elapsed(), Duration::ZERO, "nothing has moved since");

    for payload in ["1", "2"] {
        assert_eq!(payloads([&subscriber.take().await]), [payload]);
    }
    assert_eq!(subscriber.all().await, []);
    assert_eq!(publisher.say("t", "5", Q2).await, ReasonCode::Success);
    assert_eq!(payloads([&subscriber.take().await]), ["5"]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_waits_is_acknowledged_once_there_is_room() {
    let broker = small(1);
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    subscriber.subscribe("t", Q1).await;
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    for payload in ["1", "2", "3"] {
        publisher.send_publish("t", payload, Q1).await;
    }
    assert!(matches!(publisher.receive().await, Some(Packet::PubAck(_))));
    assert!(timeout(Duration::from_secs(4), publisher.receive()).await.is_err());
    assert_eq!(payloads([&subscriber.take().await]), ["1"]);
    assert!(matches!(publisher.receive().await, Some(Packet::PubAck(ack)) if !ack.reason.is_failure()));
    assert!(timeout(Duration::from_secs(4), publisher.receive()).await.is_err());
    assert_eq!(payloads([&subscriber.take().await]), ["2"]);
    assert!(matches!(publisher.receive().await, Some(Packet::PubAck(ack)) if !ack.reason.is_failure()));
}

#[tokio::test(start_paused = true)]
async fn a_v3_publisher_that_is_refused_is_disconnected_without_an_acknowledgement() {
    let broker = small(1);
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    subscriber.subscribe("t", Q1).await;
    let mut publisher = TestClient::connect_with(&broker, Connect::new(V311, "publisher")).await;
    assert_eq!(publisher.say("t", "1", Q1).await, ReasonCode::Success);
    publisher.send_publish("t", "2", Q1).await;
    assert_eq!(publisher.receive().await, None);
    assert_eq!(payloads([&subscriber.take().await]), ["1"]);
    assert_eq!(subscriber.all().await, []);
}

#[tokio::test(start_paused = true)]
async fn the_full_queue_of_an_absent_client_refuses_at_once() {
    let broker = small(1);
    let mut subscriber = TestClient::connect_with(&broker, resume(V5, "subscriber")).await;
    subscriber.subscribe("t", Q1).await;
    subscriber.disconnect().await;
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    assert_eq!(publisher.say("t", "1", Q1).await, ReasonCode::Success);
    let started = Instant::now();
    assert_eq!(publisher.say("t", "2", Q1).await, ReasonCode::QuotaExceeded);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn other_clients_do_not_notice_a_publisher_that_waits() {
    let broker = small(1);
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    subscriber.subscribe("t", Q1).await;
    let mut waiting = TestClient::connect(&broker, "waiting").await;
    for _ in 0..2 {
        waiting.send_publish("t", "x", Q1).await;
    }
    let mut other = TestClient::connect(&broker, "other").await;
    other.subscribe("u", Q1).await;
    assert_eq!(other.say("u", "1", Q1).await, ReasonCode::Success);
    assert_eq!(payloads(&other.all().await), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_does_not_lose_its_connection_for_it() {
    let limits = Limits {
        queue_messages_max: 1,
        publish_wait_max: Duration::from_secs(60),
        read_ahead_bytes_max: 1,
        ..Limits::default()
    };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    subscriber.subscribe("t", Q1).await;
    let mut publisher =
        TestClient::connect_with(&broker, Connect { keep_alive: 2, ..Connect::new(V5, "publisher") }).await;
    assert_eq!(publisher.say("t", "1", Q1).await, ReasonCode::Success);
    publisher.send_publish("t", "2", Q1).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        publisher.send(Packet::PingReq).await;
    }
    assert_eq!(payloads([&subscriber.take().await]), ["1"]);
    let answers = [publisher.receive().await, publisher.receive().await];
    assert!(answers.iter().any(|answer| matches!(answer, Some(Packet::PubAck(_)))), "{answers:?}");
    assert!(answers.contains(&Some(Packet::PingResp)), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_fills_its_own_queue_can_empty_it() {
    let broker = small(2);
    let mut client = TestClient::connect(&broker, "a").await;
    client.subscribe("t", Q1).await;
    for payload in 0..20 {
        client.send_publish("t", &payload.to_string(), Q1).await;
    }
    let (mut got, mut acknowledged) = (Vec::new(), 0);
    while got.len() < 20 || acknowledged < 20 {
        match client.receive().await {
            Some(Packet::Publish(publish)) => {
                client.finish(&publish).await;
                got.push(String::from_utf8(publish.payload.to_vec()).unwrap());
            }
            Some(Packet::PubAck(ack)) => {
                assert_eq!(ack.reason, ReasonCode::Success);
                acknowledged += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, (0..20).map(|n: i32| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn every_acknowledged_message_arrives_through_disconnects_and_full_queues() {
    let broker = small(8);
    let connect = || Connect { receive_max: NonZeroU16::new(3).unwrap(), ..resume(V5, "subscriber") };
    let mut subscriber = TestClient::connect_with(&broker, connect()).await;
    subscriber.subscribe("t", Q1).await;

    let publishing = {
        let broker = broker.clone();
        tokio::spawn(async move {
            let mut publisher = TestClient::connect(&broker, "publisher").await;
            let mut acknowledged = Vec::new();
            for n in 0..300 {
                if publisher.say("t", &n.to_string(), Q1).await == ReasonCode::Success {
                    acknowledged.push(n.to_string());
                }
                if n % 7 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            acknowledged
        })
    };
    let mut got = Vec::new();
    let mut number = 0;
    while let Ok(publish) = timeout(Duration::from_secs(30), subscriber.next()).await {
        number += 1;
        if number % 11 == 0 {
            // It goes without having answered.
            subscriber.vanish(&broker, "subscriber").await;
            subscriber = TestClient::connect_with(&broker, connect()).await;
            continue;
        }
        subscriber.finish(&publish).await;
        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
        if got.last() != Some(&payload) {
            got.push(payload);
        }
    }
    let acknowledged = publishing.await.unwrap();
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let mut in_order = got.clone();
    in_order.sort_by_key(|payload| payload.parse::<u32>().unwrap());
    in_order.dedup();
    assert_eq!(in_order, acknowledged);
    assert_eq!(broker.stats().queued_messages, 0);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_publishes_waits_for_as_long_as_it_takes() {
    let broker = small(1);
    let mut subscriber = TestClient::connect_with(&broker, resume(V5, "subscriber")).await;
    subscriber.subscribe("t", Q1).await;
    subscriber.disconnect().await;
    let link = broker.attach(LinkOptions::new("link")).await.unwrap();
    let messages: Vec<_> = (0..3).map(|n: i32| Message::new("t", n.to_string())).collect();
    let publishing = tokio::spawn(async move { link.publish(&messages).await });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!publishing.is_finished());
    let mut subscriber = TestClient::connect_with(&broker, resume(V5, "subscriber")).await;
    for n in 0..3 {
        assert_eq!(payloads([&subscriber.take().await]), [n.to_string()]);
    }
    assert_eq!(publishing.await.unwrap(), Ok(()));
}
