//! Tables, mappings and what becomes of JSON in them.

use std::collections::{BTreeMap, HashSet};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The largest value of type `dynamic`.
const DYNAMIC_BYTES_MAX: usize = 1 << 20;

/// Why Kusto refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) permanent: bool,
}

impl Refusal {
    pub(super) fn never(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), permanent: true }
    }

    pub(super) fn later(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { permanent: false, ..Self::never(status, code, message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let Self { code, message, permanent, .. } = self;
        let error = json!({ "code": code, "message": "Request is invalid.", "@type": "Kusto.DataNode.Exceptions",
            "@message": message, "@permanent": permanent });
        (status, Json(json!({ "error": error }))).into_response()
    }
}

#[derive(Default)]
pub(super) struct Tables(pub(super) BTreeMap<(String, String), Table>);

pub(super) struct Table {
    /// Names and types.
    pub(super) columns: Vec<(String, String)>,
    mappings: BTreeMap<String, Mapping>,
    pub(super) rows: Vec<Vec<Value>>,
    tags: HashSet<String>,
    /// Its policy for streaming ingestion, if it has one.
    pub(super) streaming: Option<bool>,
}

/// Columns, and the names that lead to the value of each.
pub(super) type Mapping = Vec<(String, Vec<String>)>;

impl Tables {
    pub(super) fn find(&mut self, database: &str, table: &str) -> Result<&mut Table, Refusal> {
        self.0.get_mut(&(database.to_owned(), table.to_owned())).ok_or_else(|| {
            let message =
                format!("Entity ID '{table}' of kind 'Table' was not found in database '{database}'.");
            Refusal::never(400, "BadRequest_EntityNotFound", message)
        })
    }
}

impl Table {
    pub(super) fn new(columns: Vec<(String, String)>) -> Self {
        Self { columns, mappings: BTreeMap::new(), rows: vec![], tags: HashSet::new(), streaming: None }
    }

    pub(super) fn add_mapping(&mut self, name: &str, mapping: Mapping) {
        self.mappings.insert(name.to_owned(), mapping);
    }

    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.tags.contains(tag)
    }

    pub(super) fn tag(&mut self, tags: Vec<String>) {
        self.tags.extend(tags);
    }

    /// The mapping of that name, or the one that is written out, or by the columns' names.
    pub(super) fn mapping_of(&self, name: Option<&str>, inline: Option<&str>) -> Result<Mapping, Refusal> {
        match (name, inline) {
            (Some(name), _) => self.mappings.get(name).cloned().ok_or_else(|| {
                let message = format!("Entity ID '{name}' of kind 'MappingPersistent' was not found.");
                Refusal::never(400, "BadRequest_MappingReferenceWasNotFound", message)
            }),
            (None, Some(inline)) => parse_mapping(inline),
            (None, None) => Ok(self.columns.iter().map(|(c, _)| (c.clone(), vec![c.clone()])).collect()),
        }
    }

    /// Stores all rows or none.
    pub(super) fn ingest(&mut self, format: &str, mapping: &Mapping, body: &[u8]) -> Result<(), Refusal> {
        let malformed = |e: serde_json::Error| Refusal::never(400, "BadRequest_InvalidBlob", e.to_string());
        let mut values: Vec<Value> = Vec::new();
        match format.to_ascii_lowercase().as_str() {
            "json" | "singlejson" => {
                for line in body.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                    values.push(serde_json::from_slice(line).map_err(malformed)?);
                }
            }
            "multijson" => {
                for value in serde_json::Deserializer::from_slice(body).into_iter() {
                    match value.map_err(malformed)? {
                        Value::Array(items) => values.extend(items),
                        value => values.push(value),
                    }
                }
            }
            _ => {
                let message = format!("Format '{format}' is not supported.");
                return Err(Refusal::never(400, "BadRequest_FormatNotSupported", message));
            }
        }
        for (column, _) in mapping {
            if !self.columns.iter().any(|(name, _)| name == column) {
                let message = format!("Column '{column}' of the mapping is not in the table.");
                return Err(Refusal::never(400, "BadRequest_InvalidMapping", message));
            }
        }
        let row = |value: &Value| -> Vec<Value> {
            let cell = |(name, kind): &(String, String)| {
                let path = mapping.iter().find(|(column, _)| column == name).map(|(_, path)| path);
                let found = path.and_then(|p| p.iter().try_fold(value, |value, name| value.get(name)));
                found.map_or(Value::Null, |value| as_type(value, kind))
            };
            self.columns.iter().map(cell).collect()
        };
        let rows: Vec<_> = values.iter().map(row).collect();
        let too_large = |cell: &&Value| cell.is_object() && cell.to_string().len() > DYNAMIC_BYTES_MAX;
        if rows.iter().flatten().any(|cell| too_large(&cell)) {
            let message = "The data contains too large values in a dynamic column.";
            return Err(Refusal::never(400, "Stream_DynamicPropertyBagTooLarge", message));
        }
        self.rows.extend(rows);
        Ok(())
    }
}

/// A value in a column: what does not fit is null, as in Kusto.
fn as_type(value: &Value, kind: &str) -> Value {
    match (kind, value) {
        ("long" | "int", Value::Number(n)) if n.is_i64() => value.clone(),
        ("real" | "decimal", Value::Number(_)) | ("bool", Value::Bool(_)) | ("dynamic", _) => value.clone(),
        ("string" | "datetime" | "guid" | "timespan" | "decimal", Value::String(_)) => value.clone(),
        ("string", Value::Null) => json!(""),
        ("string", other) => json!(other.to_string()),
        _ => Value::Null,
    }
}

/// Reads `[{"column": "a", "datatype": "long", "properties": {"path": "$.a"}}]`, in any case.
pub(super) fn parse_mapping(text: &str) -> Result<Mapping, Refusal> {
    let bad = |message: String| Refusal::never(400, "BadRequest_InvalidMapping", message);
    let items: Vec<serde_json::Map<String, Value>> =
        serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
    let field = |map: &serde_json::Map<String, Value>, name: &str| {
        map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let mut mapping = Mapping::new();
    for item in items {
        let column = field(&item, "column").and_then(|c| c.as_str().map(str::to_owned));
        let path = match field(&item, "properties") {
            Some(Value::Object(properties)) => field(&properties, "path"),
            _ => field(&item, "path"),
        };
        let path = path.and_then(|p| parse_path(p.as_str()?));
        mapping.push(column.zip(path).ok_or_else(|| bad(format!("{item:?} names no column and path")))?);
    }
    Ok(mapping)
}

/// The names in `$.a['b c'].d`.
fn parse_path(path: &str) -> Option<Vec<String>> {
    let mut rest = path.strip_prefix('$')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("['") {
            let (name, after) = quoted.split_once("']")?;
            names.push(name.replace("\\'", "'").replace("\\\\", "\\"));
            rest = after;
        } else {
            let plain = rest.strip_prefix('.')?;
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            names.push(plain[..end].to_owned());
            rest = &plain[end..];
        }
    }
    Some(names)
}
