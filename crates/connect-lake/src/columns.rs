//! JSON texts to Arrow columns, without a tree in between. Each text is a row or is not taken at all: what does not fit
//! leaves no trace.
//!
//! The rules are those of *concept-dataflow-conversions* and *concept-schema-registry*: values are set on declared
//! leaves only, numbers are coerced silently, and what must not be null must be there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray,
    PrimitiveArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use tidegate_model::schema::{DeltaField, DeltaType};

use crate::convert;
use crate::json::{Next, NotJson, Number, Reader};

/// Why a text is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It is not JSON.
    Json(NotJson),
    /// A field is at fault.
    Field {
        /// From the innermost name to the outermost.
        path: Vec<String>,
        fault: Fault,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Undeclared,
    NotALeaf,
    Missing,
    Null,
    /// What it is, and what the column holds.
    Unfit(String, String),
}

impl From<NotJson> for Misfit {
    fn from(error: NotJson) -> Self {
        Self::Json(error)
    }
}

impl Misfit {
    fn of(fault: Fault) -> Self {
        Self::Field { path: Vec::new(), fault }
    }

    /// Whether something is not there that must be.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Field { fault: Fault::Missing | Fault::Null, .. })
    }

    fn within(mut self, name: &str) -> Self {
        if let Self::Field { path, .. } = &mut self {
            path.push(name.to_owned());
        }
        self
    }
}

/// In the product's words where it has some.
impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, fault) = match self {
            Misfit::Json(NotJson { message, at }) => {
                return write!(f, "the payload is not JSON: {message} (byte {at})");
            }
            Misfit::Field { path, fault } => (path, fault),
        };
        let path: Vec<&str> = path.iter().rev().map(String::as_str).collect();
        let path = path.join(".");
        match fault {
            Fault::Undeclared => write!(f, "could not set a field {path}, it does not exist by the schema"),
            Fault::NotALeaf => {
                write!(f, "could not set a field {path}, only its fields can be set by the schema")
            }
            Fault::Missing => write!(f, "found missing property that is not nullable: {path}"),
            Fault::Null => write!(f, "cannot set null value: field '{path}' is not nullable"),
            Fault::Unfit(what, holds) if path.is_empty() => {
                write!(f, "the payload is {what}, and a row is {holds}")
            }
            Fault::Unfit(what, holds) => write!(f, "field '{path}' holds {holds}, and the value is {what}"),
        }
    }
}

/// What becomes of members that no column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undeclared {
    /// The whole row is refused.
    Refused,
    /// They are passed over.
    Skipped,
}

/// Rows, column by column.
pub(crate) struct Columns {
    schema: SchemaRef,
    group: Group,
    rows: usize,
}

impl Columns {
    /// No rows yet.
    pub(crate) fn new(fields: &[DeltaField], undeclared: Undeclared) -> Self {
        Self {
            schema: Arc::new(Schema::new(arrow_fields(fields))),
            group: Group::new(fields, undeclared),
            rows: 0,
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the object that a JSON text is.
    pub(crate) fn push(&mut self, json: &[u8]) -> Result<(), Misfit> {
        let result = self.read(json);
        match result {
            Ok(()) => self.rows += 1,
            Err(_) => self.group.truncate(self.rows),
        }
        result
    }

    fn read(&mut self, json: &[u8]) -> Result<(), Misfit> {
        let mut reader = Reader::new(json)?;
        match reader.next()? {
            Next::Object => self.group.read(&mut reader, self.rows)?,
            next => {
                reader.skip()?;
                reader.end()?;
                return Err(Misfit::of(Fault::Unfit(next.name().into(), "an object".into())));
            }
        }
        Ok(reader.end()?)
    }

    /// Takes the last row back.
    pub(crate) fn pop(&mut self) {
        self.rows = self.rows.saturating_sub(1);
        self.group.truncate(self.rows);
    }

    /// Takes the rows out.
    pub(crate) fn take(&mut self) -> RecordBatch {
        self.rows = 0;
        let arrays = self.group.columns.iter_mut().map(|column| column.take()).collect();
        RecordBatch::try_new(self.schema.clone(), arrays).expect("the columns were made from the same fields")
    }
}

/// The fields of a row or a struct.
struct Group {
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    undeclared: Undeclared,
}

impl Group {
    fn new(fields: &[DeltaField], undeclared: Undeclared) -> Self {
        let columns =
            fields.iter().map(|f| Column::new(&f.name, &f.data_type, f.nullable, undeclared)).collect();
        let by_name = fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        Self { columns, by_name, undeclared }
    }

    /// Reads the object that comes next as row number `row`.
    fn read(&mut self, reader: &mut Reader<'_>, row: usize) -> Result<(), Misfit> {
        let mut more = reader.enter_object();
        // members mostly come in the order of the columns
        let mut expected = 0;
        while more {
            let at = match self.columns.get(expected) {
                Some(column) if reader.take_name(&column.written) => expected,
                _ => {
                    let name = reader.name()?;
                    match self.by_name.get(&*name) {
                        Some(at) => *at,
                        None if self.undeclared == Undeclared::Skipped => {
                            reader.skip()?;
                            more = reader.more_members()?;
                            continue;
                        }
                        None => return Err(Misfit::of(Fault::Undeclared).within(&name)),
                    }
                }
            };
            let column = &mut self.columns[at];
            // of members of one name the last counts
            if column.length() > row {
                column.truncate(row);
            }
            column.read(reader)?;
            expected = at + 1;
            more = reader.more_members()?;
        }
        for column in &mut self.columns {
            if column.length() == row {
                column.push_missing()?;
            }
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }
}

struct Column {
    name: String,
    /// As it mostly stands in JSON, with its colon.
    written: Vec<u8>,
    nullable: bool,
    valid: Valid,
    data: Data,
}

/// Which values are no nulls; as long as all are, nothing is kept of them.
#[derive(Default)]
struct Valid {
    length: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Valid {
    fn push(&mut self, valid: bool) {
        if !valid && self.bits.is_none() {
            let mut bits = BooleanBufferBuilder::new(self.length + 1);
            bits.append_n(self.length, true);
            self.bits = Some(bits);
        }
        if let Some(bits) = &mut self.bits {
            bits.append(valid);
        }
        self.length += 1;
    }

    fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        if let Some(bits) = &mut self.bits {
            bits.truncate(self.length);
        }
    }

    fn take(&mut self) -> Option<NullBuffer> {
        let Self { bits, .. } = std::mem::take(self);
        bits.map(|mut bits| NullBuffer::new(bits.finish()))
    }
}

enum Data {
    Byte(Vec<i8>),
    Short(Vec<i16>),
    Integer(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
    Date(Vec<i32>),
    Timestamp { micros: Vec<i64>, local: bool },
    Decimal { units: Vec<i128>, precision: u8, scale: u8 },
    String(Bytes),
    Binary(Bytes),
    Struct(Group),
    Array { ends: Vec<i32>, items: Box<Column> },
    Map { ends: Vec<i32>, keys: Box<Column>, values: Box<Column> },
}

/// Values of any length, one behind the other.
#[derive(Default)]
struct Bytes {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Bytes {
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    fn end(&mut self) {
        self.ends.push(end(self.bytes.len()));
    }

    fn truncate(&mut self, length: usize) {
        truncate_ends(&mut self.ends, length);
        self.bytes.truncate(last(&self.ends));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        (offsets(&mut self.ends), Buffer::from_vec(std::mem::take(&mut self.bytes)))
    }
}

fn end(length: usize) -> i32 {
    i32::try_from(length).expect("the writer cuts batches long before 2 GiB")
}

fn truncate_ends(ends: &mut Vec<i32>, length: usize) {
    ends.truncate(length);
}

fn last(ends: &[i32]) -> usize {
    ends.last().map_or(0, |end| usize::try_from(*end).expect("ends count up from 0"))
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

impl Column {
    fn new(name: &str, data_type: &DeltaType, nullable: bool, undeclared: Undeclared) -> Self {
        let nested = |name: &str, data_type: &DeltaType, nullable| {
            Box::new(Column::new(name, data_type, nullable, undeclared))
        };
        let data = match data_type {
            DeltaType::String => Data::String(Bytes::default()),
            DeltaType::Long => Data::Long(vec![]),
            DeltaType::Integer => Data::Integer(vec![]),
            DeltaType::Short => Data::Short(vec![]),
            DeltaType::Byte => Data::Byte(vec![]),
            DeltaType::Float => Data::Float(vec![]),
            DeltaType::Double => Data::Double(vec![]),
            DeltaType::Boolean => Data::Boolean(vec![]),
            DeltaType::Binary => Data::Binary(Bytes::default()),
            DeltaType::Date => Data::Date(vec![]),
            DeltaType::Timestamp => Data::Timestamp { micros: vec![], local: false },
            DeltaType::TimestampNtz => Data::Timestamp { micros: vec![], local: true },
            DeltaType::Decimal { precision, scale } => {
                Data::Decimal { units: vec![], precision: *precision, scale: *scale }
            }
            DeltaType::Struct(fields) => Data::Struct(Group::new(fields, undeclared)),
            DeltaType::Array { element, contains_null } => {
                Data::Array { ends: vec![], items: nested("element", element, *contains_null) }
            }
            DeltaType::Map { key, value, value_contains_null } => Data::Map {
                ends: vec![],
                keys: nested("key", key, false),
                values: nested("value", value, *value_contains_null),
            },
        };
        let written = format!("{}:", serde_json::Value::from(name)).into_bytes();
        Self { name: name.to_owned(), written, nullable, valid: Valid::default(), data }
    }

    fn length(&self) -> usize {
        self.valid.length
    }

    fn truncate(&mut self, length: usize) {
        self.valid.truncate(length);
        match &mut self.data {
            Data::Byte(v) => v.truncate(length),
            Data::Short(v) => v.truncate(length),
            Data::Integer(v) | Data::Date(v) => v.truncate(length),
            Data::Long(v) | Data::Timestamp { micros: v, .. } => v.truncate(length),
            Data::Float(v) => v.truncate(length),
            Data::Double(v) => v.truncate(length),
            Data::Boolean(v) => v.truncate(length),
            Data::Decimal { units, .. } => units.truncate(length),
            Data::String(v) | Data::Binary(v) => v.truncate(length),
            Data::Struct(group) => group.truncate(length),
            Data::Array { ends, items } => {
                truncate_ends(ends, length);
                items.truncate(last(ends));
            }
            Data::Map { ends, keys, values } => {
                truncate_ends(ends, length);
                keys.truncate(last(ends));
                values.truncate(last(ends));
            }
        }
    }

    fn push_missing(&mut self) -> Result<(), Misfit> {
        if !self.nullable {
            // what must be there may be there with nothing in it
            let Data::Struct(group) = &mut self.data else {
                return Err(Misfit::of(Fault::Missing).within(&self.name));
            };
            for column in &mut group.columns {
                column.push_missing().map_err(|misfit| misfit.within(&self.name))?;
            }
            self.valid.push(true);
            return Ok(());
        }
        self.push_null();
        Ok(())
    }

    /// A null, or what stands for one in a struct that is null itself.
    fn push_null(&mut self) {
        self.valid.push(!self.nullable);
        match &mut self.data {
            Data::Byte(v) => v.push(0),
            Data::Short(v) => v.push(0),
            Data::Integer(v) | Data::Date(v) => v.push(0),
            Data::Long(v) | Data::Timestamp { micros: v, .. } => v.push(0),
            Data::Float(v) => v.push(0.0),
            Data::Double(v) => v.push(0.0),
            Data::Boolean(v) => v.push(false),
            Data::Decimal { units, .. } => units.push(0),
            Data::String(v) | Data::Binary(v) => v.end(),
            Data::Struct(group) => group.columns.iter_mut().for_each(Column::push_null),
            Data::Array { ends, items } => ends.push(end(items.length())),
            Data::Map { ends, keys, .. } => ends.push(end(keys.length())),
        }
    }

    /// Reads the value that comes next.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Misfit> {
        let next = reader.next()?;
        if next == Next::Null {
            reader.word(next)?;
            if !self.nullable {
                return Err(Misfit::of(Fault::Null).within(&self.name));
            }
            self.push_null();
            return Ok(());
        }
        if let Err(misfit) = self.read_value(next, reader) {
            return Err(misfit.within(&self.name));
        }
        self.valid.push(true);
        Ok(())
    }

    fn read_value(&mut self, next: Next, reader: &mut Reader<'_>) -> Result<(), Misfit> {
        let row = self.valid.length;
        match (&mut self.data, next) {
            (Data::Struct(group), Next::Object) => return group.read(reader, row),
            (Data::Struct(_), _) => return Err(Misfit::of(Fault::NotALeaf)),
            (Data::Array { ends, items }, Next::Array) => {
                let mut more = reader.enter_array();
                while more {
                    items.read(reader)?;
                    more = reader.more_items()?;
                }
                ends.push(end(items.length()));
                return Ok(());
            }
            (Data::Map { ends, keys, values }, Next::Object) => {
                let mut more = reader.enter_object();
                while more {
                    let name = reader.name()?;
                    if let Data::String(bytes) = &mut keys.data {
                        bytes.push(name.as_bytes());
                        keys.valid.push(true);
                    }
                    values.read(reader)?;
                    more = reader.more_members()?;
                }
                ends.push(end(keys.length()));
                return Ok(());
            }
            (Data::Binary(bytes), Next::Array) => return read_bytes(bytes, reader),
            _ => {}
        }
        let scalar = Scalar::read(next, reader)?;
        self.push_scalar(&scalar)
            .ok_or_else(|| Misfit::of(Fault::Unfit(scalar.what(), self.data.holds().into())))
    }

    fn push_scalar(&mut self, scalar: &Scalar<'_>) -> Option<()> {
        #[expect(clippy::cast_possible_truncation, reason = "narrowing wraps, as the product's does")]
        match &mut self.data {
            Data::Long(v) => v.push(match scalar {
                Scalar::Number(Number { whole: Some(whole), .. }) => *whole,
                scalar => scalar.whole()? as i64,
            }),
            Data::Integer(v) => v.push(scalar.whole()? as i32),
            Data::Short(v) => v.push(scalar.whole()? as i16),
            Data::Byte(v) => v.push(scalar.whole()? as i8),
            Data::Double(v) => v.push(scalar.number()?),
            Data::Float(v) => v.push(Some(scalar.number()? as f32).filter(|n| n.is_finite())?),
            Data::Boolean(v) => match scalar {
                Scalar::Boolean(value) => v.push(*value),
                _ => return None,
            },
            Data::Decimal { units, precision, scale } => {
                units.push(convert::decimal(scalar.numeric()?, *precision, *scale)?);
            }
            Data::Date(v) => v.push(convert::date(scalar.text()?)?),
            Data::Timestamp { micros, local } => micros.push(convert::timestamp(scalar.text()?, *local)?),
            Data::String(v) => v.push(match scalar {
                Scalar::String(text) => text.as_bytes(),
                Scalar::Number(number) => number.text.as_bytes(),
                Scalar::Boolean(true) => b"true",
                Scalar::Boolean(false) => b"false",
                Scalar::Nested(_) => return None,
            }),
            Data::Binary(v) => {
                let text = scalar.text()?;
                let start = v.bytes.len();
                let read = STANDARD.decode_vec(text, &mut v.bytes).or_else(|_| {
                    v.bytes.truncate(start);
                    STANDARD_NO_PAD.decode_vec(text, &mut v.bytes)
                });
                if read.is_err() {
                    v.bytes.truncate(start);
                    return None;
                }
                v.end();
            }
            Data::Struct(_) | Data::Array { .. } | Data::Map { .. } => return None,
        }
        Some(())
    }

    /// Takes the values out.
    fn take(&mut self) -> ArrayRef {
        let nulls = self.valid.take();
        match &mut self.data {
            Data::Byte(v) => primitive::<Int8Type>(v, nulls),
            Data::Short(v) => primitive::<Int16Type>(v, nulls),
            Data::Integer(v) => primitive::<Int32Type>(v, nulls),
            Data::Long(v) => primitive::<Int64Type>(v, nulls),
            Data::Float(v) => primitive::<Float32Type>(v, nulls),
            Data::Double(v) => primitive::<Float64Type>(v, nulls),
            Data::Boolean(v) => Arc::new(BooleanArray::new(std::mem::take(v).into(), nulls)),
            Data::Date(v) => primitive::<Date32Type>(v, nulls),
            Data::Timestamp { micros, local } => {
                let values = ScalarBuffer::from(std::mem::take(micros));
                let array = PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls);
                Arc::new(if *local { array } else { array.with_timezone("UTC") })
            }
            Data::Decimal { units, precision, scale } => {
                let array = Decimal128Array::new(std::mem::take(units).into(), nulls);
                Arc::new(array.with_data_type(decimal_type(*precision, *scale)))
            }
            Data::String(v) => {
                let (offsets, bytes) = v.take();
                Arc::new(
                    StringArray::try_new(offsets, bytes, nulls)
                        .expect("it was read from UTF-8 at its bounds"),
                )
            }
            Data::Binary(v) => {
                let (offsets, bytes) = v.take();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Data::Struct(group) => {
                let fields = group.columns.iter().map(Column::field).collect::<Fields>();
                let arrays = group.columns.iter_mut().map(|column| column.take()).collect();
                Arc::new(StructArray::new(fields, arrays, nulls))
            }
            Data::Array { ends, items } => {
                let offsets = offsets(ends);
                Arc::new(ListArray::new(Arc::new(items.field()), offsets, items.take(), nulls))
            }
            Data::Map { ends, keys, values } => {
                let offsets = offsets(ends);
                let fields = Fields::from(vec![keys.field(), values.field()]);
                let entries = StructArray::new(fields.clone(), vec![keys.take(), values.take()], None);
                let entry = Arc::new(Field::new_struct("key_value", fields, false));
                Arc::new(MapArray::new(entry, offsets, entries, nulls, false))
            }
        }
    }

    fn field(&self) -> Field {
        Field::new(&self.name, self.data.arrow_type(), self.nullable)
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(std::mem::take(values)), nulls))
}

/// A binary value as an array of byte numbers.
fn read_bytes(bytes: &mut Bytes, reader: &mut Reader<'_>) -> Result<(), Misfit> {
    let mut more = reader.enter_array();
    while more {
        let unfit = |what: String| Misfit::of(Fault::Unfit(what, "bytes".into()));
        let next = reader.next()?;
        if next != Next::Number {
            return Err(unfit(format!("an array with {}", next.name())));
        }
        let number = reader.number()?;
        let byte = number.whole.and_then(|whole| u8::try_from(whole).ok());
        bytes
            .bytes
            .push(byte.ok_or_else(|| unfit(format!("an array with {}, which is no byte", number.text)))?);
        more = reader.more_items()?;
    }
    bytes.end();
    Ok(())
}

/// A value that may go into a leaf.
enum Scalar<'a> {
    Number(Number<'a>),
    String(Cow<'a, str>),
    Boolean(bool),
    /// Which can't.
    Nested(Next),
}

impl<'a> Scalar<'a> {
    fn read(next: Next, reader: &mut Reader<'a>) -> Result<Self, NotJson> {
        Ok(match next {
            Next::Number => Self::Number(reader.number()?),
            Next::String => Self::String(reader.string()?),
            Next::True | Next::False | Next::Null => {
                reader.word(next)?;
                Self::Boolean(next == Next::True)
            }
            Next::Object | Next::Array => Self::Nested(next),
        })
    }

    fn text(&self) -> Option<&str> {
        match self {
            Scalar::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a number; of text that may be one, the text.
    fn numeric(&self) -> Option<&str> {
        match self {
            Scalar::Number(number) => Some(number.text),
            Scalar::String(text) => Some(text),
            Scalar::Boolean(value) => Some(if *value { "1" } else { "0" }),
            Scalar::Nested(_) => None,
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Scalar::Number(Number { whole: Some(whole), .. }) => Some(i128::from(*whole)),
            scalar => convert::whole(scalar.numeric()?),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Scalar::Number(Number { real: Some(real), .. }) => Some(*real),
            scalar => convert::number(scalar.numeric()?),
        }
    }

    fn what(&self) -> String {
        /// More of a value says no more.
        const SHOWN_MAX: usize = 40;
        let shorten = |text: &str| match text.char_indices().nth(SHOWN_MAX) {
            Some((at, _)) => format!("{}...", &text[..at]),
            None => text.to_owned(),
        };
        match self {
            Scalar::Number(number) => format!("the number {}", shorten(number.text)),
            Scalar::String(text) => format!("the text \"{}\"", shorten(text)),
            Scalar::Boolean(value) => value.to_string(),
            Scalar::Nested(next) => next.name().into(),
        }
    }
}

impl Data {
    fn holds(&self) -> &'static str {
        match self {
            Data::Byte(_) | Data::Short(_) | Data::Integer(_) | Data::Long(_) => "whole numbers",
            Data::Float(_) | Data::Double(_) => "numbers",
            Data::Decimal { .. } => "decimal numbers of its precision",
            Data::Boolean(_) => "true or false",
            Data::Date(_) => "dates (YYYY-MM-DD)",
            Data::Timestamp { .. } => "times (ISO 8601)",
            Data::String(_) => "text",
            Data::Binary(_) => "bytes (base64)",
            Data::Struct(_) | Data::Map { .. } => "objects",
            Data::Array { .. } => "arrays",
        }
    }

    fn arrow_type(&self) -> DataType {
        match self {
            Data::Byte(_) => DataType::Int8,
            Data::Short(_) => DataType::Int16,
            Data::Integer(_) => DataType::Int32,
            Data::Long(_) => DataType::Int64,
            Data::Float(_) => DataType::Float32,
            Data::Double(_) => DataType::Float64,
            Data::Boolean(_) => DataType::Boolean,
            Data::Date(_) => DataType::Date32,
            Data::Timestamp { local, .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, (!local).then(|| "UTC".into()))
            }
            Data::Decimal { precision, scale, .. } => decimal_type(*precision, *scale),
            Data::String(_) => DataType::Utf8,
            Data::Binary(_) => DataType::Binary,
            Data::Struct(group) => DataType::Struct(group.columns.iter().map(Column::field).collect()),
            Data::Array { items, .. } => DataType::List(Arc::new(items.field())),
            Data::Map { keys, values, .. } => {
                let fields = Fields::from(vec![keys.field(), values.field()]);
                DataType::Map(Arc::new(Field::new_struct("key_value", fields, false)), false)
            }
        }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "a scale is 38 at most")]
fn decimal_type(precision: u8, scale: u8) -> DataType {
    DataType::Decimal128(precision, scale as i8)
}

fn arrow_fields(fields: &[DeltaField]) -> Fields {
    let of = |f: &DeltaField| Column::new(&f.name, &f.data_type, f.nullable, Undeclared::Refused).field();
    fields.iter().map(of).collect()
}
