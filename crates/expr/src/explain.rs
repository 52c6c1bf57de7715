//! What became of a message, rule by rule, for people who want to know why.

use std::fmt;

use crate::rules::Stage;

/// What one rule did with one message. Rules are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A dataset was searched.
    Dataset {
        /// Which of `datasets`.
        rule: usize,
        /// What rules call it.
        name: String,
        /// Which of its records belongs to the message, counted from 0.
        record: Option<usize>,
    },
    /// A filter's formula was computed.
    Filter {
        /// Which of `filter`.
        rule: usize,
        /// Its value; none if the rule was skipped for want of a dataset's record.
        value: Option<bool>,
    },
    /// A map rule came to a field, or to nothing.
    Map {
        /// Which of `map`.
        rule: usize,
        /// The paths it read, as resolved for this message.
        inputs: Vec<String>,
        /// What it did.
        effect: Effect,
    },
}

/// What a map rule did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Handed on the payload as it is.
    Passed,
    /// Wrote to that path.
    Wrote(String),
    /// Left its inputs out of what earlier rules copy.
    Removed,
    /// Wrote nothing: what it copies is missing.
    Missing,
    /// Was skipped: its dataset has no record for the message.
    Skipped,
    /// Was replaced, for these inputs, by that later rule.
    Replaced(usize),
}

/// One line, rules counted from 1.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Dataset { rule, name, record } => {
                write!(f, "{} rule {} ({name}): ", Stage::Datasets, rule + 1)?;
                match record {
                    Some(record) => write!(f, "record {}", record + 1),
                    None => f.write_str("no record"),
                }
            }
            Step::Filter { rule, value } => {
                write!(f, "{} rule {}: ", Stage::Filter, rule + 1)?;
                match value {
                    Some(value) => value.fmt(f),
                    None => f.write_str("skipped, no record in the dataset"),
                }
            }
            Step::Map { rule, inputs, effect } => {
                write!(f, "{} rule {}: {}", Stage::Map, rule + 1, inputs.join(", "))?;
                f.write_str(if inputs.is_empty() { "" } else { " " })?;
                match effect {
                    Effect::Passed => f.write_str("passed as it is"),
                    Effect::Wrote(path) => write!(f, "-> {path}"),
                    Effect::Removed => f.write_str("removed"),
                    Effect::Missing => f.write_str("missing, nothing written"),
                    Effect::Skipped => f.write_str("skipped, no record in the dataset"),
                    Effect::Replaced(by) => write!(f, "replaced by rule {}", by + 1),
                }
            }
        }
    }
}
