//! Two servers that do the same in turns.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

use crate::load::{Ends, Latency, Load};
use crate::process::Server;

/// The share of a load that warms up, in percent.
const WARM_UP_PERCENT: u32 = 10;

/// How often a path is tried until it passes everything on, as data flows and bridges connect in their own time.
const TRIES_MAX: u32 = 20;

/// A load, and who is to bear it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    pub(crate) tidegate: Contender,
    pub(crate) peer: Contender,
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// The process that is measured.
    pub(crate) server: Server,
    pub(crate) ends: Ends,
    /// Others that it needs, and that are not measured.
    pub(crate) _beside: Vec<Server>,
}

impl Contender {
    /// A broker by itself.
    pub(crate) fn broker(name: &'static str, server: Server) -> Self {
        let ends = Ends { publish_port: server.port, subscribe_port: server.port };
        Self { name, server, ends, _beside: Vec::new() }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Messages that arrived at a subscriber; with a fan-out, each at each.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// Of the process that is measured, all its threads.
    pub(crate) cpu: Duration,
    /// Delivered, by the clock on the wall.
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
}

impl Sample {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.delivered as f64 / self.cpu.as_secs_f64()
    }
}

/// All runs of one of them.
pub(crate) struct Showing {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
    /// The most memory it had resident, in bytes.
    pub(crate) peak_resident: u64,
}

pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    pub(crate) tidegate: Showing,
    pub(crate) peer: Showing,
}

impl Outcome {
    /// How many times the peer's messages per CPU second tidegate has, round by round.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        let pairs = self.tidegate.samples.iter().zip(&self.peer.samples);
        pairs.map(|(ours, theirs)| ours.per_cpu_second() / theirs.per_cpu_second()).collect()
    }
}

impl Scenario {
    /// Warms both up, then runs them in turns.
    pub(crate) fn run(self, tidegate: &Path, rounds: u32) -> anyhow::Result<Outcome> {
        let Self { name, load, tidegate: ours, peer } = self;
        let (mut our_samples, mut peer_samples) = (Vec::new(), Vec::new());
        for contender in [&ours, &peer] {
            until_connected(tidegate, contender).with_context(|| format!("{name}, {}", contender.name))?;
            sample(tidegate, &load.scaled(WARM_UP_PERCENT), contender)?;
        }
        for _ in 0..rounds {
            our_samples.push(sample(tidegate, &load, &ours)?);
            peer_samples.push(sample(tidegate, &load, &peer)?);
        }
        Ok(Outcome {
            name,
            load,
            tidegate: showing(&ours, our_samples)?,
            peer: showing(&peer, peer_samples)?,
        })
    }
}

fn until_connected(tidegate: &Path, contender: &Contender) -> anyhow::Result<()> {
    let few = Load {
        qos: 1,
        publishers: 1,
        fan_out: None,
        messages: 100,
        payload_bytes: 64,
        window: 10,
        rate: 0,
        topics: None,
    };
    let mut tries = 1;
    while let Err(error) = few.run(tidegate, contender.ends) {
        anyhow::ensure!(tries < TRIES_MAX, "{error:#}");
        tries += 1;
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn sample(tidegate: &Path, load: &Load, contender: &Contender) -> anyhow::Result<Sample> {
    let before = contender.server.cpu()?;
    let result = load.run(tidegate, contender.ends).with_context(|| contender.name)?;
    let cpu = contender.server.cpu()?.saturating_sub(before);
    Ok(Sample {
        delivered: result.messages.received,
        lost: result.messages.lost,
        cpu,
        per_second: result.messages_per_second.received,
        latency: result.latency(),
    })
}

fn showing(contender: &Contender, samples: Vec<Sample>) -> anyhow::Result<Showing> {
    Ok(Showing { name: contender.name, samples, peak_resident: contender.server.memory()?.peak })
}
