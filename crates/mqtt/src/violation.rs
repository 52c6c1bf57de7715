//! Rules that a peer can break.

use crate::ReasonCode;

/// The peer broke a rule of MQTT: the reason code to close the connection with (MQTT v5 section 4.13), and the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {rule}")]
pub struct Violation {
    /// What to tell the peer.
    pub reason: ReasonCode,
    /// The rule in words, for a log.
    pub rule: &'static str,
}

pub(crate) const fn malformed(rule: &'static str) -> Violation {
    Violation { reason: ReasonCode::MalformedPacket, rule }
}

pub(crate) const fn protocol(rule: &'static str) -> Violation {
    Violation { reason: ReasonCode::ProtocolError, rule }
}
