//! A real broker that goes away and comes back.

use std::collections::BTreeSet;

use tidegate_core::{SourceError, WriteError};
use tidegate_model::endpoint::Mqtt;
use tidegate_testkit::{Mosquitto, MosquittoOptions};

use crate::support::*;

#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_restarted_in_mid_stream() {
    let options = MosquittoOptions { persistence: true, ..MosquittoOptions::default() };
    let mut broker = Mosquitto::start(options).await;
    let mqtt = Mqtt { inflight_max: 20, ..mqtt(broker.port()) };
    let mut source = open_source(&context(), &mqtt, &["out"]).await;
    let sink = open_sink(&context(), &mqtt, "out").await;

    let records = numbered(0..5000);
    let mut got = BTreeSet::new();
    let restart = async {
        got.extend(payloads(&read(&mut *source, 100).await));
        broker.stop().await;
    };
    let (written, ()) = tokio::join!(soon(sink.write(&records)), restart);
    let Err(WriteError::Retry { trouble, written }) = written else { panic!("the write is cut") };
    assert_eq!(trouble.reason, "DataflowMqttTargetConnectionFailed");
    let again = soon(sink.write(&records[written..])).await;
    assert!(matches!(again, Err(WriteError::Retry { written: 0, .. })));
    let lost = loop {
        match soon(source.next()).await {
            Ok(batch) => drop(batch),
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, SourceError::Lost(t) if t.reason == "DataflowMqttSourceConnectionFailed"));

    broker.restart().await;
    let mut source = open_source(&context(), &mqtt, &["out"]).await;
    let rest = async {
        while got.len() < records.len() {
            got.extend(payloads(&read(&mut *source, 1).await));
        }
    };
    let (written, ()) = tokio::join!(soon(sink.write(&records[written..])), rest);
    written.unwrap();
}

#[tokio::test]
async fn a_sink_connects_again_after_the_broker_was_away() {
    let mut broker = Mosquitto::start(MosquittoOptions::default()).await;
    let sink = open_sink(&context(), &mqtt(broker.port()), "out").await;
    soon(sink.prepare()).await.unwrap();
    broker.kill().await;
    // The connection may break before or during this write.
    let cut = soon(sink.write(&numbered(0..1))).await;
    assert!(matches!(cut, Err(WriteError::Retry { written: 0, .. })));
    let Err(WriteError::Retry { trouble, .. }) = soon(sink.prepare()).await else { panic!("nobody listens") };
    assert!(trouble.message.contains("refused the connection"), "{trouble}");
    broker.restart().await;
    soon(sink.write(&numbered(0..1))).await.unwrap();
}

#[tokio::test]
async fn a_write_given_up_in_the_middle_leaves_the_sink_usable() {
    let broker = Mosquitto::start(MosquittoOptions::default()).await;
    let mut source = open_source(&context(), &mqtt(broker.port()), &["out"]).await;
    let sink = open_sink(&context(), &Mqtt { inflight_max: 1, ..mqtt(broker.port()) }, "out").await;
    let records = numbered(0..1000);
    let mut write = sink.write(&records);
    assert!(futures_util::poll!(&mut write).is_pending());
    read(&mut *source, 10).await;
    drop(write);
    soon(sink.write(&[record("in", "end")])).await.unwrap();
    let mut got = Vec::new();
    while got.last().is_none_or(|last| last != "end") {
        got.extend(payloads(&read(&mut *source, 1).await));
    }
    assert!(got.len() < 900, "what was left of it is not sent");
    soon(sink.close()).await;
    soon(source.close()).await;
}
