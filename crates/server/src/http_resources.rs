//! `/api/v1/resources`, `/api/v1/apply` and `/api/v1/delete`: what the instance is told to do, and how that is going.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_model::Kind;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Dataflow, Error, Health};
use crate::diagnostics::Report;
use crate::gateway::{How, Shared};
use crate::http::{Refusal, refuse};
use crate::http_input::{Body, Path, Query, Text};
use crate::resources::{ChangeError, Document, Done, Id};

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, put, delete_one))
        .routes(routes!(apply))
        .routes(routes!(delete))
}

/// A resource as it is said and how it is.
#[derive(Serialize, ToSchema)]
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
    #[schema(value_type = Option<Object>)]
    manifest: Option<Box<RawValue>>,
    /// Of a Secret, what its values are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<BTreeSet<String>>,
    #[schema(inline)]
    status: ResourceStatus,
}

/// `status` of AIO's resources (dataflows, section 13).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResourceStatus {
    /// `Succeeded` or `Failed`.
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

    fn status(&self, (kind, namespace, name): &Id) -> ResourceStatus {
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
        ResourceStatus { provisioning_state: if failed { "Failed" } else { "Succeeded" }, health_state }
    }
}

fn resource(id: &Id, document: &Document, healths: &Healths) -> Resource {
    let (kind, namespace, name) = id;
    let shown = *kind != Kind::Secret;
    let json = tidegate_model::documents_as_json(&document.file, &document.text);
    let json = json.first().filter(|_| json.len() == 1);
    Resource {
        kind: kind.as_str(),
        namespace: namespace.clone(),
        name: name.clone(),
        resource_version: document.version(),
        file: document.file.clone(),
        text: shown.then(|| document.text.to_string()),
        manifest: json.filter(|_| shown).and_then(|json| RawValue::from_string(json.clone()).ok()),
        keys: json.filter(|_| !shown).map(|json| secret_keys(json)),
        status: healths.status(id),
    }
}

fn secret_keys(json: &str) -> BTreeSet<String> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Values {
        data: BTreeMap<String, IgnoredAny>,
        string_data: BTreeMap<String, IgnoredAny>,
    }
    let Values { data, string_data } = serde_json::from_str(json).unwrap_or_default();
    data.into_keys().chain(string_data.into_keys()).collect()
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    items: Vec<Resource>,
    /// Whether the instance runs files, which the API can't change.
    read_only: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

pub(crate) fn kind_of(text: &str) -> Result<Kind, Refusal> {
    let known = Kind::ALL.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| refuse(StatusCode::BAD_REQUEST, format!("there is no kind `{text}`")))
}

/// Every resource as it was written, and how it is.
#[utoipa::path(get, path = "/resources", tag = "resources", params(Filter),
    responses((status = 200, body = ResourceList)))]
async fn list(
    State(shared): State<Arc<Shared>>,
    Query(filter): Query<Filter>,
) -> Result<Json<ResourceList>, Refusal> {
    let kind = filter.kind.as_deref().map(kind_of).transpose()?;
    let healths = Healths::of(&shared);
    let resources = shared.resources.lock();
    let wanted = resources.all().iter().filter(|((k, ns, n), _)| {
        kind.is_none_or(|kind| kind == *k)
            && filter.namespace.as_ref().is_none_or(|namespace| namespace == ns)
            && filter.name.as_ref().is_none_or(|name| name == n)
    });
    let items = wanted.map(|(id, document)| resource(id, document, &healths)).collect();
    Ok(Json(ResourceList { items, read_only: resources.is_read_only() }))
}

fn id((kind, namespace, name): (String, String, String)) -> Result<Id, Refusal> {
    Ok((kind_of(&kind)?, namespace, name))
}

/// What a resource is called.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what is read as a tuple")]
struct IdPath {
    /// Such as `Dataflow`; case does not matter.
    kind: String,
    namespace: String,
    name: String,
}

/// One resource. Its version is its `ETag`, too.
#[utoipa::path(get, path = "/resources/{kind}/{namespace}/{name}", tag = "resources", params(IdPath),
    responses((status = 200, body = Resource)))]
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

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct ChangeQuery {
    /// Whether to judge, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Whether to wait until it is known whether the data flows that the change touches work, and to undo it if one does
    /// not: the answer is then 422.
    #[serde(default)]
    rollback: bool,
}

impl ChangeQuery {
    fn how(&self) -> How {
        match self {
            Self { dry_run: true, .. } => How::DryRun,
            Self { rollback: true, .. } => How::Tried,
            _ => How::Made,
        }
    }
}

/// Conditions on the version of a resource.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what is read from the headers")]
struct ConditionHeaders {
    /// The `ETag` the resource is to have; else the answer is 412.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: the resource is not to be there yet; else the answer is 412.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Creates a resource or changes it. The body is its manifest, in YAML or JSON.
#[utoipa::path(put, path = "/resources/{kind}/{namespace}/{name}", tag = "resources",
    params(IdPath, ChangeQuery, ConditionHeaders),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, body = Changed),
        (status = 422, description = "It would have errors, or did not work; nothing is changed", body = Invalid)))]
async fn put(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<(String, String, String)>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<Response, Refusal> {
    let id = id(path)?;
    let condition = Condition::of(&headers);
    let file = format!("{}/{}", id.0, id.2);
    Ok(answer(
        shared
            .change(query.how(), move |resources| {
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
    ))
}

/// Deletes a resource.
#[utoipa::path(delete, path = "/resources/{kind}/{namespace}/{name}", tag = "resources",
    params(IdPath, ChangeQuery, ConditionHeaders),
    responses(
        (status = 200, body = Changed),
        (status = 422, description = "Others would have errors; nothing is changed", body = Invalid)))]
async fn delete_one(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<(String, String, String)>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = id(path)?;
    let condition = Condition::of(&headers);
    Ok(answer(
        shared
            .change(query.how(), move |resources| {
                let change = resources.delete(std::slice::from_ref(&id))?;
                condition.holds(resources.all().get(&id))?;
                Ok(change)
            })
            .await,
    ))
}

/// Texts of manifests, all applied or none.
#[derive(Deserialize, ToSchema)]
struct ApplyBody {
    files: Vec<NamedText>,
}

/// A file.
#[derive(Deserialize, Serialize, ToSchema)]
pub(crate) struct NamedText {
    /// What diagnostics call it; its ending says what it is.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Creates and changes resources, all of them or none.
#[utoipa::path(post, path = "/apply", tag = "resources", params(ChangeQuery), request_body = ApplyBody,
    responses(
        (status = 200, body = Changed),
        (status = 422, description = "There would be errors, or it did not work; nothing is changed", body = Invalid)))]
async fn apply(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ChangeQuery>,
    Body(body): Body<ApplyBody>,
) -> Response {
    let texts: Vec<_> = body.files.into_iter().map(|file| (file.name, file.text)).collect();
    answer(shared.change(query.how(), move |resources| resources.apply(&texts)).await)
}

/// Names of resources, all deleted or none.
#[derive(Deserialize, ToSchema)]
struct DeleteBody {
    resources: Vec<Name>,
}

/// What a resource is called.
#[derive(Deserialize, ToSchema)]
struct Name {
    kind: String,
    namespace: Option<String>,
    name: String,
}

/// Deletes resources, all of them or none.
#[utoipa::path(post, path = "/delete", tag = "resources", params(ChangeQuery), request_body = DeleteBody,
    responses(
        (status = 200, body = Changed),
        (status = 422, description = "Others would have errors; nothing is changed", body = Invalid)))]
async fn delete(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ChangeQuery>,
    Body(body): Body<DeleteBody>,
) -> Response {
    let default = shared.resources.lock().namespace().to_owned();
    let ids = body
        .resources
        .into_iter()
        .map(|Name { kind, namespace, name }| id((kind, namespace.unwrap_or_else(|| default.clone()), name)));
    match ids.collect::<Result<Vec<_>, _>>() {
        Ok(ids) => answer(shared.change(query.how(), move |resources| resources.delete(&ids)).await),
        Err(refusal) => refusal.into_response(),
    }
}

/// What a call did.
#[derive(Serialize, ToSchema)]
struct Changed {
    results: Vec<ResourceChange>,
    report: Report,
}

/// What a call did with one resource.
#[derive(Serialize, ToSchema)]
struct ResourceChange {
    kind: &'static str,
    namespace: String,
    name: String,
    /// `created`, `configured`, `unchanged` or `deleted`.
    action: &'static str,
    /// What it is now, unless it is gone; never of a Secret.
    text: Option<String>,
}

/// Why nothing was done: an error with the diagnostics.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invalid {
    #[serde(flatten)]
    error: Error,
    report: Report,
}

impl Invalid {
    pub(crate) fn new(why: &str, report: Report) -> Self {
        Self { error: Error::new(why), report }
    }
}

fn answer(changed: Result<(Vec<Done>, Report), ChangeError>) -> Response {
    match changed {
        Ok((done, report)) => {
            let result = |Done { id: (kind, namespace, name), action, text }: Done| {
                let text = text.filter(|_| kind != Kind::Secret).map(|text| text.to_string());
                ResourceChange { kind: kind.as_str(), namespace, name, action: action.as_str(), text }
            };
            Json(Changed { results: done.into_iter().map(result).collect(), report }).into_response()
        }
        Err(ChangeError::Invalid(report)) => {
            let invalid = Invalid::new("the resources have errors; nothing was changed", report);
            (StatusCode::UNPROCESSABLE_ENTITY, Json(invalid)).into_response()
        }
        Err(ChangeError::RolledBack(why, report)) => {
            let why = format!("it did not work and was undone: {why}");
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Invalid::new(&why, report))).into_response()
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
