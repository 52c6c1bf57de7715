//! What paths find: one message, the records that belong to it, and the last values of fields it may lack.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use tidegate_core::{Properties, Record};

use crate::json::{Json, Object};
use crate::path::{Fields, Metadata, Path, Segment};
use crate::transform::{Root, Source};
use crate::value::Operand;

/// How many fields a transformation remembers for `? $last`. Only wildcards can name that many; a field beyond is as
/// if it had never been seen.
pub const LAST_VALUES_MAX: usize = 100_000;

/// What a transformation sees of a message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// JSON, if there are rules that look into it.
    pub payload: &'a Bytes,
    /// `$metadata.topic`.
    pub topic: &'a str,
    /// User properties and content type.
    pub properties: &'a Properties,
}

impl<'a> From<&'a Record> for Message<'a> {
    fn from(record: &'a Record) -> Self {
        Self { payload: &record.payload, topic: &record.topic, properties: &record.properties }
    }
}

impl<'a> Message<'a> {
    /// What there is beside the payload, if the path names that.
    pub(crate) fn metadata(self, path: &Path) -> Option<&'a str> {
        let Path::Metadata(metadata) = path else { return None };
        match metadata {
            Metadata::Topic => Some(self.topic),
            Metadata::ContentType => self.properties.content_type(),
            Metadata::UserProperty(name) | Metadata::Header(name) => self.properties.user_property(name),
        }
    }
}

/// The names a `*` stands for.
pub(crate) type Capture<'m> = Rc<[&'m str]>;

/// A message, read, and the records that belong to it.
#[derive(Clone, Copy)]
pub(crate) struct View<'m> {
    pub(crate) payload: &'m Json<'m>,
    pub(crate) message: Message<'m>,
    /// By dataset.
    pub(crate) records: &'m [Option<Json<'m>>],
}

/// The view, and what was seen before.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'m> {
    pub(crate) view: View<'m>,
    pub(crate) last: &'m LastValues,
}

/// What an input of a rule finds.
#[derive(Clone, Copy)]
pub(crate) struct Found<'m> {
    /// The field of the message or record itself, if it has one.
    pub(crate) field: Option<&'m Json<'m>>,
    /// The value, perhaps of what stands in for the field.
    pub(crate) operand: Operand<'m>,
    /// The dataset has no record for this message.
    pub(crate) unmatched: bool,
}

impl Found<'_> {
    /// Not there, or null.
    pub(crate) fn is_missing(&self) -> bool {
        self.operand.is_missing()
    }
}

impl<'m> View<'m> {
    /// Where the fields of a source are found; none if its dataset has no record for the message.
    fn root(&self, source: &Source) -> Option<&'m Json<'m>> {
        match source.root {
            Root::Matched(dataset) => self.records.get(dataset)?.as_ref(),
            _ => Some(self.payload),
        }
    }

    /// What is there now.
    pub(crate) fn find(&self, source: &Source, capture: &[&str]) -> Found<'m> {
        let (field, operand, unmatched) = match (&source.path, self.root(source)) {
            (Path::Metadata(_), _) => (None, self.message.metadata(&source.path).map(Operand::Text), false),
            (_, None) => (None, None, true),
            (Path::Source(fields) | Path::Dataset { fields, .. } | Path::Context(fields), Some(root)) => {
                let field = fields.find(root, capture);
                (field, field.map(Operand::Json), false)
            }
        };
        Found { field, operand: operand.unwrap_or(Operand::Missing), unmatched }
    }

    /// What the `*` of a source captures; none if there is no record to look into.
    ///
    /// It matches values that are not objects, and empty ones. Where the path goes on behind the `*`, a rule that
    /// copies gets whole objects as well.
    pub(crate) fn captures(&self, source: &Source, copies: bool) -> Option<Vec<Capture<'m>>> {
        let root = self.root(source)?;
        let mut captures = Vec::new();
        if let Some(fields) = source.path.fields()
            && let Some(wildcard) = fields.wildcard()
        {
            let (before, after) = (&fields.segments()[..wildcard], &fields.segments()[wildcard + 1..]);
            if let Some(Json::Object(members)) = follow(root, names(before)) {
                let objects = copies && !after.is_empty();
                walk(members, after, objects, &mut Vec::new(), &mut captures);
            }
        }
        Some(captures)
    }
}

impl<'m> Scene<'m> {
    /// What an input finds: what is there now, else its last value, else its default.
    pub(crate) fn find(&self, source: &'m Source, capture: &[&str]) -> Found<'m> {
        let found = self.view.find(source, capture);
        if !found.is_missing() {
            return found;
        }
        let last = if source.last { self.last.get(source, capture).map(Operand::Json) } else { None };
        match last.or_else(|| source.default.as_ref().map(Operand::Default)) {
            Some(operand) => Found { operand, unmatched: false, ..found },
            None => found,
        }
    }
}

impl Fields {
    /// The field of that path, `*` standing for the names it captured.
    pub(crate) fn find<'j>(&self, root: &'j Json<'j>, capture: &[&str]) -> Option<&'j Json<'j>> {
        follow(root, self.names(capture))
    }
}

/// Goes down the objects.
fn follow<'j, 'n>(root: &'j Json<'j>, mut names: impl Iterator<Item = &'n str>) -> Option<&'j Json<'j>> {
    names.try_fold(root, |json, name| match json {
        Json::Object(members) => members.get(name),
        _ => None,
    })
}

/// The names of segments without a wildcard among them.
fn names(segments: &[Segment]) -> impl Iterator<Item = &str> {
    segments.iter().filter_map(|s| if let Segment::Name(name) = s { Some(name.as_str()) } else { None })
}

/// Finds what a `*` at these members captures, the path so far included, when `after` follows it.
fn walk<'m>(
    members: &'m Object<'m>,
    after: &[Segment],
    objects: bool,
    path: &mut Vec<&'m str>,
    captures: &mut Vec<Capture<'m>>,
) {
    for (name, value) in members {
        path.push(name);
        let matches = match follow(value, names(after)) {
            Some(Json::Object(target)) => objects || target.is_empty(),
            target => target.is_some(),
        };
        if matches {
            captures.push(path.as_slice().into());
        }
        if let Json::Object(inner) = value {
            walk(inner, after, objects, path, captures);
        }
        path.pop();
    }
}

/// The newest value of each field that an input with `? $last` names, by the field's path.
#[derive(Debug, Default)]
pub(crate) struct LastValues(HashMap<Path, Json<'static>>);

impl LastValues {
    /// Takes note of what the message has.
    pub(crate) fn remember<'s>(&mut self, sources: impl Iterator<Item = &'s Source>, view: View<'_>) {
        for source in sources {
            if !source.has_wildcard() {
                self.note(source, &[], view);
                continue;
            }
            for capture in view.captures(source, true).unwrap_or_default() {
                self.note(source, &capture, view);
            }
        }
    }

    fn note(&mut self, source: &Source, capture: &[&str], view: View<'_>) {
        let found = view.find(source, capture);
        let value = match found.operand {
            _ if found.is_missing() => return,
            Operand::Json(json) => json.clone().into_owned(),
            Operand::Text(text) => Json::String(text.to_owned().into()),
            Operand::Missing | Operand::Raw(_) | Operand::Default(_) | Operand::Computed(_) => return,
        };
        let path = source.resolved(capture);
        if self.0.len() < LAST_VALUES_MAX || self.0.contains_key(&path) {
            self.0.insert(path, value);
        }
    }

    fn get(&self, source: &Source, capture: &[&str]) -> Option<&Json<'static>> {
        self.0.get(&source.resolved(capture))
    }
}
