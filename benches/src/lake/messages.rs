//! Rows as JSON, the same in every run, and what columns they have.

use anyhow::bail;
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use serde_json::{Value, json};
use tidegate_model::schema::{DeltaField, DeltaType};

/// How large messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Size {
    /// Six columns.
    Small,
    /// 32 columns, among them a struct and an array.
    Large,
}

/// Numbers that look like chance (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// A measured value, always as long.
    fn measured(&mut self) -> String {
        format!("{}.{:02}{}", 100 + self.below(900), self.below(100), 1 + self.below(9))
    }
}

impl Size {
    /// Of a payload.
    pub(super) fn bytes(self) -> usize {
        match self {
            Size::Small => 142,
            Size::Large => 768,
        }
    }

    /// So many payloads, no two the same, in one piece of memory.
    pub(super) fn payloads(self, count: u64) -> Vec<Bytes> {
        let mut all = BytesMut::new();
        for n in 0..count {
            all.extend_from_slice(self.payload(n).as_bytes());
        }
        let all = all.freeze();
        (0..all.len()).step_by(self.bytes()).map(|at| all.slice(at..at + self.bytes())).collect()
    }

    fn payload(self, n: u64) -> String {
        const STATES: [&str; 4] = ["running", "waiting for material", "set up", "stopped by hand"];
        let mut dice = Dice(n);
        let device = dice.below(5000);
        let at = format!(
            "2026-11-29T{:02}:{:02}:{:02}.{:03}Z",
            n / 3_600_000 % 24,
            n / 60_000 % 60,
            n / 1000 % 60,
            n % 1000
        );
        let state = STATES[usize::try_from(dice.below(4)).unwrap_or(0)];
        let mut text = match self {
            Size::Small => format!(
                r#"{{"device":"press-{device:04}","at":"{at}","temperature":{},"seq":{},"state":"{state}","text":""#,
                dice.measured(),
                1_000_000 + n,
            ),
            Size::Large => {
                let counts: String =
                    (0..5).map(|i| format!(r#""count_{i}":{},"#, 10_000 + dice.below(90_000))).collect();
                let values: String =
                    (0..18).map(|i| format!(r#""value_{i:02}":{},"#, dice.measured())).collect();
                let samples: Vec<String> = (0..6).map(|_| dice.measured()).collect();
                format!(
                    r#"{{"seq":{},"device":"press-{device:04}","line":"line-{}","at":"{at}","state":"{state}","ok":{},{counts}{values}"machine":{{"hall":{},"cell":"c{}","speed":{}}},"samples":[{}],"text":""#,
                    1_000_000 + n,
                    dice.below(10),
                    dice.below(20) > 0,
                    1 + dice.below(9),
                    10 + dice.below(90),
                    dice.measured(),
                    samples.join(","),
                )
            }
        };
        while text.len() < self.bytes() - 2 {
            text.push(char::from(b'a' + u8::try_from(dice.below(26)).unwrap_or(0)));
        }
        text.push_str("\"}");
        assert_eq!(text.len(), self.bytes(), "{text}");
        text
    }

    /// The Delta schema of the rows.
    pub(super) fn schema(self) -> Value {
        let field = |name: &str, r#type: Value| json!({ "name": name, "type": r#type, "nullable": true, "metadata": {} });
        let fields = match self {
            Size::Small => vec![
                field("device", json!("string")),
                field("at", json!("timestamp")),
                field("temperature", json!("double")),
                field("seq", json!("long")),
                field("state", json!("string")),
                field("text", json!("string")),
            ],
            Size::Large => {
                let mut fields = vec![
                    field("seq", json!("long")),
                    field("device", json!("string")),
                    field("line", json!("string")),
                    field("at", json!("timestamp")),
                    field("state", json!("string")),
                    field("ok", json!("boolean")),
                ];
                fields.extend((0..5).map(|i| field(&format!("count_{i}"), json!("integer"))));
                fields.extend((0..18).map(|i| field(&format!("value_{i:02}"), json!("double"))));
                fields.push(field(
                    "machine",
                    json!({ "type": "struct", "fields": [
                        field("hall", json!("integer")), field("cell", json!("string")), field("speed", json!("double")),
                    ]}),
                ));
                let samples = json!({ "type": "array", "elementType": "double", "containsNull": true });
                fields.extend([field("samples", samples), field("text", json!("string"))]);
                fields
            }
        };
        json!({ "$schema": "Delta/1.0", "type": "object", "properties": { "type": "struct", "fields": fields } })
    }
}

/// The same columns as Arrow has them.
pub(super) fn arrow_fields(fields: &[DeltaField]) -> anyhow::Result<Fields> {
    fields
        .iter()
        .map(|f| Ok(Field::new(&f.name, arrow_type(&f.data_type)?, f.nullable)))
        .collect::<anyhow::Result<Vec<_>>>()
        .map(Fields::from)
}

fn arrow_type(data_type: &DeltaType) -> anyhow::Result<DataType> {
    Ok(match data_type {
        DeltaType::String => DataType::Utf8,
        DeltaType::Long => DataType::Int64,
        DeltaType::Integer => DataType::Int32,
        DeltaType::Double => DataType::Float64,
        DeltaType::Boolean => DataType::Boolean,
        // arrow-json knows zones by their offset only
        DeltaType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        DeltaType::Struct(fields) => DataType::Struct(arrow_fields(fields)?),
        DeltaType::Array { element, contains_null } => {
            DataType::List(Field::new("element", arrow_type(element)?, *contains_null).into())
        }
        other => bail!("no row has {other:?}"),
    })
}
