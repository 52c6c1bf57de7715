//! The log as its users hold it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::block_on::block_on;
use crate::disk::Disk;
use crate::error::{AppendError, Closed, OpenError};
use crate::recent::Recent;
use crate::recover::recover;
use crate::state::{Progress, Shared, State, Waiting};
use crate::usage::{Ages, Rate};
use crate::watermarks::Watermark;
use crate::writer::Writer;
use crate::{Consumer, Cursor, Options, Position, StartAt, Usage};

/// A durable log. Clones are the same log; it is closed when the last one is dropped, or by [`Log::close`].
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

/// Closes the log when it is dropped.
struct Owner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log in a directory, or creates it there, with a thread that writes.
    ///
    /// # Errors
    /// [`OpenError`]. Damage to what was durable is never passed over.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self, OpenError> {
        let dir = disk.path("");
        let (log, writer) = Self::open_stepped(disk, options)?;
        let thread = thread::Builder::new().name("tidegate-log".into());
        let thread = thread.spawn(|| writer.run()).map_err(OpenError::io("start the writer of", dir))?;
        *log.owner.writer.lock() = Some(thread);
        Ok(log)
    }

    /// Opens the log without a thread: records become durable, and watermarks are saved, when the caller says
    /// [`Writer::commit`]. For tests and simulations, where each step is to be the same each time.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_stepped(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Writer), OpenError> {
        options.check().map_err(OpenError::Options)?;
        let found = recover(&*disk)?;
        let log = found.table.log;
        let now = Instant::now();
        let mut ages = Ages::default();
        found.created.iter().for_each(|&(byte, created)| ages.note(byte, created));
        let progress = Progress { durable: found.durable, ..Progress::default() };
        let (sender, progress) = watch::channel(progress);
        let mut state = State {
            end: found.end,
            durable: found.durable,
            marked: found.durable.byte,
            recent: Recent::new(found.durable.byte, found.unsynced),
            file_bytes: found.segments.iter().map(|segment| segment.file_bytes).sum(),
            segments: found.segments.into(),
            written: Rate::new(found.end.byte, now),
            drained: Rate::new(0, now),
            table: found.table,
            changes: 0,
            saved_changes: 0,
            waiting: Waiting::default(),
            unsynced_since: (found.end != found.durable).then_some(now),
            unsaved_since: None,
            last_group: 0,
            stall: None,
            retry_at: None,
            ages,
            closing: false,
        };
        state.drained = Rate::new(state.low().byte, now);
        // segments are deleted behind what this process has saved, not behind what it has read
        state.table_changed();
        let shared = Arc::new(Shared {
            disk,
            options,
            seed: log.seed(),
            state: Mutex::new(state),
            work: Condvar::new(),
            progress,
        });
        let writer =
            Writer::new(shared.clone(), sender, log, found.slots, found.next_ordinal, found.unfinished);
        let owner = Owner { shared: shared.clone(), writer: Mutex::new(None) };
        Ok((Self { shared, owner: Arc::new(owner) }, writer))
    }

    /// Appends a record, given in parts that are joined, and returns its position. It is durable only when
    /// [`Log::durable`] says so.
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is no room now.
    pub fn try_append(&self, payload: &[&[u8]]) -> Result<Position, AppendError> {
        self.shared.append(payload)
    }

    /// Appends a record as soon as there is room. Cancel-safe: a record is appended only when its position is
    /// returned. Those who wait are not served in turn.
    ///
    /// # Errors
    /// [`AppendError::TooLong`] or [`AppendError::Closed`].
    pub async fn append(&self, payload: &[&[u8]]) -> Result<Position, AppendError> {
        loop {
            let room = self.shared.progress.borrow().room;
            match self.shared.append(payload) {
                Err(AppendError::Full) => {
                    self.shared.wait(|waiting| &mut waiting.room, |progress| progress.room != room).await?;
                }
                appended => return appended,
            }
        }
    }

    /// [`Log::append`] for a thread.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn blocking_append(&self, payload: &[&[u8]]) -> Result<Position, AppendError> {
        block_on(self.append(payload))
    }

    /// Returns when the record at `at`, and so every record before it, is on disk. While the disk fails this waits:
    /// the records are in memory, and [`Usage::stall`] says why.
    ///
    /// # Errors
    /// [`Closed`] when that will not come any more.
    pub fn durable(&self, at: Position) -> impl Future<Output = Result<(), Closed>> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            if shared.progress.borrow().durable > at {
                return Ok(());
            }
            shared.wait(|waiting| &mut waiting.durable, |progress| progress.durable > at).await
        }
    }

    /// [`Log::durable`] for a thread.
    ///
    /// # Errors
    /// As [`Log::durable`].
    pub fn blocking_durable(&self, at: Position) -> Result<(), Closed> {
        block_on(self.durable(at))
    }

    /// Returns when so many records, counted from the log's first one, are on disk: [`Log::durable`] for one who counts
    /// what it appends.
    pub fn durable_records(&self, count: u64) -> impl Future<Output = Result<(), Closed>> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            if shared.progress.borrow().durable.number >= count {
                return Ok(());
            }
            shared.wait(|waiting| &mut waiting.durable, |progress| progress.durable.number >= count).await
        }
    }

    /// Returns when there may be room for a record of `len` bytes, for one who can't wait in [`Log::append`].
    ///
    /// # Errors
    /// [`Closed`] when that will not come any more.
    pub async fn room(&self, len: usize) -> Result<(), Closed> {
        loop {
            let room = self.shared.progress.borrow().room;
            if self.shared.has_room(len) {
                return Ok(());
            }
            self.shared.wait(|waiting| &mut waiting.room, |progress| progress.room != room).await?;
        }
    }

    /// The consumer of that name: where it was, or new. A new one is there after a crash when [`Log::saved`] has
    /// returned.
    pub fn consumer(&self, name: &str, start: StartAt) -> Consumer {
        let mut state = self.shared.state.lock();
        if !state.table.consumers.contains_key(name) {
            let at = match start {
                StartAt::Oldest => state.table.start,
                StartAt::Newest => state.end,
            };
            state.table.consumers.insert(name.into(), Watermark { at, memo: Default::default() });
            state.table_changed();
            self.shared.work.notify_one();
        }
        drop(state);
        Consumer::new(self.shared.clone(), name)
    }

    /// The names of all consumers.
    pub fn consumers(&self) -> Vec<String> {
        self.shared.state.lock().table.consumers.keys().cloned().collect()
    }

    /// Removes a consumer, so that it holds back nothing any more. What no consumer is left for stays until there is
    /// one and it has advanced.
    pub fn remove_consumer(&self, name: &str) {
        let mut state = self.shared.state.lock();
        if state.table.consumers.remove(name).is_some() {
            state.table_changed();
            self.shared.work.notify_one();
        }
    }

    /// Returns when every consumer and watermark as it is now is on disk, without waiting for `save_interval_max`.
    ///
    /// # Errors
    /// [`Closed`] when that will not come any more.
    pub fn saved(&self) -> impl Future<Output = Result<(), Closed>> + Send + use<> {
        let shared = self.shared.clone();
        let changes = shared.state.lock().changes;
        async move { shared.wait(|waiting| &mut waiting.saved, |progress| progress.saved >= changes).await }
    }

    /// [`Log::saved`] for a thread.
    ///
    /// # Errors
    /// As [`Log::saved`].
    pub fn blocking_saved(&self) -> Result<(), Closed> {
        block_on(self.saved())
    }

    /// Reads from any position on that was not deleted.
    pub fn cursor(&self, from: Position) -> Cursor {
        Cursor::new(self.shared.clone(), from)
    }

    /// Drawn at random when the log was created: with a [`Position`] it names a record for good.
    pub fn id(&self) -> u64 {
        self.shared.state.lock().table.log.0
    }

    /// The oldest position that is sure to be readable.
    pub fn start(&self) -> Position {
        self.shared.state.lock().low()
    }

    /// Where the next record goes.
    pub fn end(&self) -> Position {
        self.shared.state.lock().end
    }

    /// Everything before it is on disk.
    pub fn durable_end(&self) -> Position {
        self.shared.state.lock().durable
    }

    /// How full the log is, how fast that changes, and whether the disk takes writes.
    pub fn usage(&self) -> Usage {
        // outside of the lock: it asks the file system
        let disk_free = self.shared.disk.free_bytes().ok();
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        let (end, low) = (state.end, state.low());
        Usage {
            bytes: state.bytes(),
            bytes_max: self.shared.options.bytes_max,
            disk_free,
            records: end.number - low.number,
            records_unsynced: end.number - state.durable.number,
            oldest_age: (low < end).then(|| state.ages.age(low.byte, SystemTime::now())).flatten(),
            write_rate: state.written.update(end.byte, now),
            drain_rate: state.drained.update(low.byte, now),
            stall: state.stall.clone(),
        }
    }

    /// Puts everything appended and every watermark on disk and ends the writer. It blocks for as long as that takes;
    /// so does dropping the last clone. Consumers and cursors can still read what is durable, and hold the directory.
    ///
    /// # Errors
    /// What the disk refused: records that were never reported durable may not be there next time.
    pub fn close(&self) -> Result<(), CloseError> {
        self.owner.close();
        let state = self.shared.state.lock();
        match &state.stall {
            Some(stall) => Err(CloseError(stall.message.clone())),
            None if state.durable != state.end => Err(CloseError("the writer ended early".into())),
            None => Ok(()),
        }
    }
}

/// Not everything is on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log was closed before everything was on disk: {0}")]
pub struct CloseError(String);

impl Owner {
    fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            // a panic of the writer was reported where it happened
            let _ = writer.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}
