//! What messages are enriched with: records, and which of them belongs to a message (*concept-dataflow-enrich*).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::ast::{BinaryOp, Expr, ExprKind};
use crate::eval::Inputs;
use crate::fast::Cells;
use crate::json::{Json, parse_json};
use crate::transform::{DatasetMatch, Root, Source};
use crate::value::{Operand, Value};

/// The records of one dataset: a state store value of JSON Lines. Cheap to clone and to share.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    text: Bytes,
    records: Arc<[Range<usize>]>,
}

/// A line of a dataset that is no record, and was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// One sentence, lower case.
    pub message: String,
}

impl Dataset {
    /// Reads JSON Lines. Blank lines are passed over; so are lines that are no JSON object, but they are told of.
    pub fn parse(text: Bytes) -> (Self, Vec<BadLine>) {
        let mut records = Vec::new();
        let mut bad = Vec::new();
        let mut start = 0;
        for (i, line) in text.split(|b| *b == b'\n').enumerate() {
            let range = start..start + line.len();
            start = range.end + 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match parse_json(line) {
                Ok(Json::Object(_)) => records.push(range),
                Ok(_) => bad.push(BadLine { line: i + 1, message: "not a JSON object".into() }),
                Err(error) => bad.push(BadLine { line: i + 1, message: error.to_string() }),
            }
        }
        (Self { text, records: records.into() }, bad)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn record(&self, index: usize) -> Json<'_> {
        parse_json(self.bytes(index)).expect("checked when the dataset was read")
    }

    pub(crate) fn bytes(&self, record: usize) -> &[u8] {
        &self.text[self.records[record].clone()]
    }
}

/// A dataset made ready for one transformation: what its formula compares is taken out of the records, and found by
/// value where the formula asks for equality.
#[derive(Debug)]
pub(crate) struct Matcher {
    dataset: Dataset,
    /// For each record the values of the inputs that are its fields, in the order of those inputs.
    columns: Vec<Box<[Option<Json<'static>>]>>,
    /// By the value of an input that is a field of the record, if the formula wants it equal to one that is not.
    index: Option<Index>,
    /// What other rules name in the records, for the fast path.
    cells: Option<Cells>,
}

#[derive(Debug)]
struct Index {
    /// Which input is looked up.
    key: usize,
    /// Whether the formula asks for nothing else, so that what is found by a text or scalar belongs.
    decides: bool,
    texts: HashMap<String, Vec<usize>>,
    scalars: HashMap<Scalar, Vec<usize>>,
    /// Records whose value is a list.
    lists: Vec<usize>,
}

/// What is equal hashes alike: a float that is a whole number is that integer.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Scalar {
    Empty,
    Bool(bool),
    Int(i64),
    Float(u64),
}

impl Matcher {
    pub(crate) fn new(dataset: Dataset, rule: &DatasetMatch, cells: Option<Cells>) -> Self {
        let compared: Vec<_> = rule
            .inputs
            .iter()
            .filter(|source| source.root == Root::Candidate)
            .filter_map(|source| source.path.fields())
            .collect();
        let columns: Vec<Box<[_]>> = (0..dataset.len())
            .map(|i| {
                let record = dataset.record(i);
                compared.iter().map(|f| f.find(&record, &[]).cloned().map(Json::into_owned)).collect()
            })
            .collect();
        let index = equality(rule).map(|(key, column)| Index::new(key, column, decides(rule), &columns));
        Self { dataset, columns, index, cells }
    }

    /// The first record that belongs to the message; `inputs` are those of the rule, the record's own left out as
    /// missing.
    pub(crate) fn find<'m>(&'m self, rule: &'m DatasetMatch, inputs: &dyn Inputs<'m>) -> Option<usize> {
        let Some(program) = &rule.program else { return (!self.dataset.is_empty()).then_some(0) };
        let belongs = |record: &usize| {
            let tested = Tested { rule, inputs, columns: &self.columns[*record] };
            // a formula that fails is not true
            matches!(program.eval_with(&tested), Ok(Value::Bool(true)))
        };
        match &self.index {
            Some(index) => {
                let value = inputs.operand(index.key).value().ok()?;
                let decides = index.decides && !matches!(value, Value::Tuple(_));
                index.candidates(value).find(|record| decides || belongs(record))
            }
            None => (0..self.dataset.len()).find(belongs),
        }
    }

    pub(crate) fn record(&self, index: usize) -> Json<'_> {
        self.dataset.record(index)
    }

    pub(crate) fn cells(&self) -> Option<&Cells> {
        self.cells.as_ref()
    }
}

/// A record under test, and the message.
struct Tested<'t, 'm> {
    rule: &'t DatasetMatch,
    inputs: &'t dyn Inputs<'m>,
    columns: &'m [Option<Json<'static>>],
}

impl<'m> Inputs<'m> for Tested<'_, 'm> {
    fn operand(&self, index: usize) -> Operand<'m> {
        match self.rule.column(index) {
            Some(column) => self.columns[column].as_ref().map_or(Operand::Missing, Operand::Json),
            None => self.inputs.operand(index),
        }
    }
}

impl Index {
    fn new(key: usize, column: usize, decides: bool, columns: &[Box<[Option<Json<'static>>]>]) -> Self {
        let (texts, scalars) = Default::default();
        let mut index = Self { key, decides, texts, scalars, lists: Vec::new() };
        for (record, values) in columns.iter().enumerate() {
            let operand = values[column].as_ref().map_or(Operand::Missing, Operand::Json);
            // what can't be read equals nothing
            let Ok(value) = operand.value() else { continue };
            match (value, &mut index) {
                (Value::String(text), index) => {
                    index.texts.entry(text.into_owned()).or_default().push(record)
                }
                (Value::Tuple(_), index) => index.lists.push(record),
                (value, index) => index.scalars.entry(Scalar::of(&value)).or_default().push(record),
            }
        }
        index
    }

    /// All records that may have this value, first to last.
    fn candidates(&self, value: Value<'_>) -> impl Iterator<Item = usize> {
        let records = match value {
            Value::String(text) => self.texts.get(&*text).map(Vec::as_slice),
            Value::Tuple(_) => Some(self.lists.as_slice()),
            value => self.scalars.get(&Scalar::of(&value)).map(Vec::as_slice),
        };
        records.unwrap_or_default().iter().copied()
    }
}

impl Scalar {
    /// Of anything but texts and lists.
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Int(value) => Scalar::Int(*value),
            Value::Float(float) => {
                #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
                let int = *float as i64;
                if Value::Int(int).equals(value) { Scalar::Int(int) } else { Scalar::Float(float.to_bits()) }
            }
            _ => Scalar::Empty,
        }
    }
}

/// The input a formula wants equal to a field of the record, and which of the record's inputs that is: `$1 == $2`
/// alone, or one of the parts of a conjunction.
fn equality(rule: &DatasetMatch) -> Option<(usize, usize)> {
    fn search(expr: &Expr, rule: &DatasetMatch) -> Option<(usize, usize)> {
        let ExprKind::Binary(op, left, right) = &expr.kind else { return None };
        match op {
            BinaryOp::And => search(left, rule).or_else(|| search(right, rule)),
            BinaryOp::Equal => {
                let (ExprKind::Input(a), ExprKind::Input(b)) = (&left.kind, &right.kind) else { return None };
                match (rule.column(*a), rule.column(*b)) {
                    (Some(column), None) => Some((*b, column)),
                    (None, Some(column)) => Some((*a, column)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
    search(&rule.program.as_ref()?.root, rule)
}

/// Whether that is all the formula wants.
fn decides(rule: &DatasetMatch) -> bool {
    rule.program.as_ref().is_some_and(|p| matches!(p.root.kind, ExprKind::Binary(BinaryOp::Equal, ..)))
}

impl DatasetMatch {
    /// Which of the inputs that are fields of the record this one is, if it is one.
    fn column(&self, input: usize) -> Option<usize> {
        let of_record = |source: &Source| source.root == Root::Candidate;
        of_record(&self.inputs[input]).then(|| self.inputs[..input].iter().filter(|s| of_record(s)).count())
    }
}
