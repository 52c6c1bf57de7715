//! `*.test.yaml`: the test cases people write beside their data flows. Text to typed; what is done with them, and
//! whether the files they name are there, is somebody else's.

use tidegate_core::{Diagnostic, FileId, Parsed, Severity, Span};

use crate::codes;
use crate::field::{Read, object, one_of, read_choice, wrong_type};
use crate::node::{Entry, Node, Text, Value, span};
use crate::problems::{Problems, error};
use crate::value::{Filled, Raw, Spanned};
use crate::yaml;

/// One document of a test file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The data flow under test; may be left out where the resources hold one only.
    pub flow: Option<Text>,
    /// Its namespace, where the name is in several.
    pub namespace: Option<Text>,
    /// Files and folders with the resources, relative to the test file's folder; that folder if there are none.
    pub resources: Vec<Text>,
    /// By state store key.
    pub datasets: Vec<Dataset>,
    /// What is tried.
    pub cases: Vec<Case>,
    /// Where to point when something is said about the whole.
    pub at: Span,
}

/// Records to enrich messages with.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// In the state store.
    pub key: String,
    /// Where the key stands.
    pub key_at: Span,
    /// What stands there.
    pub records: Records,
}

/// Where the records of a dataset are.
#[derive(Clone, Debug)]
pub enum Records {
    /// In the test file; here as JSON Lines.
    Here(String),
    /// In a file of JSON Lines, relative to the test file's folder.
    File(Text),
}

/// One case: a flow without memory, and messages one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: Text,
    /// At least one.
    pub steps: Vec<Step>,
}

/// One message and what is to become of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The message.
    pub input: Entry,
    /// What is to become of it, unless nobody has said yet.
    pub expect: Option<Expect>,
}

/// What is to become of a message.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The key `expect` and all that is expected.
    pub entry: Entry,
    /// Whether the message is to come out.
    pub fate: Fate,
}

/// Whether a message comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does.
    Passed,
    /// A filter drops it.
    Filtered,
    /// It can't be processed.
    Failed {
        /// Words that stand in the reason.
        reason: Option<String>,
    },
}

object! {
    /// One document of a test file.
    pub(crate) struct SuiteFields {
        /// The data flow under test; may be left out where the resources hold one only.
        flow "flow": optional Filled;
        /// Its namespace, where the name is in several.
        namespace "namespace": optional Filled;
        /// Files and folders with the resources, relative to this file; else the folder that this file is in.
        resources "resources": optional Vec<Filled>;
        /// Records to enrich messages with, by state store key: a list of objects, or a file of JSON Lines.
        datasets "datasets": optional Datasets;
        /// What is tried. Each case begins with a flow that has seen no message yet.
        cases "cases": required Spanned<Vec<CaseFields>>;
    }
}

object! {
    /// One of `cases`.
    pub(crate) struct CaseFields {
        /// What the case shows.
        name "name": required Filled;
        /// A message.
        input "input": depends Message;
        /// What becomes of it.
        expect "expect": optional Expected;
        /// Several messages, one after the other, instead of `input` and `expect`.
        steps "steps": depends Spanned<Vec<StepFields>>;
    }
}

object! {
    /// One of `steps`.
    pub(crate) struct StepFields {
        /// A message.
        _input "input": required Message;
        /// What becomes of it.
        expect "expect": optional Expected;
    }
}

object! {
    /// A message, in the form that `tidegate transform --format message` reads.
    struct MessageFields {
        /// The topic; else the first data source of the flow that holds no wildcard.
        _topic "topic": optional Raw;
        /// The payload.
        _payload "payload": optional Json;
        /// A payload that is no JSON.
        _payload_base64 "payloadBase64": optional Raw;
        /// An object of texts, or pairs of texts where names repeat.
        _user_properties "userProperties": optional Json;
        /// Headers of a Kafka message; the same as `userProperties`.
        _headers "headers": optional Json;
        /// MQTT Content Type.
        _content_type "contentType": optional Raw;
        /// MQTT Response Topic.
        _response_topic "responseTopic": optional Raw;
        /// MQTT Correlation Data.
        _correlation_data "correlationDataBase64": optional Raw;
        /// MQTT Payload Format Indicator, 0 or 1.
        _payload_format_indicator "payloadFormatIndicator": optional Json;
        /// MQTT Message Expiry Interval, in seconds.
        _message_expiry_interval "messageExpiryInterval": optional Json;
        /// The MQTT retain flag.
        _retain "retain": optional bool;
        /// The key of a Kafka record.
        _key "keyBase64": optional Raw;
        /// The time of a Kafka record, RFC 3339.
        _timestamp "timestamp": optional Raw;
        ignored "stage";
    }
}

object! {
    /// `expect`. Only what is named is compared.
    struct ExpectFields {
        /// That nothing comes out: `filter`, a filter drops the message; `error`, it can't be processed.
        dropped "dropped": optional Spanned<Dropped>;
        /// With `dropped: error`: words that stand in the reason.
        reason "reason": optional Filled;
        /// The payload. The order of members makes no difference, nor how a number is written.
        payload "payload": optional Json;
        /// A payload that is no JSON.
        payload_base64 "payloadBase64": optional Raw;
        /// The topic it goes to.
        _topic "topic": optional Raw;
        /// An object: those user properties, null for one that must not be there, a list for one that stands several
        /// times. Pairs: exactly those.
        _user_properties "userProperties": optional Properties;
        /// The content type, null for none.
        _content_type "contentType": optional TextOrNull;
    }
}

/// Any JSON value, null included.
#[derive(Clone, Debug)]
struct Json;

impl Read for Json {
    const TAKES_NULL: bool = true;

    fn wants() -> String {
        "any JSON value".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Number(number) if number.integer.is_none() => {
                if number.text.parse::<f64>().is_ok_and(f64::is_finite) {
                    return Some(Self);
                }
                let message = format!("JSON can't write the number {}", number.text);
                problems.push(error(codes::BAD_CASE, node.span, message));
                None
            }
            Value::List(items) => {
                items.iter().map(|item| Self::read(item, item.span, problems)).fold(Some(Self), Option::and)
            }
            Value::Map(entries) => entries
                .iter()
                .map(|e| Self::read(&e.value, e.key_span, problems))
                .fold(Some(Self), Option::and),
            _ => Some(Self),
        }
    }
}

/// Text, or null for what must not be there.
#[derive(Clone, Debug)]
struct TextOrNull;

impl Read for TextOrNull {
    const TAKES_NULL: bool = true;

    fn wants() -> String {
        "text or null".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        match node.value {
            Value::Null | Value::String(_) => Some(Self),
            _ => {
                wrong_type(node, &Self::wants(), problems);
                None
            }
        }
    }
}

/// User properties as they are expected.
#[derive(Clone, Debug)]
struct Properties;

impl Read for Properties {
    fn wants() -> String {
        "an object of texts, or pairs of texts".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let read: Vec<_> = match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|entry| match &entry.value.value {
                    Value::List(_) => Vec::<Raw>::read(&entry.value, entry.key_span, problems).map(|_| Self),
                    _ => TextOrNull::read(&entry.value, entry.key_span, problems).map(|_| Self),
                })
                .collect(),
            Value::List(pairs) => pairs
                .iter()
                .map(|pair| match Vec::<Raw>::read(pair, pair.span, problems) {
                    Some(texts) if texts.len() != 2 => {
                        wrong_type(pair, "a pair, `[name, value]`", problems);
                        None
                    }
                    texts => texts.map(|_| Self),
                })
                .collect(),
            _ => {
                wrong_type(node, &Self::wants(), problems);
                return None;
            }
        };
        read.into_iter().fold(Some(Self), Option::and)
    }
}

/// A message whose fields are known ones. What they say is for whoever makes a record of it.
#[derive(Clone, Debug)]
pub(crate) struct Message;

impl Read for Message {
    fn wants() -> String {
        MessageFields::wants()
    }

    fn table() -> Option<&'static crate::field::Table> {
        MessageFields::table()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        let fields = MessageFields::read(node, at, problems)?;
        (!fields.flawed).then_some(Self)
    }
}

/// What is expected. How it is compared is for whoever has the other side.
#[derive(Clone, Debug)]
pub(crate) struct Expected(Fate);

impl Read for Expected {
    fn wants() -> String {
        ExpectFields::wants()
    }

    fn table() -> Option<&'static crate::field::Table> {
        ExpectFields::table()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        let fields = ExpectFields::read(node, at, problems)?;
        let mut said = fields.flawed;
        let mut complain = |at, message: &str| {
            problems.push(error(codes::BAD_CASE, at, message));
            said = true;
        };
        let reason_at = fields.reason.as_ref().map(|reason| reason.0.span());
        let fate = match fields.dropped.map(|dropped| dropped.value) {
            None => Fate::Passed,
            Some(Dropped::Filter) => Fate::Filtered,
            Some(Dropped::Error) => Fate::Failed { reason: fields.reason.map(|r| r.0.as_str().to_owned()) },
        };
        if let (Some(at), Fate::Passed | Fate::Filtered) = (reason_at, &fate) {
            complain(at, "`reason` goes with `dropped: error` only");
        }
        if fate != Fate::Passed {
            let of_a_message = |e: &&Entry| !["dropped", "reason"].contains(&e.key.as_str());
            if let Some(entry) = node.entries().iter().find(of_a_message) {
                complain(entry.key_span, "of a message that is dropped nothing else can be expected");
            }
        }
        if fields.payload.is_some()
            && let Some(other) = &fields.payload_base64
        {
            complain(other.0.span(), "a message has `payload` or `payloadBase64`, not both");
        }
        (!said).then_some(Self(fate))
    }
}

#[derive(Clone, Copy, Debug)]
enum Dropped {
    Filter,
    Error,
}

impl Read for Dropped {
    fn wants() -> String {
        one_of(&["filter", "error"])
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        read_choice(node, &[("filter", Dropped::Filter), ("error", Dropped::Error)], &[], problems)
    }
}

/// Datasets by their keys.
#[derive(Clone, Debug)]
pub(crate) struct Datasets(Vec<Dataset>);

impl Read for Datasets {
    fn wants() -> String {
        "an object of lists or file names".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wrong_type(node, &Self::wants(), problems);
            return None;
        };
        let datasets: Vec<_> = entries.iter().map(|entry| dataset(entry, problems)).collect();
        datasets.into_iter().collect::<Option<_>>().map(Self)
    }
}

fn dataset(entry: &Entry, problems: &mut Problems) -> Option<Dataset> {
    let records = match &entry.value.value {
        Value::String(file) => Records::File(file.clone()),
        Value::List(items) => {
            let mut lines = String::new();
            let mut complete = true;
            for item in items {
                if !matches!(item.value, Value::Map(_)) {
                    wrong_type(item, "an object, as a record is one", problems);
                    complete = false;
                }
                complete &= Json::read(item, item.span, problems).is_some();
                lines.push_str(&item.to_json());
                lines.push('\n');
            }
            if !complete {
                return None;
            }
            Records::Here(lines)
        }
        _ => {
            wrong_type(&entry.value, "a list of objects, or the name of a file of JSON Lines", problems);
            return None;
        }
    };
    Some(Dataset { key: entry.key.clone(), key_at: entry.key_span, records })
}

/// Reads a test file: a suite for each of its documents. One with an error in it is left out.
pub fn parse(file: FileId, text: &str) -> Parsed<Vec<Suite>> {
    let mut problems = Problems::default();
    let documents = yaml::parse(file, text, &mut problems);
    let suites: Vec<_> = documents
        .iter()
        .filter_map(|node| {
            let fields = SuiteFields::read(node, node.head(), &mut problems)?;
            Some((node.span, suite(fields, node, &mut problems)?))
        })
        .collect();
    if documents.is_empty() && problems.errors() == 0 {
        let message = "there are no test cases in this file";
        problems.push(error(codes::BAD_CASE, span(file, 0..0), message));
    }
    let mut diagnostics = problems.into_sorted();
    for diagnostic in &mut diagnostics {
        // In a resource the product drops what it doesn't know; a test that doesn't compare what it was meant to is wrong.
        if diagnostic.code == codes::UNKNOWN_FIELD {
            diagnostic.severity = Severity::Error;
        }
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let errors: Vec<Span> = errors.filter_map(Diagnostic::span).collect();
    let wrong = |whole: &Span| errors.iter().any(|e| whole.start <= e.start && e.start <= whole.end);
    let suites = suites.into_iter().filter(|(whole, _)| !wrong(whole)).map(|(_, suite)| suite);
    Parsed { value: suites.collect(), diagnostics }
}

fn suite(fields: SuiteFields, node: &Node, problems: &mut Problems) -> Option<Suite> {
    let cases = fields.cases?;
    if cases.value.is_empty() {
        problems.push(error(codes::BAD_CASE, cases.span, "there are no cases here"));
    }
    let nodes = node.get("cases").map_or(&[][..], items);
    let read: Vec<_> = cases
        .value
        .into_iter()
        .zip(nodes)
        .filter_map(|(fields, node)| case(fields, node, problems))
        .collect();
    Some(Suite {
        flow: fields.flow.map(|f| f.0),
        namespace: fields.namespace.map(|n| n.0),
        resources: fields.resources.unwrap_or_default().into_iter().map(|r| r.0).collect(),
        datasets: fields.datasets.map_or(vec![], |d| d.0),
        cases: read,
        at: node.head(),
    })
}

fn case(fields: CaseFields, node: &Node, problems: &mut Problems) -> Option<Case> {
    let steps = match (fields.input, fields.steps) {
        (Some(Message), None) => step(fields.expect, node).into_iter().collect(),
        (None, Some(steps)) => {
            if steps.value.is_empty() {
                problems.push(error(codes::BAD_CASE, steps.span, "there are no steps here"));
            }
            if let Some(expect) = node.entry("expect") {
                let message = "with `steps`, each step has its own `expect`";
                problems.push(error(codes::BAD_CASE, expect.key_span, message));
            }
            let nodes = node.get("steps").map_or(&[][..], items);
            steps
                .value
                .into_iter()
                .zip(nodes)
                .filter_map(|(fields, node)| step(fields.expect, node))
                .collect()
        }
        (Some(Message), Some(steps)) => {
            problems.push(error(codes::BAD_CASE, steps.span, "a case has `input` or `steps`, not both"));
            return None;
        }
        (None, None) => {
            if !fields.flawed {
                let problem = error(codes::BAD_CASE, fields.at, "this case has no message");
                problems.push(problem.help("write it under `input`, or several under `steps`"));
            }
            return None;
        }
    };
    Some(Case { name: fields.name?.0, steps })
}

fn items(node: &Node) -> &[Node] {
    if let Value::List(items) = &node.value { items } else { &[] }
}

/// What was read, with the entries it was read from; `None` if the message was complained about.
fn step(expected: Option<Expected>, node: &Node) -> Option<Step> {
    let entry = |key| node.entry(key).cloned();
    let expect = expected.and_then(|Expected(fate)| Some(Expect { entry: entry("expect")?, fate }));
    Some(Step { input: entry("input")?, expect })
}
