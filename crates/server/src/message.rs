//! A message in the form people read and write it: one JSON object on one line, as `tap`, `transform`, `test` and the
//! API have it.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_core::{PropertiesBuilder, Property, Record};
use utoipa::ToSchema;

use crate::api::rfc3339;

/// The last millisecond that RFC 3339 can write: the end of the year 9999, since the Unix epoch.
const TIMESTAMP_MAX: i64 = 253_402_300_799_999;

/// The record as outsiders see it: topic, payload (`payloadBase64` where it is no JSON), and the properties it has.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message<'a> {
    /// Where in a data flow it was seen: `source`, `transformed` or `destination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// MQTT or Kafka topic.
    pub topic: &'a str,
    /// The payload, if it is JSON; otherwise it is in `payload_base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub payload: Option<Box<RawValue>>,
    /// The payload, if it is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// MQTT user properties or Kafka headers; names may repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<String>>)]
    pub user_properties: Vec<(&'a str, &'a str)>,
    /// MQTT Content Type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<&'a str>,
    /// MQTT Response Topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<&'a str>,
    /// MQTT Correlation Data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data_base64: Option<String>,
    /// MQTT Payload Format Indicator: 1 for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_format_indicator: Option<u8>,
    /// MQTT Message Expiry Interval, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry_interval: Option<u32>,
    /// The MQTT retain flag.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retain: bool,
    /// The Kafka record key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// RFC 3339: when the message was seen, else the time in the Kafka record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

impl<'a> Message<'a> {
    /// The message a record is.
    pub fn of(record: &'a Record) -> Self {
        let payload = one_line(&record.payload);
        let mut message = Self {
            topic: &record.topic,
            payload_base64: payload.is_none().then(|| STANDARD.encode(&record.payload)),
            payload,
            user_properties: record.properties.user_properties().collect(),
            message_expiry_interval: record.expiry_interval,
            retain: record.retain,
            key_base64: record.key.as_ref().map(|key| STANDARD.encode(key)),
            timestamp: record
                .timestamp
                .filter(|t| (0..=TIMESTAMP_MAX).contains(t))
                .map(|millis| rfc3339(UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs()))),
            ..Self::default()
        };
        for property in record.properties.iter() {
            match property {
                Property::ContentType(v) => message.content_type = Some(v),
                Property::ResponseTopic(v) => message.response_topic = Some(v),
                Property::CorrelationData(v) => message.correlation_data_base64 = Some(STANDARD.encode(v)),
                Property::PayloadFormatIndicator(v) => message.payload_format_indicator = Some(v.into()),
                Property::UserProperty(..) => {}
            }
        }
        message
    }
}

/// A message as it is written: what [`Message`] writes, and what comes easier to people.
#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an object such as {\"topic\":\"a/b\",\"payload\":1}"
)]
struct Written {
    #[serde(default)]
    topic: String,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Box<RawValue>>,
    payload_base64: Option<String>,
    #[serde(default)]
    user_properties: Texts,
    #[serde(default)]
    headers: Texts,
    content_type: Option<String>,
    response_topic: Option<String>,
    correlation_data_base64: Option<String>,
    payload_format_indicator: Option<u8>,
    message_expiry_interval: Option<u32>,
    #[serde(default)]
    retain: bool,
    key_base64: Option<String>,
    timestamp: Option<String>,
    #[serde(default, rename = "stage")]
    _stage: serde::de::IgnoredAny,
}

/// `null` is a payload too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Names and values: pairs, `[["name","value"]]`, or an object, `{"name":"value"}`.
#[derive(Default)]
struct Texts(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"pairs of texts, [["name","value"]], or an object of texts"#)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(pair) = pairs.next_element()? {
                    texts.push(pair);
                }
                Ok(Texts(texts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(member) = members.next_entry()? {
                    texts.push(member);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Reads a message, received at `received_at`. One without `topic` has an empty one; the headers of a Kafka message are
/// its user properties; `stage`, as `tap` shows it, says nothing about the message.
///
/// # Errors
/// A sentence: what it would have to be, or what MQTT can't carry.
pub fn parse(json: &str, received_at: Instant) -> Result<Record, String> {
    let written: Written = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let decode = |field, text: &str| STANDARD.decode(text).map_err(|e| format!("`{field}`: {e}"));
    let payload = match (written.payload, written.payload_base64) {
        (Some(json), None) => json.get().to_owned().into_bytes(),
        (None, Some(base64)) => decode("payloadBase64", &base64)?,
        (None, None) => return Err("it has neither `payload` nor `payloadBase64`".into()),
        (Some(_), Some(_)) => return Err("it has both `payload` and `payloadBase64`".into()),
    };
    let correlation_data =
        written.correlation_data_base64.map(|text| decode("correlationDataBase64", &text)).transpose()?;
    let mut properties = PropertiesBuilder::default();
    let mut push = |field, property| {
        let why = || format!("`{field}` does not fit MQTT: it is longer than 65535 bytes or holds U+0000");
        properties.push(property).then_some(()).ok_or_else(why)
    };
    if let Some(indicator) = written.payload_format_indicator {
        if indicator > 1 {
            return Err("`payloadFormatIndicator` is 0 or 1".into());
        }
        push("payloadFormatIndicator", Property::PayloadFormatIndicator(indicator == 1))?;
    }
    if let Some(text) = &written.content_type {
        push("contentType", Property::ContentType(text))?;
    }
    if let Some(text) = &written.response_topic {
        push("responseTopic", Property::ResponseTopic(text))?;
    }
    if let Some(data) = &correlation_data {
        push("correlationDataBase64", Property::CorrelationData(data))?;
    }
    for (name, value) in written.user_properties.0.iter().chain(&written.headers.0) {
        push("userProperties", Property::UserProperty(name, value))?;
    }
    Ok(Record {
        key: written.key_base64.map(|text| decode("keyBase64", &text)).transpose()?.map(Into::into),
        properties: properties.build().expect("what may stand once was pushed once"),
        retain: written.retain,
        expiry_interval: written.message_expiry_interval,
        timestamp: written.timestamp.as_deref().map(milliseconds).transpose()?,
        ..Record::new(written.topic, payload, received_at)
    })
}

/// A time since the Unix epoch.
fn milliseconds(text: &str) -> Result<i64, String> {
    let time: SystemTime = humantime::parse_rfc3339(text)
        .map_err(|_| "`timestamp` is a time such as 2026-01-31T12:00:00Z".to_owned())?;
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since_epoch.as_millis()).expect("RFC 3339 ends with the year 9999"))
}

/// JSON without the white space between its tokens. Order and numbers stay as the publisher wrote them, which a tree of
/// values would not keep. `None` if it is no JSON.
fn one_line(payload: &[u8]) -> Option<Box<RawValue>> {
    let json: &RawValue = serde_json::from_slice(payload).ok()?;
    let mut text = String::with_capacity(json.get().len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.get().chars() {
        if in_string || !c.is_ascii_whitespace() {
            text.push(c);
        }
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
    }
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_core::Properties;

    use super::*;

    fn line(record: &Record) -> String {
        serde_json::to_string(&Message::of(record)).unwrap()
    }

    fn parsed(json: &str) -> Result<Record, String> {
        parse(json, Instant::now())
    }

    #[test]
    fn shows_what_is_there_and_nothing_else() {
        let mut record = Record::new("a/b", "{\"z\": 1.50,\r\n \"a\" : \"\\\\\\\" x\" }", Instant::now());
        assert_eq!(line(&record), r#"{"topic":"a/b","payload":{"z":1.50,"a":"\\\" x"}}"#);
        let mut properties = PropertiesBuilder::default();
        properties.push(Property::UserProperty("k", "v"));
        properties.push(Property::ContentType("text/plain"));
        properties.push(Property::UserProperty("k", "w"));
        record.properties = properties.build().unwrap();
        record.payload = vec![0xff].into();
        record.expiry_interval = Some(5);
        record.timestamp = Some(1_007);
        let expected = concat!(
            r#"{"topic":"a/b","payloadBase64":"/w==","userProperties":[["k","v"],["k","w"]],"#,
            r#""contentType":"text/plain","messageExpiryInterval":5,"timestamp":"1970-01-01T00:00:01.007Z"}"#
        );
        assert_eq!(line(&record), expected);
    }

    #[test]
    fn times_that_can_not_be_written_are_left_out() {
        for millis in [i64::MIN, -1, TIMESTAMP_MAX + 1, i64::MAX] {
            let record = Record { timestamp: Some(millis), ..Record::new("a", "1", Instant::now()) };
            assert_eq!(line(&record), r#"{"topic":"a","payload":1}"#);
        }
        let record = Record { timestamp: Some(TIMESTAMP_MAX), ..Record::new("a", "1", Instant::now()) };
        assert!(line(&record).ends_with(r#""timestamp":"9999-12-31T23:59:59.999Z"}"#));
    }

    #[test]
    fn reads_what_people_write() {
        let record =
            parsed(r#"{"payload": {"t": 1.50},  "userProperties": {"site": "7", "line": "a"}}"#).unwrap();
        assert_eq!((&*record.topic, &*record.payload), ("", &br#"{"t": 1.50}"#[..]));
        let user_properties = |record: &Record| {
            let all = record.properties.user_properties();
            all.map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>()
        };
        assert_eq!(user_properties(&record), ["site=7", "line=a"]);
        let record = parsed(
            r#"{"stage":"source","topic":"a\/b","payload":null,"userProperties":[["k","1"]],"headers":[["k","2"]]}"#,
        )
        .unwrap();
        assert_eq!((&*record.topic, &*record.payload), ("a/b", &b"null"[..]));
        assert_eq!(user_properties(&record), ["k=1", "k=2"]);
        let record =
            parsed(r#"{"payloadBase64":"","timestamp":"1970-01-01T00:00:01.007Z","retain":true}"#).unwrap();
        assert_eq!((&*record.payload, record.timestamp, record.retain), (&b""[..], Some(1_007), true));
    }

    #[test]
    fn says_why_something_is_no_message() {
        let long = "x".repeat(65_536);
        for (json, expected) in [
            ("21.5", "invalid type: floating point `21.5`, expected an object such as"),
            (r#"{"topic":"a"}"#, "it has neither `payload` nor `payloadBase64`"),
            (r#"{"payload":1,"payloadBase64":"MQ=="}"#, "it has both `payload` and `payloadBase64`"),
            (r#"{"payloadBase64":"MQ"}"#, "`payloadBase64`: Invalid padding"),
            (r#"{"paylod":1}"#, "unknown field `paylod`, expected one of `topic`, `payload`"),
            (r#"{"payload":1,"payloadFormatIndicator":2}"#, "`payloadFormatIndicator` is 0 or 1"),
            (r#"{"payload":1,"timestamp":"yesterday"}"#, "`timestamp` is a time such as"),
            (r#"{"payload":1,"userProperties":[["k"]]}"#, "invalid length 1, expected a tuple of size 2"),
            (r#"{"payload":1,"userProperties":{"k":1}}"#, "invalid type: integer `1`, expected a string"),
            (r#"{"payload":1,"userProperties":"k"}"#, "expected pairs of texts"),
            (&format!(r#"{{"payload":1,"contentType":"{long}"}}"#), "`contentType` does not fit MQTT"),
        ] {
            let said = parsed(json).unwrap_err();
            assert!(said.contains(expected), "{json}: {said}");
        }
    }

    fn properties() -> impl Strategy<Value = Properties> {
        let once = (
            any::<Option<bool>>(),
            any::<Option<String>>(),
            any::<Option<String>>(),
            any::<Option<Vec<u8>>>(),
            prop::collection::vec(any::<(String, String)>(), 0..3),
        );
        once.prop_map(|(indicator, content_type, response_topic, correlation_data, users)| {
            let mut builder = PropertiesBuilder::default();
            let users = users.iter().map(|(k, v)| Property::UserProperty(k, v));
            let all = indicator.map(Property::PayloadFormatIndicator).into_iter();
            let all = all.chain(content_type.as_deref().map(Property::ContentType));
            let all = all.chain(response_topic.as_deref().map(Property::ResponseTopic));
            let all = all.chain(correlation_data.as_deref().map(Property::CorrelationData));
            for property in all.chain(users) {
                // what does not fit is left out
                builder.push(property);
            }
            builder.build().unwrap()
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            topic in ".*",
            payload in prop_oneof!["[{}\\[\\]\":, 0-9a-c\\\\]{0,12}".prop_map(String::into_bytes), any::<Vec<u8>>()],
            key in any::<Option<Vec<u8>>>(),
            properties in properties(),
            retain: bool,
            expiry_interval: Option<u32>,
            timestamp in prop::option::of(0..=TIMESTAMP_MAX),
        ) {
            let record = Record {
                key: key.map(Into::into),
                properties,
                retain,
                expiry_interval,
                timestamp,
                ..Record::new(topic, payload, Instant::now())
            };
            let text = line(&record);
            let read = parsed(&text).map_err(TestCaseError::fail)?;
            let shown = |r: &Record| format!("{:?}", Record { payload: Default::default(), ..r.clone() });
            prop_assert_eq!(shown(&read), shown(&Record { received_at: read.received_at, ..record.clone() }));
            // white space between tokens is not kept
            let expected = one_line(&record.payload).map_or(record.payload.to_vec(), |json| json.get().into());
            prop_assert_eq!(&*read.payload, &*expected);
            prop_assert_eq!(line(&read), text);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[{}\\[\\]\":,a-z0-9 ]{0,40}") {
            let _ = parsed(&text);
        }
    }
}
