//! The resources that a form can say, and what it can't say of them.

use tidegate_model::{Kind, Manifest};

use crate::{Form, Remark, Written, is_in_profile};

/// The prefix of the annotations that tidegate understands.
const OWN_ANNOTATIONS: &str = "tidegate.dev/";
/// The profile of data flows that name none.
const DEFAULT_PROFILE: &str = "default";
/// The namespace that is taken where none is written.
const USUAL_NAMESPACE: &str = "azure-iot-operations";

/// What is to be written.
pub(crate) struct Set {
    pub(crate) resources: Vec<Manifest>,
    /// The one namespace, if the form has none.
    pub(crate) namespace: Option<String>,
}

/// The profile of a data flow.
pub(crate) fn profile(of: &Manifest) -> &str {
    of.profile.as_deref().unwrap_or(DEFAULT_PROFILE)
}

impl Set {
    /// Leaves out what the form can't say, and says so.
    pub(crate) fn new(given: Vec<Manifest>, form: Form, written: &mut Written) -> Self {
        let mut resources = Vec::new();
        let mut namespace: Option<String> = None;
        for resource in given {
            match left_out(&resource, form, namespace.as_deref()) {
                Some(why) => written.lost.push(Remark::new(&resource, why)),
                None => {
                    if form != Form::Yaml {
                        notes(&resource, form, written);
                        namespace.get_or_insert_with(|| resource.namespace.clone());
                    }
                    resources.push(resource);
                }
            }
        }
        if let Some(namespace) = namespace.as_ref().filter(|n| *n != USUAL_NAMESPACE) {
            let message = format!(
                "{} names no namespace, which is the instance's: `--namespace {namespace}` when tidegate is to read it",
                form.as_str()
            );
            written.notes.push(Remark::of_all(message));
        }
        Self { resources, namespace }
    }

    /// The resource of a kind and name.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<usize> {
        self.resources.iter().position(|r| r.kind == kind && r.name.as_str() == name)
    }

    /// The profiles that data flows are in and that are not in the set, each once.
    pub(crate) fn other_profiles(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.resources.iter().filter(|r| is_in_profile(r.kind)).map(profile).collect();
        names.retain(|name| self.find(Kind::DataflowProfile, name).is_none());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The endpoints in the set that a resource refers to, each once.
    pub(crate) fn endpoints_of(&self, resource: &Manifest) -> Vec<usize> {
        let mut names = Vec::new();
        references(&resource.spec, &mut names);
        let mut found: Vec<usize> =
            names.into_iter().filter_map(|name| self.find(Kind::DataflowEndpoint, name)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn references<'n>(node: &'n tidegate_model::node::Node, names: &mut Vec<&'n str>) {
    use tidegate_model::node::Value;
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| references(item, names)),
        Value::Map(entries) => {
            for entry in entries {
                match entry.value.as_text() {
                    Some(name) if entry.key == "endpointRef" => names.push(name.as_str()),
                    _ => references(&entry.value, names),
                }
            }
        }
        _ => {}
    }
}

/// Why a resource can't be written.
fn left_out(resource: &Manifest, form: Form, namespace: Option<&str>) -> Option<String> {
    if resource.kind == Kind::Secret {
        return Some("the values of a Secret are never written: keep its file".into());
    }
    if form == Form::Yaml {
        return None;
    }
    let form = form.as_str();
    if resource.kind.arm_type().is_none() {
        return Some(format!("{form} has no {}: keep its file", resource.kind));
    }
    if let Some(first) = namespace.filter(|first| *first != resource.namespace) {
        let own = &resource.namespace;
        return Some(format!(
            "{form} is for one namespace, and this is in `{own}`, not in `{first}`: convert them apart"
        ));
    }
    let own = resource.annotations.iter().find(|(key, _)| key.starts_with(OWN_ANNOTATIONS));
    own.map(|(key, _)| format!("{form} has no annotations, and `{key}` changes what it does"))
}

/// What of a resource is not written, and makes no difference.
fn notes(resource: &Manifest, form: Form, written: &mut Written) {
    let names = [("annotations", !resource.annotations.is_empty()), ("labels", resource.labels.is_some())];
    for (name, _) in names.iter().filter(|(_, there)| *there) {
        let message = format!("{} has no {name}: those of this resource are not in it", form.as_str());
        written.notes.push(Remark::new(resource, message));
    }
}
