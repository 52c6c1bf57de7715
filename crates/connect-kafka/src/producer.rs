//! One producer, from the connection to the end of it. What it was given is either reported or, once it is given up,
//! purged: nothing it was given reaches the cluster behind the back of its successor, so that the order of records
//! outlives failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::{Notify, watch};

use crate::client::{Events, Monitor, Partitions, Peer};
use crate::failure::{Failure, Kind};
use crate::records::Outgoing;

/// How often a write that waits looks whether anything moves.
const TICK: Duration = Duration::from_secs(1);

/// How long nothing may move once the cluster is known to be out of reach: as long as a broker takes to come back
/// from a short restart.
const UNREACHABLE_MAX: Duration = Duration::from_secs(5);

/// How long the reports of what was purged may take; they are made in this process.
const PURGE_MAX: Duration = Duration::from_secs(5);

/// A chunk of records on their way.
pub(crate) struct Chunk {
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
    Failed(Code),
    /// It was not even sent, and never will be.
    Rejected {
        reason: String,
        expired: bool,
    },
}

impl Chunk {
    pub(crate) fn new(records: usize) -> Arc<Self> {
        Arc::new(Self {
            outcomes: Mutex::new(vec![Outcome::Open; records]),
            open: AtomicUsize::new(records),
            settled: Notify::new(),
        })
    }

    /// Notes what became of a record.
    pub(crate) fn settle(&self, index: usize, outcome: Outcome) {
        self.outcomes.lock()[index] = outcome;
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.notify_waiters();
        }
    }

    /// What became of each record.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().clone()
    }

    async fn until_settled(&self) {
        let mut settled = std::pin::pin!(self.settled.notified());
        settled.as_mut().enable();
        if self.open.load(Ordering::Acquire) > 0 {
            settled.await;
        }
    }
}

/// Which record a delivery report is about.
pub(crate) struct Place {
    chunk: Arc<Chunk>,
    index: usize,
}

/// The part of the callbacks that is the producer's.
#[derive(Default)]
pub(crate) struct Reports {
    /// How many reports there were.
    count: AtomicU64,
    came: Notify,
}

impl ProducerContext for Events<Reports> {
    type DeliveryOpaque = Box<Place>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Box<Place>) {
        let outcome = match result {
            Ok(_) => Outcome::Delivered,
            Err((error, _)) => Outcome::Failed(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        place.chunk.settle(place.index, outcome);
        self.role.count.fetch_add(1, Ordering::Relaxed);
        self.role.came.notify_waiters();
    }
}

/// A producer that has seen its topic.
pub(crate) struct Producer {
    /// `None` once it is being dropped.
    client: Option<ThreadedProducer<Events<Reports>>>,
    monitor: Arc<Monitor>,
    /// How many partitions the topic has.
    pub(crate) partitions: Partitions,
    /// Why it was given up.
    ended: watch::Sender<Option<Failure>>,
    pub(crate) limits: Limits,
}

/// What a producer was made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes of a batch that holds more than one record.
    pub(crate) batch_bytes: u64,
    /// How long nothing may move while the cluster is within reach.
    pub(crate) patience: Duration,
}

impl Producer {
    /// Connects and asks for the topic.
    pub(crate) async fn open(
        peer: &Peer,
        config: ClientConfig,
        topic: String,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let monitor = peer.monitor();
        let opening = tokio::task::spawn_blocking(move || {
            let events = Events { monitor: monitor.clone(), role: Reports::default() };
            let client: ThreadedProducer<_> =
                config.create_with_context(events).map_err(|e| Failure::unusable(&e))?;
            let partitions = monitor.find_topic(client.client(), &topic, || {})?;
            Ok(Self { client: Some(client), monitor, partitions, ended: watch::Sender::new(None), limits })
        });
        opening.await.unwrap_or_else(|e| Err(Failure::later(Kind::Connection, e.to_string())))
    }

    /// Why it was given up, if it was.
    pub(crate) fn ended(&self) -> Option<Failure> {
        self.ended.borrow().clone()
    }

    /// Takes a record over, waiting for room if there is none. What is wrong with the record is its outcome.
    ///
    /// # Errors
    /// The producer was given up.
    pub(crate) async fn send(
        &self,
        chunk: &Arc<Chunk>,
        index: usize,
        topic: &str,
        partition: Option<i32>,
        payload: &[u8],
        outgoing: &Outgoing,
    ) -> Result<(), Failure> {
        let client = self.client();
        loop {
            let room = client.context().role.came.notified();
            {
                let place = Box::new(Place { chunk: chunk.clone(), index });
                let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, place).payload(payload);
                record.key = outgoing.key.as_deref();
                record.partition = partition;
                record.headers = outgoing.native_headers();
                match client.send(record) {
                    Ok(()) => return Ok(()),
                    Err((KafkaError::MessageProduction(Code::QueueFull), _)) => {}
                    Err((error, _)) => {
                        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                        chunk.settle(index, Outcome::Failed(code));
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
        let reports = || self.client().context().role.count.load(Ordering::Relaxed);
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

    fn client(&self) -> &ThreadedProducer<Events<Reports>> {
        self.client.as_ref().expect("it is there until this is dropped")
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
