//! An MQTT client that does one thing at a time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use tidegate_core::Properties;
use tidegate_mqtt::{
    Ack, Connect, Decoder, PACKET_BYTES_MAX, Packet, Publish, QoS, ReasonCode, Subscribe, Subscription,
    Version, encode,
};

/// How long an answer, or a message, may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
}

/// A PUBLISH; with a packet identifier of QoS 1.
pub(crate) fn publish(topic: &str, packet_id: Option<NonZeroU16>, payload: &Bytes) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
        retain: false,
        topic: topic.into(),
        packet_id,
        message_expiry: None,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: Properties::default(),
        payload: payload.clone(),
    })
}

impl Client {
    pub(crate) fn connect(port: u16, client_id: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        let decoder = Decoder::for_client(Version::V5, PACKET_BYTES_MAX);
        let mut client = Self { stream, decoder, input: BytesMut::new(), output: BytesMut::new() };
        client.send(&Packet::Connect(Box::new(Connect::new(Version::V5, client_id))))?;
        client.until(|packet| matches!(packet, Packet::ConnAck(_)))?;
        Ok(client)
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> anyhow::Result<()> {
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MIN,
            subscriptions: vec![Subscription::new(filter, qos)],
            subscription_id: None,
            user_properties: Vec::new(),
        }))?;
        self.until(|packet| matches!(packet, Packet::SubAck(_)))
    }

    /// How long [`Client::take`] waits.
    pub(crate) fn set_patience(&mut self, patience: Duration) -> anyhow::Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    pub(crate) fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        encode(packet, Version::V5, &mut self.output)?;
        self.flush()
    }

    /// Publishes so many messages with QoS 1, and returns when all are acknowledged. Payloads take turns.
    pub(crate) fn publish_all(
        &mut self,
        topic: &str,
        payloads: &[Bytes],
        messages: u64,
        window: u16,
    ) -> anyhow::Result<()> {
        let (mut sent, mut acknowledged) = (0, 0);
        let mut payloads = payloads.iter().cycle();
        while acknowledged < messages {
            while sent < messages && sent - acknowledged < u64::from(window) {
                let id = u16::try_from(sent % u64::from(u16::MAX))? + 1;
                let payload = payloads.next().context("there is no payload")?;
                encode(&publish(topic, NonZeroU16::new(id), payload), Version::V5, &mut self.output)?;
                sent += 1;
            }
            self.flush()?;
            let mut next = Some(self.take()?.context("no acknowledgement in time")?);
            while let Some(packet) = next {
                let Packet::PubAck(ack) = packet else { bail!("not a PUBACK") };
                ensure!(!ack.reason.is_failure(), "a message was refused: {:?}", ack.reason);
                acknowledged += 1;
                next = self.decoder.decode(&mut self.input)?;
            }
        }
        Ok(())
    }

    /// Takes so many messages of QoS 1.
    pub(crate) fn receive_all(&mut self, messages: u64) -> anyhow::Result<()> {
        let mut received = 0;
        while received < messages {
            let mut next = Some(self.take()?.with_context(|| format!("only {received} messages came"))?);
            while let Some(packet) = next {
                let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet else {
                    bail!("not of QoS 1")
                };
                encode(&Packet::PubAck(Ack::new(id, ReasonCode::Success)), Version::V5, &mut self.output)?;
                received += 1;
                next = self.decoder.decode(&mut self.input)?;
            }
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Reads up to a packet that is waited for.
    fn until(&mut self, is_it: impl Fn(&Packet) -> bool) -> anyhow::Result<()> {
        while !is_it(&self.take()?.context("no answer in time")?) {}
        Ok(())
    }

    /// The next packet, if it comes before the time to read is up.
    pub(crate) fn take(&mut self) -> anyhow::Result<Option<Packet>> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input)? {
                return Ok(Some(packet));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
