//! `/api/v1/resources`, `/api/v1/apply` and `/api/v1/delete`: what the instance is told to do, and how that is going.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_model::Kind;

use crate::api::{Dataflow, Health};
use crate::gateway::Shared;
use crate::http::{Refusal, refuse};
use crate::resources::{ChangeError, Document, Done, Id, Verdict};

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/resources", get(list))
        .route("/resources/{kind}/{namespace}/{name}", get(one).put(put).delete(delete_one))
        .route("/apply", post(apply))
        .route("/delete", post(delete))
}

/// A resource as it is said and how it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    kind: &'static str,
    namespace: String,
    name: String,
    /// Another one whenever the text is another.
    resource_version: String,
    /// The file it was written in.
    file: String,
    /// As it was written; never of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The same as JSON, if it is one document.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Box<RawValue>>,
    status: Status,
}

/// `status` of AIO's resources (dataflows, section 13).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    provisioning_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_state: Option<Health>,
}

/// How every data flow is, by namespace and name; and which profile it is in.
struct Healths {
    flows: BTreeMap<(String, String), (String, Health)>,
    invalid: Vec<(String, String)>,
}

impl Healths {
    fn of(shared: &Shared) -> Self {
        let mut flows = BTreeMap::new();
        for report in shared.supervisor.report() {
            let key = (report.plan.namespace.clone(), report.plan.name.to_string());
            flows.insert(key, (report.plan.profile.to_string(), Dataflow::running(&report).health()));
        }
        let mut invalid = Vec::new();
        for idle in shared.idle.lock().iter() {
            let key = (idle.namespace.clone(), idle.name.clone());
            if !idle.disabled {
                invalid.push(key.clone());
            }
            flows.insert(key, (idle.profile.clone(), Dataflow::idle(idle).health()));
        }
        Self { flows, invalid }
    }

    fn status(&self, (kind, namespace, name): &Id) -> Status {
        let key = (namespace.clone(), name.clone());
        let failed = *kind == Kind::Dataflow && self.invalid.contains(&key);
        let health_state = match kind {
            Kind::Dataflow => self.flows.get(&key).map(|(_, health)| health.clone()),
            Kind::DataflowProfile => {
                let mut members =
                    self.flows.iter().filter(|((ns, _), (profile, _))| ns == namespace && profile == name);
                let all: Vec<&Health> = members.by_ref().map(|(_, (_, health))| health).collect();
                Health::aggregate(&all)
            }
            _ => None,
        };
        Status { provisioning_state: if failed { "Failed" } else { "Succeeded" }, health_state }
    }
}

fn resource(id: &Id, document: &Document, healths: &Healths) -> Resource {
    let (kind, namespace, name) = id;
    let shown = *kind != Kind::Secret;
    let manifest = match tidegate_model::documents_as_json(&document.file, &document.text).as_slice() {
        [one] if shown => RawValue::from_string(one.clone()).ok(),
        _ => None,
    };
    Resource {
        kind: kind.as_str(),
        namespace: namespace.clone(),
        name: name.clone(),
        resource_version: document.version(),
        file: document.file.clone(),
        text: shown.then(|| document.text.to_string()),
        manifest,
        status: healths.status(id),
    }
}

#[derive(Deserialize)]
struct Filter {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

fn kind_of(text: &str) -> Result<Kind, Refusal> {
    let known = Kind::ALL.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| refuse(StatusCode::BAD_REQUEST, format!("there is no kind `{text}`")))
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, Refusal> {
    let kind = filter.kind.as_deref().map(kind_of).transpose()?;
    let healths = Healths::of(&shared);
    let resources = shared.resources.lock();
    let wanted = resources.all().iter().filter(|((k, ns, n), _)| {
        kind.is_none_or(|kind| kind == *k)
            && filter.namespace.as_ref().is_none_or(|namespace| namespace == ns)
            && filter.name.as_ref().is_none_or(|name| name == n)
    });
    let items: Vec<_> = wanted.map(|(id, document)| resource(id, document, &healths)).collect();
    Ok(Json(json!({ "items": items, "readOnly": resources.is_read_only() })))
}

fn id((kind, namespace, name): (String, String, String)) -> Result<Id, Refusal> {
    Ok((kind_of(&kind)?, namespace, name))
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let id = id(path)?;
    let healths = Healths::of(&shared);
    let resources = shared.resources.lock();
    let document = resources.all().get(&id).ok_or_else(|| not_found(&id))?;
    let etag = [(header::ETAG, format!("\"{}\"", document.version()))];
    Ok((etag, Json(resource(&id, document, &healths))).into_response())
}

fn not_found((kind, namespace, name): &Id) -> Refusal {
    refuse(StatusCode::NOT_FOUND, format!("there is no {kind} `{name}` in namespace `{namespace}`"))
}

/// What a conditional request (RFC 9110, section 13) wants the resource to be.
struct Condition {
    is: Option<String>,
    is_new: bool,
}

impl Condition {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|v: &header::HeaderValue| v.to_str().ok());
        Self {
            is: text(header::IF_MATCH).filter(|v| *v != "*").map(|v| v.trim().trim_matches('"').to_owned()),
            is_new: text(header::IF_NONE_MATCH) == Some("*"),
        }
    }

    fn holds(&self, document: Option<&Document>) -> Result<(), ChangeError> {
        let holds = match (&self.is, document) {
            (Some(version), Some(document)) => document.version() == *version,
            (Some(_), None) => false,
            (None, _) => true,
        };
        if holds && !(self.is_new && document.is_some()) { Ok(()) } else { Err(ChangeError::Conflict) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeQuery {
    #[serde(default)]
    dry_run: bool,
}

async fn put(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<(String, String, String)>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    text: String,
) -> Response {
    let id = match id(path) {
        Ok(id) => id,
        Err(refusal) => return refusal.into_response(),
    };
    let condition = Condition::of(&headers);
    let file = format!("{}/{}", id.0, id.2);
    answer(
        shared
            .change(query.dry_run, move |resources| {
                condition.holds(resources.all().get(&id))?;
                let change = resources.apply(&[(file, text)])?;
                match change.actions.as_slice() {
                    [done] if done.id == id => Ok(change),
                    _ => {
                        Err(ChangeError::Bad(format!("the body is not the manifest of {} `{}`", id.0, id.2)))
                    }
                }
            })
            .await,
    )
}

async fn delete_one(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<(String, String, String)>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
) -> Response {
    let id = match id(path) {
        Ok(id) => id,
        Err(refusal) => return refusal.into_response(),
    };
    let condition = Condition::of(&headers);
    answer(
        shared
            .change(query.dry_run, move |resources| {
                let change = resources.delete(std::slice::from_ref(&id))?;
                condition.holds(resources.all().get(&id))?;
                Ok(change)
            })
            .await,
    )
}

/// Texts of manifests, all applied or none.
#[derive(Deserialize)]
struct ApplyBody {
    files: Vec<NamedText>,
}

#[derive(Deserialize)]
struct NamedText {
    name: String,
    text: String,
}

async fn apply(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ChangeQuery>,
    Json(body): Json<ApplyBody>,
) -> Response {
    let texts: Vec<_> = body.files.into_iter().map(|file| (file.name, file.text)).collect();
    answer(shared.change(query.dry_run, move |resources| resources.apply(&texts)).await)
}

/// Names of resources, all deleted or none.
#[derive(Deserialize)]
struct DeleteBody {
    resources: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    kind: String,
    namespace: Option<String>,
    name: String,
}

async fn delete(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ChangeQuery>,
    Json(body): Json<DeleteBody>,
) -> Response {
    let default = shared.resources.lock().namespace().to_owned();
    let ids = body
        .resources
        .into_iter()
        .map(|Name { kind, namespace, name }| id((kind, namespace.unwrap_or_else(|| default.clone()), name)));
    match ids.collect::<Result<Vec<_>, _>>() {
        Ok(ids) => answer(shared.change(query.dry_run, move |resources| resources.delete(&ids)).await),
        Err(refusal) => refusal.into_response(),
    }
}

fn answer(changed: Result<(Vec<Done>, Verdict), ChangeError>) -> Response {
    match changed {
        Ok((done, verdict)) => {
            let result = |Done { id: (kind, namespace, name), action, text }: Done| {
                let text = text.filter(|_| kind != Kind::Secret);
                json!({
                    "kind": kind.as_str(),
                    "namespace": namespace,
                    "name": name,
                    "action": action.as_str(),
                    "text": text.as_deref(),
                })
            };
            let results: Vec<Value> = done.into_iter().map(result).collect();
            Json(json!({ "results": results, "report": report(&verdict) })).into_response()
        }
        Err(ChangeError::Invalid(verdict)) => {
            let error = json!({ "message": "the resources have errors; nothing was changed" });
            let body = json!({ "error": error, "report": report(&verdict) });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
        Err(ChangeError::Bad(why)) => refuse(StatusCode::BAD_REQUEST, why).into_response(),
        Err(ChangeError::ReadOnly) => refuse(
            StatusCode::CONFLICT,
            "this instance runs files: change those, with `run --watch` to take effect at once; to apply resources, \
             start it without PATH",
        )
        .into_response(),
        Err(ChangeError::NotFound(id)) => not_found(&id).into_response(),
        Err(ChangeError::Conflict) => {
            refuse(StatusCode::PRECONDITION_FAILED, "the resource was changed meanwhile: get it anew")
                .into_response()
        }
        Err(ChangeError::Disk(error)) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the resources can't be kept: {error}"))
                .into_response()
        }
    }
}

/// The form of `tidegate check --output json`.
fn report(verdict: &Verdict) -> Value {
    json!({
        "files": verdict.files,
        "resources": verdict.resources,
        "summary": verdict.summary,
        "diagnostics": verdict.entries,
    })
}
