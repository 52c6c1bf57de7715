use bytes::{BufMut, Bytes, BytesMut};

const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const USER_PROPERTY: u8 = 0x26;

/// The properties that travel with a message from end to end, as one compact buffer: the MQTT v5 encoding
/// (section 2.2.2.2) of Payload Format Indicator, Content Type, Response Topic, Correlation Data and User Properties,
/// in the order they came. What belongs to one hop (Topic Alias, Subscription Identifier) or changes with time
/// (Message Expiry Interval) is not in here.
///
/// A message that only passes through is never taken apart: the buffer goes from packet to packet as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    raw: Bytes,
}

/// One property of a [`Properties`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// `true`: the payload is UTF-8 text.
    PayloadFormatIndicator(bool),
    /// A MIME type, or whatever the publisher called it.
    ContentType(&'a str),
    /// Where an answer is wanted.
    ResponseTopic(&'a str),
    /// What the answer must carry.
    CorrelationData(&'a [u8]),
    /// A name and a value; names may repeat.
    UserProperty(&'a str, &'a str),
}

/// What is wrong with an encoded property list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// It ends in the middle of a property, a string is not MQTT UTF-8, or a property is not one of those that travel.
    #[error("malformed properties")]
    Malformed,
    /// A property that may stand once stands twice, or a Payload Format Indicator is neither 0 nor 1.
    #[error("a property is repeated or out of range")]
    Protocol,
}

impl Properties {
    /// Takes an encoded list, without its length, after a full check.
    ///
    /// # Errors
    /// [`PropertiesError`] says which of MQTT's two kinds of error it is.
    pub fn parse(raw: Bytes) -> Result<Self, PropertiesError> {
        let mut seen = 0u16;
        let mut rest: &[u8] = &raw;
        while !rest.is_empty() {
            let id = rest[0];
            let after = check(rest)?;
            if id != USER_PROPERTY {
                let bit = 1 << id;
                if seen & bit != 0 {
                    return Err(PropertiesError::Protocol);
                }
                seen |= bit;
            }
            rest = after;
        }
        Ok(Self { raw })
    }

    /// The encoded list, without its length.
    pub fn as_bytes(&self) -> &Bytes {
        &self.raw
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'_>> {
        let mut rest: &[u8] = &self.raw;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (property, after) = Property::decode(rest).expect("the buffer was checked when it was made");
            rest = after;
            Some(property)
        })
    }

    /// The MQTT Content Type.
    pub fn content_type(&self) -> Option<&str> {
        self.iter().find_map(|p| if let Property::ContentType(v) = p { Some(v) } else { None })
    }

    /// The user properties in their order, repeated names included.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|p| if let Property::UserProperty(k, v) = p { Some((k, v)) } else { None })
    }

    /// The first value of a user property.
    pub fn user_property(&self, name: &str) -> Option<&str> {
        self.user_properties().find(|(k, _)| *k == name).map(|(_, v)| v)
    }
}

impl<'a> Property<'a> {
    /// Takes the first property off an encoded list.
    ///
    /// # Errors
    /// As [`Properties::parse`].
    pub fn decode(raw: &'a [u8]) -> Result<(Self, &'a [u8]), PropertiesError> {
        let (id, rest) = raw.split_first().ok_or(PropertiesError::Malformed)?;
        match *id {
            PAYLOAD_FORMAT_INDICATOR => match rest.split_first() {
                Some((0, rest)) => Ok((Property::PayloadFormatIndicator(false), rest)),
                Some((1, rest)) => Ok((Property::PayloadFormatIndicator(true), rest)),
                Some(_) => Err(PropertiesError::Protocol),
                None => Err(PropertiesError::Malformed),
            },
            CONTENT_TYPE => string(rest).map(|(v, rest)| (Property::ContentType(v), rest)),
            RESPONSE_TOPIC => string(rest).map(|(v, rest)| (Property::ResponseTopic(v), rest)),
            CORRELATION_DATA => binary(rest).map(|(v, rest)| (Property::CorrelationData(v), rest)),
            USER_PROPERTY => {
                let (k, rest) = string(rest)?;
                let (v, rest) = string(rest)?;
                Ok((Property::UserProperty(k, v), rest))
            }
            _ => Err(PropertiesError::Malformed),
        }
    }
}

/// Steps over the first property of an encoded list, as [`Property::decode`] would. This is on the path of every
/// message, and most text is ASCII: it is told in one go, without looking for characters.
fn check(raw: &[u8]) -> Result<&[u8], PropertiesError> {
    let text = |raw| {
        let (bytes, rest) = binary(raw)?;
        // The high bit is set in a byte that is not ASCII, and in one less than zero.
        let plain = bytes.iter().fold(0, |bits, b| bits | b | b.wrapping_sub(1)) < 0x80;
        if plain { Ok(rest) } else { string(raw).map(|(_, rest)| rest) }
    };
    match raw {
        [CONTENT_TYPE | RESPONSE_TOPIC, rest @ ..] => text(rest),
        [USER_PROPERTY, rest @ ..] => text(text(rest)?),
        _ => Property::decode(raw).map(|(_, rest)| rest),
    }
}

fn binary(raw: &[u8]) -> Result<(&[u8], &[u8]), PropertiesError> {
    let (len, rest) = raw.split_first_chunk::<2>().ok_or(PropertiesError::Malformed)?;
    rest.split_at_checked(u16::from_be_bytes(*len).into()).ok_or(PropertiesError::Malformed)
}

/// A UTF-8 Encoded String, which must not hold U+0000 (MQTT v5 section 1.5.4).
fn string(raw: &[u8]) -> Result<(&str, &[u8]), PropertiesError> {
    let (bytes, rest) = binary(raw)?;
    let text = std::str::from_utf8(bytes).map_err(|_| PropertiesError::Malformed)?;
    if text.as_bytes().contains(&0) { Err(PropertiesError::Malformed) } else { Ok((text, rest)) }
}

/// Builds a [`Properties`] one property at a time.
#[derive(Debug, Default)]
pub struct PropertiesBuilder {
    raw: BytesMut,
}

impl PropertiesBuilder {
    /// Adds a property at the end. `false`, and nothing added, if a string or binary value does not fit MQTT: longer
    /// than 65535 bytes, or text with U+0000. The caller sees to it that what may stand once is added once.
    pub fn push(&mut self, property: Property<'_>) -> bool {
        let fits = |s: &str| s.len() <= u16::MAX.into() && !s.as_bytes().contains(&0);
        match property {
            Property::PayloadFormatIndicator(text) => {
                self.raw.put_slice(&[PAYLOAD_FORMAT_INDICATOR, text.into()]);
            }
            Property::ContentType(v) if fits(v) => self.put(CONTENT_TYPE, v.as_bytes()),
            Property::ResponseTopic(v) if fits(v) => self.put(RESPONSE_TOPIC, v.as_bytes()),
            Property::CorrelationData(v) if v.len() <= u16::MAX.into() => self.put(CORRELATION_DATA, v),
            Property::UserProperty(k, v) if fits(k) && fits(v) => {
                self.put(USER_PROPERTY, k.as_bytes());
                self.put_value(v.as_bytes());
            }
            _ => return false,
        }
        true
    }

    /// What was built.
    ///
    /// # Errors
    /// [`PropertiesError::Protocol`] when something that may stand once was pushed twice.
    pub fn build(self) -> Result<Properties, PropertiesError> {
        Properties::parse(self.raw.freeze())
    }

    fn put(&mut self, id: u8, value: &[u8]) {
        self.raw.put_u8(id);
        self.put_value(value);
    }

    fn put_value(&mut self, value: &[u8]) {
        self.raw.put_u16(u16::try_from(value.len()).expect("checked by push"));
        self.raw.put_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Property<'_>; 6] = [
        Property::UserProperty("a", "1"),
        Property::PayloadFormatIndicator(true),
        Property::ContentType("application/json"),
        Property::ResponseTopic("x/y"),
        Property::CorrelationData(&[0, 255]),
        Property::UserProperty("a", "2"),
    ];

    fn build(all: &[Property<'_>]) -> Result<Properties, PropertiesError> {
        let mut b = PropertiesBuilder::default();
        assert!(all.iter().all(|p| b.push(*p)));
        b.build()
    }

    #[test]
    fn keeps_order_and_repeated_user_properties() {
        let p = build(&ALL).unwrap();
        assert_eq!(p.iter().collect::<Vec<_>>(), ALL);
        assert_eq!(p.user_property("a"), Some("1"));
        assert_eq!(p.content_type(), Some("application/json"));
        assert_eq!(Properties::parse(p.as_bytes().clone()).unwrap(), p);
    }

    #[test]
    fn refuses_what_mqtt_refuses() {
        let raw = build(&ALL).unwrap().as_bytes().clone();
        for cut in 1..raw.len() {
            let boundary = build(&ALL)
                .unwrap()
                .iter()
                .scan(0, |at, p| {
                    *at += build(&[p]).unwrap().as_bytes().len();
                    Some(*at)
                })
                .any(|b| b == cut);
            assert_eq!(Properties::parse(raw.slice(..cut)).is_ok(), boundary, "cut at {cut}");
        }
        let once = build(&[Property::ContentType("a")]).unwrap().as_bytes().to_vec();
        assert_eq!(Properties::parse([once.clone(), once].concat().into()), Err(PropertiesError::Protocol));
        assert_eq!(Properties::parse(vec![1, 2].into()), Err(PropertiesError::Protocol));
        assert_eq!(Properties::parse(vec![0x23, 0, 1].into()), Err(PropertiesError::Malformed));
        assert_eq!(Properties::parse(vec![3, 0, 1, 0].into()), Err(PropertiesError::Malformed));
        assert_eq!(Properties::parse(vec![3, 0, 1, 0xff].into()), Err(PropertiesError::Malformed));
    }

    #[test]
    fn refuses_strings_mqtt_cannot_carry() {
        let mut b = PropertiesBuilder::default();
        assert!(!b.push(Property::UserProperty("a", "\0")));
        assert!(!b.push(Property::ContentType(&"x".repeat(65536))));
        assert!(b.build().unwrap().is_empty());
    }
}
