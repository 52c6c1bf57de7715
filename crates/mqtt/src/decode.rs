//! Bytes to packets, with every check that needs no memory of earlier packets.
//!
//! What a packet may say in the present state of its connection is the machines' to judge.

mod packets;
mod reader;

use bytes::{Buf, Bytes, BytesMut};

use self::packets::*;
use self::reader::{Reader, Result, TOO_MANY_BYTES};
use crate::ReasonCode;
use crate::packet::*;
use crate::violation::{Violation, malformed, protocol};
use crate::wire::*;

/// A PUBLISH up to this size, in bytes, is copied out of the read buffer, so that a message that waits in a queue does
/// not keep a whole read buffer alive. A larger one is a slice of it.
const COPIED_BYTES_MAX: usize = 4096;

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
        connect(version, r)
    }
}
