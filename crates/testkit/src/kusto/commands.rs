//! The few management commands and queries there are, and the two forms of an answer.

use serde_json::{Value, json};

use super::State;
use super::tables::{Refusal, Table, parse_mapping};

/// What `.get kusto identity token` gives.
pub(super) const IDENTITY_TOKEN: &str = "identity-token-of-the-double";

/// A result.
#[derive(Default)]
pub(super) struct Found {
    /// Names and types.
    columns: Vec<(String, String)>,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Found {
    fn new(columns: &[(&str, &str)], rows: Vec<Vec<Value>>) -> Self {
        Self { columns: columns.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(), rows }
    }
}

pub(super) fn execute(state: &State, database: &str, command: &str) -> Result<Found, Refusal> {
    let command = command.trim();
    let syntax = || Refusal::never(400, "BadRequest_SyntaxError", format!("Syntax error: {command}"));
    let words: Vec<&str> = command.split_ascii_whitespace().collect();
    let mut tables = state.tables.lock();
    match words.as_slice() {
        [".get", "ingestion", "resources", ..] => {
            let rows =
                state.storage.resources().into_iter().map(|(kind, root)| vec![json!(kind), json!(root)]);
            Ok(Found::new(&[("ResourceTypeName", "string"), ("StorageRoot", "string")], rows.collect()))
        }
        [".get", "kusto", "identity", "token", ..] => {
            Ok(Found::new(&[("AuthorizationContext", "string")], vec![vec![json!(IDENTITY_TOKEN)]]))
        }
        [".show", "tables", ..] => {
            let rows = tables.0.keys().filter(|(d, _)| d == database).map(|(d, t)| vec![json!(t), json!(d)]);
            Ok(Found::new(&[("TableName", "string"), ("DatabaseName", "string")], rows.collect()))
        }
        [".show", "table", .., "cslschema"] => {
            let (name, _) = name(after(command, "table")).ok_or_else(syntax)?;
            let columns = &tables.find(database, &name)?.columns;
            let schema: Vec<_> = columns.iter().map(|(column, kind)| format!("{column}:{kind}")).collect();
            let row = vec![json!(name), json!(schema.join(",")), json!(database)];
            let columns = [("TableName", "string"), ("Schema", "string"), ("DatabaseName", "string")];
            Ok(Found::new(&columns, vec![row]))
        }
        [".show", what @ ("table" | "database"), .., "policy", "streamingingestion"] => {
            let (name, _) = name(after(command, what)).ok_or_else(syntax)?;
            let policy = match *what {
                "table" => tables.find(database, &name)?.streaming,
                _ => Some(true),
            };
            Ok(policy_row(&name, policy))
        }
        [".alter", "table", .., "policy", "streamingingestion", state @ ("enable" | "disable")] => {
            let (name, _) = name(after(command, "table")).ok_or_else(syntax)?;
            let table = tables.find(database, &name)?;
            table.streaming = Some(*state == "enable");
            Ok(policy_row(&name, table.streaming))
        }
        [".show", "version", ..] => Ok(Found::new(&[("ServiceType", "string")], vec![vec![json!("Engine")]])),
        [".create" | ".create-or-alter", "table", ..] => {
            let rest = command.split_once("table").ok_or_else(syntax)?.1;
            let (name, rest) = name(rest).ok_or_else(syntax)?;
            let rest = rest.trim();
            if rest.starts_with("ingestion json mapping") {
                let (start, end) = (rest.find(['"', '\'']), rest.rfind(']'));
                let quoted = &rest[start.ok_or_else(syntax)?..];
                let mapping = quoted[1..].split(['"', '\'']).next().ok_or_else(syntax)?;
                let open = rest.find('[').ok_or_else(syntax)?;
                let parsed = parse_mapping(&rest[open..=end.filter(|e| *e > open).ok_or_else(syntax)?])?;
                tables.find(database, &name)?.add_mapping(mapping, parsed);
                return Ok(Found::new(&[("Name", "string")], vec![vec![json!(mapping)]]));
            }
            let inner = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')).ok_or_else(syntax)?;
            let column = |text: &str| {
                let (column, kind) = self::name(text)?;
                Some((column, kind.trim().strip_prefix(':')?.trim().to_owned()))
            };
            let columns: Option<Vec<_>> = inner.split(',').map(column).collect();
            let key = (database.to_owned(), name.clone());
            tables.0.entry(key).or_insert(Table::new(columns.ok_or_else(syntax)?));
            Ok(Found::new(&[("TableName", "string")], vec![vec![json!(name)]]))
        }
        [first, ..] if !first.starts_with('.') => {
            let (name, rest) = name(command).ok_or_else(syntax)?;
            let table = tables.find(database, &name)?;
            let all = || Found { columns: table.columns.clone(), rows: table.rows.clone() };
            let steps: Vec<&str> = rest.split_ascii_whitespace().collect();
            match steps.as_slice() {
                [] => Ok(all()),
                ["|", "count"] => Ok(Found::new(&[("Count", "long")], vec![vec![json!(table.rows.len())]])),
                ["|", "take" | "limit", n] => {
                    let mut found = all();
                    found.rows.truncate(n.parse().map_err(|_| syntax())?);
                    Ok(found)
                }
                _ => Err(syntax()),
            }
        }
        _ => Err(syntax()),
    }
}

/// What follows a word.
fn after<'a>(command: &'a str, word: &str) -> &'a str {
    command.split_once(word).map_or("", |(_, rest)| rest)
}

/// A policy for streaming ingestion as it is shown; the database's is that it is on.
fn policy_row(name: &str, policy: Option<bool>) -> Found {
    let policy = policy.map(|on| json!({ "IsEnabled": on, "HintAllocatedRate": null }).to_string());
    let row = vec![json!("StreamingIngestionPolicy"), json!(name), json!(policy.unwrap_or("null".into()))];
    Found::new(&[("PolicyName", "string"), ("EntityName", "string"), ("Policy", "string")], vec![row])
}

/// The name at the start, plain or as `['name']`, and what follows.
fn name(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix("['") {
        let (name, rest) = quoted.split_once("']")?;
        return Some((name.to_owned(), rest));
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// An answer of version 1.
pub(super) fn v1(found: &Found) -> Value {
    let column = |(name, kind): &(String, String)| {
        let data_type = match kind.as_str() {
            "long" => "Int64",
            "int" => "Int32",
            "real" => "Double",
            "bool" => "SByte",
            "datetime" => "DateTime",
            "dynamic" => "Object",
            _ => "String",
        };
        json!({ "ColumnName": name, "DataType": data_type, "ColumnType": kind })
    };
    let columns: Vec<_> = found.columns.iter().map(column).collect();
    json!({ "Tables": [{ "TableName": "Table_0", "Columns": columns, "Rows": found.rows }] })
}

/// An answer of version 2.
pub(super) fn v2(found: &Found) -> Value {
    let column = |(name, kind): &(String, String)| json!({ "ColumnName": name, "ColumnType": kind });
    let columns: Vec<_> = found.columns.iter().map(column).collect();
    json!([
        { "FrameType": "DataSetHeader", "IsProgressive": false, "Version": "v2.0" },
        { "FrameType": "DataTable", "TableId": 1, "TableKind": "PrimaryResult", "TableName": "PrimaryResult",
          "Columns": columns, "Rows": found.rows },
        { "FrameType": "DataSetCompletion", "HasErrors": false, "Cancelled": false },
    ])
}
