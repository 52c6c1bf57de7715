//! `/api/v1/tap` and `/api/v1/dataflows/NAME/tap`: messages as they pass, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, SelectAll};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_core::Record;
use tidegate_runtime::{Stage, Tapped};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{self, rfc3339};
use crate::gateway::Shared;
use crate::http::{Refusal, refuse};
use crate::http_input::{Path, Query};
use crate::message::Message;

/// How often a stream without events shows that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(tap)).routes(routes!(tap_one))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TapQuery {
    /// Where to look: `source`, `transformed`, `destination`, `filtered`, `dead-lettered`, several with commas between;
    /// everywhere without it.
    stage: Option<String>,
    namespace: Option<String>,
    /// Names of data flows, with commas between; all that are known now without it.
    dataflow: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TapOneQuery {
    /// Where to look: `source`, `transformed`, `destination`, `filtered`, `dead-lettered`, several with commas between;
    /// everywhere without it.
    stage: Option<String>,
    /// Which, if several namespaces have a flow of that name.
    namespace: Option<String>,
}

/// A message that was seen on its way through a flow.
#[derive(Serialize, ToSchema)]
pub(crate) struct Seen<'a> {
    namespace: &'a str,
    dataflow: &'a str,
    /// `source`, `transformed`, `destination`, `filtered` or `dead-lettered`.
    stage: &'static str,
    #[schema(inline)]
    message: Message<'a>,
    /// What it was before it was transformed; with `transformed` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    before: Option<Message<'a>>,
    /// Why it goes no further; with `filtered` and `dead-lettered` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Messages of several flows as they pass. Each event's data is a `Seen`; the event `lagged`
/// tells how many went by unseen because they came too fast: `{"skipped": 12}`.
#[utoipa::path(get, path = "/tap", tag = "messages", params(TapQuery),
    responses((status = 200, content_type = "text/event-stream", body = api::Event)))]
async fn tap(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<TapQuery>,
) -> Result<impl IntoResponse, Refusal> {
    let stages = stages(query.stage.as_deref())?;
    let mut flows = Vec::new();
    match &query.dataflow {
        Some(names) => {
            for name in names.split(',') {
                flows.push((find(&shared, query.namespace.as_deref(), name)?, name.to_owned()));
            }
        }
        None => {
            flows = shared.flows();
            flows.retain(|(ns, _)| query.namespace.as_ref().is_none_or(|wanted| wanted == ns));
        }
    }
    let mut all = SelectAll::new();
    for (namespace, name) in flows {
        let watch = shared.supervisor.tap(&namespace, &name).watch();
        all.push(Box::pin(watched(watch, stages.clone(), move |tapped| {
            let seen = Seen {
                namespace: &namespace,
                dataflow: &name,
                stage: tapped.stage.as_str(),
                message: message(&tapped.record),
                before: tapped.before.as_ref().map(message),
                reason: tapped.reason.as_deref(),
            };
            serde_json::to_string(&seen).expect("a message has string keys only")
        })));
    }
    // a tap on no flow at all is open too, and shows nothing
    Ok(sse(all.chain(stream::pending()), &shared))
}

/// Messages of one flow as they pass. Each event's data is a `Message` with its stage; the event `lagged` tells how many
/// went by unseen because they came too fast: `{"skipped": 12}`.
#[utoipa::path(get, path = "/dataflows/{name}/tap", tag = "messages",
    params(("name" = String, Path, description = "Name of the data flow"), TapOneQuery),
    responses((status = 200, content_type = "text/event-stream", body = api::Event)))]
async fn tap_one(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<TapOneQuery>,
) -> Result<impl IntoResponse, Refusal> {
    let stages = stages(query.stage.as_deref())?;
    let namespace = find(&shared, query.namespace.as_deref(), &name)?;
    let watch = shared.supervisor.tap(&namespace, &name).watch();
    let events = watched(watch, stages, |tapped| {
        let message = Message { stage: Some(tapped.stage.as_str()), ..message(&tapped.record) };
        serde_json::to_string(&message).expect("a message has string keys only")
    });
    Ok(sse(events, &shared))
}

fn find(shared: &Shared, namespace: Option<&str>, name: &str) -> Result<String, Refusal> {
    shared.find_flow(namespace, name).map_err(|why| refuse(StatusCode::NOT_FOUND, why))
}

fn stages(given: Option<&str>) -> Result<Vec<Stage>, Refusal> {
    let Some(given) = given else { return Ok(Stage::ALL.to_vec()) };
    let parse = |name: &str| {
        let known = Stage::ALL.into_iter().find(|stage| stage.as_str() == name);
        let all = Stage::ALL.map(Stage::as_str).join(", ");
        let why = format!("there is no stage {name:?}: {all}");
        known.ok_or_else(|| refuse(StatusCode::BAD_REQUEST, why))
    };
    given.split(',').map(parse).collect()
}

/// A record as it was received.
fn message(record: &Record) -> Message<'_> {
    let received = SystemTime::now() - record.received_at.elapsed();
    Message { timestamp: Some(rfc3339(received)), ..Message::of(record) }
}

fn watched(
    watch: Receiver<Arc<Tapped>>,
    stages: Vec<Stage>,
    show: impl Fn(&Tapped) -> String,
) -> impl Stream<Item = Event> {
    stream::unfold((watch, stages, show), async |(mut watch, stages, show)| {
        loop {
            let event = match watch.recv().await {
                Ok(seen) if stages.contains(&seen.stage) => Event::default().data(show(&seen)),
                Ok(_) => continue,
                Err(RecvError::Lagged(n)) => {
                    Event::default().event("lagged").data(json!({ "skipped": n }).to_string())
                }
                Err(RecvError::Closed) => return None,
            };
            return Some((event, (watch, stages, show)));
        }
    })
}

/// Events until the instance stops.
pub(crate) fn sse<E: Stream<Item = Event> + Send + 'static>(
    events: E,
    shared: &Shared,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send + use<E>> {
    let stopped = shared.stopping.clone().cancelled_owned();
    let events = events.map(Ok).take_until(stopped);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
