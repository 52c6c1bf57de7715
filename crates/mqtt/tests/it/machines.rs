//! The machines case by case: what each side says and does in situations that users and the specification know.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tidegate_core::{Properties, Secret};
use tidegate_mqtt::flow::{Session, Unfinished};
use tidegate_mqtt::{client, server, *};

use crate::codec::{encoded, packet};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
struct Message {
    topic: &'static str,
    qos: QoS,
    payload: Bytes,
    properties: Properties,
}

fn message(topic: &'static str, qos: QoS, payload: impl Into<Bytes>) -> Message {
    Message { topic, qos, payload: payload.into(), properties: Properties::default() }
}

impl Outgoing for Message {
    fn parts(&self, _now: Instant) -> PublishParts<'_> {
        PublishParts {
            dup: false,
            qos: self.qos,
            retain: false,
            topic: self.topic,
            packet_id: None,
            message_expiry: None,
            topic_alias: None,
            subscription_ids: &[],
            properties: &self.properties,
            payload: &self.payload,
        }
    }
}

fn taken(output: &mut Output) -> BytesMut {
    BytesMut::from(&output.copy_to_bytes(output.remaining())[..])
}

fn packets(output: &mut Output, version: Version) -> Vec<Packet> {
    let mut bytes = taken(output);
    let mut decoder = Decoder::for_client(version, PACKET_BYTES_MAX);
    std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
}

fn goodbye(reason: ReasonCode) -> Vec<Packet> {
    vec![Packet::Disconnect(Box::new(Disconnect::new(reason)))]
}

fn max(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

/// A CONNECT that asks for its old session.
fn connect(version: Version) -> Connect {
    let mut connect = Connect::new(version, "c");
    connect.clean_start = false;
    connect.session_expiry = u32::MAX;
    connect
}

/// A client and a server that are connected, and hear each other when told to.
struct Pair {
    client: client::Connection<Message>,
    server: server::Connection<Message>,
    unfinished: Vec<Unfinished<Message>>,
    /// What came right behind the CONNACK.
    resent: Vec<client::Event<Message>>,
    now: Instant,
}

impl Pair {
    fn new(connect: Connect, limits: server::Limits) -> Self {
        Self::with_sessions(connect, limits, Session::new(), None)
    }

    /// The server has a session present if it is given one.
    fn with_sessions(
        connect: Connect,
        limits: server::Limits,
        client_session: Session<Message>,
        server_session: Option<Session<Message>>,
    ) -> Self {
        let now = Instant::now();
        let options = client::Options { connect, in_flight_max: max(10), topic_alias_max: 10 };
        let mut client = client::Handshake::new(options).unwrap();
        let mut server = server::Handshake::new(limits);
        let asked = server.receive(&mut taken(client.output()));
        assert!(matches!(asked, Ok(Some(server::HandshakeEvent::Connect(_)))), "{asked:?}");
        let mut connack = server.connack();
        connack.session_present = server_session.is_some();
        let mut server = server.accept(connack).unwrap().begin(server_session.unwrap_or_default(), now);
        let mut answer = taken(server.output());
        let Ok(Some(client::HandshakeEvent::Accepted(connack))) = client.receive(&mut answer) else {
            panic!("not accepted")
        };
        let (mut client, unfinished) = client.begin(&connack, client_session, now);
        let resent = std::iter::from_fn(|| client.receive(&mut answer, now).unwrap()).collect();
        Self { client, server, unfinished, resent, now }
    }

    fn server_hears(&mut self) -> Vec<server::Event<Message>> {
        let mut bytes = taken(self.client.output());
        std::iter::from_fn(|| self.server.receive(&mut bytes, self.now).unwrap()).collect()
    }

    fn client_hears(&mut self) -> Vec<client::Event<Message>> {
        let mut bytes = taken(self.server.output());
        std::iter::from_fn(|| self.client.receive(&mut bytes, self.now).unwrap()).collect()
    }

    /// What the server closes with when it hears `bytes`.
    fn server_breaks_off(mut self, bytes: &[u8]) -> (Violation, Vec<Packet>) {
        let mut bytes = BytesMut::from(bytes);
        let violation = loop {
            match self.server.receive(&mut bytes, self.now) {
                Ok(event) => assert!(event.is_some(), "no violation"),
                Err(violation) => break violation,
            }
        };
        let version = self.server.version();
        (violation, packets(self.server.output(), version))
    }
}

#[track_caller]
fn check_server_breaks_off(connect: Connect, limits: server::Limits, bytes: &[u8], reason: ReasonCode) {
    let (violation, told) = Pair::new(connect, limits).server_breaks_off(bytes);
    assert_eq!(violation.reason, reason);
    assert_eq!(told, goodbye(reason), "{violation}");
}

#[test]
fn a_connect_that_can_not_be_is_refused_in_the_words_of_its_version() {
    let cases: &[(&[u8], &[u8])] = &[
        // v3.1: return code 1, "unacceptable protocol version"
        (b"\x10\x0e\0\x06MQIsdp\x03\x02\0\0\0\0", b"\x20\x02\0\x01"),
        (b"\x10\x0c\0\x04MQTT\x03\x02\0\0\0\0", b"\x20\x02\0\x01"),
        // a version to come
        (b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0", b"\x20\x03\0\x84\0"),
        // v3.1.1 has no return code for a malformed packet
        (b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0", b""),
        (b"\x10\x0d\0\x04MQTT\x05\x03\0\0\0\0\0", b"\x20\x03\0\x81\0"),
        // a v3.1.1 session that stays needs a name
        (b"\x10\x0c\0\x04MQTT\x04\0\0\0\0\0", b"\x20\x02\0\x02"),
        // not MQTT at all, and no CONNECT
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"\xc0\0", b""),
    ];
    for (bytes, answer) in cases {
        let mut handshake = server::Handshake::new(server::Limits::default());
        assert!(handshake.receive(&mut BytesMut::from(*bytes)).is_err());
        assert_eq!(taken(handshake.output()), answer, "{bytes:02x?}");
    }
}

#[test]
fn a_will_beyond_the_limits_is_refused() {
    let mut connect = connect(Version::V5);
    connect.will = Some(Will {
        topic: "w".into(),
        payload: Bytes::new(),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay: 0,
        message_expiry: None,
        properties: Properties::default(),
    });
    let bytes = encoded(&Packet::Connect(Box::new(connect)), Version::V5);
    for (limits, reason) in [
        (server::Limits { qos_max: QoS::AtLeastOnce, ..Default::default() }, ReasonCode::QoSNotSupported),
        (server::Limits { retain_available: false, ..Default::default() }, ReasonCode::RetainNotSupported),
    ] {
        let mut handshake = server::Handshake::new(limits);
        assert_eq!(handshake.receive(&mut bytes.clone()).map_err(|v| v.reason), Err(reason));
        let refusal = Packet::ConnAck(Box::new(ConnAck::new(reason)));
        assert_eq!(packets(handshake.output(), Version::V5), [refusal]);
    }
}

#[test]
fn the_connack_tells_the_limits_and_both_keep_them() {
    let limits = server::Limits {
        keep_alive_max: 60,
        session_expiry_max: 3600,
        packet_bytes_max: NonZeroU32::new(1000).unwrap(),
        ..Default::default()
    };
    for (asked, told) in [(0, Some(60)), (30, None), (60, None), (61, Some(60))] {
        let mut connect = connect(Version::V5);
        connect.keep_alive = asked;
        let mut handshake = server::Handshake::new(limits);
        handshake.receive(&mut encoded(&Packet::Connect(Box::new(connect.clone())), Version::V5)).unwrap();
        let connack = handshake.connack();
        assert_eq!(connack.server_keep_alive, told);
        assert_eq!(connack.session_expiry, Some(3600));
        assert_eq!(connack.packet_bytes_max, Some(limits.packet_bytes_max));

        let pair = Pair::new(connect, limits);
        let keep_alive = told.unwrap_or(asked);
        assert_eq!(pair.client.deadline(), Some(pair.now + SECOND * keep_alive.into()));
        assert_eq!(pair.server.deadline(), Some(pair.now + SECOND * keep_alive.into() * 3 / 2));
        assert_eq!(pair.server.session_expiry(), 3600);
    }
}

#[test]
fn a_second_connect_and_packets_of_the_other_side_are_protocol_errors() {
    let limits = server::Limits::default();
    let again = encoded(&Packet::Connect(Box::new(connect(Version::V5))), Version::V5);
    for bytes in [&again[..], b"\x20\x03\0\0\0", b"\x90\x04\0\x01\0\0", b"\xb0\x04\0\x01\0\0", b"\xd0\0"] {
        check_server_breaks_off(connect(Version::V5), limits, bytes, ReasonCode::ProtocolError);
    }
    let (_, told) = Pair::new(connect(Version::V311), limits).server_breaks_off(b"\xd0\0");
    assert_eq!(told, [], "a v3.1.1 server has no word for it");

    for bytes in
        [&again[..], b"\x20\x03\0\0\0", b"\x82\x07\0\x01\0\0\x01f\0", b"\xc0\0", b"\x90\x04\0\x01\0\0"]
    {
        let mut pair = Pair::new(connect(Version::V5), limits);
        let broken = pair.client.receive(&mut BytesMut::from(bytes), pair.now).map_err(|v| v.reason);
        assert_eq!(broken, Err(ReasonCode::ProtocolError), "{bytes:02x?}");
        assert_eq!(packets(pair.client.output(), Version::V5), goodbye(ReasonCode::ProtocolError));
    }
}

#[test]
fn publishes_beyond_the_limits_close_the_connection() {
    let limits = server::Limits {
        receive_max: max(2),
        topic_alias_max: 1,
        qos_max: QoS::AtLeastOnce,
        retain_available: false,
        packet_bytes_max: NonZeroU32::new(100).unwrap(),
        ..Default::default()
    };
    let three =
        [&b"\x32\x06\0\x01t\0\x01\0"[..], b"\x32\x06\0\x01t\0\x02\0", b"\x32\x06\0\x01t\0\x03\0"].concat();
    for (bytes, reason) in [
        (&three[..], ReasonCode::ReceiveMaximumExceeded),
        (&packet(0x34, b"\0\x01t\0\x01\0"), ReasonCode::QoSNotSupported),
        (&packet(0x31, b"\0\x01t\0"), ReasonCode::RetainNotSupported),
        (&packet(0x30, b"\0\x01t\x03\x23\0\x02"), ReasonCode::TopicAliasInvalid),
        (&packet(0x30, b"\0\0\x03\x23\0\x01"), ReasonCode::ProtocolError),
        (&packet(0x30, b"\0\x01t\x02\x0b\x01"), ReasonCode::ProtocolError),
        (&packet(0x30, &[0; 99]), ReasonCode::PacketTooLarge),
        (&packet(0x30, b"\0\x01#\0"), ReasonCode::TopicNameInvalid),
    ] {
        check_server_breaks_off(connect(Version::V5), limits, bytes, reason);
    }
}

#[test]
fn subscriptions_that_are_not_available_are_refused_on_both_sides() {
    let limits = server::Limits {
        wildcard_available: false,
        subscription_ids_available: false,
        shared_available: false,
        ..Default::default()
    };
    let id = NonZeroU32::new(1);
    for (filter, id, reason) in [
        ("a/#", None, ReasonCode::WildcardSubscriptionsNotSupported),
        ("$share/g/a", None, ReasonCode::SharedSubscriptionsNotSupported),
        ("a", id, ReasonCode::SubscriptionIdentifiersNotSupported),
    ] {
        let subscription = Subscription::new(filter, QoS::AtLeastOnce);
        let mut pair = Pair::new(connect(Version::V5), limits);
        assert_eq!(pair.client.subscribe(vec![subscription.clone()], id, Vec::new()), Err(reason));
        assert!(pair.client.output().is_empty());
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscriptions: vec![subscription],
            subscription_id: id,
            user_properties: Vec::new(),
        });
        check_server_breaks_off(connect(Version::V5), limits, &encoded(&subscribe, Version::V5), reason);
    }
}

#[test]
fn requests_and_their_answers_belong_together() {
    for version in [Version::V311, Version::V5] {
        let mut pair = Pair::new(connect(version), server::Limits::default());
        let filters = ["a", "b/+"];
        let subscriptions = filters.map(|f| Subscription::new(f, QoS::ExactlyOnce)).to_vec();
        let id = pair.client.subscribe(subscriptions.clone(), None, Vec::new()).unwrap();
        let [server::Event::Subscribe(subscribe)] = &pair.server_hears()[..] else { panic!("no SUBSCRIBE") };
        assert_eq!((subscribe.packet_id, &subscribe.subscriptions), (id, &subscriptions));
        let reasons = vec![ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
        pair.server.suback(id, reasons.clone()).unwrap();
        let [client::Event::SubAck(suback)] = &pair.client_hears()[..] else { panic!("no SUBACK") };
        match version {
            Version::V5 => assert_eq!(suback.reasons, reasons),
            Version::V311 => assert_eq!(suback.reasons[1], ReasonCode::UnspecifiedError),
        }

        let id = pair.client.unsubscribe(filters.map(Into::into).to_vec()).unwrap();
        assert!(matches!(&pair.server_hears()[..], [server::Event::Unsubscribe(_)]));
        pair.server.unsuback(id, vec![ReasonCode::Success; 2]).unwrap();
        assert!(matches!(&pair.client_hears()[..], [client::Event::UnsubAck(_)]));

        let id = pair.client.subscribe(subscriptions, None, Vec::new()).unwrap();
        pair.server.suback(id, vec![ReasonCode::Success]).unwrap();
        let mut answer = taken(pair.server.output());
        assert!(pair.client.receive(&mut answer, pair.now).is_err(), "one reason for two filters");
    }
}

#[test]
fn a_message_of_each_qos_arrives_and_is_answered() {
    for version in [Version::V311, Version::V5] {
        let mut pair = Pair::new(connect(version), server::Limits::default());
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let m = message("a/b", qos, "x");
            let sent = pair.client.send(m.clone(), pair.now);
            let mut events = pair.server_hears();
            let Some(server::Event::Publish(publish, receipt)) = events.pop() else { panic!("no PUBLISH") };
            assert_eq!((&*publish.topic, publish.qos, &publish.payload), ("a/b", qos, &m.payload));
            let Some(receipt) = receipt else {
                assert_eq!(sent, Sent::Done(m));
                continue;
            };
            assert_eq!(sent, Sent::InFlight(publish.packet_id.unwrap()));
            pair.server.finish(receipt, ReasonCode::NoMatchingSubscribers);
            let mut events = pair.client_hears();
            if qos == QoS::ExactlyOnce {
                assert_eq!(events, []);
                assert_eq!(pair.server_hears(), [server::Event::Released(publish.packet_id.unwrap())]);
                events = pair.client_hears();
            }
            let [client::Event::Delivered(delivered)] = &events[..] else { panic!("not delivered") };
            assert_eq!(delivered.message, m);
            let told = version == Version::V5 && qos == QoS::AtLeastOnce;
            let reason = if told { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
            assert_eq!(delivered.reason, reason);
            assert_eq!(pair.client.in_flight(), 0);
        }
    }
}

#[test]
fn a_refusal_ends_the_exchange_at_once_and_v311_can_not_refuse() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut pair = Pair::new(connect(Version::V5), server::Limits::default());
        let m = message("a", qos, "x");
        pair.client.send(m.clone(), pair.now);
        let Some(server::Event::Publish(_, Some(receipt))) = pair.server_hears().pop() else { panic!() };
        pair.server.finish(receipt, ReasonCode::QuotaExceeded);
        let delivered = Delivered { message: m, reason: ReasonCode::QuotaExceeded };
        assert_eq!(pair.client_hears(), [client::Event::Delivered(delivered)]);
        assert!(pair.client.output().is_empty() && pair.server.owed() == 0);
    }
    let mut pair = Pair::new(connect(Version::V311), server::Limits::default());
    pair.client.send(message("a", QoS::AtLeastOnce, "x"), pair.now);
    let Some(server::Event::Publish(_, Some(receipt))) = pair.server_hears().pop() else { panic!() };
    pair.server.finish(receipt, ReasonCode::QuotaExceeded);
    assert_eq!(taken(pair.server.output()), b"\x40\x02\0\x01"[..]);
}

#[test]
fn nothing_is_sent_beyond_the_peers_receive_maximum() {
    let mut connect = connect(Version::V5);
    connect.receive_max = max(2);
    let mut pair = Pair::new(connect, server::Limits::default());
    let m = message("a", QoS::AtLeastOnce, "x");
    assert_eq!(pair.server.room(), 2);
    let sent = [0; 3].map(|_| pair.server.send(m.clone(), pair.now));
    assert!(matches!(&sent, [Sent::InFlight(_), Sent::InFlight(_), Sent::NoRoom(_)]), "{sent:?}");
    let at_most_once = message("a", QoS::AtMostOnce, "x");
    assert!(matches!(pair.server.send(at_most_once, pair.now), Sent::Done(_)), "QoS 0 does not count");
    let receipts = pair.client_hears().into_iter().filter_map(|event| match event {
        client::Event::Publish(_, receipt) => receipt,
        _ => None,
    });
    receipts.collect::<Vec<_>>().into_iter().for_each(|r| pair.client.finish(r, ReasonCode::Success));
    assert_eq!(pair.server_hears().len(), 2);
    assert_eq!(pair.server.room(), 2);
}

#[test]
fn topics_become_aliases_and_aliases_topics() {
    let mut connect = connect(Version::V5);
    connect.topic_alias_max = 1;
    let mut pair = Pair::new(connect, server::Limits { topic_alias_max: 2, ..Default::default() });
    let mut sizes = Vec::new();
    for topic in ["plant/line7", "plant/line7", "plant/line8", "plant/line8"] {
        pair.server.send(message(topic, QoS::AtMostOnce, "x"), pair.now);
        sizes.push(pair.server.output().len());
        let [client::Event::Publish(publish, None)] = &pair.client_hears()[..] else { panic!("no PUBLISH") };
        assert_eq!((&*publish.topic, publish.topic_alias), (topic, None));
    }
    let plain = sizes[2];
    assert_eq!(sizes, [plain + 3, plain + 3 - 11, plain, plain], "one alias, and it stays");
}

#[test]
fn what_is_too_large_for_the_peer_is_given_back_and_not_sent() {
    let mut small = connect(Version::V5);
    small.packet_bytes_max = NonZeroU32::new(30);
    let mut pair = Pair::new(connect(Version::V5), server::Limits::default());
    let (large, tiny) = (message("a", QoS::AtLeastOnce, vec![7; 30]), message("a", QoS::AtLeastOnce, "x"));
    assert!(matches!(pair.server.send(large.clone(), pair.now), Sent::InFlight(_)));
    assert!(matches!(pair.server.send(tiny.clone(), pair.now), Sent::InFlight(_)));

    // the client comes back and takes less: the large one is done with, the other one goes out again
    let mut pair = {
        let (client, server) = (pair.client.into_session(), pair.server.into_session());
        let limits = server::Limits { packet_bytes_max: NonZeroU32::new(50).unwrap(), ..Default::default() };
        Pair::with_sessions(small, limits, client, Some(server))
    };
    assert!(matches!(&pair.resent[..], [client::Event::Publish(p, Some(_))] if p.dup && p.payload == "x"));
    let given_up = Delivered { message: large.clone(), reason: ReasonCode::PacketTooLarge };
    assert_eq!(pair.server_hears(), [server::Event::Delivered(given_up)]);
    assert_eq!(pair.server.send(large.clone(), pair.now), Sent::Refused(large, ReasonCode::PacketTooLarge));
    assert!(pair.server.output().is_empty());
    let larger = message("a", QoS::AtMostOnce, vec![7; 50]);
    assert_eq!(pair.client.send(larger.clone(), pair.now), Sent::Refused(larger, ReasonCode::PacketTooLarge));
}

#[test]
fn a_resumed_session_sends_again_what_was_not_answered() {
    for version in [Version::V311, Version::V5] {
        let mut pair = Pair::new(connect(version), server::Limits::default());
        let messages = [
            message("a", QoS::ExactlyOnce, "0"),
            message("a", QoS::AtLeastOnce, "1"),
            message("a", QoS::ExactlyOnce, "2"),
        ];
        for m in &messages {
            pair.client.send(m.clone(), pair.now);
        }
        let mut receipts: Vec<_> = pair
            .server_hears()
            .into_iter()
            .filter_map(|event| match event {
                server::Event::Publish(_, receipt) => receipt,
                _ => None,
            })
            .collect();
        pair.server.finish(receipts.remove(0), ReasonCode::Success);
        assert_eq!(pair.client_hears(), [], "the first one is released");

        let (client, server) = (pair.client.into_session(), pair.server.into_session());
        let mut pair = Pair::with_sessions(connect(version), server::Limits::default(), client, Some(server));
        assert_eq!(pair.unfinished, []);
        let mut again = taken(pair.client.output());
        let mut decoder = Decoder::for_client(version, 1000);
        let sent: Vec<_> = std::iter::from_fn(|| decoder.decode(&mut again).unwrap()).collect();
        assert!(matches!(&sent[0], Packet::PubRel(_)));
        assert!(matches!(&sent[1], Packet::Publish(p) if p.dup && p.payload == "1"));
        assert!(matches!(&sent[2], Packet::Publish(p) if p.dup && p.payload == "2"));

        let mut bytes = BytesMut::new();
        sent.iter().for_each(|p| encode(p, version, &mut bytes).unwrap());
        let mut events = Vec::new();
        while let Some(event) = pair.server.receive(&mut bytes, pair.now).unwrap() {
            events.push(event);
        }
        assert!(matches!(events.remove(0), server::Event::Released(_)));
        assert_eq!(events.len(), 1, "of QoS 2 only repeats came");
        let Some(server::Event::Publish(publish, Some(fresh))) = events.pop() else { panic!() };
        assert_eq!(publish.payload, "1");
        let (stale, exact) = (receipts.remove(0), receipts.remove(0));
        pair.server.finish(stale, ReasonCode::Success);
        pair.server.finish(exact, ReasonCode::Success);
        let answers = packets(pair.server.output(), version);
        assert!(matches!(&answers[..], [Packet::PubComp(_), Packet::PubRec(_)]), "{answers:?}");
        pair.server.finish(fresh, ReasonCode::Success);
        assert!(matches!(&packets(pair.server.output(), version)[..], [Packet::PubAck(_)]));
    }
}

#[test]
fn what_a_server_without_the_session_may_not_have_is_handed_back() {
    let mut pair = Pair::new(connect(Version::V5), server::Limits::default());
    let (taken_over, lost) = (message("a", QoS::ExactlyOnce, "0"), message("a", QoS::AtLeastOnce, "1"));
    pair.client.send(taken_over.clone(), pair.now);
    pair.client.send(lost.clone(), pair.now);
    let Some(server::Event::Publish(_, Some(receipt))) = pair.server_hears().into_iter().next() else {
        panic!()
    };
    pair.server.finish(receipt, ReasonCode::Success);
    pair.client_hears();
    let session = pair.client.into_session();
    let mut pair = Pair::with_sessions(connect(Version::V5), server::Limits::default(), session, None);
    let expected =
        [Unfinished { message: taken_over, taken: true }, Unfinished { message: lost, taken: false }];
    assert_eq!(pair.unfinished, expected);
    assert!(pair.client.output().is_empty() && pair.client.in_flight() == 0);
}

#[test]
fn a_session_after_a_clean_start_is_a_protocol_error() {
    let options = client::Options {
        connect: Connect::new(Version::V311, "c"),
        in_flight_max: max(1),
        topic_alias_max: 0,
    };
    let mut handshake = client::Handshake::new(options).unwrap();
    assert!(handshake.receive(&mut BytesMut::from(&b"\x20\x02\x01\0"[..])).is_err());
    let refused = handshake.receive(&mut BytesMut::from(&b"\x20\x02\0\x05"[..]));
    let Ok(Some(client::HandshakeEvent::Refused(connack))) = refused else { panic!("{refused:?}") };
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
}

#[test]
fn a_client_pings_and_misses_the_answer_and_a_server_misses_the_ping() {
    let mut connect = connect(Version::V5);
    connect.keep_alive = 10;
    let mut pair = Pair::new(connect, server::Limits::default());
    let start = pair.now;
    pair.now = start + SECOND * 9;
    pair.client.tick(pair.now).unwrap();
    assert!(pair.client.output().is_empty());
    pair.now = start + SECOND * 10;
    pair.client.tick(pair.now).unwrap();
    assert_eq!(pair.client.deadline(), Some(start + SECOND * 15));
    assert_eq!(pair.server_hears(), []);
    assert_eq!(pair.client_hears(), [], "the PINGRESP is no event");
    assert_eq!(pair.client.deadline(), Some(start + SECOND * 20));
    assert_eq!(pair.server.deadline(), Some(start + SECOND * 25));

    pair.client.tick(start + SECOND * 20).unwrap();
    let late = pair.client.tick(start + SECOND * 25).unwrap_err();
    assert_eq!(late.reason, ReasonCode::KeepAliveTimeout);
    pair.server.tick(start + SECOND * 25 - Duration::from_nanos(1)).unwrap();
    let late = pair.server.tick(start + SECOND * 25).unwrap_err();
    assert_eq!(packets(pair.server.output(), Version::V5), goodbye(late.reason));
}

fn auth(reason: ReasonCode, method: &'static str, data: &'static [u8]) -> Auth {
    let data = Secret::new(Bytes::from_static(data));
    let authentication = Some(Authentication { method: method.into(), data });
    Auth { reason, authentication, reason_string: None, user_properties: Vec::new() }
}

#[test]
fn authentication_goes_back_and_forth_before_and_after_the_connack() {
    let mut connect = connect(Version::V5);
    connect.authentication = auth(ReasonCode::Success, "M", b"1").authentication;
    let options = client::Options { connect: connect.clone(), in_flight_max: max(1), topic_alias_max: 0 };
    let mut client = client::Handshake::new(options).unwrap();
    let mut server = server::Handshake::new(server::Limits::default());
    let Ok(Some(server::HandshakeEvent::Connect(asked))) = server.receive(&mut taken(client.output())) else {
        panic!("no CONNECT")
    };
    assert_eq!(*asked, connect);
    let challenge = auth(ReasonCode::ContinueAuthentication, "M", b"2");
    server.authenticate(challenge.clone()).unwrap();
    let event = client.receive(&mut taken(server.output())).unwrap();
    assert_eq!(event, Some(client::HandshakeEvent::Auth(Box::new(challenge))));
    let response = auth(ReasonCode::ContinueAuthentication, "M", b"3");
    client.authenticate(response.clone()).unwrap();
    let event = server.receive(&mut taken(client.output())).unwrap();
    assert_eq!(event, Some(server::HandshakeEvent::Auth(Box::new(response))));
    let connack = server.connack();
    assert_eq!(connack.authentication.map(|a| a.method), Some("M".into()));
    let subscribe = &mut packet(0x82, b"\0\x01\0\0\x01f\0");
    assert_eq!(server.receive(subscribe).map_err(|v| v.reason), Err(ReasonCode::ProtocolError));

    let mut pair = Pair::new(connect, server::Limits::default());
    pair.client.authenticate(auth(ReasonCode::ReAuthenticate, "M", b"4")).unwrap();
    assert!(
        matches!(&pair.server_hears()[..], [server::Event::Auth(a)] if a.reason == ReasonCode::ReAuthenticate)
    );
    pair.server.authenticate(auth(ReasonCode::Success, "M", b"")).unwrap();
    assert!(matches!(&pair.client_hears()[..], [client::Event::Auth(a)] if a.reason == ReasonCode::Success));
    let other = encoded(&Packet::Auth(Box::new(auth(ReasonCode::ReAuthenticate, "N", b""))), Version::V5);
    let (violation, told) = pair.server_breaks_off(&other);
    assert_eq!(told, goodbye(violation.reason));
    check_server_breaks_off(
        self::connect(Version::V5),
        server::Limits::default(),
        &encoded(&Packet::Auth(Box::new(auth(ReasonCode::ReAuthenticate, "M", b""))), Version::V5),
        ReasonCode::ProtocolError,
    );
}

#[test]
fn a_disconnect_may_change_how_long_the_session_lives() {
    let limits = server::Limits { session_expiry_max: 100, ..Default::default() };
    let mut bye = Disconnect::new(ReasonCode::DisconnectWithWill);
    bye.session_expiry = Some(500);
    let mut pair = Pair::new(connect(Version::V5), limits);
    pair.client.disconnect(bye.clone());
    assert_eq!(pair.server_hears(), [server::Event::Disconnect(Box::new(bye.clone()))]);
    assert_eq!(pair.server.session_expiry(), 100);

    let mut connect = connect(Version::V5);
    connect.session_expiry = 0;
    let bytes = encoded(&Packet::Disconnect(Box::new(bye)), Version::V5);
    check_server_breaks_off(connect, limits, &bytes, ReasonCode::ProtocolError);
}

#[test]
fn in_v311_a_disconnect_means_that_all_is_well() {
    let mut pair = Pair::new(connect(Version::V311), server::Limits::default());
    pair.client.disconnect(Disconnect::new(ReasonCode::DisconnectWithWill));
    assert!(pair.client.output().is_empty());
    pair.client.disconnect(Disconnect::new(ReasonCode::Success));
    assert_eq!(pair.server_hears().len(), 1);
    pair.server.disconnect(Disconnect::new(ReasonCode::ServerShuttingDown));
    assert!(pair.server.output().is_empty());
}

#[test]
fn an_answer_to_nothing_is_ignored_and_a_wrong_one_is_not() {
    let mut pair = Pair::new(connect(Version::V5), server::Limits::default());
    let bytes = &mut BytesMut::from(&b"\x40\x02\0\x09\x70\x02\0\x09\x50\x02\0\x09\x62\x02\0\x09"[..]);
    assert_eq!(pair.server.receive(bytes, pair.now), Ok(None));
    assert_eq!(taken(pair.server.output()), b"\x62\x03\0\x09\x92\x70\x03\0\x09\x92"[..]);
    assert!(matches!(pair.server.send(message("a", QoS::ExactlyOnce, "x"), pair.now), Sent::InFlight(_)));
    pair.client_hears();
    let (violation, told) = pair.server_breaks_off(b"\x40\x02\0\x01");
    assert_eq!((violation.reason, told), (ReasonCode::ProtocolError, goodbye(ReasonCode::ProtocolError)));
}

#[test]
fn words_are_left_out_when_the_client_does_not_want_them_or_they_do_not_fit() {
    let mut words = auth(ReasonCode::Success, "M", b"");
    words.reason_string = Some("why".into());
    let mut connect = connect(Version::V5);
    connect.authentication = words.authentication.clone();
    connect.request_problem_information = false;
    let mut pair = Pair::new(connect.clone(), server::Limits::default());
    pair.server.authenticate(words).unwrap();
    assert!(matches!(&pair.client_hears()[..], [client::Event::Auth(a)] if a.reason_string.is_none()));

    connect.packet_bytes_max = NonZeroU32::new(40);
    let mut pair = Pair::new(connect, server::Limits::default());
    let mut bye = Disconnect::new(ReasonCode::ServerBusy);
    bye.reason_string = Some("x".repeat(40).into());
    pair.server.disconnect(bye);
    assert_eq!(packets(pair.server.output(), Version::V5), goodbye(ReasonCode::ServerBusy));
    assert_eq!(pair.server.suback(PacketId::MIN, vec![ReasonCode::Success; 40]), Err(EncodeError::TooLong));
}

#[test]
fn packets_sent_before_the_connack_wait_for_it() {
    let mut early = encoded(&Packet::Connect(Box::new(connect(Version::V5))), Version::V5);
    early.extend_from_slice(b"\x30\x04\0\x01t\0");
    let mut handshake = server::Handshake::new(server::Limits::default());
    assert!(matches!(handshake.receive(&mut early), Ok(Some(server::HandshakeEvent::Connect(_)))));
    assert_eq!(handshake.receive(&mut early), Ok(None));
    let connack = handshake.connack();
    let now = Instant::now();
    let mut connection = handshake.accept(connack).unwrap().begin(Session::<Message>::new(), now);
    assert!(matches!(connection.receive(&mut early, now), Ok(Some(server::Event::Publish(_, None)))));
}
