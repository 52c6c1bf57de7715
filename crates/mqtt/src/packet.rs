//! The fifteen control packets as plain values, one set of types for both protocol versions. What v3.1.1 does not
//! have stands at its v5 default.
//!
//! Nothing here knows bytes on the wire, nor what may follow what.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use tidegate_core::{Properties, Secret};

use crate::ReasonCode;

/// A packet identifier, which is never zero (MQTT v5 section 2.2.1).
pub type PacketId = NonZeroU16;

/// User properties of any packet but PUBLISH, in their order; names may repeat (MQTT v5 section 2.2.2.2).
pub type UserProperties = Vec<(ByteString, ByteString)>;

/// The protocol versions spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT v3.1.1, protocol level 4.
    V311,
    /// MQTT v5, protocol level 5.
    V5,
}

/// Quality of service (MQTT v5 section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS of its number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

/// Any control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A client asks for a connection.
    Connect(Box<Connect>),
    /// The server's answer to it.
    ConnAck(Box<ConnAck>),
    /// A message, in either direction.
    Publish(Publish),
    /// Answer to a QoS 1 publish.
    PubAck(Ack),
    /// Answer to a QoS 2 publish.
    PubRec(Ack),
    /// Answer to a PUBREC.
    PubRel(Ack),
    /// Answer to a PUBREL.
    PubComp(Ack),
    /// A client subscribes.
    Subscribe(Subscribe),
    /// Answer to it.
    SubAck(SubAck),
    /// A client unsubscribes.
    Unsubscribe(Unsubscribe),
    /// Answer to it.
    UnsubAck(UnsubAck),
    /// A client shows that it lives.
    PingReq,
    /// The server's answer to it.
    PingResp,
    /// The end of a connection; from the server in v5 only.
    Disconnect(Box<Disconnect>),
    /// A step of enhanced authentication; v5 only.
    Auth(Box<Auth>),
}

/// The type of a control packet, by its number on the wire (MQTT v5 section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are all there is to say; see `Packet`")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl Packet {
    /// Its type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}

impl Packet {
    /// Takes the reason string and the user properties off an answer, which MQTT lets a sender do when they would make
    /// the packet larger than the receiver takes.
    pub(crate) fn remove_words(&mut self) {
        let (reason_string, user_properties) = match self {
            Packet::ConnAck(p) => (&mut p.reason_string, &mut p.user_properties),
            Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
                (&mut p.reason_string, &mut p.user_properties)
            }
            Packet::SubAck(p) => (&mut p.reason_string, &mut p.user_properties),
            Packet::UnsubAck(p) => (&mut p.reason_string, &mut p.user_properties),
            Packet::Disconnect(p) => (&mut p.reason_string, &mut p.user_properties),
            Packet::Auth(p) => (&mut p.reason_string, &mut p.user_properties),
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::PingResp => return,
        };
        *reason_string = None;
        user_properties.clear();
    }
}

/// CONNECT (MQTT v5 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Which protocol the client speaks.
    pub version: Version,
    /// Whether an old session is to be forgotten; Clean Session in v3.1.1.
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// May be empty: then the server chooses (v5), or the session is a nameless clean one (v3.1.1).
    pub client_id: ByteString,
    /// The message to publish when the connection ends without a normal DISCONNECT.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<ByteString>,
    /// Password.
    pub password: Option<Secret<Bytes>>,
    /// Session Expiry Interval in seconds, `u32::MAX` for never. From a v3.1.1 client, which has no such thing: 0 with
    /// Clean Session, never without (MQTT v5 section 3.1.2.11.2).
    pub session_expiry: u32,
    /// How many unanswered QoS 1 and 2 publishes the client takes.
    pub receive_max: NonZeroU16,
    /// The largest packet the client takes, in bytes; none for no limit but the protocol's.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The highest Topic Alias the client takes.
    pub topic_alias_max: u16,
    /// Whether the client would like Response Information in the CONNACK.
    pub request_response_information: bool,
    /// Whether the client wants reason strings and user properties on other packets than PUBLISH, CONNACK, DISCONNECT.
    pub request_problem_information: bool,
    /// User properties.
    pub user_properties: UserProperties,
    /// Enhanced authentication.
    pub authentication: Option<Authentication>,
}

impl Connect {
    /// A CONNECT in which everything optional is absent: clean start, no keep-alive, no session after the connection.
    pub fn new(version: Version, client_id: impl Into<ByteString>) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.into(),
            will: None,
            username: None,
            password: None,
            session_expiry: 0,
            receive_max: NonZeroU16::MAX,
            packet_bytes_max: None,
            topic_alias_max: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication: None,
        }
    }
}

/// The message a server publishes when a client goes without a word (MQTT v5 section 3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to; a valid topic name.
    pub topic: ByteString,
    /// What.
    pub payload: Bytes,
    /// With which QoS.
    pub qos: QoS,
    /// Whether the message is to be retained.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// Message Expiry Interval in seconds.
    pub message_expiry: Option<u32>,
    /// The properties that travel with the message.
    pub properties: Properties,
}

/// Authentication Method and Authentication Data (MQTT v5 section 4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The method, such as `K8S-SAT`.
    pub method: ByteString,
    /// What it exchanges; often a token. Empty also stands for absent.
    pub data: Secret<Bytes>,
}

/// CONNACK (MQTT v5 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server kept a session for this client.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// Session Expiry Interval in seconds; none means what the client asked for.
    pub session_expiry: Option<u32>,
    /// How many unanswered QoS 1 and 2 publishes the server takes.
    pub receive_max: NonZeroU16,
    /// The highest QoS the server takes.
    pub qos_max: QoS,
    /// Whether the server takes retained messages.
    pub retain_available: bool,
    /// The largest packet the server takes, in bytes; none for no limit but the protocol's.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The client id the server chose.
    pub assigned_client_id: Option<ByteString>,
    /// The highest Topic Alias the server takes.
    pub topic_alias_max: u16,
    /// For people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Whether subscriptions may hold wildcards.
    pub wildcard_available: bool,
    /// Whether the server takes Subscription Identifiers.
    pub subscription_ids_available: bool,
    /// Whether the server takes shared subscriptions.
    pub shared_available: bool,
    /// The Keep Alive in seconds that the client must use instead of its own.
    pub server_keep_alive: Option<u16>,
    /// The start of response topics.
    pub response_information: Option<ByteString>,
    /// Another server to use.
    pub server_reference: Option<ByteString>,
    /// The last step of enhanced authentication.
    pub authentication: Option<Authentication>,
}

impl ConnAck {
    /// A CONNACK of that reason in which everything else is absent.
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            session_present: false,
            reason,
            session_expiry: None,
            receive_max: NonZeroU16::MAX,
            qos_max: QoS::ExactlyOnce,
            retain_available: true,
            packet_bytes_max: None,
            assigned_client_id: None,
            topic_alias_max: 0,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_available: true,
            subscription_ids_available: true,
            shared_available: true,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication: None,
        }
    }
}

/// PUBLISH (MQTT v5 section 3.3).
///
/// The parts are slices: of one copy of the packet when it is small, of the read buffer when it is large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may be a repeat.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// A valid topic name; empty when `topic_alias` stands for it.
    pub topic: ByteString,
    /// There is one exactly if the QoS is not 0.
    pub packet_id: Option<PacketId>,
    /// Message Expiry Interval in seconds.
    pub message_expiry: Option<u32>,
    /// Sets the alias to `topic`, or stands for the topic it was set to.
    pub topic_alias: Option<NonZeroU16>,
    /// The identifiers of the subscriptions that matched; from a server only.
    pub subscription_ids: Vec<NonZeroU32>,
    /// The properties that travel with the message; empty in v3.1.1.
    pub properties: Properties,
    /// The message.
    pub payload: Bytes,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT v5 sections 3.4 to 3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of the publish.
    pub packet_id: PacketId,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// For people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An acknowledgement without words.
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: Vec::new() }
    }
}

/// SUBSCRIBE (MQTT v5 section 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Comes back in the SUBACK.
    pub packet_id: PacketId,
    /// At least one.
    pub subscriptions: Vec<Subscription>,
    /// The identifier that publishes for these subscriptions will carry, at most 268,435,455.
    pub subscription_id: Option<NonZeroU32>,
    /// User properties.
    pub user_properties: UserProperties,
}

/// One filter of a SUBSCRIBE with its options (MQTT v5 section 3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// A valid topic filter, perhaps `$share/...`.
    pub filter: ByteString,
    /// The highest QoS at which to send.
    pub qos: QoS,
    /// Whether the client's own messages stay away.
    pub no_local: bool,
    /// Whether the retain flag is passed on as the publisher set it.
    pub retain_as_published: bool,
    /// What happens to messages retained so far.
    pub retain_handling: RetainHandling,
}

impl Subscription {
    /// A subscription with the options of v3.1.1.
    pub fn new(filter: impl Into<ByteString>, qos: QoS) -> Self {
        Self {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// When a subscription gets the messages retained so far (MQTT v5 section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBACK (MQTT v5 section 3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in their order: the QoS granted, or why not.
    pub reasons: Vec<ReasonCode>,
    /// For people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
}

/// UNSUBSCRIBE (MQTT v5 section 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Comes back in the UNSUBACK.
    pub packet_id: PacketId,
    /// At least one; valid topic filters.
    pub filters: Vec<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
}

/// UNSUBACK (MQTT v5 section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in their order; none at all in v3.1.1.
    pub reasons: Vec<ReasonCode>,
    /// For people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
}

/// DISCONNECT (MQTT v5 section 3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why; always [`ReasonCode::Success`] in v3.1.1, which is "Normal disconnection" here.
    pub reason: ReasonCode,
    /// A new Session Expiry Interval in seconds; from a client only.
    pub session_expiry: Option<u32>,
    /// For people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Another server to use; from a server only.
    pub server_reference: Option<ByteString>,
}

impl Disconnect {
    /// A DISCONNECT without words.
    pub const fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }
    }
}

/// AUTH (MQTT v5 section 3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// Method and data; absent only in a success without words.
    pub authentication: Option<Authentication>,
    /// For people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user_properties: UserProperties,
}
