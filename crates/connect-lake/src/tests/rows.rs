//! Messages of any schema, some of which don't fit, go through a Parquet file and come back as they were meant.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use tidegate_model::schema::{DeltaField, DeltaType};

use super::{cases, field};
use crate::columns::{Columns, Undeclared};
use crate::file::{Compression, ParquetFile};

/// Values from a seed.
struct Dice(StdRng);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    fn fields(&mut self, depth: usize) -> Vec<DeltaField> {
        let count = 1 + self.below(5);
        (0..count)
            .map(|n| {
                let data_type = self.data_type(depth);
                let name = ["a", "b c", "Ünïcode", "d.e", "f"][n];
                field(name, data_type, self.below(3) > 0)
            })
            .collect()
    }

    fn data_type(&mut self, depth: usize) -> DeltaType {
        match self.below(if depth == 0 { 13 } else { 16 }) {
            0 => DeltaType::String,
            1 => DeltaType::Long,
            2 => DeltaType::Integer,
            3 => DeltaType::Short,
            4 => DeltaType::Byte,
            5 => DeltaType::Float,
            6 => DeltaType::Double,
            7 => DeltaType::Boolean,
            8 => DeltaType::Binary,
            9 => DeltaType::Date,
            10 => DeltaType::Timestamp,
            11 => DeltaType::TimestampNtz,
            12 => {
                let precision = 1 + self.below(38) as u8;
                DeltaType::Decimal { precision, scale: self.below(usize::from(precision) + 1) as u8 }
            }
            13 | 14 => DeltaType::Struct(self.fields(depth - 1)),
            _ => {
                let contains_null = self.below(2) == 0;
                DeltaType::Array { element: Box::new(self.data_type(depth - 1)), contains_null }
            }
        }
    }

    /// The members of an object in any order, and what the columns are to hold.
    fn object(&mut self, fields: &[DeltaField]) -> (String, Value) {
        let (mut members, mut row) = (Vec::new(), Map::new());
        for DeltaField { name, data_type, nullable } in fields {
            let (text, value) = match self.below(6) {
                0 if *nullable => (None, Value::Null),
                1 if *nullable => (Some("null".into()), Value::Null),
                _ => {
                    let (text, value) = self.value(data_type);
                    (Some(text), value)
                }
            };
            row.insert(name.clone(), value);
            members.extend(text.map(|text| format!("{} : {text}", json!(name))));
        }
        members.shuffle(&mut self.0);
        (format!("{{{}}}", members.join(",")), Value::Object(row))
    }

    /// A value as JSON text, and as [`cell`] reads it.
    fn value(&mut self, data_type: &DeltaType) -> (String, Value) {
        let whole = |value: i64| (value.to_string(), json!(value));
        match data_type {
            DeltaType::String => {
                let text: String = (0..self.below(8)).map(|_| self.0.random::<char>()).collect();
                (json!(text).to_string(), json!(text))
            }
            DeltaType::Long => whole(self.0.random()),
            DeltaType::Integer => whole(self.0.random::<i32>().into()),
            DeltaType::Short => whole(self.0.random::<i16>().into()),
            DeltaType::Byte => whole(self.0.random::<i8>().into()),
            DeltaType::Float => {
                let value = (self.0.random::<f32>() - 0.5) * 1e6;
                (value.to_string(), json!(value))
            }
            DeltaType::Double => {
                let value = (self.0.random::<f64>() - 0.5) * 1e60;
                (json!(value).to_string(), json!(value))
            }
            DeltaType::Boolean => {
                let value: bool = self.0.random();
                (value.to_string(), json!(value))
            }
            DeltaType::Binary => {
                let bytes: Vec<u8> = (0..self.below(9)).map(|_| self.0.random()).collect();
                let text = if self.below(2) == 0 { json!(STANDARD.encode(&bytes)) } else { json!(bytes) };
                (text.to_string(), json!(bytes))
            }
            DeltaType::Date => {
                let (text, days) = self.date();
                (json!(text).to_string(), json!(days))
            }
            DeltaType::Timestamp | DeltaType::TimestampNtz => {
                let (date, days) = self.date();
                let (h, m, s, micros) =
                    (self.below(24), self.below(60), self.below(60), self.below(1_000_000));
                let text = format!("{date}T{h:02}:{m:02}:{s:02}.{micros:06}");
                let seconds = days * 86400 + (h * 3600 + m * 60 + s) as i64;
                (json!(text).to_string(), json!(seconds * 1_000_000 + micros as i64))
            }
            DeltaType::Decimal { precision, scale } => {
                let (precision, scale) = (usize::from(*precision), usize::from(*scale));
                let digits: String =
                    (0..precision).map(|_| char::from(b'0' + self.below(10) as u8)).collect();
                let sign = if self.below(2) == 0 { "-" } else { "" };
                let (whole, fraction) = digits.split_at(precision - scale);
                let units: i128 = format!("{sign}{digits}").parse().unwrap();
                (format!("\"{sign}{whole}.{fraction}\""), json!(units.to_string()))
            }
            DeltaType::Struct(fields) => self.object(fields),
            DeltaType::Array { element, contains_null } => {
                let items: Vec<(String, Value)> = (0..self.below(4))
                    .map(|_| match self.below(3) {
                        0 if *contains_null => ("null".into(), Value::Null),
                        _ => self.value(element),
                    })
                    .collect();
                let (texts, values): (Vec<String>, Vec<Value>) = items.into_iter().unzip();
                (format!("[{}]", texts.join(", ")), Value::Array(values))
            }
            DeltaType::Map { .. } => unreachable!("none is drawn"),
        }
    }

    /// A date and its days since 1970, counted one year after the other.
    fn date(&mut self) -> (String, i64) {
        const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let is_leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        let (year, month, day) = (1900 + self.below(300) as i64, self.below(12), 1 + self.below(28) as i64);
        let days_in = |y: i64| 365 + i64::from(is_leap(y));
        let before_year: i64 =
            (1970..year).map(days_in).sum::<i64>() - (year..1970).map(days_in).sum::<i64>();
        let days = before_year + BEFORE_MONTH[month] + i64::from(month > 1 && is_leap(year)) + day - 1;
        (format!("{year:04}-{:02}-{day:02}", month + 1), days)
    }

    /// Something that is no row of these fields.
    fn misfit(&mut self, fields: &[DeltaField]) -> String {
        let (mut text, _) = self.object(fields);
        match self.below(4) {
            0 => {
                text.truncate(text.len() - 1);
                text
            }
            1 => {
                // whatever came before it has been taken to columns by then
                text.insert_str(
                    text.len() - 1,
                    if text.len() > 2 { ",\"no column\":1" } else { "\"no column\":1" },
                );
                text
            }
            2 => format!("[{text}]"),
            _ => text + "x",
        }
    }
}

fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Binary => json!(array.as_binary::<i32>().value(row)),
        DataType::Date32 => json!(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => json!(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Decimal128(..) => json!(array.as_primitive::<Decimal128Type>().value(row).to_string()),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Value::Object(columns.map(|(field, column)| (field.name().clone(), cell(column, row))).collect())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(&items, item)).collect()
        }
        other => panic!("{other}"),
    }
}

fn row(batch: &RecordBatch, row: usize) -> Value {
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns());
    Value::Object(cells.map(|(field, column)| (field.name().clone(), cell(column, row))).collect())
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_fits_comes_back_and_what_does_not_leaves_no_trace(seed: u64) {
        let mut dice = Dice(StdRng::seed_from_u64(seed));
        let fields = dice.fields(3);
        let mut columns = Columns::new(&fields, Undeclared::Refused);
        let mut file = ParquetFile::new(&columns, Compression::Zstd).unwrap();
        let mut expected = Vec::new();
        for _ in 0..dice.below(60) {
            if dice.below(4) == 0 {
                let text = dice.misfit(&fields);
                prop_assert!(columns.push(text.as_bytes()).is_err(), "{}", text);
            } else {
                let (text, value) = dice.object(&fields);
                let pushed = columns.push(text.as_bytes());
                prop_assert!(pushed.is_ok(), "{}: {:?} in {:?}", text, pushed, fields);
                if dice.below(8) == 0 {
                    columns.pop();
                    continue;
                }
                expected.push(value);
                // many slices to a file
                let bytes = if dice.below(10) == 0 { usize::MAX >> 1 } else { 0 };
                file.added(bytes, &mut columns).unwrap();
            }
        }
        let bytes = file.finish(&mut columns).unwrap().bytes;
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            rows.extend((0..batch.num_rows()).map(|n| row(&batch, n)));
        }
        prop_assert_eq!(rows, expected);
    }
}
