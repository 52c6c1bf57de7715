//! A data flow between two brokers beside a bridge of mosquitto. Measured is the process that bridges, which is a broker
//! as well: tidegate with its local broker, mosquitto with its bridge. The broker at the other end is a mosquitto.

use std::path::Path;

use crate::contest::{Contender, Outcome, Scenario};
use crate::load::{Ends, Load};
use crate::peers::{self, Resources, flow, remote_endpoint};
use crate::process::Server;
use crate::{Brokers, Durability};

/// What `tidegate bench mqtt` publishes to.
const TOPICS: &str = "tidegate-bench/#";

const QOS_1: Load = Load {
    qos: 1,
    publishers: 1,
    fan_out: None,
    messages: 200_000,
    payload_bytes: 256,
    window: 100,
    rate: 0,
    topics: None,
};

#[derive(Clone, Copy)]
enum Direction {
    /// From the other broker to the one that bridges.
    In,
    /// From the one that bridges to the other.
    Out,
}

const SCENARIOS: [(&str, Direction, Load); 5] = [
    ("in, one publisher", Direction::In, QOS_1),
    ("in, four publishers", Direction::In, Load { publishers: 4, ..QOS_1 }),
    ("out, one publisher", Direction::Out, QOS_1),
    ("out, four publishers", Direction::Out, Load { publishers: 4, ..QOS_1 }),
    ("in, steady", Direction::In, Load { publishers: 50, messages: 100_000, rate: 10_000, ..QOS_1 }),
];

pub(crate) fn run(tidegate: &Path, args: &Brokers) -> anyhow::Result<Vec<Outcome>> {
    let chosen = SCENARIOS.into_iter().filter(|(name, ..)| name.contains(&args.contest.only));
    chosen
        .map(|(name, direction, load)| {
            let scenario = Scenario {
                name,
                load: load.scaled(args.contest.messages),
                tidegate: data_flow(tidegate, direction, args.durability)?,
                peer: bridge(direction, args.durability)?,
            };
            scenario.run(tidegate, args.contest.rounds)
        })
        .collect()
}

fn data_flow(tidegate: &Path, direction: Direction, durability: Durability) -> anyhow::Result<Contender> {
    let other = peers::mosquitto(Durability::Memory, "")?;
    let (from, to) = match direction {
        Direction::In => ("remote", "default"),
        Direction::Out => ("default", "remote"),
    };
    let resources = remote_endpoint(other.port) + &flow((from, TOPICS), (to, "${inputTopic}"));
    let server = peers::tidegate_with(tidegate, Resources::Text(resources), durability)?;
    Ok(contender("tidegate", direction, server, other))
}

fn bridge(direction: Direction, durability: Durability) -> anyhow::Result<Contender> {
    let other = peers::mosquitto(Durability::Memory, "")?;
    let direction_word = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let bridge = format!(
        "connection other\naddress 127.0.0.1:{}\nbridge_protocol_version mqttv50\nnotifications false\n\
         topic {TOPICS} {direction_word} 1\n",
        other.port
    );
    let server = peers::mosquitto(durability, &bridge)?;
    Ok(contender("mosquitto", direction, server, other))
}

fn contender(name: &'static str, direction: Direction, server: Server, other: Server) -> Contender {
    let ends = match direction {
        Direction::In => Ends { publish_port: other.port, subscribe_port: server.port },
        Direction::Out => Ends { publish_port: server.port, subscribe_port: other.port },
    };
    Contender { name, server, ends, _beside: vec![other] }
}
