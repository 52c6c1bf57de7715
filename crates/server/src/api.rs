//! The answers of `/api/v1`, as outsiders see them. Nothing else in the workspace is `Serialize` for them.

use std::time::SystemTime;

use serde::Serialize;
use tidegate_broker::Stats;
use tidegate_model::endpoint::{Endpoint, MqttHost, Settings};
use tidegate_model::plan::{DataDestination, DataSources, Plan};
use tidegate_runtime::FlowReport;

use crate::gateway::Idle;

#[derive(Serialize)]
pub(crate) struct Dataflows {
    pub(crate) dataflows: Vec<Dataflow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dataflow {
    namespace: String,
    name: String,
    profile: String,
    mode: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Destination>,
    instance_count: u32,
    health: Health,
    messages: Messages,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<Spool>,
}

/// What lies in the spools of a flow.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spool {
    messages: u64,
    bytes: u64,
    bytes_max: u64,
    oldest_age_seconds: Option<u64>,
    full_in_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    endpoint: String,
    r#type: &'static str,
    service_type: &'static str,
    address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(flatten)]
    peer: Peer,
    data_sources: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    #[serde(flatten)]
    peer: Peer,
    data_destination: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    status: &'static str,
    reason_code: Option<&'static str>,
    message: String,
    last_transition_time: String,
    last_update_time: String,
}

impl Health {
    /// The health of a profile: all flows good is Available, some bad Degraded, all bad Unavailable; none without flows.
    pub(crate) fn aggregate(flows: &[&Self]) -> Option<Self> {
        let is = |status| move |health: &&&Self| health.status == status;
        let worst = flows.iter().find(is("Unavailable")).or(flows.iter().find(is("Degraded")));
        let shown = worst.or(flows.iter().find(is("Unknown"))).or(flows.first())?;
        let bad = flows.iter().filter(is("Unavailable")).count();
        let status = match worst {
            Some(_) if bad == flows.len() => "Unavailable",
            Some(_) => "Degraded",
            None => shown.status,
        };
        Some(Self { status, ..(**shown).clone() })
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Messages {
    received: u64,
    returned: u64,
    accepted: u64,
    delivered: u64,
    filtered: u64,
    expired: u64,
    dead_lettered: u64,
    in_flight: u64,
    dropped_when_busy: u64,
    retried: u64,
    bytes_received: u64,
    bytes_delivered: u64,
}

#[derive(Serialize)]
pub(crate) struct Error {
    error: ErrorMessage,
}

#[derive(Serialize)]
struct ErrorMessage {
    message: String,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { error: ErrorMessage { message: message.into() } }
    }
}

impl Dataflow {
    pub(crate) fn health(self) -> Health {
        self.health
    }

    pub(crate) fn running(report: &FlowReport) -> Self {
        let FlowReport { plan, state, health, ledger, spool } = report;
        Self {
            namespace: plan.namespace.clone(),
            name: plan.name.to_string(),
            profile: plan.profile.to_string(),
            mode: "Enabled",
            state: state.as_str(),
            source: Some(source(plan)),
            destination: Some(destination(plan)),
            instance_count: plan.instance_count,
            health: Health {
                status: health.status.as_str(),
                reason_code: health.reason_code,
                message: health.message.clone(),
                last_transition_time: rfc3339(health.last_transition),
                last_update_time: rfc3339(SystemTime::now()),
            },
            messages: Messages {
                received: ledger.received,
                returned: ledger.returned,
                accepted: ledger.accepted(),
                delivered: ledger.delivered,
                filtered: ledger.filtered,
                expired: ledger.expired,
                dead_lettered: ledger.dead_lettered,
                in_flight: ledger.in_flight,
                dropped_when_busy: ledger.dropped_when_busy,
                retried: ledger.retried,
                bytes_received: ledger.bytes_received,
                bytes_delivered: ledger.bytes_delivered,
            },
            spool: spool.as_ref().map(|spool| Spool {
                messages: spool.messages,
                bytes: spool.bytes,
                bytes_max: spool.bytes_max,
                oldest_age_seconds: spool.oldest_age.map(|age| age.as_secs()),
                full_in_seconds: spool.full_in.map(|time| time.as_secs()),
            }),
        }
    }

    /// A flow that is known and does not run.
    pub(crate) fn idle(idle: &Idle) -> Self {
        let now = rfc3339(SystemTime::now());
        Self {
            namespace: idle.namespace.clone(),
            name: idle.name.clone(),
            profile: idle.profile.clone(),
            mode: if idle.disabled { "Disabled" } else { "Enabled" },
            state: if idle.disabled { "disabled" } else { "not-run" },
            source: idle.plan.as_deref().map(source),
            destination: idle.plan.as_deref().map(destination),
            instance_count: idle.plan.as_ref().map_or(1, |p| p.instance_count),
            health: Health {
                status: "Unknown",
                reason_code: None,
                message: idle.message.clone(),
                last_transition_time: now.clone(),
                last_update_time: now,
            },
            messages: Messages::default(),
            spool: None,
        }
    }
}

fn source(plan: &Plan) -> Source {
    let data_sources = match &plan.source.data_sources {
        DataSources::Mqtt { filters, .. } => filters.iter().map(ToString::to_string).collect(),
        DataSources::Kafka { topics, .. } => topics.clone(),
    };
    Source { peer: peer(&plan.source.endpoint), data_sources }
}

fn destination(plan: &Plan) -> Destination {
    let data_destination = match &plan.destination.data_destination {
        DataDestination::Topic(topic) => topic.to_string(),
        DataDestination::Name(name) => name.clone(),
    };
    Destination { peer: peer(&plan.destination.endpoint), data_destination }
}

fn peer(endpoint: &Endpoint) -> Peer {
    let address = match &endpoint.settings {
        Settings::Mqtt(m) => match &m.host {
            MqttHost::LocalBroker => "aio-broker".to_owned(),
            MqttHost::Remote { address, path } => format!("{address}{}", path.as_deref().unwrap_or_default()),
        },
        Settings::Kafka(k) => k.host.to_string(),
        Settings::DataLakeStorage(s) => s.host.to_string(),
        Settings::FabricOneLake(s) => s.host.to_string(),
        Settings::DataExplorer(s) => s.host.to_string(),
        Settings::LocalStorage(s) => s.volume.to_string(),
        Settings::OpenTelemetry(s) => s.host.to_string(),
    };
    Peer {
        endpoint: endpoint.name.to_string(),
        r#type: endpoint.settings.endpoint_type().as_str(),
        service_type: endpoint.service_type(),
        address,
    }
}

pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// The local broker in numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Broker {
    connections: usize,
    sessions: usize,
    subscriptions: usize,
    retained_messages: usize,
    queued_messages: usize,
    queued_bytes: usize,
    messages_received: u64,
    messages_sent: u64,
    publishes_refused: u64,
}

impl Broker {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            connections: stats.connections,
            sessions: stats.sessions,
            subscriptions: stats.subscriptions,
            retained_messages: stats.retained_messages,
            queued_messages: stats.queued_messages,
            queued_bytes: stats.queued_bytes,
            messages_received: stats.counters.messages_received,
            messages_sent: stats.counters.messages_sent,
            publishes_refused: stats.counters.publishes_refused,
        }
    }
}
