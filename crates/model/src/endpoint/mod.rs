//! Endpoint settings as meant: every field checked, every default filled in. What a connector needs to open a
//! connection is in here and nowhere else. Whether an endpoint suits a data flow is decided where the two meet.

mod authentication;
mod host;
mod kafka;
mod mqtt;
mod open_telemetry;
mod storage;

use tidegate_core::Span;

use crate::codes;
use crate::field::{choice, object, settings_key};
use crate::names::ResourceName;
use crate::problems::{Problems, error};
use crate::value::Spanned;

pub use authentication::{Authentication, ConfigMapRef, SaslType, SecretRef, Tls, X509_KEYS, X509_TLS_KEYS};
pub(crate) use authentication::{AuthenticationFields, Reference, Referent, Switch, offered};
pub use kafka::{Compression, Kafka, KafkaAcks, KafkaBatching, PartitionStrategy};
pub use mqtt::{CloudEventAttributes, Mqtt, MqttHost, MqttProtocol, Qos};
pub use open_telemetry::OpenTelemetry;
pub use storage::{
    Batching, DataExplorer, DataLakeStorage, FabricOneLake, Ingestion, LocalStorage, OneLakePathType,
};

pub(crate) use host::{is_event_grid, is_event_hubs};

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
    /// The endpoint `default` that exists without being written: the local broker.
    pub fn local_broker(namespace: &str) -> Self {
        Self {
            name: ResourceName::default_name(),
            namespace: namespace.to_owned(),
            host_type: None,
            settings: Settings::Mqtt(Mqtt::local_broker()),
        }
    }

    /// Whether this is the local broker: type `Mqtt`, and a host that contains `aio-broker` or none at all.
    pub fn is_local_broker(&self) -> bool {
        matches!(&self.settings, Settings::Mqtt(m) if matches!(m.host, MqttHost::LocalBroker))
    }

    /// The peer as AIO's metrics label it (`source_service_type`, `target_service_type`): by type and host.
    pub fn service_type(&self) -> &'static str {
        match &self.settings {
            Settings::Mqtt(m) => match &m.host {
                MqttHost::LocalBroker => "Local AIO MQTT Broker",
                MqttHost::Remote { address, .. } if is_event_grid(address.host()) => "Event Grid",
                MqttHost::Remote { .. } => "Unknown Mqtt Broker",
            },
            Settings::Kafka(_) if self.host_type == Some(HostType::FabricRT) => "Fabric RTI",
            Settings::Kafka(k) if is_event_hubs(k.host.host()) => "Event Hubs",
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
choice!(HostType { FabricRT, EventGrid, LocalBroker, Eventhub, CustomMqtt, CustomKafka });

/// `endpointType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum EndpointType {
    Mqtt,
    Kafka,
    DataLakeStorage,
    FabricOneLake,
    DataExplorer,
    LocalStorage,
    OpenTelemetry,
}
choice!(EndpointType {
    Mqtt,
    Kafka,
    DataLakeStorage,
    FabricOneLake,
    DataExplorer,
    LocalStorage,
    OpenTelemetry
});

impl EndpointType {
    pub(crate) const ALL: [Self; 7] = [
        Self::Mqtt,
        Self::Kafka,
        Self::DataLakeStorage,
        Self::FabricOneLake,
        Self::DataExplorer,
        Self::LocalStorage,
        Self::OpenTelemetry,
    ];
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

impl Settings {
    /// Which block it is.
    pub fn endpoint_type(&self) -> EndpointType {
        match self {
            Settings::Mqtt(_) => EndpointType::Mqtt,
            Settings::Kafka(_) => EndpointType::Kafka,
            Settings::DataLakeStorage(_) => EndpointType::DataLakeStorage,
            Settings::FabricOneLake(_) => EndpointType::FabricOneLake,
            Settings::DataExplorer(_) => EndpointType::DataExplorer,
            Settings::LocalStorage(_) => EndpointType::LocalStorage,
            Settings::OpenTelemetry(_) => EndpointType::OpenTelemetry,
        }
    }
}

impl EndpointType {
    /// As manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointType::Mqtt => "Mqtt",
            EndpointType::Kafka => "Kafka",
            EndpointType::DataLakeStorage => "DataLakeStorage",
            EndpointType::FabricOneLake => "FabricOneLake",
            EndpointType::DataExplorer => "DataExplorer",
            EndpointType::LocalStorage => "LocalStorage",
            EndpointType::OpenTelemetry => "OpenTelemetry",
        }
    }

    /// Whether it stores files, and tables made of them: Data Lake, OneLake, local storage.
    pub fn stores_files(self) -> bool {
        matches!(
            self,
            EndpointType::DataLakeStorage | EndpointType::FabricOneLake | EndpointType::LocalStorage
        )
    }

    /// Whether it stores rows or files, and so needs a schema: Data Lake, OneLake, Data Explorer, local storage.
    pub fn is_storage(self) -> bool {
        matches!(
            self,
            EndpointType::DataLakeStorage
                | EndpointType::FabricOneLake
                | EndpointType::DataExplorer
                | EndpointType::LocalStorage
        )
    }
}

object! {
    /// A `DataflowEndpoint`.
    pub(crate) struct EndpointFields {
        /// The type, which says what settings block counts.
        endpoint_type "endpointType": required Spanned<EndpointType>;
        /// A hint for user interfaces about the flavour of the host; without effect at run time.
        host_type "hostType": optional HostType;
        /// Settings of type `Mqtt`.
        mqtt "mqttSettings": optional mqtt::MqttFields;
        /// Settings of type `Kafka`.
        kafka "kafkaSettings": optional kafka::KafkaFields;
        /// Settings of type `DataLakeStorage`.
        data_lake_storage "dataLakeStorageSettings" | "datalakeStorageSettings": optional storage::DataLakeStorageFields;
        /// Settings of type `FabricOneLake`.
        fabric_one_lake "fabricOneLakeSettings": optional storage::FabricOneLakeFields;
        /// Settings of type `DataExplorer`.
        data_explorer "dataExplorerSettings": optional storage::DataExplorerFields;
        /// Settings of type `LocalStorage`.
        local_storage "localStorageSettings": optional storage::LocalStorageFields;
        /// Settings of type `OpenTelemetry`.
        open_telemetry "openTelemetrySettings": optional open_telemetry::OpenTelemetryFields;
        /// Where `v1beta1` had what is in the settings block today.
        authentication "authentication": optional AuthenticationFields;
        ignored "provisioningState", "healthState", "status";
    }
}

/// What else a settings block is read with.
pub(crate) struct Surroundings {
    /// `spec.authentication` of `v1beta1`, for blocks without their own.
    authentication: Option<AuthenticationFields>,
    /// Whether hosts of emulators are welcome where a cloud service's is expected.
    any_host: bool,
    /// What the annotations for Azure Data Explorer say.
    ingestion: Ingestion,
    /// The Secrets and ConfigMaps that turn out to be needed.
    references: Vec<Reference>,
}

/// Reads the settings of an endpoint; gives with them the Secrets and ConfigMaps they need.
pub(crate) fn parse(
    fields: EndpointFields,
    name: ResourceName,
    namespace: String,
    (any_host, ingestion): (bool, Ingestion),
    problems: &mut Problems,
) -> Option<(Endpoint, Vec<Reference>)> {
    let Spanned { value: endpoint_type, span } = fields.endpoint_type?;
    let blocks: [(EndpointType, Option<Span>); 7] = [
        (EndpointType::Mqtt, fields.mqtt.as_ref().map(|b| b.at)),
        (EndpointType::Kafka, fields.kafka.as_ref().map(|b| b.at)),
        (EndpointType::DataLakeStorage, fields.data_lake_storage.as_ref().map(|b| b.at)),
        (EndpointType::FabricOneLake, fields.fabric_one_lake.as_ref().map(|b| b.at)),
        (EndpointType::DataExplorer, fields.data_explorer.as_ref().map(|b| b.at)),
        (EndpointType::LocalStorage, fields.local_storage.as_ref().map(|b| b.at)),
        (EndpointType::OpenTelemetry, fields.open_telemetry.as_ref().map(|b| b.at)),
    ];
    for (of, at) in blocks {
        match at {
            None if of == endpoint_type && !fields.flawed => {
                let message = format!("an endpoint of type {of:?} needs `{}`", settings_key(of));
                problems.push(error(codes::SETTINGS_MISSING, span, message));
            }
            Some(at) if of != endpoint_type => {
                let message =
                    format!("`{}` doesn't belong to an endpoint of type {endpoint_type:?}", settings_key(of));
                let problem = error(codes::SETTINGS_OF_ANOTHER_TYPE, at, message).label(span, "the type");
                problems.push(problem.help("remove it, or make another endpoint of it"));
            }
            _ => {}
        }
    }
    let mut with =
        Surroundings { authentication: fields.authentication, any_host, ingestion, references: vec![] };
    let settings = match endpoint_type {
        EndpointType::Mqtt => Settings::Mqtt(mqtt::parse(fields.mqtt?, &mut with, problems)?),
        EndpointType::Kafka => Settings::Kafka(kafka::parse(fields.kafka?, &mut with, problems)?),
        EndpointType::DataLakeStorage => Settings::DataLakeStorage(storage::data_lake_storage(
            fields.data_lake_storage?,
            &mut with,
            problems,
        )?),
        EndpointType::FabricOneLake => {
            Settings::FabricOneLake(storage::fabric_one_lake(fields.fabric_one_lake?, &mut with, problems)?)
        }
        EndpointType::DataExplorer => {
            Settings::DataExplorer(storage::data_explorer(fields.data_explorer?, &mut with, problems)?)
        }
        EndpointType::LocalStorage => Settings::LocalStorage(storage::local_storage(fields.local_storage?)?),
        EndpointType::OpenTelemetry => {
            Settings::OpenTelemetry(open_telemetry::parse(fields.open_telemetry?, &mut with, problems)?)
        }
    };
    let endpoint = Endpoint { name, namespace, host_type: fields.host_type, settings };
    Some((endpoint, with.references))
}
