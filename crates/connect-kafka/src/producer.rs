//! One producer, from the connection to the end of it. What it was given is either reported or, once it is given up,
//! purged: nothing it was given reaches the cluster behind the back of its successor, so that the order of records
//! outlives failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::{Notify, watch};

use crate::client::{Events, Monitor, Peer};
use crate::failure::{Failure, Kind};
use crate::partitions::{Batch, Partitions};
use crate::records::Outgoing;

/// How often a write that waits looks whether anything moves.
const TICK: Duration = Duration::from_secs(1);

/// How long nothing may move once the cluster is known to be out of reach: as long as a broker takes to come back
/// from a short restart.
const UNREACHABLE_MAX: Duration = Duration::from_secs(5);

/// How long the reports of what was purged may take; they are made in this process.
const PURGE_MAX: Duration = Duration::from_secs(5);

/// A chunk of records on their way. Its records are numbered among all that the producer was given.
pub(crate) struct Chunk {
    first: usize,
    outcomes: Mutex<Vec<Outcome>>,
    open: AtomicUsize,
    settled: Notify,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is known of it.
    Open,
    Delivered,
    Failed {
        code: Code,
        /// Or librdkafka did not take it in the first place.
        sent: bool,
    },
    /// It was not even sent, and never will be.
    Rejected {
        reason: String,
        expired: bool,
    },
}

impl Chunk {
    /// What became of each record so far.
    pub(crate) fn outcomes(&self) -> MutexGuard<'_, Vec<Outcome>> {
        self.outcomes.lock()
    }

    async fn until_settled(&self) {
        let mut settled = std::pin::pin!(self.settled.notified());
        settled.as_mut().enable();
        if self.open.load(Ordering::Acquire) > 0 {
            settled.await;
        }
    }
}

/// The chunks that have open records, oldest first.
#[derive(Default)]
struct UnderWay {
    chunks: Vec<Arc<Chunk>>,
    /// The number of the next record.
    next: usize,
}

impl UnderWay {
    fn begin(&mut self, records: usize) -> Arc<Chunk> {
        let chunk = Arc::new(Chunk {
            first: self.next,
            outcomes: Mutex::new(vec![Outcome::Open; records]),
            open: AtomicUsize::new(records),
            settled: Notify::new(),
        });
        if records > 0 {
            self.next = self.next.wrapping_add(records);
            self.chunks.push(chunk.clone());
        }
        chunk
    }

    /// Notes what became of the record with this number.
    fn settle(&mut self, number: usize, outcome: Outcome) {
        for (at, chunk) in self.chunks.iter().enumerate() {
            let index = number.wrapping_sub(chunk.first);
            if let Some(open @ Outcome::Open) = chunk.outcomes.lock().get_mut(index) {
                *open = outcome;
            } else {
                continue;
            }
            if chunk.open.fetch_sub(1, Ordering::AcqRel) == 1 {
                chunk.settled.notify_waiters();
                self.chunks.remove(at);
            }
            return;
        }
    }
}

/// The part of the callbacks that is the producer's.
pub(crate) struct Reports {
    under_way: Mutex<UnderWay>,
    partitions: Partitions,
    /// How many reports there were.
    count: AtomicU64,
    came: Notify,
}

impl ProducerContext<Partitions> for Events<Reports> {
    /// The number of the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = match result {
            Ok(_) => Outcome::Delivered,
            Err((error, _)) => {
                Outcome::Failed { code: error.rdkafka_error_code().unwrap_or(Code::Fail), sent: true }
            }
        };
        self.role.under_way.lock().settle(number, outcome);
        self.role.count.fetch_add(1, Ordering::Relaxed);
        self.role.came.notify_waiters();
    }

    fn get_custom_partitioner(&self) -> Option<&Partitions> {
        Some(&self.role.partitions)
    }
}

type Client = ThreadedProducer<Events<Reports>, Partitions>;

/// A producer that has seen its topic.
pub(crate) struct Producer {
    /// `None` once it is being dropped.
    client: Option<Client>,
    monitor: Arc<Monitor>,
    /// Why it was given up.
    ended: watch::Sender<Option<Failure>>,
    pub(crate) limits: Limits,
}

/// What a producer was made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) batch: Batch,
    /// How long nothing may move while the cluster is within reach.
    pub(crate) patience: Duration,
}

impl Producer {
    /// Connects and asks for the topic.
    pub(crate) async fn open(
        peer: &Peer,
        config: ClientConfig,
        topic: String,
        partitions: Partitions,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let monitor = peer.monitor();
        let opening = tokio::task::spawn_blocking(move || {
            let role = Reports {
                under_way: Mutex::default(),
                partitions,
                count: AtomicU64::new(0),
                came: Notify::new(),
            };
            let events = Events { monitor: monitor.clone(), role };
            let client: Client = config.create_with_context(events).map_err(|e| Failure::unusable(&e))?;
            monitor.find_topic(client.client(), &topic, || {})?;
            Ok(Self { client: Some(client), monitor, ended: watch::Sender::new(None), limits })
        });
        opening.await.unwrap_or_else(|e| Err(Failure::later(Kind::Connection, e.to_string())))
    }

    /// Why it was given up, if it was.
    pub(crate) fn ended(&self) -> Option<Failure> {
        self.ended.borrow().clone()
    }

    /// Makes ready for so many records.
    pub(crate) fn begin(&self, records: usize) -> Arc<Chunk> {
        self.reports().under_way.lock().begin(records)
    }

    /// Notes what became of a record of the chunk.
    pub(crate) fn settle(&self, chunk: &Chunk, index: usize, outcome: Outcome) {
        self.reports().under_way.lock().settle(chunk.first.wrapping_add(index), outcome);
    }

    /// Takes a record over, waiting for room if there is none. What is wrong with the record is its outcome.
    ///
    /// # Errors
    /// The producer was given up.
    pub(crate) async fn send(
        &self,
        chunk: &Chunk,
        index: usize,
        topic: &str,
        payload: &[u8],
        outgoing: &Outgoing,
    ) -> Result<(), Failure> {
        loop {
            let room = self.reports().came.notified();
            {
                let number = chunk.first.wrapping_add(index);
                let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, number).payload(payload);
                record.key = outgoing.key.as_deref();
                record.headers = outgoing.native_headers();
                match self.client().send(record) {
                    Ok(()) => {
                        self.reports().partitions.sent(payload.len());
                        return Ok(());
                    }
                    Err((KafkaError::MessageProduction(Code::QueueFull), _)) => {}
                    Err((error, _)) => {
                        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                        self.settle(chunk, index, Outcome::Failed { code, sent: false });
                        return Ok(());
                    }
                }
            }
            self.unless_stalled(room).await?;
        }
    }

    /// Returns once every record of the chunk has its outcome, or the producer was given up and has no more to say.
    pub(crate) async fn settled(&self, chunk: &Chunk) -> Result<(), Failure> {
        let result = self.unless_stalled(chunk.until_settled()).await;
        if result.is_err() {
            // What was delivered before the purge is worth knowing.
            let _ = tokio::time::timeout(PURGE_MAX, chunk.until_settled()).await;
        }
        result
    }

    /// Nothing more of what it was given is to reach the cluster.
    pub(crate) fn give_up(&self, failure: Failure) {
        let first = self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(failure);
            first
        });
        if first {
            self.client().purge(PurgeConfig::default().queue().inflight());
        }
    }

    /// Waits for `event`, but gives up when nothing moves or the cluster says no.
    async fn unless_stalled(&self, event: impl Future<Output = ()>) -> Result<(), Failure> {
        let mut event = std::pin::pin!(event);
        let mut ended = self.ended.subscribe();
        let mut failure = self.monitor.failure();
        let reports = || self.reports().count.load(Ordering::Relaxed);
        let mut seen = reports();
        let mut idle = Duration::ZERO;
        loop {
            if let Some(failure) = ended.borrow_and_update().clone() {
                return Err(failure);
            }
            let trouble = failure.borrow_and_update().clone();
            let idle_max = match &trouble {
                Some(trouble) if trouble.refused => Duration::ZERO,
                Some(_) => UNREACHABLE_MAX,
                None => self.limits.patience,
            };
            if idle >= idle_max {
                let silence = || {
                    let seconds = idle.as_secs();
                    Failure::later(Kind::Send, format!("the cluster has reported nothing for {seconds} s"))
                };
                self.give_up(trouble.unwrap_or_else(silence));
                continue;
            }
            tokio::select! {
                biased;
                () = &mut event => return Ok(()),
                _ = ended.changed() => {}
                // what was reported before the failure says nothing about it
                _ = failure.changed() => seen = reports(),
                () = tokio::time::sleep(TICK) => {
                    idle += TICK;
                    let now = reports();
                    if now != seen {
                        (seen, idle) = (now, Duration::ZERO);
                        self.monitor.well();
                    }
                }
            }
        }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is there until this is dropped")
    }

    fn reports(&self) -> &Reports {
        &self.client().context().role
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let client = self.client.take();
        // Ending its threads takes a moment, for which no other task is to wait.
        let ending = std::thread::Builder::new().name("kafka-leave".into()).spawn(move || drop(client));
        if let Err(error) = ending {
            tracing::warn!(%error, "a Kafka producer was ended in place");
        }
    }
}
