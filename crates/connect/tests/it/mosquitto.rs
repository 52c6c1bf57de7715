//! A real broker: what goes in comes out, whatever happens in between.

use tidegate_core::{Properties, PropertiesBuilder, Property, Record};
use tidegate_model::endpoint::Qos;
use tidegate_testkit::{Mosquitto, MosquittoOptions};

use crate::support::*;

async fn broker() -> Mosquitto {
    Mosquitto::start(MosquittoOptions::default()).await
}

fn numbered(range: std::ops::Range<usize>) -> Vec<Record> {
    range.map(|n| record("in", n.to_string())).collect()
}

fn properties(list: &[Property<'_>]) -> Properties {
    let mut builder = PropertiesBuilder::default();
    assert!(list.iter().all(|p| builder.push(*p)));
    builder.build().unwrap()
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let broker = broker().await;
    let mut source = open_source(mqtt(broker.port()), &["out/#"]).await;
    let sink = open_sink(mqtt(broker.port()), "out/${inputTopic}").await;
    let mut sent = record("a/b", vec![0, 1, 255]);
    sent.properties = properties(&[
        Property::UserProperty("b", "1"),
        Property::ContentType("application/json"),
        Property::UserProperty("a", "2"),
        Property::ResponseTopic("answer"),
        Property::CorrelationData(&[9, 0, 9]),
        Property::UserProperty("b", "3"),
    ]);
    soon(sink.write(&[sent.clone()])).await.unwrap();
    let got = read(&mut *source, 1).await.remove(0);
    assert_eq!((&*got.topic, &got.payload), ("out/a/b", &sent.payload));
    assert_eq!(got.properties.user_properties().collect::<Vec<_>>(), [("b", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(got.properties.content_type(), Some("application/json"));
    assert!(got.properties.iter().any(|p| p == Property::ResponseTopic("answer")));
    assert!(got.properties.iter().any(|p| p == Property::CorrelationData(&[9, 0, 9])));
}

#[tokio::test]
async fn messages_arrive_in_the_order_of_the_writes() {
    let broker = broker().await;
    for qos in [Qos::One, Qos::Zero] {
        let settings = tidegate_model::endpoint::Mqtt { qos, inflight_max: 10, ..mqtt(broker.port()) };
        let mut source = open_source(settings.clone(), &["out"]).await;
        let sink = open_sink(settings, "out").await;
        let chunks: Vec<_> = (0..10).map(|i| numbered(i * 50..(i + 1) * 50)).collect();
        let writes = chunks.iter().map(|chunk| sink.write(chunk));
        let (results, records) =
            tokio::join!(futures_util::future::join_all(writes), read(&mut *source, 500));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(payloads(&records), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
        soon(source.close()).await;
        soon(sink.close()).await;
    }
}
