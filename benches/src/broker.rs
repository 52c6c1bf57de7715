//! The local broker beside mosquitto.

use std::path::Path;

use crate::Brokers;
use crate::contest::{Contender, Outcome, Scenario};
use crate::load::Load;
use crate::peers::{self, Resources};

const QOS_1: Load = Load {
    qos: 1,
    publishers: 1,
    fan_out: None,
    messages: 1_000_000,
    payload_bytes: 256,
    window: 100,
    rate: 0,
    topics: None,
};

const SCENARIOS: [(&str, Load); 6] = [
    ("QoS 1, one publisher", QOS_1),
    ("QoS 1, four publishers", Load { publishers: 4, ..QOS_1 }),
    // Nobody's window is full: what comes in one read is one message, and batches save nothing.
    ("QoS 1, steady", Load { publishers: 50, messages: 200_000, rate: 20_000, ..QOS_1 }),
    ("QoS 1, fan-out", Load { fan_out: Some(20), messages: 100_000, ..QOS_1 }),
    ("QoS 0, one publisher", Load { qos: 0, ..QOS_1 }),
    ("QoS 0, fan-out", Load { qos: 0, fan_out: Some(20), messages: 100_000, ..QOS_1 }),
];

pub(crate) fn run(tidegate: &Path, args: &Brokers) -> anyhow::Result<Vec<Outcome>> {
    let chosen = SCENARIOS.into_iter().filter(|(name, _)| name.contains(&args.contest.only));
    chosen
        .map(|(name, load)| {
            let scenario = Scenario {
                name,
                load: load.scaled(args.contest.messages),
                tidegate: Contender::broker(
                    "tidegate",
                    peers::tidegate_with(tidegate, Resources::None, args.durability)?,
                ),
                peer: Contender::broker("mosquitto", peers::mosquitto(args.durability, "")?),
            };
            scenario.run(tidegate, args.contest.rounds)
        })
        .collect()
}
