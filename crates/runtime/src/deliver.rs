//! One chunk on its way to the destination: retry, back-off and dead letters around [`Sink::write`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_core::{Ack, Record, Rejected, Sink, Trouble, WriteError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::DeadLetter;
use crate::backoff::{Backoff, Hope};
use crate::ledger::{Account, End};
use crate::supervisor::Instance;
use crate::tap::Stage;

/// Records to be written together, and what falls due once they are settled.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    /// Of their payloads.
    pub(crate) bytes: usize,
    pub(crate) dues: Vec<Due>,
    /// When its oldest record came in.
    pub(crate) since: Option<Instant>,
}

/// What falls due once records are settled.
pub(crate) enum Due {
    /// Acknowledging so many records to the source.
    Ack(Ack, usize),
    /// Telling whoever had them replayed. Dropped, it says that they are not settled.
    Replay(oneshot::Sender<()>, usize),
}

/// Keeps overlapping writes in order when one fails: a write is tried again only when all before it are done, and no
/// new one is started meanwhile.
#[derive(Default)]
pub(crate) struct Turns {
    done: AtomicU64,
    retrying: AtomicUsize,
    changed: Notify,
}

impl Turns {
    pub(crate) fn any_retrying(&self) -> bool {
        self.retrying.load(Ordering::Relaxed) > 0
    }

    async fn wait_for(&self, turn: u64) {
        loop {
            let changed = self.changed.notified();
            if self.done.load(Ordering::Relaxed) >= turn {
                return;
            }
            changed.await;
        }
    }

    /// The oldest write is done.
    pub(crate) fn next(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }
}

/// Counts a write among those that are being retried for as long as it lives.
struct Retrying<'a>(&'a Turns);

impl<'a> Retrying<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.retrying.fetch_add(1, Ordering::Relaxed);
        Self(turns)
    }
}

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        self.0.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a delivery needs to know of the pipeline it belongs to.
pub(crate) struct Delivery {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) account: Arc<Account>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) turn: u64,
}

impl Delivery {
    /// Returns once every record of the chunk is settled: delivered, expired or a dead letter.
    pub(crate) async fn run(self, chunk: Chunk) -> Vec<Due> {
        let Chunk { mut records, dues, .. } = chunk;
        let mut backoff = Backoff::new(self.instance.seed ^ self.turn);
        let mut retrying = None;
        loop {
            self.drop_expired(&mut records);
            if records.is_empty() {
                return dues;
            }
            let started = Instant::now();
            let result = self.sink.write(&records).await;
            let hope = match result {
                Ok(()) => {
                    if self.instance.leg.is_last() {
                        self.instance.flow.metrics.upload_ok.observe(millis(started.elapsed()));
                    }
                    self.delivered(&records);
                    self.instance.target_well();
                    return dues;
                }
                Err(WriteError::Reject(rejected)) => {
                    self.reject(&mut records, rejected);
                    self.delivered(&records);
                    self.instance.target_well();
                    return dues;
                }
                Err(WriteError::Retry { trouble, written }) => {
                    self.instance.flow.metrics.upload_failed.observe(millis(started.elapsed()));
                    let rest = records.split_off(written.min(records.len()));
                    self.delivered(&records);
                    if written > 0 {
                        backoff.reset();
                    }
                    records = rest;
                    self.failed(&records, trouble);
                    Hope::Soon
                }
                Err(WriteError::Fatal(trouble)) => {
                    self.failed(&records, trouble);
                    Hope::Distant
                }
            };
            retrying.get_or_insert_with(|| Retrying::new(&self.turns));
            self.turns.wait_for(self.turn).await;
            tokio::time::sleep(backoff.next(hope)).await;
        }
    }

    fn drop_expired(&self, records: &mut Vec<Record>) {
        if records.iter().all(|r| r.expiry_interval.is_none()) {
            return;
        }
        let now = Instant::now().into_std();
        let before = records.len();
        records.retain(|r| r.remaining_expiry(now).is_ok());
        let expired = before - records.len();
        if expired > 0 {
            self.account.settle(expired as u64, End::Expired);
        }
    }

    fn delivered(&self, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        let bytes = records.iter().map(|r| r.payload.len() as u64).sum();
        self.account.settle(records.len() as u64, End::Delivered { bytes });
        if !self.instance.leg.is_last() {
            return;
        }
        let flow = &self.instance.flow;
        let now = Instant::now().into_std();
        // counted aside, and once for all of them in what others count in, too
        let latency = flow.metrics.processing_latency.local();
        for record in records {
            latency.observe(millis(now.saturating_duration_since(record.received_at)));
        }
        latency.flush();
        if flow.tap.is_watched() {
            for record in records {
                flow.tap.show(Stage::Destination, self.sink.preview(record));
            }
        }
    }

    /// Takes the rejected records out of `records` and settles them.
    fn reject(&self, records: &mut Vec<Record>, mut rejected: Vec<Rejected>) {
        rejected.sort_by_key(|r| r.index);
        rejected.dedup_by_key(|r| r.index);
        let mut rejected = rejected.into_iter().peekable();
        for (index, record) in std::mem::take(records).into_iter().enumerate() {
            match rejected.next_if(|r| r.index == index) {
                None => records.push(record),
                Some(Rejected { expired: true, .. }) => self.account.settle(1, End::Expired),
                Some(Rejected { reason, .. }) => {
                    self.account.settle(1, End::DeadLettered);
                    self.instance.bury(DeadLetter { record, reason });
                }
            }
        }
    }

    fn failed(&self, records: &[Record], trouble: Trouble) {
        self.account.retry(records.len() as u64);
        self.instance.target_troubled(trouble);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
