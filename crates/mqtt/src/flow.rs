//! The two halves of QoS flow control (MQTT v5 sections 4.3, 4.4, 4.6 and 4.9), used by client and server alike:
//! [`Outbound`] for what this side publishes, [`Inbound`] for what it receives.
//!
//! Both outlive their connection; together they are the [`Session`]. They know packet identifiers and the order of
//! things, not packets.

mod inbound;
mod outbound;

pub use inbound::{Arrival, Inbound, Receipt, ReceiveMaximumExceeded, Released};
pub use outbound::{Outbound, PubRecOutcome, Resend, Unfinished};

/// What a session keeps from one connection to the next, besides the subscriptions and the messages that wait for
/// their turn (MQTT v5 section 4.1).
#[derive(Debug)]
pub struct Session<M> {
    /// What this side published and the other has not answered.
    pub outbound: Outbound<M>,
    /// What this side received and has not answered.
    pub inbound: Inbound,
}

impl<M> Session<M> {
    /// A session in which nothing has happened.
    pub fn new() -> Self {
        Self { outbound: Outbound::new(), inbound: Inbound::new() }
    }
}

impl<M> Default for Session<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// An answer of the peer that does not fit the publish it is for, such as a PUBACK for QoS 2: a Protocol Error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer does not fit the publish")]
pub struct Mismatch;
