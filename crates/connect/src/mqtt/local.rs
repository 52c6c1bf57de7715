//! Source and sink on the broker in this process: attached to it, without TCP and without packets.
//!
//! The semantics are those of the ends on the network, but for one thing: what is handed out and not acknowledged stays
//! in the broker anyway, so that reading ahead is bounded by the broker's own limits, not by Receive Maximum.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tidegate_broker::{Broker, Delivery, Link, LinkError, LinkOptions, Message};
use tidegate_core::{Ack, Batch, Record, Rejected, Sink, Source, SourceError, WriteError};
use tidegate_model::endpoint::{Endpoint, Mqtt};
use tidegate_model::topic::TopicFilter;
use tidegate_mqtt::{QoS, ReasonCode, topic};
use tokio::sync::Mutex;

use super::publication::PublicationRules;
use super::subscriptions::Subscriptions;
use super::{Role, client_id, now};
use crate::context::Context;
use crate::failure::Failure;

/// How many records one batch holds.
const BATCH_MAX: usize = 256;

/// The source of one data flow instance on the embedded broker.
pub(super) struct LocalSource {
    endpoint: String,
    /// Gone once the source is closed.
    link: Option<Link>,
    subscriptions: Subscriptions,
    session_present: bool,
    /// How many messages each batch stands for that is not acknowledged.
    unacked: VecDeque<usize>,
    first_unacked: u64,
    unacked_max: usize,
}

impl LocalSource {
    /// Attaches to the broker and subscribes.
    pub(super) async fn open(
        broker: &Broker,
        endpoint: &Endpoint,
        mqtt: &Mqtt,
        filters: &[TopicFilter],
        qos: QoS,
        context: &Context,
    ) -> Result<Self, SourceError> {
        let client_id = client_id(mqtt.client_id_prefix.as_deref(), &context.flow, Role::Source);
        let subscriptions = Subscriptions::new(filters, &context.flow);
        let options = LinkOptions {
            session_expiry: Some(mqtt.session_expiry),
            owner: Some(context.flow.owner()),
            ..LinkOptions::new(client_id)
        };
        let error = |error| failure(&error).of_source(endpoint.name.as_str());
        let link = broker.attach(options).await.map_err(error)?;
        link.resubscribe(&subscriptions.wanted(), qos).map_err(error)?;
        Ok(Self {
            endpoint: endpoint.name.to_string(),
            session_present: link.session_present(),
            link: Some(link),
            subscriptions,
            unacked: VecDeque::new(),
            first_unacked: 0,
            unacked_max: broker.limits().queue_messages_max,
        })
    }

    fn error(&self, error: &LinkError) -> SourceError {
        failure(error).of_source(&self.endpoint)
    }
}

#[async_trait]
impl Source for LocalSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        loop {
            let Some(link) = &mut self.link else { return Ok(None) };
            let mut messages = match link.next(BATCH_MAX).await {
                Ok(messages) => messages,
                Err(error) => return Err(self.error(&error)),
            };
            let count = messages.len();
            if self.session_present {
                messages.retain(|message| self.subscriptions.matches(&message.topic));
            }
            if messages.is_empty() {
                // Nothing for this data flow: to be acknowledged in its turn.
                match self.unacked.back_mut() {
                    Some(last) => *last += count,
                    None => link.ack(count).map_err(|error| failure(&error).of_source(&self.endpoint))?,
                }
                continue;
            }
            let ack = Ack::new(self.first_unacked + self.unacked.len() as u64);
            self.unacked.push_back(count);
            return Ok(Some(Batch { records: messages.into_iter().map(record).collect(), ack }));
        }
    }

    async fn ack(&mut self, ack: Ack) -> Result<(), SourceError> {
        debug_assert_eq!(ack.number(), self.first_unacked, "batches are acknowledged in their order");
        self.first_unacked += 1;
        let count = self.unacked.pop_front().unwrap_or(0);
        match &mut self.link {
            Some(link) => link.ack(count).map_err(|error| failure(&error).of_source(&self.endpoint)),
            None => Err(self.error(&LinkError::Closed)),
        }
    }

    fn unacked_max(&self) -> usize {
        self.unacked_max
    }

    async fn close(&mut self) {
        self.link = None;
    }
}

fn record(message: Delivery) -> Record {
    Record {
        properties: message.properties,
        retain: message.retain,
        expiry_interval: message.expiry_interval,
        ..Record::new(message.topic, message.payload, message.received_at)
    }
}

/// The sink of one data flow instance on the embedded broker.
pub(super) struct LocalSink {
    broker: Broker,
    endpoint: String,
    client_id: String,
    rules: PublicationRules,
    /// None before the first write, and after an error.
    link: Mutex<Option<Link>>,
}

impl LocalSink {
    pub(super) fn new(
        broker: &Broker,
        endpoint: &Endpoint,
        mqtt: &Mqtt,
        rules: PublicationRules,
        context: &Context,
    ) -> Self {
        Self {
            broker: broker.clone(),
            endpoint: endpoint.name.to_string(),
            client_id: client_id(mqtt.client_id_prefix.as_deref(), &context.flow, Role::Sink),
            rules,
            link: Mutex::new(None),
        }
    }

    /// Attaches if need be, and publishes in order. On failure: how many messages the broker has.
    async fn publish(&self, messages: &[Message]) -> Result<(), (LinkError, usize)> {
        let mut slot = self.link.lock().await;
        let link = match &mut *slot {
            Some(link) => link,
            none => {
                let options = LinkOptions {
                    clean_start: true,
                    session_expiry: Some(Duration::ZERO),
                    ..LinkOptions::new(self.client_id.clone())
                };
                none.insert(self.broker.attach(options).await.map_err(|error| (error, 0))?)
            }
        };
        let mut published = 0;
        // The broker may refuse to retain a message, and does not say which one of several. It refuses no others.
        for run in messages.chunk_by(|a, b| !a.retain && !b.retain) {
            if let Err(error) = link.publish(run).await {
                *slot = None;
                return Err((error, published));
            }
            published += run.len();
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for LocalSink {
    async fn prepare(&self) -> Result<(), WriteError> {
        self.write(&[]).await
    }

    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        let now = now();
        let mut rejected = Vec::new();
        let mut places = Vec::with_capacity(records.len());
        let mut messages = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            match self.rules.prepare(index, record, now).and_then(|record| checked(index, record)) {
                Ok(record) => {
                    places.push(index);
                    messages.push(message(record, self.rules.qos, now));
                }
                Err(refusal) => rejected.push(refusal),
            }
        }
        match self.publish(&messages).await {
            Ok(()) if rejected.is_empty() => Ok(()),
            Ok(()) => Err(WriteError::Reject(rejected)),
            Err((error, published)) => {
                let written =
                    places[..published].iter().zip(0..).take_while(|(place, i)| *place == i).count();
                Err(failure(&error).of_sink(&self.endpoint, written))
            }
        }
    }

    fn preview(&self, record: &Record) -> Record {
        self.rules.apply(record).unwrap_or_else(|_| record.clone())
    }

    async fn close(&self) {
        *self.link.lock().await = None;
    }
}

fn checked(index: usize, record: Record) -> Result<Record, Rejected> {
    match topic::check_name(&record.topic) {
        Ok(()) => Ok(record),
        Err(error) => {
            let reason = format!("`{}` is no topic to publish to: {error}", record.topic);
            Err(Rejected { index, reason, expired: false })
        }
    }
}

fn message(record: Record, qos: QoS, now: Instant) -> Message {
    Message {
        qos,
        retain: record.retain,
        expiry_interval: record.remaining_expiry(now).unwrap_or(Some(0)),
        properties: record.properties,
        ..Message::new(record.topic, record.payload)
    }
}

fn failure(error: &LinkError) -> Failure {
    Failure::Connection(match error {
        LinkError::Subscription { .. } => return Failure::Subscription(format!("the local broker: {error}")),
        LinkError::TakenOver => {
            "another client attached to the local broker with the same client identifier; give \
                                 one of them another `clientIdPrefix`"
                .into()
        }
        LinkError::Closed => "the local broker is shutting down".into(),
        LinkError::Refused(ReasonCode::QuotaExceeded) => {
            "the local broker holds as much as its limits allow; raise `spec.limits` of the Broker".into()
        }
        error => format!("the local broker refused: {error}"),
    })
}
