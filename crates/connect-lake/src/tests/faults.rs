//! Writers of one table on a store that fails before, after and long after it has done its work; writers that crash;
//! sources that hand over what was not acknowledged cut up otherwise. In the end every row is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tidegate_core::{LogPosition, Record, Sink, WriteError};
use tidegate_model::endpoint::Batching;
use tidegate_model::schema::DeltaType;

use super::{cases, field};
use crate::failure::{Failure, Format, Kind};
use crate::file::Compression;
use crate::sink::LakeSink;
use crate::store::Store;

const FOLDER: &str = "table";

/// Files in memory.
struct FaultyStore {
    random: Mutex<StdRng>,
    files: Mutex<BTreeMap<String, Bytes>>,
    /// Requests whose client has given up and that are still on their way.
    late: Mutex<Vec<Put>>,
    /// How many of a thousand calls fail, and whether requests may be late.
    failures: Mutex<(u32, bool)>,
}

struct Put {
    path: String,
    bytes: Bytes,
    new: bool,
}

/// What becomes of a call.
enum Fate {
    Well,
    Unheard,
    Unanswered,
    Late,
}

impl FaultyStore {
    fn new(seed: u64, failures: u32, late: bool) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            files: Mutex::default(),
            late: Mutex::default(),
            failures: Mutex::new((failures, late)),
        })
    }

    async fn fate(&self) -> Fate {
        // others have their turn at any call
        for _ in 0..self.below(3) {
            tokio::task::yield_now().await;
        }
        if self.below(10) == 0 {
            self.arrive();
        }
        let (failures, late) = *self.failures.lock();
        if self.below(1000) >= failures {
            return Fate::Well;
        }
        match self.below(3) {
            0 => Fate::Unheard,
            1 if late => Fate::Late,
            _ => Fate::Unanswered,
        }
    }

    fn below(&self, n: u32) -> u32 {
        self.random.lock().random_range(0..n)
    }

    /// A late request arrives.
    fn arrive(&self) {
        let put = {
            let mut late = self.late.lock();
            if late.is_empty() {
                return;
            }
            let one = self.random.lock().random_range(0..late.len());
            late.swap_remove(one)
        };
        self.take(put);
    }

    fn take(&self, put: Put) -> bool {
        let mut files = self.files.lock();
        if put.new && files.contains_key(&put.path) {
            return false;
        }
        files.insert(put.path, put.bytes);
        true
    }

    async fn call(&self, put: Put) -> Result<bool, Failure> {
        let failure = || Err(Failure::later(Kind::Send, "injected"));
        match self.fate().await {
            Fate::Well => Ok(self.take(put)),
            Fate::Unheard => failure(),
            Fate::Unanswered => {
                self.take(put);
                failure()
            }
            Fate::Late => {
                self.late.lock().push(put);
                failure()
            }
        }
    }

    /// The numbers in the files, with how often they are there.
    fn numbers(&self, names: impl IntoIterator<Item = String>) -> Vec<i64> {
        let files = self.files.lock();
        let mut numbers = Vec::new();
        for name in names {
            let reader = SerializedFileReader::new(files[&name].clone()).unwrap();
            numbers.extend(reader.get_row_iter(None).unwrap().map(|row| row.unwrap().get_long(0).unwrap()));
        }
        numbers.sort_unstable();
        numbers
    }

    /// The files that the log names, read as simply as can be.
    fn in_the_log(&self) -> Vec<String> {
        let files = self.files.lock();
        let mut names = BTreeSet::new();
        for version in 0.. {
            let Some(entry) = files.get(&format!("{FOLDER}/_delta_log/{version:020}.json")) else { break };
            for line in entry.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                let action: Value = serde_json::from_slice(line).unwrap();
                if let Some(path) = action["add"]["path"].as_str() {
                    assert!(names.insert(format!("{FOLDER}/{path}")), "{path} is added twice");
                }
            }
        }
        names.into_iter().collect()
    }

    fn in_the_folder(&self) -> Vec<String> {
        self.files.lock().keys().filter(|name| name.ends_with(".parquet")).cloned().collect()
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn prepare(&self, _folder: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Failure> {
        self.call(Put { path: path.into(), bytes, new: false }).await.map(drop)
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<bool, Failure> {
        self.call(Put { path: path.into(), bytes, new: true }).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Failure> {
        match self.fate().await {
            Fate::Well => Ok(self.files.lock().get(path).cloned()),
            _ => Err(Failure::later(Kind::Send, "injected")),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, Failure> {
        let Fate::Well = self.fate().await else { return Err(Failure::later(Kind::Send, "injected")) };
        let inside = |path: &String| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        Ok(self.files.lock().keys().filter_map(inside).collect())
    }
}

/// A flow with numbered messages.
struct Writer {
    store: Arc<FaultyStore>,
    format: Format,
    app: &'static str,
    random: StdRng,
    records: Vec<Record>,
    /// Whether messages have their places, so that a crash does no harm.
    placed: bool,
}

impl Writer {
    fn new(
        store: &Arc<FaultyStore>,
        format: Format,
        app: &'static str,
        numbers: std::ops::Range<u64>,
        placed: bool,
    ) -> Self {
        let record = |number: u64| Record {
            position: placed.then_some(LogPosition { log: numbers.start, number: number - numbers.start }),
            ..Record::new("in", payload(number), Instant::now())
        };
        Self {
            store: store.clone(),
            format,
            app,
            random: StdRng::seed_from_u64(numbers.start),
            records: numbers.clone().map(record).collect(),
            placed,
        }
    }

    fn sink(&self) -> LakeSink {
        LakeSink {
            endpoint: "lake".into(),
            store: self.store.clone(),
            format: self.format,
            folder: FOLDER.into(),
            fields: [field("n", DeltaType::Long, false)].into(),
            compression: Compression::Snappy,
            drop_batches: false,
            app: self.app.into(),
            id: uuid::Uuid::new_v4(),
            batching: Batching { latency: Duration::ZERO, messages_max: None },
            state: tokio::sync::Mutex::default(),
        }
    }

    /// Hands over everything until it is delivered or refused.
    async fn run(mut self) {
        let mut sink = self.sink();
        let mut acknowledged = 0;
        while acknowledged < self.records.len() {
            let upto = (acknowledged + self.random.random_range(1..20)).min(self.records.len());
            let mut chunk = &self.records[acknowledged..upto];
            loop {
                match sink.write(chunk).await {
                    Ok(()) => assert!(!chunk.iter().any(is_misfit)),
                    Err(WriteError::Reject(rejected)) => {
                        let misfits: Vec<usize> =
                            (0..chunk.len()).filter(|i| is_misfit(&chunk[*i])).collect();
                        assert_eq!(rejected.iter().map(|r| r.index).collect::<Vec<_>>(), misfits);
                    }
                    Err(WriteError::Retry { written: 0, .. }) => {
                        match self.random.random_range(0..8) {
                            0 if self.placed => sink = self.sink(),
                            // the source was opened anew
                            1 => {
                                let upto =
                                    (acknowledged + self.random.random_range(1..20)).min(self.records.len());
                                chunk = &self.records[acknowledged..upto];
                            }
                            _ => {}
                        }
                        continue;
                    }
                    Err(other) => panic!("{other:?}"),
                }
                break;
            }
            acknowledged += chunk.len();
        }
    }
}

fn payload(number: u64) -> String {
    if number % 17 == 16 { format!("{{\"m\":{number}}}") } else { format!("{{\"n\":{number}}}") }
}

fn is_misfit(record: &Record) -> bool {
    record.payload.starts_with(b"{\"m")
}

fn expected(numbers: impl IntoIterator<Item = u64>) -> Vec<i64> {
    numbers.into_iter().filter(|n| n % 17 != 16).map(|n| n as i64).collect()
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn rows_are_in_the_table_once(seed: u64, failures in 0u32..400, placed: [bool; 3]) {
        let store = FaultyStore::new(seed, failures, true);
        let [a, b, c] = placed;
        block_on(async {
            tokio::join!(
                Writer::new(&store, Format::Delta, "ns/a/0", 0..60, a).run(),
                Writer::new(&store, Format::Delta, "ns/b/0", 1000..1060, b).run(),
                Writer::new(&store, Format::Delta, "ns/c/0", 2000..2060, c).run(),
            );
        });
        // what was late may come now
        while !store.late.lock().is_empty() {
            store.arrive();
        }
        let numbers = (0..60).chain(1000..1060).chain(2000..2060);
        prop_assert_eq!(store.numbers(store.in_the_log()), expected(numbers));
    }

    /// A request for a file that comes after its writer has crashed and its successor has looked is beyond anybody's power.
    #[test]
    fn rows_are_in_the_files_once(seed: u64, failures in 0u32..400, placed: [bool; 2]) {
        let late = !(placed[0] || placed[1]);
        let store = FaultyStore::new(seed, failures, late);
        let [a, b] = placed;
        block_on(async {
            tokio::join!(
                Writer::new(&store, Format::Parquet, "ns/a/0", 0..60, a).run(),
                Writer::new(&store, Format::Parquet, "ns/b/0", 1000..1060, b).run(),
            );
        });
        while !store.late.lock().is_empty() {
            store.arrive();
        }
        prop_assert_eq!(store.numbers(store.in_the_folder()), expected((0..60).chain(1000..1060)));
    }
}
