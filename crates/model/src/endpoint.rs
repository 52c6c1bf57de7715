//! Endpoint settings as meant: every field checked, every default filled in. What a connector needs to open a
//! connection is in here and nowhere else.

use std::time::Duration;

use crate::names::{HostPort, ResourceName};

/// One `DataflowEndpoint`: a reusable bundle of connection settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// `metadata.name`.
    pub name: ResourceName,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `hostType`, a hint for user interfaces without effect at run time.
    pub host_type: Option<HostType>,
    /// The settings block of its `endpointType`.
    pub settings: Settings,
}

impl Endpoint {
    /// Whether this is the local broker: type `Mqtt`, and a host that contains `aio-broker` or none at all.
    pub fn is_local_broker(&self) -> bool {
        matches!(&self.settings, Settings::Mqtt(m) if matches!(m.host, MqttHost::LocalBroker))
    }

    /// The peer as AIO's metrics label it (`source_service_type`, `target_service_type`): by type and host.
    pub fn service_type(&self) -> &'static str {
        match &self.settings {
            Settings::Mqtt(m) => match &m.host {
                MqttHost::LocalBroker => "Local AIO MQTT Broker",
                MqttHost::Remote { address, .. } if address.host().ends_with(".eventgrid.azure.net") => {
                    "Event Grid"
                }
                MqttHost::Remote { .. } => "Unknown Mqtt Broker",
            },
            Settings::Kafka(_) if self.host_type == Some(HostType::FabricRT) => "Fabric RTI",
            Settings::Kafka(k) if k.host.host().ends_with(".servicebus.windows.net") => "Event Hubs",
            Settings::Kafka(_) => "Unknown Kafka Broker",
            Settings::DataLakeStorage(_) => "Blob Storage",
            Settings::FabricOneLake(_) => "Fabric OneLake",
            Settings::DataExplorer(_) => "Data Explorer",
            Settings::LocalStorage(_) => "Local Storage",
            Settings::OpenTelemetry(_) => "Open Telemetry",
        }
    }
}

/// `hostType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum HostType {
    FabricRT,
    EventGrid,
    LocalBroker,
    Eventhub,
    CustomMqtt,
    CustomKafka,
}

/// The settings block of each `endpointType`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum Settings {
    Mqtt(Mqtt),
    Kafka(Kafka),
    DataLakeStorage(DataLakeStorage),
    FabricOneLake(FabricOneLake),
    DataExplorer(DataExplorer),
    LocalStorage(LocalStorage),
    OpenTelemetry(OpenTelemetry),
}

/// `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain text.
    Disabled,
    /// TLS; the server is checked against the PEM certificates of this ConfigMap, or the public trust store.
    Enabled {
        /// `trustedCaCertificateConfigMapRef`.
        trusted_ca: Option<ConfigMapRef>,
    },
}

/// The name of a ConfigMap in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigMapRef(pub String);

/// The name of a Secret in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretRef(pub String);

/// `authentication`: the method with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Secret keys: see [`X509_KEYS`] and [`X509_TLS_KEYS`].
    X509Certificate {
        /// The Secret with certificate and key.
        secret: SecretRef,
    },
    /// A Kubernetes service account token, sent by MQTT v5 enhanced authentication (`K8S-SAT`).
    ServiceAccountToken {
        /// Audience of the token.
        audience: String,
    },
    /// The identity of the machine.
    SystemAssignedManagedIdentity {
        /// Overrides the audience that follows from the host.
        audience: Option<String>,
    },
    /// A named identity.
    UserAssignedManagedIdentity {
        /// Application id.
        client_id: String,
        /// Tenant id.
        tenant_id: String,
        /// Overrides the default scope.
        scope: Option<String>,
    },
    /// Kafka SASL; Secret keys `username` and `password`, or `token`.
    Sasl {
        /// Mechanism.
        sasl_type: SaslType,
        /// The Secret.
        secret: SecretRef,
    },
    /// A shared access signature; Secret key `accessToken`.
    AccessToken {
        /// The Secret.
        secret: SecretRef,
    },
    /// No credentials.
    Anonymous,
}

/// Secret keys of an MQTT client certificate: certificate, key, optional intermediates, all PEM.
pub const X509_KEYS: [&str; 3] = ["client_cert.pem", "client_key.pem", "client_intermediate_certs.pem"];
/// The same in a `kubernetes.io/tls` Secret.
pub const X509_TLS_KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// `saslType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum SaslType {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// `cloudEventAttributes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CloudEventAttributes {
    /// Pass on the attributes of a message that has all required ones.
    #[default]
    Propagate,
    /// Make the required ones where they are missing.
    CreateOrRemap,
}

/// Which broker an MQTT endpoint means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttHost {
    /// The host contains `aio-broker`, or none is given: the embedded broker, or whatever `--broker` names.
    LocalBroker,
    /// Any other broker.
    Remote {
        /// Host and port.
        address: HostPort,
        /// The path of a WebSocket, starting with `/`.
        path: Option<String>,
    },
}

/// `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum MqttProtocol {
    #[default]
    Mqtt,
    WebSockets,
}

/// `qos`: 2 isn't allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Qos {
    /// At most once.
    Zero,
    /// At least once.
    #[default]
    One,
}

/// `mqttSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// `host`.
    pub host: MqttHost,
    /// `authentication`.
    pub authentication: Authentication,
    /// `tls`.
    pub tls: Tls,
    /// `protocol`.
    pub protocol: MqttProtocol,
    /// `clientIdPrefix`.
    pub client_id_prefix: Option<String>,
    /// `qos` of subscribe and publish.
    pub qos: Qos,
    /// `retain: Keep`: whether the incoming retain flag is passed on.
    pub keep_retain: bool,
    /// `sessionExpirySeconds`, default 600.
    pub session_expiry: Duration,
    /// `keepAliveSeconds`, default 60; zero switches it off.
    pub keep_alive: Duration,
    /// `maxInflightMessages`, 1 to 65535, default 100: Receive Maximum of a source, unacknowledged publishes of a
    /// destination.
    pub inflight_max: u16,
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

/// `kafkaAcks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum KafkaAcks {
    Zero,
    One,
    #[default]
    All,
}

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

/// `batching` of the storage endpoints and OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// `latencySeconds`, 0 to 65535, default 60; zero sends at once.
    pub latency: Duration,
    /// `maxMessages`, default 100000; `None`, written as 0, is without limit.
    pub messages_max: Option<u64>,
}

impl Default for Batching {
    fn default() -> Self {
        Self { latency: Duration::from_secs(60), messages_max: Some(100_000) }
    }
}

/// `dataLakeStorageSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLakeStorage {
    /// `host`, without `https://`.
    pub host: String,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
}

/// `oneLakePathType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum OneLakePathType {
    Files,
    Tables,
}

/// `fabricOneLakeSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricOneLake {
    /// `host`, without `https://`.
    pub host: String,
    /// `names.workspaceName`.
    pub workspace_name: String,
    /// `names.lakehouseName`.
    pub lakehouse_name: String,
    /// `oneLakePathType`.
    pub path_type: OneLakePathType,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
}

/// `dataExplorerSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataExplorer {
    /// `host`, without `https://`.
    pub host: String,
    /// `database`.
    pub database: String,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
}

/// `localStorageSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStorage {
    /// `persistentVolumeClaimRef`.
    pub volume: String,
}

/// `openTelemetrySettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTelemetry {
    /// `host`, with or without a scheme, as written.
    pub host: String,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
    /// `tls`.
    pub tls: Tls,
}
