use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::supervisor::Flow;

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
pub(crate) struct Account {
    flow: Arc<Flow>,
    open: AtomicU64,
}

impl Account {
    pub(crate) fn new(flow: Arc<Flow>) -> Self {
        Self { flow, open: AtomicU64::new(0) }
    }

    pub(crate) fn receive(&self, messages: u64, bytes: u64) {
        self.open.fetch_add(messages, Ordering::Relaxed);
        let mut ledger = self.flow.ledger.lock();
        ledger.received += messages;
        ledger.bytes_received += bytes;
        ledger.in_flight += messages;
    }

    pub(crate) fn settle(&self, messages: u64, end: End) {
        self.open.fetch_sub(messages, Ordering::Relaxed);
        let mut ledger = self.flow.ledger.lock();
        ledger.in_flight -= messages;
        match end {
            End::Delivered { bytes } => {
                ledger.delivered += messages;
                ledger.bytes_delivered += bytes;
            }
            End::Filtered => ledger.filtered += messages,
            End::Expired => ledger.expired += messages,
            End::DeadLettered => ledger.dead_lettered += messages,
        }
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
        ledger.in_flight -= open;
        ledger.returned += open;
    }
}
