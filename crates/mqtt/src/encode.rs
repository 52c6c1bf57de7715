//! Packets to bytes, appended to a buffer in one pass.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use tidegate_core::Properties;

use crate::ReasonCode;
use crate::packet::*;
use crate::wire::*;

/// The largest packet of the protocol in bytes, its fixed header included (MQTT v5 section 2.1.4).
pub const PACKET_BYTES_MAX: usize = VARINT_MAX + 5;

/// Why a packet can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary value is longer than 65,535 bytes, or the packet larger than [`PACKET_BYTES_MAX`].
    #[error("too long for MQTT")]
    TooLong,
    /// The version has no form for it: AUTH, or a CONNACK of a reason without return code, in v3.1.1; a QoS 1 or 2
    /// publish without packet identifier.
    #[error("the protocol version has no form for it")]
    NoForm,
}

type Result<T = (), E = EncodeError> = std::result::Result<T, E>;

/// What goes into a PUBLISH, borrowed from wherever it is, so that a message that goes to many is neither cloned nor
/// put into a [`Publish`] for each.
#[derive(Clone, Copy, Debug)]
pub struct PublishParts<'a> {
    /// Whether this is a repeat.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// A valid topic name; empty when `topic_alias` stands for it.
    pub topic: &'a str,
    /// Must be there exactly if the QoS is not 0.
    pub packet_id: Option<PacketId>,
    /// Message Expiry Interval in seconds: what is left of it now.
    pub message_expiry: Option<u32>,
    /// Topic Alias.
    pub topic_alias: Option<NonZeroU16>,
    /// The identifiers of the subscriptions that matched.
    pub subscription_ids: &'a [NonZeroU32],
    /// The properties that travel with the message.
    pub properties: &'a Properties,
    /// The message.
    pub payload: &'a Bytes,
}

impl Publish {
    /// Its parts.
    pub fn parts(&self) -> PublishParts<'_> {
        PublishParts {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            message_expiry: self.message_expiry,
            topic_alias: self.topic_alias,
            subscription_ids: &self.subscription_ids,
            properties: &self.properties,
            payload: &self.payload,
        }
    }
}

impl PublishParts<'_> {
    /// The length of the property list, without its own length.
    fn properties_len(&self) -> usize {
        let ids = self.subscription_ids.iter().map(|id| 1 + varint_len(id.get() as usize)).sum::<usize>();
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        expiry + alias + ids + self.properties.as_bytes().len()
    }

    /// What the fixed header gives as remaining length.
    fn remaining_len(&self, version: Version) -> usize {
        let packet_id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = match version {
            Version::V311 => 0,
            Version::V5 => {
                let len = self.properties_len();
                varint_len(len) + len
            }
        };
        2 + self.topic.len() + packet_id + properties + self.payload.len()
    }

    /// The size of the whole packet in bytes.
    pub fn encoded_len(&self, version: Version) -> usize {
        let remaining = self.remaining_len(version);
        1 + varint_len(remaining) + remaining
    }
}

/// Appends a PUBLISH.
///
/// # Errors
/// [`EncodeError`]; `out` is then as it was.
pub fn encode_publish(parts: &PublishParts<'_>, version: Version, out: &mut BytesMut) -> Result {
    publish_head(parts, version, parts.payload.len(), out)?;
    out.extend_from_slice(parts.payload);
    Ok(())
}

/// Appends a PUBLISH up to its payload, which the caller sends right behind.
///
/// # Errors
/// [`EncodeError`]; `out` is then as it was.
pub fn encode_publish_head(parts: &PublishParts<'_>, version: Version, out: &mut BytesMut) -> Result {
    publish_head(parts, version, 0, out)
}

fn publish_head(parts: &PublishParts<'_>, version: Version, extra: usize, out: &mut BytesMut) -> Result {
    let remaining = parts.remaining_len(version);
    let topic_len = u16::try_from(parts.topic.len()).map_err(|_| EncodeError::TooLong)?;
    if remaining > VARINT_MAX {
        return Err(EncodeError::TooLong);
    }
    if (parts.qos != QoS::AtMostOnce) != parts.packet_id.is_some() {
        return Err(EncodeError::NoForm);
    }
    out.reserve(5 + remaining - parts.payload.len() + extra);
    let flags = u8::from(parts.dup) << 3 | (parts.qos as u8) << 1 | u8::from(parts.retain);
    out.put_u8((PacketType::Publish as u8) << 4 | flags);
    put_varint(remaining, out);
    out.put_u16(topic_len);
    out.put_slice(parts.topic.as_bytes());
    if let Some(id) = parts.packet_id {
        out.put_u16(id.get());
    }
    if version == Version::V5 {
        put_varint(parts.properties_len(), out);
        if let Some(expiry) = parts.message_expiry {
            out.put_u8(MESSAGE_EXPIRY_INTERVAL);
            out.put_u32(expiry);
        }
        if let Some(alias) = parts.topic_alias {
            out.put_u8(TOPIC_ALIAS);
            out.put_u16(alias.get());
        }
        for id in parts.subscription_ids {
            out.put_u8(SUBSCRIPTION_IDENTIFIER);
            put_varint(id.get() as usize, out);
        }
        out.put_slice(parts.properties.as_bytes());
    }
    Ok(())
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP without words; v3.1.1 has no place for the reason.
pub fn encode_ack(
    packet_type: PacketType,
    packet_id: PacketId,
    reason: ReasonCode,
    version: Version,
    out: &mut BytesMut,
) {
    let [high, low] = packet_id.get().to_be_bytes();
    let first = first_byte(packet_type);
    if version == Version::V311 || reason == ReasonCode::Success {
        out.put_slice(&[first, 2, high, low]);
    } else {
        out.put_slice(&[first, 3, high, low, reason as u8]);
    }
}

/// Appends any packet. What v3.1.1 has no place for is left out there.
///
/// # Errors
/// [`EncodeError`]; `out` is then as it was.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) -> Result {
    if let Packet::Publish(publish) = packet {
        return encode_publish(&publish.parts(), version, out);
    }
    let start = out.len();
    out.put_u8(first_byte(packet.packet_type()));
    let result = with_length(out, |out| match packet {
        Packet::Connect(p) => connect(p, version, out),
        Packet::ConnAck(p) => connack(p, version, out),
        Packet::Publish(_) => Ok(()),
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            ack(p, version, out)
        }
        Packet::Subscribe(p) => subscribe(p, version, out),
        Packet::SubAck(p) => suback(p, version, out),
        Packet::Unsubscribe(p) => unsubscribe(p, version, out),
        Packet::UnsubAck(p) => unsuback(p, version, out),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(p) => disconnect(p, version, out),
        Packet::Auth(p) => auth(p, version, out),
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// The type and the reserved flags, for any packet but PUBLISH.
const fn first_byte(packet_type: PacketType) -> u8 {
    let flags = match packet_type {
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
        _ => 0,
    };
    (packet_type as u8) << 4 | flags
}

fn connect(connect: &Connect, version: Version, out: &mut BytesMut) -> Result {
    out.put_slice(b"\x00\x04MQTT");
    out.put_u8(match version {
        Version::V311 => 4,
        Version::V5 => 5,
    });
    let will = connect.will.as_ref();
    let flags = [
        (connect.username.is_some(), 7),
        (connect.password.is_some(), 6),
        (will.is_some_and(|w| w.retain), 5),
        (will.is_some(), 2),
        (connect.clean_start, 1),
    ];
    let flags = flags.iter().fold(0, |flags, (set, bit)| flags | u8::from(*set) << bit);
    out.put_u8(flags | will.map_or(0, |w| (w.qos as u8) << 3));
    out.put_u16(connect.keep_alive);
    if version == Version::V5 {
        with_length(out, |out| {
            put_u32_unless(SESSION_EXPIRY_INTERVAL, connect.session_expiry, 0, out);
            put_u16_unless(RECEIVE_MAXIMUM, connect.receive_max.get(), u16::MAX, out);
            put_option_u32(MAXIMUM_PACKET_SIZE, connect.packet_bytes_max.map(NonZeroU32::get), out);
            put_u16_unless(TOPIC_ALIAS_MAXIMUM, connect.topic_alias_max, 0, out);
            put_bool_unless(REQUEST_RESPONSE_INFORMATION, connect.request_response_information, false, out);
            put_bool_unless(REQUEST_PROBLEM_INFORMATION, connect.request_problem_information, true, out);
            put_authentication(connect.authentication.as_ref(), out)?;
            put_user_properties(&connect.user_properties, out)
        })?;
    }
    put_string(&connect.client_id, out)?;
    if let Some(will) = will {
        if version == Version::V5 {
            with_length(out, |out| {
                put_u32_unless(WILL_DELAY_INTERVAL, will.delay, 0, out);
                put_option_u32(MESSAGE_EXPIRY_INTERVAL, will.message_expiry, out);
                out.put_slice(will.properties.as_bytes());
                Ok(())
            })?;
        }
        put_string(&will.topic, out)?;
        put_binary(&will.payload, out)?;
    }
    if let Some(username) = &connect.username {
        put_string(username, out)?;
    }
    if let Some(password) = &connect.password {
        put_binary(password.expose(), out)?;
    }
    Ok(())
}

fn connack(connack: &ConnAck, version: Version, out: &mut BytesMut) -> Result {
    out.put_u8(connack.session_present.into());
    if version == Version::V311 {
        out.put_u8(connack.reason.v311_return_code().ok_or(EncodeError::NoForm)?);
        return Ok(());
    }
    out.put_u8(connack.reason as u8);
    with_length(out, |out| {
        put_option_u32(SESSION_EXPIRY_INTERVAL, connack.session_expiry, out);
        put_u16_unless(RECEIVE_MAXIMUM, connack.receive_max.get(), u16::MAX, out);
        if connack.qos_max != QoS::ExactlyOnce {
            out.put_slice(&[MAXIMUM_QOS, connack.qos_max as u8]);
        }
        put_bool_unless(RETAIN_AVAILABLE, connack.retain_available, true, out);
        put_option_u32(MAXIMUM_PACKET_SIZE, connack.packet_bytes_max.map(NonZeroU32::get), out);
        put_option_string(ASSIGNED_CLIENT_IDENTIFIER, connack.assigned_client_id.as_ref(), out)?;
        put_u16_unless(TOPIC_ALIAS_MAXIMUM, connack.topic_alias_max, 0, out);
        put_bool_unless(WILDCARD_SUBSCRIPTION_AVAILABLE, connack.wildcard_available, true, out);
        put_bool_unless(SUBSCRIPTION_IDENTIFIERS_AVAILABLE, connack.subscription_ids_available, true, out);
        put_bool_unless(SHARED_SUBSCRIPTION_AVAILABLE, connack.shared_available, true, out);
        if let Some(seconds) = connack.server_keep_alive {
            out.put_u8(SERVER_KEEP_ALIVE);
            out.put_u16(seconds);
        }
        put_option_string(RESPONSE_INFORMATION, connack.response_information.as_ref(), out)?;
        put_option_string(SERVER_REFERENCE, connack.server_reference.as_ref(), out)?;
        put_authentication(connack.authentication.as_ref(), out)?;
        put_words(connack.reason_string.as_ref(), &connack.user_properties, out)
    })
}

fn ack(ack: &Ack, version: Version, out: &mut BytesMut) -> Result {
    out.put_u16(ack.packet_id.get());
    let wordless = ack.reason_string.is_none() && ack.user_properties.is_empty();
    if version == Version::V311 || (wordless && ack.reason == ReasonCode::Success) {
        return Ok(());
    }
    out.put_u8(ack.reason as u8);
    if wordless {
        return Ok(());
    }
    with_length(out, |out| put_words(ack.reason_string.as_ref(), &ack.user_properties, out))
}

fn subscribe(subscribe: &Subscribe, version: Version, out: &mut BytesMut) -> Result {
    out.put_u16(subscribe.packet_id.get());
    if version == Version::V5 {
        with_length(out, |out| {
            if let Some(id) = subscribe.subscription_id {
                out.put_u8(SUBSCRIPTION_IDENTIFIER);
                put_varint(id.get() as usize, out);
            }
            put_user_properties(&subscribe.user_properties, out)
        })?;
    }
    for s in &subscribe.subscriptions {
        put_string(&s.filter, out)?;
        out.put_u8(match version {
            Version::V311 => s.qos as u8,
            Version::V5 => {
                s.qos as u8
                    | u8::from(s.no_local) << 2
                    | u8::from(s.retain_as_published) << 3
                    | (s.retain_handling as u8) << 4
            }
        });
    }
    Ok(())
}

fn suback(suback: &SubAck, version: Version, out: &mut BytesMut) -> Result {
    out.put_u16(suback.packet_id.get());
    if version == Version::V5 {
        with_length(out, |out| put_words(suback.reason_string.as_ref(), &suback.user_properties, out))?;
    }
    for reason in &suback.reasons {
        out.put_u8(match version {
            Version::V311 if reason.is_failure() => ReasonCode::UnspecifiedError as u8,
            _ => *reason as u8,
        });
    }
    Ok(())
}

fn unsubscribe(unsubscribe: &Unsubscribe, version: Version, out: &mut BytesMut) -> Result {
    out.put_u16(unsubscribe.packet_id.get());
    if version == Version::V5 {
        with_length(out, |out| put_user_properties(&unsubscribe.user_properties, out))?;
    }
    unsubscribe.filters.iter().try_for_each(|filter| put_string(filter, out))
}

fn unsuback(unsuback: &UnsubAck, version: Version, out: &mut BytesMut) -> Result {
    out.put_u16(unsuback.packet_id.get());
    if version == Version::V5 {
        with_length(out, |out| put_words(unsuback.reason_string.as_ref(), &unsuback.user_properties, out))?;
        out.extend(unsuback.reasons.iter().map(|r| *r as u8));
    }
    Ok(())
}

fn disconnect(disconnect: &Disconnect, version: Version, out: &mut BytesMut) -> Result {
    if version == Version::V311 || *disconnect == Disconnect::new(ReasonCode::Success) {
        return Ok(());
    }
    out.put_u8(disconnect.reason as u8);
    with_length(out, |out| {
        put_option_u32(SESSION_EXPIRY_INTERVAL, disconnect.session_expiry, out);
        put_option_string(SERVER_REFERENCE, disconnect.server_reference.as_ref(), out)?;
        put_words(disconnect.reason_string.as_ref(), &disconnect.user_properties, out)
    })
}

fn auth(auth: &Auth, version: Version, out: &mut BytesMut) -> Result {
    if version == Version::V311 {
        return Err(EncodeError::NoForm);
    }
    if auth.reason == ReasonCode::Success && auth.authentication.is_none() {
        return Ok(());
    }
    out.put_u8(auth.reason as u8);
    with_length(out, |out| {
        put_authentication(auth.authentication.as_ref(), out)?;
        put_words(auth.reason_string.as_ref(), &auth.user_properties, out)
    })
}

/// Writes what `write` writes with its length in front, which is nearly always one byte.
fn with_length(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> Result) -> Result {
    let at = out.len();
    out.put_u8(0);
    let start = out.len();
    write(out)?;
    let length = out.len() - start;
    if length > VARINT_MAX {
        return Err(EncodeError::TooLong);
    }
    let more = varint_len(length) - 1;
    out.put_bytes(0, more);
    out.copy_within(start..start + length, start + more);
    write_varint(length, &mut out[at..]);
    Ok(())
}

/// Writes the shortest encoding of `value`, at most [`VARINT_MAX`], to the start of `place`.
fn write_varint(mut value: usize, place: &mut [u8]) -> usize {
    let mut bytes = 0;
    loop {
        let more = if value > 0x7f { 0x80 } else { 0 };
        place[bytes] = (value & 0x7f) as u8 | more;
        bytes += 1;
        value >>= 7;
        if value == 0 {
            return bytes;
        }
    }
}

fn put_varint(value: usize, out: &mut BytesMut) {
    let mut bytes = [0; 4];
    let len = write_varint(value, &mut bytes);
    out.put_slice(&bytes[..len]);
}

fn put_binary(value: &[u8], out: &mut BytesMut) -> Result {
    out.put_u16(u16::try_from(value.len()).map_err(|_| EncodeError::TooLong)?);
    out.put_slice(value);
    Ok(())
}

fn put_string(value: &str, out: &mut BytesMut) -> Result {
    put_binary(value.as_bytes(), out)
}

fn put_option_string(id: u8, value: Option<&ByteString>, out: &mut BytesMut) -> Result {
    let Some(value) = value else { return Ok(()) };
    out.put_u8(id);
    put_string(value, out)
}

fn put_option_u32(id: u8, value: Option<u32>, out: &mut BytesMut) {
    if let Some(value) = value {
        out.put_u8(id);
        out.put_u32(value);
    }
}

fn put_u32_unless(id: u8, value: u32, default: u32, out: &mut BytesMut) {
    put_option_u32(id, (value != default).then_some(value), out);
}

fn put_u16_unless(id: u8, value: u16, default: u16, out: &mut BytesMut) {
    if value != default {
        out.put_u8(id);
        out.put_u16(value);
    }
}

fn put_bool_unless(id: u8, value: bool, default: bool, out: &mut BytesMut) {
    if value != default {
        out.put_slice(&[id, value.into()]);
    }
}

fn put_authentication(authentication: Option<&Authentication>, out: &mut BytesMut) -> Result {
    let Some(Authentication { method, data }) = authentication else { return Ok(()) };
    put_option_string(AUTHENTICATION_METHOD, Some(method), out)?;
    if !data.expose().is_empty() {
        out.put_u8(AUTHENTICATION_DATA);
        put_binary(data.expose(), out)?;
    }
    Ok(())
}

fn put_user_properties(properties: &UserProperties, out: &mut BytesMut) -> Result {
    properties.iter().try_for_each(|(name, value)| {
        out.put_u8(USER_PROPERTY);
        put_string(name, out)?;
        put_string(value, out)
    })
}

fn put_words(reason: Option<&ByteString>, properties: &UserProperties, out: &mut BytesMut) -> Result {
    put_option_string(REASON_STRING, reason, out)?;
    put_user_properties(properties, out)
}
