//! The client's side of one connection: [`Handshake`] up to the CONNACK, then [`Connection`].
//!
//! The machine keeps MQTT's rules: it keeps to the server's limits, resolves aliases, sends pings, runs both halves of
//! QoS flow control, and closes with the right reason code when the server breaks a rule. When to connect again is the
//! caller's to decide.

mod connection;
mod handshake;

pub use connection::{Connection, Event};
pub use handshake::{Handshake, HandshakeEvent, Options};
