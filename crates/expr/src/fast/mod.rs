//! The fast path: messages made of the bytes of messages, without a tree in between. Rules of the usual kinds are
//! turned into a [`Plan`]: rules that filter only, rules that copy all with exceptions and additions, and rules that
//! name each field. Where a rule or a message is not as simple as that the answer is none, and [`crate::map`], the
//! plain interpreter, is asked instead; it also words what went wrong. The two agree: that interpreter is the reference.
//!
//! 1. One [`walk`] over the message checks that it is JSON and notes where the fields are that rules name.
//! 2. Datasets are searched, filters decide, map rules compute what they write. A value is read from its text when a
//!    formula asks for it.
//! 3. [`write`] puts the outgoing payload together from ranges of bytes.

mod plan;
mod records;
mod scan;
mod tree;
mod walk;
mod write;

use bytes::BytesMut;
use smallvec::SmallVec;

use crate::dataset::Matcher;
use crate::eval::Inputs;
use crate::input::Output;
use crate::map::Beside;
use crate::rules::{FilterSemantics, MissingInput};
use crate::scene::Message;
use crate::transform::{Filter, Map, Root, Source, Transform};
use crate::transformer::Outcome;
use crate::value::{Operand, Value};

use self::plan::{Body, Reads, Step};
use self::records::Record;
use self::tree::NodeId;
use self::walk::Sites;
use self::write::{Parts, Piece};

pub(crate) use self::plan::Plan;
pub(crate) use self::records::Cells;

/// What is used for one message after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    sites: Sites,
    /// What map rules write.
    made: Vec<u8>,
    /// By step where that is, if it writes.
    pieces: Vec<Option<Piece>>,
    out: BytesMut,
}

/// Decides about a message; none if only the interpreter can.
pub(crate) fn run<'m>(
    transform: &'m Transform,
    plan: &'m Plan,
    matchers: &'m [Result<Matcher, String>],
    scratch: &mut Scratch,
    message: Message<'m>,
) -> Option<Outcome> {
    let Scratch { sites, pieces, made, out } = scratch;
    let text = simdutf8::basic::from_utf8(message.payload).ok()?;
    sites.fill(&plan.message, text)?;

    let mut records = Records::new();
    for ((dataset, matcher), reads) in transform.datasets.iter().zip(matchers).zip(&plan.datasets) {
        let matcher = matcher.as_ref().ok()?;
        let cells = matcher.cells()?;
        let view = View { message, text, sites, records: &records };
        let number = matcher.find(dataset, &Found { view: &view, inputs: &dataset.inputs, reads });
        records.push(number.map(|number| Record { cells, number }));
    }
    let view = View { message, text, sites, records: &records };
    for (rule, (filter, reads)) in transform.filters.iter().zip(&plan.filters).enumerate() {
        if view.stops(filter, reads, transform.semantics().filter)? {
            return Some(Outcome::Filtered { rule });
        }
    }
    pieces.clear();
    made.clear();
    let mut beside = Beside::default();
    for step in &plan.steps {
        let map = &transform.maps[step.rule];
        let piece = if step.reads.is_skipped(&records) || map.output == Output::Remove {
            None
        } else {
            view.write(map, step, transform.semantics().missing, made, &mut beside)?
        };
        pieces.push(piece);
    }
    let message_bytes = text.as_bytes();
    let payload = match &plan.body {
        Body::Same => message.payload.clone(),
        // left to the interpreter: it knows which of the two is left out or replaced
        Body::Copy(_) if sites.repeated => return None,
        Body::Copy(outline) => {
            for step in plan.steps.iter().filter(|step| !step.reads.is_skipped(&records)) {
                for replaced in &step.replaces {
                    if !replaced.leaf_only || sites.is_leaf(replaced.node, text) {
                        sites.drop(replaced.node);
                    }
                }
            }
            sites.drop_emptied(&plan.message);
            Parts { tree: &plan.message, outline, message: message_bytes, sites, made }.copy(pieces, out)
        }
        Body::New(tree, outline) => {
            Parts { tree, outline, message: message_bytes, sites, made }.new_object(pieces, out)
        }
    };
    match beside.passed(payload, message.properties) {
        Ok(passed) => Some(Outcome::Pass(passed)),
        Err(_) => None,
    }
}

/// A message, walked over, and the records that belong to it.
struct View<'v, 'm> {
    message: Message<'m>,
    text: &'m str,
    sites: &'v Sites,
    records: &'v [Option<Record<'m>>],
}

/// By dataset; few data flows have more.
type Records<'m> = SmallVec<[Option<Record<'m>>; 2]>;

/// What the inputs of a rule find.
struct Found<'v, 'm> {
    view: &'v View<'v, 'm>,
    inputs: &'m [Source],
    reads: &'v Reads,
}

impl<'m> Inputs<'m> for Found<'_, 'm> {
    fn operand(&self, index: usize) -> Operand<'m> {
        match (self.inputs.get(index), self.reads.places.get(index)) {
            (Some(source), Some(place)) => self.view.operand(source, *place),
            _ => Operand::Missing,
        }
    }
}

impl<'m> View<'_, 'm> {
    /// What an input finds, as [`crate::scene::Scene::find`] has it.
    fn operand(&self, source: &'m Source, place: NodeId) -> Operand<'m> {
        let found = match source.root {
            Root::Message => self.sites.value(place, self.text).map(Operand::Raw),
            Root::Metadata => self.message.metadata(&source.path).map(Operand::Text),
            Root::Matched(dataset) => {
                self.records[dataset].and_then(|record| record.value(place)).map(Operand::Raw)
            }
            Root::Candidate => None,
        };
        let found = found.unwrap_or(Operand::Missing);
        match &source.default {
            Some(default) if found.is_missing() => Operand::Default(default),
            _ => found,
        }
    }

    /// Whether an input is missing, has no stand-in, and this is no excuse.
    fn lacks_any(&self, inputs: &'m [Source], reads: &Reads, excused: impl Fn(&Source) -> bool) -> bool {
        inputs.iter().zip(&reads.places).any(|(source, place)| {
            self.operand(source, *place).is_missing() && !source.has_stand_in() && !excused(source)
        })
    }

    fn stops(&self, filter: &'m Filter, reads: &Reads, semantics: FilterSemantics) -> Option<bool> {
        if reads.is_skipped(self.records) {
            return Some(false);
        }
        let is_unmatched = |source: &Source| matches!(source.root, Root::Matched(dataset) if self.records[dataset].is_none());
        if self.lacks_any(&filter.inputs, reads, is_unmatched) {
            return None;
        }
        match filter.program.eval_with(&Found { view: self, inputs: &filter.inputs, reads }) {
            Ok(Value::Bool(value)) => Some(value == (semantics == FilterSemantics::DropWhenTrue)),
            _ => None,
        }
    }

    /// Appends to `made` what a map rule writes to the payload, and tells where, if it writes; or it writes beside the
    /// payload.
    fn write(
        &self,
        map: &'m Map,
        step: &Step,
        missing: MissingInput,
        made: &mut Vec<u8>,
        beside: &mut Beside<'m>,
    ) -> Option<Option<Piece>> {
        if missing == MissingInput::Error && self.lacks_any(&map.inputs, &step.reads, |_| false) {
            return None;
        }
        let start = made.len();
        let value = match &map.program {
            Some(program) => {
                program.eval_with(&Found { view: self, inputs: &map.inputs, reads: &step.reads })
            }
            None => match self.operand(map.inputs.first()?, *step.reads.places.first()?) {
                Operand::Missing => return Some(None),
                Operand::Raw(text) if !step.key.is_empty() => {
                    made.extend_from_slice(&step.key);
                    made.extend_from_slice(text.as_bytes());
                    return Some(Some(Piece { start, value: start + step.key.len(), end: made.len() }));
                }
                operand => Ok(operand.value().ok()?),
            },
        };
        // by reference: a value is large to move
        let value = value.as_ref().ok()?;
        if let Output::Metadata(metadata) = &map.output {
            beside.set(metadata, value.to_text());
            return Some(None);
        }
        made.extend_from_slice(&step.key);
        value.write_json(made).ok()?;
        Some(Some(Piece { start, value: start + step.key.len(), end: made.len() }))
    }
}
