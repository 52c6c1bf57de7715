//! What every source and sink promises, on every way to a broker.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use tidegate_broker::{Broker, BrokerConfig, Listener, ListenerTls, Protocol};
use tidegate_connect::{Context, LocalBroker};
use tidegate_core::{Property, Rejected, Secret, WriteError};
use tidegate_model::endpoint::{CloudEventAttributes, ConfigMapRef, Mqtt, MqttHost, MqttProtocol, Qos, Tls};
use tidegate_model::plan::HeaderAction;
use tidegate_testkit::{Authority, Mosquitto, MosquittoOptions, Validity};

use crate::support::*;

/// A broker and how to reach it.
struct Peer {
    mqtt: Mqtt,
    context: Context,
    /// Runs for as long as it is held; the embedded broker needs no holding.
    _mosquitto: Option<Mosquitto>,
}

impl Peer {
    async fn mosquitto() -> Self {
        let broker = Mosquitto::start(MosquittoOptions::default()).await;
        Self { mqtt: mqtt(broker.port()), context: context(), _mosquitto: Some(broker) }
    }

    async fn in_process() -> Self {
        let broker = Broker::new(BrokerConfig::default());
        let local_broker = LocalBroker::Embedded(broker);
        Self {
            mqtt: Mqtt { host: MqttHost::LocalBroker, ..mqtt(1) },
            context: Context { local_broker, ..context() },
            _mosquitto: None,
        }
    }

    async fn tcp() -> Self {
        Self::network(Protocol::Mqtt, None)
    }

    async fn websocket_over_tls() -> Self {
        Self::network(Protocol::WebSockets { path: "/mqtt".into() }, Some(Authority::new("test")))
    }

    fn network(protocol: Protocol, authority: Option<Authority>) -> Self {
        let broker = Broker::new(BrokerConfig::default());
        let tls = authority.as_ref().map(|authority| {
            let identity = authority.server(&["localhost"], Validity::Now);
            ListenerTls {
                certificate_chain: identity.certificate.into_bytes(),
                private_key: Secret::new(identity.key.into_bytes()),
                client_ca: None,
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let port = broker.listen(Listener { address, protocol: protocol.clone(), tls }).unwrap().port();
        let trusted_ca = Some(ConfigMapRef("ca".into()));
        let given = Given::default().config_map("ca", authority.as_ref().map_or("", Authority::certificate));
        Self {
            mqtt: Mqtt {
                tls: if authority.is_some() { Tls::Enabled { trusted_ca } } else { Tls::Disabled },
                protocol: match protocol {
                    Protocol::Mqtt => MqttProtocol::Mqtt,
                    Protocol::WebSockets { .. } => MqttProtocol::WebSockets,
                },
                ..mqtt(port)
            },
            context: Context { credentials: Arc::new(given), ..context() },
            _mosquitto: None,
        }
    }
}

/// Each case on each way.
macro_rules! conformance {
    ($($case:ident)*) => {
        conformance!(@ mosquitto: $($case)*);
        conformance!(@ in_process: $($case)*);
        conformance!(@ tcp: $($case)*);
        conformance!(@ websocket_over_tls: $($case)*);
    };
    (@ $peer:ident: $($case:ident)*) => {
        mod $peer {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Peer::$peer().await).await;
            })*
        }
    };
}

conformance! {
    a_message_arrives_as_it_was_sent
    messages_arrive_in_the_order_of_the_writes
    what_was_not_acknowledged_comes_again_when_the_source_is_opened_anew
    messages_wait_while_the_source_is_closed
    the_retain_flag_is_kept_or_not
    retained_messages_do_not_come_again_with_every_connection
    two_instances_share_the_messages
    a_session_made_with_one_instance_shares_once_there_are_two
    topics_that_were_taken_out_of_a_data_flow_do_not_come_any_more
    payloads_may_be_empty_or_large
    a_record_that_can_not_be_sent_does_not_hold_up_the_others
    messages_expire_by_the_time_they_have_waited
    headers_and_cloud_event_attributes_are_set_on_the_way_out
}

async fn a_message_arrives_as_it_was_sent(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["out/#"]).await;
    let sink = open_sink(&context, &mqtt, "out/${inputTopic}").await;
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
    let user_properties: Vec<_> = got.properties.user_properties().collect();
    assert_eq!(user_properties, [("b", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(got.properties.content_type(), Some("application/json"));
    assert!(got.properties.iter().any(|p| p == Property::ResponseTopic("answer")));
    assert!(got.properties.iter().any(|p| p == Property::CorrelationData(&[9, 0, 9])));
    assert_eq!(sink.preview(&sent).topic, got.topic);
}

async fn messages_arrive_in_the_order_of_the_writes(Peer { mqtt, context, .. }: Peer) {
    for qos in [Qos::One, Qos::Zero] {
        let mqtt = Mqtt { qos, inflight_max: 10, ..mqtt.clone() };
        let mut source = open_source(&context, &mqtt, &["out"]).await;
        let sink = open_sink(&context, &mqtt, "out").await;
        let chunks: Vec<_> = (0..10).map(|i| numbered(i * 50..(i + 1) * 50)).collect();
        let writes = join_all(chunks.iter().map(|chunk| sink.write(chunk)));
        let (results, records) = tokio::join!(soon(writes), read(&mut *source, 500));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(payloads(&records), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
        soon(source.close()).await;
        soon(sink.close()).await;
    }
}

async fn what_was_not_acknowledged_comes_again_when_the_source_is_opened_anew(peer: Peer) {
    let Peer { mqtt, context, .. } = peer;
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    soon(sink.write(&numbered(0..3))).await.unwrap();
    let acknowledged = payloads(&read(&mut *source, 3).await);
    soon(sink.write(&numbered(3..8))).await.unwrap();
    let mut unacknowledged = Vec::new();
    while unacknowledged.len() < 5 {
        unacknowledged.extend(soon(source.next()).await.unwrap().unwrap().records);
    }
    drop(source);
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    assert_eq!(acknowledged, ["0", "1", "2"]);
    assert_eq!(payloads(&read(&mut *source, 5).await), payloads(&unacknowledged));
}

async fn messages_wait_while_the_source_is_closed(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    soon(sink.write(&numbered(0..2))).await.unwrap();
    read(&mut *source, 2).await;
    soon(source.close()).await;
    soon(sink.write(&numbered(2..4))).await.unwrap();
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    assert_eq!(payloads(&read(&mut *source, 2).await), ["2", "3"]);
}

async fn the_retain_flag_is_kept_or_not(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["kept", "never"]).await;
    let mut retained = record("in", "x");
    retained.retain = true;
    for (topic, keep_retain) in [("kept", true), ("never", false)] {
        let sink = open_sink(&context, &Mqtt { keep_retain, ..mqtt.clone() }, topic).await;
        soon(sink.write(&[retained.clone()])).await.unwrap();
        let got = read(&mut *source, 1).await.remove(0);
        assert_eq!((&*got.topic, got.retain), (topic, keep_retain));
        soon(sink.close()).await;
    }
    // and the broker has retained the one only
    let mut late = open_source(&of_flow(&context, "late"), &mqtt, &["kept", "never"]).await;
    let sink = open_sink(&context, &mqtt, "never").await;
    soon(sink.write(&[record("in", "end")])).await.unwrap();
    assert_eq!(payloads(&read(&mut *late, 2).await), ["x", "end"]);
}

async fn retained_messages_do_not_come_again_with_every_connection(Peer { mqtt, context, .. }: Peer) {
    let sink = open_sink(&context, &mqtt, "in").await;
    let mut retained = record("x", "retained");
    retained.retain = true;
    soon(sink.write(&[retained])).await.unwrap();
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    assert_eq!(payloads(&read(&mut *source, 1).await), ["retained"]);
    soon(source.close()).await;
    let mut source = open_source(&context, &mqtt, &["in"]).await;
    soon(sink.write(&[record("x", "new")])).await.unwrap();
    assert_eq!(payloads(&read(&mut *source, 1).await), ["new"]);
}

async fn two_instances_share_the_messages(Peer { mqtt, context, .. }: Peer) {
    let mut a = open_source(&of_instance(&context, 0, 2), &mqtt, &["in"]).await;
    let mut b = open_source(&of_instance(&context, 1, 2), &mqtt, &["in"]).await;
    let sink = open_sink(&context, &mqtt, "in").await;
    soon(sink.write(&numbered(0..20))).await.unwrap();
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    while of_a.len() + of_b.len() < 20 {
        tokio::select! {
            batch = soon(a.next()) => of_a.extend(batch.unwrap().unwrap().records),
            batch = soon(b.next()) => of_b.extend(batch.unwrap().unwrap().records),
        }
    }
    assert!(!of_a.is_empty() && !of_b.is_empty());
    let all: BTreeSet<_> = payloads(&of_a).into_iter().chain(payloads(&of_b)).collect();
    assert_eq!(all.len(), 20);
}

async fn a_session_made_with_one_instance_shares_once_there_are_two(Peer { mqtt, context, .. }: Peer) {
    let sink = open_sink(&context, &mqtt, "in").await;
    let mut source = open_source(&of_instance(&context, 0, 1), &mqtt, &["in"]).await;
    soon(source.close()).await;
    soon(sink.write(&numbered(0..2))).await.unwrap();
    let mut source = open_source(&of_instance(&context, 0, 2), &mqtt, &["in"]).await;
    // what waited is not lost
    assert_eq!(payloads(&read(&mut *source, 2).await), ["0", "1"]);
    // and what comes now comes once
    soon(sink.write(&numbered(2..4))).await.unwrap();
    assert_eq!(payloads(&read(&mut *source, 2).await), ["2", "3"]);
}

async fn topics_that_were_taken_out_of_a_data_flow_do_not_come_any_more(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["old/#", "kept"]).await;
    soon(source.close()).await;
    let sink = open_sink(&context, &mqtt, "${inputTopic}").await;
    let records = ["old/a", "kept", "old/b", "kept"].map(|topic| record(topic, topic));
    soon(sink.write(&records)).await.unwrap();
    let mut source = open_source(&context, &mqtt, &["kept"]).await;
    assert_eq!(payloads(&read(&mut *source, 2).await), ["kept", "kept"]);
    soon(sink.write(&[record("old/c", "c"), record("kept", "end")])).await.unwrap();
    assert_eq!(payloads(&read(&mut *source, 1).await), ["end"]);
}

async fn payloads_may_be_empty_or_large(Peer { mqtt, context, .. }: Peer) {
    for qos in [Qos::One, Qos::Zero] {
        let mqtt = Mqtt { qos, ..mqtt.clone() };
        let mut source = open_source(&context, &mqtt, &["in"]).await;
        let sink = open_sink(&context, &mqtt, "in").await;
        let sent = [record("x", ""), record("x", vec![7u8; 12 << 20]), record("x", "")];
        let (written, got) = tokio::join!(soon(sink.write(&sent)), read(&mut *source, 3));
        written.unwrap();
        assert!(got.iter().zip(&sent).all(|(got, sent)| got.payload == sent.payload));
        soon(source.close()).await;
        soon(sink.close()).await;
    }
}

async fn a_record_that_can_not_be_sent_does_not_hold_up_the_others(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["out/#"]).await;
    let sink = open_sink(&context, &mqtt, "out/${inputTopic.2}").await;
    let records = [record("a/b", "1"), record("a", "2"), record("a/+", "3"), record("a/c", "4")];
    let Err(WriteError::Reject(rejected)) = soon(sink.write(&records)).await else {
        panic!("two are rejected");
    };
    let mut indices: Vec<_> = rejected.iter().map(|r| r.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, [1, 2]);
    assert!(rejected.iter().all(|r| !r.expired && r.reason.contains("topic")));
    let got = read(&mut *source, 2).await;
    assert_eq!(got.iter().map(|r| &*r.topic).collect::<Vec<_>>(), ["out/b", "out/c"]);
}

async fn messages_expire_by_the_time_they_have_waited(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["out"]).await;
    let sink = open_sink(&context, &mqtt, "out").await;
    let waited = |seconds, interval| {
        let mut record = record("in", "x");
        record.received_at = now() - std::time::Duration::from_secs(seconds);
        record.expiry_interval = Some(interval);
        record
    };
    // the examples of AIO's documentation: 3600 s, written after 1000 s and after 4000 s
    let Err(WriteError::Reject(rejected)) = soon(sink.write(&[waited(4000, 3600), waited(1000, 3600)])).await
    else {
        panic!("one is rejected");
    };
    assert!(matches!(&rejected[..], [Rejected { index: 0, expired: true, .. }]));
    let got = read(&mut *source, 1).await.remove(0);
    let left = got.remaining_expiry(now()).unwrap().unwrap();
    assert!((2500..=2600).contains(&left), "{left}");
}

async fn headers_and_cloud_event_attributes_are_set_on_the_way_out(Peer { mqtt, context, .. }: Peer) {
    let mut source = open_source(&context, &mqtt, &["out"]).await;
    let mqtt = Mqtt { cloud_event_attributes: CloudEventAttributes::CreateOrRemap, ..mqtt };
    let headers = vec![
        HeaderAction::Remove { key: "secret".into() },
        HeaderAction::AddOrReplace { key: "type".into(), value: "plant.press".into() },
    ];
    let sink = open_sink_with(&context, &mqtt, "out", headers).await;
    let mut sent = record("in", "{}");
    sent.properties =
        properties(&[Property::UserProperty("secret", "x"), Property::UserProperty("line", "7")]);
    soon(sink.write(&[sent])).await.unwrap();
    let got = read(&mut *source, 1).await.remove(0);
    for (name, value) in [
        ("line", "7"),
        ("type", "plant.press"),
        ("specversion", "1.0"),
        ("source", "aio://peer"),
        ("subject", "out"),
    ] {
        assert_eq!(got.properties.user_property(name), Some(value));
    }
    assert_eq!(got.properties.user_property("secret"), None);
}
