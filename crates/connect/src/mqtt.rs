//! MQTT endpoints: which broker one means, and the names under which a data flow goes there.

mod client;
mod ledger;
mod local;
mod publication;
mod remote;
mod sink;
mod source;
mod subscriptions;
mod verdict;

use std::sync::Arc;
use std::time::Instant;

use tidegate_broker::Broker;
use tidegate_core::{Sink, Source, SourceError};
use tidegate_model::endpoint::{Endpoint, Mqtt, MqttHost, Qos, Settings};
use tidegate_model::plan::{DataSources, HeaderAction, SourceSpec};
use tidegate_model::topic::{TopicFilter, TopicTemplate};
use tidegate_mqtt::QoS;

use self::local::{LocalSink, LocalSource};
use self::publication::PublicationRules;
use self::remote::Remote;
use self::sink::MqttSink;
use self::source::MqttSource;
use self::subscriptions::Subscriptions;
use crate::context::{Context, FlowIdentity, LocalBroker};

/// Opens the source of an MQTT endpoint.
pub(crate) async fn open_source(
    endpoint: &Arc<Endpoint>,
    mqtt: &Mqtt,
    filters: &[TopicFilter],
    qos: Qos,
    context: &Context,
) -> Result<Box<dyn Source>, SourceError> {
    let qos = mqtt_qos(qos);
    Ok(match (&mqtt.host, &context.local_broker) {
        (MqttHost::LocalBroker, LocalBroker::Embedded(broker)) => {
            Box::new(LocalSource::open(broker, endpoint, mqtt, filters, qos, context).await?)
        }
        (MqttHost::LocalBroker, LocalBroker::Remote { address, .. })
        | (MqttHost::Remote { address, .. }, _) => {
            let remote = Remote::new(address, endpoint, mqtt, context, Role::Source);
            Box::new(MqttSource::open(remote, filters, qos).await?)
        }
    })
}

/// See [`crate::keep_sessions`].
pub(crate) fn keep_sessions(broker: &Broker, spec: &SourceSpec, instances: &[FlowIdentity]) {
    let Some(first) = instances.first() else { return };
    match (&spec.endpoint.settings, &spec.data_sources) {
        (Settings::Mqtt(mqtt), DataSources::Mqtt { filters, qos }) if mqtt.host == MqttHost::LocalBroker => {
            let client = |flow| client_id(mqtt.client_id_prefix.as_deref(), flow, Role::Source);
            let clients: Vec<_> = instances.iter().map(client).collect();
            let wanted = Subscriptions::new(filters, first).wanted();
            broker.reassign(&first.owner(), &clients, &wanted, mqtt_qos(*qos));
        }
        _ => broker.reassign(&first.owner(), &[], &[], QoS::AtMostOnce),
    }
}

/// Makes the sink of an MQTT endpoint.
pub(crate) fn open_sink(
    endpoint: &Arc<Endpoint>,
    mqtt: &Mqtt,
    topic: &TopicTemplate,
    headers: &[HeaderAction],
    context: &Context,
) -> Box<dyn Sink> {
    let rules = PublicationRules::new(endpoint, mqtt, topic, headers);
    match (&mqtt.host, &context.local_broker) {
        (MqttHost::LocalBroker, LocalBroker::Embedded(broker)) => {
            Box::new(LocalSink::new(broker, endpoint, mqtt, rules, context))
        }
        (MqttHost::LocalBroker, LocalBroker::Remote { address, .. })
        | (MqttHost::Remote { address, .. }, _) => {
            Box::new(MqttSink::new(Remote::new(address, endpoint, mqtt, context, Role::Sink), rules))
        }
    }
}

/// The setting as MQTT's number.
fn mqtt_qos(qos: Qos) -> QoS {
    match qos {
        Qos::Zero => QoS::AtMostOnce,
        Qos::One => QoS::AtLeastOnce,
    }
}

/// Now, by the clock that tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Which end of a data flow a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Source,
    Sink,
}

/// The client identifier of one end of a data flow instance: `<prefix><namespace>.<profile>.<dataflow>`, then
/// `.<instance>` for every instance but the first, then `.out` for a sink. It is the same after a restart, which is
/// what lets a source resume its session. None of the names holds a dot, so no two data flows share an identifier.
fn client_id(prefix: Option<&str>, flow: &FlowIdentity, role: Role) -> String {
    let instance = match flow.instance_index {
        0 => String::new(),
        n => format!(".{n}"),
    };
    let end = match role {
        Role::Source => "",
        Role::Sink => ".out",
    };
    format!("{}{}{instance}{end}", prefix.unwrap_or_default(), share_group(flow))
}

/// The client identifier of the source of a data flow instance.
pub fn source_client_id(mqtt: &Mqtt, flow: &FlowIdentity) -> String {
    client_id(mqtt.client_id_prefix.as_deref(), flow, Role::Source)
}

/// The group in which all instances of a data flow share their subscriptions.
fn share_group(flow: &FlowIdentity) -> String {
    format!("{}.{}.{}", flow.namespace, flow.profile, flow.dataflow)
}
