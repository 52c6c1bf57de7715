//! Answers that a good broker seldom gives, from a server that the test writes.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;
use tidegate_core::{Rejected, Source, SourceError, WriteError};
use tidegate_model::endpoint::{HostType, Mqtt, Qos};
use tidegate_mqtt::{
    Ack, ConnAck, Connect, Disconnect, Packet, PacketType, Publish, QoS, ReasonCode, SubAck, Subscribe,
};
use tidegate_testkit::{PeerConnection, ScriptedPeer};

use crate::support::*;

fn ack(publish: &Publish, reason: ReasonCode) -> Packet {
    Packet::PubAck(Ack::new(publish.packet_id.unwrap(), reason))
}

async fn read_publish(peer: &mut PeerConnection) -> Publish {
    match soon(peer.read()).await {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?} in place of a PUBLISH"),
    }
}

async fn read_subscribe(peer: &mut PeerConnection) -> Subscribe {
    match soon(peer.read()).await {
        Packet::Subscribe(subscribe) => subscribe,
        other => panic!("{other:?} in place of a SUBSCRIBE"),
    }
}

fn suback(subscribe: &Subscribe, reason: ReasonCode) -> Packet {
    Packet::SubAck(SubAck {
        packet_id: subscribe.packet_id,
        reasons: vec![reason; subscribe.subscriptions.len()],
        reason_string: None,
        user_properties: vec![],
    })
}

/// Lets a source in and takes its subscription.
async fn serve_source(peer: &ScriptedPeer) -> (PeerConnection, Connect, Subscribe) {
    let (mut connection, connect) = peer.welcome_any().await;
    let subscribe = read_subscribe(&mut connection).await;
    connection.send(suback(&subscribe, ReasonCode::GrantedQoS1)).await;
    (connection, connect, subscribe)
}

async fn connected_source(mqtt: &Mqtt, peer: &ScriptedPeer) -> (Box<dyn Source>, PeerConnection) {
    let context = context();
    let (source, (connection, ..)) = tokio::join!(open_source(&context, mqtt, &["in"]), serve_source(peer));
    (source, connection)
}

fn publish(number: u16, qos: QoS) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: "in".into(),
        packet_id: NonZeroU16::new(number).filter(|_| qos > QoS::AtMostOnce),
        message_expiry: None,
        topic_alias: None,
        subscription_ids: vec![],
        properties: Default::default(),
        payload: number.to_string().into(),
    })
}

#[tokio::test]
async fn a_refused_connection_names_the_cause_and_the_mend() {
    for (reason, lasting, words) in [
        (ReasonCode::BadUserNameOrPassword, true, "Bad User Name or Password"),
        (ReasonCode::NotAuthorized, true, "does not let the client `ns.default.flow` in"),
        (ReasonCode::ClientIdentifierNotValid, true, "client identifier `ns.default.flow`"),
        (ReasonCode::UnsupportedProtocolVersion, true, "does not speak MQTT v5"),
        (ReasonCode::BadAuthenticationMethod, true, "authentication method"),
        (ReasonCode::UseAnotherServer, true, "other.example"),
        (ReasonCode::ServerBusy, false, "takes no connection now"),
        (ReasonCode::QuotaExceeded, false, "takes no connection now"),
    ] {
        let peer = ScriptedPeer::listen().await;
        let mut connack = ConnAck::new(reason);
        connack.reason_string = Some("as we said".into());
        connack.server_reference = Some("other.example".into());
        let context = context();
        let settings = mqtt(peer.port());
        let (error, _) = tokio::join!(source_error(&context, &settings), peer.welcome(connack));
        let (is_lasting, trouble) = match error {
            SourceError::Refused(trouble) => (true, trouble),
            SourceError::Lost(trouble) => (false, trouble),
        };
        assert_eq!(is_lasting, lasting, "{trouble}");
        assert_eq!(trouble.reason, "DataflowMqttSourceConnectionFailed");
        for part in [words, "as we said", "endpoint `peer`: ", &format!("localhost:{}", peer.port())] {
            assert!(trouble.message.contains(part), "{part:?} is missing in {trouble}");
        }
    }
}

#[tokio::test]
async fn a_sink_tells_refusals_that_last_from_those_that_pass() {
    for (reason, lasting) in [(ReasonCode::NotAuthorized, true), (ReasonCode::ServerBusy, false)] {
        let peer = ScriptedPeer::listen().await;
        let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
        let (result, _) = tokio::join!(soon(sink.prepare()), peer.welcome(ConnAck::new(reason)));
        match result.unwrap_err() {
            WriteError::Fatal(t) if lasting => assert_eq!(t.reason, "DataflowMqttTargetConnectionFailed"),
            WriteError::Retry { trouble: t, .. } if !lasting => {
                assert_eq!(t.reason, "DataflowMqttTargetConnectionFailed");
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_broker_of_mqtt_v3_only_is_recognised() {
    let peer = ScriptedPeer::listen().await;
    let answer = async {
        let mut connection = peer.accept().await;
        connection.read().await;
        connection.send_bytes(&[0x20, 2, 0, 1]).await;
    };
    let context = context();
    let settings = mqtt(peer.port());
    let (error, ()) = tokio::join!(source_error(&context, &settings), answer);
    assert!(
        matches!(&error, SourceError::Refused(t) if t.message.contains("does not speak MQTT v5")),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_is_closed_without_a_word_is_explained() {
    let peer = ScriptedPeer::listen().await;
    let context = context();
    let settings = mqtt(peer.port());
    let close = async { drop(peer.accept().await) };
    let (error, ()) = tokio::join!(source_error(&context, &settings), close);
    assert!(matches!(&error, SourceError::Lost(t) if t.message.contains("without TLS")), "{error}");
}

#[tokio::test]
async fn a_source_asks_for_what_the_endpoint_says() {
    let peer = ScriptedPeer::listen().await;
    let settings = Mqtt {
        client_id_prefix: Some("plant7-".into()),
        inflight_max: 17,
        session_expiry: Duration::from_secs(1234),
        keep_alive: Duration::from_secs(45),
        ..mqtt(peer.port())
    };
    let mut context = of_instance(&context(), 3, 4);
    context.request_disk_persistence = true;
    let filters = ["a/+", "$shared/mine/b"];
    let (source, (_connection, connect, subscribe)) =
        tokio::join!(open_source(&context, &settings, &filters), serve_source(&peer));
    assert_eq!(&*connect.client_id, "plant7-ns.default.flow.3");
    assert!(!connect.clean_start);
    assert_eq!((connect.session_expiry, connect.keep_alive, connect.receive_max.get()), (1234, 45, 17));
    let persistence = vec![("aio-persistence".into(), "true".into())];
    assert_eq!((&connect.user_properties, &subscribe.user_properties), (&persistence, &persistence));
    let asked: Vec<_> = subscribe.subscriptions.iter().map(|s| (&*s.filter, s.qos)).collect();
    assert_eq!(
        asked,
        [("$share/ns.default.flow/a/+", QoS::AtLeastOnce), ("$share/mine/b", QoS::AtLeastOnce)]
    );
    assert_eq!(source.unacked_max(), 17);
}

#[tokio::test]
async fn event_grid_gets_no_user_properties_and_no_long_keep_alive() {
    for (keep_alive, sent) in [(60, 60), (1161, 1160), (0, 1160)] {
        let peer = ScriptedPeer::listen().await;
        let settings = Mqtt { keep_alive: Duration::from_secs(keep_alive), ..mqtt(peer.port()) };
        let mut context = context();
        context.request_disk_persistence = true;
        let endpoint = endpoint(settings, Some(HostType::EventGrid));
        let (source, (_connection, connect, subscribe)) =
            tokio::join!(try_open_source(&context, endpoint, &["in"]), serve_source(&peer));
        source.unwrap();
        assert_eq!(connect.keep_alive, sent);
        assert!(connect.user_properties.is_empty() && subscribe.user_properties.is_empty());
    }
}

#[tokio::test]
async fn a_refused_subscription_is_a_trouble_of_its_own() {
    let peer = ScriptedPeer::listen().await;
    let refuse = async {
        let (mut connection, _) = peer.welcome_any().await;
        let subscribe = read_subscribe(&mut connection).await;
        connection.send(suback(&subscribe, ReasonCode::NotAuthorized)).await;
        assert!(matches!(soon(connection.read()).await, Packet::Disconnect(_)));
    };
    let context = context();
    let settings = mqtt(peer.port());
    let (error, ()) = tokio::join!(source_error(&context, &settings), refuse);
    let SourceError::Refused(trouble) = error else { panic!("{error}") };
    assert_eq!(trouble.reason, "DataflowMqttSourceSubscriptionFailed");
    assert!(trouble.message.contains("`in`"), "{trouble}");
}

#[tokio::test]
async fn a_server_without_shared_subscriptions_is_not_asked_for_them() {
    let peer = ScriptedPeer::listen().await;
    let mut connack = ConnAck::new(ReasonCode::Success);
    connack.shared_available = false;
    let context = of_instance(&context(), 0, 2);
    let settings = mqtt(peer.port());
    let (error, _) = tokio::join!(source_error(&context, &settings), peer.welcome(connack));
    let SourceError::Refused(trouble) = error else { panic!("{error}") };
    assert!(trouble.message.contains("instanceCount: 1"), "{trouble}");
}

#[tokio::test]
async fn acknowledgements_go_out_in_the_order_of_arrival() {
    let peer = ScriptedPeer::listen().await;
    let (mut source, mut connection) = connected_source(&mqtt(peer.port()), &peer).await;
    let mut acks = Vec::new();
    for number in 1..=3 {
        connection.send(publish(number, QoS::AtLeastOnce)).await;
        acks.push(soon(source.next()).await.unwrap().unwrap().ack);
    }
    for ack in acks {
        source.ack(ack).await.unwrap();
    }
    for number in 1..=3 {
        let Packet::PubAck(ack) = soon(connection.read()).await else { panic!("a PUBACK comes") };
        assert_eq!((ack.packet_id.get(), ack.reason), (number, ReasonCode::Success));
    }
}

#[tokio::test]
async fn messages_of_qos_2_and_0_are_taken_too() {
    let peer = ScriptedPeer::listen().await;
    let (mut source, mut connection) = connected_source(&mqtt(peer.port()), &peer).await;
    connection.send(publish(1, QoS::ExactlyOnce)).await;
    let batch = soon(source.next()).await.unwrap().unwrap();
    source.ack(batch.ack).await.unwrap();
    let Packet::PubRec(ack) = soon(connection.read()).await else { panic!("a PUBREC comes") };
    connection.send(Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success))).await;
    let Packet::PubComp(ack) = soon(connection.read()).await else { panic!("a PUBCOMP comes") };
    assert_eq!(ack.packet_id.get(), 1);

    connection.send(publish(2, QoS::AtMostOnce)).await;
    let batch = soon(source.next()).await.unwrap().unwrap();
    source.ack(batch.ack).await.unwrap();
    let last = async move { soon(connection.read()).await.packet_type() };
    let ((), last) = tokio::join!(soon(source.close()), last);
    assert_eq!(last, PacketType::Disconnect, "QoS 0 is not acknowledged");
}

#[tokio::test]
async fn acknowledgements_are_sent_before_a_source_leaves() {
    let peer = ScriptedPeer::listen().await;
    let (mut source, mut connection) = connected_source(&mqtt(peer.port()), &peer).await;
    connection.send(publish(1, QoS::AtLeastOnce)).await;
    let batch = soon(source.next()).await.unwrap().unwrap();
    source.ack(batch.ack).await.unwrap();
    let mut close = source.close();
    assert!(poll!(&mut close).is_pending());
    let goodbye = async move {
        assert_eq!(connection.read().await.packet_type(), PacketType::PubAck);
        let Packet::Disconnect(disconnect) = connection.read().await else { panic!("a DISCONNECT comes") };
        // the session is kept
        assert_eq!((disconnect.reason, disconnect.session_expiry), (ReasonCode::Success, None));
        // The source waits until the server has closed, and so has seen all this.
        connection
    };
    tokio::select! {
        () = &mut close => panic!("the server has not closed"),
        connection = soon(goodbye) => drop(connection),
    }
    soon(close).await;
}

#[tokio::test]
async fn a_stalled_data_flow_keeps_its_connection_alive() {
    let peer = ScriptedPeer::listen().await;
    let settings = Mqtt { keep_alive: Duration::from_secs(1), ..mqtt(peer.port()) };
    let (_source, mut connection) = connected_source(&settings, &peer).await;
    for _ in 0..2 {
        assert_eq!(soon(connection.read()).await, Packet::PingReq);
        connection.send(Packet::PingResp).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_pings_is_taken_for_gone() {
    let peer = ScriptedPeer::listen().await;
    let settings = Mqtt { keep_alive: Duration::from_secs(1), ..mqtt(peer.port()) };
    let (mut source, _connection) = connected_source(&settings, &peer).await;
    let error = soon(source.next()).await.unwrap_err();
    assert!(matches!(&error, SourceError::Lost(t) if t.message.contains("PINGREQ")), "{error}");
}

#[tokio::test]
async fn what_the_server_says_when_it_ends_the_connection_is_passed_on() {
    for (reason, lasting, words) in [
        (ReasonCode::SessionTakenOver, false, "another client connected"),
        (ReasonCode::ServerShuttingDown, false, "Server shutting down"),
        (ReasonCode::NotAuthorized, true, "check its rights"),
    ] {
        let peer = ScriptedPeer::listen().await;
        let (mut source, mut connection) = connected_source(&mqtt(peer.port()), &peer).await;
        connection.send(Packet::Disconnect(Box::new(Disconnect::new(reason)))).await;
        drop(connection);
        let error = soon(source.next()).await.unwrap_err();
        assert_eq!(matches!(error, SourceError::Refused(_)), lasting);
        assert!(error.to_string().contains(words), "{error}");
        // it stays lost
        assert_eq!(soon(source.next()).await.unwrap_err().to_string(), error.to_string());
    }
}

#[tokio::test]
async fn a_sink_starts_a_clean_session_under_a_name_of_its_own() {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
    let (prepared, (_connection, connect)) = tokio::join!(soon(sink.prepare()), peer.welcome_any());
    prepared.unwrap();
    assert_eq!(&*connect.client_id, "ns.default.flow.out");
    assert!(connect.clean_start);
    assert_eq!(connect.session_expiry, 0);
}

#[tokio::test]
async fn no_more_is_in_flight_than_both_sides_allow() {
    for (endpoint_max, server_max) in [(2, 100), (100, 2)] {
        let peer = ScriptedPeer::listen().await;
        let sink =
            open_sink(&context(), &Mqtt { inflight_max: endpoint_max, ..mqtt(peer.port()) }, "out").await;
        let records = numbered(0..5);
        let serve = async {
            let mut connack = ConnAck::new(ReasonCode::Success);
            connack.receive_max = NonZeroU16::new(server_max).unwrap();
            let (mut connection, _) = peer.welcome(connack).await;
            let mut window = vec![read_publish(&mut connection).await, read_publish(&mut connection).await];
            for _ in 2..5 {
                // nothing more comes before an answer does
                assert!(poll!(Box::pin(connection.read())).is_pending());
                connection.send(ack(&window.remove(0), ReasonCode::Success)).await;
                window.push(read_publish(&mut connection).await);
            }
            for publish in &window {
                connection.send(ack(publish, ReasonCode::NoMatchingSubscribers)).await;
            }
        };
        let (written, ()) = tokio::join!(soon(sink.write(&records)), serve);
        written.unwrap();
    }
}

/// Writes three records and answers them in turn.
async fn answered(reasons: [ReasonCode; 3]) -> Result<(), WriteError> {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
    let records = numbered(0..3);
    let serve = async {
        let (mut connection, _) = peer.welcome_any().await;
        for reason in reasons {
            let publish = read_publish(&mut connection).await;
            connection.send(ack(&publish, reason)).await;
        }
        connection
    };
    tokio::join!(soon(sink.write(&records)), serve).0
}

#[tokio::test]
async fn a_refused_message_is_tried_again_or_rejected_or_stops_the_flow() {
    use ReasonCode::*;
    for (reasons, expected) in [
        ([Success, QuotaExceeded, Success], "retry after 1"),
        ([UnspecifiedError, Success, Success], "retry after 0"),
        ([Success, Success, ImplementationSpecificError], "retry after 2"),
        ([Success, PayloadFormatInvalid, Success], "reject [1]"),
        ([TopicNameInvalid, Success, TopicNameInvalid], "reject [0, 2]"),
        ([NotAuthorized, Success, Success], "fatal"),
        // what was written before must not be written again with every slow retry
        ([Success, NotAuthorized, Success], "retry after 1"),
        // the rejected one comes up again with the retry
        ([Success, PayloadFormatInvalid, QuotaExceeded], "retry after 1"),
    ] {
        let outcome = match answered(reasons).await.unwrap_err() {
            WriteError::Retry { written, .. } => format!("retry after {written}"),
            WriteError::Reject(all) => {
                format!("reject {:?}", all.iter().map(|r| r.index).collect::<Vec<_>>())
            }
            WriteError::Fatal(_) => "fatal".into(),
        };
        assert_eq!(outcome, expected, "{reasons:?}");
    }
}

#[tokio::test]
async fn a_cut_connection_fails_all_waiting_writes_and_says_what_was_written() {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
    let (a, b) = (numbered(0..3), numbered(3..5));
    let serve = async {
        let (mut connection, _) = peer.welcome_any().await;
        let mut publishes = Vec::new();
        for _ in 0..5 {
            publishes.push(read_publish(&mut connection).await);
        }
        // not the second of the first write
        for publish in [&publishes[0], &publishes[2], &publishes[3]] {
            connection.send(ack(publish, ReasonCode::Success)).await;
        }
    };
    let (a, b, ()) = tokio::join!(soon(sink.write(&a)), soon(sink.write(&b)), serve);
    assert!(matches!(a, Err(WriteError::Retry { written: 1, .. })), "{a:?}");
    assert!(matches!(b, Err(WriteError::Retry { written: 1, .. })), "{b:?}");
}

#[tokio::test]
async fn a_later_write_does_not_overtake_one_that_failed() {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
    let records = numbered(0..1);
    let mut first = sink.write(&records);
    let cut = async {
        let (mut connection, _) = peer.welcome_any().await;
        read_publish(&mut connection).await;
    };
    assert!(poll!(&mut first).is_pending());
    soon(cut).await;
    // The first has not been told yet, so that it has not had a chance to come again.
    while !matches!(soon(sink.write(&records)).await, Err(WriteError::Retry { written: 0, .. })) {}
    assert!(matches!(soon(sink.write(&records)).await, Err(WriteError::Retry { written: 0, .. })));
    assert!(matches!(soon(first).await, Err(WriteError::Retry { written: 0, .. })));
    let serve = async {
        let (mut connection, _) = peer.welcome_any().await;
        let publish = read_publish(&mut connection).await;
        connection.send(ack(&publish, ReasonCode::Success)).await;
        connection
    };
    let (written, _) = tokio::join!(soon(sink.write(&records)), serve);
    written.unwrap();
}

#[tokio::test]
async fn a_message_the_server_said_it_does_not_take_is_rejected_without_asking() {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
    let mut records = vec![record("in", vec![0; 2000]), record("in", "x"), record("in", "y")];
    records[1].retain = true;
    let mut connack = ConnAck::new(ReasonCode::Success);
    connack.packet_bytes_max = NonZeroU32::new(1000);
    connack.retain_available = false;
    let serve = async {
        let (mut connection, _) = peer.welcome(connack).await;
        let publish = read_publish(&mut connection).await;
        assert_eq!(publish.payload, "y");
        connection.send(ack(&publish, ReasonCode::Success)).await;
        connection
    };
    let (written, _) = tokio::join!(soon(sink.write(&records)), serve);
    let Err(WriteError::Reject(rejected)) = written else { panic!("{written:?}") };
    assert!(matches!(&rejected[..], [Rejected { index: 0, .. }, Rejected { index: 1, .. }]));
    assert!(rejected[0].reason.contains("too large") && rejected[1].reason.contains("retain: Never"));
}

#[tokio::test]
async fn a_server_without_qos_1_is_a_lasting_trouble() {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &mqtt(peer.port()), "out").await;
    let mut connack = ConnAck::new(ReasonCode::Success);
    connack.qos_max = QoS::AtMostOnce;
    let records = numbered(0..1);
    let (written, _) = tokio::join!(soon(sink.write(&records)), peer.welcome(connack));
    assert!(matches!(&written, Err(WriteError::Fatal(t)) if t.message.contains("qos: 0")), "{written:?}");
}

#[tokio::test]
async fn qos_0_is_done_once_it_is_written() {
    let peer = ScriptedPeer::listen().await;
    let sink = open_sink(&context(), &Mqtt { qos: Qos::Zero, ..mqtt(peer.port()) }, "out").await;
    let records = numbered(0..2000);
    let (written, (mut connection, _)) = tokio::join!(soon(sink.write(&records)), peer.welcome_any());
    written.unwrap();
    let read = async move {
        for _ in 0..2000 {
            assert_eq!(read_publish(&mut connection).await.qos, QoS::AtMostOnce);
        }
        assert_eq!(soon(connection.read()).await.packet_type(), PacketType::Disconnect);
    };
    tokio::join!(soon(sink.close()), read);
}

#[tokio::test]
async fn a_sink_leaves_when_it_is_dropped() {
    let peer = ScriptedPeer::listen().await;
    let sink = Arc::<dyn tidegate_core::Sink>::from(open_sink(&context(), &mqtt(peer.port()), "out").await);
    let (prepared, (mut connection, _)) = tokio::join!(soon(sink.prepare()), peer.welcome_any());
    prepared.unwrap();
    drop(sink);
    assert_eq!(soon(connection.read()).await.packet_type(), PacketType::Disconnect);
}
