//! What both roles do once they are connected: publish, be published to, and answer.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::time::Instant;

use bytes::BufMut;
use bytestring::ByteString;

use crate::decode::Decoder;
use crate::flow::{Arrival, Mismatch, PubRecOutcome, Receipt, ReceiveMaximumExceeded, Resend, Session};
use crate::output::Output;
use crate::packet::*;
use crate::violation::{Violation, protocol};
use crate::{EncodeError, PublishParts, ReasonCode, encode, encode_ack, topic};

/// A message to publish, as its owner keeps it until it is answered. The machine asks for its parts when it sends it,
/// and perhaps again after a reconnect.
pub trait Outgoing {
    /// The parts, with what is left of the Message Expiry Interval at `now`. The machine sets `packet_id` and
    /// `topic_alias` itself, and `dup` when it sends the message again; for the first time it is as here, which only a
    /// message of QoS 1 has that another machine may have sent before.
    fn parts(&self, now: Instant) -> PublishParts<'_>;
}

/// What became of a message given to `send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent<M> {
    /// QoS 0: it is in the output, and done with.
    Done(M),
    /// QoS 1 or 2: it is in the output and comes back as an event when the peer has answered.
    InFlight(PacketId),
    /// The peer takes no more before it has answered: send it later.
    NoRoom(M),
    /// The peer can't be sent such a message, ever: it is larger than the peer's Maximum Packet Size, or not allowed by
    /// the CONNACK. A server counts it as sent (MQTT v5 section 3.1.2.11.4).
    Refused(M, ReasonCode),
}

/// A message of QoS 1 or 2 that is done with, and the peer's reason; or ours, if it could not be sent again on a new
/// connection because the peer now takes smaller packets only ([`ReasonCode::PacketTooLarge`]) or the like.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivered<M> {
    /// The message.
    pub message: M,
    /// The peer has it, or has refused it if this is a failure.
    pub reason: ReasonCode,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) version: Version,
    /// How many unanswered publishes we take.
    pub(crate) receive_max: NonZeroU16,
    /// The highest alias we take.
    pub(crate) topic_alias_max: u16,
    /// How many unanswered publishes the peer takes.
    pub(crate) peer_receive_max: NonZeroU16,
    /// The largest packet the peer takes.
    pub(crate) peer_packet_bytes_max: usize,
    /// The highest alias used in what is sent.
    pub(crate) peer_topic_alias_max: u16,
    /// Whether the peer wants reason strings and user properties on acknowledgements.
    pub(crate) peer_wants_words: bool,
    /// The highest QoS the peer takes.
    pub(crate) peer_qos_max: QoS,
    /// Whether the peer takes retained messages.
    pub(crate) peer_takes_retained: bool,
}

/// What a PUBLISH turned out to be.
pub(crate) enum Arrived {
    /// A message for the caller, with a receipt unless it is of QoS 0.
    Message(Option<Receipt>),
    /// A message the caller has had.
    Repeat,
}

impl From<Mismatch> for Violation {
    fn from(_: Mismatch) -> Self {
        protocol("the answer does not fit the publish")
    }
}

impl From<ReceiveMaximumExceeded> for Violation {
    fn from(_: ReceiveMaximumExceeded) -> Self {
        let reason = ReasonCode::ReceiveMaximumExceeded;
        Violation { reason, rule: "more unanswered publishes than the Receive Maximum" }
    }
}

#[derive(Debug)]
pub(crate) struct Link<M> {
    pub(crate) decoder: Decoder,
    pub(crate) writer: Writer,
    pub(crate) session: Session<M>,
    /// Alias to topic, of what the peer sends. Aliases belong to the connection (MQTT v5 section 3.3.2.3.4).
    aliases: HashMap<NonZeroU16, ByteString>,
    /// Could not be sent again.
    given_up: VecDeque<Delivered<M>>,
}

impl<M: Outgoing> Link<M> {
    /// A connection begins: what is in flight goes out again.
    pub(crate) fn new(
        terms: Terms,
        decoder: Decoder,
        output: Output,
        mut session: Session<M>,
        now: Instant,
    ) -> Self {
        session.outbound.connected(terms.peer_receive_max);
        session.inbound.connected(terms.receive_max);
        let writer = Writer { terms, aliases: HashMap::new(), output };
        let mut link = Self { decoder, writer, session, aliases: HashMap::new(), given_up: VecDeque::new() };
        link.resend(now);
        link
    }

    pub(crate) fn send(&mut self, message: M, now: Instant) -> Sent<M> {
        let parts = message.parts(now);
        let (packet_id, exactly_once) = match parts.qos {
            QoS::AtMostOnce => (None, false),
            qos => match self.session.outbound.next_id() {
                Some(id) => (Some(id), qos == QoS::ExactlyOnce),
                None => return Sent::NoRoom(message),
            },
        };
        match (self.writer.publish(PublishParts { packet_id, ..parts }), packet_id) {
            (Err(reason), _) => Sent::Refused(message, reason),
            (Ok(()), None) => Sent::Done(message),
            (Ok(()), Some(id)) => {
                self.session.outbound.start(id, exactly_once, message);
                Sent::InFlight(id)
            }
        }
    }

    fn resend(&mut self, now: Instant) {
        while let Some(resend) = self.session.outbound.next_resend() {
            match resend {
                Resend::PubRel(id) => self.writer.ack(PacketType::PubRel, id, ReasonCode::Success),
                Resend::Publish(id, message) => {
                    let parts = PublishParts { dup: true, packet_id: Some(id), ..message.parts(now) };
                    if let Err(reason) = self.writer.publish(parts) {
                        let message = self.session.outbound.give_up(id);
                        self.given_up.extend(message.map(|message| Delivered { message, reason }));
                    }
                }
            }
        }
    }

    /// What is done with although the peer has not answered.
    pub(crate) fn next_given_up(&mut self) -> Option<Delivered<M>> {
        self.given_up.pop_front()
    }

    /// A PUBLISH arrived, and gets its topic in place of an alias.
    pub(crate) fn publish_arrived(&mut self, publish: &mut Publish) -> Result<Arrived, Violation> {
        if let Some(alias) = publish.topic_alias.take() {
            if alias.get() > self.writer.terms.topic_alias_max {
                let reason = ReasonCode::TopicAliasInvalid;
                return Err(Violation { reason, rule: "the topic alias is above the maximum" });
            }
            if publish.topic.is_empty() {
                publish.topic = self.aliases.get(&alias).ok_or(protocol("an unknown topic alias"))?.clone();
            } else {
                // A copy of its own: the alias outlives the packet.
                self.aliases.insert(alias, ByteString::from(&*publish.topic));
            }
        }
        let inbound = &mut self.session.inbound;
        let receipt = match (publish.packet_id, publish.qos) {
            (Some(id), QoS::AtLeastOnce) => Some(inbound.at_least_once(id)?),
            (Some(id), QoS::ExactlyOnce) => match inbound.exactly_once(id)? {
                Arrival::New(receipt) => Some(receipt),
                Arrival::Repeat => {
                    self.acknowledge();
                    return Ok(Arrived::Repeat);
                }
            },
            _ => None,
        };
        Ok(Arrived::Message(receipt))
    }

    /// The application is done with a message.
    pub(crate) fn finish(&mut self, receipt: Receipt, reason: ReasonCode) {
        // v3.1.1 can't say no: the peer goes on as if the message was taken.
        let v5 = self.writer.terms.version == Version::V5;
        self.session.inbound.finish(receipt, if v5 { reason } else { ReasonCode::Success });
        self.acknowledge();
    }

    /// Closes because of a rule that the peer broke.
    pub(crate) fn close(&mut self, reason: ReasonCode) {
        let in_disconnect = reason.is_valid_in(PacketType::Disconnect);
        self.disconnect(Disconnect::new(if in_disconnect { reason } else { ReasonCode::ProtocolError }));
    }

    /// Says goodbye, where the peer's version has a way to: a v3.1.1 server has none, and from a v3.1.1 client it
    /// would mean that all is well.
    pub(crate) fn disconnect(&mut self, disconnect: Disconnect) {
        if self.writer.terms.version == Version::V5 {
            // A peer that does not take even the few bytes left without words is told nothing.
            let _ = self.writer.packet(Packet::Disconnect(Box::new(disconnect)));
        }
    }

    fn acknowledge(&mut self) {
        while let Some(released) = self.session.inbound.next_released() {
            self.writer.ack(released.packet_type, released.packet_id, released.reason);
        }
    }

    pub(crate) fn puback_arrived(
        &mut self,
        ack: &Ack,
        now: Instant,
    ) -> Result<Option<Delivered<M>>, Violation> {
        let message = self.session.outbound.puback(ack.packet_id)?;
        Ok(self.delivered(message, ack.reason, now))
    }

    pub(crate) fn pubrec_arrived(
        &mut self,
        ack: &Ack,
        now: Instant,
    ) -> Result<Option<Delivered<M>>, Violation> {
        let reason = match self.session.outbound.pubrec(ack.packet_id, ack.reason.is_failure())? {
            PubRecOutcome::Refused(message) => return Ok(self.delivered(Some(message), ack.reason, now)),
            PubRecOutcome::Release => ReasonCode::Success,
            PubRecOutcome::NotFound => ReasonCode::PacketIdentifierNotFound,
        };
        self.writer.ack(PacketType::PubRel, ack.packet_id, reason);
        Ok(None)
    }

    pub(crate) fn pubcomp_arrived(
        &mut self,
        ack: &Ack,
        now: Instant,
    ) -> Result<Option<Delivered<M>>, Violation> {
        let message = self.session.outbound.pubcomp(ack.packet_id)?;
        // Whatever a PUBCOMP says, the PUBREC before it took the message.
        Ok(self.delivered(message, ReasonCode::Success, now))
    }

    /// Whether it is for a message that was received.
    pub(crate) fn pubrel_arrived(&mut self, ack: &Ack) -> Result<bool, Violation> {
        let reason = self.session.inbound.pubrel(ack.packet_id)?;
        self.writer.ack(PacketType::PubComp, ack.packet_id, reason);
        Ok(reason == ReasonCode::Success)
    }

    fn delivered(&mut self, message: Option<M>, reason: ReasonCode, now: Instant) -> Option<Delivered<M>> {
        let message = message?;
        self.resend(now);
        Some(Delivered { message, reason })
    }
}

/// The way out to a peer.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) terms: Terms,
    pub(crate) output: Output,
    /// Topic to alias. The first topics get the aliases and keep them for the life of the connection.
    pub(crate) aliases: HashMap<ByteString, NonZeroU16>,
}

impl Writer {
    fn publish(&mut self, mut parts: PublishParts<'_>) -> Result<(), ReasonCode> {
        if parts.qos > self.terms.peer_qos_max {
            return Err(ReasonCode::QoSNotSupported);
        }
        if parts.retain && !self.terms.peer_takes_retained {
            return Err(ReasonCode::RetainNotSupported);
        }
        let topic = parts.topic;
        topic::check_name(topic).map_err(|_| ReasonCode::TopicNameInvalid)?;
        let mut new_alias = None;
        parts.topic_alias = None;
        if self.terms.peer_topic_alias_max > 0 {
            if let Some(alias) = self.aliases.get(topic) {
                parts.topic_alias = Some(*alias);
                parts.topic = "";
            } else if self.aliases.len() < self.terms.peer_topic_alias_max.into() {
                new_alias = u16::try_from(self.aliases.len() + 1).ok().and_then(NonZeroU16::new);
                parts.topic_alias = new_alias;
            }
        }
        let version = self.terms.version;
        if parts.encoded_len(version) > self.terms.peer_packet_bytes_max {
            return Err(ReasonCode::PacketTooLarge);
        }
        self.output.put_publish(&parts, version).map_err(|_| ReasonCode::PacketTooLarge)?;
        if let Some(alias) = new_alias {
            self.aliases.insert(topic.into(), alias);
        }
        Ok(())
    }

    /// Five bytes at most, which any peer takes.
    fn ack(&mut self, packet_type: PacketType, packet_id: PacketId, reason: ReasonCode) {
        encode_ack(packet_type, packet_id, reason, self.terms.version, self.output.tail());
    }

    /// PINGREQ, PINGRESP or the DISCONNECT of v3.1.1.
    pub(crate) fn bare(&mut self, packet_type: PacketType) {
        self.output.tail().put_slice(&[(packet_type as u8) << 4, 0]);
    }

    /// Writes any packet but PUBLISH.
    ///
    /// # Errors
    /// As [`encode_within`].
    pub(crate) fn packet(&mut self, mut packet: Packet) -> Result<(), EncodeError> {
        if !self.terms.peer_wants_words && !matches!(packet, Packet::Disconnect(_)) {
            packet.remove_words();
        }
        encode_within(packet, self.terms.version, self.terms.peer_packet_bytes_max, &mut self.output)
    }
}

/// Writes any packet but PUBLISH, without its reason string and user properties if it would be too large with them.
///
/// # Errors
/// [`EncodeError::TooLong`] also if it is larger than `bytes_max` even so; nothing is written.
pub(crate) fn encode_within(
    mut packet: Packet,
    version: Version,
    bytes_max: usize,
    output: &mut Output,
) -> Result<(), EncodeError> {
    let tail = output.tail();
    let start = tail.len();
    let fits = encode(&packet, version, tail).is_ok() && tail.len() - start <= bytes_max;
    if fits {
        return Ok(());
    }
    tail.truncate(start);
    packet.remove_words();
    encode(&packet, version, tail)?;
    if tail.len() - start > bytes_max {
        tail.truncate(start);
        return Err(EncodeError::TooLong);
    }
    Ok(())
}

/// Whether an AUTH may come now, in an authentication by `method` (MQTT v5 section 4.12).
pub(crate) fn check_auth(
    auth: &Auth,
    method: Option<&ByteString>,
    reasons: &[ReasonCode],
) -> Result<(), Violation> {
    let Some(method) = method else { return Err(protocol("an AUTH without a method in the CONNECT")) };
    if auth.authentication.as_ref().is_some_and(|a| a.method != *method) {
        return Err(protocol("the authentication method is not that of the CONNECT"));
    }
    if !reasons.contains(&auth.reason) {
        return Err(protocol("the reason of the AUTH is not one to come now"));
    }
    Ok(())
}
