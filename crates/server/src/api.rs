//! The answers of `/api/v1`, as outsiders see them. Nothing else in the workspace is `Serialize` for them.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use tidegate_broker::{LogUsage, Stats};
use tidegate_model::endpoint::{Endpoint, MqttHost, Settings};
use tidegate_model::plan::{DataDestination, DataSources, Plan};
use tidegate_runtime::{FlowReport, InstanceReport};
use utoipa::ToSchema;

use crate::gateway::Idle;

#[derive(Serialize, ToSchema)]
pub(crate) struct Dataflows {
    pub(crate) dataflows: Vec<Dataflow>,
}

/// One of a stream of server-sent events (WHATWG HTML, "Server-sent events").
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is written as text")]
pub(crate) struct Event {
    /// Of an event that is not the usual one.
    event: Option<String>,
    /// What happened, as JSON.
    data: String,
}

/// Everything about an instance in one look. Rates are differences of counters between two looks, over that of `at`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    pub(crate) instance: Instance,
    /// Null where the local broker is another process.
    pub(crate) broker: Option<Broker>,
    pub(crate) dataflows: Vec<Dataflow>,
}

/// The process.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    pub(crate) version: &'static str,
    /// When this was looked at.
    pub(crate) at: String,
    pub(crate) started_at: String,
    pub(crate) uptime_seconds: u64,
    /// Whether every flow is known to work, or its trouble is known.
    pub(crate) ready: bool,
    /// The namespace of resources that name none.
    pub(crate) namespace: String,
    /// Whether it runs files, which the API can't change.
    pub(crate) read_only: bool,
    /// Whether the API wants its token, which whoever reads this has sent.
    pub(crate) wants_token: bool,
    /// Which of several processes it is (`--instance I/N`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_count: Option<u32>,
}

/// A data flow, what it does and how it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dataflow {
    namespace: String,
    name: String,
    profile: String,
    /// `Enabled` or `Disabled`.
    mode: &'static str,
    /// `starting`, `running`, `troubled`, `disabled` or `not-run`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Destination>,
    instance_count: u32,
    health: Health,
    /// The instances in this process.
    instances: Vec<FlowInstance>,
    messages: Messages,
    /// Messages that the source holds for the flow and that are not acknowledged yet; null where it can't be known.
    lag: Option<u64>,
    /// Since when the first of them has waited there; absent where nothing waits, or it can't be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<Spool>,
    /// Null where they are not kept (`--dlq drop`).
    dead_letters: Option<LetterBox>,
}

/// One of several instances of a flow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FlowInstance {
    index: u32,
    /// `Available`, `Unavailable` or `Unknown`.
    status: &'static str,
    reason_code: Option<&'static str>,
    message: Option<String>,
}

impl From<InstanceReport> for FlowInstance {
    fn from(InstanceReport { index, status, trouble }: InstanceReport) -> Self {
        Self {
            index,
            status: status.as_str(),
            reason_code: trouble.as_ref().map(|t| t.reason),
            message: trouble.map(|t| t.message),
        }
    }
}

/// What waits at the source of a flow.
pub(crate) struct Lag {
    pub(crate) messages: u64,
    pub(crate) oldest_age: Option<Duration>,
}

/// The dead letters of a flow, in numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct LetterBox {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    /// Letters that fell out since the process started, because there were too many.
    pub(crate) dropped: u64,
}

/// What lies in the spools of a flow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Spool {
    messages: u64,
    bytes: u64,
    bytes_max: u64,
    oldest_age_seconds: Option<u64>,
    full_in_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Peer {
    endpoint: String,
    r#type: &'static str,
    service_type: &'static str,
    address: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(flatten)]
    peer: Peer,
    data_sources: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Destination {
    #[serde(flatten)]
    peer: Peer,
    data_destination: String,
}

/// `healthState` of AIO's resources.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    /// `Available`, `Degraded`, `Unavailable` or `Unknown`.
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

/// The books of a flow: `accepted = delivered + filtered + expired + deadLettered + inFlight`, at any moment.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Messages {
    /// Handed over by the source, redeliveries included.
    received: u64,
    /// Given back to the source unacknowledged; they come again.
    returned: u64,
    /// Received less returned.
    accepted: u64,
    /// Confirmed by the destination.
    delivered: u64,
    /// Dropped by a filter.
    filtered: u64,
    /// Their Message Expiry Interval ran out.
    expired: u64,
    /// Could not be processed, or refused by the destination for good.
    dead_lettered: u64,
    /// Taken over and not settled.
    in_flight: u64,
    /// QoS 0 messages that were never accepted.
    dropped_when_busy: u64,
    /// Writes that were tried again.
    retried: u64,
    /// Payload bytes.
    bytes_received: u64,
    /// Payload bytes.
    bytes_delivered: u64,
}

/// Why a request is not granted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Error {
    error: ErrorMessage,
}

#[derive(Serialize, ToSchema)]
struct ErrorMessage {
    /// A sentence.
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

    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(crate) fn with(self, lag: Option<Lag>, dead_letters: Option<LetterBox>) -> Self {
        Self {
            lag: lag.as_ref().map(|lag| lag.messages),
            lag_age_seconds: lag.and_then(|lag| lag.oldest_age).map(|age| age.as_secs()),
            dead_letters,
            ..self
        }
    }

    /// A flow that runs; the lag and the dead letters are for who knows them.
    pub(crate) fn running(report: &FlowReport) -> Self {
        let FlowReport { plan, state, health, instances, ledger, spool } = report;
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
            instances: instances.iter().cloned().map(FlowInstance::from).collect(),
            lag: None,
            lag_age_seconds: None,
            dead_letters: None,
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
            instances: vec![],
            messages: Messages::default(),
            lag: None,
            lag_age_seconds: None,
            spool: None,
            dead_letters: None,
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
#[derive(Serialize, ToSchema)]
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
    health: BrokerHealth,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<BrokerLog>,
}

#[derive(Serialize, ToSchema)]
struct BrokerHealth {
    /// `Degraded` while publishers are pushed back for want of room on disk.
    status: &'static str,
    message: String,
}

/// How full the log under the sessions is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BrokerLog {
    bytes: u64,
    bytes_max: u64,
    live_bytes: u64,
    live_bytes_max: u64,
    disk_free_bytes: Option<u64>,
    records_unsynced: u64,
    full: bool,
    full_in_seconds: Option<u64>,
}

impl Broker {
    pub(crate) fn of(stats: &Stats, log: Option<LogUsage>) -> Self {
        let pushes_back = log.as_ref().is_some_and(LogUsage::pushes_back);
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
            health: BrokerHealth {
                status: if pushes_back { "Degraded" } else { "Available" },
                message: log.as_ref().and_then(LogUsage::message).unwrap_or_default(),
            },
            log: log.map(|usage| BrokerLog {
                bytes: usage.bytes,
                bytes_max: usage.bytes_max,
                live_bytes: usage.live_bytes,
                live_bytes_max: usage.live_bytes_max,
                disk_free_bytes: usage.disk_free,
                records_unsynced: usage.records_unsynced,
                full: pushes_back,
                full_in_seconds: usage.full_in.map(|full_in| full_in.as_secs()),
            }),
        }
    }
}
