//! What the halves of a log share: those who append and read, and the writer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::disk::Disk;
use crate::error::{AppendError, Closed};
use crate::format::{RECORD_HEADER_BYTES_MAX, put_record, sum_payload};
use crate::recent::Recent;
use crate::usage::{Ages, Rate, Stall};
use crate::watermarks::Table;
use crate::{Options, Position};

/// Somebody waits and nobody has appended for this long: those who would come have come.
const QUIET: Duration = Duration::from_micros(100);

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    /// Where the checksum of every record begins.
    pub(crate) seed: u32,
    pub(crate) state: Mutex<State>,
    /// Wakes the writer.
    pub(crate) work: Condvar,
    /// Wakes those who wait for the writer. It ends with the writer.
    pub(crate) progress: watch::Receiver<Progress>,
}

/// How far the writer has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Everything before it is on disk.
    pub(crate) durable: Position,
    /// How many changes of the table are on disk.
    pub(crate) saved: u64,
    /// Changes whenever there may be more room than before.
    pub(crate) room: u64,
}

pub(crate) struct State {
    /// Where the next record goes.
    pub(crate) end: Position,
    /// Everything before it is on disk; readers see no further, so that no position they know is ever reused.
    pub(crate) durable: Position,
    /// What the last mark said.
    pub(crate) marked: u64,
    pub(crate) recent: Recent,
    /// In the order of their bases, and never empty once something was written.
    pub(crate) segments: VecDeque<Segment>,
    /// Length of all segment files.
    pub(crate) file_bytes: u64,
    pub(crate) table: Table,
    /// Counts the changes of the table.
    pub(crate) changes: u64,
    pub(crate) saved_changes: u64,
    pub(crate) waiting: Waiting,
    /// Since when something is not on disk, and since when the table is not.
    pub(crate) unsynced_since: Option<Instant>,
    pub(crate) unsaved_since: Option<Instant>,
    /// How many records the last sync covered.
    pub(crate) last_group: u64,
    pub(crate) stall: Option<Stall>,
    /// Set after a failure: when to try again.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) ages: Ages,
    pub(crate) written: Rate,
    pub(crate) drained: Rate,
    pub(crate) closing: bool,
}

/// One file of the log. It ends where the next one begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) ordinal: u64,
    pub(crate) base: Position,
    pub(crate) file_bytes: u64,
}

/// How many wait for what.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) durable: usize,
    pub(crate) saved: usize,
    pub(crate) room: usize,
}

impl State {
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.end.byte - self.durable.byte
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.file_bytes + self.unsynced_bytes()
    }

    fn has_room(&self, record_bytes: u64, options: &Options) -> bool {
        self.unsynced_bytes() + record_bytes <= options.unsynced_bytes_max
            && self.bytes() + record_bytes <= options.bytes_max
    }

    /// Nobody needs what is before it.
    pub(crate) fn low(&self) -> Position {
        let lowest = self.table.consumers.values().map(|watermark| watermark.at).min();
        lowest.map_or(self.table.start, |low| low.min(self.durable).max(self.table.start))
    }

    /// Takes note that the table differs from what is saved.
    pub(crate) fn table_changed(&mut self) {
        self.changes += 1;
        self.unsaved_since.get_or_insert_with(Instant::now);
    }

    /// Whether saving the table lets a segment go.
    fn saving_makes_room(&self) -> bool {
        self.saved_changes != self.changes && self.segments.get(1).is_some_and(|next| next.base <= self.low())
    }

    /// When to sync. The log has its present end since `quiet_since`.
    fn sync_at(&self, options: &Options, quiet_since: Instant) -> Option<Instant> {
        let since = self.unsynced_since?;
        let latest = since + options.sync_interval_max;
        Some(if self.unsynced_bytes() >= options.sync_bytes_max || self.waiting.room > 0 {
            since
        } else if self.waiting.durable == 0 {
            latest
        } else if self.last_group <= 1 {
            since
        } else {
            latest.min(quiet_since + QUIET)
        })
    }

    fn save_at(&self, options: &Options) -> Option<Instant> {
        let since = self.unsaved_since?;
        let hurry = self.waiting.saved > 0 || (self.waiting.room > 0 && self.saving_makes_room());
        Some(if hurry { since } else { since + options.save_interval_max })
    }
}

/// What the writer is to do, besides syncing what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The watermarks too.
    pub(crate) save: bool,
    /// And nothing after that.
    pub(crate) last: bool,
}

impl Shared {
    /// Appends a record, if there is room.
    pub(crate) fn append(&self, payload: &[&[u8]]) -> Result<Position, AppendError> {
        let options = &self.options;
        let len: usize = payload.iter().map(|part| part.len()).sum();
        let len_max = options.unsynced_bytes_max.saturating_sub(RECORD_HEADER_BYTES_MAX as u64);
        if len as u64 > len_max {
            return Err(AppendError::TooLong { len, len_max });
        }
        let payload_sum = sum_payload(self.seed, payload);

        let mut state = self.state.lock();
        if state.closing {
            return Err(Closed.into());
        }
        let mark = (state.durable.byte > state.marked).then_some(state.durable.byte);
        let record_bytes = len as u64 + if mark.is_some() { RECORD_HEADER_BYTES_MAX as u64 } else { 8 };
        let unsynced_before = state.unsynced_bytes();
        if !state.has_room(record_bytes, options) {
            return Err(AppendError::Full);
        }
        let at = state.end;
        put_record(state.recent.buffer(record_bytes as usize), at.byte, mark, payload, payload_sum);
        state.marked = mark.unwrap_or(state.marked);
        state.end = Position { number: at.number + 1, byte: at.byte + record_bytes };
        // the writer sleeps until there is a reason: the first record, or enough of them
        if unsynced_before == 0 {
            state.unsynced_since = Some(Instant::now());
            self.work.notify_one();
        } else if unsynced_before < options.sync_bytes_max && state.unsynced_bytes() >= options.sync_bytes_max
        {
            self.work.notify_one();
        }
        Ok(at)
    }

    /// Whether a record of `len` bytes would be taken.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let state = self.state.lock();
        state.has_room((len + RECORD_HEADER_BYTES_MAX) as u64, &self.options)
    }

    /// Sleeps until there is something to do.
    pub(crate) fn wait_for_work(&self) -> Due {
        let mut state = self.state.lock();
        let mut seen = state.durable;
        let mut quiet_since = Instant::now();
        loop {
            if state.closing {
                // the table says how much is on disk, so that the next opening need not find out
                state.table_changed();
                return Due { save: true, last: true };
            }
            let now = Instant::now();
            if seen != state.end {
                seen = state.end;
                quiet_since = now;
            }
            let save_at = state.save_at(&self.options);
            let work_at = [state.sync_at(&self.options, quiet_since), save_at].into_iter().flatten().min();
            // after a failure everything is tried again, and nothing before
            match state.retry_at.or(work_at) {
                Some(at) if at <= now => {
                    let save = state.retry_at.is_some() || save_at.is_some_and(|at| at <= now);
                    return Due { save, last: false };
                }
                Some(at) => _ = self.work.wait_until(&mut state, at),
                None => self.work.wait(&mut state),
            }
        }
    }

    /// Waits until the writer has come as far as `enough` says. The writer is told who waits, by `count`.
    pub(crate) async fn wait(
        &self,
        count: fn(&mut Waiting) -> &mut usize,
        enough: impl FnMut(&Progress) -> bool,
    ) -> Result<(), Closed> {
        let mut progress = self.progress.clone();
        let _counted = Counted::new(self, count);
        match progress.wait_for(enough).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Closed),
        }
    }
}

/// One who waits, for as long as it lives.
struct Counted<'a> {
    shared: &'a Shared,
    count: fn(&mut Waiting) -> &mut usize,
}

impl<'a> Counted<'a> {
    fn new(shared: &'a Shared, count: fn(&mut Waiting) -> &mut usize) -> Self {
        let mut state = shared.state.lock();
        let waiting = count(&mut state.waiting);
        *waiting += 1;
        if *waiting == 1 {
            shared.work.notify_one();
        }
        drop(state);
        Self { shared, count }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *(self.count)(&mut self.shared.state.lock().waiting) -= 1;
    }
}
