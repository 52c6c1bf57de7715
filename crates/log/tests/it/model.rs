//! The log beside a queue that can't fail, on a disk that does: whatever goes wrong in whatever order, the log holds what
//! it said it holds.
//!
//! `TIDEGATE_FUZZ_SECONDS` makes the test go on with new seeds for that long; `TIDEGATE_FUZZ_SEED` runs one seed.

use std::collections::BTreeMap;
use std::env;
use std::panic;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use tidegate_log::sim::{Faults, SimDisk};
use tidegate_log::{
    AppendError, Consumer, Cursor, Entry, Log, OpenError, Options, Position, ReadError, StartAt, Writer,
};

const SEEDS: u64 = 400;
const STEPS: usize = 300;
const CONSUMERS: [&str; 3] = ["lake", "twin", "session/a"];

#[test]
fn what_was_durable_outlives_every_crash_and_fault() {
    let variable = |name| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seeds: Box<dyn Iterator<Item = u64>> =
        match (variable("TIDEGATE_FUZZ_SEED"), variable("TIDEGATE_FUZZ_SECONDS")) {
            (Some(seed), _) => Box::new([seed].into_iter()),
            (None, None) => Box::new(0..SEEDS),
            (None, Some(seconds)) => {
                let end = Instant::now() + Duration::from_secs(seconds);
                let first = rand::random::<u32>().into();
                Box::new((0..SEEDS).chain((first..).take_while(move |_| Instant::now() < end)))
            }
        };
    for seed in seeds {
        if let Err(failure) = panic::catch_unwind(|| Run::new(seed).all()) {
            eprintln!("this was seed {seed}: TIDEGATE_FUZZ_SEED={seed} runs it again");
            panic::resume_unwind(failure);
        }
    }
}

/// The watermarks and memos of all consumers.
type Table = BTreeMap<String, (u64, Bytes)>;

/// Every record of the log's life that still counts, by its number. Others append while the log is at the disk.
type Appended = Arc<Mutex<Vec<(Position, Vec<u8>)>>>;

fn append(log: &Log, random: &mut SmallRng, len_max: usize, appended: &Appended) {
    let mut payload = vec![0; random.random_range(0..=len_max)];
    random.fill_bytes(&mut payload);
    let (left, right) = payload.split_at(random.random_range(0..=payload.len()));
    let mut appended = appended.lock();
    match log.try_append(&[left, right]) {
        Ok(at) => {
            assert_eq!(at.number, appended.len() as u64);
            appended.push((at, payload));
        }
        Err(AppendError::Full) => {}
        Err(e) => panic!("{e}"),
    }
}

struct Run {
    random: SmallRng,
    disk: SimDisk,
    options: Options,
    log: Log,
    writer: Writer,
    readers: BTreeMap<String, Cursor>,
    appended: Appended,
    /// The log said that so many are on disk.
    durable: u64,
    table: Table,
    /// The table that the log said is saved, and those it tried to save since.
    saved: Table,
    attempted: Vec<Table>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let disk = SimDisk::new(random.next_u64());
        let segment_bytes_max = random.random_range(1024..8192);
        let unsynced_bytes_max = random.random_range(512..=segment_bytes_max);
        let options = Options {
            bytes_max: 2 * segment_bytes_max + 4096 + random.random_range(0..8192),
            segment_bytes_max,
            unsynced_bytes_max,
            sync_bytes_max: unsynced_bytes_max / 2,
            recent_bytes_max: random.random_range(0..4096),
            ..Options::default()
        };
        let (log, writer) = Log::open_stepped(Arc::new(disk.clone()), options.clone()).expect("a new disk");
        Self {
            random,
            disk,
            options,
            log,
            writer,
            readers: BTreeMap::new(),
            appended: Appended::default(),
            durable: 0,
            table: Table::new(),
            saved: Table::new(),
            attempted: Vec::new(),
        }
    }

    fn all(mut self) {
        for _ in 0..STEPS {
            match self.random.random_range(0..100) {
                0..40 => self.append(),
                40..58 => self.commit(),
                58..74 => self.read(),
                74..86 => self.advance(),
                86..89 => self.add_consumer(),
                89 => self.remove_consumer(),
                90..93 => self.change_faults(),
                93..96 => self.disk.cut_power_after(self.random.random_range(0..30)),
                96..98 => {
                    self.disk.restart_after_kill();
                    self.reopen();
                }
                _ => self.cut_power(),
            }
            if self.disk.is_down() {
                self.cut_power();
            }
        }
        self.drain();
    }

    fn append(&mut self) {
        let len_max = self.options.unsynced_bytes_max as usize - 16;
        let len_max = if self.random.random_bool(0.1) { len_max } else { len_max.min(200) };
        append(&self.log, &mut self.random, len_max, &self.appended);
    }

    /// While the log is at the disk, others append.
    fn let_others_append(&mut self) {
        let (log, appended) = (self.log.clone(), self.appended.clone());
        let mut random = SmallRng::seed_from_u64(self.random.next_u64());
        let often = random.random_range(0.0..0.5);
        self.disk.meanwhile(Some(Box::new(move || {
            if random.random_bool(often) {
                append(&log, &mut random, 100, &appended);
            }
        })));
    }

    fn commit(&mut self) {
        let before = self.log.end().number;
        self.let_others_append();
        self.writer.commit();
        self.disk.meanwhile(None);
        let durable = self.log.durable_end().number;
        self.durable = self.durable.max(durable);
        let mut table = self.table.clone();
        table.values_mut().for_each(|(watermark, _)| *watermark = durable.min(*watermark));
        if now(self.log.saved()).is_some() {
            self.saved = table;
            self.attempted.clear();
        } else {
            self.attempted.push(table);
        }
        let usage = self.log.usage();
        if usage.stall.is_none() {
            assert!(durable >= before, "it synced up to {durable} of {before} records");
            let more = self.options.unsynced_bytes_max + 3 * 4096;
            assert!(self.disk.used_bytes() <= self.options.bytes_max + more, "{usage:?}");
        }
    }

    fn any_consumer(&mut self) -> Option<Consumer> {
        let any = self.random.random_range(0..self.table.len().max(1));
        self.table.keys().nth(any).map(|name| self.log.consumer(name, StartAt::Oldest))
    }

    fn read(&mut self) {
        let Some(consumer) = self.any_consumer() else { return };
        let mut reader = self.readers.remove(consumer.name()).unwrap_or_else(|| consumer.cursor());
        for _ in 0..self.random.random_range(0..30) {
            let number = reader.position().number;
            match reader.try_next() {
                Ok(Some(entry)) => self.check(number, &entry),
                Ok(None) => {
                    assert!(number >= self.log.durable_end().number, "it stopped before the end");
                    break;
                }
                Err(ReadError::Io { .. }) => break,
                Err(e) => panic!("{e}"),
            }
        }
        self.readers.insert(consumer.name().into(), reader);
    }

    fn check(&mut self, number: u64, entry: &Entry) {
        let (at, payload) = &self.appended.lock()[number as usize];
        assert_eq!(entry.at, *at);
        assert!(entry.payload == *payload, "record {number} is not what was appended");
        assert!(number < self.durable || number < self.log.durable_end().number);
        self.durable = self.durable.max(number + 1);
    }

    fn advance(&mut self) {
        let Some(consumer) = self.any_consumer() else { return };
        let Some(reader) = self.readers.get(consumer.name()) else { return };
        let upto = reader.position();
        let mark = self.table.get_mut(consumer.name()).expect("it is one of them");
        if self.random.random() {
            let memo = Bytes::from(upto.number.to_string());
            consumer.advance_with(upto, memo.clone());
            *mark = (upto.number, memo);
        } else {
            consumer.advance(upto);
            mark.0 = upto.number;
        }
        assert_eq!(consumer.watermark(), Some(upto));
    }

    fn add_consumer(&mut self) {
        let name = CONSUMERS[self.random.random_range(0..CONSUMERS.len())];
        let start = if self.random.random() { StartAt::Oldest } else { StartAt::Newest };
        let consumer = self.log.consumer(name, start);
        let at = consumer.watermark().expect("it is there").number;
        self.table.entry(name.into()).or_insert((at, Bytes::new()));
        assert_eq!(at, self.table[name].0);
    }

    fn remove_consumer(&mut self) {
        if let Some(consumer) = self.any_consumer() {
            self.log.remove_consumer(consumer.name());
            self.table.remove(consumer.name());
            self.readers.remove(consumer.name());
        }
    }

    fn change_faults(&mut self) {
        let mut any = |often: f64| {
            if self.random.random_bool(0.3) { self.random.random_range(0.0..often) } else { 0.0 }
        };
        self.disk.set_faults(Faults {
            short_write: any(1.0),
            write: any(0.5),
            no_space: any(0.5),
            sync: any(0.5),
            names: any(0.3),
            read: any(0.3),
        });
    }

    fn cut_power(&mut self) {
        self.disk.restart_after_power_cut();
        self.reopen();
        // what is found after a power cut is on the platter
        self.saved = self.table.clone();
        self.attempted.clear();
    }

    fn reopen(&mut self) {
        (self.log, self.writer) = loop {
            match Log::open_stepped(Arc::new(self.disk.clone()), self.options.clone()) {
                Ok(opened) => break opened,
                Err(OpenError::Io { .. }) if self.disk.is_down() => self.disk.restart_after_power_cut(),
                // the operator gets a new cable at last
                Err(OpenError::Io { .. }) if self.random.random_bool(0.2) => {
                    self.disk.set_faults(Faults::default())
                }
                Err(OpenError::Io { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        };
        self.readers.clear();
        let end = self.log.end().number;
        assert!(end >= self.durable, "{end} records are there and {} were durable", self.durable);
        let mut appended = self.appended.lock();
        assert!(end <= appended.len() as u64, "records are there that nobody appended");
        appended.truncate(end as usize);
        drop(appended);

        let consumer = |name: String| {
            let consumer = self.log.consumer(&name, StartAt::Oldest);
            (name, (consumer.watermark().expect("it is there").number, consumer.memo()))
        };
        self.table = self.log.consumers().into_iter().map(consumer).collect();
        let possible = || self.attempted.iter().chain([&self.saved]);
        assert!(
            possible().any(|table| *table == self.table),
            "{:?} is not one of {:?}",
            self.table,
            possible()
        );
    }

    /// The disk is well again: everything is there, can be read, and gives back its space.
    fn drain(mut self) {
        self.disk.set_faults(Faults::default());
        self.disk.restart_after_kill();
        self.reopen();
        let (end, durable) = (self.log.end(), self.log.durable_end());
        self.disk.restart_after_kill();
        self.reopen();
        assert_eq!((end, durable), (self.log.end(), self.log.durable_end()), "opening it changed it");

        self.commit_all();
        let mut cursor = self.log.cursor(self.log.start());
        for number in self.log.start().number..self.log.end().number {
            let entry = cursor.try_next().expect("a sound record").expect("one more record");
            self.check(number, &entry);
        }
        assert_eq!(cursor.try_next().expect("no damage"), None);

        self.log.consumer("last", StartAt::Oldest);
        for name in self.log.consumers() {
            self.log.consumer(&name, StartAt::Oldest).advance(self.log.end());
        }
        self.commit_all();
        let longest = vec![0; self.options.unsynced_bytes_max as usize - 16];
        self.log.try_append(&[&longest]).expect("there is room when all is read");
        self.commit_all();
        let mut files = self.disk.file_names();
        files.retain(|name| !name.starts_with("watermarks"));
        assert!(files.len() <= 2 && files.iter().all(|name| name.ends_with(".segment")), "{files:?}");
    }

    fn commit_all(&mut self) {
        self.writer.commit();
        assert_eq!(self.log.durable_end(), self.log.end());
        assert_eq!(now(self.log.saved()), Some(Ok(())));
        assert_eq!(self.log.usage().stall, None);
        self.durable = self.log.end().number;
    }
}

/// What a future says without waiting.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
