//! `/api/v1/state` and `/api/v1/schemas`: the state store and the schema registry for people and scripts.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tidegate_model::schema::SchemaFormat;
use tidegate_services::schema_registry::{
    GenerateOptions, PutError, SchemaDescription, SchemaName, SchemaVersion, generate,
};
use tidegate_services::state_store::{SetOptions, StateStore, StateStoreError, Versioned, Watch};

use crate::api;
use crate::gateway::Shared;
use crate::http::{Refusal, aside, refuse};
use crate::http_input::{Body, Path, Query, Raw, Text};
use crate::http_tap::sse;
use crate::services::Services;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(keys))
        .routes(routes!(get_state, set_state, delete_state))
        .routes(routes!(schemas))
        .routes(routes!(generate_schema))
        .routes(routes!(schema, put_schema))
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

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct KeysQuery {
    /// A glob, such as `line-*`; all keys without it.
    pattern: Option<String>,
    /// Where to go on: the `next` of the last answer.
    token: Option<String>,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
struct Keys {
    keys: Vec<Key>,
    /// The `token` that asks for the next page; null on the last one.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Key {
    /// The key, if it is text.
    key: Option<String>,
    #[serde(rename = "keyBase64")]
    key_base64: String,
}

/// The keys of the state store, in order.
#[utoipa::path(get, path = "/state", tag = "state store", params(KeysQuery), responses((status = 200, body = Keys)))]
async fn keys(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<KeysQuery>,
) -> Result<Json<Keys>, Refusal> {
    let bad = |_| refuse(StatusCode::BAD_REQUEST, "`token` is none that an answer had as `next`");
    let token = query.token.map(|token| STANDARD.decode(token).map(Bytes::from)).transpose().map_err(bad)?;
    let pattern = query.pattern.unwrap_or_else(|| "*".into());
    let page = state_store(&shared)?.keys(pattern.into(), token).await;
    let (keys, next) = page.map_err(|e| refused(&e))?;
    let key = |key: Bytes| Key {
        key: std::str::from_utf8(&key).ok().map(str::to_owned),
        key_base64: STANDARD.encode(&key),
    };
    Ok(Json(Keys {
        keys: keys.into_iter().map(key).collect(),
        next: next.map(|token| STANDARD.encode(token)),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct GetQuery {
    /// Whether to go on telling of changes, as server-sent events.
    #[serde(default)]
    watch: bool,
}

/// The value of a key; its version is its `ETag`. With `watch`, server-sent events, now and at each change: their data is
/// `{"value": ..., "version": ...}`, `valueBase64` where it is no text, nulls where the key is gone.
#[utoipa::path(get, path = "/state/{key}", tag = "state store",
    params(("key" = String, Path, description = "The key; it may hold `/`"), GetQuery),
    responses(
        (status = 200, content(
            (Vec<u8> = "application/octet-stream"),
            (api::Event = "text/event-stream")))))]
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
            Some((event, (watch, false)))
        });
        return Ok(sse(changes, &shared).into_response());
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

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct SetQuery {
    /// After which time the key is deleted.
    expires_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct SetAnswer {
    version: Option<String>,
}

/// Sets the value of a key.
#[utoipa::path(put, path = "/state/{key}", tag = "state store",
    params(("key" = String, Path, description = "The key; it may hold `/`"), SetQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = SetAnswer)))]
async fn set_state(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    Query(query): Query<SetQuery>,
    Raw(value): Raw,
) -> Result<Json<SetAnswer>, Refusal> {
    let options =
        SetOptions { expires_in: query.expires_seconds.map(Duration::from_secs), ..SetOptions::default() };
    let set = state_store(&shared)?.set(key.into(), value, options).await.map_err(|e| refused(&e))?;
    Ok(Json(SetAnswer { version: set.map(|v| v.to_string()) }))
}

/// Deletes a key.
#[utoipa::path(delete, path = "/state/{key}", tag = "state store",
    params(("key" = String, Path, description = "The key; it may hold `/`")),
    responses((status = 204)))]
async fn delete_state(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
) -> Result<Response, Refusal> {
    match state_store(&shared)?.del(key.into(), None).await.map_err(|e| refused(&e))? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(refuse(StatusCode::NOT_FOUND, "there is no such key")),
    }
}

#[derive(Serialize, ToSchema)]
struct SchemaList {
    schemas: Vec<SchemaEntry>,
}

/// A version of a schema.
#[derive(Serialize, ToSchema)]
struct SchemaEntry {
    name: String,
    version: String,
    /// `Delta/1.0` or `JsonSchema/draft-07`.
    format: &'static str,
    hash: String,
    /// Such as `aio-sr://press:1`.
    reference: String,
}

/// The schemas of the registry.
#[utoipa::path(get, path = "/schemas", tag = "schemas", responses((status = 200, body = SchemaList)))]
async fn schemas(State(shared): State<Arc<Shared>>) -> Result<Json<SchemaList>, Refusal> {
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
    Ok(Json(SchemaList { schemas: entries }))
}

fn parse(name: &str, version: &str) -> Result<(SchemaName, SchemaVersion), Refusal> {
    let bad = |why: String| refuse(StatusCode::BAD_REQUEST, why);
    let name = SchemaName::parse(name).ok_or_else(|| bad(format!("`{name}` is no name of a schema")))?;
    let version = SchemaVersion::parse(version)
        .ok_or_else(|| bad(format!("`{version}` is no version: 1 to 10 digits")))?;
    Ok((name, version))
}

/// A schema document.
#[utoipa::path(get, path = "/schemas/{name}/{version}", tag = "schemas",
    params(("name" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Object)))]
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

#[derive(Serialize, ToSchema)]
struct Added {
    /// Such as `aio-sr://press:1`.
    reference: String,
    hash: String,
}

/// Adds a version of a schema. The body is the document; one that is there already is not changed: 409.
#[utoipa::path(put, path = "/schemas/{name}/{version}", tag = "schemas",
    params(("name" = String, Path), ("version" = String, Path)),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = Added)))]
async fn put_schema(
    State(shared): State<Arc<Shared>>,
    Path((name, version)): Path<(String, String)>,
    Text(content): Text,
) -> Result<Json<Added>, Refusal> {
    let (name, version) = parse(&name, &version)?;
    let registry = services(&shared)?.schema_registry.clone();
    let put = move || registry.put(&name, &version, &content, SchemaDescription::default());
    match aside(put).await? {
        Ok(schema) => {
            let reference = format!("aio-sr://{}:{}", schema.name.as_str(), schema.version.as_str());
            Ok(Json(Added { reference, hash: schema.hash.to_string() }))
        }
        Err(error @ PutError::Exists { .. }) => Err(refuse(StatusCode::CONFLICT, error.to_string())),
        Err(error) => Err(refuse(StatusCode::BAD_REQUEST, error.to_string())),
    }
}

/// Sample payloads, and what to make of them.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Samples {
    /// Payloads; several make one schema.
    #[schema(value_type = Vec<Object>)]
    samples: Vec<Box<RawValue>>,
    /// `Delta/1.0` or `JsonSchema/draft-07`.
    format: String,
    /// `name` of a JSON Schema.
    title: Option<String>,
    /// `description` of a JSON Schema.
    description: Option<String>,
    /// Whether values may be null everywhere, or only where a sample has null or nothing.
    #[serde(default = "yes")]
    all_nullable: bool,
}

fn yes() -> bool {
    true
}

/// A schema from samples.
#[derive(Serialize, ToSchema)]
struct Generated {
    /// The document as text, ready for `PUT /schemas/NAME/VERSION`.
    document: String,
    /// Where the samples say too little or contradict each other.
    warnings: Vec<String>,
}

/// Makes a schema from sample payloads. Nothing is kept.
#[utoipa::path(post, path = "/schemas:generate", tag = "schemas", request_body = Samples,
    responses((status = 200, body = Generated)))]
async fn generate_schema(Body(body): Body<Samples>) -> Result<Json<Generated>, Refusal> {
    let bad = |why: String| refuse(StatusCode::BAD_REQUEST, why);
    let format =
        [SchemaFormat::Delta, SchemaFormat::JsonSchema].into_iter().find(|f| f.as_str() == body.format);
    let format = format.ok_or_else(|| {
        let (delta, json) = (SchemaFormat::Delta.as_str(), SchemaFormat::JsonSchema.as_str());
        bad(format!("`format` is `{delta}` or `{json}`"))
    })?;
    let mut options = GenerateOptions { all_nullable: body.all_nullable, ..GenerateOptions::default() };
    options.name = body.title.unwrap_or(options.name);
    options.description = body.description.unwrap_or(options.description);
    let mut samples = Vec::new();
    for (index, sample) in body.samples.iter().enumerate() {
        samples.push(sample.get().parse().map_err(|e| bad(format!("sample {}: {e}", index + 1)))?);
    }
    let generated = aside(move || generate(&samples, format, &options)).await?;
    let generated = generated.map_err(|e| bad(e.to_string()))?;
    Ok(Json(Generated { document: generated.document, warnings: generated.warnings }))
}
