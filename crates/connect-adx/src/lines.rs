//! Records as JSON lines, and how their fields get to the columns.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tidegate_core::Record;
use tidegate_model::schema::{DeltaField, DeltaType};

use crate::cluster::quote;

/// Appends a record as a line.
///
/// # Errors
/// Why it can't be one, as a sentence for the operator.
pub(crate) fn push(record: &Record, lines: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(&record.payload).map_err(|_| "the message is not UTF-8".to_owned())?;
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    serde_json::from_str::<IgnoredAny>(trimmed).map_err(|e| format!("the message is not JSON: {e}"))?;
    if !trimmed.starts_with('{') {
        return Err("the message is no JSON object, and so has no fields for the columns".into());
    }
    // a line break in JSON is white space: inside strings it is written `\n`
    lines.extend(trimmed.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
    lines.push(b'\n');
    Ok(())
}

/// The ingestion mapping that puts each field into the column of its name ("JSON mapping").
pub(crate) fn mapping(columns: &[DeltaField]) -> String {
    let column = |field: &DeltaField| {
        let name = field.name.replace('\\', "\\\\").replace('\'', "\\'");
        json!({
            "column": field.name,
            "datatype": data_type(&field.data_type),
            "properties": { "Path": format!("$['{name}']") },
        })
    };
    Value::Array(columns.iter().map(column).collect()).to_string()
}

/// The columns of a table for these fields, as a command writes them.
pub(crate) fn declarations(columns: &[DeltaField]) -> String {
    let column = |field: &DeltaField| format!("{}: {}", quote(&field.name), data_type(&field.data_type));
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The scalar type of a column. Binary is text in JSON, and so it is here.
fn data_type(delta: &DeltaType) -> &'static str {
    match delta {
        DeltaType::String | DeltaType::Binary => "string",
        DeltaType::Long => "long",
        DeltaType::Integer | DeltaType::Short | DeltaType::Byte => "int",
        DeltaType::Float | DeltaType::Double => "real",
        DeltaType::Boolean => "bool",
        DeltaType::Date | DeltaType::Timestamp | DeltaType::TimestampNtz => "datetime",
        DeltaType::Decimal { .. } => "decimal",
        DeltaType::Struct(_) | DeltaType::Array { .. } | DeltaType::Map { .. } => "dynamic",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_record_is_one_line_or_refused() {
        let line = |payload: &[u8]| {
            let mut lines = Vec::new();
            push(&Record::new("t", payload.to_vec(), Instant::now()), &mut lines).map(|()| lines)
        };
        assert_eq!(line(b"{\"a\":\r\n \"x\\ny\"}\n").unwrap(), b"{\"a\":   \"x\\ny\"}\n");
        for bad in [&b"{\"a\":1"[..], b"{} {}", b"", b"[1]", b"7", b"\xff", b"{\"a\":\"\n\"}"] {
            assert!(line(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let field = |name: &str, data_type| DeltaField { name: name.into(), data_type, nullable: true };
        let columns = [field("it's", DeltaType::Long), field("b", DeltaType::Struct(vec![]))];
        let mapping: Value = serde_json::from_str(&mapping(&columns)).unwrap();
        assert_eq!(
            mapping,
            json!([
                { "column": "it's", "datatype": "long", "properties": { "Path": "$['it\\'s']" } },
                { "column": "b", "datatype": "dynamic", "properties": { "Path": "$['b']" } },
            ])
        );
    }
}
