//! Records from a broker on the network.
//!
//! The session outlives the connection (Clean Start 0): what was handed over and not acknowledged comes again when the
//! source is opened anew. The broker's Receive Maximum bounds what is held of QoS 1. What is held of QoS 0 has limits of
//! its own, beyond which new messages are dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::{Ack, Batch, Record, Source, SourceError};
use tidegate_model::topic::TopicFilter;
use tidegate_mqtt::client::Event;
use tidegate_mqtt::flow::Receipt;
use tidegate_mqtt::{Outgoing, Publish, PublishParts, QoS, ReasonCode, RetainHandling, SubAck, Subscription};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::client::Client;
use super::remote::Remote;
use super::subscriptions::Subscriptions;
use super::{now, verdict};
use crate::failure::Failure;

/// How many messages of QoS 0 wait for a data flow that is busy.
const QOS_0_QUEUE_MAX: usize = 10_000;

/// How many bytes of payload they may have together.
const QOS_0_QUEUE_BYTES_MAX: usize = 64 << 20;

/// From a SUBSCRIBE to its answer.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(20);

/// The source of one data flow instance. The connection is a task's.
pub(super) struct MqttSource {
    remote: Arc<Remote>,
    queue: Arc<Queue>,
    /// Receipts on their way to the task, which leaves when this is gone.
    finished: Option<mpsc::Sender<Vec<Receipt>>>,
    task: JoinHandle<Result<(), Failure>>,
    /// Why the task ended, once it has.
    lost: Option<SourceError>,
    /// One entry for each batch that is not acknowledged.
    unacked: VecDeque<Vec<Receipt>>,
    first_unacked: u64,
    unacked_max: usize,
    /// Messages of QoS 0 that nobody has been told of.
    dropped: u64,
}

impl MqttSource {
    /// Connects and subscribes.
    pub(super) async fn open(
        remote: Arc<Remote>,
        filters: &[TopicFilter],
        qos: QoS,
    ) -> Result<Self, SourceError> {
        let inflight_max = usize::from(remote.mqtt.inflight_max);
        let queue = Arc::new(Queue::default());
        let subscriber = Subscriber::open(&remote, filters, qos, queue.clone())
            .await
            .map_err(|failure| failure.of_source(remote.endpoint.name.as_str()))?;
        let (finished, receipts) = mpsc::channel(inflight_max.max(1));
        Ok(Self {
            remote,
            queue,
            finished: Some(finished),
            task: tokio::spawn(subscriber.run(receipts)),
            lost: None,
            unacked: VecDeque::new(),
            first_unacked: 0,
            unacked_max: match qos {
                QoS::AtMostOnce => QOS_0_QUEUE_MAX,
                _ => inflight_max,
            },
            dropped: 0,
        })
    }

    /// Waits for the end of the connection.
    async fn lost(&mut self) -> SourceError {
        if let Some(lost) = &self.lost {
            return lost.clone();
        }
        let failure = match (&mut self.task).await {
            Ok(Err(failure)) => failure,
            Ok(Ok(())) => Failure::Connection("the source is closed".into()),
            Err(error) => Failure::Connection(format!("the connection's task ended by itself: {error}")),
        };
        self.lost.insert(failure.of_source(self.remote.endpoint.name.as_str())).clone()
    }
}

#[async_trait]
impl Source for MqttSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let queue = self.queue.clone();
        let Waiting { records, receipts, dropped, .. } = tokio::select! {
            biased;
            lost = self.lost() => return Err(lost),
            waiting = queue.take() => waiting,
        };
        self.dropped += dropped;
        if dropped > 0 {
            let client_id = &self.remote.client_id;
            tracing::warn!(client_id, dropped, "the data flow is too busy: messages of QoS 0 were dropped");
        }
        let ack = Ack::new(self.first_unacked + self.unacked.len() as u64);
        self.unacked.push_back(receipts);
        Ok(Some(Batch { records, ack }))
    }

    async fn ack(&mut self, ack: Ack) -> Result<(), SourceError> {
        debug_assert_eq!(ack.number(), self.first_unacked, "batches are acknowledged in their order");
        self.first_unacked += 1;
        let receipts = self.unacked.pop_front().unwrap_or_default();
        if receipts.is_empty() {
            return Ok(());
        }
        let sent = match &self.finished {
            Some(finished) => finished.send(receipts).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.lost().await) }
    }

    fn unacked_max(&self) -> usize {
        self.unacked_max
    }

    fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    async fn close(&mut self) {
        self.finished = None;
        let _ = self.lost().await;
    }
}

/// What has arrived and waits for the data flow.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    records: Vec<Record>,
    receipts: Vec<Receipt>,
    qos_0: usize,
    qos_0_bytes: usize,
    dropped: u64,
}

impl Queue {
    fn put(&self, arrived: &mut Vec<(Record, Option<Receipt>)>) {
        let mut waiting = self.waiting.lock();
        for (record, receipt) in arrived.drain(..) {
            match receipt {
                Some(receipt) => waiting.receipts.push(receipt),
                None if waiting.qos_0 >= QOS_0_QUEUE_MAX || waiting.qos_0_bytes >= QOS_0_QUEUE_BYTES_MAX => {
                    waiting.dropped += 1;
                    continue;
                }
                None => {
                    waiting.qos_0 += 1;
                    waiting.qos_0_bytes += record.payload.len();
                }
            }
            waiting.records.push(record);
        }
        self.filled.notify_one();
    }

    /// Takes all there is, at least one record.
    async fn take(&self) -> Waiting {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.records.is_empty() {
                    return std::mem::take(&mut *waiting);
                }
            }
            self.filled.notified().await;
        }
    }
}

/// The task's part.
struct Subscriber {
    client: Client<Nothing>,
    queue: Arc<Queue>,
    arrived: Vec<(Record, Option<Receipt>)>,
    subscriptions: Subscriptions,
    session_present: bool,
}

/// A source publishes nothing.
enum Nothing {}

impl Outgoing for Nothing {
    fn parts(&self, _: Instant) -> PublishParts<'_> {
        match *self {}
    }
}

impl Subscriber {
    async fn open(
        remote: &Arc<Remote>,
        filters: &[TopicFilter],
        qos: QoS,
        queue: Arc<Queue>,
    ) -> Result<Self, Failure> {
        let mut connect = remote.connect_packet();
        connect.clean_start = false;
        connect.session_expiry = u32::try_from(remote.mqtt.session_expiry.as_secs()).unwrap_or(u32::MAX);
        connect.user_properties.extend(remote.persistence_properties());
        let (client, connack) = Client::connect(remote, connect).await?;
        let mut this = Self {
            client,
            queue,
            arrived: Vec::new(),
            subscriptions: Subscriptions::new(filters, &remote.context.flow),
            session_present: connack.session_present,
        };
        let subscribed = tokio::time::timeout(SUBSCRIBE_TIMEOUT, this.subscribe(remote, qos));
        let result = subscribed.await.unwrap_or_else(|_| {
            Err(Failure::Connection(format!("{} does not answer the subscription", remote.address)))
        });
        match result {
            Ok(()) => Ok(this),
            Err(failure) => {
                this.client.leave().await;
                Err(failure)
            }
        }
    }

    async fn subscribe(&mut self, remote: &Remote, qos: QoS) -> Result<(), Failure> {
        let refused = |filter: &TopicFilter, reason, words| {
            verdict::subscribe_refused(&remote.address, &filter.to_string(), reason, words)
        };
        let Subscriptions { wanted, outdated } = &self.subscriptions;
        let subscriptions = wanted.iter().map(|filter| subscription(filter, qos)).collect();
        let connection = self.client.connection();
        connection
            .subscribe(subscriptions, None, remote.persistence_properties())
            .map_err(|reason| refused(&wanted[0], reason, None))?;
        if self.session_present && !outdated.is_empty() {
            // If this can't be sent, these subscriptions stay until the next time.
            let _ = connection.unsubscribe(outdated.iter().map(|f| f.to_string().into()).collect());
        }
        loop {
            if let Some(suback) = self.receive()? {
                for (filter, reason) in self.subscriptions.wanted.iter().zip(suback.reasons) {
                    if reason.is_failure() {
                        return Err(refused(filter, reason, suback.reason_string.as_deref()));
                    }
                    if qos > QoS::AtMostOnce && reason == ReasonCode::Success {
                        tracing::warn!(%filter, "the server grants QoS 0 only: messages may get lost");
                    }
                }
                return Ok(());
            }
            self.client.wait().await?;
        }
    }

    /// Takes in what has arrived; gives the answer to the one SUBSCRIBE there is, if it is among it.
    fn receive(&mut self) -> Result<Option<SubAck>, Failure> {
        let received_at = now();
        let mut suback = None;
        while let Some(event) = self.client.next_event()? {
            match event {
                Event::Publish(publish, receipt) if self.is_wanted(&publish) => {
                    self.arrived.push((record(publish, received_at), receipt));
                }
                Event::Publish(_, receipt) => {
                    if let Some(receipt) = receipt {
                        self.client.connection().finish(receipt, ReasonCode::Success);
                    }
                }
                Event::SubAck(packet) => suback = Some(packet),
                Event::UnsubAck(_) | Event::Auth(_) | Event::Disconnect(_) => {}
                Event::Delivered(delivered) => match delivered.message {},
            }
        }
        if !self.arrived.is_empty() {
            self.queue.put(&mut self.arrived);
        }
        Ok(suback)
    }

    fn is_wanted(&self, publish: &Publish) -> bool {
        !self.session_present || self.subscriptions.matches(&publish.topic)
    }

    /// Serves the connection until it is lost, or until nobody sends receipts any more.
    async fn run(mut self, mut receipts: mpsc::Receiver<Vec<Receipt>>) -> Result<(), Failure> {
        loop {
            self.receive()?;
            tokio::select! {
                result = self.client.wait() => result?,
                finished = receipts.recv() => {
                    let Some(mut finished) = finished else { break };
                    while let Ok(more) = receipts.try_recv() {
                        finished.extend(more);
                    }
                    for receipt in finished {
                        self.client.connection().finish(receipt, ReasonCode::Success);
                    }
                }
            }
        }
        self.client.leave().await;
        Ok(())
    }
}

fn subscription(filter: &TopicFilter, qos: QoS) -> Subscription {
    Subscription {
        // `retain: Keep` passes on the flag as the publisher set it.
        retain_as_published: true,
        // A source that is opened anew has had what was retained.
        retain_handling: RetainHandling::SendIfNew,
        ..Subscription::new(filter.to_string(), qos)
    }
}

fn record(publish: Publish, received_at: Instant) -> Record {
    Record {
        properties: publish.properties,
        retain: publish.retain,
        expiry_interval: publish.message_expiry,
        ..Record::new(publish.topic, publish.payload, received_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_data_flow_drops_qos_0_but_nothing_that_is_acknowledged() {
        let queue = Queue::default();
        let mut inbound = tidegate_mqtt::flow::Inbound::new();
        let receipt = inbound.at_least_once(std::num::NonZeroU16::MIN).unwrap();
        let new = |n: usize| Record::new("t", n.to_string(), now());
        let mut arrived: Vec<_> = (0..QOS_0_QUEUE_MAX + 5).map(|n| (new(n), None)).collect();
        arrived.push((new(usize::MAX), Some(receipt)));
        queue.put(&mut arrived);
        let Waiting { records, receipts, dropped, .. } = queue.take().await;
        assert_eq!((records.len(), receipts.len(), dropped), (QOS_0_QUEUE_MAX + 1, 1, 5));
        assert_eq!(records[QOS_0_QUEUE_MAX].payload, usize::MAX.to_string());
        // and has room again
        queue.put(&mut vec![(new(0), None)]);
        assert_eq!(queue.take().await.records.len(), 1);
    }
}
