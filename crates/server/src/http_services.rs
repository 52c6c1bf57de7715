//! `/api/v1/state` and `/api/v1/schemas`: the state store and the schema registry for people and scripts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_services::schema_registry::{PutError, SchemaDescription, SchemaName, SchemaVersion};
use tidegate_services::state_store::{SetOptions, StateStore, StateStoreError, Versioned, Watch};

use crate::gateway::Shared;
use crate::http::{Refusal, refuse};
use crate::services::Services;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/state/{*key}", get(get_state).put(set_state).delete(delete_state))
        .route("/schemas", get(schemas))
        .route("/schemas/{name}/{version}", get(schema).put(put_schema))
}

fn services(shared: &Shared) -> Result<&Services, Refusal> {
    let why = "state store and schema registry are with the other broker: `--broker` names one";
    shared.services().ok_or_else(|| refuse(StatusCode::NOT_FOUND, why))
}

fn state_store(shared: &Shared) -> Result<&StateStore, Refusal> {
    services(shared).map(|s| &s.state_store)
}

fn refused(error: &StateStoreError) -> Refusal {
    let status = match error {
        StateStoreError::Refused(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    refuse(status, error.to_string())
}

#[derive(Deserialize)]
struct GetQuery {
    /// Whether to go on telling of changes, as server-sent events.
    #[serde(default)]
    watch: bool,
}

async fn get_state(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Query(query): Query<GetQuery>,
) -> Result<Response, Refusal> {
    let store = state_store(&shared)?;
    let key = Bytes::from(key);
    if query.watch {
        let watch = store.watch(key).await.map_err(|e| refused(&e))?;
        let changes = stream::unfold((watch, true), |(mut watch, first)| async move {
            if !first {
                watch.changed().await.ok()?;
            }
            let event = Event::default().data(change(&mut watch));
            Some((Ok::<_, Infallible>(event), (watch, false)))
        });
        return Ok(Sse::new(changes).keep_alive(KeepAlive::default()).into_response());
    }
    match store.get(key).await.map_err(|e| refused(&e))? {
        Some(Versioned { value, version }) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::ETAG, format!("\"{version}\"")),
            ];
            Ok((headers, value).into_response())
        }
        None => Err(refuse(StatusCode::NOT_FOUND, "there is no such key")),
    }
}

/// A change as JSON on one line: the value as text, or in Base64 where it is none; nulls where the key is gone.
fn change(watch: &mut Watch) -> String {
    match watch.value() {
        None => json!({ "value": null, "version": null }),
        Some(Versioned { value, version }) => match std::str::from_utf8(&value) {
            Ok(text) => json!({ "value": text, "version": version.to_string() }),
            Err(_) => json!({ "valueBase64": STANDARD.encode(&value), "version": version.to_string() }),
        },
    }
    .to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetQuery {
    expires_seconds: Option<u64>,
}

async fn set_state(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Query(query): Query<SetQuery>,
    value: Bytes,
) -> Result<Response, Refusal> {
    let options =
        SetOptions { expires_in: query.expires_seconds.map(Duration::from_secs), ..SetOptions::default() };
    let set = state_store(&shared)?.set(key.into(), value, options).await.map_err(|e| refused(&e))?;
    Ok(Json(json!({ "version": set.map(|v| v.to_string()) })).into_response())
}

async fn delete_state(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
) -> Result<Response, Refusal> {
    match state_store(&shared)?.del(key.into(), None).await.map_err(|e| refused(&e))? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(refuse(StatusCode::NOT_FOUND, "there is no such key")),
    }
}

#[derive(Serialize)]
struct SchemaEntry {
    name: String,
    version: String,
    format: &'static str,
    hash: String,
    reference: String,
}

async fn schemas(State(shared): State<Arc<Shared>>) -> Result<Response, Refusal> {
    let all = services(&shared)?.schema_registry.list();
    let entries: Vec<_> = all
        .iter()
        .map(|s| SchemaEntry {
            name: s.name.as_str().to_owned(),
            version: s.version.as_str().to_owned(),
            format: s.format().as_str(),
            hash: s.hash.to_string(),
            reference: format!("aio-sr://{}:{}", s.name.as_str(), s.version.as_str()),
        })
        .collect();
    Ok(Json(json!({ "schemas": entries })).into_response())
}

fn parse(name: &str, version: &str) -> Result<(SchemaName, SchemaVersion), Refusal> {
    let bad = |why: String| refuse(StatusCode::BAD_REQUEST, why);
    let name = SchemaName::parse(name).ok_or_else(|| bad(format!("`{name}` is no name of a schema")))?;
    let version = SchemaVersion::parse(version)
        .ok_or_else(|| bad(format!("`{version}` is no version: 1 to 10 digits")))?;
    Ok((name, version))
}

async fn schema(
    State(shared): State<Arc<Shared>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let (name, version) = parse(&name, &version)?;
    match services(&shared)?.schema_registry.get(&name, &version) {
        Some(schema) => {
            Ok(([(header::CONTENT_TYPE, "application/json")], schema.content.to_string()).into_response())
        }
        None => Err(refuse(StatusCode::NOT_FOUND, "there is no such version of such a schema")),
    }
}

async fn put_schema(
    State(shared): State<Arc<Shared>>,
    Path((name, version)): Path<(String, String)>,
    content: String,
) -> Result<Response, Refusal> {
    let (name, version) = parse(&name, &version)?;
    let registry = services(&shared)?.schema_registry.clone();
    let put = tokio::task::spawn_blocking(move || {
        registry.put(&name, &version, &content, SchemaDescription::default())
    });
    match put.await.map_err(|e| refuse(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))? {
        Ok(schema) => {
            let reference = format!("aio-sr://{}:{}", schema.name.as_str(), schema.version.as_str());
            Ok(Json(json!({ "reference": reference, "hash": *schema.hash })).into_response())
        }
        Err(error @ PutError::Exists { .. }) => Err(refuse(StatusCode::CONFLICT, error.to_string())),
        Err(error) => Err(refuse(StatusCode::BAD_REQUEST, error.to_string())),
    }
}
