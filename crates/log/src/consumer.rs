//! Those who read a log to the end, and how far they have come.

use std::sync::Arc;

use bytes::Bytes;

use crate::state::Shared;
use crate::{Cursor, Position};

/// Where a consumer that was not there before begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest record that is kept.
    Oldest,
    /// With the next record that is appended.
    Newest,
}

/// One who reads a log. Nothing is deleted before every consumer is done with it.
#[derive(Clone)]
pub struct Consumer {
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl Consumer {
    pub(crate) fn new(shared: Arc<Shared>, name: &str) -> Self {
        Self { shared, name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The consumer is done with everything before this; `None` when it was removed.
    pub fn watermark(&self) -> Option<Position> {
        self.shared.state.lock().table.consumers.get(&*self.name).map(|watermark| watermark.at)
    }

    /// What [`Consumer::advance_with`] noted last; empty at first.
    pub fn memo(&self) -> Bytes {
        let state = self.shared.state.lock();
        state.table.consumers.get(&*self.name).map(|watermark| watermark.memo.clone()).unwrap_or_default()
    }

    /// Done with everything before `upto`, an [`Entry::next`](crate::Entry) of this log. It is saved within
    /// `save_interval_max`; after a crash the consumer may begin further back. A watermark never goes back: an older
    /// position changes nothing, nor does anything after the consumer was removed.
    pub fn advance(&self, upto: Position) {
        self.set(upto, None);
    }

    /// [`Consumer::advance`] with a note of the consumer's own, such as its counters: after a crash the two belong
    /// together. The note is kept in memory and written with every save; keep it short.
    pub fn advance_with(&self, upto: Position, memo: Bytes) {
        self.set(upto, Some(memo));
    }

    fn set(&self, upto: Position, memo: Option<Bytes>) {
        let mut state = self.shared.state.lock();
        assert!(upto <= state.end, "a position comes from the log, so it is not beyond its end");
        let Some(watermark) = state.table.consumers.get_mut(&*self.name) else { return };
        if upto < watermark.at || (upto == watermark.at && memo.is_none()) {
            return;
        }
        watermark.at = upto;
        watermark.memo = memo.unwrap_or_else(|| watermark.memo.clone());
        let unsaved = state.unsaved_since.is_some();
        state.table_changed();
        if !unsaved || state.waiting.room > 0 {
            self.shared.work.notify_one();
        }
    }

    /// How many records and bytes of the log it is not done with.
    pub fn lag(&self) -> Lag {
        let state = self.shared.state.lock();
        let at = state.table.consumers.get(&*self.name).map_or(state.end, |watermark| watermark.at);
        Lag { records: state.end.number - at.number, bytes: state.end.byte - at.byte }
    }

    /// Reads from the watermark on. Reading ahead of the watermark is not limited.
    pub fn cursor(&self) -> Cursor {
        let state = self.shared.state.lock();
        let at = state.table.consumers.get(&*self.name).map_or(state.end, |watermark| watermark.at);
        drop(state);
        Cursor::new(self.shared.clone(), at)
    }
}

/// What a consumer has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records.
    pub records: u64,
    /// Bytes, record headers included.
    pub bytes: u64,
}
