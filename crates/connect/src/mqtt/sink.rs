//! Records to a broker on the network.
//!
//! A write counts as done when the broker has acknowledged every message of it; with QoS 0, when they are written to
//! the connection. Each connection starts a clean session: what was not acknowledged on the last one is written again
//! by the pipeline, and must not also be sent again by the session.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::{Record, Rejected, Sink, WriteError};
use tidegate_mqtt::client::Event;
use tidegate_mqtt::{Delivered, Outgoing, PublishParts, QoS, ReasonCode, Sent};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::client::Client;
use super::ledger::{Ledger, Place, Write};
use super::now;
use super::publication::{PublicationRules, expired};
use super::remote::Remote;
use super::verdict::{self, PublishRefused};
use crate::failure::Failure;

/// How many writes may overlap: enough that the window of unacknowledged messages is full even when each write holds
/// few of them.
const WRITES_MAX: usize = 16;

/// The sink of one data flow instance.
pub(super) struct MqttSink {
    remote: Arc<Remote>,
    rules: PublicationRules,
    link: Mutex<Option<Arc<Link>>>,
}

/// A connection, or the one attempt to make it. A task's; writes go to it in the order in which they come.
struct Link {
    writes: mpsc::Sender<Write>,
    task: JoinHandle<()>,
    /// Why it ended.
    ended: Arc<OnceLock<Failure>>,
}

impl MqttSink {
    pub(super) fn new(remote: Arc<Remote>, rules: PublicationRules) -> Self {
        Self { remote, rules, link: Mutex::new(None) }
    }

    /// Hands records to the connection, which is started if there is none. Does not wait, so that the order of calls
    /// is the order of messages. The link is to be held until the reply is there.
    fn submit(
        &self,
        records: &[Record],
        reply: oneshot::Sender<Result<(), WriteError>>,
    ) -> Result<Arc<Link>, WriteError> {
        let now = now();
        let mut rejected = Vec::new();
        let messages = records.iter().enumerate();
        let messages = messages
            .map(|(i, record)| self.rules.prepare(i, record, now).map_err(|r| rejected.push(r)).ok())
            .collect();
        let link = self.link()?;
        match link.writes.try_send(Write { messages, rejected, reply }) {
            Ok(()) => Ok(link),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.lost(&link)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(self.error(Failure::Connection(format!("more than {WRITES_MAX} writes overlap"))))
            }
        }
    }

    fn link(&self) -> Result<Arc<Link>, WriteError> {
        let mut slot = self.link.lock();
        if let Some(link) = &*slot
            && link.writes.is_closed()
        {
            // While somebody still holds the link, writes before this one failed with it and have not been tried
            // again. They must not be overtaken.
            if Arc::strong_count(link) > 1 {
                return Err(self.lost(link));
            }
            *slot = None;
        }
        Ok(slot.get_or_insert_with(|| Arc::new(Link::start(self.remote.clone(), self.rules.qos))).clone())
    }

    fn lost(&self, link: &Link) -> WriteError {
        let failure = link.ended.get().cloned();
        self.error(failure.unwrap_or_else(|| Failure::Connection("the connection was lost".into())))
    }

    fn error(&self, failure: Failure) -> WriteError {
        failure.of_sink(self.remote.endpoint.name.as_str(), 0)
    }
}

#[async_trait]
impl Sink for MqttSink {
    async fn prepare(&self) -> Result<(), WriteError> {
        // A write of nothing is done when there is a connection.
        self.write(&[]).await
    }

    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        let (reply, answer) = oneshot::channel();
        let link = self.submit(records, reply)?;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.lost(&link)),
        }
    }

    fn in_flight_max(&self) -> usize {
        WRITES_MAX
    }

    fn preview(&self, record: &Record) -> Record {
        self.rules.apply(record).unwrap_or_else(|_| record.clone())
    }

    async fn close(&self) {
        let link = self.link.lock().take();
        if let Some(Link { writes, task, .. }) = link.and_then(Arc::into_inner) {
            drop(writes);
            let _ = task.await;
        }
    }
}

impl Link {
    fn start(remote: Arc<Remote>, qos: QoS) -> Self {
        // One more than may overlap: `prepare` is a write, too.
        let (writes, mut submitted) = mpsc::channel(WRITES_MAX + 1);
        let ended = Arc::new(OnceLock::new());
        let end = ended.clone();
        let task = tokio::spawn(async move {
            let mut ledger = Ledger::new(remote.endpoint.name.to_string());
            if let Err(failure) = serve(&remote, qos, &mut submitted, &mut ledger).await {
                let _ = end.set(failure.clone());
                submitted.close();
                ledger.fail(&failure, std::iter::from_fn(|| submitted.try_recv().ok()));
            }
        });
        Self { writes, task, ended }
    }
}

/// Connects, and publishes what is submitted until the connection is lost or the sink is gone.
async fn serve(
    remote: &Arc<Remote>,
    qos: QoS,
    submitted: &mut mpsc::Receiver<Write>,
    ledger: &mut Ledger,
) -> Result<(), Failure> {
    let (client, _) = Client::connect(remote, remote.connect_packet()).await?;
    let mut publisher = Publisher { client, remote, qos, ledger, unwritten: Vec::new() };
    loop {
        publisher.receive()?;
        publisher.send();
        tokio::select! {
            result = publisher.client.wait() => result?,
            write = submitted.recv() => {
                let Some(write) = write else { break };
                publisher.ledger.add(write);
                while let Ok(write) = submitted.try_recv() {
                    publisher.ledger.add(write);
                }
            }
        }
    }
    publisher.client.leave().await;
    Ok(())
}

/// The task's part.
struct Publisher<'a> {
    client: Client<Publication>,
    remote: &'a Remote,
    qos: QoS,
    ledger: &'a mut Ledger,
    /// Messages of QoS 0 that are not written to the connection yet.
    unwritten: Vec<Place>,
}

impl Publisher<'_> {
    fn receive(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.client.next_event()? {
            if let Event::Delivered(Delivered { message: Publication { place, record, .. }, reason }) = event
            {
                self.answered(place, &record.topic, reason);
            }
        }
        if self.client.is_drained() {
            for place in self.unwritten.drain(..) {
                self.ledger.delivered(place);
            }
        }
        Ok(())
    }

    fn send(&mut self) {
        let now = now();
        while !self.client.is_congested()
            && (self.qos == QoS::AtMostOnce || self.client.connection().room() > 0)
        {
            let Some((place, record)) = self.ledger.next() else { return };
            if record.remaining_expiry(now).is_err() {
                self.ledger.rejected(place, expired(place.index));
                continue;
            }
            match self.client.connection().send(Publication { place, record, qos: self.qos }, now) {
                Sent::InFlight(_) => {}
                Sent::Done(Publication { place, .. }) => self.unwritten.push(place),
                Sent::Refused(Publication { place, record, .. }, reason) => {
                    self.answered(place, &record.topic, reason);
                }
                Sent::NoRoom(Publication { place, .. }) => {
                    let message = format!("{} takes no more messages now", self.remote.address);
                    self.ledger.refused(place, Failure::Connection(message));
                }
            }
        }
    }

    /// The server, or its CONNACK, has the last word on a message.
    fn answered(&mut self, place: Place, topic: &str, reason: ReasonCode) {
        if !reason.is_failure() {
            return self.ledger.delivered(place);
        }
        match verdict::publish_refused(&self.remote.address, topic, reason) {
            PublishRefused::Later(failure) => self.ledger.refused(place, failure),
            PublishRefused::Never(reason) => {
                self.ledger.rejected(place, Rejected { index: place.index, reason, expired: false });
            }
        }
    }
}

/// A message as it is kept until the server has answered.
struct Publication {
    place: Place,
    record: Record,
    qos: QoS,
}

impl Outgoing for Publication {
    fn parts(&self, now: Instant) -> PublishParts<'_> {
        let Record { topic, payload, properties, retain, .. } = &self.record;
        PublishParts {
            dup: false,
            qos: self.qos,
            retain: *retain,
            topic,
            packet_id: None,
            // What has expired is not sent at all: see `Publisher::send`.
            message_expiry: self.record.remaining_expiry(now).unwrap_or(Some(0)),
            topic_alias: None,
            subscription_ids: &[],
            properties,
            payload,
        }
    }
}
