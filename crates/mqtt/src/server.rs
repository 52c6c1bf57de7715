//! The server's side of one connection: [`Handshake`] up to the CONNACK, then [`Connection`].
//!
//! The machine keeps MQTT's rules: it negotiates limits, resolves aliases, answers pings, runs both halves of QoS flow
//! control, and closes with the right reason code when the peer breaks a rule. Who may connect, which sessions exist
//! and what matches which subscription is the broker's.

mod connection;
mod handshake;

use std::num::{NonZeroU16, NonZeroU32};

pub use connection::{Connection, Event};
pub use handshake::{Accepted, Handshake, HandshakeEvent};

use crate::violation::Violation;
use crate::{QoS, ReasonCode};

/// What the server offers every client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many unanswered QoS 1 and 2 publishes a v5 client may have; v3.1.1 has no way to tell it.
    pub receive_max: NonZeroU16,
    /// How many unanswered publishes are sent to a client that would take more.
    pub in_flight_max: NonZeroU16,
    /// The largest packet taken, in bytes.
    pub packet_bytes_max: NonZeroU32,
    /// How many topic aliases are kept for each direction.
    pub topic_alias_max: u16,
    /// The longest Keep Alive in seconds; 0 for no limit. v3.1.1 has no way to tell it.
    pub keep_alive_max: u16,
    /// The longest Session Expiry Interval in seconds; `u32::MAX` for no limit.
    pub session_expiry_max: u32,
    /// The highest QoS taken.
    pub qos_max: QoS,
    /// Whether retained messages are taken.
    pub retain_available: bool,
    /// Whether subscriptions may hold wildcards.
    pub wildcard_available: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_ids_available: bool,
    /// Whether subscriptions may be shared.
    pub shared_available: bool,
}

impl Default for Limits {
    /// All that MQTT has, with 256 messages in flight each way, packets up to 1 MiB and 16 aliases.
    fn default() -> Self {
        const IN_FLIGHT: NonZeroU16 = NonZeroU16::new(256).expect("it is not zero");
        Self {
            receive_max: IN_FLIGHT,
            in_flight_max: IN_FLIGHT,
            packet_bytes_max: const { NonZeroU32::new(1 << 20).expect("it is not zero") },
            topic_alias_max: 16,
            keep_alive_max: 0,
            session_expiry_max: u32::MAX,
            qos_max: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_available: true,
            subscription_ids_available: true,
            shared_available: true,
        }
    }
}

impl Limits {
    /// Whether a client may publish so, a will included.
    fn check_publish(&self, qos: QoS, retain: bool) -> Result<(), Violation> {
        if qos > self.qos_max {
            let reason = ReasonCode::QoSNotSupported;
            return Err(Violation { reason, rule: "the QoS is above the maximum of the CONNACK" });
        }
        if retain && !self.retain_available {
            let reason = ReasonCode::RetainNotSupported;
            return Err(Violation { reason, rule: "the CONNACK said that retain is not available" });
        }
        Ok(())
    }
}
