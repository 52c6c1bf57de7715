//! Request and response over MQTT v5, as AIO's SDKs do it (reference: RPC protocol; message metadata): what both
//! services have in common.

use bytes::Bytes;
use bytestring::ByteString;
use tidegate_broker::{Delivery, Message, QoS};
use tidegate_core::{PropertiesBuilder, Property};
use tidegate_mqtt::topic;

/// The version of the protocol.
const PROTOCOL_VERSION: &str = "1.0";

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    topic: ByteString,
    correlation_data: Bytes,
    /// Nobody waits for longer than the request would have lasted.
    expiry_interval: Option<u32>,
}

/// Why a request can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswerable {
    #[error("it was not sent with QoS 1")]
    QoS,
    #[error("it has no response topic that can be published to")]
    ResponseTopic,
    #[error("it has no correlation data")]
    CorrelationData,
}

impl ReplyTo {
    /// Where the answer to a request goes.
    pub(crate) fn of(request: &Delivery) -> Result<Self, Unanswerable> {
        if request.qos == QoS::AtMostOnce {
            return Err(Unanswerable::QoS);
        }
        let (mut response_topic, mut correlation_data) = (None, None);
        for property in request.properties.iter() {
            match property {
                Property::ResponseTopic(topic) => response_topic = Some(topic),
                Property::CorrelationData(data) => correlation_data = Some(data),
                _ => {}
            }
        }
        let response_topic = response_topic.filter(|name| topic::check_name(name).is_ok());
        Ok(Self {
            topic: response_topic.ok_or(Unanswerable::ResponseTopic)?.into(),
            correlation_data: Bytes::copy_from_slice(correlation_data.ok_or(Unanswerable::CorrelationData)?),
            expiry_interval: request.expiry_interval,
        })
    }

    /// The topic.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// An answer: `__stat` and the payload, and more user properties.
    pub(crate) fn answer(
        &self,
        status: u16,
        content_type: &str,
        payload: Bytes,
        more: &[(&str, &str)],
    ) -> Message {
        let status = status.to_string();
        let mut properties = PropertiesBuilder::default();
        properties.push(Property::ContentType(content_type));
        properties.push(Property::CorrelationData(&self.correlation_data));
        let common = [("__stat", status.as_str()), ("__protVer", PROTOCOL_VERSION)];
        for (name, value) in common.iter().chain(more) {
            properties.push(Property::UserProperty(name, value));
        }
        Message {
            properties: properties.build().expect("each was pushed once"),
            expiry_interval: self.expiry_interval,
            ..Message::new(self.topic.clone(), payload)
        }
    }
}
