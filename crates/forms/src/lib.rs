//! Resources written down in each of the forms that the model reads: Kubernetes YAML, Bicep, an ARM template, and the
//! JSON that `az iot ops` takes. What a form has no words for is named, and what was written is read back before it is
//! handed over. No I/O.

mod arm;
mod bicep;
mod comments;
mod set;
mod yaml;

use tidegate_core::{FileId, Files, Severity};
use tidegate_model::{Kind, LoadOptions, Manifest, load, manifests};

use crate::comments::Placed;
use crate::set::Set;

/// The version of the resource types in Bicep and ARM templates.
const API_VERSION: &str = "2026-07-01";

/// A form that resources can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Kubernetes manifests.
    Yaml,
    /// A Bicep file.
    Bicep,
    /// An ARM template.
    Arm,
    /// What `az iot ops ... --config-file` takes: a file for each resource.
    Cli,
}

impl Form {
    fn as_str(self) -> &'static str {
        match self {
            Form::Yaml => "a Kubernetes manifest",
            Form::Bicep => "Bicep",
            Form::Arm => "an ARM template",
            Form::Cli => "a file for `az iot ops`",
        }
    }
}

/// Resources in another form.
#[derive(Debug, Default)]
pub struct Written {
    /// The files: one, except for [`Form::Cli`]. Its names say kind, profile and name of each resource.
    pub files: Vec<(String, String)>,
    /// What the form has no words for, and what is therefore not in the files.
    pub lost: Vec<Remark>,
    /// What is not in the files and changes nothing, and what is to be known when they are used.
    pub notes: Vec<Remark>,
}

/// Something to be known about a resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which, such as `Dataflow/press`; empty for all of them.
    pub resource: String,
    /// A sentence without its full stop.
    pub message: String,
}

impl Remark {
    fn new(of: &Manifest, message: impl Into<String>) -> Self {
        Self { resource: format!("{}/{}", of.kind, of.name.as_str()), message: message.into() }
    }

    fn of_all(message: impl Into<String>) -> Self {
        Self { resource: String::new(), message: message.into() }
    }
}

/// Writes the resources in some files, which [`load`] finds no error in, in another form.
pub fn write(files: &Files, options: &LoadOptions, form: Form) -> Written {
    write_without(files, options, form, &[])
}

/// The same without the resources of some of the files.
pub fn write_without(files: &Files, options: &LoadOptions, form: Form, without: &[FileId]) -> Written {
    let mut given = manifests(files, options).value;
    given.retain(|resource| !without.contains(&resource.at.file));
    let mut written = Written::default();
    let set = Set::new(given, form, &mut written);
    let mut said = tidegate_model::comments(files);
    said.retain(|comment| !without.contains(&comment.span.file));
    written.files = match form {
        Form::Yaml => vec![("resources.yaml".into(), yaml::write(&set, &Placed::new(&said, &set, files)))],
        Form::Bicep => vec![("main.bicep".into(), bicep::write(&set, &Placed::new(&said, &set, files)))],
        Form::Arm => vec![("main.json".into(), arm::template(&set))],
        Form::Cli => set.resources.iter().map(|r| (arm::config_path(r), arm::config_file(r))).collect(),
    };
    if matches!(form, Form::Arm | Form::Cli) && !said.is_empty() {
        let message = format!("{} has no comments: those of the files are not in it", form.as_str());
        written.notes.push(Remark::of_all(message));
    }
    read_back(&set, options, &mut written);
    written
}

/// Reads what was written; what does not come back is lost.
fn read_back(set: &Set, options: &LoadOptions, written: &mut Written) {
    let mut files = Files::default();
    for (name, text) in &written.files {
        files.add(name.as_str(), text.as_str());
    }
    let options = LoadOptions {
        strict: false,
        namespace: set.namespace.clone().unwrap_or_else(|| options.namespace.clone()),
        ..LoadOptions::default()
    };
    let found = load(&files, &options);
    for problem in found.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
        let resource = problem.resource.clone().unwrap_or_default();
        written
            .lost
            .push(Remark { resource, message: format!("it would be refused there: {}", problem.message) });
    }
    if !written.lost.is_empty() {
        return;
    }
    let mut again: Vec<_> = manifests(&files, &options).value.iter().map(meaning).collect();
    for resource in &set.resources {
        match again.iter().position(|other| *other == meaning(resource)) {
            Some(found) => drop(again.swap_remove(found)),
            None => {
                written.lost.push(Remark::new(resource, "it can't be written so that it is read as the same"))
            }
        }
    }
}

/// All that counts of a resource that every form can say.
fn meaning(of: &Manifest) -> (Kind, String, String, Option<String>, String) {
    let profile = is_in_profile(of.kind).then(|| set::profile(of).to_owned());
    (of.kind, of.name.as_str().to_owned(), of.namespace.clone(), profile, of.spec.to_json())
}

fn is_in_profile(kind: Kind) -> bool {
    matches!(kind, Kind::Dataflow | Kind::DataflowGraph)
}
