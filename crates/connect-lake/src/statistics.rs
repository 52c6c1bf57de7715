//! What a Delta log says of a file, so that readers may pass it over: rows, nulls, the smallest and the largest value of
//! each column.

use arrow_schema::{DataType, Schema};
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use crate::convert;
use crate::file::Written;

/// Of so many columns, as other writers do by default.
const COLUMNS_MAX: usize = 32;

/// Columns that are structs or arrays, and types whose values readers disagree about, have none.
pub(crate) fn of(written: &Written, schema: &Schema) -> Value {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    // a file of ours has one group, unless it is enormous
    if let [group] = written.metadata.row_groups() {
        for chunk in group.columns() {
            let [name] = chunk.column_path().parts() else { continue };
            let column = schema.fields().iter().take(COLUMNS_MAX).find(|f| f.name() == name);
            let (Some(field), Some(statistics)) = (column, chunk.statistics()) else { continue };
            if let Some(count) = statistics.null_count_opt() {
                nulls.insert(name.clone(), json!(count));
            }
            if let Some((low, high)) = range(statistics, field.data_type()) {
                least.insert(name.clone(), low);
                most.insert(name.clone(), high);
            }
        }
    }
    json!({ "numRecords": written.rows, "minValues": least, "maxValues": most, "nullCount": nulls })
}

fn range(statistics: &Statistics, data_type: &DataType) -> Option<(Value, Value)> {
    match statistics {
        Statistics::Int32(s) => {
            let value = |value: &i32| match data_type {
                DataType::Date32 => Some(json!(convert::date_text(i64::from(*value)))),
                DataType::Int8 | DataType::Int16 | DataType::Int32 => Some(json!(value)),
                _ => None,
            };
            Some((value(s.min_opt()?)?, value(s.max_opt()?)?))
        }
        Statistics::Int64(s) => {
            let value = |value: &i64| match data_type {
                DataType::Timestamp(_, zone) => {
                    Some(json!(convert::timestamp_text(*value) + if zone.is_some() { "Z" } else { "" }))
                }
                DataType::Int64 => Some(json!(value)),
                _ => None,
            };
            Some((value(s.min_opt()?)?, value(s.max_opt()?)?))
        }
        Statistics::Float(s) => Some((json!(s.min_opt()?), json!(s.max_opt()?))),
        Statistics::Double(s) => Some((json!(s.min_opt()?), json!(s.max_opt()?))),
        Statistics::ByteArray(s) if *data_type == DataType::Utf8 => {
            let text = |value: &parquet::data_type::ByteArray| value.as_utf8().ok().map(|text| json!(text));
            Some((text(s.min_opt()?)?, text(s.max_opt()?)?))
        }
        _ => None,
    }
}
