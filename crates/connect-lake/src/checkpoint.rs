//! Checkpoints of a Delta table's log: what the entries up to a version come to, in one Parquet file, so that readers need
//! not read them all.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use serde_json::{Map, Value, json};
use tidegate_model::schema::{self, DeltaField, SchemaDocument};

use crate::columns::{Columns, Undeclared};
use crate::failure::{Failure, Kind};
use crate::file::{Compression, ParquetFile};
use crate::store::Store;

/// Files that were removed are remembered so long, for whoever deletes them; at least as long as any reader may need them.
const REMOVED_KEPT_MILLIS: u64 = 30 * 24 * 60 * 60 * 1000;

/// The actions a checkpoint has, as a Delta schema.
const ACTIONS: &str = r#"{ "$schema": "Delta/1.0", "type": "object", "properties": { "type": "struct", "fields": [
    { "name": "txn", "type": { "type": "struct", "fields": [
        { "name": "appId", "type": "string" }, { "name": "version", "type": "long" },
        { "name": "lastUpdated", "type": "long" } ] } },
    { "name": "add", "type": { "type": "struct", "fields": [
        { "name": "path", "type": "string" },
        { "name": "partitionValues", "type": { "type": "map", "keyType": "string", "valueType": "string" } },
        { "name": "size", "type": "long" }, { "name": "modificationTime", "type": "long" },
        { "name": "dataChange", "type": "boolean" }, { "name": "stats", "type": "string" },
        { "name": "tags", "type": { "type": "map", "keyType": "string", "valueType": "string" } } ] } },
    { "name": "remove", "type": { "type": "struct", "fields": [
        { "name": "path", "type": "string" }, { "name": "deletionTimestamp", "type": "long" },
        { "name": "dataChange", "type": "boolean" }, { "name": "extendedFileMetadata", "type": "boolean" },
        { "name": "partitionValues", "type": { "type": "map", "keyType": "string", "valueType": "string" } },
        { "name": "size", "type": "long" } ] } },
    { "name": "metaData", "type": { "type": "struct", "fields": [
        { "name": "id", "type": "string" }, { "name": "name", "type": "string" },
        { "name": "description", "type": "string" },
        { "name": "format", "type": { "type": "struct", "fields": [
            { "name": "provider", "type": "string" },
            { "name": "options", "type": { "type": "map", "keyType": "string", "valueType": "string" } } ] } },
        { "name": "schemaString", "type": "string" },
        { "name": "partitionColumns", "type": { "type": "array", "elementType": "string" } },
        { "name": "createdTime", "type": "long" },
        { "name": "configuration", "type": { "type": "map", "keyType": "string", "valueType": "string" } } ] } },
    { "name": "protocol", "type": { "type": "struct", "fields": [
        { "name": "minReaderVersion", "type": "integer" }, { "name": "minWriterVersion", "type": "integer" },
        { "name": "readerFeatures", "type": { "type": "array", "elementType": "string" } },
        { "name": "writerFeatures", "type": { "type": "array", "elementType": "string" } } ] } }
] } }"#;

fn actions() -> Vec<DeltaField> {
    match schema::parse(ACTIONS) {
        Ok(SchemaDocument::Delta(fields)) => fields,
        other => unreachable!("it is a Delta schema: {other:?}"),
    }
}

/// Writes the checkpoint of a version. It goes on from a previous one, if there is one.
pub(crate) async fn write(
    store: &dyn Store,
    root: &str,
    version: u64,
    previous: Option<u64>,
    now_millis: u64,
) -> Result<(), Failure> {
    let mut entries = Vec::new();
    for version in previous.map_or(0, |v| v + 1)..=version {
        entries.push(get(store, format!("{root}/_delta_log/{version:020}.json")).await?);
    }
    let previous = match previous {
        Some(version) => Some(get(store, path(root, version)).await?),
        None => None,
    };
    let made = tokio::task::spawn_blocking(move || make(&entries, previous, now_millis)).await;
    let made = made.map_err(|error| error.to_string()).and_then(|made| made);
    let (bytes, size) = made.map_err(|why| Failure::later(Kind::Send, why))?;
    store.put(&path(root, version), bytes).await?;
    let last = json!({ "version": version, "size": size }).to_string();
    store.put(&format!("{root}/_delta_log/_last_checkpoint"), last.into()).await
}

async fn get(store: &dyn Store, path: String) -> Result<Bytes, Failure> {
    let found = store.get(&path).await?;
    found.ok_or_else(|| Failure::later(Kind::Send, format!("{path} is not there")))
}

/// The file, and how many actions are in it.
fn make(entries: &[Bytes], previous: Option<Bytes>, now_millis: u64) -> Result<(Bytes, usize), String> {
    let mut recent = Recent::default();
    for entry in entries {
        recent.take_up(entry)?;
    }
    let mut file = File::new()?;
    if let Some(previous) = previous {
        for action in read(previous, None)? {
            recent.fill(action?, &mut file)?;
        }
    }
    let Recent { protocol, metadata, transactions, added, removed, .. } = recent;
    let all = [("protocol", protocol), ("metaData", metadata)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .chain(transactions.into_values().map(|value| ("txn", value)))
        .chain(added.into_values().map(|value| ("add", value)))
        .chain(removed.into_values().map(|value| ("remove", value)));
    for (name, value) in all {
        let when = value["deletionTimestamp"].as_u64().unwrap_or(0);
        if name != "remove" || when.saturating_add(REMOVED_KEPT_MILLIS) > now_millis {
            file.push(name, value)?;
        }
    }
    file.finish()
}

fn path(root: &str, version: u64) -> String {
    format!("{root}/_delta_log/{version:020}.checkpoint.parquet")
}

/// What the entries since the previous checkpoint say.
#[derive(Default)]
struct Recent {
    protocol: Option<Value>,
    metadata: Option<Value>,
    transactions: BTreeMap<String, Value>,
    added: BTreeMap<String, Value>,
    removed: BTreeMap<String, Value>,
    /// All that were added or removed.
    touched: HashSet<String>,
}

impl Recent {
    fn take_up(&mut self, entry: &[u8]) -> Result<(), String> {
        for line in entry.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let action: Map<String, Value> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
            for (name, value) in action {
                let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
                let (path, app) = (text("path"), text("appId"));
                match name.as_str() {
                    "protocol" => self.protocol = Some(value),
                    "metaData" => self.metadata = Some(value),
                    "txn" => drop(self.transactions.insert(app, value)),
                    "add" => {
                        self.removed.remove(&path);
                        self.touched.insert(path.clone());
                        self.added.insert(path, value);
                    }
                    "remove" => {
                        self.added.remove(&path);
                        self.touched.insert(path.clone());
                        self.removed.insert(path, value);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Takes up an action of the previous checkpoint: what the entries since then say goes before.
    fn fill(&mut self, action: Map<String, Value>, file: &mut File) -> Result<(), String> {
        for (name, value) in action {
            let text = |member: &str| value[member].as_str().unwrap_or_default();
            match name.as_str() {
                "protocol" => {
                    self.protocol.get_or_insert(value);
                }
                "metaData" => {
                    self.metadata.get_or_insert(value);
                }
                "txn" => {
                    self.transactions.entry(text("appId").to_owned()).or_insert(value);
                }
                "add" if !self.touched.contains(text("path")) => file.push("add", value)?,
                "remove" if !self.touched.contains(text("path")) => {
                    self.removed.insert(text("path").to_owned(), value);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A checkpoint in the making.
struct File {
    columns: Columns,
    file: ParquetFile,
    actions: usize,
}

impl File {
    fn new() -> Result<Self, String> {
        let columns = Columns::new(&actions(), Undeclared::Skipped);
        let file = ParquetFile::new(&columns, Compression::Snappy).map_err(|e| e.to_string())?;
        Ok(Self { columns, file, actions: 0 })
    }

    fn push(&mut self, name: &str, value: Value) -> Result<(), String> {
        let action: Map<String, Value> = [(name.to_owned(), value)].into_iter().collect();
        let text = Value::Object(action).to_string();
        self.columns.push(text.as_bytes()).map_err(|misfit| misfit.to_string())?;
        self.actions += 1;
        self.file.added(text.len(), &mut self.columns).map(drop).map_err(|e| e.to_string())
    }

    fn finish(mut self) -> Result<(Bytes, usize), String> {
        let written = self.file.finish(&mut self.columns).map_err(|e| e.to_string())?;
        Ok((written.bytes, self.actions))
    }
}

/// The actions in a checkpoint: those that are asked for, or all.
pub(crate) fn read(
    bytes: Bytes,
    wanted: Option<&[&str]>,
) -> Result<impl Iterator<Item = Result<Map<String, Value>, String>>, String> {
    let reader = SerializedFileReader::new(bytes).map_err(|e| e.to_string())?;
    let root = reader.metadata().file_metadata().schema();
    let fields = root.get_fields().iter();
    let fields = fields.filter(|f| wanted.is_none_or(|wanted| wanted.contains(&f.name()))).cloned().collect();
    let projection =
        Type::group_type_builder(root.name()).with_fields(fields).build().map_err(|e| e.to_string())?;
    let rows =
        RowIter::from_file_into(Box::new(reader)).project(Some(projection)).map_err(|e| e.to_string())?;
    Ok(rows.map(|row| {
        let row = row.map_err(|e| e.to_string())?;
        let members = row.get_column_iter().map(|(name, field)| (name.clone(), to_json(field)));
        Ok(members.filter(|(_, value)| !value.is_null()).collect())
    }))
}

fn to_json(field: &Field) -> Value {
    match field {
        Field::Bool(value) => json!(value),
        Field::Byte(value) => json!(value),
        Field::Short(value) => json!(value),
        Field::Int(value) => json!(value),
        Field::Long(value) => json!(value),
        Field::Str(value) => json!(value),
        Field::Group(row) => {
            let members = row.get_column_iter().map(|(name, field)| (name.clone(), to_json(field)));
            Value::Object(members.collect())
        }
        Field::ListInternal(list) => list.elements().iter().map(to_json).collect(),
        Field::MapInternal(map) => {
            let text = |field: &Field| match field {
                Field::Str(text) => text.clone(),
                other => other.to_string(),
            };
            Value::Object(map.entries().iter().map(|(key, value)| (text(key), to_json(value))).collect())
        }
        // no action has others, as far as it matters here
        _ => Value::Null,
    }
}
