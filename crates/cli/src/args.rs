//! The command line as clap reads it. What an argument does is said here once: `--help`, the shell completions and
//! `docs/cli.md` come from it.

mod client;
mod offline;
mod resources;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum};
use tidegate_model::names::HostPort;
use tidegate_model::plan;
use tidegate_model::{Kind, LoadOptions};
use tidegate_runtime::SPOOL_BYTES_MIN;
use tidegate_server::InstanceOf;

pub(crate) use self::client::{DeadLetters, FlowArgs, Schema, SchemaId, State, StateSetArgs};
pub(crate) use self::offline::{
    GenerateArgs, GenerateFormat, LineFormat, Nullable, SchemaFile, TestArgs, TransformArgs,
};

pub(crate) use self::resources::{
    ApplyArgs, DeleteArgs, DescribeArgs, DiffArgs, DryRun, FileArgs, GetArgs, GetForm, Subject, Target,
};

/// Data flows of Azure IoT Operations, standalone: one binary, no Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    after_help = "Exit codes: 0 done; 1 the input was judged and found wanting; 2 wrong usage, or something can't be \
                  read or reached; 70 an internal error."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run data flows until SIGINT or SIGTERM, then drain and exit
    ///
    /// With PATH those of the files; without, those that were applied to the data directory, and `tidegate apply`,
    /// `delete` and the API change them while they run.
    Run(Box<RunArgs>),
    /// Judge resources without connecting to anything
    Check(CheckArgs),
    /// Write resources down in another form, and lose nothing
    ///
    /// Templates are evaluated: what comes out has values, not parameters. Comments are kept in YAML and Bicep.
    Convert(ConvertArgs),
    /// Run the transformation of a data flow: messages on standard input, results on standard output
    Transform(TransformArgs),
    /// Run the test cases written beside data flows
    Test(TestArgs),
    /// Say what a diagnostic code means and what to do about it
    Explain(ExplainArgs),
    /// List resources of an instance, and how they are
    Get(GetArgs),
    /// Say all there is to say about resources of an instance
    Describe(DescribeArgs),
    /// Make an instance run what manifests say: all of them, or none if there is an error
    Apply(ApplyArgs),
    /// Delete resources from an instance: all of them, or none
    Delete(DeleteArgs),
    /// Show what `apply` would change; exit code 1 if anything
    Diff(DiffArgs),
    /// Watch the messages of a running data flow, without disturbing it
    Tap(TapArgs),
    /// Watch the rates, troubles and counts of all data flows
    Top(TopArgs),
    /// Look at, replay and drop the messages a data flow could not process
    Dlq {
        #[command(subcommand)]
        what: DeadLetters,
    },
    /// Read and write the state store
    State {
        #[command(subcommand)]
        what: State,
    },
    /// Make, list and add message schemas
    Schema {
        #[command(subcommand)]
        what: Schema,
    },
    /// Look for what stands between this machine and its data flows; exit code 1 if anything
    ///
    /// One line for each thing, with the mend: the data directory, disk, clock and ports; and for each endpoint of the
    /// data flows its name, address, TLS, credentials, and topic, table or folder. Nothing is published, consumed or left
    /// behind. Without PATH the resources are those that were applied.
    Doctor(DoctorArgs),
    /// Measure throughput, latency and loss with a reproducible load
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What any command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The folder that holds everything durable
    #[arg(long, global = true, value_name = "DIR", default_value = "./tidegate-data")]
    #[arg(env = "TIDEGATE_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: PathBuf,
    /// The running instance that client commands talk to
    #[arg(long, global = true, value_name = "ADDR", default_value = "http://127.0.0.1:9464")]
    #[arg(env = "TIDEGATE_API", hide_env_values = true)]
    pub(crate) api: String,
    /// A file with the API's token: `run` lets in whoever sends it and nobody else, client commands send it
    #[arg(long, global = true, value_name = "FILE", env = "TIDEGATE_API_TOKEN_FILE", hide_env_values = true)]
    pub(crate) api_token_file: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, global = true, value_name = "FORM", default_value = "human")]
    pub(crate) output: Form,
    /// Whether to use colour; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// What to log, such as `warn,tidegate_broker=debug`; wins over -v and -q
    #[arg(long, global = true, value_name = "FILTER", env = "TIDEGATE_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// The form of the log
    #[arg(long, global = true, value_name = "FORM", default_value = "human")]
    pub(crate) log_format: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Human,
    Json,
}

/// Which resources, and how they are read.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// Files, folders (read recursively) or `-` for standard input
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The namespace of resources that name none
    #[arg(long, value_name = "NAMESPACE", default_value = "azure-iot-operations")]
    pub(crate) namespace: String,
    /// What a JSON body for `az iot ops` is, such as Dataflow, where its fields don't tell
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub(crate) kind: Option<Kind>,
    /// What it is called; otherwise it is called as its file
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The profile of a data flow in JSON whose name doesn't say it
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// What a filter expression that is true does to the message
    #[arg(long, value_name = "POLARITY", default_value = "drop-when-true")]
    pub(crate) filter_semantics: FilterSemantics,
    /// A value for a parameter of Bicep files and ARM templates; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_param)]
    pub(crate) params: Vec<(String, String)>,
    /// A file with such values: .bicepparam, or JSON as `az deployment` takes it; --param counts more
    #[arg(long = "param-file", value_name = "FILE")]
    pub(crate) param_files: Vec<PathBuf>,
}

impl LoadArgs {
    /// Those of files and parameters, all else as usual.
    pub(crate) fn of_files(args: &FileArgs) -> Self {
        Self {
            paths: args.paths.clone(),
            namespace: LoadOptions::default().namespace,
            kind: None,
            name: None,
            profile: None,
            filter_semantics: FilterSemantics::DropWhenTrue,
            params: args.params.clone(),
            param_files: args.param_files.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilterSemantics {
    /// It drops the message, as AIO's documentation has said since March 2026
    DropWhenTrue,
    /// It lets the message pass, as before
    PassWhenTrue,
}

impl From<FilterSemantics> for plan::FilterSemantics {
    fn from(semantics: FilterSemantics) -> Self {
        match semantics {
            FilterSemantics::DropWhenTrue => plan::FilterSemantics::DropWhenTrue,
            FilterSemantics::PassWhenTrue => plan::FilterSemantics::PassWhenTrue,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Apply the files anew when they change; while they have errors, what ran before goes on
    #[arg(long, requires = "paths")]
    pub(crate) watch: bool,
    /// Who answers for the host `aio-broker`: `embedded`, mqtt://HOST:PORT or mqtts://HOST:PORT
    #[arg(long, value_name = "BROKER", default_value = "embedded", value_parser = parse_local_broker)]
    pub(crate) broker: LocalBroker,
    /// Where the embedded broker listens for MQTT [default: 127.0.0.1:1883]; may be given several times
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen)]
    pub(crate) mqtt_listen: Vec<SocketAddr>,
    /// Where it listens for MQTT over TLS; may be given several times
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen, requires = "tls_cert")]
    pub(crate) mqtts_listen: Vec<SocketAddr>,
    /// Where it listens for MQTT over WebSocket; may be given several times
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen)]
    pub(crate) ws_listen: Vec<SocketAddr>,
    /// The certificate chain of --mqtts-listen, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates, PEM, that vouch for client certificates; without it clients need none
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Let clients without credentials in from other machines too
    #[arg(long)]
    pub(crate) allow_anonymous: bool,
    /// Where the embedded broker keeps what is to outlive a connection: what its acknowledgement promises
    #[arg(long, value_name = "WHERE", default_value = "disk")]
    pub(crate) durability: Durability,
    /// Where the API, the metrics and the health checks listen
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen, default_value = "127.0.0.1:9464")]
    pub(crate) http_listen: SocketAddr,
    /// Secrets as files, DIR/SECRET/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// The folder that stands for a PersistentVolumeClaim [default: volumes/NAME in the data directory]; may be given
    /// several times
    #[arg(long = "volume", value_name = "NAME=DIR", value_parser = parse_volume)]
    pub(crate) volumes: Vec<(String, PathBuf)>,
    /// How long messages for local storage are gathered, at most, before a file is written
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s")]
    pub(crate) local_storage_latency: Duration,
    /// How Parquet files are compressed
    #[arg(long, value_name = "CODEC", default_value = "snappy")]
    pub(crate) parquet_compression: Compression,
    /// Do as somebody else does, where tidegate otherwise does it differently
    #[arg(long, value_name = "WHOM")]
    pub(crate) compat: Option<Compat>,
    /// What becomes of messages that can't be processed
    #[arg(long, value_name = "WHAT", default_value = "keep")]
    pub(crate) dlq: Dlq,
    /// How long a stop waits for what is under way
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s")]
    pub(crate) drain_timeout: Duration,
    /// How many threads carry messages [default: half the processors, at least one]
    ///
    /// One costs least for each message: messages are handed over within it. More help where one is not enough.
    /// Clients of Kafka have threads of their own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Run one of N instances of every data flow, I from 0 to N-1; the others run elsewhere, each with its own --data-dir
    #[arg(long, value_name = "I/N", value_parser = parse_instance)]
    pub(crate) instance: Option<InstanceOf>,
    /// Most bytes on disk of each spool
    #[arg(long, value_name = "SIZE", value_parser = parse_spool_size, default_value = "1GiB")]
    pub(crate) spool_bytes_max: u64,
    /// Most messages a second that leave each spool, so that a destination that comes back is not flooded
    #[arg(long, value_name = "N")]
    pub(crate) spool_drain_rate: Option<NonZeroU32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalBroker {
    /// A broker in this process.
    Embedded,
    /// Another one.
    Remote { address: HostPort, tls: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// On synced disk: sessions and their messages, subscriptions and retained messages outlive the process
    Disk,
    /// In memory: they end with the process
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dlq {
    /// They go to the flow's dead letters
    Keep,
    /// They are dropped, as AIO does
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// As AIO's are
    Snappy,
    /// About half the size, for little more work
    Zstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// As Azure IoT Operations: a message that lacks what must not be null keeps all that would be in one file with it out
    /// of storage, not just itself
    Aio,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// References that the given files can't resolve are errors, as they are to `run`
    #[arg(long)]
    pub(crate) strict: bool,
    /// What the messages of a data flow look like: a payload, or one on each line of a file that ends in .jsonl. What
    /// the flow makes of them is held against the schema of its destination. May be given several times
    #[arg(long, value_name = "FLOW=FILE", value_parser = offline::parse_sample)]
    pub(crate) sample: Vec<(String, PathBuf)>,
}

#[derive(Args, Debug)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// As PATH, for the habit
    #[arg(short = 'f', long = "filename", value_name = "PATH", hide = true)]
    pub(crate) more_paths: Vec<PathBuf>,
    /// The form
    #[arg(short = 'o', long, value_name = "FORM")]
    pub(crate) to: ToForm,
    /// Write files into this folder, which is made; `cli` makes one for each resource
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,
    /// Leave out what the form has no words for, instead of refusing
    #[arg(long)]
    pub(crate) partial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToForm {
    /// Kubernetes manifests
    Yaml,
    /// A Bicep file
    Bicep,
    /// An ARM template
    Arm,
    /// Files for `az iot ops ... --config-file`
    Cli,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Who answers for the host `aio-broker`: `embedded`, mqtt://HOST:PORT or mqtts://HOST:PORT
    #[arg(long, value_name = "BROKER", default_value = "embedded", value_parser = parse_local_broker)]
    pub(crate) broker: LocalBroker,
    /// Where the embedded broker is to listen [default: 127.0.0.1:1883]; may be given several times
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen)]
    pub(crate) mqtt_listen: Vec<SocketAddr>,
    /// Where API, metrics and health checks are to listen
    #[arg(long, value_name = "IP:PORT", value_parser = parse_listen, default_value = "127.0.0.1:9464")]
    pub(crate) http_listen: SocketAddr,
    /// Secrets as files, DIR/SECRET/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// The folder that stands for a PersistentVolumeClaim [default: volumes/NAME in the data directory]; may be given
    /// several times
    #[arg(long = "volume", value_name = "NAME=DIR", value_parser = parse_volume)]
    pub(crate) volumes: Vec<(String, PathBuf)>,
    /// As --output
    #[arg(short = 'o', value_name = "FORM")]
    pub(crate) form: Option<Form>,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A code such as TG0110; without it, all codes are listed
    pub(crate) code: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct TapArgs {
    /// The data flow's name
    pub(crate) flow: String,
    /// Where to look; without it, everywhere
    #[arg(long)]
    pub(crate) stage: Option<Stage>,
    /// The namespace, if the name is in several
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Stop after that many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// As the source handed it over
    Source,
    /// After enrich, filter and map
    Transformed,
    /// As the destination took it
    Destination,
    /// Dropped by a filter
    Filtered,
    /// Could not be processed, or refused by the destination
    DeadLettered,
}

#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Print one table and exit, as it is without a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// The time between two looks, which rates are taken over
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1s")]
    pub(crate) interval: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Load on an MQTT broker, or through a data flow
    Mqtt(BenchMqttArgs),
}

#[derive(Args, Debug)]
pub(crate) struct BenchMqttArgs {
    /// The broker
    #[arg(long, default_value = "mqtt://127.0.0.1:1883", value_parser = parse_mqtt)]
    pub(crate) url: HostPort,
    /// Clients that publish
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) publishers: u16,
    /// Clients that subscribe [default: as many as publishers with `pairs`, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) subscribers: Option<u16>,
    /// Who hears whom
    #[arg(long, default_value = "pairs")]
    pub(crate) pattern: Pattern,
    /// Messages of each publisher
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) messages: u32,
    /// What the messages hold
    #[arg(long, default_value = "size")]
    pub(crate) payload: PayloadShape,
    /// The length of a payload; `thermostat` is padded to it
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) payload_bytes: usize,
    /// Quality of service, on both sides
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Publishes that a publisher may have unacknowledged
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,
    /// Messages per second of all publishers together; 0 for as fast as they are taken
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rate: u32,
    /// What the payloads are made from [default: another one each time, which the report names]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The topic to publish to; {i} is the publisher's number, from 0
    #[arg(long, default_value = "tidegate-bench/{i}")]
    pub(crate) topic: String,
    /// The broker to receive from, where a data flow lies between two [default: --url]
    #[arg(long, value_name = "URL", value_parser = parse_mqtt)]
    pub(crate) subscribe_url: Option<HostPort>,
    /// The topic to receive from, where a data flow lies between [default: --topic]
    #[arg(long, value_name = "TOPIC")]
    pub(crate) subscribe_topic: Option<String>,
    /// How long nothing may arrive, once all is published, before what is missing counts as lost
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "5s")]
    pub(crate) settle: Duration,
    /// How long the whole run may take
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "5m")]
    pub(crate) timeout: Duration,
    /// Threads for the clients [default: one for each core, at most one for each client]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// Each publisher has a subscriber of its own
    Pairs,
    /// The subscribers share all messages between them
    FanIn,
    /// Every subscriber gets every message
    FanOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PayloadShape {
    /// Text of --payload-bytes
    Size,
    /// JSON as an AIO asset publishes it
    Thermostat,
}

impl Cli {
    /// Reads the arguments of this process; says what is wrong with them, and exits, as clap does.
    pub(crate) fn read() -> Self {
        let cli = Self::parse();
        if let Err(error) = cli.check() {
            error.exit();
        }
        cli
    }

    /// What clap can't be told about single arguments.
    fn check(&self) -> Result<(), clap::Error> {
        use clap::error::ErrorKind;
        let fail = |kind, message: &str| Err(Cli::command().error(kind, message));
        match &self.command {
            Command::Run(args) => {
                let listeners = [&args.mqtt_listen, &args.mqtts_listen, &args.ws_listen];
                if args.broker != LocalBroker::Embedded && listeners.iter().any(|l| !l.is_empty()) {
                    let message = "--mqtt-listen, --mqtts-listen and --ws-listen are for `--broker embedded`";
                    return fail(ErrorKind::ArgumentConflict, message);
                }
            }
            Command::Check(args) if args.load.paths.is_empty() => {
                return fail(ErrorKind::MissingRequiredArgument, "which files? `tidegate check PATH...`");
            }
            Command::Convert(args) if args.load.paths.is_empty() && args.more_paths.is_empty() => {
                let message = "which files? `tidegate convert PATH... --to FORM`";
                return fail(ErrorKind::MissingRequiredArgument, message);
            }
            Command::Dlq { what: DeadLetters::Drop { ids, all: false, .. } } if ids.is_empty() => {
                return fail(ErrorKind::MissingRequiredArgument, "which ones? Name them, or say --all");
            }
            Command::Transform(args) if args.load.paths.is_empty() => {
                return fail(
                    ErrorKind::MissingRequiredArgument,
                    "which data flow? `tidegate transform PATH`",
                );
            }
            Command::Transform(args) if args.load.paths.iter().any(|path| path.as_os_str() == "-") => {
                return fail(ErrorKind::ArgumentConflict, "standard input is for the messages: give files");
            }
            Command::Bench { what: Bench::Mqtt(args) }
                if args.pattern == Pattern::Pairs
                    && args.subscribers.is_some_and(|n| n != args.publishers) =>
            {
                let message = "with `--pattern pairs` there are as many subscribers as publishers";
                return fail(ErrorKind::ArgumentConflict, message);
            }
            _ => {}
        }
        Ok(())
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:1883")
}

fn parse_instance(text: &str) -> Result<InstanceOf, String> {
    let form = || "write I/N, such as 0/3, 1/3 and 2/3 for three of them".to_owned();
    let (index, count) = text.split_once('/').ok_or_else(form)?;
    let index = index.parse().map_err(|_| form())?;
    let count = count.parse().map_err(|_| form())?;
    if count == 0 || count > INSTANCES_MAX {
        return Err(format!("there are 1 to {INSTANCES_MAX} instances of a data flow"));
    }
    if index >= count {
        return Err(format!("I counts from 0: of {count} the last one is {}/{count}", count - 1));
    }
    Ok(InstanceOf { index, count })
}

/// A number and perhaps a unit.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// As a profile's `instanceCount`.
const INSTANCES_MAX: u32 = 20;

fn parse_spool_size(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text).ok_or("write a size such as 500MB or 2GiB")?;
    if bytes < SPOOL_BYTES_MIN {
        return Err("a spool has at least 1MiB".into());
    }
    Ok(bytes)
}

/// Longer than anything is meant to take, and short enough to reckon with.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn parse_volume(text: &str) -> Result<(String, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !dir.is_empty() => Ok((name.to_owned(), dir.into())),
        _ => Err("expected NAME=DIR, such as archive=/srv/archive"),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= TIME_MAX => Ok(time),
        Ok(_) => Err("that is more than a year".into()),
        Err(error) => Err(format!("{error}; write a number and a unit, such as 500ms, 10s or 2m")),
    }
}

fn parse_param(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| format!("write one of {}", Kind::ALL.map(Kind::as_str).join(", ")))
}

fn parse_local_broker(text: &str) -> Result<LocalBroker, &'static str> {
    let remote = |rest, tls, port| host_port(rest, port).map(|address| LocalBroker::Remote { address, tls });
    let parsed = match (text, text.split_once("://")) {
        ("embedded", _) => Some(LocalBroker::Embedded),
        (_, Some(("mqtt", rest))) => remote(rest, false, 1883),
        (_, Some(("mqtts", rest))) => remote(rest, true, 8883),
        _ => None,
    };
    parsed.ok_or("write `embedded`, mqtt://HOST:PORT or mqtts://HOST:PORT")
}

fn parse_mqtt(text: &str) -> Result<HostPort, &'static str> {
    text.strip_prefix("mqtt://").and_then(|rest| host_port(rest, 1883)).ok_or("write mqtt://HOST:PORT")
}

/// `host` or `host:port`, perhaps with a slash behind.
fn host_port(text: &str, default_port: u16) -> Option<HostPort> {
    let text = text.strip_suffix('/').unwrap_or(text);
    HostPort::parse(text).or_else(|| HostPort::parse(&format!("{text}:{default_port}")))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect_file;

    use super::*;

    fn run(args: &[&str]) -> Result<RunArgs, String> {
        let cli = Cli::try_parse_from(["tidegate", "run"].iter().chain(args)).map_err(|e| e.to_string())?;
        cli.check().map_err(|e| e.to_string())?;
        let Command::Run(args) = cli.command else { panic!("`run` was asked for") };
        Ok(*args)
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_local_broker_is_embedded_or_an_address() {
        let remote = |address, tls| LocalBroker::Remote { address: HostPort::parse(address).unwrap(), tls };
        for (text, expected) in [
            ("embedded", Some(LocalBroker::Embedded)),
            ("mqtt://plant:1884", Some(remote("plant:1884", false))),
            ("mqtt://plant", Some(remote("plant:1883", false))),
            ("mqtts://plant/", Some(remote("plant:8883", true))),
            ("mqtts://[::1]:18883", Some(remote("[::1]:18883", true))),
            ("plant:1883", None),
            ("http://plant:1883", None),
            ("mqtt://", None),
            ("mqtt://plant:0", None),
            ("mqtt://user:password@plant:1883", None),
        ] {
            assert_eq!(parse_local_broker(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        assert_eq!(parse_time("1m 30s"), Ok(Duration::from_secs(90)));
        for text in ["10", "soon", "", "-1s", "2y", "99999999999999999999s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_run_can_not_do_is_refused_with_a_reason() {
        assert!(run(&[]).is_ok());
        assert!(run(&["--mqtts-listen", "0.0.0.0:8883"]).unwrap_err().contains("--tls-cert"));
        assert!(run(&["--tls-cert", "cert.pem"]).unwrap_err().contains("--tls-key"));
        let remote_with_listener = ["--broker", "mqtt://plant", "--mqtt-listen", "0.0.0.0:1883"];
        assert!(run(&remote_with_listener).unwrap_err().contains("--broker embedded"));
        assert!(run(&["--mqtt-listen", "localhost:1883"]).unwrap_err().contains("such as 127.0.0.1:1883"));
    }

    #[test]
    fn listeners_may_be_given_several_times() {
        let args = run(&["--mqtt-listen", "127.0.0.1:0", "--mqtt-listen", "[::1]:0", "flows"]).unwrap();
        assert_eq!(args.mqtt_listen.len(), 2);
        assert_eq!(args.load.paths, [PathBuf::from("flows")]);
    }

    /// `UPDATE_EXPECT=1 cargo test -p tidegate` writes the page anew.
    #[test]
    fn the_page_of_commands_is_up_to_date() {
        let mut page = String::from(
            "# The command line\n\nGenerated from `tidegate help`; the global options stand once, under `tidegate`.\n",
        );
        let mut root = Cli::command().term_width(100);
        root.build();
        describe(&root, "tidegate", &mut page);
        expect_file!["../../../docs/cli.md"].assert_eq(&page);
    }

    fn describe(command: &clap::Command, path: &str, page: &mut String) {
        let mut shown = command.clone();
        if path != "tidegate" {
            let global: Vec<_> =
                shown.get_arguments().filter(|a| a.is_global_set()).map(|a| a.get_id().clone()).collect();
            for id in global {
                shown = shown.mut_arg(id, |a| a.hide(true));
            }
        }
        let help = shown.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(page, "\n## `{path}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
        for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
            describe(sub, &format!("{path} {}", sub.get_name()), page);
        }
    }
}
