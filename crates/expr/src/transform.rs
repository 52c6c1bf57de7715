//! Rules, read and checked: what a data flow's transformation is, before there is a message.

use tidegate_core::Severity;

use crate::ast::Literal;
use crate::compiler::{self, Compiled};
use crate::fast::Plan;
use crate::input::Output;
use crate::path::{Fields, Path, Segment};
use crate::program::Program;
use crate::rules::{FilterSemantics, Finding, Rules, Semantics};

/// A transformation, ready to be run by a [`crate::Transformer`]. Cheap to share, never changes.
#[derive(Debug)]
pub struct Transform {
    rules: Rules,
    semantics: Semantics,
    pub(crate) datasets: Vec<DatasetMatch>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) maps: Vec<Map>,
    /// If the rules allow.
    pub(crate) plan: Option<Plan>,
}

#[derive(Debug)]
pub(crate) struct DatasetMatch {
    /// In the state store.
    pub(crate) key: String,
    /// What rules call it.
    pub(crate) name: String,
    pub(crate) inputs: Vec<Source>,
    pub(crate) program: Option<Program>,
}

#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) inputs: Vec<Source>,
    pub(crate) program: Program,
}

#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) inputs: Vec<Source>,
    pub(crate) output: Output,
    pub(crate) program: Option<Program>,
}

/// An input, with its dataset looked up.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: Path,
    pub(crate) root: Root,
    pub(crate) last: bool,
    pub(crate) default: Option<Literal>,
}

/// What a path starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Message,
    Metadata,
    /// The record under test.
    Candidate,
    /// The record that the dataset of that number matched.
    Matched(usize),
}

impl Source {
    pub(crate) fn has_wildcard(&self) -> bool {
        self.path.has_wildcard()
    }

    /// Whether a suffix says what to do if it is missing.
    pub(crate) fn has_stand_in(&self) -> bool {
        self.last || self.default.is_some()
    }

    /// The path of the one field it stands for when `*` captured these names.
    pub(crate) fn resolved(&self, capture: &[&str]) -> Path {
        let mut path = self.path.clone();
        if let Path::Source(fields) | Path::Dataset { fields, .. } = &mut path {
            *fields = fields.resolved(capture);
        }
        path
    }
}

impl Map {
    pub(crate) fn has_wildcard(&self) -> bool {
        self.inputs.iter().any(Source::has_wildcard)
    }

    /// `* => *`: the whole message.
    pub(crate) fn copies_all(&self) -> bool {
        let all = |fields: &Fields| fields.segments() == [Segment::Wildcard];
        let from_all =
            |source: &Source| matches!(&source.path, Path::Source(f) if all(f)) && !source.has_stand_in();
        self.program.is_none()
            && matches!(&self.output, Output::Field(f) if all(f))
            && matches!(self.inputs.as_slice(), [only] if from_all(only))
    }
}

impl Transform {
    /// Reads and checks rules. All that is wrong is found at once, in the order of the rules.
    ///
    /// # Errors
    /// The findings, warnings included, if one of them is an error.
    pub fn compile(rules: Rules, semantics: Semantics) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let compiled = compiler::compile_rules(&rules, semantics.host);
        if compiled.findings.iter().any(|f| f.severity == Severity::Error) {
            return Err(compiled.findings);
        }
        let Compiled { datasets, filters, maps, findings } = compiled;
        let mut transform = Self { rules, semantics, datasets, filters, maps, plan: None };
        transform.plan = Plan::new(&transform);
        Ok((transform, findings))
    }

    /// The rules as written.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How they are to be understood.
    pub fn semantics(&self) -> Semantics {
        self.semantics
    }

    /// The state store keys of the datasets, in the order of the rules.
    pub fn dataset_keys(&self) -> impl Iterator<Item = &str> {
        self.datasets.iter().map(|d| d.key.as_str())
    }

    /// Whether every message passes as it is.
    pub(crate) fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.maps.is_empty()
    }

    /// Whether it makes the same JSON object of every one: `* => *`, and nothing else.
    pub fn only_copies(&self) -> bool {
        let copies = matches!(self.maps.as_slice(), [map] if map.copies_all());
        copies && self.datasets.is_empty() && self.filters.is_empty()
    }

    /// All inputs of all rules.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let of_datasets = self.datasets.iter().map(|d| &d.inputs);
        let of_filters = self.filters.iter().map(|f| &f.inputs);
        let of_maps = self.maps.iter().map(|m| &m.inputs);
        of_datasets.chain(of_filters).chain(of_maps).flatten()
    }

    /// The inputs whose last values are kept.
    pub(crate) fn remembered(&self) -> impl Iterator<Item = &Source> {
        self.sources().filter(|source| source.last)
    }

    /// The rule that copies the whole message, if no other rule changes the payload.
    pub(crate) fn passes_payload(&self) -> Option<usize> {
        let mut writes =
            self.maps.iter().enumerate().filter(|(_, m)| !matches!(m.output, Output::Metadata(_)));
        let (rule, map) = writes.next()?;
        (map.copies_all() && writes.next().is_none()).then_some(rule)
    }

    /// What each filter rule does, in words: `drops messages where temperature > 20`.
    pub fn filters_in_words(&self) -> Vec<String> {
        self.filters
            .iter()
            .map(|filter| {
                let condition = in_words(&filter.program, &filter.inputs);
                match self.semantics.filter {
                    FilterSemantics::DropWhenTrue => format!("drops messages where {condition}"),
                    FilterSemantics::PassWhenTrue => format!("drops messages unless {condition}"),
                }
            })
            .collect()
    }

    /// What each map rule does, in words: `temperatureF: cToF(temperature)`, `without password, token`.
    pub fn maps_in_words(&self) -> Vec<String> {
        self.maps
            .iter()
            .map(|map| match (&map.output, &map.program) {
                (Output::Remove, _) => format!("without {}", names(&map.inputs).join(", ")),
                (output, Some(program)) => format!("{output}: {}", in_words(program, &map.inputs)),
                (output, None) => {
                    format!("{output}: {}", names(&map.inputs).first().map_or("", String::as_str))
                }
            })
            .collect()
    }
}

/// Equal if made from equal rules.
impl PartialEq for Transform {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules && self.semantics == other.semantics
    }
}

fn in_words(program: &Program, inputs: &[Source]) -> String {
    program.with_names(&names(inputs)).to_string()
}

/// What people call the inputs.
pub(crate) fn names(inputs: &[Source]) -> Vec<String> {
    inputs.iter().map(|input| input.path.to_string()).collect()
}
