//! The columns of a table as a `Delta/1.0` document has them: Delta Lake's schema serialization format, and the other
//! form of decimals that AIO's Schema Gen Helper writes. Pure.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

use super::document::ContentError;

/// Most digits of a decimal (Delta protocol, "Primitive Types").
const PRECISION_MAX: u8 = 38;

/// The columns of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaSchema {
    /// In their order.
    pub fields: Vec<DeltaField>,
}

/// A column, or a field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaField {
    /// Any text.
    pub name: String,
    /// The type of its values.
    pub data_type: DeltaType,
    /// Whether values may be null or absent.
    pub nullable: bool,
    /// Carried along.
    pub metadata: Map<String, Value>,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are Delta's")]
pub enum DeltaType {
    String,
    /// 64 bits.
    Long,
    /// 32 bits.
    Integer,
    /// 16 bits.
    Short,
    /// 8 bits, signed.
    Byte,
    Float,
    Double,
    Boolean,
    Binary,
    Date,
    /// Microseconds, UTC.
    Timestamp,
    /// Microseconds, no zone.
    TimestampNtz,
    /// `precision` digits, `scale` of them after the point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Struct(Vec<DeltaField>),
    Array {
        element: Box<DeltaType>,
        contains_null: bool,
    },
    Map {
        key: Box<DeltaType>,
        value: Box<DeltaType>,
        value_contains_null: bool,
    },
}

const PRIMITIVES: [(&str, DeltaType); 12] = [
    ("string", DeltaType::String),
    ("long", DeltaType::Long),
    ("integer", DeltaType::Integer),
    ("short", DeltaType::Short),
    ("byte", DeltaType::Byte),
    ("float", DeltaType::Float),
    ("double", DeltaType::Double),
    ("boolean", DeltaType::Boolean),
    ("binary", DeltaType::Binary),
    ("date", DeltaType::Date),
    ("timestamp", DeltaType::Timestamp),
    ("timestamp_ntz", DeltaType::TimestampNtz),
];

impl DeltaSchema {
    /// Reads the `properties` of a document, which are one struct. `path` is where they stand, for errors.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(properties: &Value, path: &str) -> Result<Self, ContentError> {
        if properties.get("type").and_then(Value::as_str) != Some("struct") {
            return Err(ContentError::new(format!("{path}.type"), "is not \"struct\""));
        }
        Ok(Self { fields: parse_fields(properties, path)? })
    }
}

fn parse_fields(parent: &Value, path: &str) -> Result<Vec<DeltaField>, ContentError> {
    let path = format!("{path}.fields");
    let Some(Value::Array(values)) = parent.get("fields") else {
        return Err(ContentError::new(path, "is not an array"));
    };
    let mut fields = Vec::with_capacity(values.len());
    // Delta compares the names of columns without regard to case
    let mut names = HashSet::new();
    for (at, value) in values.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let field = parse_field(value, &path)?;
        if !names.insert(field.name.to_lowercase()) {
            let message = format!("there is already a field \"{}\"", field.name);
            return Err(ContentError::new(format!("{path}.name"), message));
        }
        fields.push(field);
    }
    Ok(fields)
}

fn parse_field(field: &Value, path: &str) -> Result<DeltaField, ContentError> {
    let name = match field.get("name") {
        Some(Value::String(name)) => name.clone(),
        _ => return Err(ContentError::new(format!("{path}.name"), "is not a text")),
    };
    let metadata = match field.get("metadata") {
        None => Map::new(),
        Some(Value::Object(metadata)) => metadata.clone(),
        Some(_) => return Err(ContentError::new(format!("{path}.metadata"), "is not an object")),
    };
    Ok(DeltaField {
        name,
        data_type: parse_type(field.get("type"), &format!("{path}.type"))?,
        nullable: parse_flag(field, "nullable", path)?,
        metadata,
    })
}

fn parse_type(data_type: Option<&Value>, path: &str) -> Result<DeltaType, ContentError> {
    let error = |message: String| Err(ContentError::new(path, message));
    match data_type {
        None => error("is missing".into()),
        Some(Value::String(name)) => match PRIMITIVES.into_iter().find(|(n, _)| n == name) {
            Some((_, primitive)) => Ok(primitive),
            None => match parse_decimal_name(name) {
                Some((precision, scale)) => decimal(precision, scale, path),
                None => error(format!("\"{name}\" is no Delta type")),
            },
        },
        Some(object @ Value::Object(_)) => {
            let part = |key: &str| parse_type(object.get(key), &format!("{path}.{key}")).map(Box::new);
            let digits = |key: &str| object.get(key).and_then(Value::as_u64);
            match object.get("type").and_then(Value::as_str) {
                Some("struct") => Ok(DeltaType::Struct(parse_fields(object, path)?)),
                Some("array") => Ok(DeltaType::Array {
                    element: part("elementType")?,
                    contains_null: parse_flag(object, "containsNull", path)?,
                }),
                Some("map") => Ok(DeltaType::Map {
                    key: part("keyType")?,
                    value: part("valueType")?,
                    value_contains_null: parse_flag(object, "valueContainsNull", path)?,
                }),
                Some("decimal") => match (digits("precision"), digits("scale")) {
                    (Some(precision), Some(scale)) => decimal(precision, scale, path),
                    _ => error("a decimal has \"precision\" and \"scale\"".into()),
                },
                _ => error("an object here has \"type\" struct, array, map or decimal".into()),
            }
        }
        Some(_) => error("is neither a text nor an object".into()),
    }
}

/// A boolean that is true unless said otherwise.
fn parse_flag(object: &Value, key: &str, path: &str) -> Result<bool, ContentError> {
    match object.get(key) {
        None => Ok(true),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(ContentError::new(format!("{path}.{key}"), "is neither true nor false")),
    }
}

/// `decimal(p,s)`.
fn parse_decimal_name(name: &str) -> Option<(u64, u64)> {
    let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

fn decimal(precision: u64, scale: u64, path: &str) -> Result<DeltaType, ContentError> {
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=PRECISION_MAX), Ok(scale)) if scale <= precision => {
            Ok(DeltaType::Decimal { precision, scale })
        }
        _ => Err(ContentError::new(
            path,
            format!("a decimal has 1 to {PRECISION_MAX} digits, and no more of them after the point"),
        )),
    }
}

impl fmt::Display for DeltaType {
    /// As people write it: `array<struct<a: string>>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Array { element, .. } => write!(f, "array<{element}>"),
            Self::Map { key, value, .. } => write!(f, "map<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (at, field) in fields.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{}: {}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
            primitive => {
                let (name, _) = PRIMITIVES
                    .into_iter()
                    .find(|(_, p)| p == primitive)
                    .expect("all others have been dealt with");
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn type_of(data_type: Value) -> Result<String, String> {
        let schema = json!({"type": "struct", "fields": [{"name": "a", "type": data_type}]});
        match DeltaSchema::parse(&schema, "properties") {
            Ok(schema) => Ok(schema.fields[0].data_type.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_type_is_read() {
        for (name, _) in PRIMITIVES {
            assert_eq!(type_of(json!(name)), Ok(name.into()));
        }
        for (data_type, text) in [
            (json!("decimal(18,4)"), "decimal(18,4)"),
            (json!("decimal(38, 38)"), "decimal(38,38)"),
            (json!({"type": "decimal", "precision": 5, "scale": 2}), "decimal(5,2)"),
            (json!({"type": "array", "elementType": "long"}), "array<long>"),
            (json!({"type": "map", "keyType": "string", "valueType": "double"}), "map<string, double>"),
            (
                json!({"type": "array", "containsNull": false, "elementType":
                    {"type": "struct", "fields": [{"name": "b", "type": "date"}, {"name": "c d", "type": "byte"}]}}),
                "array<struct<b: date, c d: byte>>",
            ),
            (json!({"type": "struct", "fields": []}), "struct<>"),
        ] {
            assert_eq!(type_of(data_type), Ok(text.into()));
        }
    }

    #[test]
    fn what_is_left_out_allows_nulls() {
        let schema = json!({"type": "struct", "fields": [
            {"name": "a", "type": "string"},
            {"name": "b", "type": {"type": "array", "elementType": "string"}, "nullable": false, "metadata": {"x": 1}},
        ]});
        let DeltaSchema { fields } = DeltaSchema::parse(&schema, "properties").unwrap();
        assert!(fields[0].nullable && fields[0].metadata.is_empty());
        assert!(!fields[1].nullable && fields[1].metadata.contains_key("x"));
        assert!(matches!(fields[1].data_type, DeltaType::Array { contains_null: true, .. }));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (data_type, message) in [
            (json!("text"), "`properties.fields[0].type`: \"text\" is no Delta type"),
            (json!("null"), "`properties.fields[0].type`: \"null\" is no Delta type"),
            (
                json!("decimal(39,0)"),
                "`properties.fields[0].type`: a decimal has 1 to 38 digits, and no more of them after the point",
            ),
            (
                json!({"type": "decimal", "precision": 2, "scale": 3}),
                "`properties.fields[0].type`: a decimal has 1 to 38 digits, and no more of them after the point",
            ),
            (
                json!({"type": "decimal", "precision": 2}),
                "`properties.fields[0].type`: a decimal has \"precision\" and \"scale\"",
            ),
            (json!({"type": "array"}), "`properties.fields[0].type.elementType`: is missing"),
            (
                json!({"type": "array", "elementType": "struct"}),
                "`properties.fields[0].type.elementType`: \"struct\" is no Delta type",
            ),
            (
                json!({"type": "array", "elementType": "string", "containsNull": 1}),
                "`properties.fields[0].type.containsNull`: is neither true nor false",
            ),
            (json!({"type": "struct"}), "`properties.fields[0].type.fields`: is not an array"),
            (json!(7), "`properties.fields[0].type`: is neither a text nor an object"),
            (
                json!({"type": "set"}),
                "`properties.fields[0].type`: an object here has \"type\" struct, array, map or decimal",
            ),
        ] {
            assert_eq!(type_of(data_type), Err(message.into()));
        }
        for (fields, message) in [
            (json!({}), "`properties.fields`: is not an array"),
            (json!([1]), "`properties.fields[0].name`: is not a text"),
            (json!([{"name": "a"}]), "`properties.fields[0].type`: is missing"),
            (
                json!([{"name": "a", "type": "string", "metadata": []}]),
                "`properties.fields[0].metadata`: is not an object",
            ),
            (
                json!([{"name": "Ä", "type": "string"}, {"name": "ä", "type": "string"}]),
                "`properties.fields[1].name`: there is already a field \"ä\"",
            ),
        ] {
            let error =
                DeltaSchema::parse(&json!({"type": "struct", "fields": fields}), "properties").unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
