//! What the broker is told: who may come, what they may do, and the limit of everything.
//!
//! Plain values; where they are written down, and in which syntax, is somebody else's business.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use tidegate_core::Secret;

/// The settings of a broker; the default is one for the programs of one machine.
#[derive(Clone, Debug, Default)]
pub struct BrokerConfig {
    /// Who may come.
    pub authentication: Authentication,
    /// What each client may do; `None` allows everything.
    pub authorization: Option<Authorization>,
    /// How much of everything.
    pub limits: Limits,
}

/// Who may come. A client certificate that a listener verified counts as a login, its common name as the user name.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// Users with a password.
    pub users: Vec<User>,
    /// What becomes of clients that show neither a certificate nor a user name.
    pub anonymous: Anonymous,
}

/// A user name and its password.
#[derive(Clone, Debug)]
pub struct User {
    /// As in the CONNECT packet.
    pub username: String,
    /// As in the CONNECT packet.
    pub password: Secret<Vec<u8>>,
}

/// What becomes of clients that show no credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// They may come from this machine's loopback addresses.
    #[default]
    Loopback,
    /// They may come.
    Allowed,
    /// They are refused.
    Denied,
}

/// What clients may do: only what a rule says, in the shape of AIO's `BrokerAuthorization`.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    /// Each allows; the order does not matter.
    pub rules: Vec<AuthorizationRule>,
}

/// Some clients, and what they may do.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationRule {
    /// Whom the rule is about.
    pub principals: Principals,
    /// What it allows them.
    pub broker_resources: Vec<BrokerResource>,
}

/// Clients by what they call themselves. One that any list names is meant; without any name, everybody is.
#[derive(Clone, Debug, Default)]
pub struct Principals {
    /// Client identifiers.
    pub client_ids: Vec<String>,
    /// User names, of a password or of a certificate.
    pub usernames: Vec<String>,
}

/// One thing that is allowed.
#[derive(Clone, Debug)]
pub struct BrokerResource {
    /// What is allowed.
    pub method: Method,
    /// Topic filters: to publish to what one of them matches, to subscribe to filters that match nothing else.
    /// `{principal.clientId}` and `{principal.username}` stand for the client's own. Empty means all topics; CONNECT
    /// has none.
    pub topics: Vec<String>,
}

/// What a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To connect at all.
    Connect,
    /// To publish, wills included.
    Publish,
    /// To subscribe.
    Subscribe,
}

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Network connections at one time; more are closed as they come.
    pub connections_max: usize,
    /// Sessions, connected or not; more are refused with 0x97 Quota exceeded.
    pub sessions_max: usize,
    /// Bytes of a packet from a client, told to it as Maximum Packet Size.
    pub packet_bytes_max: NonZeroU32,
    /// Messages that wait in one session, sent and not yet acknowledged ones included.
    pub queue_messages_max: usize,
    /// Bytes of payload, topic and properties that wait in one session.
    pub queue_bytes_max: usize,
    /// QoS 1 and 2 messages a client may have unacknowledged, told to it as Receive Maximum.
    pub receive_maximum: NonZeroU16,
    /// QoS 1 and 2 messages the broker has unacknowledged at one client, should the client's Receive Maximum allow more.
    pub inflight_max: NonZeroU16,
    /// Topic aliases of one connection, each way.
    pub topic_alias_max: u16,
    /// The longest Session Expiry Interval; `None` lets sessions live for ever.
    pub session_expiry_max: Option<Duration>,
    /// The longest keep-alive, told to clients that ask for more or for none; `None` leaves it to the client.
    pub keep_alive_max: Option<Duration>,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Bytes of payload, topic and properties of retained messages.
    pub retained_bytes_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_client_max: usize,
    /// Levels of a topic name or topic filter.
    pub topic_levels_max: usize,
    /// From the opening of a connection to its CONNECT packet.
    pub connect_wait_max: Duration,
    /// How long a publish waits for room in the sessions that must get it.
    pub publish_wait_max: Duration,
    /// Bytes read from a client whose publish waits, so that acknowledgements behind it are seen.
    pub read_ahead_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const IN_FLIGHT: NonZeroU16 = NonZeroU16::new(1024).expect("it is not zero");
        Self {
            connections_max: 10_000,
            sessions_max: 100_000,
            packet_bytes_max: const { NonZeroU32::new(16 << 20).expect("it is not zero") },
            queue_messages_max: 10_000,
            queue_bytes_max: 64 << 20,
            receive_maximum: IN_FLIGHT,
            inflight_max: IN_FLIGHT,
            topic_alias_max: 64,
            session_expiry_max: None,
            keep_alive_max: None,
            retained_messages_max: 100_000,
            retained_bytes_max: 256 << 20,
            subscriptions_per_client_max: 1_000,
            topic_levels_max: 128,
            connect_wait_max: Duration::from_secs(10),
            publish_wait_max: Duration::from_secs(5),
            read_ahead_bytes_max: 256 << 10,
        }
    }
}
