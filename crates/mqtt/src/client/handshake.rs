//! The connection to a server up to its CONNACK.

use std::num::NonZeroU16;
use std::time::Instant;

use bytes::BytesMut;

use super::connection::{Connection, Offered};
use crate::decode::Decoder;
use crate::flow::{Session, Unfinished};
use crate::link::{Link, Outgoing, Terms, check_auth};
use crate::packet::*;
use crate::violation::{Violation, protocol};
use crate::{EncodeError, Output, PACKET_BYTES_MAX, ReasonCode, encode};

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The CONNECT to send; the limits in it are kept.
    pub connect: Connect,
    /// How many unanswered publishes are sent to a server that would take more.
    pub in_flight_max: NonZeroU16,
    /// How many topic aliases are used in what is sent to a server that would take more.
    pub topic_alias_max: u16,
}

/// A connection up to its CONNACK.
#[derive(Debug)]
pub struct Handshake {
    options: Options,
    decoder: Decoder,
    output: Output,
}

/// What the server answers.
#[derive(Debug, PartialEq, Eq)]
pub enum HandshakeEvent {
    /// A step of enhanced authentication: answer with [`Handshake::authenticate`], or close.
    Auth(Box<Auth>),
    /// The connection is accepted: go on with [`Handshake::begin`].
    Accepted(Box<ConnAck>),
    /// The connection is refused: close.
    Refused(Box<ConnAck>),
}

impl Handshake {
    /// Asks for a connection: the output holds the CONNECT.
    ///
    /// # Errors
    /// [`EncodeError`] if something in the CONNECT is too long.
    pub fn new(options: Options) -> Result<Self, EncodeError> {
        let Connect { version, packet_bytes_max, .. } = options.connect;
        let bytes_max = packet_bytes_max.map_or(PACKET_BYTES_MAX, |max| max.get() as usize);
        let mut output = Output::default();
        encode(&Packet::Connect(Box::new(options.connect.clone())), version, output.tail())?;
        Ok(Self { options, decoder: Decoder::for_client(version, bytes_max), output })
    }

    /// What is to be written to the server.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Reads on.
    ///
    /// # Errors
    /// [`Violation`]: close the connection.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<HandshakeEvent>, Violation> {
        let connect = &self.options.connect;
        let method = connect.authentication.as_ref().map(|a| &a.method);
        match self.decoder.decode(input)? {
            None => Ok(None),
            Some(Packet::Auth(auth)) => {
                check_auth(&auth, method, &[ReasonCode::ContinueAuthentication])?;
                Ok(Some(HandshakeEvent::Auth(auth)))
            }
            Some(Packet::ConnAck(connack)) if connack.reason.is_failure() => {
                Ok(Some(HandshakeEvent::Refused(connack)))
            }
            Some(Packet::ConnAck(connack)) => {
                if connack.session_present && connect.clean_start {
                    return Err(protocol("a session is present after a clean start"));
                }
                Ok(Some(HandshakeEvent::Accepted(connack)))
            }
            Some(_) => Err(protocol("only AUTH and CONNACK come before the connection is accepted")),
        }
    }

    /// Sends the next step of enhanced authentication.
    ///
    /// # Errors
    /// [`EncodeError`] if it is too long; nothing is written.
    pub fn authenticate(&mut self, auth: Auth) -> Result<(), EncodeError> {
        encode(&Packet::Auth(Box::new(auth)), Version::V5, self.output.tail())
    }

    /// The connection begins. What is in flight in its session goes out again if the server kept the session; if not,
    /// it is handed back, in the order it was sent, as the server may never have seen it.
    pub fn begin<M: Outgoing>(
        self,
        connack: &ConnAck,
        mut session: Session<M>,
        now: Instant,
    ) -> (Connection<M>, Vec<Unfinished<M>>) {
        let Self { options: Options { connect, in_flight_max, topic_alias_max }, decoder, output } = self;
        let mut unfinished = Vec::new();
        if !connack.session_present {
            unfinished = session.outbound.drain();
            session.inbound.clear();
        }
        let terms = Terms {
            version: connect.version,
            // Not held against a server: mosquitto 2.0 sends more than it was told, and would do so again on the next
            // connection.
            receive_max: NonZeroU16::MAX,
            topic_alias_max: connect.topic_alias_max,
            peer_receive_max: connack.receive_max.min(in_flight_max),
            peer_packet_bytes_max: connack
                .packet_bytes_max
                .map_or(PACKET_BYTES_MAX, |max| max.get() as usize),
            peer_topic_alias_max: connack.topic_alias_max.min(topic_alias_max),
            peer_wants_words: true,
            peer_qos_max: connack.qos_max,
            peer_takes_retained: connack.retain_available,
        };
        let offered = Offered {
            wildcards: connack.wildcard_available,
            subscription_ids: connack.subscription_ids_available,
            shared: connack.shared_available,
        };
        let keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
        let method = connect.authentication.map(|a| a.method);
        let link = Link::new(terms, decoder, output, session, now);
        (Connection::new(link, offered, keep_alive, method, now), unfinished)
    }
}
