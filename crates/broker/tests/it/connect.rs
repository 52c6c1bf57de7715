//! How clients come and go.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use tidegate_broker::{Broker, BrokerConfig, Limits};
use tidegate_core::Secret;
use tidegate_mqtt::{Authentication, Connect, Disconnect, Packet, ReasonCode, Version};

use crate::client::*;

fn with_limits(limits: Limits) -> Broker {
    Broker::new(BrokerConfig { limits, ..BrokerConfig::default() })
}

#[tokio::test(start_paused = true)]
async fn both_versions_come_and_go() {
    let broker = Broker::new(BrokerConfig::default());
    for version in [V311, V5] {
        let (client, connack) = TestClient::ask(&broker, Connect::new(version, "a")).await;
        assert_eq!((connack.reason, connack.session_present), (ReasonCode::Success, false));
        assert_eq!(broker.stats().connections, 1);
        client.disconnect().await;
        assert_eq!((broker.stats().connections, broker.stats().sessions), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_connack_says_what_the_broker_takes() {
    let limits = Limits {
        packet_bytes_max: NonZeroU32::new(1000).unwrap(),
        receive_maximum: NonZeroU16::new(7).unwrap(),
        topic_alias_max: 3,
        session_expiry_max: Some(Duration::from_secs(60)),
        keep_alive_max: Some(Duration::from_secs(60)),
        ..Limits::default()
    };
    let broker = with_limits(limits);
    let (_client, connack) = TestClient::ask(&broker, Connect { keep_alive: 120, ..resume(V5, "a") }).await;
    assert_eq!(connack.packet_bytes_max.map(NonZeroU32::get), Some(1000));
    assert_eq!((connack.receive_max.get(), connack.topic_alias_max), (7, 3));
    assert_eq!((connack.session_expiry, connack.server_keep_alive), (Some(60), Some(60)));
    let (_client, connack) =
        TestClient::ask(&broker, Connect { keep_alive: 30, ..Connect::new(V5, "b") }).await;
    assert_eq!((connack.session_expiry, connack.server_keep_alive), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_nameless_client_is_given_a_name() {
    let broker = Broker::new(BrokerConfig::default());
    let (_a, one) = TestClient::ask(&broker, Connect::new(V5, "")).await;
    let (_b, two) = TestClient::ask(&broker, Connect { clean_start: false, ..Connect::new(V5, "") }).await;
    assert_eq!((one.reason, two.reason), (ReasonCode::Success, ReasonCode::Success));
    assert!(one.assigned_client_id.is_some() && one.assigned_client_id != two.assigned_client_id);

    let (_c, nameless) = TestClient::ask(&broker, Connect::new(V311, "")).await;
    assert_eq!(nameless.reason, ReasonCode::Success);
    let (_d, refused) = TestClient::ask(&broker, resume(V311, "")).await;
    assert_eq!(refused.reason, ReasonCode::ClientIdentifierNotValid);
}

#[tokio::test(start_paused = true)]
async fn enhanced_authentication_is_refused() {
    let broker = Broker::new(BrokerConfig::default());
    let authentication =
        Some(Authentication { method: "K8S-SAT".into(), data: Secret::new("token".to_owned().into()) });
    let (mut client, connack) =
        TestClient::ask(&broker, Connect { authentication, ..Connect::new(V5, "a") }).await;
    assert_eq!(connack.reason, ReasonCode::BadAuthenticationMethod);
    assert_eq!(client.receive().await, None);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_begin_with_a_connect_is_sent_away() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::new(TestClient::open(&broker), V5);
    client.send(Packet::PingReq).await;
    assert_eq!(client.receive().await, None);

    let mut client = TestClient::new(TestClient::open(&broker), V5);
    client.send_bytes(b"\x10\x0e\x00\x02hj\x05\x02\x00\x00\x00\x00\x01a").await;
    assert_eq!(client.receive().await, None);

    let mut silent = TestClient::new(TestClient::open(&broker), V5);
    assert_eq!(silent.receive().await, None, "after a while");
    assert_eq!(broker.stats().counters.connections_refused, 3);
    assert_eq!(broker.stats().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_connect_breaks_the_protocol() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect(&broker, "a").await;
    client.send(Packet::Connect(Box::new(Connect::new(V5, "a")))).await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::ProtocolError));
}

#[tokio::test(start_paused = true)]
async fn a_large_connect_of_somebody_unknown_is_not_waited_for() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::new(TestClient::open(&broker), V5);
    client.send_bytes(&[0x10, 0x80, 0x80, 0x80, 0x04]).await;
    client.send_bytes(&vec![0; 600 << 10]).await;
    assert_eq!(client.receive().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dropped_after_one_and_a_half_keep_alives_and_its_will_published() {
    let broker = Broker::new(BrokerConfig::default());
    let mut watcher = TestClient::connect(&broker, "watcher").await;
    watcher.subscribe("will", Q2).await;
    let will = will("will", "gone", 0);
    let mut client = TestClient::connect_with(
        &broker,
        Connect { keep_alive: 10, will: Some(will), ..Connect::new(V5, "a") },
    )
    .await;
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(client.all().await, []);
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(broker.stats().connections, 2);
    assert_eq!(client.dismissed().await, Some(ReasonCode::KeepAliveTimeout));
    assert_eq!(payloads([&watcher.take().await]), ["gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_and_says_that_it_lives_stays() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client =
        TestClient::connect_with(&broker, Connect { keep_alive: 10, ..Connect::new(V5, "a") }).await;
    client.subscribe("t", Q0).await;
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    publisher.say("t", &"x".repeat(300_000), Q0).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        client.send(Packet::PingReq).await;
        client.sip().await;
    }
    assert_eq!(client.next().await.payload.len(), 300_000);
    assert_eq!(client.answer().await, Packet::PingResp);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_answers_is_read_no_further() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client =
        TestClient::connect_with(&broker, Connect { keep_alive: 10, ..Connect::new(V5, "a") }).await;
    let pings = [0xc0, 0].repeat(100_000);
    let stopped = tokio::time::timeout(Duration::from_secs(5), client.send_bytes(&pings)).await;
    assert!(stopped.is_err());
    assert_eq!(broker.stats().connections, 1);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(broker.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_counts_after_a_disconnect() {
    let broker = Broker::new(BrokerConfig::default());
    let mut watcher = TestClient::connect(&broker, "watcher").await;
    watcher.subscribe("will", Q1).await;
    let will = Some(will("will", "gone", 0));
    let mut client = TestClient::connect_with(&broker, Connect { will, ..Connect::new(V5, "a") }).await;
    client.send_bytes(&[0xe0, 0, 0xff, 0xff, 0xff]).await;
    assert_eq!(client.dismissed().await, None);
    assert_eq!(watcher.all().await, []);
}

#[tokio::test(start_paused = true)]
async fn who_comes_with_the_same_name_takes_the_session_over() {
    let broker = Broker::new(BrokerConfig::default());
    let mut first = TestClient::connect_with(&broker, resume(V5, "a")).await;
    first.subscribe("t", Q1).await;
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    publisher.say("t", "1", Q1).await;
    let sent = first.next().await;

    let (mut second, connack) = TestClient::ask(&broker, resume(V5, "a")).await;
    assert!(connack.session_present);
    assert_eq!(first.dismissed().await, Some(ReasonCode::SessionTakenOver));
    let again = second.take().await;
    assert!(again.dup);
    assert_eq!((again.packet_id, again.payload), (sent.packet_id, sent.payload));

    let (mut third, connack) = TestClient::ask(&broker, Connect::new(V311, "a")).await;
    assert!(!connack.session_present);
    assert_eq!(second.dismissed().await, Some(ReasonCode::SessionTakenOver));
    publisher.say("t", "2", Q1).await;
    assert_eq!(third.all().await, []);
}

#[tokio::test(start_paused = true)]
async fn many_who_come_with_one_name_end_up_as_one() {
    let broker = Broker::new(BrokerConfig::default());
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { TestClient::ask(&broker, resume(V5, "a")).await })
        })
        .collect();
    let mut left = 0;
    for client in asking {
        let (mut client, connack) = client.await.unwrap();
        assert_eq!(connack.reason, ReasonCode::Success);
        client.send(Packet::PingReq).await;
        left += usize::from(client.receive().await == Some(Packet::PingResp));
    }
    assert_eq!((left, broker.stats().connections), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn connections_have_a_limit() {
    let broker = with_limits(Limits { connections_max: 1, ..Limits::default() });
    let client = TestClient::connect(&broker, "a").await;
    let mut refused = TestClient::new(TestClient::open(&broker), V5);
    assert_eq!(refused.receive().await, None);
    client.disconnect().await;
    while broker.stats().connections > 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    TestClient::connect(&broker, "b").await;
    assert_eq!(broker.stats().counters.connections_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_shuts_down_says_so() {
    let broker = Broker::new(BrokerConfig::default());
    let mut v5 = TestClient::connect(&broker, "a").await;
    let mut v311 = TestClient::connect_with(&broker, Connect::new(V311, "b")).await;
    let mut unknown = TestClient::new(TestClient::open(&broker), V5);
    broker.shutdown().await;
    assert_eq!(v5.dismissed().await, Some(ReasonCode::ServerShuttingDown));
    assert_eq!(v311.dismissed().await, None);
    assert_eq!(unknown.receive().await, None);
    let mut late = TestClient::new(TestClient::open(&broker), V5);
    assert_eq!(late.receive().await, None);
}

#[tokio::test(start_paused = true)]
async fn clients_can_be_listed() {
    let broker = Broker::new(BrokerConfig::default());
    let mut a = TestClient::connect_with(&broker, resume(V5, "a")).await;
    a.subscribe("t", Q1).await;
    a.disconnect().await;
    let mut b = TestClient::connect(&broker, "b").await;
    b.say("t", "12345", Q1).await;
    let mut clients = broker.clients();
    clients.sort_by_key(|client| client.client_id.clone());
    assert_eq!(clients.iter().map(|c| c.connected).collect::<Vec<_>>(), [false, true]);
    assert_eq!(
        (clients[0].subscriptions.len(), clients[0].queued_messages, clients[0].queued_bytes),
        (1, 1, 6)
    );
    assert_eq!((clients[1].address, clients[1].queued_messages), (Some(loopback()), 0));
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_may_ask_for_the_will_and_change_the_sessions_life() {
    let broker = Broker::new(BrokerConfig::default());
    let mut watcher = TestClient::connect(&broker, "watcher").await;
    watcher.subscribe("will", Q1).await;
    let connect = |expiry| Connect {
        will: Some(will("will", "gone", 0)),
        session_expiry: expiry,
        clean_start: false,
        ..Connect::new(V5, "a")
    };
    TestClient::connect_with(&broker, connect(0)).await.disconnect().await;
    assert_eq!(watcher.all().await, []);
    let client = TestClient::connect_with(&broker, connect(5)).await;
    client.disconnect_with(Disconnect::new(ReasonCode::DisconnectWithWill)).await;
    assert_eq!(payloads([&watcher.take().await]), ["gone"]);

    let (client, connack) = TestClient::ask(&broker, connect(5)).await;
    assert!(connack.session_present);
    let farewell = Disconnect { session_expiry: Some(0), ..Disconnect::new(ReasonCode::Success) };
    client.disconnect_with(farewell).await;
    let (mut client, connack) = TestClient::ask(&broker, connect(0)).await;
    assert!(!connack.session_present);
    client
        .send(Packet::Disconnect(Box::new(Disconnect {
            session_expiry: Some(5),
            ..Disconnect::new(ReasonCode::Success)
        })))
        .await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::ProtocolError), "it had none to prolong");
}

pub(crate) fn will(topic: &str, payload: &str, delay: u32) -> tidegate_mqtt::Will {
    tidegate_mqtt::Will {
        topic: topic.into(),
        payload: payload.to_owned().into(),
        qos: Q1,
        retain: false,
        delay,
        message_expiry: None,
        properties: tidegate_core::Properties::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_versions_are_told_so() {
    let broker = Broker::new(BrokerConfig::default());
    for (level, version) in [(6, V5), (3, Version::V311)] {
        let mut client = TestClient::new(TestClient::open(&broker), version);
        let name: &[u8] = b"\x00\x04MQTT";
        let mut connect = vec![0x10, 13];
        connect.extend_from_slice(name);
        connect.extend_from_slice(&[level, 2, 0, 0, 0, 1, b'a']);
        client.send_bytes(&connect).await;
        match client.receive().await {
            Some(Packet::ConnAck(connack)) => {
                assert_eq!(connack.reason, ReasonCode::UnsupportedProtocolVersion)
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.receive().await, None);
    }
}
