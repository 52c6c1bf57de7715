//! Any packet, as a proptest strategy: what a version can carry, so that a round trip gives it back unchanged.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate_core::{ByteString, Properties, PropertiesBuilder, Property, Secret};
use tidegate_mqtt::*;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        1 => connect(version).prop_map(|c| Packet::Connect(Box::new(c))),
        1 => connack(version).prop_map(|c| Packet::ConnAck(Box::new(c))),
        4 => publish(version).prop_map(Packet::Publish),
        1 => ack(version, PacketType::PubAck).prop_map(Packet::PubAck),
        1 => ack(version, PacketType::PubRec).prop_map(Packet::PubRec),
        1 => ack(version, PacketType::PubRel).prop_map(Packet::PubRel),
        1 => ack(version, PacketType::PubComp).prop_map(Packet::PubComp),
        1 => subscribe(version).prop_map(Packet::Subscribe),
        1 => suback(version).prop_map(Packet::SubAck),
        1 => unsubscribe(version).prop_map(Packet::Unsubscribe),
        1 => unsuback(version).prop_map(Packet::UnsubAck),
        1 => Just(Packet::PingReq),
        1 => Just(Packet::PingResp),
        1 => disconnect(version).prop_map(|d| Packet::Disconnect(Box::new(d))),
    ];
    match version {
        Version::V311 => common.boxed(),
        Version::V5 => prop_oneof![13 => common, 1 => auth().prop_map(|a| Packet::Auth(Box::new(a)))].boxed(),
    }
}

fn text() -> impl Strategy<Value = ByteString> {
    prop_oneof![9 => "[ -~äß€\u{1F600}]{0,12}", 1 => "[a-z]{120,140}"].prop_map(Into::into)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Into::into)
}

pub(crate) fn topic() -> impl Strategy<Value = ByteString> {
    "[a-z/$ä]{1,20}".prop_map(Into::into)
}

fn filter() -> impl Strategy<Value = ByteString> {
    prop_oneof![
        topic().prop_map(|t| if t.starts_with("$share/") { "a".into() } else { t }),
        Just("#".into()),
        Just("+/a/+".into()),
        Just("a/#".into()),
        Just("$share/g/a/+".into()),
    ]
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>()
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

/// In v5 what `strategy` gives, perhaps, and nothing in v3.1.1.
fn only_v5<T: Clone + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    match version {
        Version::V311 => Just(None).boxed(),
        Version::V5 => option::of(strategy).boxed(),
    }
}

fn user_properties(version: Version) -> impl Strategy<Value = UserProperties> {
    only_v5(version, vec((text(), text()), 1..4)).prop_map(Option::unwrap_or_default)
}

fn properties(version: Version) -> impl Strategy<Value = Properties> {
    let list = (
        option::of(any::<bool>()),
        option::of(text()),
        option::of(topic()),
        option::of(bytes()),
        vec((text(), text()), 0..4),
    );
    only_v5(version, list).prop_map(|list| {
        let Some((format, content_type, response_topic, correlation, user)) = list else {
            return Properties::default();
        };
        let mut builder = PropertiesBuilder::default();
        let mut push = |property| assert!(builder.push(property));
        user.first().into_iter().for_each(|(k, v)| push(Property::UserProperty(k, v)));
        format.into_iter().for_each(|v| push(Property::PayloadFormatIndicator(v)));
        content_type.iter().for_each(|v| push(Property::ContentType(v)));
        response_topic.iter().for_each(|v| push(Property::ResponseTopic(v)));
        correlation.iter().for_each(|v| push(Property::CorrelationData(v)));
        user.iter().skip(1).for_each(|(k, v)| push(Property::UserProperty(k, v)));
        builder.build().unwrap()
    })
}

fn authentication(version: Version) -> impl Strategy<Value = Option<Authentication>> {
    only_v5(version, (text(), bytes()))
        .prop_map(|a| a.map(|(method, data)| Authentication { method, data: Secret::new(data) }))
}

fn reason(version: Version, packet: PacketType) -> BoxedStrategy<ReasonCode> {
    let valid: Vec<_> =
        (0..=255).filter_map(ReasonCode::from_number).filter(|r| r.is_valid_in(packet)).collect();
    match version {
        Version::V311 => Just(ReasonCode::Success).boxed(),
        Version::V5 => proptest::sample::select(valid).boxed(),
    }
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    let message_expiry = only_v5(version, any::<u32>());
    let delay = only_v5(version, any::<u32>());
    (topic(), bytes(), qos(), any::<bool>(), delay, message_expiry, properties(version)).prop_map(
        |(topic, payload, qos, retain, delay, message_expiry, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay: delay.unwrap_or(0),
            message_expiry,
            properties,
        },
    )
}

pub(crate) fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let names = (text(), option::of(text()), option::of(bytes()), option::of(will(version)));
    let limits = (
        only_v5(version, any::<u32>()),
        only_v5(version, any::<NonZeroU16>()),
        only_v5(version, any::<NonZeroU32>()),
        only_v5(version, any::<u16>()),
        only_v5(version, any::<(bool, bool)>()),
    );
    let rest = (any::<bool>(), any::<u16>(), user_properties(version), authentication(version));
    (names, limits, rest).prop_map(move |(names, limits, rest)| {
        let (clean_start, keep_alive, user_properties, authentication) = rest;
        let (client_id, username, password, will) = names;
        let (session_expiry, receive_max, packet_bytes_max, topic_alias_max, requests) = limits;
        let (request_response_information, request_problem_information) = requests.unwrap_or((false, true));
        let never_or_at_once = if version == Version::V311 && !clean_start { u32::MAX } else { 0 };
        Connect {
            version,
            clean_start,
            keep_alive,
            client_id,
            will,
            password: password.filter(|_| username.is_some() || version == Version::V5).map(Secret::new),
            username,
            session_expiry: session_expiry.unwrap_or(never_or_at_once),
            receive_max: receive_max.unwrap_or(NonZeroU16::MAX),
            packet_bytes_max,
            topic_alias_max: topic_alias_max.unwrap_or(0),
            request_response_information,
            request_problem_information,
            user_properties,
            authentication,
        }
    })
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck> {
    let reason = match version {
        Version::V311 => (0..=5u8).prop_map(|c| ReasonCode::from_v311_return_code(c).unwrap()).boxed(),
        Version::V5 => reason(version, PacketType::ConnAck),
    };
    let limits = (
        only_v5(version, any::<NonZeroU16>()),
        only_v5(version, qos()),
        only_v5(version, any::<NonZeroU32>()),
        only_v5(version, any::<u16>()),
        only_v5(version, any::<[bool; 4]>()),
    );
    let words = (
        only_v5(version, text()),
        only_v5(version, text()),
        only_v5(version, text()),
        only_v5(version, text()),
        user_properties(version),
        authentication(version),
    );
    let times = (only_v5(version, any::<u32>()), only_v5(version, any::<u16>()));
    (any::<bool>(), reason, limits, words, times).prop_map(
        |(session_present, reason, limits, words, times)| {
            let (receive_max, qos_max, packet_bytes_max, topic_alias_max, available) = limits;
            let (reason_string, assigned_client_id, response_information, server_reference, user, auth) =
                words;
            let [retain, wildcard, ids, shared] = available.unwrap_or([true; 4]);
            ConnAck {
                session_present: session_present && reason == ReasonCode::Success,
                reason,
                session_expiry: times.0,
                receive_max: receive_max.unwrap_or(NonZeroU16::MAX),
                qos_max: qos_max.unwrap_or(QoS::ExactlyOnce),
                retain_available: retain,
                packet_bytes_max,
                assigned_client_id,
                topic_alias_max: topic_alias_max.unwrap_or(0),
                reason_string,
                user_properties: user,
                wildcard_available: wildcard,
                subscription_ids_available: ids,
                shared_available: shared,
                server_keep_alive: times.1,
                response_information,
                server_reference,
                authentication: auth,
            }
        },
    )
}

pub(crate) fn publish(version: Version) -> impl Strategy<Value = Publish> {
    let payload = prop_oneof![9 => vec(any::<u8>(), 0..300), 1 => vec(any::<u8>(), 4000..9000)];
    let hop = (
        only_v5(version, any::<u32>()),
        only_v5(version, any::<NonZeroU16>()),
        only_v5(version, vec((1u32..268_435_456).prop_map(|id| NonZeroU32::new(id).unwrap()), 0..3)),
    );
    let flags = (any::<bool>(), qos(), any::<bool>(), packet_id(), any::<bool>());
    (flags, topic(), hop, properties(version), payload).prop_map(
        |(flags, topic, hop, properties, payload)| {
            let (dup, qos, retain, packet_id, alias_only) = flags;
            let (message_expiry, topic_alias, subscription_ids) = hop;
            Publish {
                dup: dup && qos != QoS::AtMostOnce,
                qos,
                retain,
                topic: if alias_only && topic_alias.is_some() { "".into() } else { topic },
                packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
                message_expiry,
                topic_alias,
                subscription_ids: subscription_ids.unwrap_or_default(),
                properties,
                payload: payload.into(),
            }
        },
    )
}

fn ack(version: Version, packet: PacketType) -> impl Strategy<Value = Ack> {
    (packet_id(), reason(version, packet), only_v5(version, text()), user_properties(version)).prop_map(
        |(packet_id, reason, reason_string, user_properties)| Ack {
            packet_id,
            reason,
            reason_string,
            user_properties,
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let handling = prop_oneof![
        Just(RetainHandling::Send),
        Just(RetainHandling::SendIfNew),
        Just(RetainHandling::DoNotSend)
    ];
    let options = only_v5(version, (any::<(bool, bool)>(), handling));
    let subscription = (filter(), qos(), options).prop_map(|(filter, qos, options)| {
        let mut subscription = Subscription::new(filter, qos);
        if let Some(((no_local, retain_as_published), retain_handling)) = options {
            subscription.no_local = no_local && !topic::is_shared(&subscription.filter);
            subscription.retain_as_published = retain_as_published;
            subscription.retain_handling = retain_handling;
        }
        subscription
    });
    let id = (1u32..268_435_456).prop_map(|id| NonZeroU32::new(id).unwrap());
    (packet_id(), vec(subscription, 1..4), only_v5(version, id), user_properties(version)).prop_map(
        |(packet_id, subscriptions, subscription_id, user_properties)| Subscribe {
            packet_id,
            subscriptions,
            subscription_id,
            user_properties,
        },
    )
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let reason = match version {
        Version::V311 => proptest::sample::select(vec![
            ReasonCode::Success,
            ReasonCode::GrantedQoS1,
            ReasonCode::GrantedQoS2,
            ReasonCode::UnspecifiedError,
        ])
        .boxed(),
        Version::V5 => reason(version, PacketType::SubAck),
    };
    (packet_id(), vec(reason, 1..5), only_v5(version, text()), user_properties(version)).prop_map(
        |(packet_id, reasons, reason_string, user_properties)| SubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), vec(filter(), 1..4), user_properties(version))
        .prop_map(|(packet_id, filters, user_properties)| Unsubscribe { packet_id, filters, user_properties })
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    let reasons = vec(reason(version, PacketType::UnsubAck), 1..5);
    (packet_id(), reasons, only_v5(version, text()), user_properties(version)).prop_map(
        move |(packet_id, reasons, reason_string, user_properties)| UnsubAck {
            packet_id,
            reasons: if version == Version::V5 { reasons } else { Vec::new() },
            reason_string,
            user_properties,
        },
    )
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect> {
    (
        reason(version, PacketType::Disconnect),
        only_v5(version, any::<u32>()),
        only_v5(version, text()),
        user_properties(version),
        only_v5(version, text()),
    )
        .prop_map(|(reason, session_expiry, reason_string, user_properties, server_reference)| {
            Disconnect { reason, session_expiry, reason_string, user_properties, server_reference }
        })
}

fn auth() -> impl Strategy<Value = Auth> {
    let version = Version::V5;
    (reason(version, PacketType::Auth), text(), bytes(), option::of(text()), user_properties(version))
        .prop_map(|(reason, method, data, reason_string, user_properties)| Auth {
            reason,
            authentication: Some(Authentication { method, data: Secret::new(data) }),
            reason_string,
            user_properties,
        })
}
