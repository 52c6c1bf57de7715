//! The connection to a server after its CONNACK.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use bytestring::ByteString;

use crate::flow::{Receipt, Session};
use crate::link::{Arrived, Delivered, Link, Outgoing, Sent, check_auth};
use crate::packet::*;
use crate::violation::{Violation, protocol};
use crate::{EncodeError, Output, ReasonCode, topic};

/// A connection after its CONNACK. `M` is what the caller keeps of a message it publishes.
#[derive(Debug)]
pub struct Connection<M> {
    link: Link<M>,
    offered: Offered,
    requests: HashMap<PacketId, Request>,
    pings: Option<Pings>,
    authentication_method: Option<ByteString>,
}

/// Which subscriptions the server takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) wildcards: bool,
    pub(super) subscription_ids: bool,
    pub(super) shared: bool,
}

/// What waits for a SUBACK or UNSUBACK, with the number of its filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Subscribe(usize),
    Unsubscribe(usize),
}

/// Pings go out at every keep-alive interval, whatever else is sent: that also finds a server that is gone while
/// messages of QoS 0 flow into nothing.
#[derive(Clone, Copy, Debug)]
struct Pings {
    interval: Duration,
    next: Instant,
    /// When the server is taken for gone, if a ping is out and nothing came since.
    answer_due: Option<Instant>,
}

/// What the server did that concerns the caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<M> {
    /// It publishes. Of QoS 1 and 2 with the receipt to [finish](Connection::finish) it with.
    Publish(Publish, Option<Receipt>),
    /// It has answered for a message.
    Delivered(Delivered<M>),
    /// It answers a [`Connection::subscribe`]: a reason for each filter.
    SubAck(SubAck),
    /// It answers a [`Connection::unsubscribe`]: a reason for each filter in v5.
    UnsubAck(UnsubAck),
    /// A step of re-authentication; with [`ReasonCode::Success`] it is done, else answer with
    /// [`Connection::authenticate`].
    Auth(Box<Auth>),
    /// It ends the connection: close.
    Disconnect(Box<Disconnect>),
}

impl<M: Outgoing> Connection<M> {
    pub(super) fn new(
        link: Link<M>,
        offered: Offered,
        keep_alive: u16,
        authentication_method: Option<ByteString>,
        now: Instant,
    ) -> Self {
        let interval = Duration::from_secs(keep_alive.into());
        let pings = Pings { interval, next: now + interval, answer_due: None };
        let pings = (keep_alive > 0).then_some(pings);
        Self { link, offered, requests: HashMap::new(), pings, authentication_method }
    }

    /// What is to be written to the server.
    pub fn output(&mut self) -> &mut Output {
        &mut self.link.writer.output
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
            if let Some(pings) = &mut self.pings {
                pings.answer_due = None;
            }
            if let Some(event) = self.arrived(packet, now)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn arrived(&mut self, packet: Packet, now: Instant) -> Result<Option<Event<M>>, Violation> {
        let link = &mut self.link;
        Ok(match packet {
            Packet::Publish(mut publish) => match link.publish_arrived(&mut publish)? {
                Arrived::Message(receipt) => Some(Event::Publish(publish, receipt)),
                Arrived::Repeat => None,
            },
            Packet::PubAck(ack) => link.puback_arrived(&ack, now)?.map(Event::Delivered),
            Packet::PubRec(ack) => link.pubrec_arrived(&ack, now)?.map(Event::Delivered),
            Packet::PubComp(ack) => link.pubcomp_arrived(&ack, now)?.map(Event::Delivered),
            Packet::PubRel(ack) => {
                link.pubrel_arrived(&ack)?;
                None
            }
            Packet::SubAck(suback) => {
                self.answered(suback.packet_id, Request::Subscribe(suback.reasons.len()))?;
                Some(Event::SubAck(suback))
            }
            Packet::UnsubAck(unsuback) => {
                self.answered(unsuback.packet_id, Request::Unsubscribe(unsuback.reasons.len()))?;
                Some(Event::UnsubAck(unsuback))
            }
            Packet::PingResp => None,
            Packet::Disconnect(disconnect) => {
                if link.writer.terms.version == Version::V311 {
                    return Err(protocol("a v3.1.1 server sends no DISCONNECT"));
                }
                if disconnect.session_expiry.is_some() {
                    return Err(protocol("a server sends no Session Expiry Interval in DISCONNECT"));
                }
                Some(Event::Disconnect(disconnect))
            }
            Packet::Auth(auth) => {
                let method = self.authentication_method.as_ref();
                check_auth(&auth, method, &[ReasonCode::ContinueAuthentication, ReasonCode::Success])?;
                Some(Event::Auth(auth))
            }
            Packet::ConnAck(_) => return Err(protocol("a second CONNACK")),
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                return Err(protocol("only a client sends this packet"));
            }
        })
    }

    fn answered(&mut self, packet_id: PacketId, answer: Request) -> Result<(), Violation> {
        let request = self.requests.remove(&packet_id).ok_or(protocol("an answer to no request"))?;
        self.link.session.outbound.release_id(packet_id);
        match (request, answer) {
            _ if request == answer => Ok(()),
            // An UNSUBACK of v3.1.1 has no reasons.
            (Request::Unsubscribe(_), Request::Unsubscribe(0)) => Ok(()),
            _ => Err(protocol("the answer does not fit the request")),
        }
    }

    /// How many messages of QoS 1 and 2 may be sent now.
    pub fn room(&self) -> usize {
        self.link.session.outbound.room()
    }

    /// How many messages of QoS 1 and 2 the server has not answered for good.
    pub fn in_flight(&self) -> usize {
        self.link.session.outbound.len()
    }

    /// Publishes a message.
    pub fn send(&mut self, message: M, now: Instant) -> Sent<M> {
        self.link.send(message, now)
    }

    /// The caller is done with a message, or refuses it with a reason of PUBACK and PUBREC; the acknowledgement goes
    /// out in its turn.
    pub fn finish(&mut self, receipt: Receipt, reason: ReasonCode) {
        self.link.finish(receipt, reason);
    }

    /// Subscribes. The identifier comes back in the SUBACK.
    ///
    /// # Errors
    /// The reason why MQTT or this server does not allow it; nothing is written.
    pub fn subscribe(
        &mut self,
        subscriptions: Vec<Subscription>,
        subscription_id: Option<NonZeroU32>,
        user_properties: UserProperties,
    ) -> Result<PacketId, ReasonCode> {
        if subscription_id.is_some() && !self.offered.subscription_ids {
            return Err(ReasonCode::SubscriptionIdentifiersNotSupported);
        }
        for Subscription { filter, no_local, .. } in &subscriptions {
            topic::check_filter(filter).map_err(|_| ReasonCode::TopicFilterInvalid)?;
            if topic::is_shared(filter) && !self.offered.shared {
                return Err(ReasonCode::SharedSubscriptionsNotSupported);
            }
            if topic::has_wildcard(filter) && !self.offered.wildcards {
                return Err(ReasonCode::WildcardSubscriptionsNotSupported);
            }
            if topic::is_shared(filter) && *no_local {
                return Err(ReasonCode::ProtocolError);
            }
        }
        let request = Request::Subscribe(subscriptions.len());
        self.request(request, |packet_id| {
            Packet::Subscribe(Subscribe { packet_id, subscriptions, subscription_id, user_properties })
        })
    }

    /// Unsubscribes. The identifier comes back in the UNSUBACK.
    ///
    /// # Errors
    /// The reason why MQTT does not allow it; nothing is written.
    pub fn unsubscribe(&mut self, filters: Vec<ByteString>) -> Result<PacketId, ReasonCode> {
        for filter in &filters {
            topic::check_filter(filter).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        }
        let request = Request::Unsubscribe(filters.len());
        let user_properties = Vec::new();
        self.request(request, |packet_id| {
            Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties })
        })
    }

    fn request(
        &mut self,
        request: Request,
        packet: impl FnOnce(PacketId) -> Packet,
    ) -> Result<PacketId, ReasonCode> {
        let (Request::Subscribe(filters) | Request::Unsubscribe(filters)) = request;
        if filters == 0 {
            return Err(ReasonCode::ProtocolError);
        }
        let packet_id = self.link.session.outbound.reserve_id().ok_or(ReasonCode::QuotaExceeded)?;
        if self.link.writer.packet(packet(packet_id)).is_err() {
            self.link.session.outbound.release_id(packet_id);
            return Err(ReasonCode::PacketTooLarge);
        }
        self.requests.insert(packet_id, request);
        Ok(packet_id)
    }

    /// Starts a re-authentication, with [`ReasonCode::ReAuthenticate`], or goes on with it.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit into a packet that the server takes; nothing is written.
    pub fn authenticate(&mut self, auth: Auth) -> Result<(), EncodeError> {
        self.link.writer.packet(Packet::Auth(Box::new(auth)))
    }

    /// Leaves: write the output and close. In v3.1.1, where DISCONNECT means that all is well, there is nothing to
    /// write with any other reason than [`ReasonCode::Success`].
    pub fn disconnect(&mut self, disconnect: Disconnect) {
        if self.link.writer.terms.version == Version::V311 && disconnect.reason == ReasonCode::Success {
            self.link.writer.bare(PacketType::Disconnect);
        } else {
            self.link.disconnect(disconnect);
        }
    }

    /// When to call [`Connection::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        self.pings.map(|pings| pings.answer_due.unwrap_or(pings.next))
    }

    /// Looks at the time, and sends a PINGREQ when it is due.
    ///
    /// # Errors
    /// [`Violation`] if the server did not answer one: close the connection.
    pub fn tick(&mut self, now: Instant) -> Result<(), Violation> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        if pings.answer_due.is_some_and(|due| now >= due) {
            let reason = ReasonCode::KeepAliveTimeout;
            self.link.close(reason);
            return Err(Violation { reason, rule: "nothing came for half a keep-alive after a PINGREQ" });
        }
        if now >= pings.next {
            pings.next = now + pings.interval;
            pings.answer_due = Some(now + pings.interval / 2);
            self.link.writer.bare(PacketType::PingReq);
        }
        Ok(())
    }

    /// The connection is over: the session, for the next one.
    pub fn into_session(self) -> Session<M> {
        self.link.session
    }
}
