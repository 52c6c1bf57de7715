//! A hundred quiet data flows, alone and beside one at full load, all in one tidegate: what the noisy one does to the
//! others.

use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

use crate::Durability;
use crate::load::{Ends, Latency, Load, Result};
use crate::peers::{self, Resources, flow};

const QUIET_FLOWS: u32 = 100;

const QUIET: Load = Load {
    qos: 1,
    publishers: QUIET_FLOWS,
    fan_out: None,
    messages: 10_000,
    payload_bytes: 256,
    window: 10,
    rate: 1_000,
    topics: Some(("quiet/{i}/in", "quiet/{i}/out")),
};

/// More messages than pass in [`NOISY_LASTS`].
const NOISY: Load = Load {
    publishers: 1,
    messages: 10_000_000,
    window: 100,
    rate: 0,
    topics: Some(("noisy/in", "noisy/out")),
    ..QUIET
};

/// How long the noisy load takes to be at full speed, and how long it lasts: longer than the quiet one.
const NOISY_STARTS: Duration = Duration::from_secs(2);
const NOISY_LASTS: &str = "15s";

pub(crate) struct Neighbours {
    /// Of the quiet flows alone, round by round.
    pub(crate) alone: Vec<Latency>,
    /// Of the quiet flows beside the noisy one.
    pub(crate) beside: Vec<Latency>,
    /// Messages per second of the noisy one.
    pub(crate) noisy: Vec<f64>,
}

pub(crate) fn run(tidegate: &Path, rounds: u32) -> anyhow::Result<Neighbours> {
    let named = |name: &str, from: &str, to: &str| {
        flow(("default", from), ("default", to)).replace("name: pass-on", &format!("name: {name}"))
    };
    let mut resources = named("noisy", "noisy/in", "noisy/out");
    for i in 0..QUIET_FLOWS {
        resources += &named(&format!("quiet-{i}"), &format!("quiet/{i}/in"), &format!("quiet/{i}/out"));
    }
    let server = peers::tidegate_with(tidegate, Resources::Text(resources), Durability::Disk)?;
    let ends = Ends { publish_port: server.port, subscribe_port: server.port };
    // one to warm up
    QUIET.run(tidegate, ends)?;
    let mut measured = Neighbours { alone: vec![], beside: vec![], noisy: vec![] };
    for _ in 0..rounds {
        measured.alone.push(QUIET.run(tidegate, ends)?.latency());
        let noisy = NOISY
            .command(tidegate, ends)
            .args(["--timeout", NOISY_LASTS, "--threads", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("can't run the load")?;
        sleep(NOISY_STARTS);
        let beside = QUIET.run(tidegate, ends);
        // it is cut short, which it says with its exit code
        let said = noisy.wait_with_output()?.stdout;
        measured.beside.push(beside?.latency());
        let noisy: Result = serde_json::from_slice(&said).context("the noisy load says nothing")?;
        measured.noisy.push(noisy.messages_per_second.received);
    }
    Ok(measured)
}
