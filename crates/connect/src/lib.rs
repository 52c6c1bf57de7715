//! Opens the source and the sink of a data flow: endpoints in, connections out.
//!
//! Knows endpoints and their settings, but no data flow: what a record goes through in between, when it is tried again
//! and what becomes of a rejected one are somebody else's. MQTT endpoints are opened here, Kafka endpoints in
//! `tidegate-connect-kafka`; for the other types there is a clear error.

mod context;
mod dial;
mod failure;
mod mqtt;
pub mod properties;

use tidegate_broker::Broker;
use tidegate_core::{Sink, Source, SourceError, Trouble};
use tidegate_model::endpoint::{Endpoint, Settings};
use tidegate_model::plan::{DataDestination, DataSources, DestinationSpec, SourceSpec};

pub use context::{Context, Credentials, FlowIdentity, LocalBroker};
pub use mqtt::source_client_id;

/// Opens the source of a data flow: connected and subscribed.
///
/// # Errors
/// [`SourceError`], sorted by what helps.
pub async fn open_source(spec: &SourceSpec, context: &Context) -> Result<Box<dyn Source>, SourceError> {
    match (&spec.endpoint.settings, &spec.data_sources) {
        (Settings::Mqtt(mqtt), DataSources::Mqtt { filters, qos }) => {
            mqtt::open_source(&spec.endpoint, mqtt, filters, *qos, context).await
        }
        _ => Err(SourceError::Refused(not_in_this_version(
            &spec.endpoint,
            "DataflowKafkaSourceConnectionFailed",
            "source",
        ))),
    }
}

/// Makes the sessions that a data flow has at the broker in this process those of `instances`, the ones that run here. To be
/// called when it has changed and before it is started: what waits in a session that is not wanted any more goes to
/// another, and nothing that is published meanwhile is missed or comes twice.
pub fn keep_sessions(broker: &Broker, spec: &SourceSpec, instances: &[FlowIdentity]) {
    mqtt::keep_sessions(broker, spec, instances);
}

/// Ends the sessions of data flows at the broker in this process that `exists` does not know, by `<namespace>/<dataflow>`.
pub fn end_sessions(broker: &Broker, exists: impl Fn(&str) -> bool) {
    broker.end_sessions_of(|owner| !exists(owner));
}

/// Makes the sink of a data flow. It connects when it is [prepared](Sink::prepare) or written to.
///
/// # Errors
/// [`Trouble`] that only a change of configuration mends.
pub async fn open_sink(spec: &DestinationSpec, context: &Context) -> Result<Box<dyn Sink>, Trouble> {
    let reason = match (&spec.endpoint.settings, &spec.data_destination) {
        (Settings::Mqtt(mqtt), DataDestination::Topic(topic)) => {
            return Ok(mqtt::open_sink(&spec.endpoint, mqtt, topic, &spec.headers, context));
        }
        (Settings::Mqtt(_), DataDestination::Name(_)) => "DataflowMqttTargetConfigurationError",
        (Settings::Kafka(_), _) => "DataflowKafkaTargetConfigurationError",
        (Settings::DataLakeStorage(_) | Settings::LocalStorage(_), _) => {
            "DataflowObjectStoreTargetConfigurationError"
        }
        (Settings::FabricOneLake(_), _) => "DataflowDeltaLakeTargetConfigurationError",
        (Settings::DataExplorer(_), _) => "DataflowAdxTargetConfigurationError",
        (Settings::OpenTelemetry(_), _) => "DataflowOtelTargetConfigurationError",
    };
    Err(not_in_this_version(&spec.endpoint, reason, "destination"))
}

fn not_in_this_version(endpoint: &Endpoint, reason: &'static str, end: &str) -> Trouble {
    let endpoint_type = match &endpoint.settings {
        Settings::Mqtt(_) => "Mqtt",
        Settings::Kafka(_) => "Kafka",
        Settings::DataLakeStorage(_) => "DataLakeStorage",
        Settings::FabricOneLake(_) => "FabricOneLake",
        Settings::DataExplorer(_) => "DataExplorer",
        Settings::LocalStorage(_) => "LocalStorage",
        Settings::OpenTelemetry(_) => "OpenTelemetry",
    };
    Trouble::new(
        reason,
        format!(
            "endpoint `{}`: this version does not run a {end} of type {endpoint_type} yet; use an endpoint of type Mqtt",
            endpoint.name
        ),
    )
}
