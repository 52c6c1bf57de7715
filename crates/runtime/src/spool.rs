//! A durable log between the source and the destination of a flow. The spooled flow is two pipelines: source to spool,
//! and spool through the steps to the destination. Either works while the other can't.
//!
//! Records leave a spool oldest first. Newest first would need a log whose records are settled in any order; this one has
//! one watermark, which is what makes a crash harmless and a record's position its identity.

mod form;
mod sink;
mod source;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tidegate_core::Trouble;
use tidegate_log::{Consumer, Directory, Disk, Log, OpenError, Options, Position, StartAt, Usage, in_words};

pub(crate) use self::sink::SpoolSink;
pub(crate) use self::source::SpoolSource;
use crate::Ledger;
use crate::ledger::End;

/// Where a spool is, and its limits.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The folder it has for itself.
    pub dir: PathBuf,
    /// Most bytes on disk, at least [`SPOOL_BYTES_MIN`]. It takes no more than nine tenths of what the disk has free
    /// when it is opened.
    pub bytes_max: u64,
    /// Most records a second that leave it.
    pub drain_rate_max: Option<NonZeroU32>,
}

/// The smallest spool: a sixteenth of it is the largest record it takes.
pub const SPOOL_BYTES_MIN: u64 = 1 << 20;

const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The one consumer of the log.
const CONSUMER: &str = "flow";

/// What lies in the spools of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpoolReport {
    /// Messages that are not settled.
    pub messages: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Most bytes on disk.
    pub bytes_max: u64,
    /// Roughly how old the oldest message is.
    pub oldest_age: Option<Duration>,
    /// When there will be no room if it goes on as in the last minute; `None` when it does not grow.
    pub full_in: Option<Duration>,
}

impl SpoolReport {
    /// What an operator wants to know: how much there is, and how long it can go on. `None` while there is little.
    pub(crate) fn forecast(&self) -> Option<String> {
        if self.bytes < WORTH_A_WORD {
            return None;
        }
        let mebibytes = self.bytes as f64 / (1 << 20) as f64;
        let held = format!("the spool holds {} messages, {mebibytes:.1} MiB", self.messages);
        Some(match self.full_in {
            Some(time) => format!("{held}: disk full in about {} at this rate", in_words(time)),
            None => held,
        })
    }
}

/// Below this many bytes nobody needs to be told.
const WORTH_A_WORD: u64 = 1 << 20;

/// A spool that is open.
pub(crate) struct Spool {
    log: Log,
    id: u64,
    consumer: Consumer,
    options: SpoolOptions,
    /// Writes that wait for room.
    waiting: AtomicUsize,
    /// How the messages that were in it ended, since it was made. It is saved with the watermark, so that over a crash
    /// the two belong together.
    tally: Mutex<Ledger>,
    /// How many records of the log the flow's books know.
    booked: Mutex<u64>,
}

impl Spool {
    /// Opens the spool, or makes it.
    ///
    /// # Errors
    /// The trouble, and whether it may pass by itself.
    pub(crate) async fn open(options: SpoolOptions) -> Result<Arc<Self>, Trouble> {
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(options)).await;
        let spool = opened.map_err(|error| failed(&error.to_string()))?;
        spool.map(Arc::new).map_err(|error| failed(&error.to_string()))
    }

    fn open_blocking(options: SpoolOptions) -> Result<Self, OpenError> {
        let io = |doing, source| OpenError::Io { doing, file: options.dir.clone(), source };
        std::fs::create_dir_all(&options.dir).map_err(|error| io("make", error))?;
        let disk = Directory::open(&options.dir).map_err(|error| io("open", error))?;
        let bytes_max = bytes_max(&disk, &options);
        let segment_bytes_max = (bytes_max / 16).min(SEGMENT_BYTES_MAX);
        let defaults = Options::default();
        let unsynced_bytes_max = defaults.unsynced_bytes_max.min(segment_bytes_max);
        let log = Log::open(
            Arc::new(disk),
            Options {
                bytes_max,
                segment_bytes_max,
                unsynced_bytes_max,
                sync_bytes_max: defaults.sync_bytes_max.min(unsynced_bytes_max),
                ..defaults
            },
        )?;
        let consumer = log.consumer(CONSUMER, StartAt::Oldest);
        let tally = Mutex::new(decode_tally(consumer.memo()).unwrap_or_default());
        Ok(Self {
            id: log.id(),
            booked: Mutex::new(log.end().number),
            log,
            consumer,
            options,
            waiting: AtomicUsize::new(0),
            tally,
        })
    }

    /// Puts everything on disk and lets go of the folder.
    pub(crate) async fn close(self: Arc<Self>) {
        let closed = tokio::task::spawn_blocking(move || self.log.close()).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "what was not acknowledged comes again");
        }
    }

    /// How the messages that were in it ended, and how many have not.
    pub(crate) fn books(&self) -> (Ledger, u64) {
        (*self.tally.lock(), self.consumer.lag().records)
    }

    /// Some records of the log are in the flow's books now.
    pub(crate) fn book(&self, records: u64) {
        *self.booked.lock() += records;
    }

    /// Records of the log that are not in the flow's books: appended, and given back to the source all the same. They
    /// are booked now. To be asked while nobody appends.
    pub(crate) fn book_rest(&self) -> u64 {
        let mut booked = self.booked.lock();
        let end = self.log.end().number;
        end - std::mem::replace(&mut *booked, end)
    }

    /// Notes how messages ended. It is saved with the next watermark.
    pub(crate) fn settle(&self, messages: u64, end: End) {
        self.tally.lock().settle(messages, end);
    }

    pub(crate) fn receive_bytes(&self, bytes: u64) {
        self.tally.lock().bytes_received += bytes;
    }

    /// Everything before `upto` is settled.
    fn settled_upto(&self, upto: Position) {
        self.consumer.advance_with(upto, encode_tally(&self.tally.lock()));
    }

    /// Adds what is in this spool to a report of several. What keeps it from taking messages, if anything does.
    pub(crate) fn report(&self, sum: &mut SpoolReport) -> Option<Trouble> {
        let usage = self.log.usage();
        sum.messages += usage.records;
        sum.bytes += usage.bytes;
        sum.bytes_max += usage.bytes_max;
        sum.oldest_age = sum.oldest_age.max(usage.oldest_age);
        sum.full_in = [sum.full_in, usage.full_in()].into_iter().flatten().min();
        let Usage { stall, .. } = usage;
        if let Some(stall) = stall {
            let message =
                format!("the spool can't be written: {}; nothing is lost, the source waits", stall.message);
            return Some(if stall.disk_full {
                Trouble::new(DISK_FULL, format!("{message}; make room on the disk"))
            } else {
                Trouble::new(FAILED, message)
            });
        }
        (self.waiting.load(Ordering::Relaxed) > 0).then(|| {
            let dir = self.options.dir.display();
            Trouble::new(FULL, format!("the spool {dir} is full; nothing is lost, the source waits"))
        })
    }
}

/// Reason codes that AIO, which has no spools, does not have.
const FULL: &str = "TidegateSpoolFull";
const DISK_FULL: &str = "TidegateSpoolDiskFull";
const FAILED: &str = "TidegateSpoolFailed";

fn failed(why: &str) -> Trouble {
    Trouble::new(FAILED, format!("the spool can't be used: {why}"))
}

/// A spool that fills the last byte of its disk could not even begin the file that lets it drop what was read.
fn bytes_max(disk: &Directory, options: &SpoolOptions) -> u64 {
    let used =
        disk.list().unwrap_or_default().iter().filter_map(|name| disk.open(name).ok()?.size().ok()).sum();
    let there = disk.free_bytes().map_or(u64::MAX, |free| free.saturating_add(used));
    options.bytes_max.min(there / 10 * 9).max(SPOOL_BYTES_MIN)
}

/// The version of the note that is saved with the watermark.
const TALLY_VERSION: u8 = 1;

fn encode_tally(tally: &Ledger) -> Bytes {
    let Ledger { delivered, filtered, expired, dead_lettered, bytes_received, bytes_delivered, .. } = tally;
    let numbers = [delivered, filtered, expired, dead_lettered, bytes_received, bytes_delivered];
    [TALLY_VERSION].into_iter().chain(numbers.into_iter().flat_map(|n| n.to_le_bytes())).collect()
}

fn decode_tally(mut memo: Bytes) -> Option<Ledger> {
    if memo.try_get_u8().ok()? != TALLY_VERSION {
        return None;
    }
    Some(Ledger {
        delivered: memo.try_get_u64_le().ok()?,
        filtered: memo.try_get_u64_le().ok()?,
        expired: memo.try_get_u64_le().ok()?,
        dead_lettered: memo.try_get_u64_le().ok()?,
        bytes_received: memo.try_get_u64_le().ok()?,
        bytes_delivered: memo.try_get_u64_le().ok()?,
        ..Ledger::default()
    })
}
