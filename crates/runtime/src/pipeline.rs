//! One instance of a data flow: source, steps, sink. Between them there are function calls, no channels; not calling
//! `next` is the back-pressure, and the line after a finished write is the only one that acknowledges.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tidegate_core::{Batch, Record, Sink, Source, SourceError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deliver::{Chunk, Delivery, Due, Turns};
use crate::ledger::Account;
use crate::steps::Steps;
use crate::supervisor::{Instance, Replay};
use crate::tap::Stage;

/// Why a pipeline came to its end.
#[derive(Debug)]
pub(crate) enum Exit {
    /// Asked to stop; everything taken over is settled and acknowledged.
    Drained,
    /// Asked to stop; what was not settled in time is given back to the source.
    DrainTimedOut,
    /// No more records will come, and all are settled.
    SourceEnded,
    /// The source has to be opened anew.
    SourceFailed(SourceError),
}

pub(crate) struct Pipeline {
    pub(crate) source: Box<dyn Source>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) steps: Steps,
    pub(crate) instance: Arc<Instance>,
}

type Write = Pin<Box<dyn Future<Output = Vec<Due>> + Send>>;

impl Pipeline {
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Exit {
        if stop.run_until_cancelled(self.steps.prepare()).await.is_none() {
            return Exit::Drained;
        }
        let account = Arc::new(Account::new(self.instance.flow.clone(), self.instance.leg.clone()));
        let exit = self.pump(&account, stop).await;
        self.source.close().await;
        exit.unwrap_or_else(Exit::SourceFailed)
    }

    async fn pump(&mut self, account: &Arc<Account>, stop: &CancellationToken) -> Result<Exit, SourceError> {
        let instance = self.instance.clone();
        let chunking = self.sink.chunking();
        let writes_max = self.sink.in_flight_max().max(1);
        let unacked_max = self.source.unacked_max().max(1);
        let turns = Arc::new(Turns::default());
        let mut turn = 0;
        let mut pending = Chunk::default();
        let mut writes: FuturesOrdered<Write> = FuturesOrdered::new();
        let mut unacked = 0usize;
        // set once no more records will come, and why
        let mut ending: Option<Exit> = None;
        // how long to wait for the writes then
        let mut deadline: Option<Instant> = None;

        loop {
            // the loop must not starve its neighbours when both ends are always ready
            tokio::task::coop::consume_budget().await;
            let full = pending.records.len() >= chunking.records_max
                || pending.bytes >= chunking.bytes_max
                || unacked >= unacked_max
                || self.source.wants_ack()
                || ending.is_some();
            let due = match pending.since {
                _ if pending.dues.is_empty() => None,
                Some(since) if !full => Some(since + chunking.latency),
                _ => Some(Instant::now()),
            };
            let may_write = writes.len() < writes_max && !turns.any_retrying();
            if may_write && due.is_some_and(|due| chunking.latency.is_zero() || due <= Instant::now()) {
                let chunk = std::mem::take(&mut pending);
                let delivery = Delivery {
                    sink: self.sink.clone(),
                    instance: self.instance.clone(),
                    account: account.clone(),
                    turns: turns.clone(),
                    turn,
                };
                turn += 1;
                let mut write: Write = Box::pin(delivery.run(chunk));
                // the first poll fixes the order at the destination: see `Sink::write`
                writes.push_back(match futures_util::poll!(&mut write) {
                    Poll::Ready(dues) => Box::pin(std::future::ready(dues)),
                    Poll::Pending => write,
                });
            }
            if writes.is_empty()
                && pending.dues.is_empty()
                && let Some(exit) = ending.take()
            {
                return Ok(exit);
            }
            tokio::select! {
                biased;
                Some(dues) = writes.next(), if !writes.is_empty() => {
                    turns.next();
                    for due in dues {
                        match due {
                            Due::Ack(ack, records) => {
                                unacked -= records;
                                account.acked(records as u64);
                                self.source.ack(ack).await?;
                            }
                            Due::Replay(settled, records) => {
                                unacked -= records;
                                // whoever asked may have gone
                                let _ = settled.send(());
                            }
                        }
                    }
                }
                () = stop.cancelled(), if ending.is_none() => {
                    ending = Some(Exit::Drained);
                    deadline = Some(Instant::now() + self.instance.drain_max);
                }
                () = sleep_until(deadline), if deadline.is_some() => return Ok(Exit::DrainTimedOut),
                () = sleep_until(due), if may_write && due.is_some() => {}
                batch = self.source.next(), if !full => match batch? {
                    Some(Batch { records, ack }) => {
                        account.dropped_when_busy(self.source.take_dropped());
                        unacked += records.len();
                        let due = Due::Ack(ack, records.len());
                        self.take(records, due, account, &mut pending);
                    }
                    None => ending = Some(Exit::SourceEnded),
                },
                Replay { records, settled } = instance.flow.next_replay(), if !full && instance.leg.is_last() => {
                    unacked += records.len();
                    let due = Due::Replay(settled, records.len());
                    self.take(records, due, account, &mut pending);
                }
            }
        }
    }

    /// Takes records over, runs the steps and appends what comes out to the chunk.
    fn take(&mut self, records: Vec<Record>, due: Due, account: &Account, pending: &mut Chunk) {
        let bytes = records.iter().map(|r| r.payload.len() as u64).sum();
        let is_replay = matches!(due, Due::Replay(..));
        if is_replay {
            account.accept(records.len() as u64, bytes);
        } else {
            account.receive(records.len() as u64, bytes);
        }
        let tap = &self.instance.flow.tap;
        if tap.is_watched() && (self.instance.leg.is_first() || is_replay) {
            records.iter().for_each(|record| tap.show(Stage::Source, record.clone()));
        }
        pending.since.get_or_insert_with(Instant::now);
        let before = pending.records.len();
        self.steps.run(records, &self.instance, account, &mut pending.records);
        pending.bytes += pending.records[before..].iter().map(|r| r.payload.len()).sum::<usize>();
        pending.dues.push(due);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
