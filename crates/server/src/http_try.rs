//! `/api/v1/check`, `/api/v1/transform`, `/api/v1/convert` and `/api/v1/endpoints:test`: what would be, without doing it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_core::{Files, Parsed, Record};
use tidegate_expr::{Dataset, FilterSemantics, Json as JsonValue, Shape, parse_json};
use tidegate_forms::{Form, Written};
use tidegate_model::endpoint::Settings;
use tidegate_model::plan::{DataDestination, DestinationSpec, Plan};
use tidegate_model::topic::TopicTemplate;
use tidegate_model::{Catalog, Kind, LoadOptions};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::connectors::Trial;
use crate::credentials::Drafted;
use crate::diagnostics::Report;
use crate::gateway::Shared;
use crate::http::{Refusal, aside, refuse};
use crate::http_input::Body;
use crate::http_resources::{Invalid, NamedText, kind_of};
use crate::message::{self, Message};
use crate::offline::{self, Offline, Verdict};
use crate::services::Services;

/// How long an endpoint has to answer.
const TRIAL_MAX: Duration = Duration::from_secs(15);

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(check))
        .routes(routes!(transform))
        .routes(routes!(convert))
        .routes(routes!(test_endpoint))
}

/// Texts of resources, and how to read them.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Documents {
    /// YAML, JSON, ARM templates and, where the name ends in `.bicep`, Bicep. Files that they name must be among them.
    #[serde(default)]
    files: Vec<NamedText>,
    /// Whether an endpoint, profile or schema that the files don't hold is an error; else it is a warning.
    #[serde(default)]
    strict: bool,
    /// The namespace of resources that name none.
    namespace: Option<String>,
    /// What an `az iot ops` config file is, where its fields don't tell.
    kind: Option<String>,
    /// What that is called; else it is called as its file.
    name: Option<String>,
    /// The profile of data flows in ARM and config files whose name doesn't say it.
    profile: Option<String>,
    /// `drop-when-true` or `pass-when-true`; else as the instance was told.
    filter_semantics: Option<String>,
    /// Values for the parameters of Bicep files and ARM templates, as text.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// Which of the files hold such values.
    #[serde(default)]
    parameter_files: Vec<String>,
    /// By data flow, payloads such as its messages have.
    #[schema(value_type = BTreeMap<String, Vec<Object>>)]
    #[serde(default)]
    samples: BTreeMap<String, Vec<Box<RawValue>>>,
}

/// Texts that were loaded.
struct Loaded {
    catalog: Catalog,
    report: Report,
}

impl Documents {
    /// Judges them. Nothing is read but what was given.
    fn load(self, instance: LoadOptions) -> Result<Loaded, Refusal> {
        let (files, options) = self.read(instance)?;
        let Parsed { value: catalog, diagnostics } = tidegate_model::load(&files, &options);
        for name in options.samples.keys() {
            let known = catalog.resources().iter().any(|r| r.kind == Kind::Dataflow && r.name == *name);
            if !known {
                let why = format!("`samples`: the files hold no data flow `{name}`");
                return Err(refuse(StatusCode::BAD_REQUEST, why));
            }
        }
        let report = Report::new(&files, catalog.resources().len(), &diagnostics);
        Ok(Loaded { catalog, report })
    }

    fn read(self, instance: LoadOptions) -> Result<(Files, LoadOptions), Refusal> {
        let bad = |why: String| refuse(StatusCode::BAD_REQUEST, why);
        let mut files = Files::default();
        for NamedText { name, text } in self.files {
            files.add(name, text);
        }
        let filter_semantics = match self.filter_semantics.as_deref() {
            None => instance.filter_semantics,
            Some("drop-when-true") => FilterSemantics::DropWhenTrue,
            Some("pass-when-true") => FilterSemantics::PassWhenTrue,
            Some(other) => {
                return Err(bad(format!(
                    "`filterSemantics`: `{other}` is neither `drop-when-true` nor `pass-when-true`"
                )));
            }
        };
        let file = |name: &String| {
            let found = files.iter().find(|(_, file)| file.name == *name).map(|(id, _)| id);
            found.ok_or_else(|| bad(format!("`parameterFiles`: `{name}` is not among the files")))
        };
        let options = LoadOptions {
            strict: self.strict,
            namespace: self.namespace.unwrap_or(instance.namespace),
            kind: self.kind.as_deref().map(kind_of).transpose()?,
            name: self.name,
            profile: self.profile,
            filter_semantics,
            samples: shapes(&self.samples)?,
            parameters: self.parameters.into_iter().collect(),
            parameter_files: self.parameter_files.iter().map(file).collect::<Result<_, _>>()?,
            ..LoadOptions::default()
        };
        Ok((files, options))
    }
}

fn shapes(samples: &BTreeMap<String, Vec<Box<RawValue>>>) -> Result<BTreeMap<String, Shape>, Refusal> {
    let mut shapes = BTreeMap::new();
    for (flow, payloads) in samples {
        let bad = |why: &str| refuse(StatusCode::BAD_REQUEST, format!("`samples` of `{flow}`: {why}"));
        let mut all = Vec::new();
        for payload in payloads {
            match parse_json(payload.get().as_bytes()) {
                Ok(object @ JsonValue::Object(_)) => all.push(object.into_owned()),
                _ => return Err(bad("not a JSON object")),
            }
        }
        shapes.insert(flow.clone(), Shape::of_samples(&all).ok_or_else(|| bad("there is none"))?);
    }
    Ok(shapes)
}

/// The verdict on resources, as `tidegate check --output json` gives it. Nothing is changed, and nothing is connected to.
#[utoipa::path(post, path = "/check", tag = "try", request_body = Documents,
    responses((status = 200, body = Report)))]
async fn check(
    State(shared): State<Arc<Shared>>,
    Body(documents): Body<Documents>,
) -> Result<Json<Report>, Refusal> {
    let options = shared.resources.lock().options().clone();
    aside(move || documents.load(options).map(|loaded| Json(loaded.report))).await?
}

/// Messages, and the data flow they are to go through.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TransformBody {
    /// Resources with the data flow; without them it is one of the instance.
    #[schema(inline)]
    documents: Option<Documents>,
    /// The data flow's name; needed if there are several.
    dataflow: Option<String>,
    namespace: Option<String>,
    /// What goes in, in order: objects such as `{"topic":"a/b","payload":1}`.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    messages: Vec<Box<RawValue>>,
    /// By state store key, the records of a dataset. Without it they come from the instance's state store.
    #[schema(value_type = BTreeMap<String, Vec<Object>>)]
    #[serde(default)]
    datasets: BTreeMap<String, Vec<Box<RawValue>>>,
}

#[derive(Serialize, ToSchema)]
struct Transformed {
    /// What there is to say about the resources, if some came with the request.
    report: Option<Report>,
    /// What became of each message.
    results: Vec<Fate>,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
struct Fate {
    /// `passed`, `filtered` or `failed`.
    outcome: &'static str,
    /// The message as it leaves, with the destination's topic; with `passed` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    message: Option<Box<RawValue>>,
    /// Why it goes no further.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What each rule did, one sentence each.
    steps: Vec<String>,
}

/// Tries messages on a data flow's enrich, filter and map, without sending any.
#[utoipa::path(post, path = "/transform", tag = "try", request_body = TransformBody,
    responses(
        (status = 200, body = Transformed),
        (status = 422, description = "The resources have errors", body = Invalid)))]
async fn transform(
    State(shared): State<Arc<Shared>>,
    Body(TransformBody { documents, dataflow, namespace, messages, datasets }): Body<TransformBody>,
) -> Result<Response, Refusal> {
    let options = shared.resources.lock().options().clone();
    let loaded = aside(move || documents.map(|documents| documents.load(options)).transpose()).await??;
    let (report, catalog) = match loaded {
        Some(Loaded { report, .. }) if report.has_errors() => {
            let invalid = Invalid::new("the resources have errors", report);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(invalid)).into_response());
        }
        Some(Loaded { catalog, report }) => (Some(report), Arc::new(catalog)),
        None => (None, shared.catalog()),
    };
    let outline = offline::choose(&catalog, namespace.as_deref(), dataflow.as_deref());
    let mut flow = Offline::new(outline.map_err(|why| refuse(StatusCode::NOT_FOUND, why))?);
    for key in datasets.keys() {
        if !flow.dataset_keys().contains(key) {
            let why = format!("`datasets`: the data flow takes none from `{key}`");
            return Err(refuse(StatusCode::BAD_REQUEST, why));
        }
    }
    for key in flow.dataset_keys() {
        let lines = match datasets.get(&key) {
            Some(records) => {
                // a record is one line, and what was written may have several
                let records = records.iter().map(|record| record.get().replace(['\r', '\n'], " "));
                Bytes::from(records.collect::<Vec<_>>().join("\n"))
            }
            None => stored(shared.services(), &key).await,
        };
        flow.set_dataset(&key, &Dataset::parse(lines).0);
    }
    let results = aside(move || messages.iter().map(|message| fate(&mut flow, message)).collect()).await?;
    Ok(Json(Transformed { report, results }).into_response())
}

async fn stored(services: Option<&Services>, key: &str) -> Bytes {
    let Some(services) = services else { return Bytes::new() };
    match services.state_store.get(key.to_owned().into()).await {
        Ok(Some(found)) => found.value,
        _ => Bytes::new(),
    }
}

fn fate(flow: &mut Offline, message: &RawValue) -> Fate {
    let record = message::parse(message.get(), Instant::now());
    let (verdict, steps) = match record {
        Ok(record) => flow.explain(record),
        Err(why) => (Verdict::Failed(format!("this is no message: {why}")), vec![]),
    };
    let steps = steps.iter().map(ToString::to_string).collect();
    let sent = match verdict {
        Verdict::Passed(record) => flow.send(&record).map_or_else(Verdict::Failed, Verdict::Passed),
        other => other,
    };
    match sent {
        Verdict::Passed(record) => {
            Fate { outcome: "passed", message: Some(raw(&record)), reason: None, steps }
        }
        Verdict::Filtered { rule, words } => {
            let reason = Some(format!("rule {rule}, which {words}"));
            Fate { outcome: "filtered", message: None, reason, steps }
        }
        Verdict::Failed(why) => Fate { outcome: "failed", message: None, reason: Some(why), steps },
    }
}

fn raw(record: &Record) -> Box<RawValue> {
    serde_json::value::to_raw_value(&Message::of(record)).expect("a message has string keys only")
}

/// Resources, and the form they are to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConvertBody {
    #[schema(inline)]
    documents: Documents,
    /// `yaml`, `bicep`, `arm` or `cli`.
    to: String,
}

/// Resources in another form.
#[derive(Serialize, ToSchema)]
struct Converted {
    /// One; with `cli`, one for each resource.
    files: Vec<NamedText>,
    /// What the form has no words for, and what is therefore not in the files.
    lost: Vec<Remark>,
    /// What else is to be known.
    notes: Vec<Remark>,
}

#[derive(Serialize, ToSchema)]
struct Remark {
    /// Which resource, such as `Dataflow/press`; empty for all of them.
    resource: String,
    message: String,
}

/// Resources in another form, as `tidegate convert` writes them. Nothing is kept.
#[utoipa::path(post, path = "/convert", tag = "try", request_body = ConvertBody,
    responses(
        (status = 200, body = Converted),
        (status = 422, description = "The resources have errors", body = Invalid)))]
async fn convert(
    State(shared): State<Arc<Shared>>,
    Body(ConvertBody { documents, to }): Body<ConvertBody>,
) -> Result<Response, Refusal> {
    let form = match to.as_str() {
        "yaml" => Form::Yaml,
        "bicep" => Form::Bicep,
        "arm" => Form::Arm,
        "cli" => Form::Cli,
        _ => return Err(refuse(StatusCode::BAD_REQUEST, "`to` is `yaml`, `bicep`, `arm` or `cli`")),
    };
    let (files, options) = documents.read(shared.resources.lock().options().clone())?;
    let converted = aside(move || {
        let Parsed { value: catalog, diagnostics } = tidegate_model::load(&files, &options);
        let report = Report::new(&files, catalog.resources().len(), &diagnostics);
        if report.has_errors() { Err(report) } else { Ok(tidegate_forms::write(&files, &options, form)) }
    });
    let Written { files, lost, notes } = match converted.await? {
        Ok(written) => written,
        Err(report) => {
            let invalid = Invalid::new("the resources have errors", report);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(invalid)).into_response());
        }
    };
    let remarks = |remarks: Vec<tidegate_forms::Remark>| {
        let remark = |r: tidegate_forms::Remark| Remark { resource: r.resource, message: r.message };
        remarks.into_iter().map(remark).collect()
    };
    let files = files.into_iter().map(|(name, text)| NamedText { name, text }).collect();
    Ok(Json(Converted { files, lost: remarks(lost), notes: remarks(notes) }).into_response())
}

/// An endpoint, and what is to be reached in it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TestBody {
    /// Resources with the endpoint and its secrets; without them they are those of the instance.
    #[schema(inline)]
    documents: Option<Documents>,
    /// The endpoint's name; needed if there are several.
    endpoint: Option<String>,
    namespace: Option<String>,
    /// The topic, table, container or folder that is wanted there. Without it, it is that of a data flow that goes
    /// there, if there is one.
    data_destination: Option<String>,
}

/// How an endpoint answers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Tested {
    endpoint: String,
    /// Whether it was reached, and took the credentials.
    ok: bool,
    /// AIO's reason code, if not.
    reason_code: Option<&'static str>,
    /// In words: why not, or what to know though it works.
    message: String,
    milliseconds: u64,
}

/// Connects to an endpoint as a data flow does, looks whether it could deliver, and leaves. No message is sent, and no file is
/// left behind. Whether it works is the answer.
#[utoipa::path(post, path = "/endpoints:test", tag = "try", request_body = TestBody,
    responses(
        (status = 200, body = Tested),
        (status = 422, description = "The resources have errors", body = Invalid)))]
async fn test_endpoint(
    State(shared): State<Arc<Shared>>,
    Body(TestBody { documents, endpoint, namespace, data_destination }): Body<TestBody>,
) -> Result<Response, Refusal> {
    let options = shared.resources.lock().options().clone();
    let loaded = aside(move || documents.map(|documents| documents.load(options)).transpose()).await??;
    let catalog = match loaded {
        Some(Loaded { report, .. }) if report.has_errors() => {
            let invalid = Invalid::new("the resources have errors", report);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(invalid)).into_response());
        }
        Some(Loaded { catalog, .. }) => Arc::new(catalog),
        None => shared.catalog(),
    };
    let found: Vec<_> = catalog
        .endpoints()
        .filter(|e| endpoint.as_ref().is_none_or(|name| e.name.as_str() == name))
        .filter(|e| namespace.as_ref().is_none_or(|namespace| e.namespace == *namespace))
        .cloned()
        .collect();
    let endpoint = match found.as_slice() {
        [one] => one.clone(),
        [] => return Err(refuse(StatusCode::NOT_FOUND, "there is no such endpoint, or it has errors")),
        _ => return Err(refuse(StatusCode::BAD_REQUEST, "there are several endpoints: say which")),
    };
    if matches!(endpoint.settings, Settings::OpenTelemetry(_)) {
        let why = "this version does not run endpoints of type OpenTelemetry yet";
        return Err(refuse(StatusCode::BAD_REQUEST, why));
    }
    // a draft of an endpoint comes without the data flows that go there
    let plans = [catalog.plans(), shared.catalog().plans()].concat();
    let goes_there = |plan: &&Arc<Plan>| {
        let DestinationSpec { endpoint: to, data_destination: into, .. } = &plan.destination;
        let named = data_destination.as_ref();
        (&to.name, &to.namespace) == (&endpoint.name, &endpoint.namespace)
            && to.settings.endpoint_type() == endpoint.settings.endpoint_type()
            && named.is_none_or(|named| matches!(into, DataDestination::Name(name) if name == named))
    };
    let plan = plans.iter().find(goes_there);
    let destination = match data_destination {
        None => plan.map(|plan| plan.destination.data_destination.clone()),
        Some(topic) if matches!(endpoint.settings, Settings::Mqtt(_)) => {
            let topic = TopicTemplate::parse(&topic)
                .map_err(|e| refuse(StatusCode::BAD_REQUEST, format!("`dataDestination`: {}", e.message)))?;
            Some(DataDestination::Topic(topic))
        }
        Some(name) => Some(DataDestination::Name(name)),
    };
    let credentials = Arc::new(Drafted { draft: catalog, instance: shared.vault.clone() });
    let context = shared.connections.trial_context(&endpoint, credentials, shared.next_number());
    let trial = Trial {
        endpoint: endpoint.clone(),
        destination,
        transform: plan.and_then(|plan| plan.transform.as_ref()),
        context: &context,
        places: &shared.connections.places,
    };
    let since = tokio::time::Instant::now();
    let (ok, reason_code, message) = match tokio::time::timeout(TRIAL_MAX, trial.run()).await {
        Ok(Ok(None)) => (true, None, "it answers, and takes the credentials".to_owned()),
        Ok(Ok(Some(remark))) => (true, None, remark),
        Ok(Err(trouble)) => (false, Some(trouble.reason), trouble.message),
        Err(_) => (false, None, format!("it did not answer within {} seconds", TRIAL_MAX.as_secs())),
    };
    let milliseconds = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ok(Json(Tested { endpoint: endpoint.name.to_string(), ok, reason_code, message, milliseconds })
        .into_response())
}
