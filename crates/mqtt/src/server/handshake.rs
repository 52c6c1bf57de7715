//! A client's connection up to its CONNACK. Decides nothing: who may come in is the caller's to say.

use std::num::NonZeroU16;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tidegate_core::Secret;

use super::{Connection, Limits};
use crate::decode::Decoder;
use crate::flow::Session;
use crate::link::{Outgoing, check_auth, encode_within};
use crate::packet::*;
use crate::violation::{Violation, protocol};
use crate::{EncodeError, Output, PACKET_BYTES_MAX, ReasonCode};

/// A connection up to its CONNACK.
#[derive(Debug)]
pub struct Handshake {
    limits: Limits,
    decoder: Decoder,
    output: Output,
    asked: Option<Asked>,
}

/// What happens before a connection is accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum HandshakeEvent {
    /// The client asks for a connection. [Accept](Handshake::accept) it, [refuse](Handshake::refuse) it, or go on with
    /// [`Handshake::authenticate`] if it asks for enhanced authentication.
    Connect(Box<Connect>),
    /// The next step of enhanced authentication.
    Auth(Box<Auth>),
    /// The client gave up: close the connection.
    Disconnect(Box<Disconnect>),
}

/// What the CONNECT asked for, as far as the machine needs it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) keep_alive: u16,
    pub(super) session_expiry: u32,
    pub(super) receive_max: NonZeroU16,
    pub(super) packet_bytes_max: usize,
    pub(super) topic_alias_max: u16,
    pub(super) wants_words: bool,
    pub(super) authentication_method: Option<ByteString>,
}

impl Handshake {
    /// A client has opened a connection and said nothing.
    pub fn new(limits: Limits) -> Self {
        let decoder = Decoder::for_server(limits.packet_bytes_max.get() as usize);
        Self { limits, decoder, output: Output::default(), asked: None }
    }

    /// What is to be written to the client.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Reads on. After a CONNECT without enhanced authentication nothing more is taken off `input` until the client is
    /// accepted, although it may have sent more.
    ///
    /// # Errors
    /// [`Violation`]: write the output, which holds the CONNACK that refuses if there is a form for it, and close.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<HandshakeEvent>, Violation> {
        self.try_receive(input).inspect_err(|violation| {
            let in_connack = violation.reason.is_valid_in(PacketType::ConnAck);
            self.refuse(ConnAck::new(if in_connack { violation.reason } else { ReasonCode::ProtocolError }));
        })
    }

    fn try_receive(&mut self, input: &mut BytesMut) -> Result<Option<HandshakeEvent>, Violation> {
        let Some(asked) = &self.asked else {
            let Some(packet) = self.decoder.decode(input)? else { return Ok(None) };
            let Packet::Connect(connect) = packet else {
                return Err(protocol("the first packet of a connection is CONNECT"));
            };
            self.asked = Some(Asked::by(&connect));
            check_connect(&connect, &self.limits)?;
            return Ok(Some(HandshakeEvent::Connect(connect)));
        };
        let Some(method) = &asked.authentication_method else { return Ok(None) };
        match self.decoder.decode(input)? {
            None => Ok(None),
            Some(Packet::Auth(auth)) => {
                check_auth(&auth, Some(method), &[ReasonCode::ContinueAuthentication])?;
                Ok(Some(HandshakeEvent::Auth(auth)))
            }
            Some(Packet::Disconnect(disconnect)) => Ok(Some(HandshakeEvent::Disconnect(disconnect))),
            // MQTT-3.1.2-30.
            Some(_) => Err(protocol("only AUTH and DISCONNECT are allowed during authentication")),
        }
    }

    /// Sends the next step of enhanced authentication.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit into a packet that the client takes; nothing is written.
    pub fn authenticate(&mut self, auth: Auth) -> Result<(), EncodeError> {
        self.write(Packet::Auth(Box::new(auth)))
    }

    /// A CONNACK that accepts, with what the limits and the CONNECT lead to. The caller adds what it knows: whether a
    /// session is present, the client id it assigned, authentication data, and the like.
    pub fn connack(&self) -> ConnAck {
        let Limits { keep_alive_max, session_expiry_max, .. } = self.limits;
        let mut connack = ConnAck::new(ReasonCode::Success);
        connack.receive_max = self.limits.receive_max;
        connack.qos_max = self.limits.qos_max;
        connack.retain_available = self.limits.retain_available;
        connack.packet_bytes_max = Some(self.limits.packet_bytes_max);
        connack.topic_alias_max = self.limits.topic_alias_max;
        connack.wildcard_available = self.limits.wildcard_available;
        connack.subscription_ids_available = self.limits.subscription_ids_available;
        connack.shared_available = self.limits.shared_available;
        if let Some(asked) = &self.asked {
            if asked.session_expiry > session_expiry_max {
                connack.session_expiry = Some(session_expiry_max);
            }
            if keep_alive_max > 0 && !(1..=keep_alive_max).contains(&asked.keep_alive) {
                connack.server_keep_alive = Some(keep_alive_max);
            }
            let method = asked.authentication_method.clone();
            connack.authentication =
                method.map(|method| Authentication { method, data: Secret::new(Bytes::new()) });
        }
        connack
    }

    /// Refuses the client: write the output, which holds the CONNACK if the client's version has a form for it, and
    /// close.
    pub fn refuse(&mut self, connack: ConnAck) {
        // A v3.1.1 client that can't be told the reason is told nothing (MQTT v3.1.1 section 3.2.2.3).
        let _ = self.write(Packet::ConnAck(Box::new(connack)));
    }

    /// Accepts the client with what [`Handshake::connack`] gave.
    ///
    /// # Errors
    /// [`EncodeError`] if the CONNACK does not fit into a packet that the client takes; also before the CONNECT.
    pub fn accept(mut self, connack: ConnAck) -> Result<Accepted, EncodeError> {
        let Some(asked) = self.asked.clone() else { return Err(EncodeError::NoForm) };
        let keep_alive = connack.server_keep_alive.filter(|_| asked.version == Version::V5);
        let keep_alive = keep_alive.unwrap_or(asked.keep_alive);
        let session_expiry = connack.session_expiry.unwrap_or(asked.session_expiry);
        self.write(Packet::ConnAck(Box::new(connack)))?;
        let Self { limits, decoder, output, .. } = self;
        Ok(Accepted { limits, decoder, output, asked, keep_alive, session_expiry })
    }

    /// Whoever does not speak MQTT is told nothing.
    fn write(&mut self, packet: Packet) -> Result<(), EncodeError> {
        let version = self.decoder.version().ok_or(EncodeError::NoForm)?;
        let bytes_max = self.asked.as_ref().map_or(PACKET_BYTES_MAX, |asked| asked.packet_bytes_max);
        encode_within(packet, version, bytes_max, &mut self.output)
    }
}

/// A connection whose CONNACK is in the output, and that lacks its session.
#[derive(Debug)]
pub struct Accepted {
    pub(super) limits: Limits,
    pub(super) decoder: Decoder,
    pub(super) output: Output,
    pub(super) asked: Asked,
    /// Granted, in seconds.
    pub(super) keep_alive: u16,
    /// Granted, in seconds.
    pub(super) session_expiry: u32,
}

impl Accepted {
    /// The connection begins, and what is in flight in its session goes out again.
    pub fn begin<M: Outgoing>(self, session: Session<M>, now: Instant) -> Connection<M> {
        Connection::new(self, session, now)
    }
}

impl Asked {
    fn by(connect: &Connect) -> Self {
        Self {
            version: connect.version,
            keep_alive: connect.keep_alive,
            session_expiry: connect.session_expiry,
            receive_max: connect.receive_max,
            packet_bytes_max: connect.packet_bytes_max.map_or(PACKET_BYTES_MAX, |max| max.get() as usize),
            topic_alias_max: connect.topic_alias_max,
            wants_words: connect.request_problem_information,
            authentication_method: connect.authentication.as_ref().map(|a| a.method.clone()),
        }
    }
}

fn check_connect(connect: &Connect, limits: &Limits) -> Result<(), Violation> {
    // MQTT v3.1.1 section 3.1.3.1. In v5 the server gives such a client a name.
    if connect.version == Version::V311 && connect.client_id.is_empty() && !connect.clean_start {
        let reason = ReasonCode::ClientIdentifierNotValid;
        return Err(Violation { reason, rule: "a session that stays needs a client identifier" });
    }
    connect.will.as_ref().map_or(Ok(()), |will| limits.check_publish(will.qos, will.retain))
}
