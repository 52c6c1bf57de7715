//! Records to files: one file for each write, of whatever fits the schema.
//!
//! A file is staged, brought in, and only then forgotten: after a failure nobody may know whether it is there, so it is
//! the same file that is tried again, before anything else, until that is clear.
//!
//! Over a crash it takes a record's place in the log that it was read from. A Delta table keeps the last place of each
//! log as an application transaction, committed with the rows; what comes again at or before it is known to be there.
//! Plain Parquet files have their places in their names, which tell the same for as long as they are not moved away.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parquet::errors::ParquetError;
use serde_json::Value;
use tidegate_core::{Chunking, LogPosition, Record, Rejected, Sink, WriteError};
use tidegate_model::endpoint::Batching;
use tidegate_model::schema::DeltaField;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::columns::{Columns, Undeclared};
use crate::failure::{Failure, Format, Kind};
use crate::file::{Compression, ParquetFile};
use crate::store::Store;
use crate::table::{Committed, NewFile, Table};
use crate::{schema, statistics};

/// Most records of a write if `maxMessages` sets no limit.
const RECORDS_MAX: usize = 1_000_000;

/// About the most bytes of JSON in a file: what is gathered is in memory.
const BYTES_MAX: usize = 64 << 20;

/// How often another writer may change the table in the middle of a write.
const OVERTAKEN_MAX: usize = 10;

/// The sink of one data flow instance.
pub(crate) struct LakeSink {
    pub(crate) endpoint: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) format: Format,
    /// `dataDestination` and what stands before it.
    pub(crate) folder: String,
    pub(crate) fields: Arc<[DeltaField]>,
    pub(crate) compression: Compression,
    /// Whether a record that lacks what must not be null takes all others of its file with it.
    pub(crate) drop_batches: bool,
    /// Names the instance of the flow among all that write here.
    pub(crate) app: String,
    /// Names this sink among all that there ever were.
    pub(crate) id: Uuid,
    pub(crate) batching: Batching,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// What is known of the destination; looked up anew after any failure.
    opened: Option<Opened>,
    /// A file of which it is not known whether it is there.
    staged: Option<Staged>,
    /// Messages of files that turned out to be there, until they come again.
    there: Messages,
    /// How many files with messages that have no place there were.
    unplaced: i64,
}

struct Opened {
    columns: Columns,
    table: Option<Table>,
    /// By log, the last place that is in the names of the files.
    last: HashMap<u64, u64>,
}

/// A file on its way into the destination.
struct Staged {
    file: NewFile,
    /// Gone once a Delta table has them; its log may yet have to be told.
    bytes: Option<Bytes>,
    /// By log, the first and the last place in it.
    places: BTreeMap<u64, (u64, u64)>,
    transactions: Vec<(String, i64)>,
    /// Payloads of the messages that have no place.
    messages: Vec<Bytes>,
}

/// Messages, known again as long as they are not let go: by where their payload is in memory, and how often.
#[derive(Clone, Default)]
struct Messages(HashMap<(usize, usize), Vec<Bytes>>);

impl Messages {
    fn add(&mut self, payloads: &[Bytes]) {
        for payload in payloads {
            self.0.entry(Self::key(payload)).or_default().push(payload.clone());
        }
    }

    /// Whether it is one of them, which it then no longer is.
    fn take(&mut self, payload: &Bytes) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Entry::Occupied(mut same) = self.0.entry(Self::key(payload)) else { return false };
        same.get_mut().pop();
        if same.get().is_empty() {
            same.remove();
        }
        true
    }

    fn key(payload: &Bytes) -> (usize, usize) {
        (payload.as_ptr().addr(), payload.len())
    }
}

impl LakeSink {
    /// Opens the destination unless it is open.
    async fn opened<'a>(&self, slot: &'a mut Option<Opened>) -> Result<&'a mut Opened, Failure> {
        match slot {
            Some(opened) => Ok(opened),
            None => Ok(slot.insert(self.open().await?)),
        }
    }

    async fn open(&self) -> Result<Opened, Failure> {
        self.store.prepare(&self.folder).await?;
        if self.format == Format::Delta {
            self.store.prepare(&format!("{}/_delta_log", self.folder)).await?;
            let (table, fields) = self.open_table().await?;
            return Ok(Opened {
                columns: Columns::new(&fields, Undeclared::Refused),
                table: Some(table),
                last: HashMap::new(),
            });
        }
        let mut last = HashMap::new();
        for (log, number) in
            self.store.list(&self.folder).await?.iter().filter_map(|name| self.last_place(name))
        {
            let last = last.entry(log).or_insert(number);
            *last = number.max(*last);
        }
        Ok(Opened { columns: Columns::new(&self.fields, Undeclared::Refused), table: None, last })
    }

    /// The table, with every column there is to write, and these columns.
    async fn open_table(&self) -> Result<(Table, Vec<DeltaField>), Failure> {
        let store = &*self.store;
        let misfit = |why| Failure::refused(Kind::Configuration, format!("table `{}`: {why}", self.folder));
        let mut table = Table::open(store, &self.folder).await?;
        for _ in 0..OVERTAKEN_MAX {
            let Some(metadata) = table.metadata() else {
                let schema = schema::to_json(&self.fields).to_string();
                table.create(store, &schema, schema::has_local_time(&self.fields)).await?;
                continue;
            };
            table.check_writable().map_err(misfit)?;
            let agreed = schema::agree(&self.fields, &metadata.schema).map_err(misfit)?;
            match agreed.extended {
                None => return Ok((table, agreed.fields)),
                Some(_) if schema::has_local_time(&self.fields) && !table.has_feature("timestampNtz") => {
                    return Err(misfit(
                        "a `timestamp_ntz` column can't be added to it; write to another table".into(),
                    ));
                }
                Some(schema) => table.set_schema(store, &schema).await?,
            };
        }
        Err(self.overtaken())
    }

    fn overtaken(&self) -> Failure {
        Failure::later(Kind::Send, format!("others change table `{}` all the time", self.folder))
    }

    async fn try_write(&self, records: &[Record]) -> Result<Vec<Rejected>, Failure> {
        let mut state = self.state.lock().await;
        for _ in 0..OVERTAKEN_MAX {
            match self.write_once(&mut state, records).await {
                Ok(Some(rejected)) => return Ok(rejected),
                Ok(None) => state.opened = None,
                Err(failure) => {
                    state.opened = None;
                    return Err(failure);
                }
            }
        }
        Err(self.overtaken())
    }

    /// Writes what is not there yet; gives what does not fit. None if the table has to be looked at anew.
    async fn write_once(
        &self,
        state: &mut State,
        records: &[Record],
    ) -> Result<Option<Vec<Rejected>>, Failure> {
        let opened = self.opened(&mut state.opened).await?;
        if let Some(staged) = &mut state.staged {
            if self.commit(opened, staged).await? == Committed::Overtaken {
                return Ok(None);
            }
            state.there.add(&staged.messages);
            state.staged = None;
        }
        state.unplaced += 1;
        let mut there = state.there.clone();
        let (staged, rejected) = self.stage(opened, &mut there, state.unplaced, records).await?;
        if let Some(staged) = staged {
            let staged = state.staged.insert(staged);
            if self.commit(opened, staged).await? == Committed::Overtaken {
                return Ok(None);
            }
            state.staged = None;
        }
        state.there = there;
        Ok(Some(rejected))
    }

    /// A file of what is not there yet, if that is anything, and what does not fit.
    async fn stage(
        &self,
        opened: &mut Opened,
        there: &mut Messages,
        unplaced: i64,
        records: &[Record],
    ) -> Result<(Option<Staged>, Vec<Rejected>), Failure> {
        let mut rejected = Vec::new();
        // why none of them is written
        let mut absence = None;
        let mut file = ParquetFile::new(&opened.columns, self.compression).map_err(|e| unwritable(&e))?;
        let mut places: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut messages = Vec::new();
        let mut taken = Vec::new();
        // the last place that is there, of the log that was asked for last
        let mut last: Option<(u64, Option<u64>)> = None;
        for (index, record) in records.iter().enumerate() {
            // what does not fit is told again, whether or not it was before
            if let Err(misfit) = opened.columns.push(&record.payload) {
                if self.drop_batches && misfit.is_absence() {
                    absence.get_or_insert_with(|| misfit.to_string());
                }
                rejected.push(Rejected { index, reason: misfit.to_string(), expired: false });
                continue;
            }
            let is_there = match record.position {
                Some(LogPosition { log, number }) => {
                    if last.is_none_or(|(of, _)| of != log) {
                        last = Some((log, self.last(opened, log)));
                    }
                    last.is_some_and(|(_, last)| last.is_some_and(|last| number <= last))
                }
                None => there.take(&record.payload),
            };
            if is_there {
                opened.columns.pop();
                continue;
            }
            if self.drop_batches {
                taken.push(index);
            }
            match record.position {
                Some(LogPosition { log, number }) => places.entry(log).or_insert((number, number)).1 = number,
                None => messages.push(record.payload.clone()),
            }
            if file.added(record.payload.len(), &mut opened.columns).map_err(|e| unwritable(&e))? {
                tokio::task::yield_now().await;
            }
        }
        if let Some(why) = absence {
            opened.columns.take();
            let reason = format!("failed to commit record into a batch, dropping it: {why}");
            rejected.extend(taken.into_iter().map(|index| Rejected {
                index,
                reason: reason.clone(),
                expired: false,
            }));
            return Ok((None, rejected));
        }
        if file.rows() + opened.columns.rows() == 0 {
            return Ok((None, rejected));
        }
        let written = file.finish(&mut opened.columns).map_err(|e| unwritable(&e))?;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut transactions: Vec<_> =
            places.iter().map(|(log, (_, last))| (self.transaction(*log), number(*last))).collect();
        if !messages.is_empty() {
            transactions.push((format!("tidegate/{}/{}", self.app, self.id), unplaced));
        }
        let name = match (self.format, places.first_key_value()) {
            (Format::Parquet, Some((log, (first, last)))) if transactions.len() == 1 => {
                self.name(*log, *first, *last)
            }
            _ => format!("part-00001-{}-c000{}", Uuid::new_v4(), self.compression.extension()),
        };
        let statistics = match self.format {
            Format::Delta => statistics::of(&written, opened.columns.schema()),
            Format::Parquet => Value::Null,
        };
        let file = NewFile { name, size: written.bytes.len(), statistics };
        let bytes = Some(written.bytes);
        Ok((Some(Staged { file, bytes, places, transactions, messages }), rejected))
    }

    /// Brings a file in, unless it turns out to be there.
    async fn commit(&self, opened: &mut Opened, staged: &mut Staged) -> Result<Committed, Failure> {
        let path = format!("{}/{}", self.folder, staged.file.name);
        let Some(table) = &mut opened.table else {
            self.store.put(&path, staged.bytes.clone().unwrap_or_default()).await?;
            opened.last.extend(staged.places.iter().map(|(log, (_, last))| (*log, *last)));
            return Ok(Committed::Done);
        };
        let mut transactions = staged.transactions.iter();
        if transactions.all(|(app, number)| table.transaction(app).is_some_and(|last| last >= *number)) {
            return Ok(Committed::Done);
        }
        if let Some(bytes) = &staged.bytes {
            self.store.put(&path, bytes.clone()).await?;
            staged.bytes = None;
        }
        let committed = table.append(&*self.store, &staged.file, &staged.transactions).await?;
        if committed == Committed::Done {
            table.checkpoint(&*self.store).await;
        }
        Ok(committed)
    }

    /// The last place in a log that is there, and so all before it: they are written in their order.
    fn last(&self, opened: &Opened, log: u64) -> Option<u64> {
        match &opened.table {
            Some(table) => {
                table.transaction(&self.transaction(log)).and_then(|last| u64::try_from(last).ok())
            }
            None => opened.last.get(&log).copied(),
        }
    }

    /// The application id of this instance's transactions.
    fn transaction(&self, log: u64) -> String {
        format!("tidegate/{}/{log:016x}", self.app)
    }

    fn name(&self, log: u64, first: u64, last: u64) -> String {
        let (app, extension) = (self.app.replace('/', "."), self.compression.extension());
        format!("part-{app}-{log:016x}-{first:020}-{last:020}{extension}")
    }

    /// What a file's name says: the log, and the last place in it.
    fn last_place(&self, name: &str) -> Option<(u64, u64)> {
        let app = self.app.replace('/', ".");
        let rest = name.strip_prefix("part-")?.strip_prefix(&*app)?.strip_prefix('-')?;
        let mut parts = rest.split_once('.')?.0.split('-');
        let log = u64::from_str_radix(parts.next()?, 16).ok()?;
        let (_first, last) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some((log, last))
    }
}

fn unwritable(error: &ParquetError) -> Failure {
    Failure::later(Kind::Send, format!("the rows can't be made into a Parquet file: {error}"))
}

#[async_trait]
impl Sink for LakeSink {
    async fn prepare(&self) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        match self.opened(&mut state.opened).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.of_sink(&self.endpoint, self.format)),
        }
    }

    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        match self.try_write(records).await {
            Ok(rejected) if rejected.is_empty() => Ok(()),
            Ok(rejected) => Err(WriteError::Reject(rejected)),
            Err(failure) => Err(failure.of_sink(&self.endpoint, self.format)),
        }
    }

    fn chunking(&self) -> Chunking {
        let records_max = self.batching.messages_max.and_then(|n| usize::try_from(n).ok());
        Chunking {
            latency: self.batching.latency,
            records_max: records_max.map_or(RECORDS_MAX, |n| n.clamp(1, RECORDS_MAX)),
            bytes_max: BYTES_MAX,
        }
    }
}
