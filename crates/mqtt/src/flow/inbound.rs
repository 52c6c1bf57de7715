//! What was received and is not answered.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;

use super::Mismatch;
use crate::{PacketId, PacketType, ReasonCode};

/// The receiving half: tells a QoS 2 repeat from a new message, keeps the peer to our Receive Maximum, and lets
/// acknowledgements out in the order in which the messages came, whatever the order in which the application is done
/// with them (MQTT v5 section 4.6): PUBACKs among themselves and PUBRECs among themselves.
#[derive(Debug)]
pub struct Inbound {
    /// Counts connections, to tell a receipt of an earlier one.
    epoch: u64,
    receive_max: u16,
    /// How many publishes of this connection are unanswered, counted as the peer counts them.
    unanswered: u16,
    pubacks: AckQueue,
    pubrecs: AckQueue,
    /// QoS 2 messages from their PUBLISH to their PUBREL.
    received: HashMap<PacketId, Received>,
    next_delivery: u64,
}

#[derive(Debug)]
struct Received {
    delivery: Delivery,
    /// The place of its PUBREC in the queue of this connection.
    queued: Option<u64>,
    /// Whether the peer counts it as sent on this connection.
    counted: bool,
}

/// How the application got on with a QoS 2 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// It has the receipt of this number.
    Unfinished(u64),
    Finished(ReasonCode),
}

impl Delivery {
    fn reason(self) -> Option<ReasonCode> {
        match self {
            Delivery::Unfinished(_) => None,
            Delivery::Finished(reason) => Some(reason),
        }
    }
}

/// The right to acknowledge one message, once. Losing it means that the peer sends the message again on the next
/// connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt(Owed);

#[derive(Debug, PartialEq, Eq)]
enum Owed {
    PubAck { epoch: u64, place: u64 },
    PubRec { packet_id: PacketId, delivery: u64 },
}

impl Receipt {
    /// The packet identifier of a QoS 2 message.
    pub fn exactly_once(&self) -> Option<PacketId> {
        match self.0 {
            Owed::PubAck { .. } => None,
            Owed::PubRec { packet_id, .. } => Some(packet_id),
        }
    }
}

/// What a publish of QoS 1 or 2 turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A message for the application.
    New(Receipt),
    /// A QoS 2 message the application has had: its answer goes out again, the application sees nothing.
    Repeat,
}

/// More publishes than our Receive Maximum (MQTT-3.3.4-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more unanswered publishes than the Receive Maximum")]
pub struct ReceiveMaximumExceeded;

/// An acknowledgement that may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// [`PacketType::PubAck`] or [`PacketType::PubRec`].
    pub packet_type: PacketType,
    /// Of the publish.
    pub packet_id: PacketId,
    /// As the application gave it.
    pub reason: ReasonCode,
}

impl Inbound {
    /// Nothing received.
    pub fn new() -> Self {
        Self {
            epoch: 0,
            receive_max: u16::MAX,
            unanswered: 0,
            pubacks: AckQueue::default(),
            pubrecs: AckQueue::default(),
            received: HashMap::new(),
            next_delivery: 0,
        }
    }

    /// A connection begins on which the peer may have `receive_max` publishes unanswered. Receipts of QoS 1 messages
    /// of earlier connections are void, as the peer sends those messages again; those of QoS 2 messages stay good, as
    /// a repeat is recognised by its identifier.
    pub fn connected(&mut self, receive_max: NonZeroU16) {
        self.epoch += 1;
        self.receive_max = receive_max.get();
        self.unanswered = 0;
        self.pubacks = AckQueue::default();
        self.pubrecs = AckQueue::default();
        for received in self.received.values_mut() {
            received.queued = None;
            received.counted = false;
        }
    }

    /// The application will not finish what it has been given: if the peer sends it again, it counts as new. To be
    /// called between connections.
    pub fn forget_unfinished(&mut self) {
        self.received.retain(|_, r| r.delivery.reason().is_some());
    }

    /// A QoS 2 message that was received and finished in an earlier life of this session, and whose PUBREL has not come.
    /// To be called between connections.
    pub fn restore(&mut self, packet_id: PacketId) {
        let delivery = Delivery::Finished(ReasonCode::Success);
        self.received.insert(packet_id, Received { delivery, queued: None, counted: false });
    }

    /// The peer has forgotten the session, and with it what it had sent.
    pub fn clear(&mut self) {
        self.received.clear();
    }

    /// How many acknowledgements are owed on this connection: messages the application is not done with, and those
    /// that wait behind them.
    pub fn owed(&self) -> usize {
        self.pubacks.waiting.len() + self.pubrecs.waiting.len()
    }

    /// A publish of QoS 1 arrives.
    ///
    /// # Errors
    /// [`ReceiveMaximumExceeded`].
    pub fn at_least_once(&mut self, packet_id: PacketId) -> Result<Receipt, ReceiveMaximumExceeded> {
        self.count()?;
        let place = self.pubacks.push(packet_id, None);
        Ok(Receipt(Owed::PubAck { epoch: self.epoch, place }))
    }

    /// A publish of QoS 2 arrives.
    ///
    /// # Errors
    /// [`ReceiveMaximumExceeded`].
    pub fn exactly_once(&mut self, packet_id: PacketId) -> Result<Arrival, ReceiveMaximumExceeded> {
        if self.received.get(&packet_id).is_none_or(|r| !r.counted) {
            self.count()?;
        }
        if let Some(received) = self.received.get_mut(&packet_id) {
            received.counted = true;
            if received.queued.is_none() {
                received.queued = Some(self.pubrecs.push(packet_id, received.delivery.reason()));
            }
            return Ok(Arrival::Repeat);
        }
        let delivery = self.next_delivery;
        self.next_delivery += 1;
        let queued = Some(self.pubrecs.push(packet_id, None));
        let received = Received { delivery: Delivery::Unfinished(delivery), queued, counted: true };
        self.received.insert(packet_id, received);
        Ok(Arrival::New(Receipt(Owed::PubRec { packet_id, delivery })))
    }

    fn count(&mut self) -> Result<(), ReceiveMaximumExceeded> {
        if self.unanswered >= self.receive_max {
            return Err(ReceiveMaximumExceeded);
        }
        self.unanswered += 1;
        Ok(())
    }

    /// The application is done with a message. See [`Inbound::next_released`] for what may go out then.
    pub fn finish(&mut self, receipt: Receipt, reason: ReasonCode) {
        match receipt.0 {
            Owed::PubAck { epoch, place } if epoch == self.epoch => self.pubacks.finish(place, reason),
            Owed::PubAck { .. } => {}
            Owed::PubRec { packet_id, delivery } => {
                let Some(received) = self.received.get_mut(&packet_id) else { return };
                if received.delivery != Delivery::Unfinished(delivery) {
                    return;
                }
                received.delivery = Delivery::Finished(reason);
                if let Some(place) = received.queued {
                    self.pubrecs.finish(place, reason);
                }
            }
        }
    }

    /// The next acknowledgement that may go out.
    pub fn next_released(&mut self) -> Option<Released> {
        if let Some((_, packet_id, reason)) = self.pubacks.pop() {
            self.unanswered -= 1;
            return Some(Released { packet_type: PacketType::PubAck, packet_id, reason });
        }
        let (place, packet_id, reason) = self.pubrecs.pop()?;
        if let Some(received) = self.received.get_mut(&packet_id).filter(|r| r.queued == Some(place)) {
            received.queued = None;
            if reason.is_failure() {
                // A PUBREC that refuses ends the exchange: no PUBREL follows.
                self.received.remove(&packet_id);
                self.unanswered -= 1;
            }
        }
        Some(Released { packet_type: PacketType::PubRec, packet_id, reason })
    }

    /// A PUBREL arrives; gives the reason for the PUBCOMP that answers it.
    ///
    /// # Errors
    /// [`Mismatch`] if the PUBREC has not gone out.
    pub fn pubrel(&mut self, packet_id: PacketId) -> Result<ReasonCode, Mismatch> {
        match self.received.get(&packet_id) {
            None => Ok(ReasonCode::PacketIdentifierNotFound),
            Some(received) if received.delivery.reason().is_none() => Err(Mismatch),
            Some(received) => {
                if received.counted {
                    self.unanswered -= 1;
                }
                self.received.remove(&packet_id);
                Ok(ReasonCode::Success)
            }
        }
    }
}

impl Default for Inbound {
    fn default() -> Self {
        Self::new()
    }
}

/// Acknowledgements of one kind in the order they are owed.
#[derive(Debug, Default)]
struct AckQueue {
    /// The place of the first in `waiting`; places count up from 0 on each connection.
    first: u64,
    waiting: VecDeque<(PacketId, Option<ReasonCode>)>,
}

impl AckQueue {
    fn push(&mut self, packet_id: PacketId, finished: Option<ReasonCode>) -> u64 {
        self.waiting.push_back((packet_id, finished));
        self.first + self.waiting.len() as u64 - 1
    }

    fn finish(&mut self, place: u64, reason: ReasonCode) {
        let index = usize::try_from(place - self.first).expect("no longer than the queue");
        self.waiting[index].1 = Some(reason);
    }

    fn pop(&mut self) -> Option<(u64, PacketId, ReasonCode)> {
        let (packet_id, finished) = *self.waiting.front()?;
        let reason = finished?;
        self.waiting.pop_front();
        self.first += 1;
        Some((self.first - 1, packet_id, reason))
    }
}
