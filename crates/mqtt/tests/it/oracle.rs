//! Our decoder against that of the crate `mqtt-protocol-core`, on generated and on mutated packets: both must take the
//! same packets for the same, but for what is listed here.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_mqtt::*;

use crate::codec::{decode, encoded, packet};
use crate::packets;

/// Rules of ours that the oracle does not have, or not for every packet and version.
const OURS_ALONE: &[&str] = &[
    "a packet identifier of 0",
    "a repeat of a QoS 0 publish",
    "a topic name is empty or holds a wildcard",
    "a Response Topic with a wildcard",
    "a topic filter is not valid",
    "No Local on a shared subscription",
    "a string is not UTF-8 or holds U+0000",
    "the reserved flags of CONNACK are set",
    "a refused connection has no session",
    "the reserved connect flag is set",
    "the will's QoS is 3",
    "will flags without a will",
    "the reserved subscription options are set",
    "authentication data without a method",
    "an AUTH without an authentication method",
    "the packet is longer than what it says",
    "a Variable Byte Integer takes more bytes than it needs",
];

/// Rules the oracle has, but not for this packet.
const OURS_ALONE_IN: &[(PacketType, &str)] = &[
    // It takes a v5 PUBLISH without property length.
    (PacketType::Publish, "the packet ends too early"),
    // It takes several Subscription Identifiers.
    (PacketType::Subscribe, "a property is repeated or out of range"),
];

/// What the oracle refuses although the specification allows it.
fn oracle_is_too_strict(version: Version, packet: &Packet) -> bool {
    match packet {
        // MQTT v5 section 3.1.2.9: "This version of the protocol allows the sending of a Password with no User Name".
        Packet::Connect(connect) => version == Version::V5 && connect.username.is_none(),
        // MQTT v5 section 2.4 has it in the table of DISCONNECT.
        Packet::Disconnect(disconnect) => disconnect.reason == ReasonCode::BadAuthenticationMethod,
        _ => false,
    }
}

/// What the oracle makes of a packet's body: its fields, or why not.
fn oracle(version: Version, first: u8, body: &[u8]) -> Result<Value, String> {
    macro_rules! fields {
        ($parsed:expr) => {{
            let (packet, consumed) = $parsed.map_err(|e| format!("{e:?}"))?;
            if consumed < body.len() {
                return Err("bytes are left".into());
            }
            Ok(serde_json::to_value(&packet).unwrap())
        }};
    }
    let publish = Arc::<[u8]>::from(body);
    match (version, first >> 4) {
        (Version::V311, 1) => fields!(v3_1_1::Connect::parse(body)),
        (Version::V311, 2) => fields!(v3_1_1::Connack::parse(body)),
        (Version::V311, 3) => fields!(v3_1_1::Publish::parse(first & 0x0f, publish)),
        (Version::V311, 4) => fields!(v3_1_1::Puback::parse(body)),
        (Version::V311, 5) => fields!(v3_1_1::Pubrec::parse(body)),
        (Version::V311, 6) => fields!(v3_1_1::Pubrel::parse(body)),
        (Version::V311, 7) => fields!(v3_1_1::Pubcomp::parse(body)),
        (Version::V311, 8) => fields!(v3_1_1::Subscribe::parse(body)),
        (Version::V311, 9) => fields!(v3_1_1::Suback::parse(body)),
        (Version::V311, 10) => fields!(v3_1_1::Unsubscribe::parse(body)),
        (Version::V311, 11) => fields!(v3_1_1::Unsuback::parse(body)),
        (Version::V311, 12) => fields!(v3_1_1::Pingreq::parse(body)),
        (Version::V311, 13) => fields!(v3_1_1::Pingresp::parse(body)),
        (Version::V311, 14) => fields!(v3_1_1::Disconnect::parse(body)),
        (Version::V5, 1) => fields!(v5_0::Connect::parse(body)),
        (Version::V5, 2) => fields!(v5_0::Connack::parse(body)),
        (Version::V5, 3) => fields!(v5_0::Publish::parse(first & 0x0f, publish)),
        (Version::V5, 4) => fields!(v5_0::Puback::parse(body)),
        (Version::V5, 5) => fields!(v5_0::Pubrec::parse(body)),
        (Version::V5, 6) => fields!(v5_0::Pubrel::parse(body)),
        (Version::V5, 7) => fields!(v5_0::Pubcomp::parse(body)),
        (Version::V5, 8) => fields!(v5_0::Subscribe::parse(body)),
        (Version::V5, 9) => fields!(v5_0::Suback::parse(body)),
        (Version::V5, 10) => fields!(v5_0::Unsubscribe::parse(body)),
        (Version::V5, 11) => fields!(v5_0::Unsuback::parse(body)),
        (Version::V5, 12) => fields!(v5_0::Pingreq::parse(body)),
        (Version::V5, 13) => fields!(v5_0::Pingresp::parse(body)),
        (Version::V5, 14) => fields!(v5_0::Disconnect::parse(body)),
        (Version::V5, 15) => fields!(v5_0::Auth::parse(body)),
        _ => Err("no such packet type".into()),
    }
}

/// The same for all ways to write the same packet: properties sorted, and what is so anyway left out.
fn normal(mut fields: Value) -> Value {
    let Value::Object(map) = &mut fields else { return fields };
    if map.get("reason_code").is_some_and(|r| r == "Success" || r == "NormalDisconnection") {
        map.remove("reason_code");
    }
    for list in ["props", "will_props"] {
        let Some(Value::Array(properties)) = map.get_mut(list) else { continue };
        let default = [
            json!({"SessionExpiryInterval": {"id": 17, "val": 0}}),
            json!({"WillDelayInterval": {"id": 24, "val": 0}}),
            json!({"ReceiveMaximum": {"id": 33, "val": 65535}}),
            json!({"TopicAliasMaximum": {"id": 34, "val": 0}}),
            json!({"RequestResponseInformation": {"id": 25, "val": 0}}),
            json!({"RequestProblemInformation": {"id": 23, "val": 1}}),
            json!({"RetainAvailable": {"id": 37, "val": 1}}),
            json!({"WildcardSubscriptionAvailable": {"id": 40, "val": 1}}),
            json!({"SubscriptionIdentifierAvailable": {"id": 41, "val": 1}}),
            json!({"SharedSubscriptionAvailable": {"id": 42, "val": 1}}),
        ];
        properties.retain(|p| !default.contains(p) && p["AuthenticationData"]["val"] != "");
        properties.sort_by_key(Value::to_string);
        if properties.is_empty() {
            map.remove(list);
        }
    }
    fields
}

fn split(packet: &[u8]) -> (u8, &[u8]) {
    let length = packet[1..].iter().take_while(|b| **b & 0x80 != 0).count() + 1;
    (packet[0], &packet[1 + length..])
}

fn check_agreement(version: Version, first: u8, body: &[u8]) {
    let ours = decode(version, &packet(first, body)).map(|ours| ours.expect("it is whole"));
    let theirs = oracle(version, first, body);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let ours_again = encoded(&ours, version);
            let (first, body) = split(&ours_again);
            let again = oracle(version, first, body).expect("the oracle understands what we write");
            assert_eq!(normal(theirs), normal(again), "{ours:?}");
        }
        (Err(_), Err(_)) => {}
        (Err(violation), Ok(theirs)) => {
            let ours_alone = OURS_ALONE.contains(&violation.rule)
                || OURS_ALONE_IN.iter().any(|(t, rule)| *t as u8 == first >> 4 && *rule == violation.rule);
            assert!(ours_alone, "we refuse {theirs}: {violation}");
        }
        (Ok(ours), Err(theirs)) => {
            assert!(oracle_is_too_strict(version, &ours), "the oracle refuses {ours:?}: {theirs}");
        }
    }
}

fn any_packet() -> impl Strategy<Value = (Version, Packet)> {
    packets::version().prop_flat_map(|version| (Just(version), packets::packet(version)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_oracle_understands_what_we_write((version, packet) in any_packet()) {
        let bytes = encoded(&packet, version);
        let (first, body) = split(&bytes);
        check_agreement(version, first, body);
    }

    #[test]
    fn both_judge_mutated_packets_alike(
        (version, packet) in any_packet(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let bytes = encoded(&packet, version);
        let (first, body) = split(&bytes);
        let mut body = body.to_vec();
        for (at, value, kind) in mutations {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match kind {
                0 => body[at] = value,
                1 => body[at] ^= 1 << (value % 8),
                2 => body.insert(at, value),
                _ => drop(body.remove(at)),
            }
        }
        check_agreement(version, first, &body);
    }
}
