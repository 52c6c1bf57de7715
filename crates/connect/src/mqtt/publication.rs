//! A record as it leaves for an MQTT topic.

use std::time::Instant;

use bytestring::ByteString;
use tidegate_core::{Record, Rejected};
use tidegate_model::endpoint::{Endpoint, Mqtt};
use tidegate_model::plan::HeaderAction;
use tidegate_model::topic::TopicTemplate;
use tidegate_mqtt::QoS;

use super::mqtt_qos;
use crate::properties::PropertyRules;

/// How an endpoint and a data flow want records to leave.
pub(super) struct PublicationRules {
    topic: TopicTemplate,
    /// The topic, if it is the same for all.
    static_topic: Option<ByteString>,
    keep_retain: bool,
    properties: PropertyRules,
    pub(super) qos: QoS,
}

impl PublicationRules {
    pub(super) fn new(
        endpoint: &Endpoint,
        mqtt: &Mqtt,
        topic: &TopicTemplate,
        headers: &[HeaderAction],
    ) -> Self {
        Self {
            topic: topic.clone(),
            static_topic: topic.as_static().map(ByteString::from),
            keep_retain: mqtt.keep_retain,
            properties: PropertyRules {
                headers: headers.to_vec(),
                cloud_events: mqtt.cloud_event_attributes,
                event_source: format!("aio://{}", endpoint.name),
            },
            qos: mqtt_qos(mqtt.qos),
        }
    }

    /// The record with the topic, properties and retain flag it leaves with.
    ///
    /// # Errors
    /// A sentence that says why it can't be sent.
    pub(super) fn apply(&self, record: &Record) -> Result<Record, String> {
        let topic = match &self.static_topic {
            Some(topic) => topic.clone(),
            None => self
                .topic
                .resolve(&record.topic)
                .ok_or_else(|| {
                    format!(
                        "the topic `{}` can't be resolved for a message on `{}`",
                        self.topic, record.topic
                    )
                })?
                .into(),
        };
        let properties = self.properties.apply(record, &topic)?;
        Ok(Record { topic, properties, retain: self.keep_retain && record.retain, ..record.clone() })
    }

    /// As [`PublicationRules::apply`] for the record at `index` of a write, provided that it has not expired.
    pub(super) fn prepare(&self, index: usize, record: &Record, now: Instant) -> Result<Record, Rejected> {
        if record.remaining_expiry(now).is_err() {
            return Err(expired(index));
        }
        self.apply(record).map_err(|reason| Rejected { index, reason, expired: false })
    }
}

/// What becomes of a record whose life has ended on the way.
pub(super) fn expired(index: usize) -> Rejected {
    Rejected { index, reason: "its Message Expiry Interval has passed".into(), expired: true }
}
