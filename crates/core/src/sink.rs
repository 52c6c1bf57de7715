use std::time::Duration;

use async_trait::async_trait;

use crate::{Record, Trouble};

/// Where a data flow's records go. A sink outlives its connections: it connects when it must, one attempt a call, and
/// leaves it to the pipeline to wait and call again.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Connects ahead of the first write, so that trouble shows before there is data.
    async fn prepare(&self) -> Result<(), WriteError> {
        Ok(())
    }

    /// Returns once the destination has taken responsibility for the records, all of them.
    ///
    /// Order: whatever fixes the order of records at the destination happens in the first poll of the returned
    /// future. The pipeline polls each write once before it starts the next, so that overlapping writes
    /// ([`Sink::in_flight_max`] above 1) keep the order of the calls.
    ///
    /// The same records may come again, after a crash for instance. A sink that can store a number with what it writes
    /// can tell by [`Record::position`], where the source sets it.
    async fn write(&self, records: &[Record]) -> Result<(), WriteError>;

    /// How many writes may overlap.
    fn in_flight_max(&self) -> usize {
        1
    }

    /// When a chunk of records is due to be written.
    fn chunking(&self) -> Chunking {
        Chunking::default()
    }

    /// The record as the destination will see it, its topic resolved; for people who watch a flow.
    fn preview(&self, record: &Record) -> Record {
        record.clone()
    }

    /// Leaves as the protocol asks. Called when no write is under way.
    async fn close(&self) {}
}

/// When a chunk is due: as soon as it holds `records_max`, or `bytes_max` of payload, or its oldest record has waited
/// `latency`, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Longest wait; zero writes whatever there is as soon as a write may start.
    pub latency: Duration,
    /// Most records in one write.
    pub records_max: usize,
    /// About how many bytes of payload are most in one write: the record that fills it is the last.
    pub bytes_max: usize,
}

impl Default for Chunking {
    fn default() -> Self {
        Self { latency: Duration::ZERO, records_max: 1024, bytes_max: usize::MAX }
    }
}

/// Why records were not written, sorted by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The same records may succeed later.
    #[error("{trouble}")]
    Retry {
        /// What happened.
        trouble: Trouble,
        /// The first `written` of the records are safe at the destination: only the rest is to be written again.
        written: usize,
    },
    /// These never will; all the others were written.
    #[error("{} records rejected", .0.len())]
    Reject(Vec<Rejected>),
    /// Nothing will succeed until somebody changes something: say so in the status, and try again slowly.
    #[error("{0}")]
    Fatal(Trouble),
}

/// A record that the destination, or the way there, will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which of the records given to the write.
    pub index: usize,
    /// Why, as a sentence for the operator.
    pub reason: String,
    /// Whether its life ended on the way; such a record is counted as expired, not as dead-lettered.
    pub expired: bool,
}
