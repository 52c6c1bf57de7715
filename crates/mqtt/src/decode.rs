//! Bytes to packets, with every check that needs no memory of earlier packets.
//!
//! What a packet may say in the present state of its connection is the machines' to judge.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use tidegate_core::{Properties, PropertiesError, Secret};

use crate::packet::*;
use crate::wire::*;
use crate::{ReasonCode, topic};

/// A PUBLISH up to this size, in bytes, is copied out of the read buffer, so that a message that waits in a queue does
/// not keep a whole read buffer alive. A larger one is a slice of it.
const COPIED_BYTES_MAX: usize = 4096;

/// The peer broke a rule of MQTT: the reason code to close the connection with (MQTT v5 section 4.13), and the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {rule}")]
pub struct Violation {
    /// What to tell the peer.
    pub reason: ReasonCode,
    /// The rule in words, for a log.
    pub rule: &'static str,
}

type Result<T, E = Violation> = std::result::Result<T, E>;

const fn malformed(rule: &'static str) -> Violation {
    Violation { reason: ReasonCode::MalformedPacket, rule }
}

pub(crate) const fn protocol(rule: &'static str) -> Violation {
    Violation { reason: ReasonCode::ProtocolError, rule }
}

const TOO_MANY_BYTES: Violation = malformed("a Variable Byte Integer takes more bytes than it needs");
const NOT_ALLOWED: Violation = malformed("the property is not allowed in this packet");

/// Takes packets off a stream of bytes.
#[derive(Clone, Debug)]
pub struct Decoder {
    version: Option<Version>,
    packet_bytes_max: usize,
}

impl Decoder {
    /// For a server: the first packet must be a CONNECT, and what follows is read in its version. A packet larger than
    /// `packet_bytes_max`, its fixed header included, is refused before any memory is set aside for it.
    pub const fn for_server(packet_bytes_max: usize) -> Self {
        Self { version: None, packet_bytes_max }
    }

    /// For a client that sent a CONNECT of that version.
    pub const fn for_client(version: Version, packet_bytes_max: usize) -> Self {
        Self { version: Some(version), packet_bytes_max }
    }

    /// The version of the stream. After a failed CONNECT: the one in which to refuse it, if it was MQTT at all.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next packet off `input`; none if it has not arrived whole.
    ///
    /// # Errors
    /// [`Violation`]; the stream can't be read on.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Packet>> {
        let Some(&first) = input.first() else { return Ok(None) };
        let (packet_type, flags) = (first >> 4, first & 0x0f);
        if self.version.is_none() && packet_type != PacketType::Connect as u8 {
            return Err(protocol("the first packet of a connection is CONNECT"));
        }
        let (remaining, length_bytes) = match read_varint(&input[1..]) {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(None),
            Err(()) => return Err(malformed("the remaining length takes more than four bytes")),
        };
        let size = 1 + length_bytes + remaining;
        if size > self.packet_bytes_max {
            let reason = ReasonCode::PacketTooLarge;
            return Err(Violation { reason, rule: "the packet is larger than the maximum packet size" });
        }
        if input.len() < size {
            return Ok(None);
        }
        // MQTT-1.5.5-1, which v3.1.1 does not have.
        let minimal = length_bytes == varint_len(remaining);
        if self.version == Some(Version::V5) && !minimal {
            return Err(TOO_MANY_BYTES);
        }
        // The functions below return just what this one does: a packet is large, and moves would cost more than reading.
        if packet_type == PacketType::Publish as u8
            && let Some(version) = self.version
        {
            let body = if size <= COPIED_BYTES_MAX {
                let body = Bytes::copy_from_slice(&input[size - remaining..size]);
                input.advance(size);
                body
            } else {
                input.advance(size - remaining);
                input.split_to(remaining).freeze()
            };
            return publish(flags, version, body);
        }
        let packet = self.other(packet_type, flags, minimal, &input[size - remaining..size]);
        input.advance(size);
        packet
    }

    /// Any packet but PUBLISH. These are rare and their parts often live long, so that each part is a copy.
    fn other(&mut self, packet_type: u8, flags: u8, minimal: bool, body: &[u8]) -> Result<Option<Packet>> {
        const PUBREL: u8 = PacketType::PubRel as u8;
        const SUBSCRIBE: u8 = PacketType::Subscribe as u8;
        const UNSUBSCRIBE: u8 = PacketType::Unsubscribe as u8;
        let expected = if matches!(packet_type, PUBREL | SUBSCRIBE | UNSUBSCRIBE) { 0b0010 } else { 0 };
        if flags != expected {
            return Err(malformed("the reserved flags of the fixed header are wrong"));
        }
        let mut reader = Reader(body);
        let r = &mut reader;
        let packet = if packet_type == PacketType::Connect as u8 {
            Packet::Connect(Box::new(self.connect(minimal, r)?))
        } else {
            let version = self.version.ok_or(protocol("the first packet of a connection is CONNECT"))?;
            match packet_type {
                2 => Packet::ConnAck(Box::new(connack(version, r)?)),
                4 => return ack(PacketType::PubAck, version, reader).map(|ack| Some(Packet::PubAck(ack))),
                5 => return ack(PacketType::PubRec, version, reader).map(|ack| Some(Packet::PubRec(ack))),
                PUBREL => {
                    return ack(PacketType::PubRel, version, reader).map(|ack| Some(Packet::PubRel(ack)));
                }
                7 => return ack(PacketType::PubComp, version, reader).map(|ack| Some(Packet::PubComp(ack))),
                SUBSCRIBE => Packet::Subscribe(subscribe(version, r)?),
                9 => Packet::SubAck(suback(version, r)?),
                UNSUBSCRIBE => Packet::Unsubscribe(unsubscribe(version, r)?),
                11 => Packet::UnsubAck(unsuback(version, r)?),
                12 => Packet::PingReq,
                13 => Packet::PingResp,
                14 => Packet::Disconnect(Box::new(disconnect(version, r)?)),
                15 if version == Version::V5 => Packet::Auth(Box::new(auth(r)?)),
                _ => return Err(malformed("there is no such packet type")),
            }
        };
        reader.end()?;
        Ok(Some(packet))
    }

    fn connect(&mut self, minimal: bool, r: &mut Reader<'_>) -> Result<Connect> {
        let version = match (r.binary()?, r.u8()?) {
            (b"MQTT", 4) => Version::V311,
            (b"MQTT", 5) => Version::V5,
            (b"MQTT" | b"MQIsdp", level) => {
                // The high bit marks a bridge of mosquitto, which tries again without it when it is refused.
                self.version = Some(if level & 0x7f < 5 { Version::V311 } else { Version::V5 });
                let reason = ReasonCode::UnsupportedProtocolVersion;
                return Err(Violation { reason, rule: "the protocol level is neither 4 nor 5" });
            }
            _ => return Err(protocol("the protocol name is not MQTT")),
        };
        self.version = Some(version);
        if version == Version::V5 && !minimal {
            return Err(TOO_MANY_BYTES);
        }

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

fn connack(version: Version, r: &mut Reader<'_>) -> Result<ConnAck> {
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

fn publish(flags: u8, version: Version, mut body: Bytes) -> Result<Option<Packet>> {
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

fn ack(packet: PacketType, version: Version, mut r: Reader<'_>) -> Result<Ack> {
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

fn subscribe(version: Version, r: &mut Reader<'_>) -> Result<Subscribe> {
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

fn suback(version: Version, r: &mut Reader<'_>) -> Result<SubAck> {
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

fn unsubscribe(version: Version, r: &mut Reader<'_>) -> Result<Unsubscribe> {
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

fn unsuback(version: Version, r: &mut Reader<'_>) -> Result<UnsubAck> {
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

fn disconnect(version: Version, r: &mut Reader<'_>) -> Result<Disconnect> {
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

fn auth(r: &mut Reader<'_>) -> Result<Auth> {
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

#[derive(Default)]
struct AuthenticationParts {
    method: Option<ByteString>,
    data: Option<Bytes>,
}

impl AuthenticationParts {
    fn build(self) -> Result<Option<Authentication>> {
        match (self.method, self.data) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(protocol("authentication data without a method")),
            (Some(method), data) => {
                Ok(Some(Authentication { method, data: Secret::new(data.unwrap_or_default()) }))
            }
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(TWICE),
    }
}

/// The part of a property list that travels with the message: what is left when `take` has taken what belongs to one
/// hop. Nearly always that is one piece, which `share` takes out without a copy.
fn end_to_end<'a>(
    list: &'a [u8],
    share: impl FnOnce(&'a [u8]) -> Bytes,
    mut take: impl FnMut(u8, &mut Reader<'a>) -> Result<bool>,
) -> Result<Properties> {
    if list.is_empty() {
        return Ok(Properties::default());
    }
    let mut piece = 0..0;
    let mut pieces = BytesMut::new();
    let mut r = Reader(list);
    while !r.0.is_empty() {
        let start = list.len() - r.0.len();
        let id = r.u8()?;
        if take(id, &mut r)? {
            continue;
        }
        match id {
            PAYLOAD_FORMAT_INDICATOR => drop(r.u8()?),
            CONTENT_TYPE | CORRELATION_DATA => drop(r.binary()?),
            RESPONSE_TOPIC if r.binary()?.iter().any(|b| matches!(b, b'+' | b'#')) => {
                return Err(protocol("a Response Topic with a wildcard"));
            }
            RESPONSE_TOPIC => {}
            USER_PROPERTY => {
                r.binary()?;
                r.binary()?;
            }
            _ => return Err(NOT_ALLOWED),
        }
        if start != piece.end {
            pieces.extend_from_slice(&list[piece.clone()]);
            piece.start = start;
        }
        piece.end = list.len() - r.0.len();
    }
    let raw = if pieces.is_empty() {
        share(&list[piece])
    } else {
        pieces.extend_from_slice(&list[piece]);
        pieces.freeze()
    };
    Properties::parse(raw).map_err(|e| match e {
        PropertiesError::Malformed => NOT_UTF8,
        PropertiesError::Protocol => TWICE,
    })
}

const TWICE: Violation = protocol("a property is repeated or out of range");
const NOT_UTF8: Violation = malformed("a string is not UTF-8 or holds U+0000");
const SHORT: Violation = malformed("the packet ends too early");

fn check_name(name: &str) -> Result<()> {
    topic::check_name(name).map_err(|e| match e {
        topic::TopicError::Nul => NOT_UTF8,
        _ => Violation {
            reason: ReasonCode::TopicNameInvalid,
            rule: "a topic name is empty or holds a wildcard",
        },
    })
}

/// What is left of a packet's body.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Nothing may be left.
    fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("the packet is longer than what it says")) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(protocol("a property that is 0 or 1 is neither")),
        }
    }

    fn non_zero_u16(&mut self, rule: &'static str) -> Result<NonZeroU16> {
        NonZeroU16::new(self.u16()?).ok_or(protocol(rule))
    }

    fn non_zero_u32(&mut self, rule: &'static str) -> Result<NonZeroU32> {
        NonZeroU32::new(self.u32()?).ok_or(protocol(rule))
    }

    fn packet_id(&mut self) -> Result<PacketId> {
        self.non_zero_u16("a packet identifier of 0")
    }

    fn varint(&mut self) -> Result<usize> {
        let (value, bytes) = read_varint(self.0)
            .map_err(|()| malformed("a Variable Byte Integer takes more than four bytes"))?
            .ok_or(SHORT)?;
        if bytes != varint_len(value) {
            return Err(TOO_MANY_BYTES);
        }
        self.0 = &self.0[bytes..];
        Ok(value)
    }

    fn subscription_id(&mut self) -> Result<NonZeroU32> {
        let id = u32::try_from(self.varint()?).expect("a Variable Byte Integer has 28 bits");
        NonZeroU32::new(id).ok_or(protocol("a Subscription Identifier of 0"))
    }

    fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.u16()?;
        let (bytes, rest) = self.0.split_at_checked(length.into()).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn bytes(&mut self) -> Result<Bytes> {
        self.binary().map(Bytes::copy_from_slice)
    }

    /// A UTF-8 Encoded String, which must not hold U+0000 (MQTT v5 section 1.5.4).
    fn string(&mut self) -> Result<ByteString> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| NOT_UTF8)?;
        if text.contains('\0') { Err(NOT_UTF8) } else { Ok(text.into()) }
    }

    fn user_property(&mut self) -> Result<(ByteString, ByteString)> {
        Ok((self.string()?, self.string()?))
    }

    fn filter(&mut self) -> Result<ByteString> {
        let filter = self.string()?;
        topic::check_filter(&filter).map_err(|_| Violation {
            reason: ReasonCode::TopicFilterInvalid,
            rule: "a topic filter is not valid",
        })?;
        Ok(filter)
    }

    fn reason(&mut self, packet: PacketType) -> Result<ReasonCode> {
        let number = self.u8()?;
        ReasonCode::from_number(number)
            .filter(|r| r.is_valid_in(packet))
            .ok_or(protocol("the reason code is not one of the packet's"))
    }

    /// The reason codes that a packet ends with.
    fn reasons(&mut self, packet: PacketType) -> Result<Vec<ReasonCode>> {
        let mut reasons = Vec::with_capacity(self.0.len());
        while !self.0.is_empty() {
            reasons.push(self.reason(packet)?);
        }
        if reasons.is_empty() { Err(protocol("an acknowledgement of nothing")) } else { Ok(reasons) }
    }

    /// The property list that starts here.
    fn properties(&mut self) -> Result<PropertyList<'a>> {
        let length = self.varint()?;
        let (list, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(PropertyList { reader: Reader(list), seen: 0 })
    }
}

/// A property list whose properties are read one at a time: `next` gives the identifier, the caller reads the value.
struct PropertyList<'a> {
    reader: Reader<'a>,
    seen: u64,
}

impl PropertyList<'_> {
    fn next(&mut self) -> Result<Option<u8>> {
        if self.reader.0.is_empty() {
            return Ok(None);
        }
        let id = self.reader.u8()?;
        if id > SHARED_SUBSCRIPTION_AVAILABLE {
            return Err(NOT_ALLOWED);
        }
        let bit = 1 << id;
        if self.seen & bit != 0 && id != USER_PROPERTY {
            return Err(TWICE);
        }
        self.seen |= bit;
        Ok(Some(id))
    }
}
