//! One connection to a broker: dialled, let in, and kept alive for as long as somebody calls [`Client::wait`], which a
//! task of its own does, so that neither a stalled source nor a stalled sink loses its connection.
//!
//! Knows nothing of records. What to do with a lost connection is the caller's to decide.

use std::future::{pending, poll_fn};
use std::io::{self, IoSlice};
use std::num::NonZeroU16;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::future::BoxFuture;
use tidegate_mqtt::client::{Connection, Event, Handshake, HandshakeEvent, Options};
use tidegate_mqtt::flow::Session;
use tidegate_mqtt::{Auth, ConnAck, Connect, Disconnect, Outgoing, Output, ReasonCode};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::remote::{Bearer, Remote};
use super::{now, verdict};
use crate::dial::{ByteStream, CONNECT_TIMEOUT, Dial};
use crate::failure::Failure;

/// What is set aside for one read.
const READ_BYTES: usize = 64 * 1024;

/// From this many bytes waiting to be written on, nothing more is to be put behind them.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Topics that are sent as a number after the first time, if the server can.
const TOPIC_ALIAS_MAX: u16 = 16;

/// How long a server may take to see that a client leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// After a renewed token could not be had, the old one being good for a while yet.
const TOKEN_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The `CONNACK` of a server of MQTT v3.1.1, which has no properties.
const V3_CONNACK: [u8; 2] = [0x20, 0x02];

/// A connection that is up. `M` is what is kept of a message in flight.
pub(super) struct Client<M> {
    remote: Arc<Remote>,
    wire: Wire,
    connection: Connection<M>,
    /// Ends with a new token.
    renewal: BoxFuture<'static, Bearer>,
}

impl<M: Outgoing> Client<M> {
    /// One attempt to connect with `connect`, to which authentication is added.
    pub(super) async fn connect(remote: &Arc<Remote>, connect: Connect) -> Result<(Self, ConnAck), Failure> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Self::try_connect(remote, connect)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Connection(format!(
                "{} takes longer than {} s to accept the connection; check that an MQTT broker listens there",
                remote.address,
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }

    async fn try_connect(remote: &Arc<Remote>, mut connect: Connect) -> Result<(Self, ConnAck), Failure> {
        let bearer = remote.bearer().await?;
        connect.authentication = bearer.as_ref().map(Bearer::authentication);
        let options = Options {
            connect,
            in_flight_max: NonZeroU16::new(remote.mqtt.inflight_max).unwrap_or(NonZeroU16::MIN),
            topic_alias_max: TOPIC_ALIAS_MAX,
        };
        let mut handshake = Handshake::new(options).map_err(|_| {
            Failure::Configuration("the client identifier or the token is longer than 65535 bytes".into())
        })?;
        let dial = remote.dial().await?;
        let mut wire = Wire { stream: dial.open().await?, dial, input: BytesMut::new(), unflushed: false };
        let connack = loop {
            if wire.input.starts_with(&V3_CONNACK) {
                let connack = ConnAck::new(ReasonCode::UnsupportedProtocolVersion);
                return Err(verdict::connect_refused(&remote.address, &remote.client_id, &connack));
            }
            match handshake.receive(&mut wire.input).map_err(|v| remote.violated(v.rule))? {
                Some(HandshakeEvent::Accepted(connack)) => break connack,
                Some(HandshakeEvent::Refused(connack)) => {
                    return Err(verdict::connect_refused(&remote.address, &remote.client_id, &connack));
                }
                Some(HandshakeEvent::Auth(_)) => return Err(remote.wants_more()),
                None => {
                    wire.exchange(handshake.output()).await.map_err(|failure| match failure {
                        Failure::Connection(message) => Failure::Connection(format!(
                            "{message} before it let the client in; check that the port is one for MQTT {} TLS",
                            if wire.dial.tls.is_some() { "with" } else { "without" }
                        )),
                        failure => failure,
                    })?;
                }
            }
        };
        tracing::debug!(client_id = remote.client_id, server = %remote.address, "connected");
        let (connection, _) = handshake.begin(&connack, Session::new(), now());
        let renewal = renewal(remote.clone(), bearer);
        Ok((Self { remote: remote.clone(), wire, connection, renewal }, *connack))
    }

    /// The machine, to publish, subscribe and acknowledge with. What it writes goes out with the next
    /// [`wait`](Self::wait).
    pub(super) fn connection(&mut self) -> &mut Connection<M> {
        &mut self.connection
    }

    /// Whether so much waits to be written that nothing should be added.
    pub(super) fn is_congested(&mut self) -> bool {
        self.connection.output().len() >= OUTPUT_BYTES_MAX
    }

    /// Whether everything is written and out of our hands.
    pub(super) fn is_drained(&mut self) -> bool {
        self.connection.output().is_empty() && !self.wire.unflushed
    }

    /// The next of what has arrived, if anything has.
    pub(super) fn next_event(&mut self) -> Result<Option<Event<M>>, Failure> {
        loop {
            match self.connection.receive(&mut self.wire.input, now()) {
                Ok(Some(Event::Disconnect(packet))) => {
                    return Err(verdict::disconnected(&self.remote.address, &self.remote.client_id, &packet));
                }
                // Methods with more than one step are not among AIO's.
                Ok(Some(Event::Auth(auth))) if auth.reason != ReasonCode::Success => {
                    return Err(self.remote.wants_more());
                }
                Ok(Some(Event::Auth(_))) => {}
                Ok(event) => return Ok(event),
                Err(violation) => return Err(self.remote.violated(violation.rule)),
            }
        }
    }

    /// Writes what there is to write, and returns when something has arrived, or when everything is written. Sends
    /// pings and renewed tokens in between. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Result<(), Failure> {
        loop {
            let deadline = self.connection.deadline().map(Instant::from_std);
            tokio::select! {
                result = self.wire.exchange(self.connection.output()) => return result,
                bearer = &mut self.renewal => self.renew(bearer)?,
                () = sleep_until(deadline) => {
                    self.connection.tick(now()).map_err(|violation| self.remote.violated(violation.rule))?;
                }
            }
        }
    }

    /// Re-authenticates with a new token (MQTT v5 section 4.12.1).
    fn renew(&mut self, bearer: Bearer) -> Result<(), Failure> {
        let auth = Auth {
            reason: ReasonCode::ReAuthenticate,
            authentication: Some(bearer.authentication()),
            reason_string: None,
            user_properties: Vec::new(),
        };
        self.connection
            .authenticate(auth)
            .map_err(|_| Failure::Configuration("the new token is longer than the server takes".into()))?;
        self.renewal = renewal(self.remote.clone(), Some(bearer));
        Ok(())
    }

    /// Writes what is left to write, says goodbye, and waits until the server has closed the connection: only then has
    /// it seen everything. A client that came back sooner could make it forget what it has not read yet, such as the
    /// last acknowledgements. The session stays, as far as it was to.
    pub(super) async fn leave(mut self) {
        self.connection.disconnect(Disconnect::new(ReasonCode::Success));
        let closed = async {
            while self.wire.exchange(self.connection.output()).await.is_ok() {
                // What still arrives comes again in the next session.
                self.wire.input.clear();
            }
        };
        // A server that does not listen any more needs no goodbye.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, closed).await;
    }
}

impl Remote {
    fn violated(&self, rule: &str) -> Failure {
        Failure::Connection(format!("{} broke the rules of MQTT: {rule}", self.address))
    }

    fn wants_more(&self) -> Failure {
        Failure::Refused(format!("{} wants more than a token to authenticate the client", self.address))
    }
}

/// Ends with a token other than `bearer`'s, when it is time; never without a bearer.
fn renewal(remote: Arc<Remote>, bearer: Option<Bearer>) -> BoxFuture<'static, Bearer> {
    Box::pin(async move {
        let Some(mut bearer) = bearer else { return pending().await };
        let mut after = bearer.token.renew_after;
        loop {
            tokio::time::sleep(after).await;
            match remote.context.tokens.token(&bearer.identity).await {
                Ok(token) if token.value == bearer.token.value => after = token.renew_after,
                Ok(token) => {
                    bearer.token = token;
                    return bearer;
                }
                Err(error) => {
                    tracing::warn!(client_id = remote.client_id, %error, "the token could not be renewed");
                    after = TOKEN_RETRY_AFTER;
                }
            }
        }
    })
}

/// The bytes of a connection.
struct Wire {
    dial: Dial,
    stream: Box<dyn ByteStream>,
    input: BytesMut,
    /// Whether something was written since the last flush.
    unflushed: bool,
}

impl Wire {
    /// Reads and writes at the same time, so that two peers that both write never wait for each other. Ends when
    /// something has arrived, or when everything is written. Cancel-safe.
    async fn exchange(&mut self, output: &mut Output) -> Result<(), Failure> {
        poll_fn(|cx| {
            let written = self.poll_write(cx, output);
            // What arrived comes first, even when nothing can be written any more: it may say why.
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {
                    let message = format!("{} closed the connection", self.dial.address);
                    Poll::Ready(Err(Failure::Connection(message)))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.dial.broken(&error))),
                Poll::Pending => written.map_err(|error| self.dial.broken(&error)),
            }
        })
        .await
    }

    /// Ready once everything is written and flushed, provided there was something.
    fn poll_write(&mut self, cx: &mut Context<'_>, output: &mut Output) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut *self.stream);
        while output.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 16];
            let count = output.chunks_vectored(&mut slices);
            match stream.as_mut().poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    output.advance(written);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.unflushed {
            return Poll::Pending;
        }
        stream.poll_flush(cx).map_ok(|()| self.unflushed = false)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(READ_BYTES);
        pin!(self.stream.read_buf(&mut self.input)).poll(cx)
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
