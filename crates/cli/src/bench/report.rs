//! What a run has shown. The JSON form is what scripts rely on; `docs/bench.md` documents it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use serde::Serialize;

use super::End;
use super::load::Load;
use super::tally::{Histogram, Received};
use crate::args::BenchMqttArgs;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    url: String,
    subscribe_url: String,
    pattern: String,
    publishers: u16,
    subscribers: u16,
    qos: u8,
    payload: String,
    payload_bytes: usize,
    window: u16,
    rate: u32,
    seed: u64,
    topic: String,
    subscribe_topic: String,
    messages: Messages,
    seconds: PerSide,
    messages_per_second: PerSide,
    latency_microseconds: Option<Latency>,
    timed_out: bool,
    errors: Vec<String>,
}

#[derive(Serialize)]
struct Messages {
    published: u64,
    acknowledged: u64,
    refused: u64,
    expected: u64,
    received: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    foreign: u64,
}

/// From the start to the last acknowledgement, and to the last receipt.
#[derive(Serialize)]
struct PerSide {
    published: f64,
    received: f64,
}

#[derive(Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    fn of(latency: &Histogram) -> Option<Self> {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let percentile = |percent| latency.percentile(percent).map(micros);
        Some(Self {
            p50: percentile(50.0)?,
            p90: percentile(90.0)?,
            p99: percentile(99.0)?,
            max: micros(latency.max()),
        })
    }
}

impl Report {
    pub(crate) fn new(args: &BenchMqttArgs, load: &Load, received: &Received, end: End) -> Self {
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|v| v.get_name().to_owned()).unwrap_or_default()
        };
        let messages = Messages {
            published: count(&load.published),
            acknowledged: count(&load.acknowledged),
            refused: count(&load.refused),
            expected: count(&load.acknowledged) * load.copies(),
            received: count(&load.received),
            lost: load.missing(),
            duplicated: received.duplicated,
            reordered: received.reordered,
            foreign: received.foreign,
        };
        let publishing = match count(&load.publishing_ended) {
            0 => load.now(),
            ended => ended,
        };
        let seconds = PerSide { published: publishing as f64 / 1e9, received: received.ended as f64 / 1e9 };
        let per_second = |n: u64, seconds: f64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        Self {
            url: format!("mqtt://{}", load.broker),
            subscribe_url: format!("mqtt://{}", load.subscribe_broker),
            pattern: name(load.pattern.to_possible_value()),
            publishers: load.publishers,
            subscribers: load.subscribers,
            qos: load.qos as u8,
            payload: name(args.payload.to_possible_value()),
            payload_bytes: load.payloads.bytes(),
            window: load.window,
            rate: args.rate,
            seed: load.seed,
            topic: load.topic.clone(),
            subscribe_topic: load.subscribe_topic.clone(),
            messages_per_second: PerSide {
                published: per_second(messages.acknowledged, seconds.published),
                received: per_second(messages.received, seconds.received),
            },
            messages,
            seconds,
            latency_microseconds: Latency::of(&received.latency),
            timed_out: end.timed_out,
            errors: end.errors,
        }
    }

    /// Whether everything that was promised has come; with QoS 0 nothing is promised.
    pub(crate) fn is_good(&self) -> bool {
        !self.timed_out && self.errors.is_empty() && (self.qos == 0 || self.messages.lost == 0)
    }

    pub(crate) fn json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("all keys are strings");
        text.push('\n');
        text
    }

    pub(crate) fn human(&self) -> String {
        let Self { messages: m, seconds, messages_per_second: rate, .. } = self;
        let many = |n: u16, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        let url = if self.subscribe_url == self.url {
            self.url.clone()
        } else {
            format!("{} -> {}", self.url, self.subscribe_url)
        };
        let mut text = format!(
            "{url}: {}, {} ({}), QoS {}, {} bytes, window {}, seed {}\n",
            many(self.publishers, "publisher"),
            many(self.subscribers, "subscriber"),
            self.pattern,
            self.qos,
            self.payload_bytes,
            self.window,
            self.seed,
        );
        let side =
            |what, n, seconds, rate| format!("{what:<11} {n} in {seconds:.3} s, {rate:.0} messages/s\n");
        text.push_str(&side("published", m.acknowledged, seconds.published, rate.published));
        text.push_str(&side("received", m.received, seconds.received, rate.received));
        if let Some(Latency { p50, p90, p99, max }) = self.latency_microseconds {
            let _ = writeln!(
                text,
                "latency     p50 {}, p90 {}, p99 {}, max {}",
                time(p50),
                time(p90),
                time(p99),
                time(max)
            );
        }
        let _ = writeln!(text, "lost {}, duplicated {}, reordered {}", m.lost, m.duplicated, m.reordered);
        if m.refused > 0 {
            let _ = writeln!(text, "refused by the broker {}", m.refused);
        }
        if m.foreign > 0 {
            let _ = writeln!(text, "of other origin {}", m.foreign);
        }
        if self.timed_out {
            text.push_str("The time was up before everything was published and received.\n");
        }
        for error in &self.errors {
            let _ = writeln!(text, "error: {error}");
        }
        text
    }
}

fn time(microseconds: f64) -> String {
    if microseconds < 1e3 { format!("{microseconds:.0} us") } else { format!("{:.1} ms", microseconds / 1e3) }
}
