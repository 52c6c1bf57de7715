//! What tidegate takes when there is little to do, and how soon it does something.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use tidegate_mqtt::QoS;

use crate::Durability;
use crate::client::{Client, publish};
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
    let remote = peers::mosquitto(Durability::Memory, "")?;
    let mut publisher = Client::connect(remote.port, "footprint")?;
    let resources = remote_endpoint(remote.port) + &flow(("remote", "first/in"), ("default", "first/out"));
    let (mut command, port, dir) = peers::tidegate(tidegate, Resources::Text(resources))?;
    let started = Instant::now();
    let _server = Server::spawn(&mut command, port, dir)?;
    let mut subscriber = None;
    while started.elapsed() < MESSAGE_MAX {
        publisher.send(&publish("first/in", None, &Bytes::from_static(b"21.5")))?;
        match &mut subscriber {
            None => match Client::connect(port, "footprint") {
                Ok(client) => subscriber.insert(client).subscribe("first/out", QoS::AtMostOnce)?,
                Err(_) => sleep(TICK),
            },
            Some(client) => {
                client.set_patience(TICK)?;
                if client.take()?.is_some() {
                    return Ok(started.elapsed());
                }
            }
        }
    }
    bail!("no message in time")
}
