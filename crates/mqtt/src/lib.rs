//! MQTT v3.1.1 and v5 packets and session machines for both roles, without I/O.
//!
//! From the bottom up: [`Packet`] and its parts, [`Decoder`] and [`encode`], the two halves of QoS flow control in
//! [`flow`], and the connection machines in [`server`] and [`client`]. Bytes come in as `BytesMut`, go out through an
//! [`Output`], and time is an argument: this crate opens no socket, reads no clock and spawns no task. It knows
//! neither subscriptions nor retained messages nor queues; those are the broker's.

pub mod client;
mod decode;
mod encode;
pub mod flow;
mod link;
mod output;
mod packet;
mod reason;
pub mod server;
pub mod topic;
mod violation;
mod wire;

pub use decode::Decoder;
pub use encode::{
    EncodeError, PACKET_BYTES_MAX, PublishParts, encode, encode_ack, encode_publish, encode_publish_head,
};
pub use link::{Delivered, Outgoing, Sent};
pub use output::Output;
pub use packet::{
    Ack, Auth, Authentication, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Publish, QoS,
    RetainHandling, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe, UserProperties, Version, Will,
};
pub use reason::ReasonCode;
pub use violation::Violation;
