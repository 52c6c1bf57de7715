//! Clients in the same process.

use std::time::Duration;

use tidegate_broker::{Broker, BrokerConfig, Delivery, Limits, LinkError, LinkOptions, Message};
use tidegate_mqtt::topic::TopicError;
use tidegate_mqtt::{Publish, ReasonCode};
use tokio::time::timeout;

use crate::client::*;

fn payloads_of(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| std::str::from_utf8(&delivery.payload).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_come_to_a_link_as_they_were_published() {
    let broker = Broker::new(BrokerConfig::default());
    let mut link = broker.attach(LinkOptions::new("flow")).await.unwrap();
    assert!(!link.session_present());
    link.subscribe("t/#", Q1).unwrap();
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    let published = tokio::time::Instant::now().into_std();
    let publish = Publish { retain: true, message_expiry: Some(9), ..publisher.message("t/1", "x", Q2) };
    assert_eq!(publisher.publish(publish).await, ReasonCode::Success);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let got = link.next(10).await.unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!((&*got[0].topic, got[0].qos, got[0].retain), ("t/1", Q1, true));
    assert_eq!((got[0].expiry_interval, got[0].received_at), (Some(9), published));
}

#[tokio::test(start_paused = true)]
async fn what_a_link_did_not_acknowledge_comes_again_to_the_next() {
    let broker = Broker::new(BrokerConfig::default());
    let mut link = broker.attach(LinkOptions::new("flow")).await.unwrap();
    link.subscribe("t", Q1).unwrap();
    let messages: Vec<_> = (0..5).map(|n: i32| Message::new("t", n.to_string())).collect();
    link.publish(&messages).await.unwrap();
    assert_eq!(payloads_of(&link.next(3).await.unwrap()), ["0", "1", "2"]);
    link.ack(1).unwrap();
    drop(link);
    let mut link = broker.attach(LinkOptions::new("flow")).await.unwrap();
    assert!(link.session_present());
    assert_eq!(payloads_of(&link.next(100).await.unwrap()), ["1", "2", "3", "4"]);
    link.ack(100).unwrap();
    assert_eq!(broker.stats().queued_messages, 0);
}

#[tokio::test(start_paused = true)]
async fn a_link_is_handed_no_more_than_it_may_leave_unacknowledged() {
    let broker = Broker::new(BrokerConfig::default());
    let mut link = broker.attach(LinkOptions { unacked_max: 2, ..LinkOptions::new("flow") }).await.unwrap();
    link.subscribe("t", Q1).unwrap();
    link.publish(&vec![Message::new("t", "x"); 5]).await.unwrap();
    assert_eq!(link.next(100).await.unwrap().len(), 2);
    assert!(timeout(Duration::from_secs(60), link.next(100)).await.is_err());
    link.ack(1).unwrap();
    assert_eq!(link.next(100).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_messages_at_once_arrive_in_order() {
    let broker = Broker::new(BrokerConfig::default());
    let mut source = broker.attach(LinkOptions::new("source")).await.unwrap();
    source.subscribe("t", Q1).unwrap();
    let sink = broker.attach(LinkOptions::new("sink")).await.unwrap();
    let messages: Vec<_> = (0..50_000).map(|n: i32| Message::new("t", n.to_string())).collect();
    let publishing = tokio::spawn(async move { sink.publish(&messages).await });
    let mut next = 0;
    while next < 50_000 {
        let got = source.next(700).await.unwrap();
        for delivery in &got {
            assert_eq!(delivery.payload, next.to_string());
            next += 1;
        }
        source.ack(got.len()).unwrap();
    }
    assert_eq!(publishing.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_loses_nothing() {
    let broker = Broker::new(BrokerConfig::default());
    let mut link = broker.attach(LinkOptions::new("flow")).await.unwrap();
    link.subscribe("t", Q1).unwrap();
    assert!(timeout(Duration::from_secs(1), link.next(10)).await.is_err());
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    publisher.say("t", "1", Q1).await;
    assert_eq!(payloads_of(&link.next(10).await.unwrap()), ["1"]);
    let waiting = tokio::spawn(async move { link.next(10).await.map(|deliveries| deliveries.len()) });
    tokio::task::yield_now().await;
    publisher.say("t", "2", Q1).await;
    assert_eq!(waiting.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn links_share_subscriptions_and_pass_on_what_they_leave() {
    let broker = Broker::new(BrokerConfig::default());
    let mut links = Vec::new();
    for id in ["flow-0", "flow-1"] {
        let link = broker.attach(LinkOptions::new(id)).await.unwrap();
        link.subscribe("$share/flow/t", Q1).unwrap();
        links.push(link);
    }
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    for payload in ["1", "2", "3", "4"] {
        assert_eq!(publisher.say("t", payload, Q1).await, ReasonCode::Success);
    }
    let [mut stays, mut goes] = <[_; 2]>::try_from(links).ok().unwrap();
    assert_eq!(payloads_of(&goes.next(1).await.unwrap()), ["2"]);
    drop(goes);
    assert_eq!(payloads_of(&stays.next(10).await.unwrap()), ["1", "3", "2", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_taken_over_or_refused_is_told_so() {
    let limits = Limits { subscriptions_per_client_max: 1, ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut first = broker.attach(LinkOptions::new("flow")).await.unwrap();
    first.subscribe("t", Q1).unwrap();
    assert_eq!(first.subscribe("u", Q1), Err(LinkError::Refused(ReasonCode::QuotaExceeded)));
    assert_eq!(
        first.subscribe("a#", Q1),
        Err(LinkError::Topic { index: 0, error: TopicError::MultiLevelWildcard })
    );
    let messages = [Message::new("t", "1"), Message::new("t/+", "2")];
    let invalid = Err(LinkError::Topic { index: 1, error: TopicError::WildcardInName });
    assert_eq!(first.publish(&messages).await, invalid);

    let second = broker.attach(LinkOptions::new("flow")).await.unwrap();
    assert_eq!(first.next(1).await, Err(LinkError::TakenOver));
    assert_eq!(first.publish(&messages[..1]).await, Err(LinkError::TakenOver));
    drop(first);
    second.publish(&messages[..1]).await.unwrap();
    let client = TestClient::connect_with(&broker, resume(V5, "flow")).await;
    assert_eq!(second.unsubscribe("t"), Err(LinkError::TakenOver));
    let third = broker.attach(LinkOptions::new("flow")).await.unwrap();
    assert!(third.session_present());
    drop(client);
    broker.shutdown().await;
    assert_eq!(third.publish(&messages[..1]).await, Err(LinkError::Closed));
    assert!(matches!(broker.attach(LinkOptions::new("flow")).await, Err(LinkError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn answers_and_notices_do_not_wait() {
    let limits = Limits { queue_messages_max: 2, ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut service = broker.attach(LinkOptions::new("service")).await.unwrap();
    service.subscribe("requests", Q1).unwrap();
    let mut client = TestClient::connect(&broker, "client").await;
    client.subscribe("answers", Q1).await;
    client.say("requests", "?", Q1).await;
    let publisher = service.next(1).await.unwrap()[0].publisher.unwrap();
    assert_eq!(service.client_id(publisher).as_deref(), Some("client"));
    assert_eq!(service.publish_now(&vec![Message::new("answers", "!"); 3]), Ok(1));
    assert_eq!(client.all().await.len(), 2);
    service.disconnect(publisher, ReasonCode::ImplementationSpecificError);
    assert_eq!(client.dismissed().await, Some(ReasonCode::ImplementationSpecificError));
    assert_eq!(service.client_id(publisher), None);
}
