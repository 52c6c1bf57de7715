//! Rules as they are written in a resource, and what can be said about them. Plain data; [`crate::Transform`] is what
//! they mean.

use std::fmt;
use std::ops::Range;

use tidegate_core::Severity;

use crate::complaint::{SyntaxError, Warning};
use crate::input::Host;

/// `builtInTransformationSettings`, or one transform of a data flow graph, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `datasets`: what enriches messages, before anything else.
    pub datasets: Vec<DatasetRule>,
    /// `filter`: which messages go no further.
    pub filters: Vec<FilterRule>,
    /// `map`: what the outgoing message is made of. Without a rule the payload passes as it is.
    pub maps: Vec<MapRule>,
}

/// One of `datasets` (*concept-dataflow-enrich*).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetRule {
    /// The key in the state store, perhaps with an alias: `assets.line7 as line`.
    pub key: String,
    /// Paths to compare, `$source` ones of the message and `$context` ones of the record.
    pub inputs: Vec<String>,
    /// Whether a record belongs to a message; the first record does if there is none.
    pub expression: Option<String>,
}

/// One of `filter` (*howto-dataflow-filter*).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterRule {
    /// Paths of the values the formula uses.
    pub inputs: Vec<String>,
    /// True or false; [`FilterSemantics`] says what that means.
    pub expression: String,
    /// For people.
    pub description: Option<String>,
}

/// One of `map` (*concept-dataflow-mapping*).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapRule {
    /// Paths of the values the formula uses, or of the one that is copied.
    pub inputs: Vec<String>,
    /// Where the value goes; empty to leave out what the inputs name.
    pub output: String,
    /// The value; a copy of the first input if there is none. A blank text counts as none.
    pub expression: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// Where AIO's documentation leaves a choice, or changed its mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Semantics {
    /// Where the rules stand.
    pub host: Host,
    /// What a filter's true means.
    pub filter: FilterSemantics,
    /// When a later, more special map rule replaces an earlier one.
    pub specialization: Specialization,
    /// What a map rule does about a missing input.
    pub missing: MissingInput,
}

impl Default for Semantics {
    fn default() -> Self {
        Self {
            host: Host::Dataflow,
            filter: FilterSemantics::DropWhenTrue,
            specialization: Specialization::ByInput,
            missing: MissingInput::Empty,
        }
    }
}

/// What a filter's true means (*howto-dataflow-filter*; the two meanings are those since and until March 2026).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterSemantics {
    /// A message goes no further as soon as one rule is true.
    DropWhenTrue,
    /// A message goes on only if all rules are true.
    PassWhenTrue,
}

/// When a later map rule with a lower rank replaces an earlier one (*concept-dataflow-mapping*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Specialization {
    /// When it has the same input fields.
    ByInput,
    /// When it has the same input fields, and the same output or none.
    ByOutput,
}

/// What a map rule does about an input that is missing and has no `? $last` or `??` to stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissingInput {
    /// It is `()` in the formula; a copy writes nothing.
    Empty,
    /// The message fails.
    Error,
}

/// The lists a rule can stand in, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// `datasets`.
    Datasets,
    /// `filter`.
    Filter,
    /// `map`.
    Map,
}

/// A part of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The rule as a whole; ranges of findings are empty.
    Rule,
    /// `key`.
    Key,
    /// That one of `inputs`, counted from 0.
    Input(usize),
    /// `output`.
    Output,
    /// `expression`.
    Expression,
}

/// Something wrong with a rule, or worth knowing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which list the rule is in.
    pub stage: Stage,
    /// Which rule of the list, counted from 0.
    pub rule: usize,
    /// Which text of the rule.
    pub part: Part,
    /// The bytes of that text.
    pub range: Range<usize>,
    /// An error keeps the rules from being used.
    pub severity: Severity,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Finding {
    pub(crate) fn error(stage: Stage, rule: usize, part: Part, error: SyntaxError) -> Self {
        let SyntaxError { range, message, help } = error;
        Self { stage, rule, part, range, severity: Severity::Error, message, help }
    }

    pub(crate) fn warning(stage: Stage, rule: usize, part: Part, warning: Warning) -> Self {
        let Warning { range, message, help } = warning;
        Self { stage, rule, part, range, severity: Severity::Warning, message, help }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}: {}", self.stage, self.rule + 1, self.message)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Datasets => "datasets",
            Stage::Filter => "filter",
            Stage::Map => "map",
        })
    }
}
