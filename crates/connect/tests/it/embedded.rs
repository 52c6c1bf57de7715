//! The embedded broker, in this process.

use std::time::Duration;

use futures_util::poll;
use tidegate_broker::{Broker, BrokerConfig, Limits};
use tidegate_connect::{Context, LocalBroker};
use tidegate_core::{Rejected, SourceError, WriteError};
use tidegate_model::endpoint::{Mqtt, MqttHost};

use crate::support::*;

fn broker(limits: Limits) -> Broker {
    Broker::new(BrokerConfig { limits, ..BrokerConfig::default() })
}

fn on(broker: &Broker) -> (Context, Mqtt) {
    let local_broker = LocalBroker::Embedded(broker.clone());
    (Context { local_broker, ..context() }, Mqtt { host: MqttHost::LocalBroker, ..mqtt(1) })
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_message_goes_on_while_it_waits() {
    let broker = broker(Limits::default());
    let (context, mqtt) = on(&broker);
    let mut source = open_source(&context, &mqtt, &["in", "out"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    let mut message = record("x", "1");
    message.expiry_interval = Some(3600);
    tokio::time::advance(Duration::from_secs(600)).await;
    sink.write(&[message]).await.unwrap();
    tokio::time::advance(Duration::from_secs(400)).await;
    let message = read(&mut *source, 1).await.remove(0);
    assert_eq!(message.remaining_expiry(now()), Ok(Some(2600)));

    let sink = open_sink(&of_flow(&context, "next"), &mqtt, "out").await;
    sink.write(std::slice::from_ref(&message)).await.unwrap();
    let next = read(&mut *source, 1).await.remove(0);
    assert_eq!(next.remaining_expiry(now()), Ok(Some(2600)));
    tokio::time::advance(Duration::from_secs(2600)).await;
    let Err(WriteError::Reject(rejected)) = sink.write(&[message]).await else { panic!("it has expired") };
    assert!(matches!(&rejected[..], [Rejected { index: 0, expired: true, .. }]));
}

#[tokio::test]
async fn a_write_waits_while_the_queue_of_a_subscriber_is_full() {
    let broker = broker(Limits { queue_messages_max: 10, ..Limits::default() });
    let (context, mqtt) = on(&broker);
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    assert_eq!(source.unacked_max(), 10);
    let sink = open_sink(&context, &mqtt, "in").await;
    let records = numbered(0..25);
    let mut write = sink.write(&records);
    assert!(poll!(&mut write).is_pending());
    let (written, got) = tokio::join!(soon(write), read(&mut *source, 25));
    written.unwrap();
    assert_eq!(payloads(&got), payloads(&records));
}

#[tokio::test]
async fn a_batch_is_acknowledged_as_a_whole_and_in_its_turn() {
    let broker = broker(Limits::default());
    let (context, mqtt) = on(&broker);
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    sink.write(&numbered(0..600)).await.unwrap();
    let first = soon(source.next()).await.unwrap().unwrap();
    let second = soon(source.next()).await.unwrap().unwrap();
    let handed_over = first.records.len() + second.records.len();
    source.ack(first.ack).await.unwrap();
    drop((source, second.ack));
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    let rest = read(&mut *source, 600 - first.records.len()).await;
    assert_eq!(payloads(&rest)[0], payloads(&second.records)[0]);
    assert!(handed_over < 600, "a batch is not the whole queue");
}

#[tokio::test]
async fn a_retained_message_without_room_is_tried_again_alone() {
    let broker = broker(Limits { retained_messages_max: 1, ..Limits::default() });
    let (context, mqtt) = on(&broker);
    let mut source = open_source(&context, &mqtt, &["out/#"]).await;
    let sink = open_sink(&context, &mqtt, "out/${inputTopic}").await;
    let mut records = ["a", "b", "c", "d"].map(|topic| record(topic, topic));
    (records[1].retain, records[2].retain) = (true, true);
    let Err(WriteError::Retry { trouble, written: 2 }) = soon(sink.write(&records)).await else {
        panic!("two are written")
    };
    assert!(trouble.message.contains("limits"), "{trouble}");
    assert_eq!(payloads(&read(&mut *source, 2).await), ["a", "b"]);
    assert!(matches!(soon(sink.write(&records[2..])).await, Err(WriteError::Retry { written: 0, .. })));
}

#[tokio::test]
async fn both_ends_notice_when_somebody_takes_their_session_over() {
    let broker = broker(Limits::default());
    let (context, mqtt) = on(&broker);
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    sink.prepare().await.unwrap();
    let mut other_source = open_source(&context, &mqtt, &["in"]).await;
    let other_sink = open_sink(&context, &mqtt, "in").await;
    other_sink.prepare().await.unwrap();
    let error = soon(source.next()).await.unwrap_err();
    assert!(matches!(&error, SourceError::Lost(t) if t.message.contains("clientIdPrefix")), "{error}");
    let written = soon(sink.write(&numbered(0..1))).await;
    assert!(matches!(written, Err(WriteError::Retry { written: 0, .. })));
    // which connects again, and takes it back
    soon(sink.write(&numbered(0..1))).await.unwrap();
    assert_eq!(payloads(&read(&mut *other_source, 1).await), ["0"]);
}

#[tokio::test]
async fn both_ends_notice_when_the_broker_shuts_down() {
    let broker = broker(Limits::default());
    let (context, mqtt) = on(&broker);
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    broker.shutdown().await;
    assert!(matches!(soon(source.next()).await, Err(SourceError::Lost(_))));
    assert!(matches!(soon(sink.write(&numbered(0..1))).await, Err(WriteError::Retry { .. })));
    assert!(matches!(source_error(&context, &mqtt).await, SourceError::Lost(_)));
}
