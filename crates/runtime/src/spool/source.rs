use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::{Ack, Batch, LogPosition, Record, Source, SourceError};
use tidegate_log::{Cursor, Entry, Position, ReadError};
use tokio::time::Instant;

use super::form::{Now, decode};
use super::{Spool, failed};

/// How many records one batch holds.
const BATCH_MAX: usize = 256;

/// How many records, and bytes of them, are handed over before an acknowledgement is due: enough for the largest
/// batches of a storage destination, and what memory should bear.
const UNACKED_MAX: usize = 1_000_000;
const UNACKED_BYTES_MAX: usize = 64 << 20;

/// The end of a spool that gives records, oldest first, from the first one that was not acknowledged.
pub(crate) struct SpoolSource {
    spool: Arc<Spool>,
    cursor: Cursor,
    pace: Option<Pace>,
    /// Where the log goes on behind each batch that is not acknowledged, and its bytes.
    unacked: VecDeque<(Position, usize)>,
    unacked_bytes: usize,
    first_unacked: u64,
}

impl SpoolSource {
    pub(crate) fn new(spool: Arc<Spool>) -> Self {
        Self {
            cursor: spool.consumer.cursor(),
            pace: spool.options.drain_rate_max.map(Pace::new),
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            first_unacked: 0,
            spool,
        }
    }

    fn record(&self, entry: Entry, now: Now) -> Result<Record, SourceError> {
        let position = LogPosition { log: self.spool.id, number: entry.at.number };
        decode(entry.payload, now, position).ok_or_else(|| {
            let number = entry.at.number;
            SourceError::Refused(failed(&format!("record {number} was not written by this version")))
        })
    }
}

#[async_trait]
impl Source for SpoolSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.wants_ack() {
            // the call after the next acknowledgement goes on
            std::future::pending::<()>().await;
        }
        let batch_max = match &self.pace {
            Some(pace) => pace.turn().await,
            None => BATCH_MAX,
        };
        let first = match self.cursor.next().await {
            Ok(entry) => entry,
            Err(ReadError::Closed(_)) => return Ok(None),
            Err(error) => return Err(unreadable(&error)),
        };
        // nothing is awaited from here on: a dropped call has taken nothing
        let now = Now::new();
        let mut bytes = first.payload.len();
        let mut records = vec![self.record(first, now)?];
        while records.len() < batch_max && self.unacked_bytes + bytes < UNACKED_BYTES_MAX {
            // an error comes again by itself
            let Ok(Some(entry)) = self.cursor.try_next() else { break };
            bytes += entry.payload.len();
            records.push(self.record(entry, now)?);
        }
        if let Some(pace) = &mut self.pace {
            pace.passed(records.len());
        }
        let ack = Ack::new(self.first_unacked + self.unacked.len() as u64);
        self.unacked.push_back((self.cursor.position(), bytes));
        self.unacked_bytes += bytes;
        Ok(Some(Batch { records, ack }))
    }

    async fn ack(&mut self, ack: Ack) -> Result<(), SourceError> {
        debug_assert_eq!(ack.number(), self.first_unacked, "batches are acknowledged in their order");
        self.first_unacked += 1;
        if let Some((upto, bytes)) = self.unacked.pop_front() {
            self.unacked_bytes -= bytes;
            self.spool.settled_upto(upto);
        }
        Ok(())
    }

    fn unacked_max(&self) -> usize {
        UNACKED_MAX
    }

    fn wants_ack(&self) -> bool {
        self.unacked_bytes >= UNACKED_BYTES_MAX
    }
}

fn unreadable(error: &ReadError) -> SourceError {
    let trouble = failed(&error.to_string());
    match error {
        ReadError::Io { .. } | ReadError::Closed(_) => SourceError::Lost(trouble),
        ReadError::Corrupt(_) | ReadError::Gone(_) => SourceError::Refused(trouble),
    }
}

/// Lets so many records pass a second, so that what has come together in an outage does not fall upon the destination
/// all at once.
struct Pace {
    rate: NonZeroU32,
    /// When the next batch may go.
    next: Instant,
}

impl Pace {
    fn new(rate: NonZeroU32) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// Waits for the next batch's turn; how many records it may have.
    async fn turn(&self) -> usize {
        tokio::time::sleep_until(self.next).await;
        // a tenth of a second's worth
        (self.rate.get() as usize / 10).clamp(1, BATCH_MAX)
    }

    fn passed(&mut self, records: usize) {
        let pause = Duration::from_secs_f64(records as f64 / f64::from(self.rate.get()));
        self.next = self.next.max(Instant::now()) + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_kept_over_pauses() {
        let rate = NonZeroU32::new(1000).unwrap();
        let mut pace = Pace::new(rate);
        let started = Instant::now();
        for _ in 0..50 {
            let records = pace.turn().await;
            assert_eq!(records, 100);
            pace.passed(records);
        }
        assert_eq!(started.elapsed().as_millis() / 10, 490);
        // a quiet hour is no credit
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let started = Instant::now();
        for _ in 0..50 {
            let records = pace.turn().await;
            pace.passed(records);
        }
        assert_eq!(started.elapsed().as_millis() / 10, 490);
    }
}
