//! Bicep files and ARM templates among the files of a load: which of them are templates of their own, what values
//! their parameters have, and their resources as [`Node`]s.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use tidegate_core::{FileId, Files, Span};
use tidegate_template::{self as template, Argument, Data, Evaluated, Options};

use crate::codes;
use crate::content::{beside, normal};
use crate::field::{closest, one_of};
use crate::load::LoadOptions;
use crate::node::{Entry, Node, Number, Text, Value, span};
use crate::problems::{Problems, error, note};
use crate::resource::Kind;
use crate::{json, yaml};

/// The files of a load as templates see them.
pub(crate) struct Templates<'a> {
    files: &'a Files,
    options: &'a LoadOptions,
    by_name: HashMap<String, FileId>,
    /// Files that others name: no templates, and no resources, of their own.
    named: HashSet<FileId>,
    parameters: Vec<(String, Argument)>,
    /// The parameters that the templates turned out to have.
    seen: HashSet<String>,
    data: RefCell<HashMap<FileId, Option<template::Value>>>,
    /// What is wrong with the data that templates load.
    said: RefCell<Problems>,
}

/// What a file is by its name, as far as templates go.
fn is_bicep(name: &str) -> bool {
    [".bicep", ".bicepparam"].iter().any(|e| name.to_ascii_lowercase().ends_with(e))
}

fn is_parameter_file(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".bicepparam")
}

/// The paths that a Bicep file names, as seen from where all names are.
fn named_by(name: &str, id: FileId, text: &str) -> Vec<String> {
    template::named_files(id, text)
        .into_iter()
        .filter(|path| !["br:", "br/", "ts:", "ts/"].iter().any(|registry| path.starts_with(registry)))
        .map(|path| beside(name, &path))
        .collect()
}

/// The files that Bicep files among `files` name and that are not among them.
pub(crate) fn missing(files: &Files) -> Vec<String> {
    let present: HashSet<String> = files.iter().map(|(_, f)| normal(&f.name)).collect();
    let bicep = files.iter().filter(|(_, f)| is_bicep(&f.name));
    bicep.flat_map(|(id, f)| named_by(&f.name, id, &f.text)).filter(|path| !present.contains(path)).collect()
}

impl<'a> Templates<'a> {
    pub(crate) fn new(files: &'a Files, options: &'a LoadOptions, problems: &mut Problems) -> Self {
        let by_name: HashMap<String, FileId> = files.iter().map(|(id, f)| (normal(&f.name), id)).collect();
        let mut templates = Self {
            files,
            options,
            by_name,
            named: HashSet::new(),
            parameters: Vec::new(),
            seen: HashSet::new(),
            data: RefCell::default(),
            said: RefCell::default(),
        };
        templates.find_named(problems);
        templates.find_parameters(problems);
        templates
    }

    fn find_named(&mut self, problems: &mut Problems) {
        let with_file = !self.options.parameter_files.is_empty();
        let mut names: HashMap<FileId, Vec<FileId>> = HashMap::new();
        let mut values_from: HashMap<FileId, FileId> = HashMap::new();
        for (id, file) in self.files.iter().filter(|(_, f)| is_bicep(&f.name)) {
            // `--param-file` says whose values count.
            if with_file && is_parameter_file(&file.name) {
                self.named.insert(id);
                continue;
            }
            let named = named_by(&file.name, id, &file.text).into_iter();
            let named: Vec<FileId> = named.filter_map(|path| self.by_name.get(&path).copied()).collect();
            if is_parameter_file(&file.name) {
                let uses = |f: &&FileId| {
                    self.files.get(**f).is_some_and(|f| !is_parameter_file(&f.name) && is_bicep(&f.name))
                };
                if let Some(template) = named.iter().find(uses)
                    && let Some(first) = values_from.insert(*template, id)
                {
                    let name = |id| self.files.get(id).map_or("", |f| f.name.as_str());
                    let message = format!("`{}` gives values to `{}` already", name(first), name(*template));
                    let problem = error(codes::PARAMETER_VALUE, span(id, 0..0), message);
                    problems.push(problem.help("give one of them, with `--param-file`"));
                    self.named.insert(id);
                }
            }
            names.insert(id, named);
        }
        for (id, named) in &names {
            self.named.extend(named.iter().filter(|n| *n != id));
        }
        // Where files name each other in a circle, none would be a template: then the first is.
        let mut reached = HashSet::new();
        let mut reach: Vec<FileId> = names.keys().copied().filter(|id| !self.named.contains(id)).collect();
        let mut ordered: Vec<FileId> = names.keys().copied().collect();
        ordered.sort();
        loop {
            while let Some(id) = reach.pop() {
                if reached.insert(id) {
                    reach.extend(names.get(&id).into_iter().flatten());
                }
            }
            let Some(first) = ordered.iter().find(|id| !reached.contains(id)) else { break };
            self.named.remove(first);
            reach.push(*first);
        }
    }

    fn find_parameters(&mut self, problems: &mut Problems) {
        let mut parameters = Vec::new();
        for id in &self.options.parameter_files {
            self.named.insert(*id);
            let Some(file) = self.files.get(*id) else { continue };
            if is_parameter_file(&file.name) {
                let (values, found) = template::bicep_parameters(*id, self, &self.how(&[]));
                problems.extend(found);
                parameters.extend(values);
            } else if let Some(node) = json::parse(*id, &file.text, problems) {
                let values = template::arm_parameters(&to_value(&node), self, &self.how(&[]));
                if values.is_empty() {
                    let message = "there is no parameter in this file";
                    problems.push(note(codes::NO_RESOURCE, node.head(), message));
                }
                parameters.extend(values);
            }
        }
        let given = self.options.parameters.iter().map(|(n, v)| (n.clone(), Argument::Text(v.clone())));
        parameters.extend(given);
        self.parameters = parameters;
    }

    fn how<'o>(&'o self, parameters: &'o [(String, Argument)]) -> Options<'o> {
        Options { wanted: &is_wanted, parameters, environment: &self.options.environment }
    }

    /// Whether a file holds something for other files only.
    pub(crate) fn is_named(&self, id: FileId) -> bool {
        self.named.contains(&id)
    }

    /// The resources of a Bicep file.
    pub(crate) fn bicep(&mut self, id: FileId, problems: &mut Problems) -> Vec<Node> {
        let evaluated = template::bicep(id, self, &self.how(&self.parameters));
        self.taken(evaluated, problems)
    }

    /// The resources of an ARM template.
    pub(crate) fn arm(&mut self, document: &Node, problems: &mut Problems) -> Vec<Node> {
        let evaluated = template::arm(to_value(document), self, &self.how(&self.parameters));
        self.taken(evaluated, problems)
    }

    fn taken(&mut self, evaluated: Evaluated, problems: &mut Problems) -> Vec<Node> {
        self.seen.extend(evaluated.parameters);
        problems.extend(evaluated.diagnostics);
        problems.extend(self.said.take().into_sorted());
        evaluated.resources.into_iter().map(to_node).collect()
    }

    /// Complains about values for parameters that no template has.
    pub(crate) fn unused(&self, problems: &mut Problems) {
        let mut told = HashSet::new();
        for (name, _) in &self.parameters {
            if self.seen.iter().any(|seen| seen.eq_ignore_ascii_case(name)) || !told.insert(name) {
                continue;
            }
            let message = format!("no template has a parameter `{name}`");
            let problem = tidegate_core::Diagnostic::new(
                codes::PARAMETER_VALUE,
                tidegate_core::Severity::Error,
                message,
            );
            let mut names: Vec<&str> = self.seen.iter().map(String::as_str).collect();
            names.sort_unstable();
            problems.push(match closest(name, names.iter().copied()) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None if names.is_empty() => problem.help("parameters are for Bicep files and ARM templates"),
                None => problem.help(format!("write {}", one_of(&names))),
            });
        }
    }
}

impl template::Loader for Templates<'_> {
    fn find(&self, from: FileId, path: &str) -> Option<FileId> {
        let from = self.files.get(from)?;
        self.by_name.get(&beside(&from.name, path)).copied()
    }

    fn text(&self, file: FileId) -> Arc<str> {
        self.files.get(file).map_or_else(|| "".into(), |f| f.text.clone())
    }

    fn json(&self, file: FileId) -> Option<template::Value> {
        let read =
            || json::parse(file, &self.text(file), &mut self.said.borrow_mut()).map(|node| to_value(&node));
        self.data.borrow_mut().entry(file).or_insert_with(read).clone()
    }

    fn yaml(&self, file: FileId) -> Option<template::Value> {
        let read = || {
            let documents = yaml::parse(file, &self.text(file), &mut self.said.borrow_mut());
            documents.first().map(to_value)
        };
        self.data.borrow_mut().entry(file).or_insert_with(read).clone()
    }

    fn json_text(&self, text: &str, at: Span) -> Option<template::Value> {
        let node = json::parse_inner(&Text::new(text, at, None), &mut Problems::default())?;
        Some(to_value(&node))
    }
}

/// Whether resources of an ARM type are ours.
fn is_wanted(of: &str) -> bool {
    Kind::of_arm_type(of).is_some()
}

fn to_value(node: &Node) -> template::Value {
    let data = match &node.value {
        Value::Null => Data::Null,
        Value::Bool(value) => Data::Bool(*value),
        Value::Number(number) => match number.integer {
            Some(integer) => Data::Int(integer),
            None => Data::Number(number.text.as_str().into()),
        },
        Value::String(text) => Data::Text(text.as_str().into(), text.exact_from()),
        Value::List(items) => Data::Array(Rc::new(items.iter().map(to_value).collect())),
        Value::Map(entries) => Data::Object(Rc::new(
            entries
                .iter()
                .map(|e| template::Entry {
                    key: e.key.as_str().into(),
                    key_span: e.key_span,
                    value: to_value(&e.value),
                })
                .collect(),
        )),
        Value::Hole => Data::Error,
    };
    template::Value::new(data, node.span)
}

fn from_value(value: &template::Value) -> Node {
    let at = value.span;
    let value = match &value.data {
        Data::Null => Value::Null,
        Data::Bool(value) => Value::Bool(*value),
        Data::Int(number) => Value::Number(Number { text: number.to_string(), integer: Some(*number) }),
        Data::Number(text) => Value::Number(Number { text: text.to_string(), integer: None }),
        Data::Text(text, exact) => Value::String(Text::new(&**text, at, *exact)),
        Data::Array(items) => Value::List(items.iter().map(from_value).collect()),
        Data::Object(entries) => Value::Map(
            entries
                .iter()
                .map(|e| Entry { key: e.key.to_string(), key_span: e.key_span, value: from_value(&e.value) })
                .collect(),
        ),
        _ => Value::Hole,
    };
    Node { value, span: at }
}

/// A resource of a template as the single ARM resource it would be.
fn to_node(resource: template::Resource) -> Node {
    let hole = |at| Node { value: Value::Hole, span: at };
    let of_at = resource.of_at;
    let mut entries = vec![Entry {
        key: "type".into(),
        key_span: of_at,
        value: Node { value: Value::String(Text::new(resource.of, of_at, None)), span: of_at },
    }];
    for (key, key_span) in resource.fields {
        let value = match &*key {
            "type" => continue,
            "name" => match (&resource.name, &resource.parent) {
                (Some(name), parent) => match (&name.data, parent) {
                    (Data::Text(name_text, _), Some(Some((parent, _)))) => {
                        let text = Text::new(format!("{parent}/{name_text}"), name.span, None);
                        Node { value: Value::String(text), span: name.span }
                    }
                    (Data::Text(..), Some(None)) => hole(name.span),
                    _ => from_value(name),
                },
                (None, _) => hole(key_span),
            },
            "properties" => match &resource.properties {
                Some((value, _)) => from_value(value),
                None => hole(key_span),
            },
            // Of no interest, but somebody looks whether there is such a field.
            _ => Node { value: Value::Null, span: key_span },
        };
        entries.push(Entry { key: key.to_string(), key_span, value });
    }
    Node { value: Value::Map(entries), span: of_at }
}
