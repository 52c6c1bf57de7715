//! One function for each type of packet.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes};
use bytestring::ByteString;
use tidegate_core::{Properties, Secret};

use super::reader::*;
use crate::packet::*;
use crate::violation::{Violation, malformed, protocol};
use crate::wire::*;
use crate::{ReasonCode, topic};

pub(super) fn connect(version: Version, r: &mut Reader<'_>) -> Result<Connect> {
    let flags = r.u8()?;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let (has_username, has_password, will_retain, has_will) = (flag(7), flag(6), flag(5), flag(2));
    let will_qos = QoS::from_number(flags >> 3 & 3).ok_or(malformed("the will's QoS is 3"))?;
    if flag(0) {
        return Err(malformed("the reserved connect flag is set"));
    }
    if !has_will && (will_retain || will_qos != QoS::AtMostOnce) {
        return Err(malformed("will flags without a will"));
    }
    if version == Version::V311 && has_password && !has_username {
        return Err(malformed("a password without a user name"));
    }

    let mut connect = Connect::new(version, "");
    connect.clean_start = flag(1);
    connect.keep_alive = r.u16()?;
    match version {
        Version::V311 => connect.session_expiry = if connect.clean_start { 0 } else { u32::MAX },
        Version::V5 => connect_properties(&mut connect, r)?,
    }
    connect.client_id = r.string()?;
    if has_will {
        connect.will = Some(will(version, will_qos, will_retain, r)?);
    }
    if has_username {
        connect.username = Some(r.string()?);
    }
    if has_password {
        connect.password = Some(Secret::new(r.bytes()?));
    }
    Ok(connect)
}

fn connect_properties(connect: &mut Connect, r: &mut Reader<'_>) -> Result<()> {
    let mut list = r.properties()?;
    let mut authentication = AuthenticationParts::default();
    while let Some(id) = list.next()? {
        let r = &mut list.reader;
        match id {
            SESSION_EXPIRY_INTERVAL => connect.session_expiry = r.u32()?,
            RECEIVE_MAXIMUM => connect.receive_max = r.non_zero_u16("a Receive Maximum of 0")?,
            MAXIMUM_PACKET_SIZE => {
                connect.packet_bytes_max = Some(r.non_zero_u32("a Maximum Packet Size of 0")?);
            }
            TOPIC_ALIAS_MAXIMUM => connect.topic_alias_max = r.u16()?,
            REQUEST_RESPONSE_INFORMATION => connect.request_response_information = r.bool()?,
            REQUEST_PROBLEM_INFORMATION => connect.request_problem_information = r.bool()?,
            USER_PROPERTY => connect.user_properties.push(r.user_property()?),
            AUTHENTICATION_METHOD => authentication.method = Some(r.string()?),
            AUTHENTICATION_DATA => authentication.data = Some(r.bytes()?),
            _ => return Err(NOT_ALLOWED),
        }
    }
    connect.authentication = authentication.build()?;
    Ok(())
}

fn will(version: Version, qos: QoS, retain: bool, r: &mut Reader<'_>) -> Result<Will> {
    let mut delay = None;
    let mut message_expiry = None;
    let properties = if version == Version::V5 {
        end_to_end(r.properties()?.reader.0, Bytes::copy_from_slice, |id, r| {
            match id {
                WILL_DELAY_INTERVAL => once(&mut delay, r.u32()?)?,
                MESSAGE_EXPIRY_INTERVAL => once(&mut message_expiry, r.u32()?)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?
    } else {
        Properties::default()
    };
    let topic = r.string()?;
    check_name(&topic)?;
    let payload = r.bytes()?;
    Ok(Will { topic, payload, qos, retain, delay: delay.unwrap_or(0), message_expiry, properties })
}

pub(super) fn connack(version: Version, r: &mut Reader<'_>) -> Result<ConnAck> {
    let flags = r.u8()?;
    if flags & !1 != 0 {
        return Err(malformed("the reserved flags of CONNACK are set"));
    }
    let mut connack = ConnAck::new(match version {
        Version::V311 => {
            ReasonCode::from_v311_return_code(r.u8()?).ok_or(protocol("an unknown connect return code"))?
        }
        Version::V5 => r.reason(PacketType::ConnAck)?,
    });
    connack.session_present = flags == 1;
    if connack.session_present && connack.reason != ReasonCode::Success {
        return Err(protocol("a refused connection has no session"));
    }
    if version == Version::V311 {
        return Ok(connack);
    }
    let mut list = r.properties()?;
    let mut authentication = AuthenticationParts::default();
    while let Some(id) = list.next()? {
        let r = &mut list.reader;
        match id {
            SESSION_EXPIRY_INTERVAL => connack.session_expiry = Some(r.u32()?),
            RECEIVE_MAXIMUM => connack.receive_max = r.non_zero_u16("a Receive Maximum of 0")?,
            MAXIMUM_QOS => {
                connack.qos_max = if r.bool()? { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            }
            RETAIN_AVAILABLE => connack.retain_available = r.bool()?,
            MAXIMUM_PACKET_SIZE => {
                connack.packet_bytes_max = Some(r.non_zero_u32("a Maximum Packet Size of 0")?);
            }
            ASSIGNED_CLIENT_IDENTIFIER => connack.assigned_client_id = Some(r.string()?),
            TOPIC_ALIAS_MAXIMUM => connack.topic_alias_max = r.u16()?,
            REASON_STRING => connack.reason_string = Some(r.string()?),
            USER_PROPERTY => connack.user_properties.push(r.user_property()?),
            WILDCARD_SUBSCRIPTION_AVAILABLE => connack.wildcard_available = r.bool()?,
            SUBSCRIPTION_IDENTIFIERS_AVAILABLE => connack.subscription_ids_available = r.bool()?,
            SHARED_SUBSCRIPTION_AVAILABLE => connack.shared_available = r.bool()?,
            SERVER_KEEP_ALIVE => connack.server_keep_alive = Some(r.u16()?),
            RESPONSE_INFORMATION => connack.response_information = Some(r.string()?),
            SERVER_REFERENCE => connack.server_reference = Some(r.string()?),
            AUTHENTICATION_METHOD => authentication.method = Some(r.string()?),
            AUTHENTICATION_DATA => authentication.data = Some(r.bytes()?),
            _ => return Err(NOT_ALLOWED),
        }
    }
    connack.authentication = authentication.build()?;
    Ok(connack)
}

pub(super) fn publish(flags: u8, version: Version, mut body: Bytes) -> Result<Option<Packet>> {
    let mut r = Reader(&body);
    let (dup, retain) = (flags & 8 != 0, flags & 1 != 0);
    let qos = QoS::from_number(flags >> 1 & 3).ok_or(malformed("the QoS is 3"))?;
    if dup && qos == QoS::AtMostOnce {
        return Err(protocol("a repeat of a QoS 0 publish"));
    }
    let topic = ByteString::try_from(body.slice_ref(r.binary()?)).map_err(|_| NOT_UTF8)?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce | QoS::ExactlyOnce => Some(r.packet_id()?),
    };
    let mut message_expiry = None;
    let mut topic_alias = None;
    let mut subscription_ids = Vec::new();
    let properties = if version == Version::V5 {
        end_to_end(
            r.properties()?.reader.0,
            |kept| body.slice_ref(kept),
            |id, r| {
                match id {
                    MESSAGE_EXPIRY_INTERVAL => once(&mut message_expiry, r.u32()?)?,
                    TOPIC_ALIAS => once(
                        &mut topic_alias,
                        NonZeroU16::new(r.u16()?).ok_or(Violation {
                            reason: ReasonCode::TopicAliasInvalid,
                            rule: "a Topic Alias of 0",
                        })?,
                    )?,
                    SUBSCRIPTION_IDENTIFIER => subscription_ids.push(r.subscription_id()?),
                    _ => return Ok(false),
                }
                Ok(true)
            },
        )?
    } else {
        Properties::default()
    };
    if !topic.is_empty() || topic_alias.is_none() {
        check_name(&topic)?;
    }
    let payload_bytes = r.0.len();
    body.advance(body.len() - payload_bytes);
    Ok(Some(Packet::Publish(Publish {
        dup,
        qos,
        retain,
        topic,
        packet_id,
        message_expiry,
        topic_alias,
        subscription_ids,
        properties,
        payload: body,
    })))
}

pub(super) fn ack(packet: PacketType, version: Version, mut r: Reader<'_>) -> Result<Ack> {
    let mut ack = Ack::new(r.packet_id()?, ReasonCode::Success);
    if version == Version::V5 && !r.0.is_empty() {
        ack.reason = r.reason(packet)?;
        if !r.0.is_empty() {
            words(r.properties()?, &mut ack.reason_string, &mut ack.user_properties)?;
        }
    }
    r.end()?;
    Ok(ack)
}

pub(super) fn subscribe(version: Version, r: &mut Reader<'_>) -> Result<Subscribe> {
    let packet_id = r.packet_id()?;
    let mut subscription_id = None;
    let mut user_properties = Vec::new();
    if version == Version::V5 {
        let mut list = r.properties()?;
        while let Some(id) = list.next()? {
            match id {
                SUBSCRIPTION_IDENTIFIER => subscription_id = Some(list.reader.subscription_id()?),
                USER_PROPERTY => user_properties.push(list.reader.user_property()?),
                _ => return Err(NOT_ALLOWED),
            }
        }
    }
    let mut subscriptions = Vec::new();
    while !r.0.is_empty() {
        let filter = r.filter()?;
        subscriptions.push(subscription(version, filter, r.u8()?)?);
    }
    if subscriptions.is_empty() {
        return Err(protocol("a SUBSCRIBE without a topic filter"));
    }
    Ok(Subscribe { packet_id, subscriptions, subscription_id, user_properties })
}

fn subscription(version: Version, filter: ByteString, options: u8) -> Result<Subscription> {
    let reserved = match version {
        Version::V311 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if options & reserved != 0 {
        return Err(malformed("the reserved subscription options are set"));
    }
    let no_local = options & 4 != 0;
    if no_local && topic::is_shared(&filter) {
        return Err(protocol("No Local on a shared subscription"));
    }
    Ok(Subscription {
        filter,
        qos: QoS::from_number(options & 3).ok_or(protocol("the QoS of a subscription is 3"))?,
        no_local,
        retain_as_published: options & 8 != 0,
        retain_handling: match options >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(protocol("the Retain Handling of a subscription is 3")),
        },
    })
}

pub(super) fn suback(version: Version, r: &mut Reader<'_>) -> Result<SubAck> {
    let packet_id = r.packet_id()?;
    let mut reason_string = None;
    let mut user_properties = Vec::new();
    if version == Version::V5 {
        words(r.properties()?, &mut reason_string, &mut user_properties)?;
    }
    let reasons = r.reasons(PacketType::SubAck)?;
    if version == Version::V311 && reasons.iter().any(|r| *r as u8 > 0x80) {
        return Err(malformed("the return code is not one of SUBACK's"));
    }
    Ok(SubAck { packet_id, reasons, reason_string, user_properties })
}

pub(super) fn unsubscribe(version: Version, r: &mut Reader<'_>) -> Result<Unsubscribe> {
    let packet_id = r.packet_id()?;
    let mut user_properties = Vec::new();
    if version == Version::V5 {
        let mut list = r.properties()?;
        while let Some(id) = list.next()? {
            match id {
                USER_PROPERTY => user_properties.push(list.reader.user_property()?),
                _ => return Err(NOT_ALLOWED),
            }
        }
    }
    let mut filters = Vec::new();
    while !r.0.is_empty() {
        filters.push(r.filter()?);
    }
    if filters.is_empty() {
        return Err(protocol("an UNSUBSCRIBE without a topic filter"));
    }
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

pub(super) fn unsuback(version: Version, r: &mut Reader<'_>) -> Result<UnsubAck> {
    let packet_id = r.packet_id()?;
    let mut reason_string = None;
    let mut user_properties = Vec::new();
    let mut reasons = Vec::new();
    if version == Version::V5 {
        words(r.properties()?, &mut reason_string, &mut user_properties)?;
        reasons = r.reasons(PacketType::UnsubAck)?;
    }
    Ok(UnsubAck { packet_id, reasons, reason_string, user_properties })
}

pub(super) fn disconnect(version: Version, r: &mut Reader<'_>) -> Result<Disconnect> {
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    if version == Version::V311 || r.0.is_empty() {
        return Ok(disconnect);
    }
    disconnect.reason = r.reason(PacketType::Disconnect)?;
    if r.0.is_empty() {
        return Ok(disconnect);
    }
    let mut list = r.properties()?;
    while let Some(id) = list.next()? {
        let r = &mut list.reader;
        match id {
            SESSION_EXPIRY_INTERVAL => disconnect.session_expiry = Some(r.u32()?),
            REASON_STRING => disconnect.reason_string = Some(r.string()?),
            USER_PROPERTY => disconnect.user_properties.push(r.user_property()?),
            SERVER_REFERENCE => disconnect.server_reference = Some(r.string()?),
            _ => return Err(NOT_ALLOWED),
        }
    }
    Ok(disconnect)
}

pub(super) fn auth(r: &mut Reader<'_>) -> Result<Auth> {
    let mut auth = Auth {
        reason: ReasonCode::Success,
        authentication: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    if r.0.is_empty() {
        return Ok(auth);
    }
    auth.reason = r.reason(PacketType::Auth)?;
    let mut list = r.properties()?;
    let mut authentication = AuthenticationParts::default();
    while let Some(id) = list.next()? {
        let r = &mut list.reader;
        match id {
            AUTHENTICATION_METHOD => authentication.method = Some(r.string()?),
            AUTHENTICATION_DATA => authentication.data = Some(r.bytes()?),
            REASON_STRING => auth.reason_string = Some(r.string()?),
            USER_PROPERTY => auth.user_properties.push(r.user_property()?),
            _ => return Err(NOT_ALLOWED),
        }
    }
    auth.authentication = authentication.build()?;
    match auth.authentication {
        None => Err(protocol("an AUTH without an authentication method")),
        Some(_) => Ok(auth),
    }
}

/// The property list of an acknowledgement.
fn words(
    mut list: PropertyList<'_>,
    reason_string: &mut Option<ByteString>,
    user_properties: &mut UserProperties,
) -> Result<()> {
    while let Some(id) = list.next()? {
        match id {
            REASON_STRING => *reason_string = Some(list.reader.string()?),
            USER_PROPERTY => user_properties.push(list.reader.user_property()?),
            _ => return Err(NOT_ALLOWED),
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    topic::check_name(name).map_err(|e| match e {
        topic::TopicError::Nul => NOT_UTF8,
        _ => Violation {
            reason: ReasonCode::TopicNameInvalid,
            rule: "a topic name is empty or holds a wildcard",
        },
    })
}
