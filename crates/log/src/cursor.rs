//! Reading: from memory what was just appended, from the segments what is older.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::Position;
use crate::disk::{DiskFile, read_exact_at};
use crate::error::{Closed, Corrupt, ReadError};
use crate::format::{Found, HEADER_BYTES, read_record, segment_name};
use crate::state::{Segment, Shared, State};

/// How much is read from disk at once.
const WINDOW_BYTES: u64 = 256 << 10;

/// A record as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position, its identity.
    pub at: Position,
    /// Where the next record is or will be: what a consumer that is done with this one advances to.
    pub next: Position,
    /// What was appended: a slice of what was read together, at most 256 KiB unless one record is longer.
    pub payload: Bytes,
}

/// Reads durable records in order. Made by [`Consumer::cursor`](crate::Consumer::cursor) and
/// [`Log::cursor`](crate::Log::cursor).
pub struct Cursor {
    shared: Arc<Shared>,
    at: Position,
    /// What comes at `at`, as far as it has been fetched.
    window: Bytes,
    /// The segment that was read last.
    file: Option<(u64, Box<dyn DiskFile>)>,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, at: Position) -> Self {
        Self { shared, at, window: Bytes::new(), file: None }
    }

    /// Where the next record is or will be.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The next durable record; `None` when there is none yet.
    ///
    /// A reader that has fallen behind reads from disk in this call, 256 KiB at a time.
    ///
    /// # Errors
    /// [`ReadError`]. After an I/O error the same record can be asked for again.
    pub fn try_next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            match read_record(self.shared.seed, self.at.byte, &self.window) {
                Found::Record { payload, .. } => {
                    let record = self.window.split_to(payload.end);
                    let at = self.at;
                    self.at = Position { number: at.number + 1, byte: at.byte + payload.end as u64 };
                    return Ok(Some(Entry { at, next: self.at, payload: record.slice(payload) }));
                }
                Found::Short { needed } => {
                    if !self.fetch(needed as u64)? {
                        return Ok(None);
                    }
                }
                Found::Bad => return Err(self.corrupt("no sound record is here")),
            }
        }
    }

    /// Waits for the next durable record. Cancel-safe: a record is taken only when it is returned.
    ///
    /// # Errors
    /// As [`Cursor::try_next`], and [`ReadError::Closed`] at the end of a closed log.
    pub async fn next(&mut self) -> Result<Entry, ReadError> {
        let mut progress = self.shared.progress.clone();
        loop {
            if let Some(entry) = self.try_next()? {
                return Ok(entry);
            }
            let number = self.at.number;
            progress.wait_for(|progress| progress.durable.number > number).await.map_err(|_| Closed)?;
        }
    }

    /// [`Cursor::next`] for a thread.
    ///
    /// # Errors
    /// As [`Cursor::next`].
    pub fn blocking_next(&mut self) -> Result<Entry, ReadError> {
        crate::block_on::block_on(self.next())
    }

    /// Fetches at least `needed` bytes from `at` on; `false` when the reader has come to the end.
    fn fetch(&mut self, needed: u64) -> Result<bool, ReadError> {
        let (segment, end) = {
            let state = self.shared.state.lock();
            if self.at.byte >= state.durable.byte {
                return Ok(false);
            }
            if let Some(window) =
                state.recent.read(self.at.byte).filter(|window| window.len() as u64 >= needed)
            {
                self.window = window;
                self.file = None;
                return Ok(true);
            }
            find_segment(&state, self.at)?
        };
        let len = needed.max(WINDOW_BYTES).min(end - self.at.byte);
        if len < needed {
            return Err(self.corrupt("the record here is longer than its segment"));
        }
        let read = self.read(segment, len);
        match read {
            Ok(window) => {
                self.window = window;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.corrupt("the file ends within its records"))
            }
            Err(source) => {
                self.file = None;
                // a segment that was deleted meanwhile is not missed
                find_segment(&self.shared.state.lock(), self.at)?;
                Err(ReadError::Io { file: self.shared.disk.path(&segment_name(segment.ordinal)), source })
            }
        }
    }

    fn read(&mut self, segment: Segment, len: u64) -> io::Result<Bytes> {
        let file = match self.file.take() {
            Some((ordinal, file)) if ordinal == segment.ordinal => file,
            _ => self.shared.disk.open(&segment_name(segment.ordinal))?,
        };
        let mut window = BytesMut::zeroed(len as usize);
        read_exact_at(&*file, &mut window, HEADER_BYTES + self.at.byte - segment.base.byte)?;
        self.file = Some((segment.ordinal, file));
        Ok(window.freeze())
    }

    fn corrupt(&self, what: &str) -> ReadError {
        match find_segment(&self.shared.state.lock(), self.at) {
            Ok((segment, _)) => ReadError::Corrupt(Corrupt {
                file: self.shared.disk.path(&segment_name(segment.ordinal)),
                offset: HEADER_BYTES + self.at.byte - segment.base.byte,
                what: what.into(),
            }),
            Err(gone) => gone,
        }
    }
}

/// The segment that holds `at`, and the byte of the log it ends at.
fn find_segment(state: &State, at: Position) -> Result<(Segment, u64), ReadError> {
    let after = state.segments.partition_point(|segment| segment.base.byte <= at.byte);
    let Some(index) = after.checked_sub(1) else { return Err(ReadError::Gone(state.low())) };
    let end = state.segments.get(after).map_or(state.durable.byte, |next| next.base.byte);
    Ok((state.segments[index], end))
}
