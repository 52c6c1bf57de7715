use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::supervisor::{Flow, Leg};

/// Where every message of a flow is. At any moment
/// `accepted = delivered + filtered + expired + dead_lettered + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Handed over by the source, redeliveries included.
    pub received: u64,
    /// Given back to the source unacknowledged, because it was lost or the flow was stopped; they come again.
    pub returned: u64,
    /// Confirmed by the destination.
    pub delivered: u64,
    /// Dropped by a filter.
    pub filtered: u64,
    /// Dropped because their expiry interval ran out.
    pub expired: u64,
    /// Could not be processed, or refused by the destination for good.
    pub dead_lettered: u64,
    /// Taken over and not settled.
    pub in_flight: u64,
    /// QoS 0 messages that the source dropped because the flow was busy. They were never accepted.
    pub dropped_when_busy: u64,
    /// Written again after a failure; not a place to be, a message counts here each time.
    pub retried: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Payload bytes delivered.
    pub bytes_delivered: u64,
}

impl Ledger {
    /// What the flow is answerable for: received and not given back.
    pub fn accepted(&self) -> u64 {
        self.received - self.returned
    }

    /// Whether every accepted message is in exactly one place. It always is; anything else is a bug of ours.
    pub fn balances(&self) -> bool {
        self.accepted() == self.delivered + self.filtered + self.expired + self.dead_lettered + self.in_flight
    }

    /// Notes how messages ended.
    pub(crate) fn settle(&mut self, messages: u64, end: End) {
        match end {
            End::Delivered { bytes } => {
                self.delivered += messages;
                self.bytes_delivered += bytes;
            }
            End::Filtered => self.filtered += messages,
            End::Expired => self.expired += messages,
            End::DeadLettered => self.dead_lettered += messages,
        }
    }

    /// Takes into account a spool that is opened: what ended in it, and what lies in it.
    pub(crate) fn carry_over(&mut self, ended: &Ledger, in_flight: u64) {
        self.received += ended.delivered + ended.filtered + ended.expired + ended.dead_lettered + in_flight;
        self.in_flight += in_flight;
        self.delivered += ended.delivered;
        self.filtered += ended.filtered;
        self.expired += ended.expired;
        self.dead_lettered += ended.dead_lettered;
        self.bytes_received += ended.bytes_received;
        self.bytes_delivered += ended.bytes_delivered;
    }
}

/// How a message's way through a flow ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Delivered { bytes: u64 },
    Filtered,
    Expired,
    DeadLettered,
}

/// One pipeline's page in the flow's ledger. Dropped, it gives back what the pipeline has not settled.
///
/// In a flow with a spool, a message is received by the one pipeline and settled by the other; in between it is in flight.
pub(crate) struct Account {
    flow: Arc<Flow>,
    leg: Leg,
    /// Taken over and not settled by this pipeline.
    open: AtomicU64,
    /// Taken over and not acknowledged to the source.
    unacked: AtomicU64,
}

impl Account {
    pub(crate) fn new(flow: Arc<Flow>, leg: Leg) -> Self {
        Self { flow, leg, open: AtomicU64::new(0), unacked: AtomicU64::new(0) }
    }

    /// Messages the source handed over.
    pub(crate) fn receive(&self, messages: u64, bytes: u64) {
        self.unacked.fetch_add(messages, Ordering::Relaxed);
        match &self.leg {
            Leg::Whole => self.accept(messages, bytes),
            Leg::Inbound(spool) => {
                spool.receive_bytes(bytes);
                self.accept(messages, bytes);
            }
            // they have been in flight since the other pipeline received them
            Leg::Outbound(_) => _ = self.open.fetch_add(messages, Ordering::Relaxed),
        }
    }

    /// Messages that were not in flight until now.
    pub(crate) fn accept(&self, messages: u64, bytes: u64) {
        self.open.fetch_add(messages, Ordering::Relaxed);
        let mut ledger = self.flow.ledger.lock();
        ledger.received += messages;
        ledger.bytes_received += bytes;
        ledger.in_flight += messages;
    }

    pub(crate) fn settle(&self, messages: u64, end: End) {
        self.open.fetch_sub(messages, Ordering::Relaxed);
        match (&self.leg, end) {
            // they are in the spool, and so still in flight
            (Leg::Inbound(spool), End::Delivered { .. }) => return spool.book(messages),
            (Leg::Inbound(spool) | Leg::Outbound(spool), end) => spool.settle(messages, end),
            (Leg::Whole, _) => {}
        }
        let mut ledger = self.flow.ledger.lock();
        ledger.in_flight -= messages;
        ledger.settle(messages, end);
    }

    /// Messages that are settled will be acknowledged to the source.
    pub(crate) fn acked(&self, messages: u64) {
        self.unacked.fetch_sub(messages, Ordering::Relaxed);
    }

    pub(crate) fn dropped_when_busy(&self, messages: u64) {
        if messages > 0 {
            self.flow.ledger.lock().dropped_when_busy += messages;
        }
    }

    pub(crate) fn retry(&self, messages: u64) {
        self.flow.ledger.lock().retried += messages;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let open = *self.open.get_mut();
        let mut ledger = self.flow.ledger.lock();
        let stays = match &self.leg {
            Leg::Whole => 0,
            // appended, and not reported to the source as safe: it delivers them again, and they are in the spool too
            Leg::Inbound(spool) => spool.book_rest(),
            // settled or not, the spool hands them over again
            Leg::Outbound(_) => *self.unacked.get_mut(),
        };
        if stays > open {
            ledger.received += stays - open;
            ledger.in_flight += stays - open;
        } else {
            ledger.returned += open - stays;
            ledger.in_flight -= open - stays;
        }
    }
}
