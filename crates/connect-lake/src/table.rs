//! A Delta table's log (the *Delta Transaction Log Protocol*): read up to its end, and extended by one entry at a time.
//!
//! An entry is made by a put-if-absent of exactly the next version, so nothing can have come between what is known of
//! the table and what is added to it. After an answer got lost, the log is read back: the entry is there or not.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::checkpoint;
use crate::failure::{Failure, Kind};
use crate::store::Store;

/// How often the next version may turn out to be another writer's before it is somebody else's turn.
const CONFLICTS_MAX: usize = 100;

/// So many entries make a checkpoint worth while.
const CHECKPOINT_INTERVAL: u64 = 100;

/// What is known of a table.
#[derive(Debug)]
pub(crate) struct Table {
    root: String,
    /// Of the last entry; none before there is one.
    version: Option<u64>,
    /// The version of the newest checkpoint that is known.
    checkpoint: Option<u64>,
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    transactions: HashMap<String, i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protocol {
    min_writer_version: i32,
    #[serde(default)]
    writer_features: Option<Vec<String>>,
}

/// `metaData`, as far as a writer needs it; and all of it.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) schema: String,
    partitioned: bool,
    configuration: HashMap<String, String>,
    whole: Value,
}

/// One line of an entry, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    protocol: Option<Protocol>,
    meta_data: Option<Value>,
    txn: Option<Transaction>,
    add: Option<Add>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    app_id: String,
    version: i64,
}

#[derive(Deserialize)]
struct Add {
    path: String,
}

/// A file that is to become part of the table.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    /// Its name in the table's folder.
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: usize,
    /// `stats`: Per-file Statistics of the protocol.
    pub(crate) statistics: Value,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is in the log.
    Done,
    /// Another writer changed something that it relies on. It is not in the log.
    Overtaken,
}

impl Table {
    /// Reads the log in `root`; of a table that does not exist nothing is known.
    pub(crate) async fn open(store: &dyn Store, root: &str) -> Result<Self, Failure> {
        let mut table = Self {
            root: root.into(),
            version: None,
            checkpoint: None,
            protocol: None,
            metadata: None,
            transactions: HashMap::new(),
        };
        let names = store.list(&format!("{root}/_delta_log")).await?;
        for name in checkpoints(&names) {
            let path = format!("{root}/_delta_log/{}", name.name);
            let Some(bytes) = store.get(&path).await? else { continue };
            match actions_of(bytes) {
                Ok(actions) => {
                    actions.into_iter().try_for_each(|action| table.apply(action, &[]).map(drop))?;
                    table.version = Some(name.version);
                    table.checkpoint = Some(name.version);
                    break;
                }
                // entries may do instead
                Err(error) => tracing::warn!(path, %error, "a checkpoint can't be read"),
            }
        }
        for name in &names {
            let Some(version) = entry_version(name).filter(|v| table.version.is_none_or(|known| *v > known))
            else {
                continue;
            };
            if version != table.next() {
                let message = format!("the log of table `{root}` has no entry {}; restore it", table.next());
                return Err(Failure::refused(Kind::Configuration, message));
            }
            let path = format!("{root}/_delta_log/{name}");
            let entry = store.get(&path).await?.ok_or_else(|| {
                Failure::later(Kind::Send, format!("{path} went away while the table was being opened"))
            })?;
            table.take_up(&entry, &[])?;
        }
        Ok(table)
    }

    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The version that an application last committed.
    pub(crate) fn transaction(&self, app: &str) -> Option<i64> {
        self.transactions.get(app).copied()
    }

    pub(crate) fn has_feature(&self, feature: &str) -> bool {
        let features = self.protocol.as_ref().and_then(|p| p.writer_features.as_ref());
        features.is_some_and(|features| features.iter().any(|f| f == feature))
    }

    fn next(&self) -> u64 {
        self.version.map_or(0, |version| version + 1)
    }

    fn entry_path(&self, version: u64) -> String {
        format!("{}/_delta_log/{version:020}.json", self.root)
    }

    /// Whether rows can be appended to it in the plain way; why not, as a sentence.
    pub(crate) fn check_writable(&self) -> Result<(), String> {
        // features that do not concern whoever appends, as long as they are not in use
        const HARMLESS: [&str; 12] = [
            "appendOnly",
            "invariants",
            "checkConstraints",
            "changeDataFeed",
            "generatedColumns",
            "columnMapping",
            "identityColumns",
            "timestampNtz",
            "deletionVectors",
            "domainMetadata",
            "typeWidening",
            "vacuumProtocolCheck",
        ];
        let (Some(protocol), Some(metadata)) = (&self.protocol, &self.metadata) else {
            return Err(format!("the log of table `{}` has no protocol or no metadata", self.root));
        };
        let features = protocol.writer_features.iter().flatten();
        let strange = features.map(String::as_str).find(|f| !HARMLESS.contains(f));
        if let Some(feature) = strange {
            return Err(format!("the table has feature `{feature}`, which this version can't write"));
        }
        if protocol.min_writer_version > 7 {
            return Err(format!("the table wants writers of version {}", protocol.min_writer_version));
        }
        if metadata.partitioned {
            return Err("the table is partitioned, which this version can't write".into());
        }
        let set = |key: &str| metadata.configuration.get(key).map(String::as_str);
        if set("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
            return Err("the table maps its columns, which this version can't write".into());
        }
        let in_schema = ["delta.invariants", "delta.generationExpression", "delta.identity."];
        if metadata.configuration.keys().any(|key| key.starts_with("delta.constraints."))
            || in_schema.iter().any(|key| metadata.schema.contains(key))
        {
            return Err(
                "the table has constraints or generated columns, which this version can't write".into()
            );
        }
        Ok(())
    }

    /// Creates the table, unless somebody else does first.
    pub(crate) async fn create(
        &mut self,
        store: &dyn Store,
        schema: &str,
        local_time: bool,
    ) -> Result<(), Failure> {
        let protocol = if local_time {
            json!({
                "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"],
            })
        } else {
            json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
        };
        let metadata = json!({
            "id": Uuid::new_v4().to_string(),
            "format": { "provider": "parquet", "options": {} },
            "schemaString": schema,
            "partitionColumns": [],
            "configuration": {},
            "createdTime": now_millis(),
        });
        let actions = [
            commit_info("CREATE TABLE", &json!({})),
            json!({ "protocol": protocol }),
            json!({ "metaData": metadata }),
        ];
        // whoever was first, there is a table now
        self.commit(store, &actions, &[], None).await.map(drop)
    }

    /// Gives the table another schema.
    pub(crate) async fn set_schema(&mut self, store: &dyn Store, schema: &str) -> Result<Committed, Failure> {
        let Some(metadata) = &self.metadata else { return Ok(Committed::Overtaken) };
        let mut whole = metadata.whole.clone();
        whole["schemaString"] = schema.into();
        let actions = [commit_info("ADD COLUMN", &json!({})), json!({ "metaData": whole })];
        self.commit(store, &actions, &[], None).await
    }

    /// Adds a file and the transactions that brought it, in one entry.
    pub(crate) async fn append(
        &mut self,
        store: &dyn Store,
        file: &NewFile,
        transactions: &[(String, i64)],
    ) -> Result<Committed, Failure> {
        let mut actions = vec![commit_info("WRITE", &json!({ "mode": "Append", "partitionBy": "[]" }))];
        actions.extend(transactions.iter().map(|(app, version)| {
            json!({ "txn": { "appId": app, "version": version, "lastUpdated": now_millis() } })
        }));
        actions.push(json!({ "add": {
            "path": file.name,
            "partitionValues": {},
            "size": file.size,
            "modificationTime": now_millis(),
            "dataChange": true,
            "stats": file.statistics.to_string(),
        }}));
        let apps: Vec<&str> = transactions.iter().map(|(app, _)| app.as_str()).collect();
        self.commit(store, &actions, &apps, Some(&file.name)).await
    }

    /// Writes a checkpoint if it is time for one. Without it the table is whole too, so that it may fail.
    pub(crate) async fn checkpoint(&mut self, store: &dyn Store) {
        let Some(version) = self.version else { return };
        if version < self.checkpoint.unwrap_or(0) + CHECKPOINT_INTERVAL || !self.is_plain() {
            return;
        }
        match checkpoint::write(store, &self.root, version, self.checkpoint, now_millis()).await {
            Ok(()) => self.checkpoint = Some(version),
            Err(failure) => {
                tracing::warn!(
                    table = self.root,
                    version,
                    error = failure.message,
                    "no checkpoint was written"
                );
            }
        }
    }

    /// Whether its log has no actions that a checkpoint of ours would lack.
    fn is_plain(&self) -> bool {
        const WITHOUT_ACTIONS: [&str; 4] = ["appendOnly", "invariants", "timestampNtz", "columnMapping"];
        let features = self.protocol.iter().flat_map(|p| p.writer_features.iter().flatten());
        features.map(String::as_str).all(|feature| WITHOUT_ACTIONS.contains(&feature))
    }

    /// Adds an entry. It is ours to be found by `file`, or it is overtaken by any other that changes the table or speaks
    /// for one of `apps`.
    async fn commit(
        &mut self,
        store: &dyn Store,
        actions: &[Value],
        apps: &[&str],
        file: Option<&str>,
    ) -> Result<Committed, Failure> {
        let mut entry = String::new();
        for action in actions {
            entry.push_str(&action.to_string());
            entry.push('\n');
        }
        let entry = Bytes::from(entry);
        for _ in 0..CONFLICTS_MAX {
            let path = self.entry_path(self.next());
            let failure = match store.put_new(&path, entry.clone()).await {
                Ok(true) => {
                    self.take_up(&entry, &[])?;
                    return Ok(Committed::Done);
                }
                Ok(false) => None,
                Err(failure) => Some(failure),
            };
            // it may have been written all the same
            let Some(found) = store.get(&path).await? else {
                return Err(failure.unwrap_or_else(|| {
                    Failure::later(Kind::Send, format!("{path} is there and can't be read"))
                }));
            };
            if found == entry {
                self.take_up(&entry, &[])?;
                return Ok(Committed::Done);
            }
            let seen = self.take_up(&found, apps)?;
            if file.is_some_and(|file| seen.files.iter().any(|f| f == file)) {
                return Ok(Committed::Done);
            }
            if seen.changes || file.is_none() {
                return Ok(Committed::Overtaken);
            }
        }
        Err(Failure::later(Kind::Send, format!("others write to table `{}` all the time", self.root)))
    }

    /// Takes up the next entry.
    fn take_up(&mut self, entry: &[u8], apps: &[&str]) -> Result<Seen, Failure> {
        let version = self.next();
        let mut seen = Seen::default();
        for line in entry.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let action: Action = serde_json::from_slice(line).map_err(|e| self.unreadable(version, &e))?;
            if let Some(add) = &action.add {
                seen.files.push(add.path.clone());
            }
            seen.changes |= self.apply(action, apps)?;
        }
        self.version = Some(version);
        Ok(seen)
    }

    /// Takes up an action; whether it changes the table or speaks for one of `apps`.
    fn apply(&mut self, action: Action, apps: &[&str]) -> Result<bool, Failure> {
        let mut changes = false;
        if let Some(Transaction { app_id, version }) = action.txn {
            changes |= apps.contains(&app_id.as_str());
            self.transactions.insert(app_id, version);
        }
        if let Some(protocol) = action.protocol {
            changes = true;
            self.protocol = Some(protocol);
        }
        if let Some(whole) = action.meta_data {
            changes = true;
            let schema = whole["schemaString"].as_str().unwrap_or_default().to_owned();
            let partitioned = whole["partitionColumns"].as_array().is_some_and(|columns| !columns.is_empty());
            let configuration = serde_json::from_value(whole["configuration"].clone()).unwrap_or_default();
            self.metadata = Some(Metadata { schema, partitioned, configuration, whole });
        }
        Ok(changes)
    }

    fn unreadable(&self, version: u64, error: &dyn std::fmt::Display) -> Failure {
        let message = format!(
            "entry {version} of the log of table `{}` can't be read ({error}); restore it",
            self.root
        );
        Failure::refused(Kind::Configuration, message)
    }
}

/// What there is in an entry.
#[derive(Default)]
struct Seen {
    files: Vec<String>,
    changes: bool,
}

fn commit_info(operation: &str, parameters: &Value) -> Value {
    json!({ "commitInfo": {
        "timestamp": now_millis(),
        "operation": operation,
        "operationParameters": parameters,
        "isBlindAppend": operation == "WRITE",
        "engineInfo": concat!("tidegate/", env!("CARGO_PKG_VERSION")),
        // so that two entries are never the same
        "txnId": Uuid::new_v4().to_string(),
    }})
}

fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The version of a log entry, by its name.
fn entry_version(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

struct Checkpoint<'a> {
    version: u64,
    name: &'a str,
}

/// Checkpoints in one file, the newest first.
fn checkpoints(names: &[String]) -> Vec<Checkpoint<'_>> {
    let read = |name| {
        let digits: &str = str::strip_suffix(name, ".checkpoint.parquet")?;
        (digits.len() == 20).then_some(Checkpoint { version: digits.parse().ok()?, name })
    };
    let mut found: Vec<_> = names.iter().filter_map(|name| read(name.as_str())).collect();
    found.sort_by_key(|c| std::cmp::Reverse(c.version));
    found
}

/// The protocol, the metadata and the transactions of a checkpoint.
fn actions_of(bytes: Bytes) -> Result<Vec<Action>, String> {
    checkpoint::read(bytes, Some(&["protocol", "metaData", "txn"]))?
        .filter(|action| !action.as_ref().is_ok_and(Map::is_empty))
        .map(|action| serde_json::from_value(Value::Object(action?)).map_err(|e| e.to_string()))
        .collect()
}
