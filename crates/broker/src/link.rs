//! Clients in this process: data flows, and whatever else is linked with the broker. No packets, no TCP.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use tidegate_core::Properties;
use tidegate_mqtt::topic::{self, TopicError};
use tidegate_mqtt::{QoS, ReasonCode, RetainHandling, Subscription, flow};

use crate::broker::{Broker, Shared, now};
use crate::core::{Attach, Attachment, Core, Leave, Load, Publisher, Queued, Verdict};
use crate::handshake::load_max;
use crate::message::{Message, Publication};

/// After so many messages of a link it is another client's turn.
const LOCKED_MESSAGES_MAX: usize = 1024;

/// How a program attaches to the broker.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// Client identifier. Whoever comes with it next takes the session over.
    pub client_id: String,
    /// Whether an old session is to be forgotten.
    pub clean_start: bool,
    /// How long the session outlives the link; `None` for ever.
    pub session_expiry: Option<Duration>,
    /// Who in this process the session belongs to: see [`Broker::reassign`].
    pub owner: Option<String>,
    /// How many messages may be handed out and not acknowledged.
    pub unacked_max: usize,
    /// How many messages may wait; `None` for the broker's own limit.
    pub queue_messages_max: Option<usize>,
    /// How many bytes may wait; `None` for the broker's own limit.
    pub queue_bytes_max: Option<usize>,
}

impl LinkOptions {
    /// A session that goes on where it was and outlives the link for ever.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            clean_start: false,
            session_expiry: None,
            owner: None,
            unacked_max: usize::MAX,
            queue_messages_max: None,
            queue_bytes_max: None,
        }
    }
}

/// The client that published a message, by the connection it had then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientRef(Attachment);

/// A message for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it was published.
    pub topic: ByteString,
    /// The payload.
    pub payload: Bytes,
    /// The properties that travel with it.
    pub properties: Properties,
    /// The lower of what it was published and subscribed with.
    pub qos: QoS,
    /// The retain flag as it was published.
    pub retain: bool,
    /// Message Expiry Interval in seconds as it was published; it counts from `received_at`.
    pub expiry_interval: Option<u32>,
    /// Who published it; none for a will.
    pub publisher: Option<ClientRef>,
    /// When the broker received it.
    pub received_at: Instant,
}

/// Why a link can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Another client came with the same client identifier.
    #[error("another client took the session over")]
    TakenOver,
    /// The broker shuts down.
    #[error("the broker shuts down")]
    Closed,
    /// The broker has as much as its limits allow: sessions, subscriptions, retained messages.
    #[error("refused: {0}")]
    Refused(ReasonCode),
    /// A subscription is refused.
    #[error("it does not take `{filter}`: {reason}")]
    Subscription {
        /// The filter.
        filter: String,
        /// Why.
        reason: ReasonCode,
    },
    /// A topic or a filter is not valid. Nothing was published.
    #[error("message {index}: {error}")]
    Topic {
        /// Which of the messages given, or 0 for a filter.
        index: usize,
        /// What is wrong.
        error: TopicError,
    },
}

impl From<ReasonCode> for LinkError {
    fn from(reason: ReasonCode) -> Self {
        match reason {
            ReasonCode::SessionTakenOver => LinkError::TakenOver,
            ReasonCode::ServerShuttingDown | ReasonCode::ServerUnavailable => LinkError::Closed,
            reason => LinkError::Refused(reason),
        }
    }
}

impl Broker {
    /// Attaches a program in this process to its session. Waits for another client with the same identifier to go.
    /// Messages that the session's last client left unacknowledged come first, in their order.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn attach(&self, options: LinkOptions) -> Result<Link, LinkError> {
        let limits = &self.shared.config.limits;
        let defaults = load_max(limits);
        let mut attach = Attach {
            client_id: options.client_id.into(),
            username: None,
            owner: options.owner.map(Into::into),
            address: None,
            clean_start: options.clean_start,
            expiry_interval: options
                .session_expiry
                .map_or(u32::MAX, |expiry| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)),
            will: None,
            load_max: Load {
                messages: options.queue_messages_max.unwrap_or(defaults.messages),
                bytes: options.queue_bytes_max.unwrap_or(defaults.bytes),
                from_store: 0,
            },
            waker: Waker::noop().clone(),
        };
        let attached = poll_fn(|cx| {
            attach.waker.clone_from(cx.waker());
            self.shared.with(|core| core.attach(&attach, now()))
        })
        .await?;
        Ok(Link {
            shared: self.shared.clone(),
            attachment: attached.attachment,
            expiry_interval: attach.expiry_interval,
            session_present: attached.session_present,
            unacked_max: options.unacked_max,
            unacked: 0,
        })
    }
}

impl Broker {
    /// Makes the sessions of an owner, such as a data flow, those of `clients`, as far as there are any, with these
    /// subscriptions. To be called while no link of theirs is there that this would change.
    ///
    /// It happens in one step: of what is published nothing goes to none of them, or twice to one. What waits in a
    /// session that is not wanted any more goes on as that of a client that has none yet; in one too many, it goes to
    /// other members of its group, or to the first of `clients`. With no clients at all the sessions end.
    pub fn reassign(&self, owner: &str, clients: &[String], filters: &[String], qos: QoS) {
        let clients: Vec<_> = clients.iter().map(|client| ByteString::from(client.as_str())).collect();
        let wanted: Vec<_> = filters.iter().map(|filter| subscription(filter, qos)).collect();
        self.shared.with(|core| core.reassign(owner, &clients, &wanted, now()));
    }

    /// Ends the sessions of owners that are gone, with what waits in them.
    pub fn end_sessions_of(&self, is_gone: impl Fn(&str) -> bool) {
        self.shared.with(|core| core.end_sessions_of(is_gone, now()));
    }
}

/// A link's subscription. Retained messages come once.
fn subscription(filter: &str, qos: QoS) -> Subscription {
    Subscription {
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
        ..Subscription::new(filter, qos)
    }
}

/// A client in this process. Dropping it detaches it; its session goes on for as long as its options say.
pub struct Link {
    shared: Arc<Shared>,
    attachment: Attachment,
    expiry_interval: u32,
    session_present: bool,
    unacked_max: usize,
    unacked: usize,
}

impl Link {
    /// Whether the broker had a session for this client.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// Subscribes; a filter may be a shared one, `$share/<group>/<filter>`. Retained messages that match come unless the
    /// subscription was there already.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<(), LinkError> {
        topic::check_filter(filter).map_err(|error| LinkError::Topic { index: 0, error })?;
        let subscription = subscription(filter, qos);
        match self.shared.with(|core| core.subscribe(self.attachment, &subscription, None, now()))? {
            reason if reason.is_failure() => Err(reason.into()),
            _ => Ok(()),
        }
    }

    /// Makes the session's subscriptions these and no others, in one step: of what is published meanwhile nothing comes
    /// twice, by an old and a new one, and nothing by neither. As [`Link::subscribe`] otherwise.
    ///
    /// # Errors
    /// [`LinkError`]. Some of it may have been done.
    pub fn resubscribe(&self, filters: &[String], qos: QoS) -> Result<(), LinkError> {
        for (index, filter) in filters.iter().enumerate() {
            topic::check_filter(filter).map_err(|error| LinkError::Topic { index, error })?;
        }
        let wanted: Vec<_> = filters.iter().map(|filter| subscription(filter, qos)).collect();
        let done = self.shared.with(|core| core.resubscribe(self.attachment, &wanted, now()))?;
        done.map_err(|(place, reason)| LinkError::Subscription { filter: filters[place].clone(), reason })
    }

    /// Ends a subscription; whether there was one does not matter.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn unsubscribe(&self, filter: &str) -> Result<(), LinkError> {
        self.shared.with(|core| core.unsubscribe(self.attachment, filter))?;
        Ok(())
    }

    /// Waits for messages and gives up to `max` of them, at least one. While `unacked_max` messages are unacknowledged
    /// none come. Cancel-safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, LinkError> {
        let max = max.min(self.unacked_max - self.unacked);
        let mut copies = Vec::new();
        poll_fn(|cx| {
            let work = |core: &mut Core| core.hand_out(self.attachment, max, cx.waker(), now(), &mut copies);
            match self.shared.with(work) {
                Ok(()) if copies.is_empty() => Poll::Pending,
                result => Poll::Ready(result),
            }
        })
        .await?;
        self.unacked += copies.len();
        Ok(copies.into_iter().map(delivery).collect())
    }

    /// Acknowledges the `count` oldest messages that are not acknowledged yet, QoS 0 included.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn ack(&mut self, count: usize) -> Result<(), LinkError> {
        let count = count.min(self.unacked);
        self.shared.with(|core| core.acknowledge(self.attachment, count))?;
        self.unacked -= count;
        Ok(())
    }

    /// Publishes messages in their order, and returns when every session that must get them has them in its queue, and
    /// on disk if the broker keeps them there; while a queue is full it waits, however long.
    ///
    /// Dropping the call may leave the first of the messages published and the others not. To publish all of them
    /// again is then right: at least once is what QoS 1 promises.
    ///
    /// # Errors
    /// [`LinkError::Topic`], and nothing is published. Otherwise as with a dropped call.
    pub async fn publish(&self, messages: &[Message]) -> Result<(), LinkError> {
        for (index, message) in messages.iter().enumerate() {
            topic::check_name(&message.topic).map_err(|error| LinkError::Topic { index, error })?;
        }
        let received_at = now();
        let publications: Vec<_> =
            messages.iter().map(|message| self.publication(message, received_at)).collect();
        let mut waiting = publications.iter().peekable();
        let mut demanded = None;
        poll_fn(|cx| {
            let publisher = Publisher::new(cx.waker(), true);
            let now = now();
            let (published, demand) = self.shared.with_demand(|core| {
                if let Err(reason) = core.check(self.attachment) {
                    return Poll::Ready(Err(LinkError::from(reason)));
                }
                for _ in 0..LOCKED_MESSAGES_MAX {
                    let Some(publication) = waiting.peek() else { return Poll::Ready(Ok(())) };
                    match core.accept(publisher, publication, now) {
                        Verdict::Accepted { .. } => {
                            core.counters.messages_received += 1;
                            waiting.next();
                        }
                        Verdict::Wait => return Poll::Pending,
                        Verdict::Refused(reason) => return Poll::Ready(Err(reason.into())),
                    }
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            demanded = demand.or(demanded);
            published
        })
        .await?;
        if let (Some(records), Some((log, _))) = (demanded, &self.shared.log) {
            log.durable_records(records).await.map_err(|_| LinkError::Closed)?;
        }
        Ok(())
    }

    /// Publishes messages in their order without waiting: one for which a queue has no room is dropped, and gives how
    /// many those were. For answers and notices, which are of no use to a client that does not read them.
    ///
    /// # Errors
    /// As [`Link::publish`].
    pub fn publish_now(&self, messages: &[Message]) -> Result<usize, LinkError> {
        for (index, message) in messages.iter().enumerate() {
            topic::check_name(&message.topic).map_err(|error| LinkError::Topic { index, error })?;
        }
        let publisher = Publisher::new(Waker::noop(), false);
        self.shared.with(|core| {
            core.check(self.attachment)?;
            let mut dropped = 0;
            for message in messages {
                match core.accept(publisher, &self.publication(message, now()), now()) {
                    Verdict::Accepted { .. } => core.counters.messages_received += 1,
                    Verdict::Wait | Verdict::Refused(_) => dropped += 1,
                }
            }
            Ok(dropped)
        })
    }

    /// The client identifier of a client, while the connection lasts that it published by.
    pub fn client_id(&self, client: ClientRef) -> Option<ByteString> {
        self.shared.with(|core| core.client_id(client.0))
    }

    /// Disconnects a client, if the connection still lasts that it published by. A v5 client is told the reason.
    pub fn disconnect(&self, client: ClientRef, reason: ReasonCode) {
        self.shared.with(|core| core.dismiss(client.0, reason));
    }

    fn publication(&self, message: &Message, received_at: Instant) -> Arc<Publication> {
        Arc::new(Publication::new(message.clone(), Some(self.attachment), received_at))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let leave = Leave { without_will: true, expiry_interval: self.expiry_interval };
        self.shared.with(|core| {
            core.detach(self.attachment, flow::Session::new(), Load::default(), leave, now());
        });
    }
}

fn delivery(copy: Queued) -> Delivery {
    let Publication { message, publisher, received_at, .. } = &*copy.publication;
    Delivery {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        properties: message.properties.clone(),
        qos: copy.qos,
        retain: copy.retain,
        expiry_interval: message.expiry_interval,
        publisher: publisher.map(ClientRef),
        received_at: *received_at,
    }
}
