//! What becomes of batches after a queue has taken them. The cluster has the blob and reports in a table how it went:
//!
//! - ingested: the batch is forgotten;
//! - failed for a reason that passes, or that somebody can mend (no table, no right): the same blob is sent again, under
//!   the same tag, until it is ingested; no further records are taken meanwhile, and the flow's health says why;
//! - failed because of its data: the batch is cut into smaller ones until what is at fault stands alone, which is a dead
//!   letter.
//!
//! All of it is in the journal, so that it goes on after a crash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::{Record, Trouble};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Bury;
use crate::batch::{Batch, Content, Target};
use crate::cluster::{Cluster, Report};
use crate::failure::{Failure, Kind};
use crate::journal::{Books, Journal};
use crate::sink::{gzip, now};

/// How many batches may wait for their report: hours of batches of a minute.
const WATCHED_MAX: usize = 1024;

/// How long it is waited before a report is looked for, at first and at most.
const LOOK_FIRST: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(30);

/// After how long without a report a message counts as lost. The cluster gathers for half an hour at most.
const SILENT_MAX: Duration = Duration::from_secs(2 * 3600);

/// Into how many a batch is cut that holds bad data.
const PARTS: usize = 16;

pub(crate) struct Watch {
    endpoint: String,
    cluster: Arc<Cluster>,
    target: Arc<Target>,
    journal: Journal,
    bury: Bury,
    state: Mutex<State>,
    /// There is something new to look for.
    changed: Notify,
}

struct State {
    books: Books,
    /// By the batch's id.
    looks: HashMap<String, Look>,
    /// The journal is somebody else's now.
    closed: bool,
}

/// When and why a batch is looked at.
#[derive(Clone)]
struct Look {
    since: Instant,
    next: Instant,
    wait: Duration,
    /// Why it is not ingested yet. Set until it is.
    failure: Option<Failure>,
    /// Whether it is to be sent again.
    again: bool,
}

impl Look {
    fn new(failure: Option<Failure>) -> Self {
        let now = Instant::now();
        Self { since: now, next: now + LOOK_FIRST, wait: LOOK_FIRST, failure, again: false }
    }

    fn postpone(&mut self) {
        self.wait = (self.wait * 2).min(LOOK_MAX);
        self.next = Instant::now() + self.wait;
    }
}

impl Watch {
    pub(crate) fn open(
        endpoint: &str,
        cluster: Arc<Cluster>,
        target: Arc<Target>,
        journal: Journal,
        bury: Bury,
    ) -> Result<Arc<Self>, Trouble> {
        let mut books = journal.read().map_err(|e| journal_failure(&e).trouble(endpoint))?;
        // records without a place in a log come again, and not in the same batches
        books.pending.take_if(|batch| matches!(batch.content, Content::Hash(_)));
        let looks = books.watched.iter().map(|b| (b.id.clone(), Look::new(None))).collect();
        Ok(Arc::new(Self {
            endpoint: endpoint.to_owned(),
            cluster,
            target,
            journal,
            bury,
            state: Mutex::new(State { books, looks, closed: false }),
            changed: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pending(&self) -> Option<Batch> {
        self.state().books.pending.clone()
    }

    pub(crate) fn delivered(&self) -> Option<Content> {
        self.state().books.delivered
    }

    /// Whether more may be handed over.
    pub(crate) fn admit(&self) -> Result<(), Failure> {
        let state = self.state();
        if let Some(failure) = state.looks.values().find_map(|look| look.failure.clone()) {
            return Err(failure);
        }
        if state.books.watched.len() >= WATCHED_MAX {
            let waiting = state.books.watched.len();
            return Err(Failure::later(format!("the cluster has not reported on {waiting} batches yet")));
        }
        Ok(())
    }

    /// Sends the message of an uploaded batch, and watches it from then on.
    pub(crate) async fn hand_over(&self, batch: Batch) -> Result<(), Failure> {
        {
            let mut state = self.state();
            if state.books.pending.as_ref() != Some(&batch) {
                state.books.pending = Some(batch.clone());
                self.save(&state)?;
            }
        }
        self.cluster.enqueue(&self.target, &batch).await?;
        let mut state = self.state();
        state.books.pending = None;
        if let Content::UpTo { .. } = batch.content {
            state.books.delivered = Some(batch.content);
        }
        state.looks.insert(batch.id.clone(), Look::new(None));
        state.books.watched.push(batch);
        // should this not get onto the disk, the batch is handed over once more after a crash
        if let Err(failure) = self.save(&state) {
            tracing::warn!(endpoint = self.endpoint, why = failure.message, "the journal is behind");
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Notes that records are in the table.
    pub(crate) fn streamed(&self, content: Content) {
        let Content::UpTo { .. } = content else { return };
        let mut state = self.state();
        state.books.delivered = Some(content);
        // should this not get onto the disk, they are streamed once more after a crash
        if let Err(failure) = self.save(&state) {
            tracing::warn!(endpoint = self.endpoint, why = failure.message, "the journal is behind");
        }
    }

    /// Writes nothing down any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    fn save(&self, state: &State) -> Result<(), Failure> {
        if state.closed {
            return Err(Failure::later("the flow has ended"));
        }
        self.journal.write(&state.books).map_err(|e| journal_failure(&e))
    }

    /// Looks for reports, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let next = self.state().looks.values().map(|look| look.next).min();
            tokio::select! {
                () = self.changed.notified() => continue,
                () = sleep_until(next) => {}
            }
            let due: Vec<(Batch, Look)> = {
                let state = self.state();
                let now = Instant::now();
                let looks = state
                    .books
                    .watched
                    .iter()
                    .filter_map(|batch| Some((batch.clone(), state.looks.get(&batch.id)?.clone())));
                looks.filter(|(_, look)| look.next <= now).collect()
            };
            for (batch, look) in due {
                if let Err(failure) = self.look(&batch, &look).await {
                    tracing::debug!(endpoint = self.endpoint, why = failure.message, "no report on a batch");
                    if let Some(look) = self.state().looks.get_mut(&batch.id) {
                        look.postpone();
                    }
                }
            }
        }
    }

    async fn look(&self, batch: &Batch, look: &Look) -> Result<(), Failure> {
        if look.again {
            return self.send_again(batch, look.failure.clone(), look.wait).await;
        }
        match self.cluster.report(batch).await? {
            Report::Done => self.replace(batch, vec![], None),
            Report::Pending if look.since.elapsed() > SILENT_MAX => {
                tracing::warn!(endpoint = self.endpoint, blob = batch.blob, "no report: sent again");
                self.send_again(batch, None, LOOK_FIRST).await
            }
            Report::Pending => {
                if let Some(look) = self.state().looks.get_mut(&batch.id) {
                    look.postpone();
                }
                Ok(())
            }
            Report::Failed(failure) => {
                tracing::error!(
                    endpoint = self.endpoint,
                    blob = batch.blob,
                    why = failure.message,
                    "a batch was not ingested"
                );
                if let Some(look) = self.state().looks.get_mut(&batch.id) {
                    look.failure = Some(failure);
                    look.again = true;
                    look.postpone();
                }
                Ok(())
            }
            Report::BadData(reason) => {
                tracing::error!(
                    endpoint = self.endpoint,
                    blob = batch.blob,
                    why = reason,
                    "a batch holds bad data"
                );
                self.isolate(batch, &reason).await
            }
        }
    }

    /// Sends the message of a batch again, with an id of its own for its report.
    async fn send_again(
        &self,
        batch: &Batch,
        failure: Option<Failure>,
        wait: Duration,
    ) -> Result<(), Failure> {
        let again = Batch { id: Uuid::new_v4().to_string(), created: now(), ..batch.clone() };
        self.cluster.enqueue(&self.target, &again).await?;
        self.replace(batch, vec![again], failure.map(|failure| (failure, wait)))
    }

    /// Makes a batch that holds bad data smaller, or its only record a dead letter.
    async fn isolate(&self, batch: &Batch, reason: &str) -> Result<(), Failure> {
        let lines = self.cluster.fetch(batch).await?;
        let lines: Vec<&[u8]> = lines.split_inclusive(|b| *b == b'\n').collect();
        if lines.len() <= 1 {
            for line in lines {
                let record = Record::new(
                    batch.topic.clone(),
                    line.trim_ascii_end().to_vec(),
                    std::time::Instant::now(),
                );
                (self.bury)(record, reason.to_owned());
            }
            return self.replace(batch, vec![], None);
        }
        let mut parts = Vec::new();
        for (index, part) in lines.chunks(lines.len().div_ceil(PARTS)).enumerate() {
            let (id, raw) = (Uuid::new_v4().to_string(), part.concat());
            let raw_size = raw.len() as u64;
            let blob = self.cluster.upload(&self.target, &id, gzip(raw).await?).await?;
            let tag = batch.tag.as_ref().map(|tag| format!("{tag}/{index}"));
            let part = Batch { id, blob, raw_size, tag, created: now(), ..batch.clone() };
            self.cluster.enqueue(&self.target, &part).await?;
            parts.push(part);
        }
        self.replace(batch, parts, None)
    }

    /// Watches others in the place of a batch.
    fn replace(
        &self,
        batch: &Batch,
        by: Vec<Batch>,
        failure: Option<(Failure, Duration)>,
    ) -> Result<(), Failure> {
        let mut state = self.state();
        state.looks.remove(&batch.id);
        state.books.watched.retain(|b| b.id != batch.id);
        for batch in by {
            let mut look = Look::new(failure.as_ref().map(|(failure, _)| failure.clone()));
            look.wait = failure.as_ref().map_or(LOOK_FIRST, |(_, wait)| *wait);
            state.looks.insert(batch.id.clone(), look);
            state.books.watched.push(batch);
        }
        self.save(&state)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn journal_failure(error: &std::io::Error) -> Failure {
    Failure::refused(Kind::Configuration, format!("the journal of batches can't be used: {error}"))
}
