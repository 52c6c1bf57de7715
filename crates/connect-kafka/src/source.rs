//! Records from Kafka topics, as a member of a consumer group.
//!
//! Offsets are stored when their records are acknowledged, which happens in the order in which they were handed over,
//! and librdkafka commits what is stored: every second, before a partition goes to another member, and at the end. A
//! partition that was taken away in between is its new owner's: acknowledgements for it come too late and mean nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_core::{Ack, Batch, Source, SourceError};
use tokio::sync::mpsc;

use crate::client::{Events, Peer};
use crate::failure::{Failure, Kind};
use crate::reader::{Assignment, Consumer, Fetched, Handle, Position, Reader};

/// How many records, and bytes of them, are handed over before an acknowledgement is due.
const UNACKED_MAX: usize = 10_000;
const UNACKED_BYTES_MAX: usize = 64 << 20;

/// How many batches wait beside those.
const BATCHES_MAX: usize = 4;

/// How long leaving may take, with the last commit.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// The source of one data flow instance.
pub(crate) struct KafkaSource {
    endpoint: String,
    batches: mpsc::Receiver<Result<Fetched, Failure>>,
    /// What was handed over and is not acknowledged, oldest first.
    unacked: VecDeque<Unacked>,
    unacked_bytes: usize,
    next_ack: u64,
    /// `None` once closed. Dropped before `reader`, whose thread is to have the last reference.
    consumer: Option<Arc<Consumer>>,
    reader: Handle,
}

struct Unacked {
    ack: u64,
    bytes: usize,
    positions: Vec<Position>,
}

impl KafkaSource {
    /// Connects, sees the topics and joins the group.
    pub(crate) async fn open(peer: Peer, topics: &[String], group: &str) -> Result<Self, SourceError> {
        Self::try_open(&peer, topics, group).await.map_err(|f| f.of_source(&peer.endpoint))
    }

    async fn try_open(peer: &Peer, topics: &[String], group: &str) -> Result<Self, Failure> {
        let mut config = peer.config()?;
        // A member that has died is missed after this long; Event Hubs wants it longer.
        let session = if peer.is_event_hubs() { "30000" } else { "15000" };
        config
            .set("group.id", group)
            .set("session.timeout.ms", session)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            // per consumer, of which there may be 20
            .set("queued.max.messages.kbytes", "16384");
        let events = Events { monitor: peer.monitor(), role: Assignment::default() };
        let consumer: Arc<Consumer> =
            Arc::new(config.create_with_context(events).map_err(|e| Failure::unusable(&e))?);
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        let reader = Reader {
            consumer: consumer.clone(),
            topics: topics.iter().map(|t| t.as_str().into()).collect(),
            batches: sender,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let (reader, subscribed) = reader
            .start()
            .map_err(|e| Failure::later(Kind::Connection, format!("no thread can be started: {e}")))?;
        let source = Self {
            endpoint: peer.endpoint.clone(),
            batches,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            next_ack: 0,
            consumer: Some(consumer),
            reader,
        };
        match subscribed.await {
            Ok(result) => result.map(|()| source),
            Err(_) => Err(source.thread_ended()),
        }
    }

    fn thread_ended(&self) -> Failure {
        Failure::later(Kind::Connection, "the consumer has ended")
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.unacked_bytes >= UNACKED_BYTES_MAX {
            // The call after the next acknowledgement goes on.
            std::future::pending::<()>().await;
        }
        let fetched = match self.batches.recv().await {
            Some(Ok(fetched)) => fetched,
            Some(Err(failure)) => return Err(failure.of_source(&self.endpoint)),
            None => return Err(self.thread_ended().of_source(&self.endpoint)),
        };
        self.reader.wake();
        let Fetched { records, bytes, positions } = fetched;
        let ack = self.next_ack;
        self.next_ack += 1;
        self.unacked.push_back(Unacked { ack, bytes, positions });
        self.unacked_bytes += bytes;
        Ok(Some(Batch { records, ack: Ack::new(ack) }))
    }

    async fn ack(&mut self, ack: Ack) -> Result<(), SourceError> {
        while let Some(unacked) = self.unacked.pop_front_if(|u| u.ack <= ack.number()) {
            self.unacked_bytes -= unacked.bytes;
            let Some(consumer) = &self.consumer else { continue };
            let assignment = &consumer.context().role;
            let mut offsets = TopicPartitionList::new();
            for Position { topic, partition, next, generation } in &unacked.positions {
                let is_ours = generation.is_some() && assignment.generation(topic, *partition) == *generation;
                if is_ours {
                    // it fails for an offset below zero, which no record has
                    let _ = offsets.add_partition_offset(topic, *partition, Offset::Offset(*next));
                }
            }
            if offsets.count() > 0
                && let Err(error) = consumer.store_offsets(&offsets)
            {
                // taken away just now: its new owner delivers the records again
                tracing::debug!(%error, "an acknowledgement came too late");
            }
            assignment.closed();
        }
        Ok(())
    }

    fn unacked_max(&self) -> usize {
        UNACKED_MAX
    }

    async fn close(&mut self) {
        // the thread is to have the last reference
        if let Some(consumer) = self.consumer.take() {
            consumer.context().role.leave();
        }
        self.batches.close();
        self.reader.stop();
        if let Some(ended) = self.reader.ended.take()
            && tokio::time::timeout(LEAVE_MAX, ended).await.is_err()
        {
            tracing::warn!(endpoint = self.endpoint, "leaving the consumer group takes long");
        }
    }
}
