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

use std::ops::Range;

use bytes::BytesMut;
use smallvec::SmallVec;

use crate::dataset::Matcher;
use crate::input::Output;
use crate::map::Beside;
use crate::rules::{FilterSemantics, MissingInput};
use crate::scene::Message;
use crate::transform::{Filter, Map, Root, Source, Transform};
use crate::transformer::Outcome;
use crate::value::{Operand, Value};

use self::plan::{Body, Reads};
use self::tree::NodeId;
use self::walk::Sites;

pub(crate) use self::plan::Plan;
pub(crate) use self::records::Cells;

/// What is used for one message after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    sites: Sites,
    /// By dataset the number of the record that belongs to the message.
    records: Vec<Option<usize>>,
    /// JSON texts of what map rules write.
    made: Vec<u8>,
    /// By step the part of those texts that is its own, if it writes.
    pieces: Vec<Option<Range<usize>>>,
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
    let Scratch { sites, records, pieces, made, out } = scratch;
    let text = simdutf8::basic::from_utf8(message.payload).ok()?;
    sites.fill(&plan.message, text)?;

    records.clear();
    for ((dataset, matcher), reads) in transform.datasets.iter().zip(matchers).zip(&plan.datasets) {
        let matcher = matcher.as_ref().ok()?;
        let view = View { matchers, message, text, sites, records };
        let record = matcher.find(dataset, &view.operands(&dataset.inputs, reads)?);
        records.push(record);
    }
    let view = View { matchers, message, text, sites, records };
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
        let piece = if step.reads.is_skipped(records) || map.output == Output::Remove {
            None
        } else {
            view.write(map, &step.reads, transform.semantics().missing, made, &mut beside)?
        };
        pieces.push(piece);
    }
    let payload = match plan.body {
        Body::Same => message.payload.clone(),
        // left to the interpreter: it knows which of the two is left out or replaced
        Body::Copy if sites.repeated => return None,
        Body::Copy => {
            for step in plan.steps.iter().filter(|step| !step.reads.is_skipped(records)) {
                for replaced in &step.replaces {
                    if !replaced.leaf_only || sites.is_leaf(replaced.node, text) {
                        sites.drop(replaced.node);
                    }
                }
            }
            sites.drop_emptied(&plan.message);
            plan.parts(text, sites, made).copy(pieces, out)
        }
        Body::New => plan.parts(text, sites, made).new_object(pieces, out),
    };
    beside.passed(payload, message.properties).ok().map(Outcome::Pass)
}

/// A message, walked over, and the records that belong to it.
struct View<'v, 'm> {
    matchers: &'m [Result<Matcher, String>],
    message: Message<'m>,
    text: &'m str,
    sites: &'v Sites,
    records: &'v [Option<usize>],
}

/// Rules with more inputs than this are rare.
type Operands<'m> = SmallVec<[Operand<'m>; 6]>;

impl<'m> View<'_, 'm> {
    fn operands(&self, inputs: &'m [Source], reads: &Reads) -> Option<Operands<'m>> {
        inputs.iter().zip(&reads.places).map(|(source, place)| self.operand(source, *place)).collect()
    }

    /// What an input finds, as [`crate::scene::Scene::find`] has it.
    fn operand(&self, source: &'m Source, place: NodeId) -> Option<Operand<'m>> {
        let found = match source.root {
            Root::Message => self.sites.value(place, self.text).map(Operand::Raw),
            Root::Metadata => self.message.metadata(&source.path).map(Operand::Text),
            Root::Matched(dataset) => match self.records[dataset] {
                Some(record) => {
                    let cells = self.matchers[dataset].as_ref().ok()?.cells()?;
                    cells.value(record, place).map(Operand::Raw)
                }
                None => None,
            },
            Root::Candidate => None,
        };
        let found = found.unwrap_or(Operand::Missing);
        Some(match &source.default {
            Some(default) if found.is_missing() => Operand::Default(default),
            _ => found,
        })
    }

    fn stops(&self, filter: &'m Filter, reads: &Reads, semantics: FilterSemantics) -> Option<bool> {
        if reads.is_skipped(self.records) {
            return Some(false);
        }
        let operands = self.operands(&filter.inputs, reads)?;
        for (source, operand) in filter.inputs.iter().zip(&operands) {
            let unmatched = matches!(source.root, Root::Matched(dataset) if self.records[dataset].is_none());
            if operand.is_missing() && !source.has_stand_in() && !unmatched {
                return None;
            }
        }
        match (filter.program.eval(&operands).ok()?, semantics) {
            (Value::Bool(value), FilterSemantics::DropWhenTrue) => Some(value),
            (Value::Bool(value), FilterSemantics::PassWhenTrue) => Some(!value),
            _ => None,
        }
    }

    /// Appends to `made` what a map rule writes to the payload, and gives the range, if it writes; or it writes beside
    /// the payload.
    fn write(
        &self,
        map: &'m Map,
        reads: &Reads,
        missing: MissingInput,
        made: &mut Vec<u8>,
        beside: &mut Beside<'m>,
    ) -> Option<Option<Range<usize>>> {
        let operands = self.operands(&map.inputs, reads)?;
        let mut inputs = map.inputs.iter().zip(&operands);
        if missing == MissingInput::Error
            && inputs.any(|(source, operand)| operand.is_missing() && !source.has_stand_in())
        {
            return None;
        }
        let start = made.len();
        let value = match (&map.program, operands.first(), &map.output) {
            (Some(program), ..) => program.eval(&operands).ok()?,
            (None, None | Some(Operand::Missing), _) => return Some(None),
            (None, Some(Operand::Raw(text)), Output::Field(_)) => {
                made.extend_from_slice(text.as_bytes());
                return Some(Some(start..made.len()));
            }
            (None, Some(operand), _) => operand.value().ok()?,
        };
        match &map.output {
            Output::Field(_) => {
                value.write_json(made).ok()?;
                Some(Some(start..made.len()))
            }
            Output::Metadata(metadata) => {
                beside.set(metadata, value.into_text());
                Some(None)
            }
            Output::Remove => Some(None),
        }
    }
}
