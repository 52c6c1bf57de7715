//! The results as Markdown, for `docs/performance.md`, and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use crate::adx;
use crate::contest::{Outcome, Sample, Showing};
use crate::footprint::Footprint;
use crate::kafka;
use crate::lake;
use crate::load::Latency;
use crate::neighbours::Neighbours;
use crate::peers;

/// Where and on what it was measured.
pub(crate) struct Setting {
    tidegate: String,
    mosquitto: String,
    processor: String,
    cores: usize,
    kernel: String,
    /// Of the last minute, before anything was measured.
    load_average: String,
}

impl Setting {
    pub(crate) fn look(tidegate: &Path) -> anyhow::Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let model = processors.lines().find(|line| line.starts_with("model name"));
        let processor = model.and_then(|line| line.split(':').nth(1)).unwrap_or("an unnamed processor");
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            tidegate: peers::version(tidegate)?,
            mosquitto: peers::mosquitto_version()?,
            processor: processor.trim().to_owned(),
            cores: available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

pub(crate) enum Report {
    Contests(Vec<Outcome>),
    Kafka(Vec<kafka::Outcome>),
    Adx(Vec<adx::Outcome>),
    Lake(Vec<lake::Outcome>),
    Footprint(Footprint),
    Neighbours(Neighbours),
}

impl Report {
    pub(crate) fn markdown(&self, setting: &Setting) -> String {
        let Setting { tidegate, mosquitto, processor, cores, kernel, load_average } = setting;
        let mut text = format!(
            "{tidegate}, {mosquitto}; {processor}, {cores} cores, Linux {kernel}; load average before {load_average}\n\n"
        );
        match self {
            Self::Contests(outcomes) => {
                text.push_str(
                    "| Scenario | | Messages per CPU second | Ratio | Messages/s | p50 | p99 | Peak memory |\n\
                     |---|---|---|---|---|---|---|---|\n",
                );
                for outcome in outcomes {
                    let ratio = range(&outcome.ratios(), |ratio| format!("{ratio:.2}"));
                    let name = format!("{}: {}", outcome.name, outcome.load.describe());
                    row(&mut text, &name, &outcome.tidegate, &format!("**{ratio}**"));
                    row(&mut text, "", &outcome.peer, "1");
                }
            }
            Self::Kafka(outcomes) => {
                text.push_str(
                    "| Scenario | | Messages per CPU second | Share of librdkafka's | Messages/s |\n|---|---|---|---|---|\n",
                );
                for outcome in outcomes {
                    let share = range(&outcome.shares(), |share| format!("{share:.2}"));
                    let mut row = |scenario: &str, name: &str, samples: &[kafka::Sample], share: &str| {
                        let of = |number: fn(&kafka::Sample) -> f64| {
                            samples.iter().map(number).collect::<Vec<_>>()
                        };
                        let _ = writeln!(
                            text,
                            "| {scenario} | {name} | {} | {share} | {} |",
                            range(&of(kafka::Sample::per_cpu_second), thousands),
                            thousands(median(&of(kafka::Sample::per_second))),
                        );
                    };
                    row(&outcome.name, "tidegate", &outcome.tidegate, &format!("**{share}**"));
                    row("", "librdkafka alone", &outcome.alone, "1");
                }
            }
            Self::Adx(outcomes) => {
                text.push_str(
                    "| Way in | Rows per CPU second | Rows/s | Resident memory | At its peak |\n|---|---|---|---|---|\n",
                );
                for adx::Outcome { name, samples, memory } in outcomes {
                    let of =
                        |number: fn(&kafka::Sample) -> f64| samples.iter().map(number).collect::<Vec<_>>();
                    let _ = writeln!(
                        text,
                        "| {name} | {} | {} | {} | {} |",
                        range(&of(kafka::Sample::per_cpu_second), thousands),
                        thousands(median(&of(kafka::Sample::per_second))),
                        mebibytes(memory.resident as f64),
                        mebibytes(memory.peak as f64),
                    );
                }
            }
            Self::Lake(outcomes) => {
                text.push_str(
                    "| Scenario | | Rows per CPU second | Share of the ceiling's | Rows/s | Peak memory |\n\
                     |---|---|---|---|---|---|\n",
                );
                for outcome in outcomes {
                    lake_row(&mut text, &outcome.name, "arrow-json and parquet", &outcome.ceiling, "1");
                    for (name, samples) in &outcome.tidegate {
                        let share = range(&outcome.shares(samples), |share| format!("{share:.2}"));
                        lake_row(&mut text, "", name, samples, &format!("**{share}**"));
                    }
                }
            }
            Self::Footprint(Footprint { at_rest, first_message }) => {
                text.push_str("| What | Median (lowest to highest) |\n|---|---|\n");
                for (what, memory) in at_rest {
                    let of = |bytes: fn(&crate::process::Memory) -> u64| {
                        let all: Vec<_> = memory.iter().map(|m| bytes(m) as f64).collect();
                        range(&all, mebibytes)
                    };
                    let _ = writeln!(text, "| Resident memory, {what} | {} |", of(|m| m.resident));
                    let _ = writeln!(text, "| The same at its peak | {} |", of(|m| m.peak));
                }
                let millis: Vec<_> = first_message.iter().map(|t| t.as_secs_f64() * 1e3).collect();
                let first = range(&millis, |millis| format!("{millis:.1} ms"));
                let _ = writeln!(text, "| From start to first message delivered | {first} |");
            }
            Self::Neighbours(Neighbours { alone, beside, noisy }) => {
                text.push_str("| A hundred quiet flows | p50 | p99 |\n|---|---|---|\n");
                let beside_what = format!("beside one with {} messages/s", range(noisy, thousands));
                for (what, latencies) in [("alone", alone), (beside_what.as_str(), beside)] {
                    let of = |part: fn(&Latency) -> f64| {
                        range(&latencies.iter().map(part).collect::<Vec<_>>(), micros)
                    };
                    let _ = writeln!(text, "| {what} | {} | {} |", of(|l| l.p50), of(|l| l.p99));
                }
            }
        }
        text
    }

    pub(crate) fn json(&self, setting: &Setting) -> String {
        let Setting { tidegate, mosquitto, processor, cores, kernel, load_average } = setting;
        let results = match self {
            Self::Contests(outcomes) => outcomes.iter().map(outcome).collect::<Vec<_>>().into(),
            Self::Kafka(outcomes) => outcomes.iter().map(kafka_outcome).collect::<Vec<_>>().into(),
            Self::Adx(outcomes) => {
                let outcome = |adx::Outcome { name, samples, memory }: &adx::Outcome| {
                    json!({
                        "scenario": name, "rounds": rounds(samples), "residentBytes": memory.resident,
                        "peakBytes": memory.peak,
                    })
                };
                outcomes.iter().map(outcome).collect::<Vec<_>>().into()
            }
            Self::Lake(outcomes) => outcomes.iter().map(lake_outcome).collect::<Vec<_>>().into(),
            Self::Footprint(Footprint { at_rest, first_message }) => {
                let at_rest = at_rest.iter().map(|(what, memory)| {
                    let of = |bytes: fn(&crate::process::Memory) -> u64| {
                        memory.iter().map(bytes).collect::<Vec<_>>()
                    };
                    json!({ "what": what, "residentBytes": of(|m| m.resident), "peakBytes": of(|m| m.peak) })
                });
                let first: Vec<_> = first_message.iter().map(|t| t.as_secs_f64() * 1e3).collect();
                json!({ "atRest": at_rest.collect::<Vec<_>>(), "firstMessageMilliseconds": first })
            }
            Self::Neighbours(Neighbours { alone, beside, noisy }) => {
                let latencies = |all: &[Latency]| {
                    all.iter().map(|l| json!({ "p50": l.p50, "p99": l.p99 })).collect::<Vec<_>>()
                };
                json!({
                    "aloneMicroseconds": latencies(alone), "besideMicroseconds": latencies(beside),
                    "noisyMessagesPerSecond": noisy,
                })
            }
        };
        let setting = json!({
            "tidegate": tidegate, "mosquitto": mosquitto, "processor": processor, "cores": cores,
            "kernel": kernel, "loadAverageBefore": load_average,
        });
        format!("{}\n", json!({ "setting": setting, "results": results }))
    }
}

fn row(text: &mut String, scenario: &str, showing: &Showing, ratio: &str) {
    let of = |number: fn(&Sample) -> f64| showing.samples.iter().map(number).collect::<Vec<_>>();
    let _ = writeln!(
        text,
        "| {scenario} | {} | {} | {ratio} | {} | {} | {} | {} |",
        showing.name,
        range(&of(Sample::per_cpu_second), thousands),
        thousands(median(&of(|s| s.per_second))),
        micros(median(&of(|s| s.latency.p50))),
        micros(median(&of(|s| s.latency.p99))),
        mebibytes(showing.peak_resident as f64),
    );
}

fn outcome(outcome: &Outcome) -> Value {
    let showing = |showing: &Showing| {
        let sample = |s: &Sample| {
            json!({
                "delivered": s.delivered, "lost": s.lost, "cpuSeconds": s.cpu.as_secs_f64(),
                "messagesPerCpuSecond": s.per_cpu_second(), "messagesPerSecond": s.per_second,
                "latencyMicroseconds": { "p50": s.latency.p50, "p99": s.latency.p99 },
            })
        };
        let samples: Vec<_> = showing.samples.iter().map(sample).collect();
        json!({ "name": showing.name, "peakResidentBytes": showing.peak_resident, "rounds": samples })
    };
    json!({
        "scenario": outcome.name, "load": outcome.load.describe(), "ratios": outcome.ratios(),
        "tidegate": showing(&outcome.tidegate), "peer": showing(&outcome.peer),
    })
}

fn kafka_outcome(outcome: &kafka::Outcome) -> Value {
    json!({
        "scenario": outcome.name, "shares": outcome.shares(),
        "tidegate": rounds(&outcome.tidegate), "librdkafkaAlone": rounds(&outcome.alone),
    })
}

fn rounds(samples: &[kafka::Sample]) -> Vec<Value> {
    let sample = |s: &kafka::Sample| {
        json!({
            "messages": s.messages, "cpuSeconds": s.cpu.as_secs_f64(), "seconds": s.took.as_secs_f64(),
            "messagesPerCpuSecond": s.per_cpu_second(), "messagesPerSecond": s.per_second(),
        })
    };
    samples.iter().map(sample).collect()
}

fn lake_row(text: &mut String, scenario: &str, name: &str, samples: &[lake::Sample], share: &str) {
    let of = |number: fn(&lake::Sample) -> f64| samples.iter().map(number).collect::<Vec<_>>();
    let peak: Vec<_> = samples.iter().filter_map(|s| s.peak_resident).map(|bytes| bytes as f64).collect();
    let _ = writeln!(
        text,
        "| {scenario} | {name} | {} | {share} | {} | {} |",
        range(&of(lake::Sample::per_cpu_second), thousands),
        thousands(median(&of(|s| s.rows_per_second))),
        if peak.is_empty() { String::new() } else { range(&peak, mebibytes) },
    );
}

fn lake_outcome(outcome: &lake::Outcome) -> Value {
    let rounds = |samples: &[lake::Sample]| {
        let sample = |s: &lake::Sample| {
            json!({
                "rows": s.rows, "cpuSeconds": s.cpu.as_secs_f64(), "rowsPerCpuSecond": s.per_cpu_second(),
                "rowsPerSecond": s.rows_per_second, "peakResidentBytes": s.peak_resident,
            })
        };
        samples.iter().map(sample).collect::<Vec<_>>()
    };
    let ours = outcome.tidegate.iter().map(|(name, samples)| {
        json!({ "name": name, "shares": outcome.shares(samples), "rounds": rounds(samples) })
    });
    json!({
        "scenario": outcome.name, "tidegate": ours.collect::<Vec<_>>(), "ceiling": rounds(&outcome.ceiling),
    })
}

/// The median, and between what.
fn range(values: &[f64], show: impl Fn(f64) -> String) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} ({} to {})", show(median(values)), show(least), show(most))
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Three digits that say something, and thousands apart.
fn thousands(value: f64) -> String {
    let unit = 10f64.powf((value.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn micros(value: f64) -> String {
    if value < 1e3 { format!("{value:.0} µs") } else { format!("{:.1} ms", value / 1e3) }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_what_they_are_good_for() {
        assert_eq!(range(&[3.0, 1.0, 2.0], |x| x.to_string()), "2 (1 to 3)");
        assert_eq!(range(&[4.0, 1.0], |x| x.to_string()), "2.5 (1 to 4)");
        assert_eq!(
            ["7", "123", "1,230", "98,800", "1,820,000"],
            [7.2, 123.4, 1234.0, 98_765.0, 1_818_181.0].map(thousands).each_ref().map(|t| t.as_str())
        );
        assert_eq!([micros(42.4), micros(1234.0), mebibytes(1_572_864.0)], ["42 µs", "1.2 ms", "1.5 MiB"]);
    }
}
