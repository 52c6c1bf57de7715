//! The state store over the broker.

use std::time::Duration;

use bytes::Bytes;
use tidegate_broker::{Broker, BrokerConfig, Delivery, LinkError, Message, QoS, ReasonCode};
use tidegate_services::state_store::{Hlc, Memory, REQUEST_TOPIC, SetOptions, StateStore};

use crate::client::{Client, request_properties};
use crate::in_process::options;

const TS: (&str, &str) = ("__ts", "1699999999000:0:c1");

fn strings(words: &str) -> String {
    let words: Vec<_> = words.split(' ').collect();
    let strings: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{strings}", words.len())
}

/// Asks, and gives the payload of the answer and the version with it.
async fn ask(client: &mut Client, words: &str) -> (String, Option<Hlc>) {
    let answer = client.ask(REQUEST_TOPIC, strings(words), &[TS]).await;
    assert_eq!(answer.qos, QoS::AtLeastOnce);
    assert_eq!(answer.properties.content_type(), Some("application/octet-stream"));
    assert_eq!(answer.properties.user_property("__stat"), Some("200"));
    assert_eq!(answer.properties.user_property("__protVer"), Some("1.0"));
    (text(&answer), version(&answer))
}

fn text(message: &Delivery) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

fn version(message: &Delivery) -> Option<Hlc> {
    message.properties.user_property("__ts").map(|text| text.parse().unwrap())
}

fn notification_topic(client: &Client, key: &str) -> String {
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02X}")).collect::<String>();
    format!(
        "clients/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8/{}/command/notify/{}",
        hex(&client.id),
        hex(key)
    )
}

async fn start() -> (StateStore, Broker) {
    let broker = Broker::new(BrokerConfig::default());
    let store = StateStore::start(Memory, options()).await.unwrap();
    store.serve(&broker).await.unwrap();
    (store, broker)
}

#[tokio::test]
async fn requests_are_answered_with_the_version() {
    let (store, broker) = start().await;
    let mut client = Client::attach(&broker, "c1").await;
    let (answer, version) = ask(&mut client, "SET k a").await;
    assert_eq!(answer, "+OK\r\n");
    assert_eq!(ask(&mut client, "GET k").await, ("$1\r\na\r\n".into(), version.clone()));
    assert_eq!(store.get("k".into()).await.unwrap().map(|v| v.version), version);
    assert_eq!(ask(&mut client, "GET nope").await, ("$-1\r\n".into(), None));
    assert_eq!(ask(&mut client, "SET k b NX").await, (":-1\r\n".into(), version.clone()));
    assert_eq!(ask(&mut client, "VDEL k b").await, (":-1\r\n".into(), version.clone()));
    let (answer, deleted) = ask(&mut client, "DEL k").await;
    assert!(answer == ":1\r\n" && deleted > version);
    assert_eq!(ask(&mut client, "DEL k").await, (":0\r\n".into(), None));
    let wrong = client.ask(REQUEST_TOPIC, "hello", &[]).await;
    assert_eq!(text(&wrong), "-ERR syntax error\r\n");
    let wrong = client.ask(REQUEST_TOPIC, strings("SET k a"), &[]).await;
    assert_eq!(text(&wrong), "-ERR missing timestamp\r\n");
    let wrong = client.ask(REQUEST_TOPIC, strings("SET k a"), &[TS, ("__ft", "x")]).await;
    assert_eq!(text(&wrong), "-ERR malformed timestamp\r\n");
}

#[tokio::test(start_paused = true)]
async fn observers_are_notified_of_sets_deletions_and_expiry() {
    let (store, broker) = start().await;
    let mut observer = Client::attach(&broker, "observer").await;
    let topic = notification_topic(&observer, "k");
    observer.link.subscribe(&topic, QoS::AtLeastOnce).unwrap();
    assert_eq!(ask(&mut observer, "KEYNOTIFY k").await, ("+OK\r\n".into(), None));

    let mut other = Client::attach(&broker, "c1").await;
    let (_, set) = ask(&mut other, "SET k x PX 500").await;
    let notice = observer.next().await;
    assert_eq!(
        (&*notice.topic, &*text(&notice)),
        (&*topic, "*4\r\n$6\r\nNOTIFY\r\n$3\r\nSET\r\n$5\r\nVALUE\r\n$1\r\nx\r\n")
    );
    assert_eq!((version(&notice), notice.qos), (set.clone(), QoS::AtLeastOnce));

    let notice = observer.next().await;
    assert_eq!((&*notice.topic, &*text(&notice)), (&*topic, "*2\r\n$6\r\nNOTIFY\r\n$6\r\nDELETE\r\n"));
    assert!(version(&notice) > set);

    // a change in this process is one, too; one that does not take place is none
    store.set("k".into(), "y".into(), SetOptions::default()).await.unwrap();
    assert!(text(&observer.next().await).ends_with("\r\ny\r\n"));
    assert_eq!(ask(&mut observer, "SET k z NX").await.0, ":-1\r\n");
    assert_eq!(ask(&mut observer, "KEYNOTIFY k STOP").await.0, "+OK\r\n");
    ask(&mut other, "SET k z").await;
    assert_eq!(ask(&mut observer, "KEYNOTIFY k STOP").await.0, ":0\r\n");
}

/// S23.
#[tokio::test]
async fn an_observation_ends_with_the_connection_and_nothing_is_queued() {
    let (_store, broker) = start().await;
    let mut observer = Client::attach(&broker, "observer").await;
    let topic = notification_topic(&observer, "k");
    observer.link.subscribe(&topic, QoS::AtLeastOnce).unwrap();
    ask(&mut observer, "KEYNOTIFY k").await;
    drop(observer);

    let mut other = Client::attach(&broker, "c1").await;
    ask(&mut other, "SET k z").await;

    // the session and its subscription are still there
    let mut observer = Client::attach(&broker, "observer").await;
    assert!(observer.link.session_present());
    ask(&mut other, "SET k z").await;
    assert_eq!(ask(&mut observer, "KEYNOTIFY k").await.0, "+OK\r\n");
    assert_eq!(ask(&mut observer, "GET k").await.0, "$1\r\nz\r\n");
    ask(&mut other, "DEL k").await;
    assert!(text(&observer.next().await).ends_with("DELETE\r\n"));
}

/// S24.
#[tokio::test]
async fn a_client_that_wants_its_answer_on_a_topic_of_the_stores_own_is_disconnected() {
    let (_store, broker) = start().await;
    let own = "clients/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8/6331/command/notify/6B";
    for response_topic in [REQUEST_TOPIC, own] {
        let mut client = Client::attach(&broker, "c1").await;
        let properties = request_properties(Some(response_topic), Some(b"1"), &[TS]);
        let request = Message { properties, ..Message::new(REQUEST_TOPIC, strings("GET k")) };
        client.link.publish(&[request]).await.unwrap();
        assert_eq!(client.try_next().await, Err(LinkError::Refused(ReasonCode::TopicNameInvalid)));
    }
}

#[tokio::test]
async fn requests_that_cannot_be_answered_are_passed_over() {
    let (store, broker) = start().await;
    let mut client = Client::attach(&broker, "c1").await;
    let response_topic = client.response_topic();
    for (response_topic, correlation_data, qos) in [
        (None, Some(&b"1"[..]), QoS::AtLeastOnce),
        (Some(&*response_topic), None, QoS::AtLeastOnce),
        (Some("a/#"), Some(b"1"), QoS::AtLeastOnce),
        (Some(&*response_topic), Some(b"1"), QoS::AtMostOnce),
    ] {
        let properties = request_properties(response_topic, correlation_data, &[TS]);
        let request = Message { properties, qos, ..Message::new(REQUEST_TOPIC, strings("SET k a")) };
        client.link.publish(&[request]).await.unwrap();
    }
    assert_eq!(ask(&mut client, "GET k").await.0, "$-1\r\n");
    assert_eq!(store.get("k".into()).await.unwrap(), None);
}

#[tokio::test]
async fn many_requests_at_once_are_answered_in_their_order() {
    let (_store, broker) = start().await;
    let mut client = Client::attach(&broker, "c1").await;
    let mut sent = Vec::new();
    for n in 0..500 {
        sent.push(client.send(REQUEST_TOPIC, strings(&format!("SET k {n}")), &[TS]).await);
    }
    let mut last = None;
    for correlation_data in sent {
        let answer = client.next().await;
        let expected = tidegate_core::Property::CorrelationData(&correlation_data);
        assert!(answer.properties.iter().any(|property| property == expected));
        assert!(version(&answer) > last);
        last = version(&answer);
    }
    assert_eq!(ask(&mut client, "GET k").await, ("$3\r\n499\r\n".into(), last));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let mut config = BrokerConfig::default();
    config.limits.queue_messages_max = 10;
    let broker = Broker::new(config);
    let store = StateStore::start(Memory, options()).await.unwrap();
    store.serve(&broker).await.unwrap();
    let mut deaf = Client::attach(&broker, "deaf").await;
    let mut client = Client::attach(&broker, "c1").await;
    for n in 0..50 {
        deaf.send(REQUEST_TOPIC, strings(&format!("SET k {n}")), &[TS]).await;
    }
    assert_eq!(ask(&mut client, "GET k").await.0, "$2\r\n49\r\n");
    let mut answers = 0;
    while tokio::time::timeout(Duration::ZERO, deaf.next()).await.is_ok() {
        answers += 1;
    }
    assert_eq!(answers, 10);
}

#[tokio::test]
async fn the_store_goes_on_in_the_process_when_the_broker_is_gone() {
    let (store, broker) = start().await;
    broker.shutdown().await;
    store.set("k".into(), "a".into(), SetOptions::default()).await.unwrap();
    let broker = Broker::new(BrokerConfig::default());
    store.serve(&broker).await.unwrap();
    let mut client = Client::attach(&broker, "c1").await;
    assert_eq!(ask(&mut client, "GET k").await.0, "$1\r\na\r\n");
    assert_eq!(store.keys(Bytes::from("*"), None).await.unwrap().0, ["k"]);
}
