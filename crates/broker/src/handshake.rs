//! From an open connection to a client that was let in, or not.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use tidegate_mqtt::server::{self, Handshake, HandshakeEvent};
use tidegate_mqtt::{ConnAck, Connect, Output, ReasonCode};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use uuid::Uuid;

use crate::access::{Peer, Rights, authenticate};
use crate::broker::{Shared, now};
use crate::config::Limits;
use crate::connection::{Admitted, Transport, farewell};
use crate::core::{Attach, Leave, Load};

/// The largest CONNECT packet in bytes: somebody of whom nothing is known gets no more.
const CONNECT_BYTES_MAX: usize = 512 << 10;

/// A client that was not let in.
struct Refused {
    /// With the CONNACK, if it can be told.
    output: Output,
    why: String,
}

/// Lets a client in. `None`: it was refused, or did not ask in time.
pub(crate) async fn admit(
    shared: &Shared,
    stream: &mut Transport,
    peer: &Peer,
    address: SocketAddr,
) -> Option<Box<Admitted>> {
    let refused = match connect(shared, stream, peer, address).await {
        Ok(admitted) => return Some(Box::new(admitted)),
        Err(refused) => refused,
    };
    tracing::info!(%address, why = refused.why, "connection refused");
    shared.with(|core| core.counters.connections_refused += 1);
    let mut output = refused.output;
    farewell(stream, &mut output).await;
    None
}

async fn connect(
    shared: &Shared,
    stream: &mut Transport,
    peer: &Peer,
    address: SocketAddr,
) -> Result<Admitted, Refused> {
    let limits = &shared.config.limits;
    let mut handshake = Handshake::new(server_limits(limits));
    let mut input = BytesMut::with_capacity(512);
    let asked = match timeout(limits.connect_wait_max, receive(&mut handshake, stream, &mut input)).await {
        Ok(asked) => asked.map_err(|error| error.to_string()),
        Err(_) => Err("it did not send a CONNECT in time".to_owned()),
    };
    let refuse = |handshake: &mut Handshake, reason: ReasonCode| {
        handshake.refuse(ConnAck::new(reason));
        Refused { output: std::mem::take(handshake.output()), why: reason.to_string() }
    };
    let connect = match asked {
        Ok(connect) => connect,
        Err(why) => return Err(Refused { output: std::mem::take(handshake.output()), why }),
    };

    let (client_id, username, rights) =
        identify(shared, &connect, peer).map_err(|reason| refuse(&mut handshake, reason))?;
    let mut connack = handshake.connack();
    if connect.client_id.is_empty() {
        connack.assigned_client_id = Some(client_id.clone());
    }
    let expiry_interval = connack.session_expiry.unwrap_or(connect.session_expiry);
    let mut attach = Attach {
        client_id: client_id.clone(),
        username,
        owner: None,
        address: Some(address),
        clean_start: connect.clean_start,
        expiry_interval,
        will: connect.will,
        load_max: load_max(limits),
        waker: std::task::Waker::noop().clone(),
    };
    let mut demand = None;
    let attaching = poll_fn(|cx| {
        attach.waker.clone_from(cx.waker());
        let (attached, demanded) = shared.with_demand(|core| core.attach(&attach, now()));
        demand = demanded.or(demand);
        attached
    });
    let attached = timeout(limits.connect_wait_max, attaching).await.unwrap_or(Err(ReasonCode::ServerBusy));
    let attached = attached.map_err(|reason| refuse(&mut handshake, reason))?;
    connack.session_present = attached.session_present;
    match handshake.accept(connack) {
        Ok(accepted) => {
            let machine = accepted.begin(attached.flow, now());
            Ok(Admitted { client_id, rights, attachment: attached.attachment, machine, input, demand })
        }
        Err(error) => {
            let leave = Leave { without_will: true, expiry_interval };
            shared.with(|core| {
                core.detach(attached.attachment, attached.flow, Load::default(), leave, now());
            });
            Err(Refused { output: Output::default(), why: error.to_string() })
        }
    }
}

async fn receive(
    handshake: &mut Handshake,
    stream: &mut Transport,
    input: &mut BytesMut,
) -> io::Result<Box<Connect>> {
    loop {
        match handshake.receive(input).map_err(io::Error::other)? {
            Some(HandshakeEvent::Connect(connect)) => return Ok(connect),
            Some(HandshakeEvent::Auth(_) | HandshakeEvent::Disconnect(_)) => {
                return Err(io::Error::other("it gave up"));
            }
            None if input.len() > CONNECT_BYTES_MAX => {
                handshake.refuse(ConnAck::new(ReasonCode::PacketTooLarge));
                return Err(io::Error::other("its CONNECT is too large"));
            }
            None if stream.read_buf(input).await? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}

/// Who the client is, and what it may do.
fn identify(
    shared: &Shared,
    connect: &Connect,
    peer: &Peer,
) -> Result<(ByteString, Option<ByteString>, Rights), ReasonCode> {
    let username = authenticate(&shared.config.authentication, connect, peer)?;
    let client_id = match connect.client_id.is_empty() {
        true => format!("auto-{}", Uuid::new_v4().simple()).into(),
        false => connect.client_id.clone(),
    };
    let rights = Rights::of(shared.config.authorization.as_ref(), &client_id, username.as_deref())
        .ok_or(ReasonCode::NotAuthorized)?;
    if connect.will.as_ref().is_some_and(|will| !rights.may_publish(&will.topic)) {
        return Err(ReasonCode::NotAuthorized);
    }
    Ok((client_id, username, rights))
}

/// How much may wait for a client.
pub(crate) fn load_max(limits: &Limits) -> Load {
    Load { messages: limits.queue_messages_max, bytes: limits.queue_bytes_max, from_store: 0 }
}

fn server_limits(limits: &Limits) -> server::Limits {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    server::Limits {
        receive_max: limits.receive_maximum,
        in_flight_max: limits.inflight_max,
        packet_bytes_max: limits.packet_bytes_max,
        topic_alias_max: limits.topic_alias_max,
        keep_alive_max: limits.keep_alive_max.map_or(0, |max| seconds(max).try_into().unwrap_or(u16::MAX)),
        session_expiry_max: limits.session_expiry_max.map_or(u32::MAX, seconds),
        ..server::Limits::default()
    }
}
