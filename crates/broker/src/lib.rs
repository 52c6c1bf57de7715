//! The local MQTT broker, usable alone: MQTT v5 and v3.1.1 over TCP, TLS and WebSocket, and clients in this process
//! without any of them.
//!
//! From the inside out: `core` is the state and the rules, without I/O; `connection` is one network client; [`Link`] is
//! a client in this process; [`Broker`] is the lock around the core and what runs beside it. The broker knows
//! neither data flows nor resources: its configuration comes as plain values.
//!
//! A QoS 1 or 2 publish is acknowledged once every session that must get it has it in its queue, and not before: if
//! one has no room, the publisher waits or is told so. A broker that was [opened](Broker::open) with a log keeps what is
//! to outlive a connection on disk too, and what it answers waits for that.

mod access;
mod broker;
mod config;
mod connection;
mod core;
mod durability;
mod handshake;
mod link;
mod listen;
mod message;
mod retained;
mod stats;
mod tls;
mod trie;
mod websocket;

pub use broker::{Broker, OpenError};
pub use config::{
    Anonymous, Authentication, Authorization, AuthorizationRule, BrokerConfig, BrokerResource, Limits,
    Method, Principals, User,
};
pub use durability::{JournalLimits, LogUsage};
pub use link::{ClientRef, Delivery, Link, LinkError, LinkOptions};
pub use listen::{ListenError, Listener, Protocol};
pub use message::Message;
pub use stats::{Client, Counters, Dropped, Stats, Waiting};
pub use tidegate_mqtt::{QoS, ReasonCode};
pub use tls::ListenerTls;
pub use websocket::WebSocket;
