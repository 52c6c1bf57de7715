//! What tidegate takes when there is little to do, and how soon it does something.

use std::io::{Read, Write};
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

/// A mosquitto holds a retained message. tidegate is started with a data flow from there to another topic of the same
/// mosquitto, where a client waits: the time is from just before the process is made to when that client has the message.
fn first_message(tidegate: &Path) -> anyhow::Result<Duration> {
    let broker = peers::mosquitto("")?;
    let mut client = Client::connect(broker.port)?;
    client.send(Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: "first/in".into(),
        packet_id: Some(NonZeroU16::MIN),
        message_expiry: None,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: Properties::default(),
        payload: Bytes::from_static(b"21.5"),
    }))?;
    client.send(Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        subscriptions: vec![Subscription::new("first/out", QoS::AtMostOnce)],
        subscription_id: None,
        user_properties: Vec::new(),
    }))?;
    // mosquitto answers in order: what is subscribed has been published
    client.until(|packet| matches!(packet, Packet::SubAck(_)))?;

    let resources = remote_endpoint(broker.port) + &flow(("remote", "first/in"), ("remote", "first/out"));
    let (mut command, port, dir) = peers::tidegate(tidegate, Resources::Text(resources))?;
    let started = Instant::now();
    let _server = Server::spawn(&mut command, port, dir)?;
    client.until(|packet| matches!(packet, Packet::Publish(_)))?;
    Ok(started.elapsed())
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

    fn send(&mut self, packet: Packet) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        encode(&packet, Version::V5, &mut bytes)?;
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Reads up to a packet that is waited for.
    fn until(&mut self, is_it: impl Fn(&Packet) -> bool) -> anyhow::Result<()> {
        loop {
            while let Some(packet) = self.decoder.decode(&mut self.input)? {
                if is_it(&packet) {
                    return Ok(());
                }
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).context("no message in time")? {
                0 => bail!("the broker closed the connection"),
                read => self.input.extend_from_slice(&buffer[..read]),
            }
        }
    }
}
