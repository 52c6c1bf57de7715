//! What comes out of a transformation, before there is a message: the rules of `map.rs` applied to a [`Shape`]. What
//! it allows is at least what can come out; of what depends on datasets and properties, nothing is known.

use crate::ast::Literal;
use crate::check::types_of;
use crate::input::{Host, Output};
use crate::path::{Fields, Metadata, Path, Segment};
use crate::rules::{MissingInput, Specialization};
use crate::shape::{Field, Kinds, Members, Missing, Shape};
use crate::transform::{Map, Root, Source, Transform};
use crate::types::Types;

/// How many fields rules may come to, each counted for each rule; of more, nothing is found out.
const RESOLUTIONS_MAX: usize = 2000;

/// What is known of the messages that come out.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    /// The payload.
    pub payload: Shape,
    /// What rules write into it, in order, as far as the names are known.
    pub writes: Vec<Write>,
}

/// A field that a rule may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which of `map`, counted from 0.
    pub rule: usize,
    /// The names of the field, outermost first.
    pub path: Vec<String>,
    /// Whether it may be a copy of an object, all that is in it included.
    pub copies_object: bool,
}

impl Transform {
    /// What comes out of messages of that shape, those that fail or are filtered left aside.
    pub fn infer(&self, input: &Shape) -> Inferred {
        let inference = Inference { transform: self, seen: input, passed: self.passing(input) };
        let mut resolutions = Vec::new();
        for (rule, map) in self.maps.iter().enumerate() {
            inference.resolve(rule, map, &mut resolutions);
        }
        if resolutions.len() > RESOLUTIONS_MAX {
            return Inferred { payload: Shape::Unknown, writes: Vec::new() };
        }
        let mut payload = Members::default();
        let mut writes = Vec::new();
        for resolution in &resolutions {
            let replaced = resolutions.iter().map(|later| inference.replaces(later, resolution)).max();
            inference.apply(resolution, replaced.unwrap_or(Certainty::No), &mut payload, &mut writes);
        }
        let payload = if self.maps.is_empty() || self.passes_payload().is_some() {
            inference.passed
        } else {
            Shape::Known(Kinds { members: Some(payload), ..Kinds::default() })
        };
        Inferred { payload, writes }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    No,
    Maybe,
    Yes,
}

struct Inference<'t> {
    transform: &'t Transform,
    /// Messages as they come in: `? $last` remembers those that don't pass.
    seen: &'t Shape,
    /// Messages that pass the filters.
    passed: Shape,
}

/// What a rule comes to for one capture of its `*`.
struct Resolution<'t> {
    rule: usize,
    map: &'t Map,
    capture: Vec<String>,
    /// Set if other names follow: those that are known there, and hence not meant.
    open: Option<Vec<String>>,
    inputs: Vec<Resolved<'t>>,
    /// `Never` if there is no message without it.
    missing: Missing,
}

struct Resolved<'t> {
    source: &'t Source,
    path: Vec<String>,
    rank: usize,
    /// With what stands in for it.
    field: Field,
    /// Whether a `*` in it stands for names that aren't known.
    open: bool,
    /// Whether there are messages in which it captures nothing.
    uncertain: bool,
}

/// A capture of a `*`.
struct Capture {
    names: Vec<String>,
    open: Option<Vec<String>>,
    missing: Missing,
    /// The values it captures.
    shape: Shape,
}

impl<'t> Inference<'t> {
    fn root(&self, source: &Source) -> Option<&Shape> {
        matches!(source.root, Root::Message).then_some(&self.passed)
    }

    /// The value of an input that isn't captured, before anything stands in for it.
    fn find(&self, source: &Source, path: &[String]) -> Field {
        match (&source.path, self.root(source)) {
            (Path::Metadata(Metadata::Topic), _) => {
                Field { shape: Shape::of_types(Types::STRING), missing: Missing::Never }
            }
            (Path::Metadata(_), _) | (_, None) => Field { shape: Shape::Unknown, missing: Missing::Unknown },
            (_, Some(root)) => root.field(path.iter().map(String::as_str)),
        }
    }

    /// The input, with what may stand in for it.
    fn resolved(&self, source: &'t Source, capture: &[String], captured: Option<Shape>) -> Resolved<'t> {
        let names: Vec<&str> = capture.iter().map(String::as_str).collect();
        let path: Vec<String> =
            source.path.fields().map(|f| f.names(&names).map(str::to_owned).collect()).unwrap_or_default();
        let mut field = match captured {
            Some(shape) => Field { shape, missing: Missing::Never },
            None => self.find(source, &path),
        };
        if source.last && self.root(source).is_some() {
            let earlier = self.seen.field(path.iter().map(String::as_str));
            field.shape = field.shape.or(earlier.shape.without_null());
        }
        if let Some(default) = &source.default {
            field.shape = field.shape.without_null().or(of_literal(default));
            field.missing = Missing::Never;
        }
        let rank = if source.has_wildcard() { capture.len() } else { 0 };
        Resolved { source, path, rank, field, open: false, uncertain: false }
    }

    fn resolve(&self, rule: usize, map: &'t Map, resolutions: &mut Vec<Resolution<'t>>) {
        // a graph skips rules whose dataset has no record
        let from_dataset = map.inputs.iter().any(|source| matches!(source.root, Root::Matched(_)));
        let skipped = from_dataset && self.transform.semantics().host == Host::Graph;
        let missing = if skipped { Missing::Unknown } else { Missing::Never };
        let (capture, inputs) = Default::default();
        let whole = Resolution { rule, map, capture, open: None, inputs, missing };
        if map.output == Output::Remove {
            let inputs = map.inputs.iter().flat_map(|source| self.removed(source)).collect();
            return resolutions.push(Resolution { inputs, ..whole });
        }
        let Some(first) = map.inputs.first().filter(|first| first.has_wildcard()) else {
            let inputs = map.inputs.iter().map(|source| self.resolved(source, &[], None)).collect();
            return resolutions.push(Resolution { inputs, ..whole });
        };
        for Capture { names, open, missing: uncaptured, shape } in self.captures(first, map.program.is_none())
        {
            let mut missing = missing.max(uncaptured);
            let mut shape = Some(shape);
            let mut inputs: Vec<_> =
                map.inputs.iter().map(|source| self.resolved(source, &names, shape.take())).collect();
            for input in &mut inputs {
                input.open = open.is_some() && input.source.has_wildcard();
                // a capture that not all inputs have is none
                if map.inputs.len() > 1 && input.source.default.is_none() {
                    let null =
                        if input.field.shape.may_be_null() { Missing::Possible } else { Missing::Never };
                    let unknown = if input.field.shape.is_unknown() { Missing::Unknown } else { null };
                    missing = missing.max(input.field.missing).max(unknown);
                    input.field.missing = Missing::Never;
                    input.field.shape =
                        std::mem::replace(&mut input.field.shape, Shape::Unknown).without_null();
                }
            }
            resolutions.push(Resolution { rule, map, capture: names, open, inputs, missing });
        }
    }

    /// What an input of a removal names.
    fn removed(&self, source: &'t Source) -> Vec<Resolved<'t>> {
        if !source.has_wildcard() {
            return vec![self.resolved(source, &[], None)];
        }
        let captures = self.captures(source, true).into_iter();
        captures
            .map(|Capture { names, open, missing, shape }| {
                let resolved = self.resolved(source, &names, Some(shape));
                Resolved { open: open.is_some(), uncertain: missing != Missing::Never, ..resolved }
            })
            .collect()
    }

    /// What a `*` may stand for.
    fn captures(&self, source: &Source, copies: bool) -> Vec<Capture> {
        let mut captures = Vec::new();
        let Some(fields) = source.path.fields() else { return captures };
        let Some(wildcard) = fields.wildcard() else { return captures };
        let (before, after) = (&fields.segments()[..wildcard], &fields.segments()[wildcard + 1..]);
        let below = match self.root(source) {
            Some(root) => root.field(names(before)),
            None => Field { shape: Shape::Unknown, missing: Missing::Unknown },
        };
        let mut walk = Walk { after, objects: copies && !after.is_empty(), captures: &mut captures };
        walk.members(&below, &mut Vec::new());
        captures
    }

    /// Whether the one takes the other's place.
    fn replaces(&self, later: &Resolution<'_>, earlier: &Resolution<'_>) -> Certainty {
        let Some(first) = earlier.inputs.first().filter(|first| first.source.has_wildcard()) else {
            return Certainty::No;
        };
        let removes = later.map.output == Output::Remove;
        let open = later.open.is_some() || earlier.open.is_some();
        let by_output = self.transform.semantics().specialization == Specialization::ByOutput && !removes;
        if later.rule <= earlier.rule
            || earlier.map.output == Output::Remove
            || matches!(later.map.output, Output::Metadata(_))
            || by_output && !open && !same_output(later, earlier)
        {
            return Certainty::No;
        }
        let (mut certainty, mut lower) = (Certainty::Yes, Certainty::No);
        for (i, read) in earlier.inputs.iter().enumerate() {
            let mut covered = Certainty::No;
            for (j, by) in later.inputs.iter().enumerate() {
                // a captured field that is known is none of those that aren't
                let elsewhere = i == 0 && !read.open && by.open && (j == 0 || removes);
                let covers = if elsewhere { Certainty::No } else { by.covers(read) };
                let rank_unknown = by.open || read.open;
                if rank_unknown || by.rank <= read.rank {
                    covered = covered.max(covers);
                }
                if rank_unknown || by.rank < read.rank {
                    lower = lower.max(covers);
                }
            }
            certainty = certainty.min(covered);
        }
        let same_field = later.inputs.first().is_some_and(|by| by.path == first.path);
        let always = later.missing == Missing::Never
            || same_field && later.inputs.len() == 1 && (later.gets_objects() || !earlier.gets_objects());
        let at_most = if always && !open { Certainty::Yes } else { Certainty::Maybe };
        certainty.min(lower).min(at_most)
    }

    /// Writes what the rule makes of its inputs.
    fn apply(
        &self,
        resolution: &Resolution<'t>,
        replaced: Certainty,
        payload: &mut Members,
        writes: &mut Vec<Write>,
    ) {
        let Output::Field(fields) = &resolution.map.output else { return };
        if replaced == Certainty::Yes {
            return;
        }
        let capture: Vec<&str> = resolution.capture.iter().map(String::as_str).collect();
        if let Some(declared) = &resolution.open {
            let before = fields.wildcard().map_or(&[][..], |at| &fields.segments()[..at]);
            let path: Vec<&str> = names(before).chain(capture).collect();
            return payload.write_unknown(&path, declared);
        }
        let path: Vec<&str> = fields.names(&capture).collect();
        let strict = self.transform.semantics().missing == MissingInput::Error;
        let known = resolution.inputs.iter().all(|input| !input.field.shape.is_unknown());
        let (shape, mut missing) = match (&resolution.map.program, resolution.inputs.first()) {
            (Some(program), _) if known => {
                let types: Vec<Types> = resolution
                    .inputs
                    .iter()
                    .map(|input| {
                        let types = input.field.shape.types();
                        if input.field.missing == Missing::Never { types } else { types.or(Types::EMPTY) }
                    })
                    .collect();
                (Shape::of_types(types_of(program, &types)), Missing::Never)
            }
            (Some(_), _) => (Shape::Unknown, Missing::Never),
            (None, Some(first)) => (first.field.shape.clone(), first.field.missing),
            (None, None) => return,
        };
        if strict && resolution.inputs.iter().all(|input| !input.source.has_stand_in()) {
            missing = Missing::Never;
        }
        if replaced == Certainty::Maybe {
            missing = Missing::Unknown;
        }
        let copies_object =
            matches!(&shape, Shape::Known(Kinds { members: Some(m), .. }) if *m != Members::default());
        payload.write(&path, shape, missing.max(resolution.missing));
        let path = path.into_iter().map(str::to_owned).collect();
        writes.push(Write { rule: resolution.rule, path, copies_object });
    }
}

impl Resolution<'_> {
    /// Whether its `*` stands for fields that hold objects, as it may where the path goes on behind it.
    fn gets_objects(&self) -> bool {
        let goes_on = |fields: &Fields| fields.segments().last() != Some(&Segment::Wildcard);
        let first = self.inputs.first().and_then(|input| input.source.path.fields());
        self.map.program.is_none() && first.is_some_and(goes_on)
    }
}

impl Resolved<'_> {
    /// How many names of the path are known.
    fn fixed(&self) -> usize {
        let wildcard = self.source.path.fields().and_then(Fields::wildcard);
        wildcard.filter(|_| self.open).unwrap_or(self.path.len())
    }

    /// Whether it names the field that the other reads, or an object around it.
    fn covers(&self, read: &Resolved<'_>) -> Certainty {
        if self.source.root != read.source.root {
            return Certainty::No;
        }
        if self.open || read.open {
            // what is known of the two paths, up to where one of them goes on with any names
            let common = self.fixed().min(read.fixed());
            return if self.path[..common] == read.path[..common] { Certainty::Maybe } else { Certainty::No };
        }
        let around = read.path.starts_with(&self.path);
        let exact = self.path.len() == read.path.len();
        match () {
            () if !around => Certainty::No,
            () if self.uncertain || !exact && read.source.has_stand_in() => Certainty::Maybe,
            () => Certainty::Yes,
        }
    }
}

fn same_output(a: &Resolution<'_>, b: &Resolution<'_>) -> bool {
    match (&a.map.output, &b.map.output) {
        (Output::Field(of_a), Output::Field(of_b)) => {
            let names = |r: &Resolution<'_>, fields: &Fields| -> Vec<String> {
                let capture: Vec<&str> = r.capture.iter().map(String::as_str).collect();
                fields.names(&capture).map(str::to_owned).collect()
            };
            names(a, of_a) == names(b, of_b)
        }
        _ => false,
    }
}

/// As `walk` of `scene.rs`, over members that may be.
struct Walk<'w> {
    after: &'w [Segment],
    objects: bool,
    captures: &'w mut Vec<Capture>,
}

impl Walk<'_> {
    /// What is captured among the members of an object, if it is one.
    fn members(&mut self, object: &Field, path: &mut Vec<String>) {
        let Shape::Known(kinds) = &object.shape else {
            return self.captures.push(Capture {
                names: path.clone(),
                open: Some(Vec::new()),
                missing: Missing::Unknown,
                shape: Shape::Unknown,
            });
        };
        let Some(members) = &kinds.members else { return };
        let is_object = if kinds.is_object() { Missing::Never } else { Missing::Possible };
        let missing = object.missing.max(is_object);
        for (name, field) in &members.fields {
            path.push(name.clone());
            let field = Field { missing: missing.max(field.missing), shape: field.shape.clone() };
            self.value(&field, path);
            path.pop();
        }
        if members.open {
            self.captures.push(Capture {
                names: path.clone(),
                open: Some(members.fields.keys().cloned().collect()),
                missing: Missing::Unknown,
                shape: Shape::Unknown,
            });
        }
    }

    /// What is captured of a value and below.
    fn value(&mut self, value: &Field, path: &mut Vec<String>) {
        let target = value.shape.field(names(self.after));
        let missing = value.missing.max(target.missing);
        match target.shape {
            Shape::Unknown => self.captures.push(Capture {
                names: path.clone(),
                open: Some(Vec::new()),
                missing: Missing::Unknown,
                shape: Shape::Unknown,
            }),
            Shape::Known(mut kinds) => {
                let mut partly = Missing::Never;
                if !self.objects
                    && let Some(members) = kinds.members.take()
                {
                    // only empty ones are captured
                    partly = Missing::Possible;
                    let may_be_empty = members.fields.values().all(|f| f.missing != Missing::Never);
                    kinds.members = may_be_empty.then(Members::default);
                }
                let shape = Shape::Known(kinds);
                if shape != Shape::Known(Kinds::default()) {
                    let names = path.clone();
                    self.captures.push(Capture { names, open: None, missing: missing.max(partly), shape });
                }
            }
        }
        if !(value.shape.is_unknown() && self.after.is_empty()) {
            self.members(value, path);
        }
    }
}

impl Members {
    /// What may be there after a value was written, unless it is missing.
    fn write(&mut self, path: &[&str], shape: Shape, missing: Missing) {
        let Some(&name) = path.first() else { return };
        let before = self.fields.get(name).cloned();
        self.put(path, shape);
        if missing != Missing::Never {
            let field = self.fields.get_mut(name).expect("it was just written");
            match before {
                Some(before) => field.or_else(before, missing),
                None => field.in_one_only(self.open, missing),
            }
        }
    }

    /// As `put` of `map.rs`.
    fn put(&mut self, path: &[&str], shape: Shape) {
        let Some((name, below)) = path.split_first() else { return };
        let shape = if below.is_empty() {
            shape
        } else {
            let mut members = self.inner(name);
            members.put(below, shape);
            Shape::Known(Kinds { members: Some(members), ..Kinds::default() })
        };
        self.fields.insert((*name).to_owned(), Field { shape, missing: Missing::Never });
    }

    /// The members of an object made of what is there.
    fn inner(&self, name: &str) -> Members {
        let (field, there) = match self.fields.get(name) {
            Some(field) => (&field.shape, field.missing),
            None if self.open => (&Shape::Unknown, Missing::Never),
            None => return Members::default(),
        };
        match field {
            Shape::Unknown => Members { open: true, ..Members::default() },
            Shape::Known(kinds) => {
                let mut members = kinds.members.clone().unwrap_or_default();
                let otherwise = if kinds.is_object() { there } else { there.max(Missing::Possible) };
                members.fields.values_mut().for_each(|field| field.missing = field.missing.max(otherwise));
                members
            }
        }
    }

    /// What may be there after values were written below that path, to names that aren't known but are none of
    /// `declared`.
    fn write_unknown(&mut self, path: &[&str], declared: &[String]) {
        let Some((name, below)) = path.split_first() else {
            self.open = true;
            for (name, field) in &mut self.fields {
                if !declared.contains(name) {
                    field.shape = Shape::Unknown;
                }
            }
            return;
        };
        if below.is_empty() && declared.is_empty() {
            return self.write(path, Shape::Unknown, Missing::Unknown);
        }
        let mut members = self.inner(name);
        members.write_unknown(below, declared);
        let shape = Shape::Known(Kinds { members: Some(members), ..Kinds::default() });
        self.write(&[*name], shape, Missing::Unknown);
    }
}

fn names(segments: &[Segment]) -> impl Iterator<Item = &str> {
    segments.iter().filter_map(|s| if let Segment::Name(name) = s { Some(name.as_str()) } else { None })
}

fn of_literal(literal: &Literal) -> Shape {
    Shape::of_types(match literal {
        Literal::Empty => Types::EMPTY,
        Literal::Bool(_) => Types::BOOL,
        Literal::Int(_) => Types::INT,
        Literal::Float(_) => Types::FLOAT,
        Literal::String(_) => Types::STRING,
    })
}
