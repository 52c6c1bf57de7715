//! HTTP: the web UI's files, `/metrics`, `/healthz` and `/readyz` for anybody who can reach the port, `/api/v1` for this
//! machine only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, stream};
use prometheus::TextEncoder;
use serde::Deserialize;
use serde_json::json;
use tidegate_runtime::{Stage, Tapped};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{Broker, Dataflow, Dataflows, Error, rfc3339};
use crate::gateway::Shared;
use crate::message::Message;
use crate::{http_dead_letters, http_resources, http_services, ui};

/// How often a tap without messages shows that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/dataflows", get(dataflows))
        .route("/dataflows/{name}/tap", get(tap))
        .route("/broker", get(broker))
        .merge(http_resources::router())
        .merge(http_services::router())
        .merge(http_dead_letters::router())
        .layer(middleware::from_fn(local_only));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .merge(ui::router())
        .with_state(shared)
}

/// Payloads are for people on this machine. The peer must be on it, and the page that asks must not be of another
/// host: a name that was rebound to loopback (DNS rebinding) shows in the Host header, a foreign page in Origin.
async fn local_only(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host_of = |value: &str| {
        let authority = value.split_once("://").map_or(value, |(_, rest)| rest);
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { host } else { authority }
        });
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let local =
        |name| headers.get(name).is_none_or(|value: &header::HeaderValue| value.to_str().is_ok_and(host_of));
    if peer.ip().to_canonical().is_loopback() && local(header::HOST) && local(header::ORIGIN) {
        next.run(request).await
    } else {
        let why = "the API answers this machine only, as localhost or a loopback address";
        (StatusCode::FORBIDDEN, Json(Error::new(why))).into_response()
    }
}

/// Why a request is not granted.
pub(crate) struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(Error::new(self.1))).into_response()
    }
}

pub(crate) fn refuse(status: StatusCode, why: impl Into<String>) -> Refusal {
    Refusal(status, why.into())
}

async fn dataflows(State(shared): State<Arc<Shared>>) -> Json<Dataflows> {
    let mut dataflows: Vec<_> = shared.supervisor.report().iter().map(Dataflow::running).collect();
    dataflows.extend(shared.idle.lock().iter().map(Dataflow::idle));
    Json(Dataflows { dataflows })
}

async fn broker(State(shared): State<Arc<Shared>>) -> Response {
    match shared.broker() {
        Some(broker) => Json(Broker::of(&broker.stats())).into_response(),
        None => (StatusCode::NOT_FOUND, Json(Error::new("the local broker is not in this process")))
            .into_response(),
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.supervisor.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    shared.show_metrics();
    match TextEncoder::new().encode_to_string(&shared.registry().gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Deserialize)]
struct TapQuery {
    stage: Option<String>,
    namespace: Option<String>,
}

async fn tap(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<TapQuery>,
) -> Response {
    let stage = match query.stage.as_deref() {
        None => None,
        Some("source") => Some(Stage::Source),
        Some("transformed") => Some(Stage::Transformed),
        Some("destination") => Some(Stage::Destination),
        Some(other) => {
            let why = format!("there is no stage {other:?}: source, transformed or destination");
            return (StatusCode::BAD_REQUEST, Json(Error::new(why))).into_response();
        }
    };
    match shared.find_flow(query.namespace.as_deref(), &name) {
        Ok(namespace) => {
            let watch = shared.supervisor.tap(&namespace, &name).watch();
            Sse::new(events(watch, stage, shared.stopping.clone()))
                .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
                .into_response()
        }
        Err(why) => (StatusCode::NOT_FOUND, Json(Error::new(why))).into_response(),
    }
}

fn events(
    watch: Receiver<Tapped>,
    stage: Option<Stage>,
    stopping: tokio_util::sync::CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((watch, stopping), move |(mut watch, stopping)| async move {
        loop {
            let event = tokio::select! {
                seen = watch.recv() => match seen {
                    Ok(seen) if stage.is_none_or(|s| s == seen.stage) => Event::default().data(line(&seen)),
                    Ok(_) => continue,
                    Err(RecvError::Lagged(n)) => Event::default().event("lagged").data(json!({ "skipped": n }).to_string()),
                    Err(RecvError::Closed) => return None,
                },
                () = stopping.cancelled() => return None,
            };
            return Some((Ok(event), (watch, stopping)));
        }
    })
}

fn line(seen: &Tapped) -> String {
    let stage = match seen.stage {
        Stage::Source => "source",
        Stage::Transformed => "transformed",
        Stage::Destination => "destination",
    };
    let received = SystemTime::now() - seen.record.received_at.elapsed();
    let message =
        Message { stage: Some(stage), timestamp: Some(rfc3339(received)), ..Message::of(&seen.record) };
    serde_json::to_string(&message).expect("a message has string keys only")
}
