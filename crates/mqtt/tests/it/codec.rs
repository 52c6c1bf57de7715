//! The codec alone: round trips, packets byte for byte, and everything it must refuse.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tidegate_mqtt::*;

use crate::packets;

const PACKET_MAX: usize = 1 << 20;

pub(crate) fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).unwrap();
    out
}

/// Decodes one packet, a CONNECT as a server does.
pub(crate) fn decode(version: Version, packet: &[u8]) -> Result<Option<Packet>, Violation> {
    let mut decoder = match packet.first() {
        Some(0x10) => Decoder::for_server(PACKET_MAX),
        _ => Decoder::for_client(version, PACKET_MAX),
    };
    decoder.decode(&mut BytesMut::from(packet))
}

/// A packet of that first byte, with the remaining length its body has.
pub(crate) fn packet(first: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::from(&[first][..]);
    let mut length = body.len();
    while length > 0x7f {
        out.extend([(length & 0x7f) as u8 | 0x80]);
        length >>= 7;
    }
    out.extend([length as u8]);
    out.extend_from_slice(body);
    out
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        (version, packets) in packets::version().prop_flat_map(|version| {
            (Just(version), prop::collection::vec(packets::packet(version), 1..4))
        }),
        chunk in 1usize..200,
    ) {
        let mut stream = BytesMut::new();
        for packet in &packets {
            encode(packet, version, &mut stream).unwrap();
        }
        // Bytes come in pieces, and every piece may end anywhere.
        let mut decoder = Decoder::for_client(version, PACKET_MAX);
        let mut input = BytesMut::new();
        let mut decoded = Vec::new();
        for piece in stream.chunks(chunk) {
            input.extend_from_slice(piece);
            while let Some(packet) = decoder.decode(&mut input).unwrap() {
                decoded.push(packet);
            }
        }
        prop_assert!(input.is_empty());
        prop_assert_eq!(decoded, packets);
    }

    #[test]
    fn a_publish_is_as_long_as_it_says(
        (version, publish) in packets::version().prop_flat_map(|v| (Just(v), packets::publish(v))),
    ) {
        let parts = publish.parts();
        let mut whole = BytesMut::new();
        encode_publish(&parts, version, &mut whole).unwrap();
        prop_assert_eq!(whole.len(), parts.encoded_len(version));
        let mut head = BytesMut::new();
        encode_publish_head(&parts, version, &mut head).unwrap();
        head.extend_from_slice(&publish.payload);
        prop_assert_eq!(head, whole);
    }
}

#[test]
fn packets_look_as_the_specification_draws_them() {
    let id = PacketId::new(0x1234).unwrap();
    let mut connect = Connect::new(Version::V311, "c");
    connect.keep_alive = 10;
    connect.username = Some("u".into());
    let publish = Publish {
        dup: true,
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: "a/b".into(),
        packet_id: Some(id),
        message_expiry: None,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: Default::default(),
        payload: Bytes::from_static(b"x"),
    };
    let mut v5_publish = publish.clone();
    v5_publish.message_expiry = Some(0x01020304);
    v5_publish.topic_alias = Some(PacketId::new(5).unwrap());
    let mut subscription = Subscription::new("f", QoS::AtLeastOnce);
    subscription.no_local = true;
    let mut published = Subscription::new("f", QoS::ExactlyOnce);
    published.retain_as_published = true;
    published.retain_handling = RetainHandling::DoNotSend;
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: id,
        subscriptions: vec![subscription, published],
        subscription_id: std::num::NonZeroU32::new(200),
        user_properties: vec![("k".into(), "v".into())],
    });
    let cases: Vec<(Version, Packet, &[u8])> = vec![
        (
            Version::V311,
            Packet::Connect(Box::new(connect)),
            b"\x10\x10\x00\x04MQTT\x04\x82\x00\x0a\x00\x01c\x00\x01u",
        ),
        (Version::V311, Packet::Publish(publish), b"\x3b\x08\x00\x03a/b\x12\x34x"),
        (
            Version::V5,
            Packet::Publish(v5_publish),
            b"\x3b\x11\x00\x03a/b\x12\x34\x08\x02\x01\x02\x03\x04\x23\x00\x05x",
        ),
        (Version::V5, Packet::PubAck(Ack::new(id, ReasonCode::Success)), b"\x40\x02\x12\x34"),
        (
            Version::V5,
            Packet::PubRel(Ack::new(id, ReasonCode::PacketIdentifierNotFound)),
            b"\x62\x03\x12\x34\x92",
        ),
        (
            Version::V5,
            subscribe,
            b"\x82\x15\x12\x34\x0a\x0b\xc8\x01\x26\x00\x01k\x00\x01v\x00\x01f\x05\x00\x01f\x2a",
        ),
        (Version::V311, Packet::PingReq, b"\xc0\x00"),
        (Version::V5, Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))), b"\xe0\x00"),
        (
            Version::V5,
            Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::ServerBusy))),
            b"\xe0\x02\x89\x00",
        ),
    ];
    for (version, packet, bytes) in cases {
        assert_eq!(encoded(&packet, version), bytes, "{packet:?}");
        assert_eq!(decode(version, bytes), Ok(Some(packet)));
    }
}

/// `first` byte and body of a packet, and the reason it is refused with.
type Refused = (u8, &'static [u8], ReasonCode);

fn check_refused(version: Version, cases: &[Refused]) {
    for (first, body, reason) in cases {
        let result = decode(version, &packet(*first, body));
        assert_eq!(result.map_err(|v| v.reason), Err(*reason), "{version:?} {first:02x} {body:02x?}");
    }
}

const MALFORMED: ReasonCode = ReasonCode::MalformedPacket;
const PROTOCOL: ReasonCode = ReasonCode::ProtocolError;

#[test]
fn both_versions_refuse_what_both_forbid() {
    let cases: &[Refused] = &[
        (0x00, b"", MALFORMED),
        (0x41, b"\0\x01", MALFORMED),
        (0x60, b"\0\x01", MALFORMED),
        (0xc1, b"", MALFORMED),
        (0xc0, b"x", MALFORMED),
        (0xd0, b"x", MALFORMED),
        (0x40, b"\0", MALFORMED),
        (0x40, b"\0\0", PROTOCOL),
        (0x50, b"\0\0", PROTOCOL),
        (0x62, b"\0\0", PROTOCOL),
        (0x70, b"\0\0", PROTOCOL),
    ];
    check_refused(Version::V311, cases);
    check_refused(Version::V5, cases);
}

#[test]
fn v5_refuses_bad_publishes() {
    check_refused(
        Version::V5,
        &[
            (0x36, b"\0\x01t\0\x01\0", MALFORMED),
            (0x38, b"\0\x01t\0", PROTOCOL),
            (0x32, b"\0\x01t\0\0\0", PROTOCOL),
            (0x30, b"\0\x02t", MALFORMED),
            (0x30, b"\0\x01t", MALFORMED),
            (0x30, b"\0\0\0", ReasonCode::TopicNameInvalid),
            (0x30, b"\0\x01+\0", ReasonCode::TopicNameInvalid),
            (0x30, b"\0\x03a/#\0", ReasonCode::TopicNameInvalid),
            (0x30, b"\0\x01\0\0", MALFORMED),
            (0x30, b"\0\x01\xff\0", MALFORMED),
            // U+D800 as three bytes
            (0x30, b"\0\x03\xed\xa0\x80\0", MALFORMED),
            (0x30, b"\0\x01t\x03\x23\0\0", ReasonCode::TopicAliasInvalid),
            (0x30, b"\0\x01t\x06\x23\0\x01\x23\0\x01", PROTOCOL),
            (0x30, b"\0\x01t\x02\x0b\0", PROTOCOL),
            (0x30, b"\0\x01t\x03\x0b\x80\0", MALFORMED),
            (0x30, b"\0\x01t\x06\x0b\xff\xff\xff\xff\x01", MALFORMED),
            (0x30, b"\0\x01t\x0a\x02\0\0\0\x01\x02\0\0\0\x01", PROTOCOL),
            (0x30, b"\0\x01t\x02\x01\x02", PROTOCOL),
            (0x30, b"\0\x01t\x04\x01\0\x01\0", PROTOCOL),
            (0x30, b"\0\x01t\x05\x11\0\0\0\0", MALFORMED),
            (0x30, b"\0\x01t\x01\x7f", MALFORMED),
            (0x30, b"\0\x01t\x05\x08\0\x02a+", PROTOCOL),
            (0x30, b"\0\x01t\x04\x03\0\x01\xff", MALFORMED),
            (0x30, b"\0\x01t\x07\x26\0\x01\0\0\x01v", MALFORMED),
            (0x30, b"\0\x01t\x04\x26\0\x01k", MALFORMED),
            (0x30, b"\0\x01t\x05\x03", MALFORMED),
            (0x30, b"\0\x01t\x80\0", MALFORMED),
        ],
    );
}

#[test]
fn v5_refuses_bad_subscriptions() {
    check_refused(
        Version::V5,
        &[
            (0x80, b"\0\x01\0\0\x01f\0", MALFORMED),
            (0x82, b"\0\0\0\0\x01f\0", PROTOCOL),
            (0x82, b"\0\x01\0", PROTOCOL),
            (0x82, b"\0\x01\0\0\x01f", MALFORMED),
            (0x82, b"\0\x01\0\0\x01f\x03", PROTOCOL),
            (0x82, b"\0\x01\0\0\x01f\x30", PROTOCOL),
            (0x82, b"\0\x01\0\0\x01f\x40", MALFORMED),
            (0x82, b"\0\x01\0\0\x0a$share/g/f\x04", PROTOCOL),
            (0x82, b"\0\x01\0\0\x0a$share//ff\0", ReasonCode::TopicFilterInvalid),
            (0x82, b"\0\x01\0\0\x02f#\0", ReasonCode::TopicFilterInvalid),
            (0x82, b"\0\x01\0\0\x05a/#/b\0", ReasonCode::TopicFilterInvalid),
            (0x82, b"\0\x01\0\0\0\0", ReasonCode::TopicFilterInvalid),
            (0x82, b"\0\x01\0\0\x01\0\0", MALFORMED),
            (0x82, b"\0\x01\x02\x0b\0\0\x01f\0", PROTOCOL),
            (0x82, b"\0\x01\x04\x0b\x01\x0b\x02\0\x01f\0", PROTOCOL),
            (0xa0, b"\0\x01\0\0\x01f", MALFORMED),
            (0xa2, b"\0\0\0\0\x01f", PROTOCOL),
            (0xa2, b"\0\x01\0", PROTOCOL),
            (0xa2, b"\0\x01\0\0\x02+f", ReasonCode::TopicFilterInvalid),
            (0x90, b"\0\x01\0", PROTOCOL),
            (0x90, b"\0\x01\0\x03", PROTOCOL),
            (0xb0, b"\0\x01\0", PROTOCOL),
            (0xb0, b"\0\x01\0\x01", PROTOCOL),
        ],
    );
}

#[test]
fn v5_refuses_bad_answers() {
    check_refused(
        Version::V5,
        &[
            (0x40, b"\0\x01\x03", PROTOCOL),
            (0x40, b"\0\x01\x92", PROTOCOL),
            (0x62, b"\0\x01\x10", PROTOCOL),
            (0x40, b"\0\x01\0\x01\x11", MALFORMED),
            (0x40, b"\0\x01\0\0x", MALFORMED),
            (0x20, b"\x02\0\0", MALFORMED),
            (0x20, b"\0\x01\0", PROTOCOL),
            (0x20, b"\x01\x87\0", PROTOCOL),
            (0x20, b"\0\0\x03\x21\0\0", PROTOCOL),
            (0x20, b"\0\0\x05\x27\0\0\0\0", PROTOCOL),
            (0x20, b"\0\0\x02\x24\x02", PROTOCOL),
            (0x20, b"\0\0\x02\x25\x02", PROTOCOL),
            (0x20, b"\0\0\x04\x16\0\x01x", PROTOCOL),
            (0xe0, b"\x01", PROTOCOL),
            (0xe0, b"\0\x03\x21\0\x01", MALFORMED),
            (0xf0, b"\x18\0", PROTOCOL),
            (0xf0, b"\x18", MALFORMED),
            (0xf0, b"\x01\x04\x15\0\x01m", PROTOCOL),
        ],
    );
}

#[test]
fn v311_refuses_what_only_it_forbids() {
    check_refused(
        Version::V311,
        &[
            (0x36, b"\0\x01t\0\x01", MALFORMED),
            (0x38, b"\0\x01t", PROTOCOL),
            (0x30, b"\0\0", ReasonCode::TopicNameInvalid),
            (0x32, b"\0\x01t\0\0", PROTOCOL),
            (0x40, b"\0\x01\0", MALFORMED),
            (0x82, b"\0\x01\0\x01f\x04", MALFORMED),
            (0x82, b"\0\x01\0\x01f\x03", PROTOCOL),
            (0x90, b"\0\x01\x87", MALFORMED),
            (0xb0, b"\0\x01\0", MALFORMED),
            (0xe0, b"\0", MALFORMED),
            (0xf0, b"", MALFORMED),
            (0x20, b"\0\x06", PROTOCOL),
        ],
    );
}

#[test]
fn bad_connects_are_refused_in_the_version_of_the_client() {
    let unsupported = ReasonCode::UnsupportedProtocolVersion;
    let cases: &[(&[u8], ReasonCode, Option<Version>)] = &[
        (b"\0\x04MQTX\x04\x02\0\0\0\0", PROTOCOL, None),
        (b"\0\x06MQIsdp\x03\x02\0\0\0\0", unsupported, Some(Version::V311)),
        (b"\0\x04MQTT\x03\x02\0\0\0\0", unsupported, Some(Version::V311)),
        (b"\0\x04MQTT\x84\x02\0\0\0\0", unsupported, Some(Version::V311)),
        (b"\0\x04MQTT\x06\x02\0\0\0\0\0", unsupported, Some(Version::V5)),
        (b"\0\x04MQTT\x04\x03\0\0\0\0", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x42\0\0\0\0\0\0", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x22\0\0\0\0", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x0a\0\0\0\0", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x1e\0\0\0\0\0\x01t\0\0", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x06\0\0\0\0\0\x01+\0\0", ReasonCode::TopicNameInvalid, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x02\0\0\0\x01\0", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x04\x02\0\0\0\0x", MALFORMED, Some(Version::V311)),
        (b"\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\0", PROTOCOL, Some(Version::V5)),
        (b"\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\0", PROTOCOL, Some(Version::V5)),
        (b"\0\x04MQTT\x05\x02\0\0\x02\x17\x02\0\0", PROTOCOL, Some(Version::V5)),
        (b"\0\x04MQTT\x05\x02\0\0\x03\x16\0\0\0\0", PROTOCOL, Some(Version::V5)),
        (b"\0\x04MQTT\x05\x02\0\0\x06\x21\0\x01\x21\0\x01\0\0", PROTOCOL, Some(Version::V5)),
        (b"\0\x04MQTT\x05\x02\0\0\x03\x23\0\x01\0\0", MALFORMED, Some(Version::V5)),
        (b"\0\x04MQTT\x05\x06\0\0\0\0\0\x05\x11\0\0\0\x01\0\x01t\0\0", MALFORMED, Some(Version::V5)),
    ];
    for (body, reason, version) in cases {
        let mut decoder = Decoder::for_server(PACKET_MAX);
        let result = decoder.decode(&mut packet(0x10, body));
        assert_eq!(result.map_err(|v| v.reason), Err(*reason), "{body:02x?}");
        assert_eq!(decoder.version(), *version, "{body:02x?}");
    }
    // v5 allows a password without a user name
    assert!(matches!(decode(Version::V5, &packet(0x10, b"\0\x04MQTT\x05\x42\0\0\0\0\0\0\0")), Ok(Some(_))));
}

#[test]
fn nothing_comes_before_connect() {
    for first in [0x20, 0x30, 0x40, 0x82, 0xc0, 0xe0, 0xf0, 0x00] {
        let mut decoder = Decoder::for_server(PACKET_MAX);
        let refused = decoder.decode(&mut BytesMut::from(&[first][..])).unwrap_err();
        assert_eq!(refused.reason, PROTOCOL, "from the first byte on");
    }
}

#[test]
fn the_size_is_judged_by_the_header_alone() {
    let too_large = |decoder: &mut Decoder, header: &[u8]| {
        let mut input = BytesMut::from(header);
        decoder.decode(&mut input).map_err(|v| v.reason) == Err(ReasonCode::PacketTooLarge)
    };
    let mut decoder = Decoder::for_client(Version::V5, 100);
    assert!(!too_large(&mut decoder, b"\x30\x62"));
    assert!(too_large(&mut decoder, b"\x30\x63"));
    assert!(too_large(&mut decoder, b"\x30\xff\xff\xff\x7f"));
    assert!(too_large(&mut Decoder::for_server(100), b"\x10\xff\xff\xff\x7f"));
}

#[test]
fn remaining_lengths_are_short_in_v5_and_at_most_four_bytes() {
    let mut long = BytesMut::from(&b"\xc0\x80\x00"[..]);
    assert_eq!(Decoder::for_client(Version::V311, 100).decode(&mut long.clone()), Ok(Some(Packet::PingReq)));
    let mut v5 = Decoder::for_client(Version::V5, 100);
    assert_eq!(v5.decode(&mut long).map_err(|v| v.reason), Err(MALFORMED));
    let five = &mut BytesMut::from(&b"\xc0\x80\x80\x80\x80"[..]);
    assert_eq!(v5.decode(five).map_err(|v| v.reason), Err(MALFORMED));
}

#[test]
fn hop_by_hop_properties_are_cut_out_and_the_rest_stays_as_it_is() {
    // user property, expiry, content type, subscription id, user property, alias
    let body =
        b"\0\x01t\x1c\x26\0\x01k\0\x01v\x02\0\0\0\x09\x03\0\x01c\x0b\x07\x26\0\x01k\0\x01w\x23\0\x02payload";
    let Ok(Some(Packet::Publish(publish))) = decode(Version::V5, &packet(0x30, body)) else {
        panic!("not decoded")
    };
    assert_eq!(publish.message_expiry, Some(9));
    assert_eq!(publish.topic_alias.map(|a| a.get()), Some(2));
    assert_eq!(publish.subscription_ids.iter().map(|i| i.get()).collect::<Vec<_>>(), [7]);
    assert_eq!(publish.properties.as_bytes(), &b"\x26\0\x01k\0\x01v\x03\0\x01c\x26\0\x01k\0\x01w"[..]);
    assert_eq!(publish.payload, &b"payload"[..]);
}

#[test]
fn a_small_message_does_not_keep_the_read_buffer() {
    let mut input = BytesMut::with_capacity(1 << 16);
    input.extend_from_slice(&packet(0x30, b"\0\x01t\0payload"));
    let start = input.as_ptr() as usize..input.as_ptr() as usize + (1 << 16);
    let Ok(Some(Packet::Publish(publish))) = Decoder::for_client(Version::V5, 100).decode(&mut input) else {
        panic!("not decoded")
    };
    assert!(!start.contains(&(publish.payload.as_ptr() as usize)));

    let large = [&b"\0\x01t\0"[..], &[7; 5000]].concat();
    let mut input = packet(0x30, &large);
    let start = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
    let Ok(Some(Packet::Publish(publish))) = Decoder::for_client(Version::V5, 9999).decode(&mut input) else {
        panic!("not decoded")
    };
    assert!(start.contains(&(publish.payload.as_ptr() as usize)), "a large one is a slice of it");
}

#[test]
fn what_does_not_fit_mqtt_is_not_written() {
    let id = PacketId::MIN;
    let long = "x".repeat(65_536);
    let mut ack = Ack::new(id, ReasonCode::Success);
    ack.reason_string = Some(long.as_str().into());
    let auth = Auth {
        reason: ReasonCode::Success,
        authentication: None,
        reason_string: None,
        user_properties: vec![],
    };
    let connack = ConnAck::new(ReasonCode::MalformedPacket);
    let mut publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t".into(),
        packet_id: Some(id),
        message_expiry: None,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: Default::default(),
        payload: Bytes::new(),
    };
    let mismatch = Packet::Publish(publish.clone());
    publish.packet_id = None;
    publish.topic = long.into();
    let mut out = BytesMut::from("before");
    for (packet, version, error) in [
        (Packet::PubAck(ack), Version::V5, EncodeError::TooLong),
        (Packet::Publish(publish), Version::V5, EncodeError::TooLong),
        (mismatch, Version::V5, EncodeError::NoForm),
        (Packet::Auth(Box::new(auth)), Version::V311, EncodeError::NoForm),
        (Packet::ConnAck(Box::new(connack)), Version::V311, EncodeError::NoForm),
    ] {
        assert_eq!(encode(&packet, version, &mut out), Err(error));
        assert_eq!(out, "before");
    }
}
