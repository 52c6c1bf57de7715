//! What is to run: one [`Plan`] for each enabled data flow. Everything in it is resolved and checked; it holds no name
//! to look up and no text to parse.

use std::sync::Arc;

use crate::endpoint::{Endpoint, Qos};
use crate::names::ResourceName;
use crate::topic::{TopicFilter, TopicTemplate};

pub use crate::transform::{SerializationFormat, Transform};
pub use tidegate_expr::FilterSemantics;

/// One data flow, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The data flow's name.
    pub name: ResourceName,
    /// Its namespace.
    pub namespace: String,
    /// The profile it belongs to.
    pub profile: ResourceName,
    /// `instanceCount` of the profile, 1 to 20.
    pub instance_count: u32,
    /// Where records come from.
    pub source: SourceSpec,
    /// `builtInTransformationSettings`, if there are any that do something.
    pub transform: Option<Transform>,
    /// Where records go.
    pub destination: DestinationSpec,
    /// `requestDiskPersistence: Enabled`.
    pub request_disk_persistence: bool,
}

/// Where a data flow's records come from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// Type `Mqtt` or `Kafka`.
    pub endpoint: Arc<Endpoint>,
    /// `dataSources`.
    pub data_sources: DataSources,
    /// `schemaRef`, as written.
    pub schema: Option<String>,
}

/// `dataSources` as the endpoint's type reads them.
#[derive(Clone, Debug, PartialEq)]
pub enum DataSources {
    /// Topic filters of an `Mqtt` endpoint.
    Mqtt {
        /// At least one.
        filters: Vec<TopicFilter>,
        /// The endpoint's `qos`.
        qos: Qos,
    },
    /// Topics of a `Kafka` endpoint.
    Kafka {
        /// At least one.
        topics: Vec<String>,
        /// `consumerGroupId`.
        consumer_group_id: String,
    },
}

/// Where a data flow's records go.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationSpec {
    /// Any type.
    pub endpoint: Arc<Endpoint>,
    /// `dataDestination`.
    pub data_destination: DataDestination,
    /// `headers`, applied in order to the outgoing message.
    pub headers: Vec<HeaderAction>,
}

/// `dataDestination` as the endpoint's type reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum DataDestination {
    /// An MQTT topic, perhaps with `${inputTopic}` variables.
    Topic(TopicTemplate),
    /// A Kafka topic, container, table, folder or OpenTelemetry label.
    Name(String),
}

/// One of `destinationSettings.headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum HeaderAction {
    AddIfNotPresent { key: String, value: String },
    AddOrReplace { key: String, value: String },
    Remove { key: String },
}
