//! `/api/v1/dataflows/NAME/dead-letters`: what could not be processed, to look at, to send through once more, to drop.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dead_letters::{DeadLetters, Fill, Letter};
use crate::gateway::Shared;
use crate::http::{Refusal, refuse};
use crate::message::Message;

/// Letters in one answer, unless the request says how many.
const LIMIT_DEFAULT: usize = 100;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/dataflows/{name}/dead-letters", get(list).delete(drop_letters))
        .route("/dataflows/{name}/dead-letters/replay", post(replay))
        .route("/dataflows/{name}/dead-letters/{id}", get(show))
}

#[derive(Deserialize)]
struct Which {
    namespace: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    at: String,
    reason: String,
    message: Option<Box<RawValue>>,
}

impl Entry {
    fn of((id, letter): (u64, Letter)) -> Self {
        let message = letter.record().ok().and_then(|record| {
            serde_json::to_string(&Message::of(&record))
                .ok()
                .and_then(|text| RawValue::from_string(text).ok())
        });
        Self { id: id.to_string(), at: letter.at, reason: letter.reason, message }
    }
}

/// The flow's namespace and key, and the letters.
fn find(shared: &Shared, which: &Which, name: &str) -> Result<(String, String, Arc<DeadLetters>), Refusal> {
    let namespace = shared
        .find_flow(which.namespace.as_deref(), name)
        .map_err(|why| refuse(StatusCode::NOT_FOUND, why))?;
    let why = "dead letters are dropped: the instance runs with `--dlq drop`";
    let dead_letters = shared.dead_letters.clone().ok_or_else(|| refuse(StatusCode::NOT_FOUND, why))?;
    let flow = format!("{namespace}/{name}");
    Ok((namespace, flow, dead_letters))
}

/// Runs what waits for the disk where it keeps nobody else waiting.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| refuse(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Refusal> {
    let (_, flow, dead_letters) = find(&shared, &which, &name)?;
    let limit = which.limit.unwrap_or(LIMIT_DEFAULT);
    let (letters, Fill { count, bytes, dropped }) =
        on_disk(move || (dead_letters.list(&flow, None, limit), dead_letters.fill(&flow))).await?;
    let entries: Vec<Entry> = letters.into_iter().map(Entry::of).collect();
    Ok(Json(json!({ "deadLetters": entries, "count": count, "bytes": bytes, "dropped": dropped })))
}

async fn show(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u64)>,
    Query(which): Query<Which>,
) -> Result<Json<Entry>, Refusal> {
    let (_, flow, dead_letters) = find(&shared, &which, &name)?;
    let letter = on_disk(move || dead_letters.list(&flow, Some(&[id]), 1).pop()).await?;
    letter
        .map(Entry::of)
        .map(Json)
        .ok_or_else(|| refuse(StatusCode::NOT_FOUND, "there is no such dead letter"))
}

#[derive(Default, Deserialize)]
struct ReplayBody {
    ids: Option<Vec<String>>,
}

async fn replay(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
    body: Option<Json<ReplayBody>>,
) -> Result<Json<Value>, Refusal> {
    let (namespace, flow, dead_letters) = find(&shared, &which, &name)?;
    let ids = parse_ids(body.and_then(|Json(body)| body.ids))?;
    let letters = on_disk({
        let (dead_letters, flow) = (dead_letters.clone(), flow.clone());
        move || dead_letters.list(&flow, ids.as_deref(), usize::MAX)
    })
    .await?;
    let mut replayed = 0;
    // one by one: each is removed once it is settled, and not before
    for (id, letter) in letters {
        let record = letter
            .record()
            .map_err(|e| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("dead letter {id}: {e}")))?;
        let settled = shared.supervisor.replay(&namespace, &name, vec![record]).await;
        settled.map_err(|e| refuse(StatusCode::CONFLICT, format!("{e}; {replayed} were replayed before")))?;
        let (dead_letters, flow) = (dead_letters.clone(), flow.clone());
        on_disk(move || dead_letters.discard(&flow, Some(&[id]))).await?;
        replayed += 1;
    }
    Ok(Json(json!({ "replayed": replayed })))
}

async fn drop_letters(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let values =
        |key: &str| query.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let which = Which { namespace: values("namespace").pop(), limit: None };
    let (_, flow, dead_letters) = find(&shared, &which, &name)?;
    let ids = parse_ids(Some(values("id")).filter(|ids| !ids.is_empty()))?;
    let dropped = on_disk(move || dead_letters.discard(&flow, ids.as_deref())).await?;
    Ok(Json(json!({ "dropped": dropped })))
}

fn parse_ids(ids: Option<Vec<String>>) -> Result<Option<Vec<u64>>, Refusal> {
    let parse = |id: &String| {
        id.parse().map_err(|_| refuse(StatusCode::BAD_REQUEST, format!("`{id}` is no id of a dead letter")))
    };
    ids.map(|ids| ids.iter().map(parse).collect()).transpose()
}
