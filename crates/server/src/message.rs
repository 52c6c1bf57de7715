//! A message in the form people read and write it: one JSON object on one line, as `tap`, `transform` and the API have
//! it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_core::{Property, Record};

/// The record as outsiders see it: topic, payload (`payloadBase64` where it is no JSON), and the properties it has.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<&'static str>,
    pub(crate) topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_base64: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) user_properties: Vec<(&'a str, &'a str)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) correlation_data_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_format_indicator: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<String>,
}

impl<'a> Message<'a> {
    pub(crate) fn of(record: &'a Record) -> Self {
        let payload = one_line(&record.payload);
        let mut message = Self {
            topic: &record.topic,
            payload_base64: payload.is_none().then(|| STANDARD.encode(&record.payload)),
            payload,
            user_properties: record.properties.user_properties().collect(),
            message_expiry_interval: record.expiry_interval,
            retain: record.retain,
            key_base64: record.key.as_ref().map(|key| STANDARD.encode(key)),
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
    use std::time::Instant;

    use tidegate_core::PropertiesBuilder;

    use super::*;

    fn line(record: &Record) -> String {
        serde_json::to_string(&Message::of(record)).unwrap()
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
        let expected = concat!(
            r#"{"topic":"a/b","payloadBase64":"/w==","userProperties":[["k","v"],["k","w"]],"#,
            r#""contentType":"text/plain","messageExpiryInterval":5}"#
        );
        assert_eq!(line(&record), expected);
    }
}
