//! Records to a Kafka topic.
//!
//! A write counts as done when the cluster has reported every record of it as `kafkaAcks` asks; with `Zero`, when they
//! are sent. Writes overlap, and hand their records to librdkafka one after the other in the order of the calls. When
//! records of one write are not taken, the producer is given up with all its writes, so that none overtakes another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_core::{Record, Rejected, Sink, WriteError};
use tidegate_model::endpoint::{Compression, Kafka, KafkaAcks, PartitionStrategy};
use tidegate_model::plan::HeaderAction;
use tokio::sync::Mutex;

use crate::client::Peer;
use crate::failure::{Failure, Kind, in_words, is_record_at_fault, is_size};
use crate::partitions::{Batch, Partitions, Runs, murmur2};
use crate::producer::{Chunk, Limits, Outcome, Producer};
use crate::records::{Outgoing, RecordRules};

/// How many writes may overlap: enough that batches fill while others are on the way.
const WRITES_MAX: usize = 16;

/// The largest record that is sent at all, below what a broker reads before it cuts the connection
/// (`socket.request.max.bytes`): a record that no broker answers for would be tried for ever.
const RECORD_BYTES_MAX: u64 = 100_000_000;

/// Event Hubs cuts the connection over requests of more than 1,046,528 bytes.
const EVENT_HUBS_RECORD_BYTES_MAX: u64 = 1_000_000;

/// How many bytes wait in librdkafka; more writes wait until there is room.
const QUEUE_KILOBYTES: u32 = 64 * 1024;

/// How many records wait there at least.
const QUEUE_RECORDS: u64 = 100_000;

/// The most records librdkafka puts into one batch.
const BATCH_RECORDS_MAX: u64 = 1_000_000;

/// How long a broker may take to answer; "Recommended configurations for Apache Kafka clients" of Event Hubs wants it
/// longer there, where an answer may be held back to slow a client down.
const REQUEST_MAX: Duration = Duration::from_secs(30);
const EVENT_HUBS_REQUEST_MAX: Duration = Duration::from_secs(60);

/// The sink of one data flow instance.
pub(crate) struct KafkaSink {
    peer: Peer,
    rules: RecordRules,
    /// The most bytes of one batch: what is configured, or less once the cluster has refused a batch for its size.
    batch_bytes: AtomicU64,
    /// Whose turn it is to hand over records, first come, first served; and to whom.
    turn: Mutex<Option<Arc<Producer>>>,
}

impl KafkaSink {
    pub(crate) fn new(peer: Peer, topic: &str, headers: &[HeaderAction]) -> Self {
        let bytes = peer.kafka.batching.map_or(1, |b| b.bytes_max.clamp(1, record_bytes_max(&peer)));
        Self {
            rules: RecordRules::new(&peer.endpoint, &peer.kafka, topic, headers),
            batch_bytes: AtomicU64::new(bytes),
            turn: Mutex::new(None),
            peer,
        }
    }

    /// The producer, opened if there is none.
    async fn producer(&self, slot: &mut Option<Arc<Producer>>) -> Result<Arc<Producer>, Failure> {
        if let Some(producer) = slot {
            match producer.ended() {
                None => return Ok(producer.clone()),
                // While somebody still holds it, writes before this one failed with it and have not been tried again.
                // They must not be overtaken.
                Some(failure) if Arc::strong_count(producer) > 1 => {
                    return Err(Failure { refused: false, ..failure });
                }
                Some(_) => *slot = None,
            }
        }
        let batch = self.batch();
        // a request and its repetition
        let limits = Limits { batch, patience: 2 * self.request_max() };
        let topic = self.rules.topic().to_owned();
        let producer =
            Producer::open(&self.peer, self.config(batch)?, topic, self.partitions(batch), limits).await?;
        Ok(slot.insert(Arc::new(producer)).clone())
    }

    /// When a batch is sent; `mode: Disabled` sends each record by itself.
    fn batch(&self) -> Batch {
        let bytes_max = self.batch_bytes.load(Ordering::Relaxed);
        match self.peer.kafka.batching {
            Some(b) => Batch {
                latency: b.latency,
                records_max: b.messages_max.clamp(1, BATCH_RECORDS_MAX),
                bytes_max,
            },
            None => Batch { latency: Duration::ZERO, records_max: 1, bytes_max },
        }
    }

    fn partitions(&self, batch: Batch) -> Partitions {
        match self.peer.kafka.partition_strategy {
            PartitionStrategy::Static => Partitions::Static(self.peer.context.flow.instance_index),
            // not all flows begin with the same partition
            _ => Partitions::ByKey(Runs::new(batch, murmur2(self.peer.client_id().as_bytes()))),
        }
    }

    fn config(&self, batch: Batch) -> Result<ClientConfig, Failure> {
        let mut config = self.peer.config()?;
        let Kafka { compression, acks, .. } = &self.peer.kafka;
        config
            .set("linger.ms", batch.latency.as_millis().to_string())
            .set("batch.num.messages", batch.records_max.to_string())
            .set("batch.size", batch.bytes_max.to_string())
            .set("message.max.bytes", record_bytes_max(&self.peer).to_string())
            .set("queue.buffering.max.kbytes", QUEUE_KILOBYTES.to_string())
            .set("queue.buffering.max.messages", QUEUE_RECORDS.max(batch.records_max).to_string())
            // when to give up is for `Producer` to say
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", self.request_max().as_millis().to_string())
            // or `Partitions` would not be asked about records without a key
            .set("sticky.partitioning.linger.ms", "0")
            .set(
                "compression.type",
                match compression {
                    Compression::None => "none",
                    Compression::Gzip => "gzip",
                    Compression::Snappy => "snappy",
                    Compression::Lz4 => "lz4",
                },
            );
        match acks {
            // several requests may be under way, and are put in order by the broker
            KafkaAcks::All => config.set("acks", "all").set("enable.idempotence", "true"),
            KafkaAcks::One => config.set("acks", "1").set("max.in.flight.requests.per.connection", "1"),
            KafkaAcks::Zero => config.set("acks", "0").set("max.in.flight.requests.per.connection", "1"),
        };
        Ok(config)
    }

    fn request_max(&self) -> Duration {
        if self.peer.is_event_hubs() { EVENT_HUBS_REQUEST_MAX } else { REQUEST_MAX }
    }

    /// Hands the records over, in order.
    async fn send(&self, producer: &Producer, chunk: &Chunk, records: &[Record]) -> Result<(), Failure> {
        let now = tokio::time::Instant::now().into_std();
        for (index, record) in records.iter().enumerate() {
            match self.outgoing(record, now) {
                Ok(outgoing) => {
                    producer.send(chunk, index, self.rules.topic(), &record.payload, &outgoing).await?;
                }
                Err(rejected) => producer.settle(chunk, index, rejected),
            }
        }
        Ok(())
    }

    fn outgoing(&self, record: &Record, now: Instant) -> Result<Outgoing, Outcome> {
        let left = record.remaining_expiry(now).map_err(|_| Outcome::Rejected {
            reason: "its Message Expiry Interval has passed".into(),
            expired: true,
        })?;
        self.rules.apply(record, left).map_err(|reason| Outcome::Rejected { reason, expired: false })
    }

    /// What the outcomes of a write mean for it; `failure` is why its producer was given up.
    fn verdict(
        &self,
        producer: &Producer,
        records: &[Record],
        outcomes: &[Outcome],
        failure: Option<Failure>,
    ) -> Result<(), WriteError> {
        let written = outcomes.iter().take_while(|o| **o == Outcome::Delivered).count();
        let mut rejected = Vec::new();
        let mut failure = failure;
        for (index, outcome) in outcomes.iter().enumerate().skip(written) {
            match *outcome {
                Outcome::Delivered => {}
                Outcome::Rejected { ref reason, expired } => {
                    rejected.push(Rejected { index, reason: reason.clone(), expired });
                }
                Outcome::Failed { code, sent: true }
                    if is_size(code) && !self.went_alone(producer, &records[index]) =>
                {
                    let smaller = || producer.ended().unwrap_or_else(|| self.shrink_batches());
                    failure.get_or_insert_with(smaller);
                }
                Outcome::Failed { code, .. } if is_record_at_fault(code) => {
                    rejected.push(Rejected {
                        index,
                        reason: self.refusal(code, &records[index]),
                        expired: false,
                    });
                }
                Outcome::Failed { code, .. } => {
                    // what was purged was not refused: the producer was given up for another reason
                    let why =
                        || producer.ended().unwrap_or_else(|| Failure::of(self.peer.host(), code, None));
                    failure.get_or_insert_with(why);
                }
                Outcome::Open => {
                    let never = || Failure::later(Kind::Send, "the cluster has not reported on a record");
                    failure.get_or_insert_with(never);
                }
            }
        }
        match failure {
            Some(failure) => {
                producer.give_up(failure.clone());
                Err(failure.of_sink(&self.peer.endpoint, written))
            }
            None if rejected.is_empty() => Ok(()),
            None => Err(WriteError::Reject(rejected)),
        }
    }

    /// Whether a record shared its batch with no other for sure. A broker refuses batches, not records, for their size.
    fn went_alone(&self, producer: &Producer, record: &Record) -> bool {
        producer.limits.batch.records_max == 1
            || producer.limits.batch.bytes_max == 1
            || record.payload.len() as u64 >= producer.limits.batch.bytes_max
    }

    /// Makes the next producer's batches smaller, until the record that is too large is alone in its own.
    fn shrink_batches(&self) -> Failure {
        let bytes = self.batch_bytes.load(Ordering::Relaxed);
        let smaller = (bytes / 4).max(1);
        self.batch_bytes.store(smaller, Ordering::Relaxed);
        Failure::later(
            Kind::Send,
            format!(
                "{} refused a batch of up to {bytes} bytes as too large; batches are {smaller} bytes from now on (set \
                 `batching.maxBytes` below the limit of the cluster)",
                self.peer.host()
            ),
        )
    }

    fn refusal(&self, code: Code, record: &Record) -> String {
        let (to, bytes) = (self.peer.host(), record.payload.len());
        if is_size(code) {
            format!("the message of {bytes} bytes is too large for {to} ({})", in_words(code))
        } else {
            format!("{to} does not accept the record ({})", in_words(code))
        }
    }
}

/// The largest record, and the largest batch, that goes there.
fn record_bytes_max(peer: &Peer) -> u64 {
    if peer.is_event_hubs() { EVENT_HUBS_RECORD_BYTES_MAX } else { RECORD_BYTES_MAX }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn prepare(&self) -> Result<(), WriteError> {
        // A write of nothing is done when the cluster has shown the topic.
        self.write(&[]).await
    }

    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        // The first poll takes a place in the queue for the turn, and so fixes the order.
        let mut slot = self.turn.lock().await;
        let producer =
            self.producer(&mut slot).await.map_err(|failure| failure.of_sink(&self.peer.endpoint, 0))?;
        let chunk = producer.begin(records.len());
        let sent = self.send(&producer, &chunk, records).await;
        drop(slot);
        let settled = match sent {
            Ok(()) => producer.settled(&chunk).await,
            Err(failure) => Err(failure),
        };
        self.verdict(&producer, records, &chunk.outcomes(), settled.err())
    }

    fn in_flight_max(&self) -> usize {
        WRITES_MAX
    }

    fn preview(&self, record: &Record) -> Record {
        self.rules.preview(record).unwrap_or_else(|_| record.clone())
    }

    async fn close(&self) {
        // Nothing is under way: dropping it ends the connections.
        self.turn.lock().await.take();
    }
}
