//! Numbers for those who watch the broker.

use std::net::SocketAddr;
use std::time::Duration;

/// What the broker holds and has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Clients connected now, those in this process included.
    pub connections: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained_messages: usize,
    /// Bytes of retained messages.
    pub retained_bytes: usize,
    /// Messages that wait in sessions, sent and not yet acknowledged ones included.
    pub queued_messages: usize,
    /// Bytes of those, a message that waits in two sessions counted twice.
    pub queued_bytes: usize,
    /// What happened so far.
    pub counters: Counters,
}

/// What happened since the broker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages published to the broker.
    pub messages_received: u64,
    /// Messages sent to subscribers.
    pub messages_sent: u64,
    /// Bytes read from network connections.
    pub bytes_received: u64,
    /// Bytes written to network connections.
    pub bytes_sent: u64,
    /// QoS 1 and 2 publishes refused because a queue or the retained store was full; their publishers know.
    pub publishes_refused: u64,
    /// Network connections refused or closed before their CONNECT was accepted.
    pub connections_refused: u64,
    /// QoS 0 messages not retained because the retained store was full.
    pub retained_refused: u64,
    /// Copies of messages that did not reach a subscriber.
    pub dropped: Dropped,
}

/// Copies of messages that did not reach a subscriber, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// QoS 0, and the subscriber's queue was full.
    pub queue_full: u64,
    /// Their Message Expiry Interval passed.
    pub expired: u64,
    /// Larger than the subscriber's Maximum Packet Size.
    pub too_large: u64,
    /// The subscriber's session ended.
    pub session_ended: u64,
    /// QoS 0, and the publisher had no right to publish there.
    pub not_authorized: u64,
    /// Wills that found a full queue.
    pub will_refused: u64,
}

/// What waits for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Messages, sent and not yet acknowledged ones included.
    pub messages: usize,
    /// Since when the first of them has waited here; none if nothing waits.
    pub oldest_age: Option<Duration>,
}

/// A client that has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Client identifier.
    pub client_id: String,
    /// The user name it proved to have.
    pub username: Option<String>,
    /// Whether it is connected.
    pub connected: bool,
    /// Where it is connected from; none for clients in this process.
    pub address: Option<SocketAddr>,
    /// The filters it is subscribed to, in order, shared ones as `$share/<group>/<filter>`.
    pub subscriptions: Vec<String>,
    /// Messages that wait for it.
    pub queued_messages: usize,
    /// Bytes of those.
    pub queued_bytes: usize,
}
