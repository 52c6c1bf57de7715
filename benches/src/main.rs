//! Measures tidegate beside mosquitto, librdkafka and arrow-rs, in turns, so that what else the machine does falls on both.
//! `docs/performance.md` says what the numbers mean and what they were.

mod adx;
mod bridge;
mod broker;
mod client;
mod contest;
mod footprint;
mod kafka;
mod lake;
mod load;
mod neighbours;
mod peers;
mod process;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::{Report, Setting};

/// Measure tidegate beside its peers
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The form of the results
    #[arg(long, global = true, default_value = "markdown")]
    output: Form,
    /// The tidegate to measure [default: the release build of this workspace, which is brought up to date]
    #[arg(long, global = true, value_name = "FILE")]
    tidegate: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// The local broker beside mosquitto
    Broker(Brokers),
    /// A data flow between two brokers beside a bridge of mosquitto
    Bridge(Brokers),
    /// A data flow to Kafka, and one from it, beside what librdkafka does alone
    Kafka(Contest),
    /// A data flow to Azure Data Explorer, queued and streaming, against the double of a cluster
    Adx(Contest),
    /// JSON into Delta tables and Parquet files, beside what arrow-json and parquet do alone
    Lake(Contest),
    /// Memory at rest, and the time from the start to the first message delivered
    Footprint {
        /// How often each is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Latency of a hundred quiet data flows, alone and beside one at full load
    Neighbours {
        /// How often each is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// What librdkafka does alone: for `kafka`, which measures it in a process of its own
    #[command(hide = true)]
    Librdkafka(kafka::Alone),
    /// One writer of files alone: for `lake`, which measures it in a process of its own
    #[command(hide = true)]
    Writer(lake::Alone),
}

#[derive(Args)]
struct Contest {
    /// Runs of each, in turns, after one to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only the scenarios whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Messages in percent of what a scenario has: fewer are quicker and less exact
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
}

/// A contest of brokers.
#[derive(Args)]
struct Brokers {
    #[command(flatten)]
    contest: Contest,
    /// Whether both keep on disk what outlives a connection
    #[arg(long, default_value = "disk")]
    durability: Durability,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durability {
    /// Neither writes anything
    Memory,
    /// tidegate syncs before it acknowledges; mosquitto writes its database once a second
    Disk,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Markdown,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!cfg!(debug_assertions), "only a release build is worth measuring: cargo run --release");
    let cli = Cli::parse();
    match &cli.command {
        Command::Librdkafka(args) => return args.run().map(|()| ExitCode::SUCCESS),
        Command::Writer(args) => return args.run().map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let tidegate = match cli.tidegate {
        Some(path) => path,
        None => peers::build_tidegate()?,
    };
    let setting = Setting::look(&tidegate)?;
    let report = match &cli.command {
        Command::Broker(args) => Report::Contests(broker::run(&tidegate, args)?),
        Command::Bridge(args) => Report::Contests(bridge::run(&tidegate, args)?),
        Command::Kafka(args) => Report::Kafka(kafka::run(&tidegate, args)?),
        Command::Adx(args) => Report::Adx(adx::run(&tidegate, args)?),
        Command::Neighbours { rounds } => Report::Neighbours(neighbours::run(&tidegate, *rounds)?),
        Command::Lake(args) => Report::Lake(lake::run(&tidegate, args)?),
        Command::Librdkafka(_) | Command::Writer(_) => unreachable!("it has run above"),
        Command::Footprint { rounds } => Report::Footprint(footprint::run(&tidegate, *rounds)?),
    };
    let text = match cli.output {
        Form::Markdown => report.markdown(&setting),
        Form::Json => report.json(&setting),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
