//! How resources fit together: every reference resolved, every rule about a data flow and its endpoints held, and a
//! plan for each data flow that passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_core::{Code, Diagnostic, Parsed, Severity, Span};

use crate::catalog::{Catalog, Dataflow, DataflowState, Declared, Key, Outline};
use crate::codes;
use crate::columns;
use crate::dataflow::{DataflowDraft, DestinationDraft, SourceDraft};
use crate::endpoint::{
    Compression, Endpoint, EndpointType, Kafka, Mqtt, MqttHost, Reference, Referent, Settings, is_event_grid,
    is_event_hubs,
};
use crate::field::{all_of, closest};
use crate::load::{LoadOptions, World};
use crate::names::{ResourceName, SchemaRef};
use crate::node::Text;
use crate::plan::{DataDestination, DataSources, DestinationSpec, Plan, SourceSpec};
use crate::problems::{Problems, error, note, warning};
use crate::profile::Profile;
use crate::proof;
use crate::schema::{DeltaField, Schema, SchemaDocument, SchemaFormat};
use crate::topic::{TopicFilter, TopicTemplate};
use crate::transform::{SerializationFormat, Transform, TransformDraft};
use crate::value::Spanned;

/// A data flow before its references are resolved.
#[derive(Debug)]
pub(crate) struct Flow {
    /// `Kind/name`, the name as written.
    pub(crate) label: String,
    pub(crate) name: Option<ResourceName>,
    pub(crate) namespace: String,
    pub(crate) name_at: Span,
    pub(crate) draft: Option<DataflowDraft>,
    /// Whether no error was found in it so far.
    pub(crate) valid: bool,
}

/// A Secret or ConfigMap that a resource needs.
#[derive(Debug)]
pub(crate) struct Needed {
    /// `Kind/name`.
    pub(crate) by: String,
    pub(crate) namespace: String,
    pub(crate) reference: Reference,
}

/// How many data flows the product bears in a profile: more make its pods fail at start.
const FLOWS_PER_PROFILE_MAX: usize = 70;

/// Resolves all references and checks the rest of the rules.
pub(crate) fn link(world: World, options: &LoadOptions, mut problems: Problems) -> Parsed<Catalog> {
    let World { mut catalog, flows, needed } = world;
    let mut in_profile: BTreeMap<Key, usize> = BTreeMap::new();
    let mut dataflows = Vec::new();
    for flow in flows {
        let label = flow.label.clone();
        problems.about(label, |problems| {
            if let Some(draft) = &flow.draft {
                let key = (flow.namespace.clone(), draft.profile.value.as_str().to_owned());
                let count = in_profile.entry(key).or_default();
                *count += 1;
                if *count == FLOWS_PER_PROFILE_MAX + 1 {
                    let name = &draft.profile.value;
                    let message =
                        format!("profile `{name}` has more than {FLOWS_PER_PROFILE_MAX} data flows");
                    let problem = warning(codes::MANY_DATAFLOWS, flow.name_at, message);
                    problems.push(problem.help("the product's pods fail at start; use another profile"));
                }
            }
            let namespace = &flow.namespace.clone();
            let linker = Linker { catalog: &catalog, options, namespace, problems };
            dataflows.extend(linker.flow(flow));
        });
    }
    catalog.dataflows = dataflows;
    for Needed { by, namespace, reference } in needed {
        problems.about(by, |problems| check_credentials(&catalog, namespace, &reference, problems));
    }
    Parsed { value: catalog, diagnostics: problems.into_sorted() }
}

/// What a reference leads to.
struct Found<T> {
    thing: Arc<T>,
    /// Whether there is no error in it.
    valid: bool,
    /// Where the reference stands.
    at: Span,
    /// Where the name of the thing stands, unless it exists without being written.
    defined_at: Option<Span>,
}

impl<T> Found<T> {
    fn error(&self, code: Code, message: impl Into<String>) -> Diagnostic {
        let problem = error(code, self.at, message);
        match self.defined_at {
            Some(defined_at) => problem.label(defined_at, "defined here"),
            None => problem,
        }
    }

    fn valid(self) -> Option<Arc<T>> {
        self.valid.then_some(self.thing)
    }
}

struct Linker<'a> {
    catalog: &'a Catalog,
    options: &'a LoadOptions,
    namespace: &'a str,
    problems: &'a mut Problems,
}

impl Linker<'_> {
    fn flow(mut self, flow: Flow) -> Option<Dataflow> {
        let Flow { name, namespace, draft, valid, .. } = flow;
        let Some(draft) = draft else {
            let profile = ResourceName::default_name();
            let state = DataflowState::Invalid;
            return Some(Dataflow { name: name?, namespace, profile, state, outline: None });
        };
        let DataflowDraft { profile: profile_name, enabled, persistence_at, source, transform, destination } =
            draft;
        let before = self.problems.errors();
        let profile = self.profile(&profile_name);
        let from = source.as_ref().and_then(|s| self.endpoint(s.endpoint.as_ref()?));
        let to = destination.as_ref().and_then(|d| self.endpoint(d.endpoint.as_ref()?));
        if let (Some(from), Some(to)) = (&from, &to) {
            self.local_broker_rule(from, to);
        }
        if let (Some(at), Some(from)) = (persistence_at, &from)
            && !from.thing.is_local_broker()
        {
            let message = "only the local broker can be asked for persistence, and the source is another";
            let help = "AIO ignores it; tidegate keeps what waits for the destination in a spool of its own";
            self.problems.push(warning(codes::NO_EFFECT, at, message).help(help));
        }
        let source_ref = source.as_ref().and_then(|s| s.schema.as_ref());
        let source_schema = self.schema(source_ref, Some(SchemaFormat::JsonSchema));
        let sample = name.as_ref().and_then(|name| self.options.samples.get(name.as_str()));
        let comes_in = match sample {
            Some(shape) => Some(proof::Source::sampled(shape)),
            None => source_ref.zip(source_schema).and_then(|(at, schema)| proof::Source::of(at, &schema)),
        };
        let data_sources = (source.as_ref().zip(from.as_ref()))
            .and_then(|(draft, from)| self.data_sources(draft, from, profile.as_ref()));
        let data_destination =
            (destination.as_ref().zip(to.as_ref())).and_then(|(draft, to)| self.data_destination(draft, to));
        let columns = self.output(transform.as_ref(), to.as_ref(), comes_in.as_ref());
        let clean = valid && self.problems.errors() == before;
        let with_columns = |transform: Transform| Transform { columns, ..transform };
        let transform_that_does =
            transform.and_then(|t| t.transform).filter(Transform::does_something).map(with_columns);
        let outline = || {
            let destination = destination.as_ref()?;
            let topic = destination.data_destination.as_ref()?.as_str();
            let presumed = || match TopicTemplate::parse(topic) {
                Ok(topic) => DataDestination::Topic(topic),
                Err(_) => DataDestination::Name(topic.to_owned()),
            };
            Some(Outline {
                data_sources: source.as_ref()?.data_sources.iter().map(|t| t.as_str().to_owned()).collect(),
                transform: transform_that_does.clone(),
                destination: DestinationSpec {
                    endpoint: to
                        .as_ref()
                        .map_or_else(|| Arc::new(Endpoint::local_broker(&namespace)), |to| to.thing.clone()),
                    data_destination: data_destination.clone().unwrap_or_else(presumed),
                    headers: destination.headers.clone(),
                },
            })
        };
        let outline = clean.then(outline).flatten();
        let plan = || {
            Some(Plan {
                name: name.clone()?,
                namespace: namespace.clone(),
                profile: profile_name.value.clone(),
                instance_count: profile?.valid()?.instance_count,
                source: SourceSpec {
                    endpoint: from?.valid()?,
                    data_sources: data_sources?,
                    schema: source_ref.map(|text| text.as_str().to_owned()),
                },
                transform: transform_that_does,
                destination: DestinationSpec {
                    endpoint: to?.valid()?,
                    data_destination: data_destination?,
                    headers: destination?.headers,
                },
                request_disk_persistence: persistence_at.is_some(),
            })
        };
        let state = match clean.then(plan).flatten() {
            None => DataflowState::Invalid,
            Some(_) if !enabled => DataflowState::Disabled,
            Some(plan) => DataflowState::Enabled(Arc::new(plan)),
        };
        Some(Dataflow { name: name?, namespace, profile: profile_name.value, state, outline })
    }

    fn profile(&mut self, name: &Spanned<ResourceName>) -> Option<Found<Profile>> {
        let default = || Profile::default_in(self.namespace);
        let found = self.find(&self.catalog.profiles, name, default);
        found.unwrap_or_else(|help| {
            let message = format!("there is no profile `{}` in namespace `{}`", name.value, self.namespace);
            self.unresolved(codes::UNKNOWN_PROFILE, name.span, message, help);
            None
        })
    }

    fn endpoint(&mut self, name: &Spanned<ResourceName>) -> Option<Found<Endpoint>> {
        let default = || Endpoint::local_broker(self.namespace);
        let found = self.find(&self.catalog.endpoints, name, default);
        found.unwrap_or_else(|help| {
            let message = format!("there is no endpoint `{}` in namespace `{}`", name.value, self.namespace);
            self.unresolved(codes::UNKNOWN_ENDPOINT, name.span, message, help);
            None
        })
    }

    /// Looks a name up; `Ok(None)` if what it names is beyond understanding, and a hint if it names nothing.
    fn find<T>(
        &self,
        declared: &BTreeMap<Key, Declared<T>>,
        name: &Spanned<ResourceName>,
        default: impl Fn() -> T,
    ) -> Result<Option<Found<T>>, String> {
        let at = name.span;
        let key = (self.namespace.to_owned(), name.value.as_str().to_owned());
        if let Some(Declared { value, valid, name_at }) = declared.get(&key) {
            let thing = value.as_ref().map(Arc::clone);
            return Ok(thing.map(|thing| Found { thing, valid: *valid, at, defined_at: Some(*name_at) }));
        }
        if name.value == ResourceName::default_name() {
            return Ok(Some(Found { thing: Arc::new(default()), valid: true, at, defined_at: None }));
        }
        let given = declared.keys().filter(|(ns, _)| ns == self.namespace).map(|(_, name)| name.as_str());
        let default = ResourceName::default_name();
        Err(match closest(name.value.as_str(), given.chain([default.as_str()])) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "give the file it is in along with this one".into(),
        })
    }

    /// A complaint about a reference: an error if all references must resolve.
    fn unresolved(&mut self, code: Code, at: Span, message: String, help: impl Into<String>) {
        let severity = if self.options.strict { Severity::Error } else { Severity::Warning };
        self.problems.push(Diagnostic::new(code, severity, message).at(at).help(help));
    }

    fn local_broker_rule(&mut self, from: &Found<Endpoint>, to: &Found<Endpoint>) {
        if !from.thing.is_local_broker() && !to.thing.is_local_broker() {
            let message = "neither the source nor the destination is the local broker";
            let problem = error(codes::NO_LOCAL_BROKER, to.at, message).label(from.at, "the source");
            self.problems.push(problem.help(
                "use the endpoint `default` for one of them, or another of type Mqtt with the host `aio-broker`",
            ));
        }
    }

    fn data_sources(
        &mut self,
        draft: &SourceDraft,
        from: &Found<Endpoint>,
        profile: Option<&Found<Profile>>,
    ) -> Option<DataSources> {
        match &from.thing.settings {
            Settings::Mqtt(mqtt) => {
                let several = profile.is_some_and(|p| p.thing.instance_count > 1);
                if several && is_at_event_grid(mqtt) {
                    let message =
                        "Event Grid has no shared subscriptions, so its flows run with one instance";
                    let problem = from.error(codes::SHARED_EVENT_GRID, message);
                    self.problems.push(problem.help("use a profile with `instanceCount: 1` for this flow"));
                }
                let filters = all(draft.data_sources.iter().map(|text| self.topic_filter(text)))?;
                Some(DataSources::Mqtt { filters, qos: mqtt.qos })
            }
            Settings::Kafka(kafka) => {
                if kafka.consumer_group_id.is_none() {
                    let message = "a Kafka endpoint needs `consumerGroupId` to be a source";
                    self.problems.push(from.error(codes::NO_CONSUMER_GROUP, message));
                }
                let topics = all(draft.data_sources.iter().map(|text| self.kafka_topic(text)))?;
                Some(DataSources::Kafka { topics, consumer_group_id: kafka.consumer_group_id.clone()? })
            }
            other => {
                let message = format!("an endpoint of type {:?} can't be a source", other.endpoint_type());
                let problem = from.error(codes::NOT_A_SOURCE, message);
                self.problems.push(problem.help("a source is of type Mqtt or Kafka"));
                None
            }
        }
    }

    fn topic_filter(&mut self, text: &Text) -> Option<TopicFilter> {
        TopicFilter::parse(text.as_str())
            .map_err(|e| self.problems.push(error(codes::BAD_TOPIC_FILTER, text.part(e.range), e.message)))
            .ok()
    }

    /// A Kafka topic: no wildcards. That Kafka takes 1 to 249 of `[A-Za-z0-9._-]` only is a warning, as the product's own
    /// examples have slashes in it.
    fn kafka_topic(&mut self, text: &Text) -> Option<String> {
        const HELP: &str = "Kafka topics are plain names, without levels, wildcards and variables";
        let topic = text.as_str();
        let shared = ["$share/", "$shared/"].iter().find(|prefix| topic.starts_with(**prefix));
        let wildcard = shared.map(|prefix| (0, *prefix)).or_else(|| topic.match_indices(['+', '#']).next());
        if let Some((at, what)) = wildcard {
            let problem = error(
                codes::BAD_KAFKA_TOPIC,
                text.part(at..at + what.len()),
                "a Kafka topic has no wildcards",
            );
            self.problems.push(problem.help(HELP));
            return None;
        }
        let stray = topic.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || "._-".contains(*c)));
        if let Some((at, c)) = stray {
            let at = text.part(at..at + c.len_utf8());
            let problem =
                warning(codes::BAD_KAFKA_TOPIC, at, format!("Kafka takes no `{c}` in the name of a topic"));
            self.problems.push(problem.help(HELP));
        } else if topic.len() > 249 || [".", ".."].contains(&topic) {
            let message = "Kafka takes names of 1 to 249 characters, and neither `.` nor `..`";
            self.problems.push(warning(codes::BAD_KAFKA_TOPIC, text.span(), message));
        }
        Some(topic.to_owned())
    }

    fn data_destination(
        &mut self,
        draft: &DestinationDraft,
        to: &Found<Endpoint>,
    ) -> Option<DataDestination> {
        let endpoint_type = to.thing.settings.endpoint_type();
        match &to.thing.settings {
            Settings::Mqtt(mqtt) if mqtt.keep_retain && is_at_event_grid(mqtt) => {
                let message = "Event Grid rejects retained messages, and this endpoint passes the flag on";
                let problem = warning(codes::SERVICE_LIMIT, to.at, message);
                self.problems.push(problem.help("write `retain: Never` in the endpoint"));
            }
            Settings::Kafka(kafka) => self.check_compression(kafka, to.at),
            Settings::OpenTelemetry(_) => {
                let message = "tidegate doesn't send to OpenTelemetry endpoints yet";
                self.problems.push(warning(codes::DESTINATION_NOT_RUN_YET, to.at, message));
            }
            _ => {}
        }
        let text = draft.data_destination.as_ref()?;
        let written = text.as_str();
        if endpoint_type == EndpointType::Mqtt {
            return TopicTemplate::parse(written)
                .map_err(|e| {
                    self.problems.push(error(codes::BAD_DESTINATION_TOPIC, text.part(e.range), e.message))
                })
                .ok()
                .map(DataDestination::Topic);
        }
        if let Some((start, end)) =
            written.find("${").and_then(|start| Some((start, start + written[start..].find('}')? + 1)))
        {
            let message = format!("the destination of an endpoint of type {endpoint_type:?} is a plain name");
            let problem = error(codes::STATIC_DESTINATION, text.part(start..end), message);
            self.problems.push(problem.help("only MQTT topics take variables"));
            return None;
        }
        match endpoint_type {
            EndpointType::Kafka => self.kafka_topic(text),
            EndpointType::LocalStorage => self.folder(text),
            _ => Some(written.to_owned()),
        }
        .map(DataDestination::Name)
    }

    fn check_compression(&mut self, kafka: &Kafka, at: Span) {
        if matches!(kafka.compression, Compression::Snappy | Compression::Lz4)
            && is_event_hubs(kafka.host.host())
        {
            let message = format!("Event Hubs and Fabric don't take {:?} compression", kafka.compression);
            let problem = warning(codes::SERVICE_LIMIT, at, message);
            self.problems.push(problem.help("write `compression: Gzip` or `None` in the endpoint"));
        }
    }

    /// A folder inside a volume, and nothing above it.
    fn folder(&mut self, text: &Text) -> Option<String> {
        let folder = text.as_str();
        let inside = !folder.contains(['\\', '\0', ':'])
            && folder.split('/').all(|part| !["", ".", ".."].contains(&part));
        if !inside {
            let problem = error(codes::BAD_FOLDER, text.span(), "this is no folder inside the volume");
            self.problems
                .push(problem.help("write a relative path such as `sensors/raw`, without `.` and `..`"));
        }
        inside.then(|| folder.to_owned())
    }

    /// Format and schema of what comes out, and whether the destination takes it. Gives the columns it has, if it has any.
    fn output(
        &mut self,
        draft: Option<&TransformDraft>,
        to: Option<&Found<Endpoint>>,
        source: Option<&proof::Source>,
    ) -> Option<Arc<[DeltaField]>> {
        let mut columns = None;
        let format = draft.map_or(SerializationFormat::Json, |d| d.format.value);
        if let Some(draft) = draft {
            for schema in &draft.dataset_schemas {
                self.schema(Some(schema), Some(SchemaFormat::JsonSchema));
            }
            // A schema of JSON that comes out is for people only.
            let wanted = (format != SerializationFormat::Json).then_some(SchemaFormat::Delta);
            if let Some(schema) = self.schema(draft.schema.as_ref(), wanted).filter(|_| wanted.is_some()) {
                columns::check(draft, &schema, self.problems);
                if let Some(source) = source {
                    proof::check(draft, &schema, source, self.problems);
                }
                if let SchemaDocument::Delta(fields) = &schema.document {
                    columns = Some(fields.as_slice().into());
                }
            }
        }
        let Some(to) = to else { return columns };
        let endpoint_type = to.thing.settings.endpoint_type();
        let format_at = draft.map_or(to.at, |d| d.format.span.unwrap_or(d.at));
        if !endpoint_type.is_storage() {
            if format != SerializationFormat::Json {
                let message = format!("a destination of type {endpoint_type:?} takes no {format:?}");
                let problem = error(codes::WRONG_FORMAT, format_at, message);
                self.problems.push(problem.help("write `serializationFormat: Json`, or leave it out"));
            }
            return columns;
        }
        let schema_given = draft.is_some_and(|d| d.schema.is_some());
        let format_given = draft.is_some_and(|d| d.format.span.is_some());
        if !schema_given {
            let message = format!("a destination of type {endpoint_type:?} needs `schemaRef`");
            let problem = error(codes::SCHEMA_NEEDED, draft.map_or(to.at, |d| d.at), message);
            self.problems.push(problem.help(
                "write it into an operation BuiltInTransformation, with `serializationFormat: Delta` or `Parquet`",
            ));
        }
        if format == SerializationFormat::Json && (schema_given || format_given) {
            let message = format!("a destination of type {endpoint_type:?} takes no Json");
            let problem = error(codes::WRONG_FORMAT, format_at, message);
            self.problems.push(problem.help("write `serializationFormat: Delta` or `Parquet`"));
        }
        if endpoint_type == EndpointType::LocalStorage && format == SerializationFormat::Delta {
            let message = "some of the product's pages say that local storage takes Parquet only";
            self.problems.push(warning(codes::WRONG_FORMAT, format_at, message));
        }
        columns
    }

    /// The schema that a reference names, if it can be found and is of the format that is wanted.
    fn schema(&mut self, reference: Option<&Text>, wanted: Option<SchemaFormat>) -> Option<Arc<Schema>> {
        let text = reference?;
        let Some(reference) = SchemaRef::parse(text.as_str()) else {
            let message = format!("`{}` is no schema reference", text.as_str());
            let help = "write `aio-sr://<namespace>/<name>:<version>`; the version is a number";
            self.unresolved(codes::BAD_SCHEMA_REF, text.span(), message, help);
            return None;
        };
        let Some(schema) = self.catalog.schema(&reference) else {
            let message =
                format!("there is no version {} of schema `{}`", reference.version(), reference.name());
            let help = "give the Schema along with the flow";
            self.unresolved(codes::UNKNOWN_SCHEMA, text.span(), message, help);
            return None;
        };
        if let Some(wanted) = wanted.filter(|w| *w != schema.format()) {
            let (is, wanted) = (schema.format().as_str(), wanted.as_str());
            let message = format!("this schema is {is}, and {wanted} is needed here");
            self.problems.push(error(codes::WRONG_SCHEMA_FORMAT, text.span(), message));
            return None;
        }
        Some(Arc::clone(schema))
    }
}

/// The items if there are any and none is missing. Goes through all of them, so that all are complained about.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect::<Option<Vec<T>>>().filter(|items| !items.is_empty())
}

fn is_at_event_grid(mqtt: &Mqtt) -> bool {
    matches!(&mqtt.host, MqttHost::Remote { address, .. } if is_event_grid(address.host()))
}

fn check_credentials(catalog: &Catalog, namespace: String, reference: &Reference, problems: &mut Problems) {
    let key = (namespace, reference.name.clone());
    let name = &reference.name;
    let not_given = |kind| {
        note(codes::CREDENTIALS_NOT_GIVEN, reference.at, format!("{kind} `{name}` is not among these files"))
    };
    match reference.to {
        Referent::ConfigMap if catalog.config_maps.contains_key(&key) => {}
        Referent::ConfigMap => problems.push(not_given("ConfigMap")),
        Referent::Secret(layouts) => match catalog.secrets.get(&key) {
            None => problems.push(not_given("Secret")),
            Some(values) if layouts.iter().any(|keys| keys.iter().all(|k| values.contains_key(*k))) => {}
            Some(_) => {
                let layouts: Vec<String> = layouts.iter().map(|keys| all_of(keys)).collect();
                let message = format!("Secret `{name}` lacks what is needed here");
                let problem = warning(codes::SECRET_KEY_MISSING, reference.at, message);
                problems.push(problem.help(format!("it needs {}", layouts.join(", or "))));
            }
        },
    }
}
