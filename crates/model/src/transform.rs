//! `builtInTransformationSettings`: datasets, filters and map rules. What is in a rule is `tidegate-expr`'s business;
//! here it is taken out of the resource, and the complaints are brought back to their places.

use std::sync::Arc;

use tidegate_core::{Code, Diagnostic, Span};
use tidegate_expr::{
    DatasetRule, FilterRule, FilterSemantics, Finding, MapRule, Part, Rules, Semantics, Stage,
};

use crate::codes;
use crate::field::{Read, TEXT, choice, object, text};
use crate::names::SchemaRef;
use crate::node::{Node, Text, Value};
use crate::problems::{Problems, error, note, warning};
use crate::schema::DeltaField;
use crate::value::{Filled, Given, Raw, Short};

/// A transformation that does something.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// `datasets`, `filter` and `map`, compiled.
    pub rules: Arc<tidegate_expr::Transform>,
    /// `serializationFormat`.
    pub format: SerializationFormat,
    /// `schemaRef`.
    pub schema: Option<SchemaRef>,
    /// The columns that the schema declares, if the output is Delta or Parquet.
    pub columns: Option<Arc<[DeltaField]>>,
}

impl Transform {
    /// Whether there is a rule, or output that isn't what came in.
    pub(crate) fn does_something(&self) -> bool {
        let rules = self.rules.rules();
        !(rules.datasets.is_empty() && rules.filters.is_empty() && rules.maps.is_empty())
            || self.format != SerializationFormat::Json
            || self.schema.is_some()
    }
}

/// `serializationFormat` of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum SerializationFormat {
    Json,
    Parquet,
    Delta,
}
choice!(SerializationFormat { Json, Parquet, Delta });

/// `map[].type`, a label for user interfaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MapType {
    NewProperties,
    Rename,
    Compute,
    PassThrough,
    BuiltInFunction,
}
choice!(MapType { NewProperties, Rename, Compute, PassThrough, BuiltInFunction });

/// `filter[].type`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FilterType {
    Filter,
}
choice!(FilterType { Filter });

/// `map[].output`: a null is an empty output, which removes what the inputs name.
#[derive(Clone, Debug)]
pub(crate) struct OutputText(Text);

impl Read for OutputText {
    const TAKES_NULL: bool = true;

    fn wants() -> String {
        TEXT.into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Null => Some(Self(Text::new("", node.span, None))),
            _ => text(node, TEXT, problems).cloned().map(Self),
        }
    }
}

object! {
    /// `builtInTransformationSettings`.
    pub(crate) struct TransformFields {
        /// The format of what comes out.
        format "serializationFormat": default Given<SerializationFormat> = SerializationFormat::Json;
        /// The schema of what comes out, `aio-sr://<namespace>/<name>:<version>`; storage destinations need it.
        schema "schemaRef": optional Raw;
        /// Records that enrich the message.
        datasets "datasets": optional Vec<DatasetFields>;
        /// Which messages go on.
        filter "filter": optional Vec<FilterFields>;
        /// What the message becomes; without rules it stays as it is.
        map "map": optional Vec<MapFields>;
    }
}

object! {
    /// One of `datasets`.
    pub(crate) struct DatasetFields {
        /// The key in the state store, perhaps with an alias: `<key> as <alias>`.
        key "key": required Short<64>;
        /// Fields of the message, `$source.<path>`, and of the record, `$context.<path>`.
        inputs "inputs": required Vec<Raw>;
        /// When a record belongs to the message.
        expression "expression": required Filled;
        /// The schema of the records.
        schema "schemaRef": optional Raw;
        /// A note for people.
        _description "description": optional Short<256>;
    }
}

object! {
    /// One of `filter`.
    pub(crate) struct FilterFields {
        /// A label for user interfaces.
        _type "type": default FilterType = FilterType::Filter;
        /// Fields of the message.
        inputs "inputs": required Vec<Raw>;
        /// True or false of a message.
        expression "expression": required Raw;
        /// A note for people.
        description "description": optional Short<256>;
    }
}

object! {
    /// One of `map`.
    pub(crate) struct MapFields {
        /// A label for user interfaces.
        _type "type": optional MapType;
        /// Fields of the message.
        inputs "inputs": required Vec<Raw>;
        /// The field to write; empty removes what the inputs name from the result of earlier rules.
        output "output": required OutputText;
        /// Makes the value from the inputs `$1`, `$2` and so on; without it the input is copied.
        expression "expression": optional Raw;
        /// A note for people.
        description "description": optional Short<256>;
    }
}

/// A transformation as read, with what later checks need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct TransformDraft {
    /// `None` if a rule is wrong.
    pub(crate) transform: Option<Transform>,
    pub(crate) format: Given<SerializationFormat>,
    pub(crate) at: Span,
    pub(crate) schema: Option<Text>,
    pub(crate) dataset_schemas: Vec<Text>,
    /// The outputs of the map, in order.
    pub(crate) outputs: Vec<Text>,
}

/// Where the parts of a rule stand.
struct Places {
    rule: Span,
    key: Option<Text>,
    inputs: Vec<Text>,
    output: Option<Text>,
    expression: Option<Text>,
}

/// Reads the rules. `manifest` tells a Kubernetes manifest, which may have several datasets, from an ARM resource.
pub(crate) fn parse(
    fields: TransformFields,
    filter: FilterSemantics,
    manifest: bool,
    problems: &mut Problems,
) -> TransformDraft {
    let (mut rules, mut complete) = (Rules::default(), true);
    let (mut datasets, mut filters, mut maps) = (vec![], vec![], vec![]);
    let dataset_fields = fields.datasets.unwrap_or_default();
    if let [_, second, ..] = dataset_fields.as_slice() {
        let make = if manifest { warning } else { error };
        problems.push(make(codes::BAD_DATASET, second.at, "the product's API takes one dataset at most"));
    }
    let dataset_schemas = dataset_fields.iter().filter_map(|d| filled(d.schema.as_ref())).collect();
    for dataset in dataset_fields {
        complete &= dataset.inputs.is_some() && dataset.expression.is_some();
        let Some(Short(key)) = dataset.key else { continue };
        let inputs = texts(dataset.inputs);
        for input in &inputs {
            check_dataset_input(input, problems);
        }
        let expression = dataset.expression.map(|e| e.0);
        rules.datasets.push(DatasetRule {
            key: key.as_str().to_owned(),
            inputs: strings(&inputs),
            // What is missing was complained about; the dataset is still one that other rules may name.
            expression: Some(expression.as_ref().map_or("true", Text::as_str).to_owned()),
        });
        datasets.push(Places { rule: dataset.at, key: Some(key), inputs, output: None, expression });
    }
    for rule in fields.filter.unwrap_or_default() {
        let (Some(inputs), Some(Raw(expression))) = (rule.inputs, rule.expression) else {
            complete = false;
            continue;
        };
        let inputs = texts(Some(inputs));
        rules.filters.push(FilterRule {
            inputs: strings(&inputs),
            expression: expression.as_str().to_owned(),
            description: rule.description.map(|d| d.0.as_str().to_owned()),
        });
        filters.push(Places { rule: rule.at, key: None, inputs, output: None, expression: Some(expression) });
    }
    for rule in fields.map.unwrap_or_default() {
        let (Some(inputs), Some(OutputText(output))) = (rule.inputs, rule.output) else {
            complete = false;
            continue;
        };
        let inputs = texts(Some(inputs));
        let expression = filled(rule.expression.as_ref());
        rules.maps.push(MapRule {
            inputs: strings(&inputs),
            output: output.as_str().to_owned(),
            expression: expression.as_ref().map(|e| e.as_str().to_owned()),
            description: rule.description.map(|d| d.0.as_str().to_owned()),
        });
        maps.push(Places { rule: rule.at, key: None, inputs, output: Some(output), expression });
    }
    let semantics = Semantics { filter, ..Semantics::default() };
    let (compiled, findings) = match tidegate_expr::Transform::compile(rules, semantics) {
        Ok((transform, findings)) => (Some(transform), findings),
        Err(findings) => (None, findings),
    };
    for finding in findings {
        let places = match finding.stage {
            Stage::Datasets => &datasets,
            Stage::Filter => &filters,
            Stage::Map => &maps,
        };
        problems.extend(places.get(finding.rule).and_then(|places| diagnostic(finding, places)));
    }
    let compiled = compiled.filter(|_| complete && !fields.flawed);
    for (words, places) in compiled.iter().flat_map(tidegate_expr::Transform::filters_in_words).zip(&filters)
    {
        let at = places.expression.as_ref().map_or(places.rule, Text::span);
        problems.push(note(codes::FILTER_IN_WORDS, at, words));
    }
    let schema = filled(fields.schema.as_ref());
    let transform = compiled.map(|rules| Transform {
        rules: Arc::new(rules),
        format: fields.format.value,
        schema: schema.as_ref().and_then(|s| SchemaRef::parse(s.as_str())),
        columns: None,
    });
    TransformDraft {
        transform,
        format: fields.format,
        at: fields.at,
        schema,
        dataset_schemas,
        outputs: maps.into_iter().filter_map(|places| places.output).collect(),
    }
}

/// An empty text counts as none.
fn filled(text: Option<&Raw>) -> Option<Text> {
    text.map(|t| t.0.clone()).filter(|t| !t.as_str().trim().is_empty())
}

fn texts(raw: Option<Vec<Raw>>) -> Vec<Text> {
    raw.unwrap_or_default().into_iter().map(|r| r.0).collect()
}

fn strings(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|t| t.as_str().to_owned()).collect()
}

/// The documentation knows inputs of datasets with a prefix only.
fn check_dataset_input(input: &Text, problems: &mut Problems) {
    if !has_prefix(input) {
        let message = "an input of a dataset says where it is from";
        problems.push(error(codes::BAD_DATASET, input.span(), message).help(format!(
            "write `$source.{0}` for a field of the message, `$context.{0}` for one of the record",
            input.as_str()
        )));
    }
}

fn has_prefix(input: &Text) -> bool {
    ["$source.", "$context.", "$context("].iter().any(|prefix| input.as_str().starts_with(prefix))
}

/// A finding at its place; `None` if it was said already.
fn diagnostic(finding: Finding, places: &Places) -> Option<Diagnostic> {
    let Finding { stage, part, range, severity, message, help, .. } = finding;
    let text = match part {
        Part::Rule => None,
        Part::Key => places.key.as_ref(),
        Part::Input(n) => places.inputs.get(n),
        Part::Output => places.output.as_ref(),
        Part::Expression => places.expression.as_ref(),
    };
    let said = match (stage, part) {
        (Stage::Datasets, Part::Input(_)) => text.is_some_and(|t| !has_prefix(t)),
        (_, Part::Expression) => text.is_none(),
        _ => false,
    };
    if said {
        return None;
    }
    let at = text.map_or(places.rule, |text| text.part(range));
    Some(Diagnostic { help, ..Diagnostic::new(code(stage, part), severity, message).at(at) })
}

fn code(stage: Stage, part: Part) -> Code {
    match (stage, part) {
        (_, Part::Expression) => codes::BAD_EXPRESSION,
        (Stage::Datasets, Part::Rule | Part::Key) => codes::BAD_DATASET,
        (_, Part::Input(_) | Part::Output) => codes::BAD_PATH,
        (_, Part::Rule | Part::Key) => codes::RULE_SHAPE,
    }
}
