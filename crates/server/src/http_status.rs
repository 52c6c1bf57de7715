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
use serde::{Deserialize, Serialize};
use tidegate_model::endpoint::{MqttHost, Settings};
use tidegate_model::plan::Plan;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Broker, Dataflow, Dataflows, Instance, Lag, LetterBox, Status, rfc3339};
use crate::gateway::Shared;
use crate::http::{Refusal, aside};
use crate::http_input::Query;

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
            wants_token: shared.api_token.is_some(),
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
fn lag(plan: &Plan, instances: impl Iterator<Item = u32>, broker: &tidegate_broker::Broker) -> Option<Lag> {
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
        broker.waiting(&tidegate_connect::source_client_id(mqtt, &flow))
    };
    let nothing = Lag { messages: 0, oldest_age: None };
    Some(instances.filter_map(of).fold(nothing, |lag, waiting| Lag {
        messages: lag.messages + waiting.messages as u64,
        oldest_age: lag.oldest_age.max(waiting.oldest_age),
    }))
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

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MetricsQuery {
    /// The data flow whose samples are wanted; all samples without it.
    dataflow: Option<String>,
}

impl Metric {
    /// A family, with the samples of one data flow if one is asked for.
    fn of(family: &MetricFamily, dataflow: Option<&str>) -> Self {
        let r#type = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        let is_wanted = |metric: &&prometheus::proto::Metric| {
            let of_flow = |pair: &LabelPair| pair.name() == "dataflow" && Some(pair.value()) == dataflow;
            dataflow.is_none() || metric.get_label().iter().any(of_flow)
        };
        let samples = family.get_metric().iter().filter(is_wanted).map(|metric| {
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

/// The metrics of `/metrics` as JSON, those of one data flow or all.
#[utoipa::path(get, path = "/metrics", tag = "status", params(MetricsQuery),
    responses((status = 200, body = Metrics)))]
async fn metrics(State(shared): State<Arc<Shared>>, Query(query): Query<MetricsQuery>) -> Json<Metrics> {
    shared.show_metrics();
    let dataflow = query.dataflow.as_deref();
    let families = shared.registry().gather();
    let metrics = families.iter().map(|family| Metric::of(family, dataflow));
    let metrics = metrics.filter(|metric| !metric.samples.is_empty()).collect();
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
