//! Windows of data flow graphs: what becomes of many messages as one, and when it is time (*howto-dataflow-graphs-window*).
//! A window that closes by the clock is closed by whoever has the clock.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::Severity;

use crate::check::compile_window;
use crate::complaint::{SyntaxError, Warning};
use crate::input::{Host, Input, Output, parse_input, parse_output};
use crate::json::{Json, parse_json, write_object};
use crate::map::{Members, Node, put};
use crate::path::{Fields, Path};
use crate::program::Program;
use crate::rules::Part;
use crate::scene::{LastValues, Message, Scene, View};
use crate::transform::{Root, Source, names};
use crate::types::Types;
use crate::value::{Operand, Value};

/// The configuration of a window transform, as written, but for `delay`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowRules {
    /// `memory`: how many bytes of payload close the window.
    pub memory: Option<Limit>,
    /// `count`: how many messages close the window.
    pub count: Option<Limit>,
    /// `triggers`: what a message must be like to close the window; the first that is true decides.
    pub triggers: Vec<TriggerRule>,
    /// `accumulate`: what the outgoing message is made of.
    pub accumulate: Vec<AccumulateRule>,
}

/// How much a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// With that much it closes.
    pub max: NonZeroU64,
    /// Where the message that makes it that much belongs.
    pub boundary: Boundary,
}

/// `boundaryMessage`: where the message belongs that closes a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// `messageInCurrent`: to the window it closes.
    #[default]
    Current,
    /// `messageInNext`: to the window after that. The first message of a window closes none.
    Next,
}

/// One of `triggers.rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerRule {
    /// Paths of the values the formula uses.
    pub inputs: Vec<String>,
    /// `trigger`: true if the message closes the window.
    pub trigger: String,
    /// Which window the message belongs to.
    pub boundary: Boundary,
}

/// One of `accumulate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccumulateRule {
    /// Paths of the values the formula aggregates.
    pub inputs: Vec<String>,
    /// The field to write; no two rules have the same.
    pub output: String,
    /// The value, of aggregations such as `average($1)`.
    pub expression: String,
    /// For people.
    pub description: Option<String>,
}

/// The rule of a window that something is said about, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRule {
    /// One of `triggers`.
    Trigger(usize),
    /// One of `accumulate`.
    Accumulate(usize),
}

/// Something wrong with a window's rule, or worth knowing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowFinding {
    /// Which rule.
    pub rule: WindowRule,
    /// Which text of the rule; a trigger's is its expression.
    pub part: Part,
    /// An error keeps the rules from being used.
    pub severity: Severity,
    /// The bytes of that text, and what to say.
    pub error: SyntaxError,
}

/// Why a message, or the message made of a window, is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowFailure {
    /// The rule that failed; none if the message is at fault as a whole.
    pub rule: Option<WindowRule>,
    /// What the rule's author says it is for.
    pub description: Option<String>,
    /// One sentence, lower case, without a full stop.
    pub message: String,
}

/// A function over the messages of a window (*concept-dataflow-graphs-expressions*, windows).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowFunction {
    Average,
    Sum,
    Min,
    Max,
    Count,
    First,
    Last,
    RunningSum,
    RunningAvg,
    RunningMin,
    RunningMax,
    RunningCount,
    RunningFirst,
    Changed,
    Prev,
}

use WindowFunction as F;

impl WindowFunction {
    /// What it can give.
    pub(crate) fn gives(self) -> Types {
        match self {
            F::Average | F::Sum | F::RunningSum | F::RunningAvg => Types::FLOAT,
            F::Min | F::Max => Types::NUMBER,
            F::Count | F::RunningCount => Types::INT,
            F::Changed => Types::BOOL,
            F::First | F::Last | F::RunningMin | F::RunningMax | F::RunningFirst | F::Prev => Types::ANY,
        }
    }
}

/// The functions of accumulate rules. `min` and `max` of anything but one input are the ordinary ones.
const AGGREGATIONS: &[(&str, F)] = &[
    ("average", F::Average),
    ("sum", F::Sum),
    ("min", F::Min),
    ("max", F::Max),
    ("count", F::Count),
    ("first", F::First),
    ("last", F::Last),
];

/// The functions of triggers, over the messages before this one.
const RUNNING: &[(&str, F)] = &[
    ("running_sum", F::RunningSum),
    ("running_avg", F::RunningAvg),
    ("running_min", F::RunningMin),
    ("running_max", F::RunningMax),
    ("running_count", F::RunningCount),
    ("first", F::RunningFirst),
    ("changed", F::Changed),
    ("prev", F::Prev),
];

/// Which formulas of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// An accumulate rule's: over a window that has closed.
    Window,
    /// A trigger's: over the messages so far.
    MessagesSoFar,
}

impl Over {
    fn functions(self) -> &'static [(&'static str, F)] {
        match self {
            Over::Window => AGGREGATIONS,
            Over::MessagesSoFar => RUNNING,
        }
    }

    pub(crate) fn function(self, name: &str) -> Option<F> {
        self.functions().iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }
}

/// A call of a window function in a formula; which input it is about, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: F,
    pub(crate) input: Option<usize>,
}

impl Call {
    fn shown(self, over: Over, inputs: &[String]) -> String {
        let name = over.functions().iter().find(|(_, f)| *f == self.function).map_or("", |(name, _)| name);
        let input = self.input.and_then(|input| inputs.get(input));
        format!("{name}({})", input.map_or("", String::as_str))
    }
}

/// A rule of a window, compiled. The values of the calls are inputs of the program, behind the rule's own.
#[derive(Debug)]
struct Rule {
    over: Over,
    inputs: Vec<Source>,
    program: Program,
    calls: Vec<Call>,
}

/// The rules of a window, read and checked.
#[derive(Debug)]
pub struct Window {
    rules: WindowRules,
    triggers: Vec<Rule>,
    accumulate: Vec<(Rule, Fields)>,
}

impl Window {
    /// Reads and checks rules.
    ///
    /// # Errors
    /// The findings, warnings included, if one of them is an error.
    pub fn compile(rules: WindowRules) -> Result<(Self, Vec<WindowFinding>), Vec<WindowFinding>> {
        let mut findings = Vec::new();
        let mut triggers = Vec::new();
        for (i, rule) in rules.triggers.iter().enumerate() {
            let mut compiler = Compiler { rule: WindowRule::Trigger(i), findings: &mut findings };
            triggers.extend(compiler.rule(Over::MessagesSoFar, &rule.inputs, &rule.trigger));
        }
        let mut accumulate: Vec<(Rule, Fields)> = Vec::new();
        for (i, rule) in rules.accumulate.iter().enumerate() {
            let mut compiler = Compiler { rule: WindowRule::Accumulate(i), findings: &mut findings };
            let output = compiler.output(&rule.output);
            if rules.accumulate[..i].iter().any(|other| other.output == rule.output) {
                let error = SyntaxError::new(0..rule.output.len(), "another rule writes this field");
                compiler.error(Part::Output, error);
            }
            let compiled = compiler.rule(Over::Window, &rule.inputs, &rule.expression);
            accumulate.extend(compiled.zip(output));
        }
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(findings);
        }
        Ok((Self { rules, triggers, accumulate }, findings))
    }
}

struct Compiler<'a> {
    rule: WindowRule,
    findings: &'a mut Vec<WindowFinding>,
}

impl Compiler<'_> {
    fn error(&mut self, part: Part, error: SyntaxError) {
        self.findings.push(WindowFinding { rule: self.rule, part, severity: Severity::Error, error });
    }

    fn warn(&mut self, part: Part, warnings: Vec<Warning>) {
        for Warning { range, message, help } in warnings {
            let error = SyntaxError { range, message, help };
            self.findings.push(WindowFinding { rule: self.rule, part, severity: Severity::Warning, error });
        }
    }

    fn rule(&mut self, over: Over, inputs: &[String], formula: &str) -> Option<Rule> {
        let sources: Vec<_> =
            inputs.iter().enumerate().map(|(i, text)| self.input(Part::Input(i), over, text)).collect();
        match compile_window(formula, inputs.len(), over) {
            Ok((program, calls, warnings)) => {
                self.warn(Part::Expression, warnings);
                Some(Rule { over, inputs: sources.into_iter().collect::<Option<_>>()?, program, calls })
            }
            Err(errors) => {
                errors.into_iter().for_each(|error| self.error(Part::Expression, error));
                None
            }
        }
    }

    fn input(&mut self, part: Part, over: Over, text: &str) -> Option<Source> {
        let whole = 0..text.len();
        let (Input { path, last, default }, warnings) = match parse_input(text, Host::Graph) {
            Ok(read) => read,
            Err(error) => {
                self.error(part, error);
                return None;
            }
        };
        self.warn(part, warnings);
        let suffixed = last || default.is_some();
        let (root, wrong) = match &path {
            path if path.has_wildcard() => (Root::Message, Some("no `*` in a window's rule")),
            Path::Context(_) | Path::Dataset { .. } => (Root::Message, Some("no dataset in a window's rule")),
            Path::Metadata(_) if over == Over::Window => {
                (Root::Metadata, Some("no metadata in an accumulate rule"))
            }
            _ if suffixed && over == Over::Window => {
                (Root::Message, Some("no `? $last` and no `??` in an accumulate rule"))
            }
            Path::Metadata(_) => (Root::Metadata, None),
            Path::Source(_) => (Root::Message, None),
        };
        match wrong {
            Some(message) => {
                self.error(part, SyntaxError::new(whole, message).help("name a field of the message"));
                None
            }
            None => Some(Source { path, root, last, default }),
        }
    }

    fn output(&mut self, text: &str) -> Option<Fields> {
        match parse_output(text, Host::Graph) {
            Ok((Output::Field(fields), warnings)) if fields.wildcard().is_none() => {
                self.warn(Part::Output, warnings);
                Some(fields)
            }
            Ok(_) => {
                let error =
                    SyntaxError::new(0..text.len(), "an accumulate rule writes a field of the new message");
                self.error(Part::Output, error.help("name the field"));
                None
            }
            Err(error) => {
                self.error(Part::Output, error);
                None
            }
        }
    }
}

/// A value, or why a formula can't have it.
type Known = Result<Value<'static>, &'static str>;

/// What is known of one input over the messages of a window. Missing values leave no trace.
#[derive(Debug, Default)]
struct Tally {
    values: u64,
    numbers: u64,
    sum: f64,
    min: Option<Value<'static>>,
    max: Option<Value<'static>>,
    first: Option<Known>,
    last: Option<Known>,
}

impl Tally {
    fn add(&mut self, operand: Operand<'_>) {
        if operand.is_missing() {
            return;
        }
        self.values += 1;
        let value = operand.value().map(Value::into_owned);
        if let Ok(number @ (Value::Int(_) | Value::Float(_))) = &value {
            self.numbers += 1;
            self.sum += number.to_float().unwrap_or_default();
            for (best, wanted) in [(&mut self.min, -1), (&mut self.max, 1)] {
                let better = |best: &Value<'_>| number.compare(best).is_some_and(|o| o as i8 == wanted);
                if best.as_ref().is_none_or(better) {
                    *best = Some(number.clone());
                }
            }
        }
        if self.first.is_none() {
            self.first = Some(value.clone());
        }
        self.last = Some(value);
    }

    #[expect(clippy::cast_precision_loss, reason = "the mean is a float")]
    fn mean(&self) -> Option<f64> {
        (self.numbers > 0).then(|| self.sum / self.numbers as f64)
    }

    /// What a function gives; `now` is what the input finds in this message.
    fn value(&self, function: F, now: Operand<'_>) -> Known {
        const NO_NUMBERS: &str = "there is no number in the window";
        const NOTHING: &str = "there is no value in the window";
        let now = || now.value().map(Value::into_owned);
        let count = |n: u64| Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        match function {
            F::Average => self.mean().map(Value::Float).ok_or(NO_NUMBERS),
            F::RunningAvg => Ok(Value::Float(self.mean().unwrap_or(0.0))),
            F::Sum | F::RunningSum => Ok(Value::Float(self.sum)),
            F::Min => self.min.clone().ok_or(NO_NUMBERS),
            F::Max => self.max.clone().ok_or(NO_NUMBERS),
            F::RunningMin => self.min.clone().map_or_else(now, Ok),
            F::RunningMax => self.max.clone().map_or_else(now, Ok),
            F::Count | F::RunningCount => count(self.values),
            F::First => self.first.clone().unwrap_or(Err(NOTHING)),
            F::Last => self.last.clone().unwrap_or(Err(NOTHING)),
            F::RunningFirst => self.first.clone().unwrap_or_else(now),
            F::Prev => self.last.clone().unwrap_or_else(now),
            F::Changed => match (&self.last, now()?) {
                (None, _) | (_, Value::Empty) => Ok(Value::Bool(false)),
                (Some(last), now) => Ok(Value::Bool(!last.clone()?.equals(&now))),
            },
        }
    }
}

impl Rule {
    fn eval(
        &self,
        tallies: &[Tally],
        messages: u64,
        found: &[Operand<'_>],
    ) -> Result<Value<'static>, String> {
        let values: Vec<Known> =
            self.calls
                .iter()
                .map(|call| match call.input {
                    Some(input) => tallies[input]
                        .value(call.function, found.get(input).copied().unwrap_or(Operand::Missing)),
                    None => Ok(Value::Int(i64::try_from(messages).unwrap_or(i64::MAX))),
                })
                .collect();
        let mut operands = found.to_vec();
        operands.resize(self.inputs.len(), Operand::Missing);
        operands.extend(values.iter().map(Operand::Computed));
        self.program.eval(&operands).map(Value::into_owned).map_err(|error| {
            let mut shown = names(&self.inputs);
            let calls: Vec<_> = self.calls.iter().map(|call| call.shown(self.over, &shown)).collect();
            shown.extend(calls);
            format!("`{}`: {}", self.program.part(&error.range, &shown), error.message)
        })
    }

    fn tallies(&self) -> Vec<Tally> {
        self.inputs.iter().map(|_| Tally::default()).collect()
    }

    fn add(&self, tallies: &mut [Tally], scene: &Scene<'_>) {
        for (source, tally) in self.inputs.iter().zip(tallies) {
            tally.add(scene.view.find(source, &[]).operand);
        }
    }
}

/// A [`Window`] that fills.
#[derive(Debug)]
pub struct Windower {
    window: Arc<Window>,
    last: LastValues,
    /// Of the messages in it.
    messages: u64,
    bytes: u64,
    triggers: Vec<Vec<Tally>>,
    accumulate: Vec<Vec<Tally>>,
}

impl Windower {
    /// Starts with an empty window.
    pub fn new(window: Arc<Window>) -> Self {
        let mut windower = Self {
            window,
            last: LastValues::default(),
            messages: 0,
            bytes: 0,
            triggers: Vec::new(),
            accumulate: Vec::new(),
        };
        windower.reset();
        windower
    }

    fn reset(&mut self) {
        (self.messages, self.bytes) = (0, 0);
        self.triggers = self.window.triggers.iter().map(Rule::tallies).collect();
        self.accumulate = self.window.accumulate.iter().map(|(rule, _)| rule.tallies()).collect();
    }

    /// Takes a message into the window, and gives what [`Windower::close`] gives if that closes it.
    ///
    /// # Errors
    /// The message is no JSON object, or a trigger has no value for it: it is in no window.
    pub fn push(
        &mut self,
        message: Message<'_>,
    ) -> Result<Option<Result<Bytes, WindowFailure>>, WindowFailure> {
        let payload = match parse_json(message.payload) {
            Ok(json @ Json::Object(_)) => json,
            Ok(_) => return Err(WindowFailure::unplaced("the payload is not a JSON object".into())),
            Err(error) => return Err(WindowFailure::unplaced(format!("the payload is not JSON: {error}"))),
        };
        let window = Arc::clone(&self.window);
        let view = View { payload: &payload, message, records: &[] };
        let remembered = window.triggers.iter().flat_map(|rule| &rule.inputs).filter(|source| source.last);
        self.last.remember(remembered, view);
        let last = std::mem::take(&mut self.last);
        let scene = Scene { view, last: &last };
        let closed = self.take(&window, &scene);
        self.last = last;
        closed
    }

    fn take(
        &mut self,
        window: &Window,
        scene: &Scene<'_>,
    ) -> Result<Option<Result<Bytes, WindowFailure>>, WindowFailure> {
        let size = u64::try_from(scene.view.message.payload.len()).unwrap_or(u64::MAX);
        let boundary = self.boundary(window, size, scene)?;
        // there is no window before this message to be closed
        let mut closed = if boundary == Some(Boundary::Next) { self.close() } else { None };
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(size);
        for (rule, tallies) in window.triggers.iter().zip(&mut self.triggers) {
            rule.add(tallies, scene);
        }
        for ((rule, _), tallies) in window.accumulate.iter().zip(&mut self.accumulate) {
            rule.add(tallies, scene);
        }
        if boundary == Some(Boundary::Current) {
            closed = self.close();
        }
        Ok(closed)
    }

    /// Whether the message closes the window: by bytes, else by count, else by a trigger.
    fn boundary(
        &self,
        window: &Window,
        size: u64,
        scene: &Scene<'_>,
    ) -> Result<Option<Boundary>, WindowFailure> {
        let reached = |limit: Option<Limit>, now: u64| limit.filter(|limit| now >= limit.max.get());
        let limit = reached(window.rules.memory, self.bytes.saturating_add(size))
            .or_else(|| reached(window.rules.count, self.messages + 1));
        if let Some(limit) = limit {
            return Ok(Some(limit.boundary));
        }
        for (i, (rule, tallies)) in window.triggers.iter().zip(&self.triggers).enumerate() {
            let fail = |message| WindowFailure {
                rule: Some(WindowRule::Trigger(i)),
                ..WindowFailure::unplaced(message)
            };
            let found: Vec<_> = rule.inputs.iter().map(|source| scene.find(source, &[]).operand).collect();
            match rule.eval(tallies, self.messages, &found).map_err(fail)? {
                Value::Bool(true) => return Ok(Some(window.rules.triggers[i].boundary)),
                Value::Bool(false) => {}
                other => {
                    let text = rule.program.text();
                    return Err(fail(format!("`{text}` is {}, not true or false", other.kind())));
                }
            }
        }
        Ok(None)
    }

    /// Closes the window and gives the payload of the message made of it, or why there is none; `None` if no message
    /// is in it.
    pub fn close(&mut self) -> Option<Result<Bytes, WindowFailure>> {
        if self.messages == 0 {
            return None;
        }
        let window = Arc::clone(&self.window);
        let result = self.accumulated(&window);
        self.reset();
        Some(result)
    }

    fn accumulated(&self, window: &Window) -> Result<Bytes, WindowFailure> {
        let mut members = Members::new();
        for (i, ((rule, output), tallies)) in window.accumulate.iter().zip(&self.accumulate).enumerate() {
            let fail = |message: String| WindowFailure {
                rule: Some(WindowRule::Accumulate(i)),
                description: window.rules.accumulate[i].description.clone(),
                message,
            };
            let value = rule.eval(tallies, self.messages, &[]).map_err(fail)?;
            value
                .check_finite()
                .map_err(|_| fail("the result is infinite or not a number, which JSON can't say".into()))?;
            put(&mut members, output, &[], Node::Computed(value));
        }
        let mut payload = Vec::new();
        write_object(&members, &mut payload, Node::write);
        Ok(payload.into())
    }
}

impl WindowFailure {
    fn unplaced(message: String) -> Self {
        Self { rule: None, description: None, message }
    }
}

/// The rule, counted from 1, and the reason.
impl fmt::Display for WindowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(WindowRule::Trigger(i)) => write!(f, "trigger rule {}", i + 1)?,
            Some(WindowRule::Accumulate(i)) => write!(f, "accumulate rule {}", i + 1)?,
            None => return f.write_str(&self.message),
        }
        if let Some(description) = &self.description {
            write!(f, " ({description})")?;
        }
        write!(f, ": {}", self.message)
    }
}
