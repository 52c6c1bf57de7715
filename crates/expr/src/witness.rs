//! Messages of a shape and what really comes of them: whatever is said of a transformation can be shown by one.

use std::sync::Arc;

use tidegate_core::Properties;

use crate::dataset::Dataset;
use crate::json::{Json, Object, parse_json};
use crate::scene::Message;
use crate::shape::{Field, Kinds, Members, Missing, Shape};
use crate::transform::Transform;
use crate::transformer::{Outcome, Transformer};
use crate::types::Types;

/// How many messages are tried.
const MESSAGES_MAX: usize = 1000;
/// How many values are tried of each field.
const VALUES_MAX: usize = 8;

/// A message and what comes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// The payload that came in.
    pub message: Json<'static>,
    /// The payload that went out.
    pub payload: Json<'static>,
}

/// Messages of a shape that pass a transformation.
#[derive(Debug)]
pub struct Witnesses(Vec<Witness>);

impl Witness {
    /// What is at that path of what went out.
    pub fn field(&self, path: &[impl AsRef<str>]) -> Option<&Json<'static>> {
        path.iter().try_fold(&self.payload, |json, name| match json {
            Json::Object(members) => members.get(name.as_ref()),
            _ => None,
        })
    }
}

impl Witnesses {
    /// Tries messages of the shape, without properties, datasets' records and remembered values.
    pub fn of(transform: &Arc<Transform>, shape: &Shape) -> Self {
        // others would be filtered
        let Shape::Known(Kinds { members: Some(members), .. }) = &transform.passing(shape) else {
            return Self(Vec::new());
        };
        let mut leaves = Vec::new();
        collect(members, &mut Vec::new(), &mut leaves);
        let mut tried = Tried { transform, witnesses: Vec::new(), left: MESSAGES_MAX };
        let base = (0..VALUES_MAX).find(|n| {
            let (small, large) = (members.example(*n, false), members.example(*n, true));
            let small = small.is_some_and(|message| tried.one(message));
            large.is_some_and(|message| tried.one(message)) || small
        });
        let base = base.unwrap_or(0);
        for all in [false, true] {
            let Some(message) = members.example(base, all) else { continue };
            for (path, field) in &leaves {
                if field.missing != Missing::Never {
                    tried.with(&message, path, None);
                }
                for value in field.shape.examples() {
                    tried.with(&message, path, Some(value));
                }
            }
        }
        tried.witnesses.sort_by_cached_key(|witness| size(&witness.message));
        Self(tried.witnesses)
    }

    /// The smallest that shows it.
    pub fn find(&self, shows: impl Fn(&Witness) -> bool) -> Option<&Witness> {
        self.0.iter().find(|witness| shows(witness))
    }
}

struct Tried<'t> {
    transform: &'t Arc<Transform>,
    witnesses: Vec<Witness>,
    left: usize,
}

impl Tried<'_> {
    fn with(&mut self, message: &Json<'static>, path: &[&str], value: Option<Json<'static>>) {
        let mut changed = message.clone();
        if self.left > 0 && set(&mut changed, path, value) && changed != *message {
            self.one(changed);
        }
    }

    /// Whether the message passes.
    fn one(&mut self, message: Json<'static>) -> bool {
        self.left = self.left.saturating_sub(1);
        let mut transformer = Transformer::new(Arc::clone(self.transform));
        for key in self.transform.dataset_keys() {
            transformer.set_dataset(key, &Dataset::default());
        }
        let payload = message.to_string().into();
        let incoming = Message { payload: &payload, topic: "topic", properties: &Properties::default() };
        let Outcome::Pass(passed) = transformer.apply(incoming) else { return false };
        let Ok(payload) = parse_json(&passed.payload) else { return false };
        self.witnesses.push(Witness { message, payload: payload.into_owned() });
        true
    }
}

/// How many values it is made of.
fn size(json: &Json<'_>) -> usize {
    1 + match json {
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// All members, and those within them, each behind the one it is in.
fn collect<'s>(members: &'s Members, path: &mut Vec<&'s str>, leaves: &mut Vec<(Vec<&'s str>, &'s Field)>) {
    for (name, field) in &members.fields {
        path.push(name);
        leaves.push((path.clone(), field));
        if let Shape::Known(Kinds { members: Some(inner), .. }) = &field.shape {
            collect(inner, path, leaves);
        }
        path.pop();
    }
}

/// Sets or removes a member; false if there is no such place.
fn set(json: &mut Json<'static>, path: &[&str], value: Option<Json<'static>>) -> bool {
    let (Json::Object(members), Some((name, below))) = (json, path.split_first()) else { return false };
    if !below.is_empty() {
        return members.get_mut(*name).is_some_and(|inner| set(inner, below, value));
    }
    match value {
        Some(value) => {
            members.insert((*name).to_owned().into(), value);
            true
        }
        None => members.shift_remove(*name).is_some(),
    }
}

impl Members {
    /// An object with the members it must have, or with all: the n-th value of each.
    fn example(&self, n: usize, all: bool) -> Option<Json<'static>> {
        let mut object = Object::new();
        for (name, field) in &self.fields {
            if !all && field.missing != Missing::Never {
                continue;
            }
            match field.shape.example(n, all) {
                Some(value) => {
                    object.insert(name.clone().into(), value);
                }
                None if field.missing == Missing::Never => return None,
                None => {}
            }
        }
        Some(Json::Object(object))
    }
}

impl Shape {
    /// The n-th value; none if none is certain to be allowed.
    fn example(&self, n: usize, all: bool) -> Option<Json<'static>> {
        let Shape::Known(kinds) = self else { return None };
        if let Some(members) = &kinds.members {
            return members.example(n, all);
        }
        let examples = self.examples();
        (!examples.is_empty()).then(|| examples[n % examples.len()].clone())
    }

    /// Values worth trying, ordinary ones first.
    fn examples(&self) -> Vec<Json<'static>> {
        let Shape::Known(kinds) = self else { return Vec::new() };
        let mut examples: Vec<Json<'static>> = match &kinds.certain {
            Some(certain) => certain.iter().filter(|value| self.allows(value)).cloned().collect(),
            None => {
                const SCALARS: [(Types, &str); 11] = [
                    (Types::FLOAT, "21.5"),
                    (Types::INT, "7"),
                    (Types::STRING, "\"text\""),
                    (Types::BOOL, "true"),
                    (Types::FLOAT, "-21.5"),
                    (Types::INT, "-7"),
                    (Types::BOOL, "false"),
                    (Types::STRING, "\"\""),
                    (Types::FLOAT, "1000.5"),
                    (Types::INT, "1000"),
                    (Types::EMPTY, "null"),
                ];
                let allowed = SCALARS.into_iter().filter(|(types, _)| kinds.scalars.may_be(*types));
                allowed
                    .filter_map(|(_, text)| parse_json(text.as_bytes()).ok())
                    .map(Json::into_owned)
                    .collect()
            }
        };
        if let Some(items) = &kinds.items {
            let item = items.example(0, true);
            examples.extend(item.into_iter().map(|item| Json::Array(vec![item])));
            examples.push(Json::Array(Vec::new()));
        }
        examples.extend(kinds.members.iter().filter_map(|members| members.example(0, true)));
        examples.truncate(VALUES_MAX);
        examples
    }
}
