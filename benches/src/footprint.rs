//! What tidegate takes when there is little to do, and how soon it does something.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZeroU16;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use tidegate_core::Properties;
use tidegate_mqtt::{
    Connect, Decoder, PACKET_BYTES_MAX, Packet, Publish, QoS, Subscribe, Subscription, Version, encode,
};

use crate::peers::{self, Resources, flow, remote_endpoint};
use crate::process::{Memory, Server};

/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);

/// Between two messages that are sent until one gets through.
const TICK: Duration = Duration::from_millis(1);

/// How long a message may take that is waited for.
const MESSAGE_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Footprint {
    /// What was running, and its memory at rest, round by round.
    pub(crate) at_rest: Vec<(&'static str, Vec<Memory>)>,
    /// From the start of the process to the first message delivered, round by round.
    pub(crate) first_message: Vec<Duration>,
}

pub(crate) fn run(tidegate: &Path, rounds: u32) -> anyhow::Result<Footprint> {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let alone = (0..rounds).map(|_| at_rest(tidegate, Resources::None));
    let flows = (0..rounds).map(|_| at_rest(tidegate, Resources::Path(quickstart.clone())));
    Ok(Footprint {
        at_rest: vec![
            ("the local broker alone", alone.collect::<Result<_, _>>()?),
            ("examples/quickstart", flows.collect::<Result<_, _>>()?),
        ],
        first_message: (0..rounds).map(|_| first_message(tidegate)).collect::<Result<_, _>>()?,
    })
}

fn at_rest(tidegate: &Path, resources: Resources) -> anyhow::Result<Memory> {
    let (mut command, port, dir) = peers::tidegate(tidegate, resources)?;
    let server = Server::start(&mut command, port, dir)?;
    sleep(SETTLE);
    server.memory()
}

/// tidegate is started with a data flow from a mosquitto to its local broker. Every [`TICK`] a client publishes to the
/// one, and another tries to connect to the other and to subscribe there. The time is from just before the process is
/// made to when the second client has the first message.
fn first_message(tidegate: &Path) -> anyhow::Result<Duration> {
    let remote = peers::mosquitto("")?;
    let mut publisher = Client::connect(remote.port)?;
    let resources = remote_endpoint(remote.port) + &flow(("remote", "first/in"), ("default", "first/out"));
    let (mut command, port, dir) = peers::tidegate(tidegate, Resources::Text(resources))?;
    let started = Instant::now();
    let _server = Server::spawn(&mut command, port, dir)?;
    let mut subscriber = None;
    while started.elapsed() < MESSAGE_MAX {
        publisher.send(Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "first/in".into(),
            packet_id: None,
            message_expiry: None,
            topic_alias: None,
            subscription_ids: Vec::new(),
            properties: Properties::default(),
            payload: Bytes::from_static(b"21.5"),
        }))?;
        match &mut subscriber {
            None => match Client::connect(port) {
                Ok(client) => subscriber.insert(client).subscribe("first/out")?,
                Err(_) => sleep(TICK),
            },
            Some(client) => {
                client.stream.set_read_timeout(Some(TICK))?;
                if client.take()?.is_some() {
                    return Ok(started.elapsed());
                }
            }
        }
    }
    bail!("no message in time")
}

/// An MQTT client that does one thing at a time.
struct Client {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
}

impl Client {
    fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(MESSAGE_MAX))?;
        stream.set_nodelay(true)?;
        let decoder = Decoder::for_client(Version::V5, PACKET_BYTES_MAX);
        let mut client = Self { stream, decoder, input: BytesMut::new() };
        client.send(Packet::Connect(Box::new(Connect::new(Version::V5, "footprint"))))?;
        client.until(|packet| matches!(packet, Packet::ConnAck(_)))?;
        Ok(client)
    }

    fn subscribe(&mut self, filter: &str) -> anyhow::Result<()> {
        self.send(Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MIN,
            subscriptions: vec![Subscription::new(filter, QoS::AtMostOnce)],
            subscription_id: None,
            user_properties: Vec::new(),
        }))?;
        self.until(|packet| matches!(packet, Packet::SubAck(_)))
    }

    fn send(&mut self, packet: Packet) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        encode(&packet, Version::V5, &mut bytes)?;
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Reads up to a packet that is waited for.
    fn until(&mut self, is_it: impl Fn(&Packet) -> bool) -> anyhow::Result<()> {
        while !is_it(&self.take()?.context("no answer in time")?) {}
        Ok(())
    }

    /// The next packet, if it comes before the time to read is up.
    fn take(&mut self) -> anyhow::Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input)? {
                return Ok(Some(packet));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
