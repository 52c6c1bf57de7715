//! A transformation at work: enrich, filter, map, one message after the other.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::Properties;

use crate::dataset::{Dataset, Matcher};
use crate::eval::EvalError;
use crate::explain::Step;
use crate::fast::{self, Scratch};
use crate::input::Host;
use crate::json::{Json, parse_json};
use crate::map;
use crate::program::Program;
use crate::rules::{FilterSemantics, Rules, Stage};
use crate::scene::{LastValues, Message, Scene, View};
use crate::transform::{Filter, Root, Source, Transform, names};
use crate::value::{Operand, Value};

/// A [`Transform`] with its datasets and its memory for `? $last`. Each running data flow has its own.
#[derive(Debug)]
pub struct Transformer {
    transform: Arc<Transform>,
    /// By dataset; why there are no records to be had.
    matchers: Vec<Result<Matcher, String>>,
    last: LastValues,
    scratch: Scratch,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes on.
    Pass(Passed),
    /// A filter stopped it, as it should.
    Filtered {
        /// Which of `filter`, counted from 0.
        rule: usize,
    },
    /// It can't be processed.
    Failed(Failure),
}

/// The outgoing message. What no rule changed shares its bytes with the incoming one.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// The payload.
    pub payload: Bytes,
    /// What a rule wrote to `$metadata.topic`, for `${outputTopic}`.
    pub topic: Option<String>,
    /// All properties.
    pub properties: Properties,
}

/// Why a message can't be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The rule that failed, counted from 0; none if the message is at fault as a whole.
    pub rule: Option<(Stage, usize)>,
    /// What the rule's author says it is for.
    pub description: Option<String>,
    /// One sentence, lower case, without a full stop.
    pub message: String,
}

impl Failure {
    pub(crate) fn of(stage: Stage, rule: usize, message: String) -> Self {
        Self { rule: Some((stage, rule)), description: None, message }
    }

    pub(crate) fn unplaced(message: String) -> Self {
        Self { rule: None, description: None, message }
    }

    fn described(mut self, rules: &Rules) -> Self {
        self.description = match self.rule {
            Some((Stage::Filter, rule)) => rules.filters.get(rule).and_then(|r| r.description.clone()),
            Some((Stage::Map, rule)) => rules.maps.get(rule).and_then(|r| r.description.clone()),
            Some((Stage::Datasets, _)) | None => None,
        };
        self
    }

    pub(crate) fn in_formula(
        (stage, rule): (Stage, usize),
        program: &Program,
        inputs: &[Source],
        error: &EvalError,
    ) -> Self {
        let names = names(inputs);
        Self::of(stage, rule, format!("`{}`: {}", program.part(&error.range, &names), error.message))
    }
}

/// The rule, counted from 1, and the reason.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some((stage, rule)) => {
                write!(f, "{stage} rule {}", rule + 1)?;
                if let Some(description) = &self.description {
                    write!(f, " ({description})")?;
                }
                write!(f, ": {}", self.message)
            }
            None => f.write_str(&self.message),
        }
    }
}

/// The steps taken, if anybody wants to know.
pub(crate) struct Trace<'t>(Option<&'t mut Vec<Step>>);

impl Trace<'_> {
    pub(crate) fn step(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }
}

impl Transformer {
    /// Starts without memory. Until all its datasets are set, messages fail.
    pub fn new(transform: Arc<Transform>) -> Self {
        let matchers =
            transform.datasets.iter().map(|d| Err(format!("dataset `{}` was not loaded yet", d.key)));
        let (last, scratch) = Default::default();
        Self { matchers: matchers.collect(), transform, last, scratch }
    }

    /// What it runs.
    pub fn transform(&self) -> &Arc<Transform> {
        &self.transform
    }

    /// Sets or replaces the records of the datasets with that state store key. An absent key is a dataset without
    /// records.
    pub fn set_dataset(&mut self, key: &str, dataset: &Dataset) {
        let transform = &self.transform;
        for (number, (rule, matcher)) in transform.datasets.iter().zip(&mut self.matchers).enumerate() {
            if rule.key == key {
                let cells = transform.plan.as_ref().and_then(|plan| plan.cells(number, dataset));
                *matcher = Ok(Matcher::new(dataset.clone(), rule, cells));
            }
        }
    }

    /// The records of that key can't be had; messages fail for that reason until they are set.
    pub fn dataset_unavailable(&mut self, key: &str, reason: &str) {
        for (rule, matcher) in self.transform.datasets.iter().zip(&mut self.matchers) {
            if rule.key == key {
                *matcher = Err(reason.to_owned());
            }
        }
    }

    /// Decides about one message.
    pub fn apply(&mut self, message: Message<'_>) -> Outcome {
        let Self { transform, matchers, scratch, .. } = self;
        if let Some(plan) = &transform.plan
            && let Some(outcome) = fast::run(transform, plan, matchers, scratch, message)
        {
            return outcome;
        }
        self.run(message, Trace(None))
    }

    /// As [`Transformer::apply`], and what each rule did.
    pub fn explain(&mut self, message: Message<'_>) -> (Outcome, Vec<Step>) {
        let mut steps = Vec::new();
        let outcome = self.run(message, Trace(Some(&mut steps)));
        (outcome, steps)
    }

    fn run(&mut self, message: Message<'_>, trace: Trace<'_>) -> Outcome {
        if self.transform.is_empty() {
            let Message { payload, properties, .. } = message;
            return Outcome::Pass(Passed {
                payload: payload.clone(),
                topic: None,
                properties: properties.clone(),
            });
        }
        self.decide(message, trace)
            .unwrap_or_else(|failure| Outcome::Failed(failure.described(self.transform.rules())))
    }

    fn decide(&mut self, message: Message<'_>, mut trace: Trace<'_>) -> Result<Outcome, Failure> {
        let Self { transform, matchers, last, .. } = self;
        let payload = match parse_json(message.payload) {
            Ok(json @ Json::Object(_)) => json,
            Ok(_) => return Err(Failure::unplaced("the payload is not a JSON object".into())),
            Err(error) => return Err(Failure::unplaced(format!("the payload is not JSON: {error}"))),
        };
        let view = View { payload: &payload, message, records: &[] };
        let of_dataset = |source: &&Source| matches!(source.root, Root::Matched(_));
        last.remember(transform.remembered().filter(|source| !of_dataset(source)), view);
        let records = enrich(transform, matchers, Scene { view, last }, &mut trace)?;
        let view = View { records: &records, ..view };
        last.remember(transform.remembered().filter(of_dataset), view);
        let scene = Scene { view, last };
        if let Some(rule) = filter(transform, &scene, &mut trace)? {
            return Ok(Outcome::Filtered { rule });
        }
        map::run(transform, &scene, &mut trace).map(Outcome::Pass)
    }
}

/// The records that belong to the message, by dataset.
fn enrich<'m>(
    transform: &Transform,
    matchers: &'m [Result<Matcher, String>],
    scene: Scene<'_>,
    trace: &mut Trace<'_>,
) -> Result<Vec<Option<Json<'m>>>, Failure> {
    let mut records = Vec::with_capacity(matchers.len());
    for (rule, (dataset, matcher)) in transform.datasets.iter().zip(matchers).enumerate() {
        let matcher =
            matcher.as_ref().map_err(|reason| Failure::of(Stage::Datasets, rule, reason.clone()))?;
        let inputs: Vec<_> = dataset.inputs.iter().map(|source| scene.find(source, &[]).operand).collect();
        let record = matcher.find(dataset, &inputs.as_slice());
        trace.step(|| Step::Dataset { rule, name: dataset.name.clone(), record });
        records.push(record.map(|record| matcher.record(record)));
    }
    Ok(records)
}

/// The rule that stops the message, if one does.
fn filter<'m>(
    transform: &'m Transform,
    scene: &Scene<'m>,
    trace: &mut Trace<'_>,
) -> Result<Option<usize>, Failure> {
    let semantics = transform.semantics();
    for (rule, filter) in transform.filters.iter().enumerate() {
        let value = condition(rule, filter, scene, semantics.host)?;
        trace.step(|| Step::Filter { rule, value });
        let stops = match semantics.filter {
            FilterSemantics::DropWhenTrue => value == Some(true),
            FilterSemantics::PassWhenTrue => value == Some(false),
        };
        if stops {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}

/// Whether a filter's formula is true; none if the rule is skipped for want of a dataset's record.
fn condition<'m>(
    rule: usize,
    filter: &'m Filter,
    scene: &Scene<'m>,
    host: Host,
) -> Result<Option<bool>, Failure> {
    let fail = |message| Failure::of(Stage::Filter, rule, message);
    let found: Vec<_> = filter.inputs.iter().map(|source| (source, scene.find(source, &[]))).collect();
    if host == Host::Graph && found.iter().any(|(_, found)| found.unmatched) {
        return Ok(None);
    }
    for (source, found) in &found {
        let excused = source.has_stand_in() || found.unmatched;
        if found.is_missing() && !excused {
            return Err(fail(format!("`{}` is missing", source.path)));
        }
    }
    let operands: Vec<Operand<'m>> = found.iter().map(|(_, found)| found.operand).collect();
    match filter.program.eval(&operands) {
        Ok(Value::Bool(value)) => Ok(Some(value)),
        Ok(other) => Err(fail(format!("`{}` is {}, not true or false", filter.program.text(), other.kind()))),
        Err(error) => {
            Err(Failure::in_formula((Stage::Filter, rule), &filter.program, &filter.inputs, &error))
        }
    }
}
