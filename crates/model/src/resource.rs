//! From documents to resources: the Kubernetes envelope, lists of it, a single ARM resource, and the body that
//! `az iot ops ... apply --config-file` takes. What is inside the envelope is somebody else's business.

use std::fmt;

use tidegate_core::Span;

use crate::codes;
use crate::field::{Read, TEXT, closest, object, one_of, text};
use crate::load::LoadOptions;
use crate::names::{ObjectName, ResourceName};
use crate::node::{Node, Text, Value};
use crate::problems::{Problems, error, note};
use crate::value::{OBJECT_RULE, RESOURCE_RULE, Raw, Texts, bad_name};

/// The kinds of resource that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of Kubernetes and AIO")]
pub enum Kind {
    Dataflow,
    DataflowProfile,
    DataflowEndpoint,
    DataflowGraph,
    RegistryEndpoint,
    Secret,
    ConfigMap,
    PersistentVolumeClaim,
    Schema,
    Broker,
    Simulator,
}

const AIO_VERSIONS: [&str; 2] =
    ["connectivity.iotoperations.azure.com/v1", "connectivity.iotoperations.azure.com/v1beta1"];
const CORE_VERSIONS: [&str; 1] = ["v1"];
const OWN_VERSIONS: [&str; 1] = ["tidegate.dev/v1"];

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::Dataflow,
        Kind::DataflowProfile,
        Kind::DataflowEndpoint,
        Kind::DataflowGraph,
        Kind::RegistryEndpoint,
        Kind::Secret,
        Kind::ConfigMap,
        Kind::PersistentVolumeClaim,
        Kind::Schema,
        Kind::Broker,
        Kind::Simulator,
    ];

    /// As manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Dataflow => "Dataflow",
            Kind::DataflowProfile => "DataflowProfile",
            Kind::DataflowEndpoint => "DataflowEndpoint",
            Kind::DataflowGraph => "DataflowGraph",
            Kind::RegistryEndpoint => "RegistryEndpoint",
            Kind::Secret => "Secret",
            Kind::ConfigMap => "ConfigMap",
            Kind::PersistentVolumeClaim => "PersistentVolumeClaim",
            Kind::Schema => "Schema",
            Kind::Broker => "Broker",
            Kind::Simulator => "Simulator",
        }
    }

    /// The values of `apiVersion` it goes with.
    pub fn api_versions(self) -> &'static [&'static str] {
        match self {
            Kind::Secret | Kind::ConfigMap | Kind::PersistentVolumeClaim => &CORE_VERSIONS,
            Kind::Schema | Kind::Broker | Kind::Simulator => &OWN_VERSIONS,
            _ => &AIO_VERSIONS,
        }
    }

    /// The kind of an ARM resource type in full, upper and lower case being the same.
    pub(crate) fn of_arm_type(of: &str) -> Option<Self> {
        let of = of.to_ascii_lowercase();
        let rest = of.strip_prefix("microsoft.iotoperations/instances/")?;
        Self::ALL.into_iter().find(|k| k.arm_type().is_some_and(|t| t.eq_ignore_ascii_case(rest)))
    }

    /// The ARM resource type without `Microsoft.IoTOperations/instances/`, of the kinds that have one.
    pub fn arm_type(self) -> Option<&'static str> {
        match self {
            Kind::Dataflow => Some("dataflowProfiles/dataflows"),
            Kind::DataflowProfile => Some("dataflowProfiles"),
            Kind::DataflowEndpoint => Some("dataflowEndpoints"),
            Kind::DataflowGraph => Some("dataflowProfiles/dataflowGraphs"),
            Kind::RegistryEndpoint => Some("registryEndpoints"),
            _ => None,
        }
    }

    /// Whether the kind is one of Kubernetes' own, whose fields stand beside `metadata` and not in `spec`.
    pub fn is_core(self) -> bool {
        self.api_versions() == CORE_VERSIONS
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A resource as it came: its envelope read, its body not yet.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    /// Whether no error was found in its envelope.
    pub(crate) valid: bool,
    /// The name as written.
    pub(crate) written: String,
    /// The name, unless no such resource can have it.
    pub(crate) name: Option<String>,
    pub(crate) name_at: Span,
    pub(crate) namespace: String,
    pub(crate) annotations: Vec<(String, Text)>,
    /// The profile that an ARM name or the caller puts a data flow under.
    pub(crate) parent: Option<String>,
    /// Whether it came as a Kubernetes manifest.
    pub(crate) manifest: bool,
    /// `spec` or `properties`; the whole manifest for Kubernetes' own kinds.
    pub(crate) body: Node,
    /// Where to point when something is missing in the body.
    pub(crate) body_at: Span,
    /// The whole document.
    pub(crate) at: Span,
    /// The labels of a Kubernetes manifest, unread.
    pub(crate) labels: Option<Node>,
}

object! {
    /// A Kubernetes manifest.
    struct Manifest {
        /// Group and version of the kind.
        _api_version "apiVersion": required Raw;
        /// What it is.
        _kind "kind": required Raw;
        /// What it is called.
        metadata "metadata": required Metadata;
        /// What it is to be.
        spec "spec": required Node;
        ignored "status";
    }
}

object! {
    /// `metadata`.
    struct Metadata {
        /// The name, unique for the kind in its namespace.
        name "name": required Raw;
        /// The namespace; references reach no further.
        namespace "namespace": optional Raw;
        /// Notes for tools, tidegate among them.
        annotations "annotations": optional Texts;
        ignored "labels", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "finalizers",
            "ownerReferences", "selfLink", "generateName", "deletionTimestamp", "deletionGracePeriodSeconds";
    }
}

object! {
    /// An ARM resource.
    struct ArmResource {
        /// The resource type.
        _type "type": required Raw;
        /// The name, perhaps with those of its parents before it.
        name "name": required Raw;
        /// The body.
        properties "properties": required Node;
        ignored "apiVersion", "id", "extendedLocation", "location", "tags", "systemData", "dependsOn", "resourceGroup",
            "identity", "etag", "comments", "scope", "parent", "condition", "copy", "resources", "metadata", "asserts",
            "existing", "zones", "kind", "sku", "plan", "managedBy";
    }
}

object! {
    /// A file for `az iot ops ... --config-file` with its body one level down.
    struct ConfigFile {
        /// The body.
        properties "properties": required Node;
        ignored "id", "name", "type", "extendedLocation", "systemData", "resourceGroup";
    }
}

/// Takes the resources out of a document.
pub(crate) fn resources(
    document: &Node,
    file_name: &str,
    options: &LoadOptions,
    problems: &mut Problems,
    found: &mut Vec<Resource>,
) {
    let Value::Map(_) = &document.value else {
        let message = format!("expected a resource, found {}", document.kind());
        problems.push(error(codes::NOT_A_RESOURCE, document.head(), message));
        return;
    };
    if let Some(kind) = document.get("kind") {
        let Some(kind) = text(kind, TEXT, problems) else { return };
        if kind.as_str().ends_with("List") && document.get("items").is_some() {
            if let Some(Value::List(items)) = document.get("items").map(|items| &items.value) {
                for item in items {
                    resources(item, file_name, options, problems, found);
                }
            }
            return;
        }
        let name = document.get("metadata").and_then(|m| m.get("name")).and_then(Node::as_text);
        let label = match name {
            Some(name) => format!("{}/{}", kind.as_str(), name.as_str()),
            None => kind.as_str().to_owned(),
        };
        let (read, valid) = problems.about(label, |problems| manifest(document, kind, options, problems));
        found.extend(read.map(|resource| Resource { valid, ..resource }));
    } else if let Some(arm_type) =
        document.get("type").and_then(Node::as_text).filter(|_| document.get("name").is_some())
    {
        let before = problems.errors();
        let read = arm_resource(document, arm_type, options, problems);
        found.extend(read.map(|resource| Resource { valid: problems.errors() == before, ..resource }));
    } else if ["apiVersion", "metadata", "spec"].iter().any(|key| document.get(key).is_some()) {
        let problem = error(codes::MISSING_FIELD, document.head(), "`kind` is missing");
        problems.push(problem.help("a manifest has apiVersion, kind, metadata and spec"));
    } else {
        let before = problems.errors();
        let read = config_file(document, file_name, options, problems);
        found.extend(read.map(|resource| Resource { valid: problems.errors() == before, ..resource }));
    }
}

fn manifest(
    document: &Node,
    kind: &Text,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Option<Resource> {
    let api_version = document.get("apiVersion").and_then(Node::as_text);
    let kind = known_kind(kind, api_version, problems)?;
    let (metadata, body, body_at) = if kind.is_core() {
        let Some(metadata) = document.entry("metadata") else {
            problems.push(error(codes::MISSING_FIELD, document.head(), "`metadata` is missing"));
            return None;
        };
        (Metadata::read(&metadata.value, metadata.key_span, problems)?, document.clone(), document.head())
    } else {
        let manifest = Manifest::read(document, document.head(), problems)?;
        let spec_at = document.entry("spec").map_or(document.head(), |e| e.key_span);
        (manifest.metadata?, manifest.spec?, spec_at)
    };
    let name = metadata.name?.0;
    let namespace = match metadata.namespace {
        None => options.namespace.clone(),
        Some(Raw(text)) if ObjectName::parse(text.as_str()).is_some() => text.as_str().to_owned(),
        Some(Raw(text)) => {
            problems.push(bad_name(&text, "a namespace", OBJECT_RULE));
            options.namespace.clone()
        }
    };
    Some(Resource {
        kind,
        valid: true,
        written: name.as_str().to_owned(),
        name: checked_name(kind, &name, problems),
        name_at: name.span(),
        namespace,
        annotations: metadata.annotations.map_or(vec![], |texts| texts.0),
        parent: None,
        manifest: true,
        body,
        body_at,
        at: document.span,
        labels: document.get("metadata").and_then(|m| m.get("labels")).cloned(),
    })
}

/// The kind that a manifest names; `None` after saying that it is passed over, or that there is none.
fn known_kind(kind: &Text, api_version: Option<&Text>, problems: &mut Problems) -> Option<Kind> {
    let exact = Kind::ALL.into_iter().find(|k| k.as_str() == kind.as_str());
    let Some(api_version) = api_version else {
        let problem = error(codes::MISSING_FIELD, kind.span(), "`apiVersion` is missing");
        problems.push(match exact {
            Some(kind) => problem.help(format!("write `apiVersion: {}`", kind.api_versions()[0])),
            None => problem,
        });
        return None;
    };
    let version = api_version.as_str();
    let near = |group: &'static [&'static str]| {
        closest(kind.as_str(), Kind::ALL.into_iter().filter(|k| k.api_versions() == group).map(Kind::as_str))
    };
    let group = |versions: &[&str]| {
        versions[0].split_once('/').is_some_and(|(group, _)| version.split('/').next() == Some(group))
    };
    if let Some(kind) = exact.filter(|k| k.api_versions().contains(&version)) {
        return Some(kind);
    }
    // The kinds of data flows belong to nobody else, so another version of them is a mistake, not somebody else's.
    let ours = exact.filter(|k| k.api_versions() == AIO_VERSIONS || group(k.api_versions()));
    problems.push(if let Some(ours) = ours {
        error(
            codes::UNKNOWN_API_VERSION,
            api_version.span(),
            format!("{ours} has no API version `{version}`"),
        )
        .help(format!("write `{}`", ours.api_versions()[0]))
    } else if group(&AIO_VERSIONS) || group(&OWN_VERSIONS) {
        let problem = error(
            codes::UNKNOWN_API_VERSION,
            kind.span(),
            format!("`{version}` has no kind `{}`", kind.as_str()),
        );
        match near(if group(&AIO_VERSIONS) { &AIO_VERSIONS } else { &OWN_VERSIONS }) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem,
        }
    } else {
        note(codes::PASSED_OVER, kind.span(), format!("`{}` of `{version}` is passed over", kind.as_str()))
    });
    None
}

fn arm_resource(
    document: &Node,
    arm_type: &Text,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Option<Resource> {
    let Some(kind) = Kind::of_arm_type(arm_type.as_str()) else {
        let message = format!("a resource of type `{}` is passed over", arm_type.as_str());
        problems.push(note(codes::PASSED_OVER, arm_type.span(), message));
        return None;
    };
    let resource = ArmResource::read(document, document.head(), problems)?;
    let full_name = resource.name?.0;
    let segments: Vec<&str> = full_name.as_str().split('/').collect();
    let (last, parents) = segments.split_last()?;
    let from = full_name.as_str().len() - last.len();
    let name = Text::new(*last, full_name.part(from..full_name.as_str().len()), None);
    let in_profile = matches!(kind, Kind::Dataflow | Kind::DataflowGraph);
    let parent = parents.last().filter(|_| in_profile).map(|p| (*p).to_owned());
    let body_at = document.entry("properties").map_or(document.head(), |e| e.key_span);
    Some(Resource {
        kind,
        valid: true,
        written: name.as_str().to_owned(),
        name: checked_name(kind, &name, problems),
        name_at: full_name.span(),
        namespace: options.namespace.clone(),
        annotations: vec![],
        parent: parent.or_else(|| options.profile.clone()),
        manifest: false,
        body: resource.properties?,
        body_at,
        at: document.span,
        labels: None,
    })
}

fn config_file(
    document: &Node,
    file_name: &str,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Option<Resource> {
    let (body, body_at) = match document
        .entry("properties")
        .filter(|e| matches!(e.value.value, Value::Map(_)))
    {
        Some(entry) => (ConfigFile::read(document, document.head(), problems)?.properties?, entry.key_span),
        None => (document.clone(), document.head()),
    };
    // Each kind has a field that no other has.
    let told_by = [
        ("operations", Kind::Dataflow),
        ("nodes", Kind::DataflowGraph),
        ("endpointType", Kind::DataflowEndpoint),
        ("instanceCount", Kind::DataflowProfile),
        ("diagnostics", Kind::DataflowProfile),
    ];
    let inferred = told_by.iter().find(|(field, _)| body.entry(field).is_some()).map(|(_, kind)| *kind);
    let (folder_kind, folder_profile) = told_by_folder(file_name);
    let Some(kind) = options.kind.or(inferred).or(folder_kind) else {
        let fields: Vec<&str> = told_by.iter().map(|(field, _)| *field).collect();
        let problem = error(codes::NOT_A_RESOURCE, body_at, "it can't be told what resource this is");
        problems.push(problem.help(format!(
            "a manifest has `kind`, an ARM resource `type` and `name`, a config file {}",
            one_of(&fields)
        )));
        return None;
    };
    let given = options.name.clone().unwrap_or_else(|| name_of_file(file_name));
    let name = Text::new(given, body_at, None);
    Some(Resource {
        kind,
        valid: true,
        written: name.as_str().to_owned(),
        name: checked_name(kind, &name, problems),
        name_at: body_at,
        namespace: options.namespace.clone(),
        annotations: vec![],
        parent: options.profile.clone().or_else(|| folder_profile.filter(|_| Some(kind) == folder_kind)),
        manifest: false,
        body,
        body_at,
        at: document.span,
        labels: None,
    })
}

/// The kind and the profile of a config file in folders named as ARM names types: `dataflowEndpoints/press.json`,
/// `dataflowProfiles/fast/dataflows/press.json`.
fn told_by_folder(file_name: &str) -> (Option<Kind>, Option<String>) {
    let mut folders = file_name.rsplit(['/', '\\']).skip(1);
    let Some(folder) = folders.next() else { return (None, None) };
    let (profile, above) = (folders.next(), folders.next());
    let of = |arm_type: &str| {
        let mut kinds = Kind::ALL.into_iter().filter(|k| k.arm_type().is_some());
        kinds.find(|k| k.arm_type().is_some_and(|t| t.eq_ignore_ascii_case(arm_type)))
    };
    if let (Some(profile), Some(above)) = (profile, above)
        && let Some(kind) = of(&format!("{above}/{folder}"))
    {
        return (Some(kind), Some(profile.to_owned()));
    }
    (of(folder), None)
}

/// A resource name out of a file's: `C:\flows\Press_1.json` gives `press-1`.
fn name_of_file(file_name: &str) -> String {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let name: String = stem.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let name: String = name.trim_matches('-').chars().take(63).collect();
    name.trim_matches('-').to_owned()
}

fn checked_name(kind: Kind, name: &Text, problems: &mut Problems) -> Option<String> {
    let text = name.as_str();
    let (ok, rule) = if kind.is_core() {
        (ObjectName::parse(text).is_some(), OBJECT_RULE)
    } else {
        (ResourceName::parse(text).is_some(), RESOURCE_RULE)
    };
    if !ok {
        problems.push(bad_name(name, &format!("a {kind}"), rule));
    }
    ok.then(|| text.to_owned())
}
