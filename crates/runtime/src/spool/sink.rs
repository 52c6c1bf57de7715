use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tidegate_core::{Record, Rejected, Sink, WriteError};
use tidegate_log::AppendError;
use tokio::sync::Mutex;

use super::form::{Now, encode_head};
use super::{Spool, failed};

/// How many writes may overlap: one is synced while the next ones come together.
const WRITES_MAX: usize = 8;

/// The end of a spool that takes records. A write is done when its records are on synced disk. While there is no room
/// it waits, which is what pushes the source back.
pub(crate) struct SpoolSink {
    spool: Arc<Spool>,
    /// Whose turn it is to append.
    turn: Mutex<Vec<u8>>,
}

impl SpoolSink {
    pub(crate) fn new(spool: Arc<Spool>) -> Self {
        Self { spool, turn: Mutex::default() }
    }

    async fn append(&self, head: &[u8], payload: &[u8]) -> Result<tidegate_log::Position, AppendError> {
        match self.spool.log.try_append(&[head, payload]) {
            Err(AppendError::Full) => {
                let _waiting = Waiting::new(&self.spool.waiting);
                self.spool.log.append(&[head, payload]).await
            }
            appended => appended,
        }
    }
}

#[async_trait]
impl Sink for SpoolSink {
    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        let closed = || WriteError::Retry { trouble: failed("it is closed"), written: 0 };
        let mut rejected = Vec::new();
        let mut last = None;
        // the first poll takes a place in the queue for the turn, and so fixes the order
        let mut head = self.turn.lock().await;
        let now = Now::new();
        for (index, record) in records.iter().enumerate() {
            encode_head(record, now, &mut head);
            match self.append(&head, &record.payload).await {
                Ok(at) => last = Some(at),
                Err(AppendError::TooLong { len, len_max }) => {
                    let reason =
                        format!("with {len} bytes it is longer than the {len_max} bytes the spool takes");
                    rejected.push(Rejected { index, reason, expired: false });
                }
                Err(AppendError::Full | AppendError::Closed(_)) => return Err(closed()),
            }
        }
        drop(head);
        if let Some(last) = last {
            self.spool.log.durable(last).await.map_err(|_| closed())?;
        }
        if rejected.is_empty() { Ok(()) } else { Err(WriteError::Reject(rejected)) }
    }

    fn in_flight_max(&self) -> usize {
        WRITES_MAX
    }
}

/// Counts a write that waits for room for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
