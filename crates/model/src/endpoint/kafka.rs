//! Endpoints of type `Kafka`: Event Hubs, Fabric Real-Time Intelligence, any other Kafka cluster.

use std::time::Duration;

use crate::codes;
use crate::endpoint::authentication::{
    self, Authentication, AuthenticationFields, Method, Switch, Tls, TlsFields,
};
use crate::endpoint::host::{host_port, is_event_hubs};
use crate::endpoint::mqtt::CloudEventAttributes;
use crate::endpoint::{EndpointType, Surroundings};
use crate::field::{choice, object};
use crate::names::HostPort;
use crate::problems::{Problems, error, warning};
use crate::value::{Filled, Given, Int, Raw};

/// `kafkaSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host`, the bootstrap server.
    pub host: HostPort,
    /// `authentication`.
    pub authentication: Authentication,
    /// `tls`.
    pub tls: Tls,
    /// `consumerGroupId`; a source needs it.
    pub consumer_group_id: Option<String>,
    /// `compression`.
    pub compression: Compression,
    /// `batching`; `None` when its mode is Disabled.
    pub batching: Option<KafkaBatching>,
    /// `partitionStrategy` and `partitionKeyProperty`.
    pub partition_strategy: PartitionStrategy,
    /// `kafkaAcks`.
    pub acks: KafkaAcks,
    /// `copyMqttProperties`.
    pub copy_mqtt_properties: bool,
    /// `cloudEventAttributes`.
    pub cloud_event_attributes: CloudEventAttributes,
}

/// `compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
}
choice!(Compression { None, Gzip, Snappy, Lz4 });

/// `partitionStrategy`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum PartitionStrategy {
    /// No key; spread over the partitions.
    #[default]
    Default,
    /// One partition per instance.
    Static,
    /// Keyed by the source topic.
    Topic,
    /// Keyed by this user property, `partitionKeyProperty`.
    Property(String),
}

/// `partitionStrategy` without its property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    Default,
    Static,
    Topic,
    Property,
}
choice!(Strategy { Default, Static, Topic, Property });

/// `kafkaAcks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum KafkaAcks {
    Zero,
    One,
    #[default]
    All,
}
choice!(KafkaAcks { Zero, One, All });

/// `kafkaSettings.batching` when its mode is Enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KafkaBatching {
    /// `latencyMs`, default 5.
    pub latency: Duration,
    /// `maxBytes`, default 1000000.
    pub bytes_max: u64,
    /// `maxMessages`, default 100000.
    pub messages_max: u64,
}

object! {
    /// `kafkaSettings`.
    pub(crate) struct KafkaFields {
        /// The bootstrap server, `<host>:<port>`.
        host "host": required Raw;
        /// How to log in.
        authentication "authentication": depends AuthenticationFields;
        /// Encryption. Left out, the connection is encrypted.
        tls "tls": optional TlsFields;
        /// The consumer group; a source needs it, a destination has no use for it.
        consumer_group_id "consumerGroupId": optional Filled;
        /// How records are compressed.
        compression "compression": default Compression = Compression::None;
        /// When records are sent; without it the defaults inside it hold.
        batching "batching": optional KafkaBatchingFields;
        /// How records find their partition.
        partition_strategy "partitionStrategy": default Given<Strategy> = Strategy::Default;
        /// The user property whose value is the key of the record; strategy `Property` needs it.
        partition_key_property "partitionKeyProperty": optional Filled;
        /// Who must have a record before it counts as sent: nobody, the leader, all in-sync replicas.
        acks "kafkaAcks": default KafkaAcks = KafkaAcks::All;
        /// Whether MQTT properties become headers of the record.
        copy_mqtt_properties "copyMqttProperties": default Switch = Switch::Enabled;
        /// What happens to the CloudEvents attributes of a message.
        cloud_event_attributes "cloudEventAttributes": default CloudEventAttributes = CloudEventAttributes::Propagate;
    }
}

object! {
    /// `kafkaSettings.batching`.
    pub(crate) struct KafkaBatchingFields {
        /// Whether records are sent in batches.
        mode "mode": default Switch = Switch::Enabled;
        /// How long a record may wait for others, in milliseconds.
        latency "latencyMs": default Int<0, 65535> = LATENCY_MS;
        /// How many bytes may wait.
        bytes_max "maxBytes": default Int<0, { i64::MAX }> = BYTES_MAX;
        /// How many records may wait.
        messages_max "maxMessages": default Int<0, { i64::MAX }> = MESSAGES_MAX;
    }
}

const LATENCY_MS: i64 = 5;
const BYTES_MAX: i64 = 1_000_000;
const MESSAGES_MAX: i64 = 100_000;

impl Default for KafkaBatching {
    fn default() -> Self {
        Self::new(LATENCY_MS.into(), BYTES_MAX.into(), MESSAGES_MAX.into())
    }
}

impl KafkaBatching {
    fn new(
        latency: Int<0, 65535>,
        bytes_max: Int<0, { i64::MAX }>,
        messages_max: Int<0, { i64::MAX }>,
    ) -> Self {
        Self {
            latency: Duration::from_millis(latency.to()),
            bytes_max: bytes_max.to(),
            messages_max: messages_max.to(),
        }
    }
}

pub(super) fn parse(fields: KafkaFields, with: &mut Surroundings, problems: &mut Problems) -> Option<Kafka> {
    let host = fields.host.and_then(|Raw(text)| host_port(&text, text.as_str(), 9092, problems));
    let (tls, off_at) = authentication::tls(fields.tls, with, problems);
    let login = authentication::authentication(
        fields.authentication,
        EndpointType::Kafka,
        false,
        fields.at,
        with,
        problems,
    );
    let event_hubs = host.as_ref().is_some_and(|h| is_event_hubs(h.host()));
    if let Some((_, method)) = login.as_ref().filter(|_| event_hubs) {
        let message = format!("Event Hubs and Fabric don't take {:?}", method.value);
        let help = "they take `SystemAssignedManagedIdentity`, `UserAssignedManagedIdentity` or `Sasl`";
        match method.value {
            Method::X509Certificate => {
                problems.push(error(codes::METHOD_REFUSED_BY_HOST, method.span, message).help(help));
            }
            // Nothing but the service itself refuses this one, and manifests whose credentials are still to come have it.
            Method::Anonymous => {
                problems.push(warning(codes::METHOD_REFUSED_BY_HOST, method.span, message).help(help));
            }
            _ => {}
        }
    }
    if let Some(off_at) = off_at {
        if event_hubs {
            let problem = error(codes::SERVICE_NEEDS_TLS, off_at, "Event Hubs and Fabric speak TLS only");
            problems.push(problem.help("write `Enabled`, or leave `tls` out"));
        } else if let Some((Authentication::X509Certificate { .. }, _)) = login {
            let message =
                "a client certificate is shown in the TLS handshake, and TLS is off: nobody will see it";
            problems.push(warning(codes::CERTIFICATE_WITHOUT_TLS, off_at, message).help("write `Enabled`"));
        }
    }
    let property = fields.partition_key_property.map(|f| f.0);
    let strategy_at = fields.partition_strategy.span.unwrap_or(fields.at);
    let partition_strategy = match (fields.partition_strategy.value, property) {
        (Strategy::Property, Some(property)) => PartitionStrategy::Property(property.as_str().to_owned()),
        (Strategy::Property, None) => {
            if !fields.flawed {
                let message = "strategy Property needs `partitionKeyProperty`";
                let problem = error(codes::PARTITION_KEY_MISSING, strategy_at, message);
                problems.push(problem.help("name the user property whose value is the key"));
            }
            PartitionStrategy::Default
        }
        (strategy, property) => {
            if let Some(property) = property {
                let message = format!("strategy {strategy:?} has no use for `partitionKeyProperty`");
                problems.push(
                    warning(codes::NO_EFFECT, property.span(), message)
                        .help("write `partitionStrategy: Property`"),
                );
            }
            match strategy {
                Strategy::Static => PartitionStrategy::Static,
                Strategy::Topic => PartitionStrategy::Topic,
                Strategy::Default | Strategy::Property => PartitionStrategy::Default,
            }
        }
    };
    let batching = match fields.batching {
        None => Some(KafkaBatching::default()),
        Some(b) if b.mode == Switch::Disabled => None,
        Some(b) => Some(KafkaBatching::new(b.latency, b.bytes_max, b.messages_max)),
    };
    Some(Kafka {
        host: host?,
        authentication: login?.0,
        tls,
        consumer_group_id: fields.consumer_group_id.map(|g| g.0.as_str().to_owned()),
        compression: fields.compression,
        batching,
        partition_strategy,
        acks: fields.acks,
        copy_mqtt_properties: fields.copy_mqtt_properties == Switch::Enabled,
        cloud_event_attributes: fields.cloud_event_attributes,
    })
}
