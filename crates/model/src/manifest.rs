//! Resources as they were given, whatever the form of their files: for those who write them down again.

use tidegate_core::{FileId, Files, Parsed, Span};

use crate::content;
use crate::load::{Form, LoadOptions, form, is_parameters, is_template, read_all, read_plain};
use crate::node::{Entry, Node, Text, Value};
use crate::problems::Problems;
use crate::resource::{Kind, Resource, resources};

/// A resource as it was given: its templates evaluated, its fields not checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: Text,
    /// The namespace, which only Kubernetes manifests say.
    pub namespace: String,
    /// Notes for tools, which only Kubernetes manifests have.
    pub annotations: Vec<(String, Text)>,
    /// Labels for tools, which only Kubernetes manifests have: as they were written.
    pub labels: Option<Node>,
    /// The profile of a data flow, wherever its form says it.
    pub profile: Option<String>,
    /// `spec`, or `properties`; for Kubernetes' own kinds the fields beside `metadata`. The document of a schema stands in
    /// it, also where another file holds it.
    pub spec: Node,
    /// All of its document; of a resource in a template, its type.
    pub at: Span,
}

/// The resources in some files, in file order. What is wrong with them says [`load`](crate::load); here it is only
/// whether they could be read.
pub fn manifests(files: &Files, options: &LoadOptions) -> Parsed<Vec<Manifest>> {
    let mut problems = Problems::default();
    let documents = read_all(files, options, &mut problems);
    let content_files = content::named(files, &documents, options);
    let mut made = Vec::new();
    for (id, nodes) in &documents {
        let name = files.get(*id).map_or("", |f| &f.name);
        if content::registry_path(name).is_some() || content_files.contains(&content::normal(name)) {
            continue;
        }
        let mut found = Vec::new();
        for node in nodes {
            resources(node, name, options, &mut problems, &mut found);
        }
        for resource in found {
            let mut manifest = manifest(resource);
            if manifest.kind == Kind::Schema {
                take_in(&mut manifest.spec, name, files);
            }
            made.push(manifest);
        }
    }
    Parsed { value: made, diagnostics: problems.into_sorted() }
}

/// The files that are read as they are: each document a manifest of its own, and whole. Templates, lists, what needs
/// another file and what is called as its file are none.
pub fn plain_files(files: &Files, options: &LoadOptions) -> Vec<FileId> {
    let documents = read_plain(files);
    let content_files = content::named(files, &documents, options);
    let is_list = |n: &Node| matches!(n.value, Value::List(_));
    let is_plain = |node: &Node| {
        let names_a_file = node.get("spec").is_some_and(|spec| spec.get("contentFile").is_some());
        !is_template(node) && !is_parameters(node) && !node.get("items").is_some_and(is_list) && !names_a_file
    };
    let plain = documents.iter().filter(|(id, nodes)| {
        let Some(file) = files.get(*id) else { return false };
        // a body for `az iot ops` has neither
        let has_a_name = |n: &Node| n.get("metadata").is_some() || n.get("type").is_some();
        let fits = match form(&file.name, &file.text) {
            Form::Bicep => false,
            Form::Json => nodes.iter().all(has_a_name),
            Form::Yaml => true,
        };
        fits && !content_files.contains(&content::normal(&file.name)) && nodes.iter().all(is_plain)
    });
    plain.map(|(id, _)| *id).collect()
}

fn manifest(resource: Resource) -> Manifest {
    let Resource { kind, written, name_at, namespace, annotations, labels, parent, body, at, .. } = resource;
    // The file holds a name as it is, wherever it stands.
    let name = Text::new(written, name_at, None);
    let mut spec = body;
    let mut profile = None;
    if let Value::Map(entries) = &mut spec.value {
        if kind.is_core() {
            entries.retain(|e| !["apiVersion", "kind", "metadata"].contains(&e.key.as_str()));
        }
        if matches!(kind, Kind::Dataflow | Kind::DataflowGraph) {
            let is_profile = |e: &Entry| e.key == "profileRef";
            let named = entries.iter().find(|e| is_profile(e)).and_then(|e| e.value.as_text());
            profile = named.map(|text| text.as_str().to_owned());
            entries.retain(|e| !is_profile(e));
        }
    }
    Manifest { kind, name, namespace, annotations, labels, profile: parent.or(profile), spec, at }
}

/// Puts the text of the file that a schema names into the schema.
fn take_in(spec: &mut Node, from: &str, files: &Files) {
    let Value::Map(entries) = &mut spec.value else { return };
    let Some(entry) = entries.iter_mut().find(|e| e.key == "contentFile") else { return };
    let Some(path) = entry.value.as_text().map(|path| content::beside(from, path.as_str())) else { return };
    if let Some((_, file)) = files.iter().find(|(_, f)| content::normal(&f.name) == path) {
        let text = file.text.trim_start_matches('\u{feff}');
        entry.key = "content".into();
        entry.value.value = Value::String(Text::new(text, entry.value.span, None));
    }
}
