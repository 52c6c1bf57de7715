//! `/api/v1/status`, `/api/v1/dataflows` and `/api/v1/metrics`: how the instance is, in words and numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use serde::Serialize;
use tidegate_model::endpoint::{MqttHost, Settings};
use tidegate_model::plan::Plan;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Broker, Dataflow, Dataflows, Instance, LetterBox, Status, rfc3339};
use crate::gateway::Shared;
use crate::http::{Refusal, aside};

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(dataflows)).routes(routes!(metrics))
}

/// The instance, its local broker and every data flow.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = Status)))]
async fn status(State(shared): State<Arc<Shared>>) -> Result<Json<Status>, Refusal> {
    aside(move || {
        let now = SystemTime::now();
        let (namespace, read_only) = {
            let resources = shared.resources.lock();
            (resources.namespace().to_owned(), resources.is_read_only())
        };
        let instance = Instance {
            version: env!("CARGO_PKG_VERSION"),
            at: rfc3339(now),
            started_at: rfc3339(shared.started_at),
            uptime_seconds: now.duration_since(shared.started_at).unwrap_or_default().as_secs(),
            ready: shared.supervisor.is_ready(),
            namespace,
            read_only,
            instance_index: shared.instance.map(|i| i.index),
            instance_count: shared.instance.map(|i| i.count),
        };
        let broker = shared.broker().map(|broker| Broker::of(&broker.stats(), broker.log_usage()));
        Json(Status { instance, broker, dataflows: all(&shared) })
    })
    .await
}

/// Every data flow.
#[utoipa::path(get, path = "/dataflows", tag = "status", responses((status = 200, body = Dataflows)))]
async fn dataflows(State(shared): State<Arc<Shared>>) -> Result<Json<Dataflows>, Refusal> {
    aside(move || Json(Dataflows { dataflows: all(&shared) })).await
}

/// May wait for the disk.
fn all(shared: &Shared) -> Vec<Dataflow> {
    let letters = |flow: &str| {
        let fill = shared.dead_letters.as_ref()?.fill(flow);
        Some(LetterBox { count: fill.count, bytes: fill.bytes, dropped: fill.dropped })
    };
    let mut dataflows: Vec<_> = shared
        .supervisor
        .report()
        .iter()
        .map(|report| {
            let instances = report.instances.iter().map(|instance| instance.index);
            let lag = shared.broker().and_then(|broker| lag(&report.plan, instances, broker));
            let flow = Dataflow::running(report);
            let letters = letters(&flow.key());
            flow.with(lag, letters)
        })
        .collect();
    dataflows.extend(shared.idle.lock().iter().map(|idle| {
        let flow = Dataflow::idle(idle);
        let letters = letters(&flow.key());
        flow.with(None, letters)
    }));
    dataflows
}

/// What waits in the sessions of a flow with the local broker in this process.
fn lag(plan: &Plan, instances: impl Iterator<Item = u32>, broker: &tidegate_broker::Broker) -> Option<u64> {
    let Settings::Mqtt(mqtt) = &plan.source.endpoint.settings else { return None };
    if mqtt.host != MqttHost::LocalBroker {
        return None;
    }
    let of = |index| {
        let flow = tidegate_connect::FlowIdentity {
            namespace: plan.namespace.clone(),
            profile: plan.profile.to_string(),
            dataflow: plan.name.to_string(),
            instance_index: index,
            instance_count: plan.instance_count,
        };
        broker.queued_messages(&tidegate_connect::source_client_id(mqtt, &flow)).unwrap_or_default()
    };
    Some(instances.map(of).sum::<usize>() as u64)
}

/// Every metric at one moment.
#[derive(Serialize, ToSchema)]
struct Metrics {
    at: String,
    metrics: Vec<Metric>,
}

/// A family of metrics, as in Prometheus' text format.
#[derive(Serialize, ToSchema)]
struct Metric {
    name: String,
    help: String,
    /// `counter`, `gauge` or `histogram`.
    r#type: &'static str,
    samples: Vec<Sample>,
}

#[derive(Serialize, ToSchema)]
struct Sample {
    labels: BTreeMap<String, String>,
    /// Of a counter or a gauge.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Histogram>,
}

#[derive(Serialize, ToSchema)]
struct Histogram {
    count: u64,
    sum: f64,
    /// How many observations were at most `le`; the bucket of all is `count`.
    buckets: Vec<Bucket>,
}

#[derive(Serialize, ToSchema)]
struct Bucket {
    le: f64,
    count: u64,
}

impl Metric {
    fn of(family: &MetricFamily) -> Self {
        let r#type = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        let samples = family.get_metric().iter().map(|metric| {
            let label = |pair: &LabelPair| (pair.name().to_owned(), pair.value().to_owned());
            let labels = metric.get_label().iter().map(label).collect();
            let (value, histogram) = match r#type {
                "counter" => (Some(metric.get_counter().get_value()), None),
                "gauge" => (Some(metric.get_gauge().get_value()), None),
                _ => {
                    let histogram = metric.get_histogram();
                    let buckets = histogram.get_bucket().iter();
                    let bucket = |b: &prometheus::proto::Bucket| Bucket {
                        le: b.upper_bound(),
                        count: b.cumulative_count(),
                    };
                    let buckets = buckets.map(bucket).filter(|b| b.le.is_finite()).collect();
                    let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
                    (None, Some(Histogram { count, sum, buckets }))
                }
            };
            Sample { labels, value, histogram }
        });
        Self {
            name: family.name().to_owned(),
            help: family.help().to_owned(),
            r#type,
            samples: samples.collect(),
        }
    }
}

/// The metrics of `/metrics` as JSON.
#[utoipa::path(get, path = "/metrics", tag = "status", responses((status = 200, body = Metrics)))]
async fn metrics(State(shared): State<Arc<Shared>>) -> Json<Metrics> {
    shared.show_metrics();
    let metrics = shared.registry().gather().iter().map(Metric::of).collect();
    Json(Metrics { at: rfc3339(SystemTime::now()), metrics })
}

/// The metrics in Prometheus' text format.
pub(crate) async fn prometheus(State(shared): State<Arc<Shared>>) -> Response {
    shared.show_metrics();
    match TextEncoder::new().encode_to_string(&shared.registry().gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
