//! `/api/v1/dataflows/NAME/dead-letters`: what could not be processed, to look at, to send through once more, to drop.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_core::Record;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::dead_letters::{DeadLetters, Fill, Letter};
use crate::gateway::Shared;
use crate::http::{Refusal, aside, refuse};
use crate::http_input::{Body, Path, Query};
use crate::message::{self, Message};

/// Letters in one answer, unless the request says how many.
const LIMIT_DEFAULT: usize = 100;

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list, drop_letters)).routes(routes!(replay)).routes(routes!(show))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Which, if several namespaces have a flow of that name.
    namespace: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Which, if several namespaces have a flow of that name.
    namespace: Option<String>,
    /// Most letters to answer with, the oldest; 100 without it.
    limit: Option<usize>,
}

/// The dead letters of a flow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetterList {
    /// The oldest ones.
    dead_letters: Vec<DeadLetter>,
    /// How many there are in all.
    count: usize,
    bytes: u64,
    /// Letters that fell out since the process started, because there were too many.
    dropped: u64,
}

/// A message that could not be processed, or that the destination refused.
#[derive(Serialize, ToSchema)]
struct DeadLetter {
    id: String,
    /// When it was taken.
    at: String,
    reason: String,
    /// Null where the file is damaged.
    #[schema(value_type = Option<Object>)]
    message: Option<Box<RawValue>>,
}

impl DeadLetter {
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
fn find(
    shared: &Shared,
    namespace: Option<&str>,
    name: &str,
) -> Result<(String, String, Arc<DeadLetters>), Refusal> {
    let namespace = shared.find_flow(namespace, name).map_err(|why| refuse(StatusCode::NOT_FOUND, why))?;
    let why = "dead letters are dropped: the instance runs with `--dlq drop`";
    let dead_letters = shared.dead_letters.clone().ok_or_else(|| refuse(StatusCode::NOT_FOUND, why))?;
    let flow = format!("{namespace}/{name}");
    Ok((namespace, flow, dead_letters))
}

/// The dead letters of a flow.
#[utoipa::path(get, path = "/dataflows/{name}/dead-letters", tag = "dead letters",
    params(("name" = String, Path, description = "Name of the data flow"), ListQuery),
    responses((status = 200, body = DeadLetterList)))]
async fn list(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<DeadLetterList>, Refusal> {
    let (_, flow, dead_letters) = find(&shared, query.namespace.as_deref(), &name)?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let (letters, Fill { count, bytes, dropped }) =
        aside(move || (dead_letters.list(&flow, None, limit), dead_letters.fill(&flow))).await?;
    let dead_letters = letters.into_iter().map(DeadLetter::of).collect();
    Ok(Json(DeadLetterList { dead_letters, count, bytes, dropped }))
}

/// One dead letter.
#[utoipa::path(get, path = "/dataflows/{name}/dead-letters/{id}", tag = "dead letters",
    params(("name" = String, Path, description = "Name of the data flow"), ("id" = u64, Path), Which),
    responses((status = 200, body = DeadLetter)))]
async fn show(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u64)>,
    Query(which): Query<Which>,
) -> Result<Json<DeadLetter>, Refusal> {
    let (_, flow, dead_letters) = find(&shared, which.namespace.as_deref(), &name)?;
    let letter = aside(move || dead_letters.list(&flow, Some(&[id]), 1).pop()).await?;
    letter
        .map(DeadLetter::of)
        .map(Json)
        .ok_or_else(|| refuse(StatusCode::NOT_FOUND, "there is no such dead letter"))
}

#[derive(Default, Deserialize, ToSchema)]
struct ReplayBody {
    /// Which; all without it.
    ids: Option<Vec<String>>,
    /// What to send instead of the one letter that `ids` names, such as `{"topic":"a/b","payload":1}`: a message mended.
    #[schema(value_type = Option<Object>)]
    message: Option<Box<RawValue>>,
}

#[derive(Serialize, ToSchema)]
struct Replayed {
    /// How many.
    replayed: usize,
}

/// Sends dead letters through the flow once more. Each is removed once it is settled; one that fails again is a new one.
#[utoipa::path(post, path = "/dataflows/{name}/dead-letters/replay", tag = "dead letters",
    params(("name" = String, Path, description = "Name of the data flow"), Which),
    request_body = Option<ReplayBody>, responses((status = 200, body = Replayed)))]
async fn replay(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
    Body(body): Body<ReplayBody>,
) -> Result<Json<Replayed>, Refusal> {
    let (namespace, flow, dead_letters) = find(&shared, which.namespace.as_deref(), &name)?;
    let ids = parse_ids(body.ids)?;
    let mended = body.message.map(|json| mended(&json, ids.as_deref())).transpose()?;
    let letters = aside({
        let (dead_letters, flow) = (dead_letters.clone(), flow.clone());
        move || dead_letters.list(&flow, ids.as_deref(), usize::MAX)
    })
    .await?;
    let mut replayed = 0;
    // one by one: each is removed once it is settled, and not before
    for (id, letter) in letters {
        let record = match &mended {
            Some(record) => record.clone(),
            None => letter
                .record()
                .map_err(|e| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("dead letter {id}: {e}")))?,
        };
        let settled = shared.supervisor.replay(&namespace, &name, vec![record]).await;
        settled.map_err(|e| refuse(StatusCode::CONFLICT, format!("{e}; {replayed} were replayed before")))?;
        let (dead_letters, flow) = (dead_letters.clone(), flow.clone());
        aside(move || dead_letters.discard(&flow, Some(&[id]))).await?;
        replayed += 1;
    }
    Ok(Json(Replayed { replayed }))
}

/// What is sent instead of the one letter of `ids`.
fn mended(json: &RawValue, ids: Option<&[u64]>) -> Result<Record, Refusal> {
    let bad = |why: String| refuse(StatusCode::BAD_REQUEST, why);
    if ids.is_none_or(|ids| ids.len() != 1) {
        return Err(bad("`message` stands for one letter: name it in `ids`".into()));
    }
    message::parse(json.get(), Instant::now()).map_err(|why| bad(format!("`message`: {why}")))
}

#[derive(Serialize, ToSchema)]
struct DroppedLetters {
    /// How many.
    dropped: usize,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read as pairs")]
struct DropQuery {
    /// Which, if several namespaces have a flow of that name.
    namespace: Option<String>,
    /// Which letters; all without it.
    id: Option<Vec<u64>>,
}

/// Drops dead letters.
#[utoipa::path(delete, path = "/dataflows/{name}/dead-letters", tag = "dead letters",
    params(("name" = String, Path, description = "Name of the data flow"), DropQuery),
    responses((status = 200, body = DroppedLetters)))]
async fn drop_letters(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<DroppedLetters>, Refusal> {
    let values =
        |key: &str| query.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let which = Which { namespace: values("namespace").pop() };
    let (_, flow, dead_letters) = find(&shared, which.namespace.as_deref(), &name)?;
    let ids = parse_ids(Some(values("id")).filter(|ids| !ids.is_empty()))?;
    let dropped = aside(move || dead_letters.discard(&flow, ids.as_deref())).await?;
    Ok(Json(DroppedLetters { dropped }))
}

fn parse_ids(ids: Option<Vec<String>>) -> Result<Option<Vec<u64>>, Refusal> {
    let parse = |id: &String| {
        id.parse().map_err(|_| refuse(StatusCode::BAD_REQUEST, format!("`{id}` is no id of a dead letter")))
    };
    ids.map(|ids| ids.iter().map(parse).collect()).transpose()
}
