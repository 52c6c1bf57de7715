//! What is left of a packet's body, and the values to take off it.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tidegate_core::{Properties, PropertiesError, Secret};

use crate::packet::*;
use crate::violation::{Violation, malformed, protocol};
use crate::wire::*;
use crate::{ReasonCode, topic};

pub(super) type Result<T, E = Violation> = std::result::Result<T, E>;

pub(super) const TOO_MANY_BYTES: Violation =
    malformed("a Variable Byte Integer takes more bytes than it needs");
pub(super) const NOT_ALLOWED: Violation = malformed("the property is not allowed in this packet");
const TWICE: Violation = protocol("a property is repeated or out of range");
pub(super) const NOT_UTF8: Violation = malformed("a string is not UTF-8 or holds U+0000");
const SHORT: Violation = malformed("the packet ends too early");

/// What is left of a packet's body.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("the packet is longer than what it says")) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(protocol("a property that is 0 or 1 is neither")),
        }
    }

    pub(super) fn non_zero_u16(&mut self, rule: &'static str) -> Result<NonZeroU16> {
        NonZeroU16::new(self.u16()?).ok_or(protocol(rule))
    }

    pub(super) fn non_zero_u32(&mut self, rule: &'static str) -> Result<NonZeroU32> {
        NonZeroU32::new(self.u32()?).ok_or(protocol(rule))
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId> {
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

    pub(super) fn subscription_id(&mut self) -> Result<NonZeroU32> {
        let id = u32::try_from(self.varint()?).expect("a Variable Byte Integer has 28 bits");
        NonZeroU32::new(id).ok_or(protocol("a Subscription Identifier of 0"))
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.u16()?;
        let (bytes, rest) = self.0.split_at_checked(length.into()).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        self.binary().map(Bytes::copy_from_slice)
    }

    /// A UTF-8 Encoded String, which must not hold U+0000 (MQTT v5 section 1.5.4).
    pub(super) fn string(&mut self) -> Result<ByteString> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| NOT_UTF8)?;
        if text.contains('\0') { Err(NOT_UTF8) } else { Ok(text.into()) }
    }

    pub(super) fn user_property(&mut self) -> Result<(ByteString, ByteString)> {
        Ok((self.string()?, self.string()?))
    }

    pub(super) fn filter(&mut self) -> Result<ByteString> {
        let filter = self.string()?;
        topic::check_filter(&filter).map_err(|_| Violation {
            reason: ReasonCode::TopicFilterInvalid,
            rule: "a topic filter is not valid",
        })?;
        Ok(filter)
    }

    pub(super) fn reason(&mut self, packet: PacketType) -> Result<ReasonCode> {
        let number = self.u8()?;
        ReasonCode::from_number(number)
            .filter(|r| r.is_valid_in(packet))
            .ok_or(protocol("the reason code is not one of the packet's"))
    }

    /// The reason codes that a packet ends with.
    pub(super) fn reasons(&mut self, packet: PacketType) -> Result<Vec<ReasonCode>> {
        let mut reasons = Vec::with_capacity(self.0.len());
        while !self.0.is_empty() {
            reasons.push(self.reason(packet)?);
        }
        if reasons.is_empty() { Err(protocol("an acknowledgement of nothing")) } else { Ok(reasons) }
    }

    /// The property list that starts here.
    pub(super) fn properties(&mut self) -> Result<PropertyList<'a>> {
        let length = self.varint()?;
        let (list, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(PropertyList { reader: Reader(list), seen: 0 })
    }
}

/// A property list whose properties are read one at a time: `next` gives the identifier, the caller reads the value.
pub(super) struct PropertyList<'a> {
    pub(super) reader: Reader<'a>,
    seen: u64,
}

impl PropertyList<'_> {
    pub(super) fn next(&mut self) -> Result<Option<u8>> {
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

pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(TWICE),
    }
}

/// The part of a property list that travels with the message: what is left when `take` has taken what belongs to one
/// hop. Nearly always that is one piece, which `share` takes out without a copy.
pub(super) fn end_to_end<'a>(
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

/// Method and data while the list they stand in is read.
#[derive(Default)]
pub(super) struct AuthenticationParts {
    pub(super) method: Option<ByteString>,
    pub(super) data: Option<Bytes>,
}

impl AuthenticationParts {
    pub(super) fn build(self) -> Result<Option<Authentication>> {
        match (self.method, self.data) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(protocol("authentication data without a method")),
            (Some(method), data) => {
                Ok(Some(Authentication { method, data: Secret::new(data.unwrap_or_default()) }))
            }
        }
    }
}
