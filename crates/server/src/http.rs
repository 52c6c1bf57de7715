//! HTTP: the web UI's files, `/metrics`, `/healthz` and `/readyz` for anybody who can reach the port, `/api/v1` for whom
//! `http_access` lets in.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::api::Error;
use crate::gateway::Shared;
use crate::http_tap::Seen;
use crate::message::Message;
use crate::{
    http_access, http_broker, http_dead_letters, http_reference, http_resources, http_services, http_status,
    http_tap, http_try, ui,
};

/// The largest body of a request, in bytes: many resources, or a large value.
const BODY_BYTES_MAX: usize = 64 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tidegate",
        description = "The control API of one running instance. What goes wrong is answered with `error.message`, a sentence.",
    ),
    components(schemas(Error, Seen<'_>, Message<'_>))
)]
struct Document;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let api = OpenApiRouter::new()
        .merge(http_status::router())
        .merge(http_tap::router())
        .merge(http_try::router())
        .merge(http_reference::router())
        .merge(http_resources::router())
        .merge(http_dead_letters::router())
        .merge(http_services::router())
        .merge(http_broker::router());
    let (api, document) =
        OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", api).split_for_parts();
    let (access, mut document) =
        OpenApiRouter::with_openapi(document).nest("/api/v1", http_access::router()).split_for_parts();
    document.paths.paths.values_mut().flat_map(operations).for_each(may_fail);
    let document: Arc<str> = document.to_pretty_json().expect("all keys are strings").into();
    let document = async move || ([(header::CONTENT_TYPE, "application/json")], document.to_string());
    let api = api
        .route("/api/v1/openapi.json", get(document))
        .route("/api/v1/{*path}", axum::routing::any(no_such_path))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), http_access::admit));
    Router::new()
        .merge(api)
        .merge(access)
        .route("/metrics", get(http_status::prometheus))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .merge(ui::router())
        .with_state(shared)
}

fn operations(path: &mut utoipa::openapi::PathItem) -> impl Iterator<Item = &mut Operation> {
    let utoipa::openapi::PathItem { get, put, post, delete, .. } = path;
    [get, put, post, delete].into_iter().flatten()
}

/// Every operation may be refused.
fn may_fail(operation: &mut Operation) {
    let refusal = |description: &str| {
        ResponseBuilder::new()
            .description(description)
            .content(
                "application/json",
                ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build(),
            )
            .build()
    };
    for (status, description) in
        [("4XX", "What is wrong with the request"), ("5XX", "Why it can't be done now")]
    {
        let responses = &mut operation.responses.responses;
        responses.entry(status.into()).or_insert_with(|| refusal(description).into());
    }
}

async fn no_such_path() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "the API has no such path: see /api/v1/openapi.json")
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

/// Runs what waits for the disk, or computes for long, where it keeps nobody else waiting.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| refuse(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.supervisor.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}
