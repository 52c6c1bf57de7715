//! From files to a [`Catalog`]: reads every form, parses every resource, and has them checked together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_core::{FileId, Files, Parsed, Span};
use tidegate_expr::Shape;

use crate::broker::{self, BrokerFields};
use crate::catalog::{Catalog, Declared, ResourceId};
use crate::check::{self, Flow, Needed};
use crate::codes;
use crate::content;
use crate::credentials::{self, ConfigMapFields, SecretFields};
use crate::dataflow::{self, DataflowFields, Setting};
use crate::endpoint::{self, EndpointFields, EndpointType, Ingestion};
use crate::field::{Read, closest, one_of};
use crate::names::ResourceName;
use crate::node::{Node, Text, Value, span};
use crate::plan::FilterSemantics;
use crate::problems::{Problems, error, note, warning};
use crate::profile::{self, ProfileFields};
use crate::resource::{Kind, Resource, resources};
use crate::schema::{self, Content, Schema, SchemaFields};
use crate::secrecy;
use crate::simulator::{self, SimulatorFields};
use crate::template::Templates;
use crate::{json, yaml};

/// The annotation that lets an endpoint for a cloud service name any host, such as an emulator's.
pub(crate) const ANY_HOST: &str = "tidegate.dev/allow-any-host";
/// The annotation that says what a true filter of a data flow means.
pub(crate) const FILTER_SEMANTICS: &str = "tidegate.dev/filter-semantics";
/// The annotations of a DataExplorer endpoint: see [`Ingestion`].
const ADX_DEDUPLICATE: &str = "tidegate.dev/adx-deduplicate";
const ADX_INGESTION: &str = "tidegate.dev/adx-ingestion";
const ADX_MAPPING: &str = "tidegate.dev/adx-mapping";

/// How files are loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Whether an endpoint, profile or schema that the files don't hold is an error; else it is a warning.
    pub strict: bool,
    /// The namespace of resources that name none.
    pub namespace: String,
    /// What an `az iot ops` config file is, where its fields don't tell.
    pub kind: Option<Kind>,
    /// What it is called; else it is called as its file.
    pub name: Option<String>,
    /// The profile of data flows in ARM and config files whose name doesn't say it.
    pub profile: Option<String>,
    /// What a true filter means, unless the data flow's annotation `tidegate.dev/filter-semantics` says otherwise.
    pub filter_semantics: FilterSemantics,
    /// What the messages of a data flow look like, by its name. Counts more than the schema of its source.
    pub samples: BTreeMap<String, Shape>,
    /// Values for the parameters of Bicep files and ARM templates, as text.
    pub parameters: Vec<(String, String)>,
    /// Which of the files hold such values; `parameters` count more.
    pub parameter_files: Vec<FileId>,
    /// What `readEnvironmentVariable` finds in a Bicep parameter file.
    pub environment: fn(&str) -> Option<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            strict: false,
            namespace: "azure-iot-operations".into(),
            kind: None,
            name: None,
            profile: None,
            filter_semantics: FilterSemantics::DropWhenTrue,
            samples: BTreeMap::new(),
            parameters: vec![],
            parameter_files: vec![],
            environment: |_| None,
        }
    }
}

/// Loads all files together. The diagnostics are in file order.
pub fn load(files: &Files, options: &LoadOptions) -> Parsed<Catalog> {
    let mut problems = Problems::default();
    let documents = read_all(files, options, &mut problems);
    let content_files = content::named(files, &documents, options);
    let mut loader = Loader {
        files,
        documents: &documents,
        options,
        problems,
        world: World::default(),
        first: HashMap::new(),
    };
    for (id, nodes) in &documents {
        let name = files.get(*id).map_or("", |f| &f.name);
        if let Some((schema, version)) = content::registry_path(name) {
            loader.registry_file(*id, schema, version, nodes);
        } else if !content_files.contains(&content::normal(name)) {
            for node in nodes {
                // Such as a key that stands twice: what was read is not all that was written.
                let valid = !loader.problems.has_error_in(node.span) && !node.has_hole();
                let mut found = Vec::new();
                resources(node, name, options, &mut loader.problems, &mut found);
                for resource in found {
                    loader.resource(Resource { valid: valid && resource.valid, ..resource }, *id);
                }
            }
        }
    }
    let Loader { problems, world, .. } = loader;
    let mut parsed = check::link(world, options, problems);
    secrecy::keep(&documents, files, &mut parsed.diagnostics);
    parsed
}

/// The documents of a file, each as JSON, numbers as they are written. What is wrong with them [`load`] says.
pub fn documents_as_json(name: &str, text: &str) -> Vec<String> {
    let mut files = Files::default();
    files.add(name, text);
    read_plain(&files).iter().flat_map(|(_, nodes)| nodes).map(json::print).collect()
}

/// The documents of each file.
pub(crate) type Documents = [(FileId, Vec<Node>)];

/// Reads all files by their forms. Of templates the documents are the resources they come to.
pub(crate) fn read_all(
    files: &Files,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Vec<(FileId, Vec<Node>)> {
    let mut templates = Templates::new(files, options, problems);
    let read = files
        .iter()
        .map(|(id, file)| (id, read(id, &file.name, &file.text, &mut templates, problems)))
        .collect();
    templates.unused(problems);
    read
}

/// Reads the files that are no templates; what is wrong with them is said elsewhere.
pub(crate) fn read_plain(files: &Files) -> Vec<(FileId, Vec<Node>)> {
    let mut ignored = Problems::default();
    let mut read = |id, text: &str, form| match form {
        Form::Bicep => vec![],
        Form::Json => json::parse(id, text, &mut ignored).into_iter().collect(),
        Form::Yaml => yaml::parse(id, text, &mut ignored),
    };
    files.iter().map(|(id, file)| (id, read(id, &file.text, form(&file.name, &file.text)))).collect()
}

fn read(
    id: FileId,
    name: &str,
    text: &str,
    templates: &mut Templates<'_>,
    problems: &mut Problems,
) -> Vec<Node> {
    // What templates name speaks where they use it.
    if templates.is_named(id) && content::registry_path(name).is_none() {
        return vec![];
    }
    let (errors, before) = (problems.errors(), problems.len());
    let mut is_silent = true;
    let documents = match form(name, text) {
        Form::Bicep => {
            let documents = templates.bicep(id, problems);
            is_silent = problems.len() == before;
            documents
        }
        Form::Json => match json::parse(id, text, problems) {
            Some(document) if is_template(&document) => {
                let documents = templates.arm(&document, problems);
                is_silent = problems.len() == before;
                documents
            }
            Some(document) if is_parameters(&document) => {
                is_silent = false;
                let problem =
                    note(codes::PASSED_OVER, document.head(), "a file with parameters is passed over");
                problems.push(problem.help("give it with `--param-file`"));
                vec![]
            }
            document => document.into_iter().collect(),
        },
        Form::Yaml => yaml::parse(id, text, problems),
    };
    if documents.is_empty() && is_silent && problems.errors() == errors {
        let start = span(id, 0..0);
        problems.push(note(codes::NO_RESOURCE, start, "there is no resource in this file"));
    }
    documents
}

/// What a file is read as.
pub(crate) enum Form {
    Bicep,
    Json,
    Yaml,
}

pub(crate) fn form(name: &str, text: &str) -> Form {
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
    match extension.as_str() {
        "bicep" | "bicepparam" => Form::Bicep,
        "json" | "jsonc" => Form::Json,
        "yaml" | "yml" => Form::Yaml,
        _ if looks_like_json(text) => Form::Json,
        _ if looks_like_bicep(text) => Form::Bicep,
        _ => Form::Yaml,
    }
}

/// Whether a document is an ARM template.
pub(crate) fn is_template(document: &Node) -> bool {
    let is_object_or_list = |n: &Node| matches!(n.value, Value::List(_) | Value::Map(_));
    schema_of(document).contains("eploymentTemplate.json")
        || document.get("contentVersion").is_some()
            && document.get("resources").is_some_and(is_object_or_list)
}

/// Whether a document holds values for the parameters of a template.
pub(crate) fn is_parameters(document: &Node) -> bool {
    schema_of(document).contains("eploymentParameters.json")
}

fn schema_of(document: &Node) -> &str {
    document.get("$schema").and_then(Node::as_text).map_or("", Text::as_str)
}

/// Of standard input and the like: the first line that says something begins as a Bicep statement does.
fn looks_like_bicep(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let first = lines.find(|l| !l.is_empty() && !l.starts_with("//")).unwrap_or("");
    let starts = [
        "param ",
        "resource ",
        "targetScope ",
        "metadata ",
        "var ",
        "module ",
        "import ",
        "using ",
        "type ",
        "/*",
    ];
    first.starts_with('@') && first.contains('(') || starts.iter().any(|s| first.starts_with(s))
}

/// Of standard input and the like: JSON starts with a brace, which manifests in YAML do only as templates.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with('{') && !text.starts_with("{{") && !text.starts_with("{%")
}

/// All resources, read and not yet checked against each other.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) catalog: Catalog,
    pub(crate) flows: Vec<Flow>,
    pub(crate) needed: Vec<Needed>,
}

struct Loader<'a> {
    files: &'a Files,
    documents: &'a Documents,
    options: &'a LoadOptions,
    problems: Problems,
    world: World,
    /// Where each resource was named first.
    first: HashMap<(Kind, String, String), Span>,
}

/// What tidegate's own annotations say.
#[derive(Default)]
struct Annotations {
    filter_semantics: Option<FilterSemantics>,
    any_host: bool,
    ingestion: Ingestion,
}

impl Loader<'_> {
    fn resource(&mut self, resource: Resource, file: FileId) {
        let label = format!("{}/{}", resource.kind, resource.written);
        let mut problems = std::mem::take(&mut self.problems);
        problems.about(label.clone(), |problems| self.parse(resource, label, file, problems));
        self.problems = problems;
    }

    fn parse(&mut self, resource: Resource, label: String, file: FileId, problems: &mut Problems) {
        let before = problems.errors();
        let Resource { kind, name, name_at, namespace, body, body_at, .. } = resource;
        if let Some(name) = &name {
            self.declare(kind, &namespace, name, name_at, problems);
        }
        let annotations = annotations(&resource.annotations, problems);
        if kind != Kind::DataflowEndpoint {
            without_effect(&resource.annotations, kind, None, problems);
        }
        let key = name.clone().map(|name| (namespace.clone(), name));
        let named = name.as_deref().and_then(ResourceName::parse);
        let valid = |problems: &Problems| resource.valid && problems.errors() == before;
        match kind {
            Kind::DataflowEndpoint => {
                // A name that can't be is complained about already; the rest is still worth checking.
                let named = named.unwrap_or_else(ResourceName::default_name);
                let parsed = EndpointFields::read(&body, body_at, problems).and_then(|f| {
                    let options = (annotations.any_host, annotations.ingestion);
                    endpoint::parse(f, named, namespace.clone(), options, problems)
                });
                if let Some((endpoint, _)) = &parsed {
                    let endpoint_type = Some(endpoint.settings.endpoint_type());
                    without_effect(&resource.annotations, kind, endpoint_type, problems);
                }
                let valid = valid(problems);
                let (endpoint, references) = parsed.map_or((None, vec![]), |(e, r)| (Some(Arc::new(e)), r));
                self.need(&label, &namespace, references);
                if let Some(key) = key {
                    self.world.catalog.endpoints.entry(key).or_insert(Declared {
                        value: endpoint,
                        valid,
                        name_at,
                    });
                }
            }
            Kind::DataflowProfile => {
                let named = named.unwrap_or_else(ResourceName::default_name);
                let profile = ProfileFields::read(&body, body_at, problems)
                    .map(|fields| Arc::new(profile::parse(fields, named, name_at, namespace, problems)));
                let valid = valid(problems);
                if let Some(key) = key {
                    self.world.catalog.profiles.entry(key).or_insert(Declared {
                        value: profile,
                        valid,
                        name_at,
                    });
                }
            }
            Kind::Dataflow => {
                let setting = Setting {
                    parent: resource.parent,
                    manifest: resource.manifest,
                    filter_semantics: annotations.filter_semantics.unwrap_or(self.options.filter_semantics),
                    at: body_at,
                };
                let draft = DataflowFields::read(&body, body_at, problems)
                    .and_then(|fields| dataflow::parse(fields, setting, problems));
                let valid = valid(problems);
                self.world.flows.push(Flow { label, name: named, namespace, name_at, draft, valid });
            }
            Kind::DataflowGraph | Kind::RegistryEndpoint => {
                let message = format!("tidegate doesn't run a {kind} yet");
                problems.push(note(codes::NOT_RUN_YET, name_at, message));
            }
            Kind::Secret => {
                let values = SecretFields::read(&body, body_at, problems).map(credentials::secret);
                if let Some(key) = key {
                    self.world.catalog.secrets.entry(key).or_insert(values.unwrap_or_default());
                }
            }
            Kind::ConfigMap => {
                let values = ConfigMapFields::read(&body, body_at, problems).map(credentials::config_map);
                if let Some(key) = key {
                    self.world.catalog.config_maps.entry(key).or_insert(values.unwrap_or_default());
                }
            }
            // Only its name counts: the volume is a folder here.
            Kind::PersistentVolumeClaim => {}
            Kind::Schema => self.schema(name, &body, body_at, file, problems),
            Kind::Simulator => {
                let parsed = SimulatorFields::read(&body, body_at, problems)
                    .zip(name.as_deref().and_then(ResourceName::parse))
                    .and_then(|(fields, name)| simulator::parse(name, fields, problems));
                self.world.catalog.simulators.extend(parsed);
            }
            Kind::Broker => {
                let parsed = BrokerFields::read(&body, body_at, problems)
                    .map(|fields| broker::parse(fields, problems));
                if name.as_deref().is_some_and(|n| n != "default") {
                    let problem =
                        error(codes::BAD_NAME, name_at, "there is one local broker, called `default`");
                    problems.push(problem.help("write `default`"));
                }
                if let Some((broker, references)) = parsed {
                    self.need(&label, &namespace, references);
                    self.world.catalog.broker.get_or_insert(broker);
                }
            }
        }
    }

    /// Takes note of a resource, or says that it was there before.
    fn declare(&mut self, kind: Kind, namespace: &str, name: &str, at: Span, problems: &mut Problems) {
        let id = ResourceId { kind, namespace: namespace.to_owned(), name: name.to_owned(), at };
        let first = self.first.insert((kind, namespace.to_owned(), name.to_owned()), at);
        // Versions of a schema share its name.
        if let Some(first) = first.filter(|_| kind != Kind::Schema) {
            let message = format!("{kind} `{name}` is defined twice");
            let problem = error(codes::DUPLICATE_RESOURCE, at, message).label(first, "first here");
            problems.push(problem.help("remove one, or give it another name"));
        }
        self.world.catalog.resources.push(id);
    }

    fn need(&mut self, by: &str, namespace: &str, references: Vec<endpoint::Reference>) {
        self.world.needed.extend(references.into_iter().map(|reference| Needed {
            by: by.to_owned(),
            namespace: namespace.to_owned(),
            reference,
        }));
    }

    fn schema(&mut self, name: Option<String>, body: &Node, at: Span, file: FileId, problems: &mut Problems) {
        let Some(fields) = SchemaFields::read(body, at, problems) else { return };
        let format = fields.format.as_ref().map(|f| f.value);
        let (content, document) = match (fields.content, &fields.content_file) {
            (Some(Content::Object(node)), None) => (json::print(&node), node),
            (Some(Content::Text(text)), None) => match json::parse_inner(&text, problems) {
                Some(node) => (text.as_str().to_owned(), node),
                None => return,
            },
            (None, Some(content_file)) => match self.content_file(file, &content_file.0, problems) {
                Some(found) => found,
                None => return,
            },
            (Some(_), Some(content_file)) => {
                let message = "a schema has `content` or `contentFile`, not both";
                problems.push(error(codes::CONTENT_FILE, content_file.0.span(), message));
                return;
            }
            (None, None) => {
                if !fields.flawed {
                    let problem = error(codes::CONTENT_FILE, at, "the document of this schema is missing");
                    problems
                        .push(problem.help("write it under `content`, or name its file with `contentFile`"));
                }
                return;
            }
        };
        let Some(document) = schema::document(&document, format, at, problems) else { return };
        if let (Some(name), Some(version)) = (name, fields.version) {
            self.add_schema(Schema { name, version: version.0, content, document }, at, problems);
        }
    }

    /// The document in the file that a schema names: it stands beside the schema's file.
    fn content_file(&self, from: FileId, name: &Text, problems: &mut Problems) -> Option<(String, Node)> {
        let path = content::beside(self.files.get(from).map_or("", |f| &f.name), name.as_str());
        let found = self.files.iter().find(|(_, f)| content::normal(&f.name) == path);
        let Some((id, file)) = found else {
            problems.push(error(
                codes::CONTENT_FILE,
                name.span(),
                format!("the file `{path}` was not given"),
            ));
            return None;
        };
        let (_, nodes) = self.documents.iter().find(|(other, _)| *other == id)?;
        Some((file.text.trim_start_matches('\u{feff}').to_owned(), nodes.first()?.clone()))
    }

    fn registry_file(&mut self, id: FileId, name: &str, version: &str, nodes: &[Node]) {
        let (Some(node), Some(file)) = (nodes.first(), self.files.get(id)) else { return };
        let mut problems = std::mem::take(&mut self.problems);
        problems.about(format!("{}/{name}", Kind::Schema), |problems| {
            if let Some(document) = schema::document(node, None, node.head(), problems) {
                let content = file.text.trim_start_matches('\u{feff}').to_owned();
                self.declare(Kind::Schema, &self.options.namespace.clone(), name, node.head(), problems);
                let schema = Schema { name: name.to_owned(), version: version.to_owned(), content, document };
                self.add_schema(schema, node.head(), problems);
            }
        });
        self.problems = problems;
    }

    fn add_schema(&mut self, schema: Schema, at: Span, problems: &mut Problems) {
        let key = (schema.name.clone(), schema.version.clone());
        if self.world.catalog.schemas.contains_key(&key) {
            let message = format!("version {} of schema `{}` is defined twice", key.1, key.0);
            problems.push(error(codes::DUPLICATE_RESOURCE, at, message).help("a change is a new version"));
            return;
        }
        self.world.catalog.schemas.insert(key, Arc::new(schema));
    }
}

fn annotations(given: &[(String, Text)], problems: &mut Problems) -> Annotations {
    let mut read = Annotations::default();
    for (key, value) in given.iter().filter(|(key, _)| key.starts_with("tidegate.dev/")) {
        match key.as_str() {
            FILTER_SEMANTICS => {
                let all = [
                    ("drop-when-true", FilterSemantics::DropWhenTrue),
                    ("pass-when-true", FilterSemantics::PassWhenTrue),
                ];
                read.filter_semantics =
                    all.into_iter().find(|(name, _)| *name == value.as_str()).map(|(_, s)| s);
                if read.filter_semantics.is_none() {
                    let message =
                        format!("`{}` is not {}", value.as_str(), one_of(&all.map(|(name, _)| name)));
                    problems.push(error(codes::UNKNOWN_VALUE, value.span(), message));
                }
            }
            ANY_HOST => read.any_host = choose(value, ["false", "true"], problems),
            ADX_DEDUPLICATE => read.ingestion.deduplicate = !choose(value, ["true", "false"], problems),
            ADX_INGESTION => read.ingestion.streaming = choose(value, ["queued", "streaming"], problems),
            ADX_MAPPING => {
                read.ingestion.mapping = Some(value.as_str().trim().to_owned()).filter(|m| !m.is_empty());
            }
            _ => {
                let problem =
                    warning(codes::UNKNOWN_FIELD, value.span(), format!("there is no annotation `{key}`"));
                problems.push(
                    match closest(
                        key,
                        [FILTER_SEMANTICS, ANY_HOST, ADX_DEDUPLICATE, ADX_INGESTION, ADX_MAPPING],
                    ) {
                        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                        None => problem,
                    },
                );
            }
        }
    }
    read
}

/// Warns of annotations that mean something elsewhere only.
fn without_effect(
    given: &[(String, Text)],
    kind: Kind,
    endpoint_type: Option<EndpointType>,
    problems: &mut Problems,
) {
    for (key, value) in given {
        let (has_effect, place) = match key.as_str() {
            FILTER_SEMANTICS => (kind == Kind::Dataflow, "data flows"),
            ANY_HOST => (kind == Kind::DataflowEndpoint, "endpoints"),
            ADX_DEDUPLICATE | ADX_INGESTION | ADX_MAPPING => {
                (endpoint_type == Some(EndpointType::DataExplorer), "endpoints of type DataExplorer")
            }
            _ => continue,
        };
        if !has_effect {
            let message = format!("the annotation `{key}` has no effect here, but on {place} only");
            problems.push(warning(codes::NO_EFFECT, value.span(), message).help("remove it"));
        }
    }
}

/// Whether the value is the second of two, the first of which is the default.
fn choose(value: &Text, [default, other]: [&str; 2], problems: &mut Problems) -> bool {
    let written = value.as_str();
    if written != default && written != other {
        let message = format!("`{written}` is not {}", one_of(&[default, other]));
        problems.push(error(codes::UNKNOWN_VALUE, value.span(), message));
    }
    written == other
}
