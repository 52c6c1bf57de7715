//! `tidegate bench mqtt`, and what it counts.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The load of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) qos: u8,
    pub(crate) publishers: u32,
    /// None for as many as publishers, each hearing its own; else each hears everything.
    pub(crate) fan_out: Option<u32>,
    /// Of all publishers together.
    pub(crate) messages: u32,
    pub(crate) payload_bytes: u32,
    /// Unacknowledged publishes of each publisher.
    pub(crate) window: u32,
    /// Of all publishers together, per second; 0 for as fast as they are taken.
    pub(crate) rate: u32,
    /// To publish to and to receive from, `{i}` for the publisher's number; else what the tool chooses.
    pub(crate) topics: Option<(&'static str, &'static str)>,
}

/// The end of a load: where it is published to, and received from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) publish_port: u16,
    pub(crate) subscribe_port: u16,
}

/// What came of it, of `tidegate bench mqtt --output json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Result {
    pub(crate) messages: Messages,
    pub(crate) messages_per_second: PerSide,
    latency_microseconds: Option<Latency>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Messages {
    /// Deliveries, each counted once.
    pub(crate) received: u64,
    pub(crate) lost: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PerSide {
    pub(crate) received: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Result {
    /// In microseconds, from publish to receipt.
    pub(crate) fn latency(&self) -> Latency {
        self.latency_microseconds.unwrap_or(Latency { p50: f64::NAN, p99: f64::NAN })
    }
}

impl Load {
    /// The same with that many percent of the messages.
    pub(crate) fn scaled(self, percent: u32) -> Self {
        let messages = u64::from(self.messages) * u64::from(percent) / 100;
        let messages = u32::try_from(messages).unwrap_or(u32::MAX).max(self.publishers);
        Self { messages, ..self }
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        let who = match self.fan_out {
            Some(subscribers) => format!("{}:{subscribers}, all to all", self.publishers),
            None => format!("{0}:{0}, in pairs", self.publishers),
        };
        let how = match self.rate {
            0 => format!("window {}", self.window),
            rate => format!("{rate} messages/s"),
        };
        format!("{who}, QoS {}, {} bytes, {how}, {} messages", self.qos, self.payload_bytes, self.messages)
    }

    /// What puts the load on.
    pub(crate) fn command(&self, tidegate: &Path, ends: Ends) -> Command {
        let url = |port: u16| format!("mqtt://127.0.0.1:{port}");
        let mut command = Command::new(tidegate);
        command.args(["--output", "json", "bench", "mqtt", "--seed", "1", "--settle", "1s"]);
        let mut option = |name: &str, value: &dyn ToString| {
            command.arg(name).arg(value.to_string());
        };
        option("--url", &url(ends.publish_port));
        option("--subscribe-url", &url(ends.subscribe_port));
        option("--qos", &self.qos);
        option("--publishers", &self.publishers);
        option("--messages", &(self.messages / self.publishers));
        option("--payload-bytes", &self.payload_bytes);
        option("--window", &self.window);
        option("--rate", &self.rate);
        if let Some(subscribers) = self.fan_out {
            option("--pattern", &"fan-out");
            option("--subscribers", &subscribers);
        }
        if let Some((publish, subscribe)) = self.topics {
            option("--topic", &publish);
            option("--subscribe-topic", &subscribe);
        }
        command
    }

    /// Puts the load on and waits for its end.
    ///
    /// # Errors
    /// A message of QoS 1 that was lost, among others.
    pub(crate) fn run(&self, tidegate: &Path, ends: Ends) -> anyhow::Result<Result> {
        let output = self.command(tidegate, ends).output().context("can't run the load")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("the load fails: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_str(&text).with_context(|| format!("the load says {text}"))
    }
}
