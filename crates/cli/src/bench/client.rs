//! One MQTT v5 connection of the load: bytes in and out in large pieces, packets by tidegate's own codec.

use std::io;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tidegate_model::names::HostPort;
use tidegate_mqtt::{
    Connect, Decoder, Disconnect, PACKET_BYTES_MAX, Packet, QoS, ReasonCode, Subscribe, Subscription,
    Version, encode,
};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

/// Bytes that are read at once, and written before more is made.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;
/// Keep Alive in seconds, unless the broker says otherwise.
const KEEP_ALIVE: u16 = 60;
/// How long a broker may take to accept a connection and to answer CONNECT and SUBSCRIBE.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    /// What is yet to be written.
    pub(crate) output: BytesMut,
    /// QoS 1 and 2 publishes that the broker takes unacknowledged.
    pub(crate) receive_max: u16,
    /// When a PINGREQ is due.
    ping: Interval,
}

impl Client {
    /// Connects with a clean session that ends with the connection.
    ///
    /// # Errors
    /// The connection's, the broker's refusal, or a broker that can't do `qos`.
    pub(crate) async fn connect(broker: &HostPort, id: &str, qos: QoS) -> anyhow::Result<Self> {
        let stream = timeout(ANSWER_MAX, TcpStream::connect((broker.host(), broker.port())))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
            .flatten()
            .with_context(|| format!("can't connect to {broker}"))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            decoder: Decoder::for_client(Version::V5, PACKET_BYTES_MAX),
            input: BytesMut::with_capacity(BUFFER_BYTES),
            output: BytesMut::with_capacity(BUFFER_BYTES),
            receive_max: u16::MAX,
            ping: every(Duration::from_secs(KEEP_ALIVE.into()) / 2),
        };
        let connect = Connect { keep_alive: KEEP_ALIVE, ..Connect::new(Version::V5, id) };
        client.put(&Packet::Connect(Box::new(connect)))?;
        let Packet::ConnAck(ack) = client.answer().await? else {
            bail!("the broker does not answer CONNECT")
        };
        ensure!(!ack.reason.is_failure(), "the broker refuses the connection: {}", ack.reason);
        ensure!(ack.qos_max >= qos, "the broker takes QoS {} at most", ack.qos_max as u8);
        client.receive_max = ack.receive_max.get();
        let keep_alive = match ack.server_keep_alive.unwrap_or(KEEP_ALIVE) {
            0 => KEEP_ALIVE,
            seconds => seconds,
        };
        client.ping = every(Duration::from_secs(keep_alive.into()) / 2);
        Ok(client)
    }

    /// Subscribes.
    ///
    /// # Errors
    /// The connection's, or the broker's refusal.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) -> anyhow::Result<()> {
        self.put(&Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MIN,
            subscriptions: vec![Subscription {
                // what was retained before the run is not of the run
                retain_handling: tidegate_mqtt::RetainHandling::DoNotSend,
                ..Subscription::new(filter, qos)
            }],
            subscription_id: None::<NonZeroU32>,
            user_properties: Vec::new(),
        }))?;
        let Packet::SubAck(ack) = self.answer().await? else { bail!("the broker does not answer SUBSCRIBE") };
        match ack.reasons.as_slice() {
            [granted] if *granted as u8 == qos as u8 => Ok(()),
            [reason] => bail!("the broker answers the subscription to {filter} with {reason}"),
            _ => bail!("the broker answers one subscription with {} reasons", ack.reasons.len()),
        }
    }

    /// The next packet, in time.
    async fn answer(&mut self) -> anyhow::Result<Packet> {
        let answer = async {
            loop {
                if let Some(packet) = self.next()? {
                    return Ok(packet);
                }
                self.progress().await?;
            }
        };
        timeout(ANSWER_MAX, answer).await.context("no answer from the broker")?
    }

    /// Appends a packet to the output.
    pub(crate) fn put(&mut self, packet: &Packet) -> anyhow::Result<()> {
        encode(packet, Version::V5, &mut self.output).context("a packet can't be written")
    }

    /// A packet that has been read.
    ///
    /// # Errors
    /// Bytes that are no packet, or the broker's DISCONNECT.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Packet>> {
        let packet = self
            .decoder
            .decode(&mut self.input)
            .map_err(|e| anyhow::anyhow!("the broker sends nonsense: {e}"))?;
        if let Some(Packet::Disconnect(disconnect)) = &packet {
            bail!("the broker disconnects: {}", disconnect.reason);
        }
        Ok(packet)
    }

    /// Writes and reads what can be written and read now.
    ///
    /// # Errors
    /// The connection's, its end included.
    pub(crate) fn exchange(&mut self) -> anyhow::Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(written) => self.output.advance(written),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e).context("the connection broke"),
            }
        }
        loop {
            self.input.reserve(BUFFER_BYTES);
            let room = self.input.capacity() - self.input.len();
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => bail!("the broker closed the connection"),
                // there may be more, but those who wait for what has come go first
                Ok(read) if read < room || self.input.len() >= BUFFER_BYTES => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e).context("the connection broke"),
            }
        }
    }

    /// Waits until something can be read, or written if there is something to write; then does it. Sends what keeps
    /// the connection alive. Cancel-safe.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub(crate) async fn progress(&mut self) -> anyhow::Result<()> {
        let interest =
            if self.output.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        tokio::select! {
            ready = self.stream.ready(interest) => {
                ready.context("the connection broke")?;
            }
            _ = self.ping.tick() => self.put(&Packet::PingReq)?,
        }
        self.exchange()
    }

    /// Takes leave, as far as it can be done without waiting.
    pub(crate) fn leave(mut self) {
        let bye = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)));
        if self.put(&bye).is_ok() {
            let _ = self.exchange();
        }
    }
}

/// First after `period`, not at once.
fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
