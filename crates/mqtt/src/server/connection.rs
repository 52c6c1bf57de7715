//! A client's connection after its CONNACK.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use bytestring::ByteString;

use super::Limits;
use super::handshake::Accepted;
use crate::flow::{Receipt, Session};
use crate::link::{Arrived, Delivered, Link, Outgoing, Sent, Terms, check_auth};
use crate::packet::*;
use crate::violation::{Violation, protocol};
use crate::{EncodeError, Output, ReasonCode, topic};

/// A connection after its CONNACK. `M` is what the broker keeps of a message it sends.
#[derive(Debug)]
pub struct Connection<M> {
    link: Link<M>,
    limits: Limits,
    keep_alive: Option<Duration>,
    heard: Instant,
    asked_session_expiry: u32,
    session_expiry: u32,
    authentication_method: Option<ByteString>,
}

/// What a client did that concerns the broker.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<M> {
    /// It publishes. Of QoS 1 and 2 with the receipt to [finish](Connection::finish) it with.
    Publish(Publish, Option<Receipt>),
    /// It has answered for a message.
    Delivered(Delivered<M>),
    /// It has taken responsibility for the QoS 2 message that was sent as this (PUBREC); the PUBREL is in the output.
    Taken(PacketId),
    /// It has let go of the QoS 2 message that it published as this (PUBREL); the PUBCOMP is in the output.
    Released(PacketId),
    /// It subscribes: answer with [`Connection::suback`].
    Subscribe(Subscribe),
    /// It unsubscribes: answer with [`Connection::unsuback`].
    Unsubscribe(Unsubscribe),
    /// It starts a re-authentication or goes on with it: answer with [`Connection::authenticate`] or
    /// [`Connection::disconnect`].
    Auth(Box<Auth>),
    /// It leaves: close the connection. Its will is void if the reason is [`ReasonCode::Success`].
    Disconnect(Box<Disconnect>),
}

impl<M: Outgoing> Connection<M> {
    pub(super) fn new(accepted: Accepted, session: Session<M>, now: Instant) -> Self {
        let Accepted { limits, decoder, output, asked, keep_alive, session_expiry } = accepted;
        let terms = Terms {
            version: asked.version,
            // What could not be told to a v3.1.1 client is not held against it.
            receive_max: if asked.version == Version::V5 { limits.receive_max } else { NonZeroU16::MAX },
            topic_alias_max: limits.topic_alias_max,
            peer_receive_max: asked.receive_max.min(limits.in_flight_max),
            peer_packet_bytes_max: asked.packet_bytes_max,
            peer_topic_alias_max: asked.topic_alias_max.min(limits.topic_alias_max),
            peer_wants_words: asked.wants_words,
            peer_qos_max: QoS::ExactlyOnce,
            peer_takes_retained: true,
        };
        Self {
            link: Link::new(terms, decoder, output, session, now),
            limits,
            keep_alive: (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into())),
            heard: now,
            asked_session_expiry: asked.session_expiry,
            session_expiry,
            authentication_method: asked.authentication_method,
        }
    }

    /// What is to be written to the client.
    pub fn output(&mut self) -> &mut Output {
        &mut self.link.writer.output
    }

    /// The version the client speaks.
    pub fn version(&self) -> Version {
        self.link.writer.terms.version
    }

    /// The Session Expiry Interval in seconds, as last agreed on.
    pub fn session_expiry(&self) -> u32 {
        self.session_expiry
    }

    /// Reads on, up to the next event; none if no whole packet is left in `input`. Call it until then, also right
    /// after the connection began.
    ///
    /// # Errors
    /// [`Violation`]: write the output, which holds the DISCONNECT in v5, and close. The session stays good.
    pub fn receive(&mut self, input: &mut BytesMut, now: Instant) -> Result<Option<Event<M>>, Violation> {
        if let Some(delivered) = self.link.next_given_up() {
            return Ok(Some(Event::Delivered(delivered)));
        }
        self.next_event(input, now).inspect_err(|violation| self.link.close(violation.reason))
    }

    fn next_event(&mut self, input: &mut BytesMut, now: Instant) -> Result<Option<Event<M>>, Violation> {
        while let Some(packet) = self.link.decoder.decode(input)? {
            self.heard = now;
            if let Some(event) = self.arrived(packet, now)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn arrived(&mut self, packet: Packet, now: Instant) -> Result<Option<Event<M>>, Violation> {
        let link = &mut self.link;
        Ok(match packet {
            Packet::Publish(mut publish) => {
                self.limits.check_publish(publish.qos, publish.retain)?;
                if !publish.subscription_ids.is_empty() {
                    return Err(protocol("a client publishes without Subscription Identifiers"));
                }
                match link.publish_arrived(&mut publish)? {
                    Arrived::Message(receipt) => Some(Event::Publish(publish, receipt)),
                    Arrived::Repeat => None,
                }
            }
            Packet::PubAck(ack) => link.puback_arrived(&ack, now)?.map(Event::Delivered),
            Packet::PubRec(ack) => match link.pubrec_arrived(&ack, now)? {
                Some(delivered) => Some(Event::Delivered(delivered)),
                None => link.session.outbound.get(ack.packet_id).map(|_| Event::Taken(ack.packet_id)),
            },
            Packet::PubComp(ack) => link.pubcomp_arrived(&ack, now)?.map(Event::Delivered),
            Packet::PubRel(ack) => {
                let known = link.pubrel_arrived(&ack)?;
                known.then_some(Event::Released(ack.packet_id))
            }
            Packet::Subscribe(subscribe) => {
                check_subscribe(&subscribe, &self.limits)?;
                Some(Event::Subscribe(subscribe))
            }
            Packet::Unsubscribe(unsubscribe) => Some(Event::Unsubscribe(unsubscribe)),
            Packet::PingReq => {
                link.writer.bare(PacketType::PingResp);
                None
            }
            Packet::Disconnect(disconnect) => {
                if let Some(expiry) = disconnect.session_expiry {
                    if expiry > 0 && self.asked_session_expiry == 0 {
                        return Err(protocol("a DISCONNECT gives a life to a session that had none"));
                    }
                    self.session_expiry = expiry.min(self.limits.session_expiry_max);
                }
                if disconnect.server_reference.is_some() {
                    return Err(protocol("a client sends no Server Reference"));
                }
                Some(Event::Disconnect(disconnect))
            }
            Packet::Auth(auth) => {
                let method = self.authentication_method.as_ref();
                check_auth(&auth, method, &[ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication])?;
                Some(Event::Auth(auth))
            }
            Packet::Connect(_) => return Err(protocol("a second CONNECT")),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(protocol("only a server sends this packet"));
            }
        })
    }

    /// How many messages of QoS 1 and 2 may be sent now.
    pub fn room(&self) -> usize {
        self.link.session.outbound.room()
    }

    /// Sends a message to the client.
    pub fn send(&mut self, message: M, now: Instant) -> Sent<M> {
        self.link.send(message, now)
    }

    /// The message that is in flight as this.
    pub fn in_flight(&self, packet_id: PacketId) -> Option<&M> {
        self.link.session.outbound.get(packet_id)
    }

    /// How many messages of the client are unfinished, or wait behind one that is. A v3.1.1 client knows no limit to
    /// it: stop reading instead.
    pub fn owed(&self) -> usize {
        self.link.session.inbound.owed()
    }

    /// The broker has taken a message, or refuses it with a reason of PUBACK and PUBREC; the acknowledgement goes out
    /// in its turn.
    pub fn finish(&mut self, receipt: Receipt, reason: ReasonCode) {
        self.link.finish(receipt, reason);
    }

    /// Answers a SUBSCRIBE.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit into a packet that the client takes; nothing is written.
    pub fn suback(&mut self, packet_id: PacketId, reasons: Vec<ReasonCode>) -> Result<(), EncodeError> {
        let (reason_string, user_properties) = (None, Vec::new());
        self.link.writer.packet(Packet::SubAck(SubAck { packet_id, reasons, reason_string, user_properties }))
    }

    /// Answers an UNSUBSCRIBE.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit into a packet that the client takes; nothing is written.
    pub fn unsuback(&mut self, packet_id: PacketId, reasons: Vec<ReasonCode>) -> Result<(), EncodeError> {
        let (reason_string, user_properties) = (None, Vec::new());
        self.link.writer.packet(Packet::UnsubAck(UnsubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        }))
    }

    /// Sends the next step of a re-authentication.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit into a packet that the client takes; nothing is written.
    pub fn authenticate(&mut self, auth: Auth) -> Result<(), EncodeError> {
        self.link.writer.packet(Packet::Auth(Box::new(auth)))
    }

    /// Tells a v5 client why the connection ends; v3.1.1 has no way to. Write the output and close.
    pub fn disconnect(&mut self, disconnect: Disconnect) {
        self.link.disconnect(disconnect);
    }

    /// When to call [`Connection::tick`], if nothing arrives before.
    pub fn deadline(&self) -> Option<Instant> {
        // MQTT-3.1.2-22: one and a half times the Keep Alive.
        self.keep_alive.map(|keep_alive| self.heard + keep_alive + keep_alive / 2)
    }

    /// Looks at the time.
    ///
    /// # Errors
    /// [`Violation`] if the client was silent for too long: write the output and close.
    pub fn tick(&mut self, now: Instant) -> Result<(), Violation> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let reason = ReasonCode::KeepAliveTimeout;
        self.link.close(reason);
        Err(Violation { reason, rule: "nothing came for one and a half times the Keep Alive" })
    }

    /// The connection is over: the session, for the next one.
    pub fn into_session(self) -> Session<M> {
        self.link.session
    }
}

fn check_subscribe(subscribe: &Subscribe, limits: &Limits) -> Result<(), Violation> {
    let refuse = |reason| Err(Violation { reason, rule: "the CONNACK said that this is not available" });
    if subscribe.subscription_id.is_some() && !limits.subscription_ids_available {
        return refuse(ReasonCode::SubscriptionIdentifiersNotSupported);
    }
    for Subscription { filter, .. } in &subscribe.subscriptions {
        if !limits.shared_available && topic::is_shared(filter) {
            return refuse(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if !limits.wildcard_available && topic::has_wildcard(filter) {
            return refuse(ReasonCode::WildcardSubscriptionsNotSupported);
        }
    }
    Ok(())
}
