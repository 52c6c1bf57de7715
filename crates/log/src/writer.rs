//! The half that writes: groups of records to segments, watermarks to their files, and read segments away.
//!
//! There is one way to recover from everything: a segment that a write or a sync failed on is left as it is, and all
//! that is not surely on disk goes to a new one, from memory. A new segment gets its name only when its first records
//! are on disk, so that a segment which is there never hides records of the one before it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;

use crate::Position;
use crate::disk::{DiskFile, write_all_at};
use crate::format::{HEADER_BYTES, Header, LogId, segment_name, unfinished_name};
use crate::state::{Progress, Segment, Shared};
use crate::usage::Stall;
use crate::watermarks::Slots;

const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A full disk is tried again when this much more is free than is to be written: room for the file system's own needs.
const FREE_BYTES_MIN: u64 = 64 << 10;

/// Writes what is appended to a log. [`Log::open`](crate::Log::open) gives it a thread;
/// [`Log::open_stepped`](crate::Log::open_stepped) leaves it to a test or a simulation to call it.
pub struct Writer {
    shared: Arc<Shared>,
    log: LogId,
    /// The segment that is appended to; `None` before the first one and after a failure.
    active: Option<Active>,
    next_ordinal: u64,
    slots: Slots,
    /// What the saved table says; segments are deleted behind it.
    saved_start: Position,
    /// What is left of segments that were never finished.
    unfinished: Vec<String>,
    progress: watch::Sender<Progress>,
    failures: u32,
}

struct Active {
    file: Box<dyn DiskFile>,
    file_bytes: u64,
}

/// What the disk refused, with the name of the file.
struct Failure {
    file: String,
    error: io::Error,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        progress: watch::Sender<Progress>,
        log: LogId,
        slots: Slots,
        next_ordinal: u64,
        unfinished: Vec<String>,
    ) -> Self {
        Self {
            shared,
            log,
            active: None,
            next_ordinal,
            slots,
            saved_start: Position::default(),
            unfinished,
            progress,
            failures: 0,
        }
    }

    /// Writes until the log is closed.
    pub(crate) fn run(mut self) {
        loop {
            let due = self.shared.wait_for_work();
            self.step(due.save);
            if due.last {
                return;
            }
        }
    }

    /// Puts on disk whatever is not, watermarks included, and deletes what nobody needs. What fails is tried again by
    /// the next call; [`Usage::stall`](crate::Usage) says what it is.
    pub fn commit(&mut self) {
        self.step(true);
    }

    fn step(&mut self, save: bool) {
        let synced = self.sync();
        // a disk that takes no records may yet take watermarks, and that can make room
        let saved = if save { self.save() } else { Ok(()) };
        let deleted = self.delete_read();
        let outcome = synced.and(saved).and(deleted);

        let now = Instant::now();
        let mut state = self.shared.state.lock();
        let (end, low) = (state.end.byte, state.low().byte);
        state.written.update(end, now);
        state.drained.update(low, now);
        match outcome {
            Ok(()) => {
                self.failures = 0;
                state.retry_at = None;
                if state.stall.take().is_some() {
                    tracing::info!("the disk takes writes again");
                }
            }
            Err(Failure { file, error }) => {
                let pause = RETRY_MIN.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
                self.failures += 1;
                state.retry_at = Some(now + pause);
                let since = state.stall.as_ref().map_or_else(SystemTime::now, |stall| stall.since);
                let message = format!("{}: {error}", self.shared.disk.path(&file).display());
                if state.stall.is_none() {
                    tracing::warn!("the log stalls, nothing is lost: {message}");
                }
                let disk_full = error.kind() == io::ErrorKind::StorageFull;
                state.stall = Some(Stall { since, message, disk_full });
            }
        }
    }

    /// Puts all that was appended on disk, as one group.
    fn sync(&mut self) -> Result<(), Failure> {
        let (chunks, from, upto, disk_full) = {
            let mut state = self.shared.state.lock();
            if state.end == state.durable {
                return Ok(());
            }
            state.recent.cut();
            let disk_full = state.stall.as_ref().is_some_and(|stall| stall.disk_full);
            (state.recent.chunks_from(state.durable.byte), state.durable, state.end, disk_full)
        };
        let group_bytes = upto.byte - from.byte;
        if disk_full {
            self.check_free(group_bytes)?;
        }

        let segment_bytes_max = HEADER_BYTES + self.shared.options.segment_bytes_max;
        match self.active.take() {
            Some(active) if active.file_bytes + group_bytes <= segment_bytes_max => {
                self.append(active, &chunks, group_bytes)?;
            }
            _ => self.begin_segment(from, &chunks, group_bytes)?,
        }

        let options = &self.shared.options;
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        state.durable = upto;
        state.last_group = upto.number - from.number;
        state.unsynced_since = (state.end != upto).then(Instant::now);
        state.recent.trim(upto.byte, options.recent_bytes_max);
        state.ages.note(from.byte, SystemTime::now());
        drop(guard);
        self.progress.send_modify(|progress| {
            progress.durable = upto;
            progress.room += 1;
        });
        Ok(())
    }

    /// Fails when a disk that was full still is, without writing to it.
    fn check_free(&self, bytes: u64) -> Result<(), Failure> {
        match self.shared.disk.free_bytes() {
            Ok(free) if free < bytes + FREE_BYTES_MIN => {
                Err(Failure { file: String::new(), error: io::ErrorKind::StorageFull.into() })
            }
            // where it doesn't say, trying is the way to know
            _ => Ok(()),
        }
    }

    fn append(&mut self, mut active: Active, chunks: &[Bytes], bytes: u64) -> Result<(), Failure> {
        let done = write_chunks(&*active.file, chunks, active.file_bytes).and_then(|()| active.file.sync());
        let after = match done {
            Ok(()) => active.file_bytes + bytes,
            Err(_) => active.file.size().unwrap_or(active.file_bytes + bytes),
        };
        let mut state = self.shared.state.lock();
        let segment = state.segments.back_mut().expect("the active segment is the last one");
        let name = segment_name(segment.ordinal);
        let before = std::mem::replace(&mut segment.file_bytes, after);
        state.file_bytes = state.file_bytes + after - before;
        drop(state);
        done.map_err(|error| Failure { file: name, error })?;
        active.file_bytes = after;
        self.active = Some(active);
        Ok(())
    }

    /// Makes a segment that begins with `chunks`, which begin at `base`.
    fn begin_segment(&mut self, base: Position, chunks: &[Bytes], bytes: u64) -> Result<(), Failure> {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        let file = match self.create_segment(ordinal, base, chunks, bytes) {
            Ok(file) => file,
            Err(error) => {
                // whether it has its name already is not known
                self.unfinished.extend([unfinished_name(ordinal), segment_name(ordinal)]);
                return Err(Failure { file: segment_name(ordinal), error });
            }
        };
        let file_bytes = HEADER_BYTES + bytes;
        self.active = Some(Active { file, file_bytes });
        self.cut_previous(base);
        let mut state = self.shared.state.lock();
        state.segments.push_back(Segment { ordinal, base, file_bytes });
        state.file_bytes += file_bytes;
        Ok(())
    }

    fn create_segment(
        &self,
        ordinal: u64,
        base: Position,
        chunks: &[Bytes],
        bytes: u64,
    ) -> io::Result<Box<dyn DiskFile>> {
        let disk = &self.shared.disk;
        let header = Header { log: self.log, base, synced: bytes, created: SystemTime::now() };
        let file = disk.create(&unfinished_name(ordinal))?;
        write_all_at(&*file, &header.encode(), 0)?;
        write_chunks(&*file, chunks, HEADER_BYTES)?;
        file.sync()?;
        disk.rename(&unfinished_name(ordinal), &segment_name(ordinal))?;
        disk.sync_names()?;
        Ok(file)
    }

    /// Gives back what a segment holds beyond its end at `end`: records that a failed write left, or a crash, and that
    /// are on disk elsewhere now. When it can't be done they stay until the segment goes.
    fn cut_previous(&self, end: Position) {
        let Some(previous) = self.shared.state.lock().segments.back().copied() else { return };
        let needed = HEADER_BYTES + end.byte - previous.base.byte;
        if previous.file_bytes <= needed {
            return;
        }
        let disk = &self.shared.disk;
        if disk.open(&segment_name(previous.ordinal)).and_then(|file| file.truncate(needed)).is_ok() {
            let mut state = self.shared.state.lock();
            state.file_bytes -= previous.file_bytes - needed;
            state.segments.back_mut().expect("only the writer changes them").file_bytes = needed;
        }
    }

    /// Saves the watermarks.
    fn save(&mut self) -> Result<(), Failure> {
        let (mut table, changes) = {
            let mut state = self.shared.state.lock();
            if state.changes == state.saved_changes {
                return Ok(());
            }
            state.table.start = state.low();
            state.table.durable = state.durable;
            (state.table.clone(), state.changes)
        };
        // a consumer that begins at the end of the log may be ahead of what is on disk; what is saved must not be
        let mut complete = true;
        for watermark in table.consumers.values_mut().filter(|watermark| watermark.at > table.durable) {
            watermark.at = table.durable;
            complete = false;
        }
        self.slots.save(&mut table).map_err(|(file, error)| Failure { file: file.into(), error })?;
        self.saved_start = table.start;
        if !complete {
            return Ok(());
        }
        let mut state = self.shared.state.lock();
        state.saved_changes = changes;
        state.unsaved_since = (state.changes != changes).then(Instant::now);
        state.ages.forget(table.start.byte);
        drop(state);
        self.progress.send_modify(|progress| progress.saved = changes);
        Ok(())
    }

    /// Deletes the segments that all consumers are done with, and those that never came to be.
    fn delete_read(&mut self) -> Result<(), Failure> {
        let disk = &self.shared.disk;
        // what is left of them hides nothing and is hidden by the next segment; it only takes space
        self.unfinished.retain(|name| disk.remove(name).is_err_and(|e| e.kind() != io::ErrorKind::NotFound));

        let needless = self.needless_segments();
        if needless.is_empty() {
            return Ok(());
        }
        for segment in &needless {
            let name = segment_name(segment.ordinal);
            match disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure { file: name, error });
                }
                _ => {}
            }
            let mut state = self.shared.state.lock();
            state.segments.retain(|other| other.ordinal != segment.ordinal);
            state.file_bytes -= segment.file_bytes;
        }
        self.progress.send_modify(|progress| progress.room += 1);
        disk.sync_names().map_err(|error| Failure { file: String::new(), error })
    }

    fn needless_segments(&self) -> Vec<Segment> {
        let state = self.shared.state.lock();
        let pairs = state.segments.iter().zip(state.segments.iter().skip(1));
        pairs
            .filter(|(this, next)| next.base <= self.saved_start || next.base == this.base)
            .map(|(this, _)| *this)
            .collect()
    }
}

impl Drop for Writer {
    /// Whoever waits is told that nothing comes any more, even if the thread died.
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
    }
}

fn write_chunks(file: &dyn DiskFile, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
    for chunk in chunks {
        write_all_at(file, chunk, offset)?;
        offset += chunk.len() as u64;
    }
    Ok(())
}
