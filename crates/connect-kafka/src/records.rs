//! A record on its way to Kafka, and a Kafka message on its way in: which MQTT property is which header (AIO,
//! "Configure Azure Event Hubs and Kafka data flow endpoints", "Copy MQTT properties").

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use tidegate_connect::properties::{PropertyRules, REQUIRED};
use tidegate_core::{ByteString, Properties, PropertiesBuilder, Property, Record};
use tidegate_model::endpoint::{Kafka, PartitionStrategy};
use tidegate_model::plan::HeaderAction;

/// The attributes of a CloudEvent (CloudEvents 1.0) that AIO carries over.
const EVENT_ATTRIBUTES: [&str; 8] =
    ["specversion", "type", "source", "id", "subject", "time", "datacontenttype", "dataschema"];

/// The user property, and where it came from, of a record's key.
const KEY: &str = "Key";
const TIMESTAMP: &str = "Timestamp";

/// How an endpoint and a data flow want records to leave.
pub(crate) struct RecordRules {
    topic: String,
    strategy: PartitionStrategy,
    copy_mqtt_properties: bool,
    properties: PropertyRules,
}

/// A record as Kafka takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) key: Option<Bytes>,
    /// In order; names may repeat.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl RecordRules {
    pub(crate) fn new(endpoint: &str, kafka: &Kafka, topic: &str, headers: &[HeaderAction]) -> Self {
        Self {
            topic: topic.to_owned(),
            strategy: kafka.partition_strategy.clone(),
            copy_mqtt_properties: kafka.copy_mqtt_properties,
            properties: PropertyRules {
                headers: headers.to_vec(),
                cloud_events: kafka.cloud_event_attributes,
                event_source: format!("aio://{endpoint}"),
            },
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The record as the destination will see it, as far as a [`Record`] can say it.
    ///
    /// # Errors
    /// As [`RecordRules::apply`].
    pub(crate) fn preview(&self, record: &Record) -> Result<Record, String> {
        let out = self.apply(record, None)?;
        let mut properties = PropertiesBuilder::default();
        for (name, value) in &out.headers {
            properties.push(Property::UserProperty(name, &String::from_utf8_lossy(value)));
        }
        let properties = properties.build().expect("user properties may repeat");
        Ok(Record { topic: self.topic.as_str().into(), key: out.key, properties, ..record.clone() })
    }

    /// The key and the headers of `record`, of whose life `remaining_expiry` seconds are left.
    ///
    /// # Errors
    /// A sentence that says why it can't be sent.
    pub(crate) fn apply(&self, record: &Record, remaining_expiry: Option<u32>) -> Result<Outgoing, String> {
        let key = match &self.strategy {
            PartitionStrategy::Default | PartitionStrategy::Static => None,
            PartitionStrategy::Topic => Some(record.topic.as_bytes().clone()),
            PartitionStrategy::Property(name) => {
                record.properties.user_property(name).map(|v| Bytes::copy_from_slice(v.as_bytes()))
            }
        };
        let properties = if self.copy_mqtt_properties {
            self.properties.apply(record, &self.topic)?
        } else {
            self.properties.apply(&event_alone(record), &self.topic)?
        };
        let is_event = REQUIRED.iter().all(|name| properties.user_property(name).is_some());
        let mut headers = Vec::new();
        let mut add = |name: &str, value: &[u8]| headers.push((name.to_owned(), value.to_owned()));
        for property in properties.iter() {
            match property {
                Property::UserProperty(name, value) if is_event && EVENT_ATTRIBUTES.contains(&name) => {
                    // CloudEvents, "Kafka Protocol Binding", 3.2: the content type has a header of its own.
                    let name = match name {
                        "datacontenttype" => "content-type".to_owned(),
                        name => format!("ce_{name}"),
                    };
                    add(&name, value.as_bytes());
                }
                Property::UserProperty(name, value) => add(name, value.as_bytes()),
                _ if !self.copy_mqtt_properties => {}
                Property::PayloadFormatIndicator(text) => {
                    add("Payload Format Indicator", if text { b"1" } else { b"0" });
                }
                Property::ContentType(value) => add("Content Type", value.as_bytes()),
                Property::ResponseTopic(value) => add("Response Topic", value.as_bytes()),
                Property::CorrelationData(value) => add("Correlation Data", value),
            }
        }
        if let (Some(seconds), true) = (remaining_expiry, self.copy_mqtt_properties) {
            add("Message Expiry Interval", seconds.to_string().as_bytes());
        }
        Ok(Outgoing { key, headers })
    }
}

/// The record with nothing but what makes it a CloudEvent: that is not copied, but passed on.
fn event_alone(record: &Record) -> Record {
    let given = &record.properties;
    let mut kept = PropertiesBuilder::default();
    if REQUIRED.iter().all(|name| given.user_property(name).is_some()) {
        for (name, value) in given.user_properties().filter(|(name, _)| EVENT_ATTRIBUTES.contains(name)) {
            kept.push(Property::UserProperty(name, value));
        }
    }
    if let Some(content_type) = given.content_type() {
        kept.push(Property::ContentType(content_type));
    }
    Record { properties: kept.build().expect("there is one content type at most"), ..record.clone() }
}

impl Outgoing {
    /// The headers as librdkafka wants them; `None` for none.
    pub(crate) fn native_headers(&self) -> Option<OwnedHeaders> {
        (!self.headers.is_empty()).then(|| {
            let all = OwnedHeaders::new_with_capacity(self.headers.len());
            self.headers
                .iter()
                .fold(all, |all, (key, value)| all.insert(Header { key, value: Some(value.as_slice()) }))
        })
    }
}

/// A Kafka message as a record of `topic`.
pub(crate) fn incoming(message: &BorrowedMessage<'_>, topic: ByteString, received_at: Instant) -> Record {
    let key = message.key();
    let timestamp = message.timestamp().to_millis();
    let headers = message.headers();
    let count = headers.map_or(0, Headers::count);
    let headers = (0..count).filter_map(|i| {
        // rdkafka panics over a name that is not UTF-8.
        let header = catch_unwind(AssertUnwindSafe(|| headers?.try_get(i))).ok().flatten()?;
        Some((header.key, header.value.unwrap_or_default()))
    });
    Record {
        key: key.map(Bytes::copy_from_slice),
        properties: properties(key, timestamp, headers),
        timestamp,
        ..Record::new(topic, Bytes::copy_from_slice(message.payload().unwrap_or_default()), received_at)
    }
}

/// What is known of a Kafka message as user properties. What does not fit one, because it is too long or no text, is left
/// out; the message goes on.
fn properties<'a>(
    key: Option<&[u8]>,
    timestamp: Option<i64>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Properties {
    let mut properties = PropertiesBuilder::default();
    if let Some(key) = key.and_then(|k| std::str::from_utf8(k).ok()) {
        properties.push(Property::UserProperty(KEY, key));
    }
    if let Some(millis) = timestamp {
        properties.push(Property::UserProperty(TIMESTAMP, &millis.to_string()));
    }
    for (name, value) in headers {
        if let Ok(value) = std::str::from_utf8(value) {
            properties.push(Property::UserProperty(name, value));
        }
    }
    properties.build().expect("user properties may repeat")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use tidegate_model::endpoint::{
        Authentication, CloudEventAttributes, Compression, KafkaAcks, KafkaBatching, Tls,
    };
    use tidegate_model::names::HostPort;

    use super::*;

    fn kafka() -> Kafka {
        Kafka {
            host: HostPort::parse("localhost:9092").unwrap(),
            authentication: Authentication::Anonymous,
            tls: Tls::Disabled,
            consumer_group_id: None,
            compression: Compression::None,
            batching: Some(KafkaBatching {
                latency: Duration::from_millis(5),
                bytes_max: 1_000_000,
                messages_max: 100_000,
            }),
            partition_strategy: PartitionStrategy::Default,
            acks: KafkaAcks::All,
            copy_mqtt_properties: true,
            cloud_event_attributes: CloudEventAttributes::Propagate,
        }
    }

    fn record(list: &[Property<'_>]) -> Record {
        let mut builder = PropertiesBuilder::default();
        assert!(list.iter().all(|p| builder.push(*p)));
        let mut record = Record::new("in/a", "x", Instant::now());
        record.properties = builder.build().unwrap();
        record
    }

    fn headers(
        kafka: &Kafka,
        actions: &[HeaderAction],
        record: &Record,
        left: Option<u32>,
    ) -> Vec<(String, String)> {
        let rules = RecordRules::new("hub", kafka, "out", actions);
        let out = rules.apply(record, left).unwrap();
        out.headers.into_iter().map(|(k, v)| (k, String::from_utf8_lossy(&v).into_owned())).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    const EVERYTHING: [Property<'_>; 6] = [
        Property::PayloadFormatIndicator(true),
        Property::ContentType("application/json"),
        Property::ResponseTopic("a/b"),
        Property::CorrelationData(b"c\xff"),
        Property::UserProperty("machine", "7"),
        Property::UserProperty("machine", "8"),
    ];

    const EVENT: [Property<'_>; 6] = [
        Property::UserProperty("specversion", "1.0"),
        Property::UserProperty("type", "t"),
        Property::UserProperty("source", "s"),
        Property::UserProperty("id", "1"),
        Property::UserProperty("datacontenttype", "text/plain"),
        Property::UserProperty("traceparent", "00"),
    ];

    #[test]
    fn mqtt_properties_become_the_headers_aio_names() {
        let expected = pairs(&[
            ("Payload Format Indicator", "1"),
            ("Content Type", "application/json"),
            ("Response Topic", "a/b"),
            ("Correlation Data", "c\u{fffd}"),
            ("machine", "7"),
            ("machine", "8"),
            ("Message Expiry Interval", "2600"),
        ]);
        assert_eq!(headers(&kafka(), &[], &record(&EVERYTHING), Some(2600)), expected);
        assert_eq!(headers(&kafka(), &[], &record(&[]), None), []);
    }

    #[test]
    fn without_copying_only_what_was_asked_for_goes_along() {
        let kafka = Kafka { copy_mqtt_properties: false, ..kafka() };
        let given = [&EVERYTHING[..], &EVENT[..]].concat();
        let action = HeaderAction::AddIfNotPresent { key: "line".into(), value: "3".into() };
        assert_eq!(
            headers(&kafka, &[action], &record(&given), Some(10)),
            pairs(&[
                ("ce_specversion", "1.0"),
                ("ce_type", "t"),
                ("ce_source", "s"),
                ("ce_id", "1"),
                ("content-type", "application/json"),
                ("line", "3"),
            ])
        );
        assert_eq!(headers(&kafka, &[], &record(&EVERYTHING), None), []);
    }

    #[test]
    fn the_attributes_of_a_cloud_event_have_a_prefix() {
        assert_eq!(
            headers(&kafka(), &[], &record(&EVENT), None),
            pairs(&[
                ("ce_specversion", "1.0"),
                ("ce_type", "t"),
                ("ce_source", "s"),
                ("ce_id", "1"),
                ("content-type", "text/plain"),
                ("traceparent", "00"),
            ])
        );
        // one that is not complete is none
        assert_eq!(headers(&kafka(), &[], &record(&EVENT[..3]), None)[1].0, "type");
        let create = Kafka { cloud_event_attributes: CloudEventAttributes::CreateOrRemap, ..kafka() };
        let made = headers(&create, &[], &record(&[]), None);
        let value = |name: &str| made.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        assert_eq!(value("ce_source"), Some("aio://hub"));
        assert_eq!(value("ce_subject"), Some("out"));
        assert_eq!(value("ce_type"), Some("ms.aio-dataflow.telemetry"));
    }

    #[test]
    fn the_strategy_decides_on_the_key() {
        for (strategy, key) in [
            (PartitionStrategy::Default, None),
            (PartitionStrategy::Static, None),
            (PartitionStrategy::Topic, Some("in/a")),
            (PartitionStrategy::Property("machine".into()), Some("7")),
            (PartitionStrategy::Property("missing".into()), None),
        ] {
            let kafka = Kafka { partition_strategy: strategy, ..kafka() };
            let out = RecordRules::new("hub", &kafka, "out", &[]).apply(&record(&EVERYTHING), None).unwrap();
            assert_eq!(out.key.as_deref(), key.map(str::as_bytes));
        }
    }

    /// Texts of any kind, some of them no MQTT string: with U+0000, or longer than 65535 bytes.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => any::<String>(),
            1 => Just("Content Type".to_owned()),
            1 => (65_534..65_538usize).prop_map(|length| "x".repeat(length)),
        ]
    }

    proptest! {
        #[test]
        fn what_went_up_comes_down_as_user_properties(
            user in vec((text(), text()), 0..6),
            content_type in option::of(text()),
            correlation in option::of(vec(any::<u8>(), 0..6)),
        ) {
            let mut builder = PropertiesBuilder::default();
            let mut expected = Vec::new();
            if content_type.as_ref().is_some_and(|value| builder.push(Property::ContentType(value))) {
                expected.push(("Content Type", content_type.as_deref().unwrap()));
            }
            if let Some(value) = &correlation {
                assert!(builder.push(Property::CorrelationData(value)));
                expected.extend(std::str::from_utf8(value).ok().map(|value| ("Correlation Data", value)));
            }
            for (name, value) in &user {
                if builder.push(Property::UserProperty(name, value)) {
                    expected.push((name, value));
                }
            }
            expected.retain(|(_, value)| !value.contains('\0'));
            let mut record = record(&[]);
            record.properties = builder.build().unwrap();
            let out = RecordRules::new("hub", &kafka(), "out", &[]).apply(&record, None).unwrap();
            let headers = out.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            let down = properties(None, None, headers);
            prop_assert_eq!(down.user_properties().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_kafka_message_becomes_a_record(
            key in option::of(vec(any::<u8>(), 0..8)),
            timestamp in option::of(any::<i64>()),
            headers in vec((text(), vec(any::<u8>(), 0..8)), 0..6),
        ) {
            let fits = |text: &str| text.len() <= 65_535 && !text.contains('\0');
            let as_text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().filter(|text| fits(text));
            let mut expected = Vec::new();
            expected.extend(key.as_deref().and_then(as_text).map(|key| (KEY.to_owned(), key)));
            expected.extend(timestamp.map(|millis| (TIMESTAMP.to_owned(), millis.to_string())));
            for (name, value) in &headers {
                expected.extend(as_text(value).filter(|_| fits(name)).map(|value| (name.clone(), value)));
            }
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            let all = properties(key.as_deref(), timestamp, pairs);
            let got: Vec<_> = all.user_properties().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_preview_shows_what_kafka_will_hold() {
        let kafka = Kafka { partition_strategy: PartitionStrategy::Topic, ..kafka() };
        let shown = RecordRules::new("hub", &kafka, "out", &[]).preview(&record(&EVERYTHING)).unwrap();
        assert_eq!(&shown.topic[..], "out");
        assert_eq!(shown.key.as_deref(), Some(&b"in/a"[..]));
        assert_eq!(shown.properties.user_property("Response Topic"), Some("a/b"));
    }
}
