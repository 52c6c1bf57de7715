//! `tidegate run`: one instance, until it is told to stop.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tidegate_broker::{Listener, ListenerTls, Protocol};
use tidegate_core::{Files, Secret, Severity};
use tidegate_model::plan::{DataDestination, DataSources, Plan};
use tidegate_runtime::Stage;
use tidegate_server::{
    Compression, Durability, Gateway, LocalBrokerOptions, Options, Resources, StartError, StorageOptions,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::api;
use crate::args::{self, Dlq, Form, Global, LocalBroker, RunArgs};
use crate::diagnostics::Report;
use crate::load::{self, Loaded};
use crate::out::{self, print, printable, say};
use crate::{CAN_NOT, FOUND_WANTING};

/// How often `--watch` looks at the files. They are read, not asked for their times, which networks of files and mounted
/// volumes get wrong.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How long the summary waits for flows to be ready before it says how far they are.
const SUMMARY_WAIT: Duration = Duration::from_secs(5);

pub(crate) fn run(args: RunArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let (files, load) = load::given(&args.load, true)?;
    let resources = if args.load.paths.is_empty() {
        Resources::Applied(load)
    } else {
        let loaded = load::load_files(files, &load)?;
        if !passes(&loaded, global) {
            return Ok(ExitCode::from(FOUND_WANTING));
        }
        Resources::Files(loaded.files, load)
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads(&args)).enable_all().build()?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let gateway = match Gateway::start(options(&args, global)?, resources).await {
            Ok(gateway) => gateway,
            Err(error) => {
                say(&format!("error: {error}{}", mend(&error)));
                return Ok(ExitCode::from(CAN_NOT));
            }
        };
        tokio::select! {
            shown = show(&gateway, global, &args) => shown?,
            () = stop.asked() => {}
        }
        tokio::select! {
            () = follow_files(&gateway, &args, global) => {}
            () = stop.asked() => {}
        }
        tracing::info!("stopping: what is under way is delivered first");
        tokio::select! {
            () = gateway.shutdown() => Ok(ExitCode::SUCCESS),
            () = stop.asked_again() => Ok(ExitCode::SUCCESS),
        }
    })
}

/// Says what is wrong with resources, and whether they can run all the same.
fn passes(loaded: &Loaded, global: &Global) -> bool {
    let Loaded { files, catalog, diagnostics } = loaded;
    let report = Report::new(files, catalog.resources().len(), diagnostics);
    if diagnostics.iter().any(|d| d.severity != Severity::Note) {
        say(report.human(out::colored(global.color, &std::io::stderr())).trim_end());
    }
    !report.has_errors()
}

/// Runs what the files hold whenever they have changed, if that is wanted. Where the new version has errors the one that
/// runs goes on.
async fn follow_files(gateway: &Gateway, args: &RunArgs, global: &Global) {
    let texts = |files: &Files| -> Vec<_> {
        files.iter().map(|(_, file)| (file.name.clone(), file.text.clone())).collect()
    };
    let read = || load::given(&args.load, true).map_err(|error| format!("{error:#}"));
    let mut seen = None;
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if !args.watch {
            return std::future::pending().await;
        }
        ticks.tick().await;
        let now = read();
        let now_texts = now.as_ref().map(|(files, _)| texts(files)).map_err(Clone::clone);
        // the first look is at the files as they were a moment ago, when they were loaded
        let Some(before) = seen.replace(now_texts.clone()) else { continue };
        if before == now_texts {
            continue;
        }
        let loaded = now.and_then(|(files, load)| {
            let loaded = load::load_files(files, &load).map_err(|e| format!("{e:#}"))?;
            Ok((loaded, load))
        });
        match loaded {
            Ok((loaded, load)) if passes(&loaded, global) => {
                gateway.replace(&loaded.files, load).await;
                tracing::info!("the files have changed and are applied");
            }
            Ok(_) => tracing::warn!("the files have errors; what ran before goes on"),
            Err(error) => tracing::warn!(error, "the files can't be read; what ran before goes on"),
        }
    }
}

/// Half the processors: a message that another thread takes over costs a third more than one that stays, which pays only
/// where one thread is not enough.
fn threads(args: &RunArgs) -> usize {
    let half = || std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    args.threads.map_or_else(half, usize::from)
}

fn options(args: &RunArgs, global: &Global) -> anyhow::Result<Options> {
    let local_broker = match &args.broker {
        LocalBroker::Remote { address, tls } => {
            LocalBrokerOptions::Remote { address: address.clone(), tls: *tls }
        }
        LocalBroker::Embedded => LocalBrokerOptions::Embedded {
            listeners: listeners(args)?,
            allow_anonymous: args.allow_anonymous,
            durability: match args.durability {
                args::Durability::Disk => Durability::Disk,
                args::Durability::Memory => Durability::Memory,
            },
        },
    };
    Ok(Options {
        data_dir: global.data_dir.clone(),
        http_listen: args.http_listen,
        api_token: api::token(global)?,
        local_broker,
        secrets_dir: args.secrets_dir.clone(),
        storage: StorageOptions {
            volumes: args.volumes.iter().cloned().collect(),
            local_latency: args.local_storage_latency,
            compression: match args.parquet_compression {
                args::Compression::Snappy => Compression::Snappy,
                args::Compression::Zstd => Compression::Zstd,
            },
            drop_batches: args.compat == Some(args::Compat::Aio),
        },
        keep_dead_letters: args.dlq == Dlq::Keep,
        drain_max: args.drain_timeout,
        instance: args.instance,
        spool_bytes_max: args.spool_bytes_max,
        spool_drain_rate_max: args.spool_drain_rate,
    })
}

fn listeners(args: &RunArgs) -> anyhow::Result<Vec<Listener>> {
    let plain = if args.mqtt_listen.is_empty() {
        vec![([127, 0, 0, 1], 1883).into()]
    } else {
        args.mqtt_listen.clone()
    };
    let mut listeners: Vec<Listener> = plain.into_iter().map(Listener::tcp).collect();
    let websockets = |address: &_| Listener {
        protocol: Protocol::WebSockets { path: "/mqtt".into() },
        ..Listener::tcp(*address)
    };
    listeners.extend(args.ws_listen.iter().map(websockets));
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("can't read {}", path.display()));
        let tls = ListenerTls {
            certificate_chain: read(certificate)?,
            private_key: Secret::new(read(key)?),
            client_ca: args.tls_client_ca.as_deref().map(read).transpose()?,
        };
        listeners.extend(
            args.mqtts_listen.iter().map(|a| Listener { tls: Some(tls.clone()), ..Listener::tcp(*a) }),
        );
    }
    Ok(listeners)
}

fn mend(error: &StartError) -> &'static str {
    let in_use = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    match error {
        StartError::Http { error, .. } if in_use(error) => {
            "\n  help: another program has it; choose another with --http-listen"
        }
        StartError::Mqtt(tidegate_broker::ListenError::Io { error, .. }) if in_use(error) => {
            "\n  help: another program, perhaps another broker, has it; choose another with --mqtt-listen"
        }
        _ => "",
    }
}

/// Says what was started, and on a terminal when each flow has delivered its first message.
async fn show(gateway: &Gateway, global: &Global, args: &RunArgs) -> anyhow::Result<()> {
    if global.output == Form::Json {
        gateway.ready().await;
        let mqtt: Vec<_> = gateway.mqtt_addresses().iter().map(ToString::to_string).collect();
        let line = json!({ "ready": true, "http": gateway.http_address().to_string(), "mqtt": mqtt });
        print(&format!("{line}\n"))?;
        return Ok(());
    }
    let taps: Vec<_> = gateway
        .report()
        .iter()
        .map(|r| (r.plan.clone(), gateway.tap(&r.plan.namespace, r.plan.name.as_str()).watch()))
        .collect();
    // a flow that waits for a peer that does not answer must not keep the others from being shown
    let _ = tokio::time::timeout(SUMMARY_WAIT, gateway.ready()).await;
    print(&summary(gateway, global, args))?;
    if !std::io::stdout().is_terminal() {
        return Ok(());
    }
    let first = taps.into_iter().map(|(plan, mut tap)| async move {
        while let Ok(seen) = tap.recv().await {
            if seen.stage == Stage::Destination {
                let topic = printable(&seen.record.topic);
                print(&format!("{}: first message delivered to {topic}\n", plan.name))?;
                break;
            }
        }
        Ok::<_, anyhow::Error>(())
    });
    futures_util::future::try_join_all(first).await?;
    Ok(())
}

fn summary(gateway: &Gateway, global: &Global, args: &RunArgs) -> String {
    let mut text = format!("tidegate {}\n\n", env!("CARGO_PKG_VERSION"));
    match &args.broker {
        LocalBroker::Embedded => {
            for address in gateway.mqtt_addresses() {
                let _ = match args.durability {
                    args::Durability::Disk => writeln!(text, "  local broker  {address}"),
                    args::Durability::Memory => {
                        writeln!(text, "  local broker  {address}  (sessions in memory)")
                    }
                };
            }
        }
        LocalBroker::Remote { address, .. } => {
            let _ = writeln!(text, "  local broker  {address}  (another process)");
        }
    }
    let http = gateway.http_address();
    let access = match (&global.api_token_file, http.ip().is_loopback()) {
        (Some(_), _) => "  (with the token)",
        (None, false) => "  (from this machine only: see --api-token-file)",
        (None, true) => "",
    };
    let _ = writeln!(text, "  web UI, API   http://{http}{access}");
    for simulator in gateway.simulators() {
        let _ = writeln!(text, "  simulator     {} publishes to {}", simulator.name, simulator.topic);
    }
    text.push('\n');
    let mut rows: Vec<[String; 4]> = Vec::new();
    for report in gateway.report() {
        let state = match (&report.health.reason_code, report.state) {
            (Some(reason), state) => format!("{}: {} ({reason})", state.as_str(), report.health.message),
            (None, state) => state.as_str().to_owned(),
        };
        let (source, destination) = ends(&report.plan);
        rows.push([report.plan.name.to_string(), source, destination, state]);
    }
    for idle in gateway.idle() {
        let (source, destination) = idle.plan.as_deref().map(ends).unwrap_or_default();
        let state = if idle.disabled { "disabled".to_owned() } else { format!("not run: {}", idle.message) };
        rows.push([idle.name.clone(), source, destination, state]);
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let (name_width, source_width, destination_width) = (width(0), width(1), width(2));
    for [name, source, destination, state] in &rows {
        let _ = writeln!(
            text,
            "  {name:name_width$}  {source:source_width$}  ->  {destination:destination_width$}  {state}"
        );
    }
    if let Some([flow, ..]) = rows.first() {
        let _ = write!(text, "\nWatch: tidegate top, tidegate tap {flow}. Stop: Ctrl+C.\n");
    } else if args.load.paths.is_empty() {
        text.push_str("No data flows yet. Apply some: tidegate apply -f PATH. Stop: Ctrl+C.\n");
    } else {
        text.push_str("No data flows: the local broker alone. Stop: Ctrl+C.\n");
    }
    text
}

/// Source and destination of a flow as `endpoint: topic`; the endpoint is left out where it is `default`.
fn ends(plan: &Plan) -> (String, String) {
    let of = |endpoint: &str, what: String| {
        let what = printable(&what);
        if endpoint == "default" { what } else { format!("{endpoint}: {what}") }
    };
    let sources = match &plan.source.data_sources {
        DataSources::Mqtt { filters, .. } => {
            filters.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        DataSources::Kafka { topics, .. } => topics.join(", "),
    };
    let destination = match &plan.destination.data_destination {
        DataDestination::Topic(topic) => topic.to_string(),
        DataDestination::Name(name) => name.clone(),
    };
    (
        of(plan.source.endpoint.name.as_str(), sources),
        of(plan.destination.endpoint.name.as_str(), destination),
    )
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    asked: bool,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            asked: false,
        })
    }

    /// Returns once somebody has asked to stop.
    async fn asked(&mut self) {
        if !self.asked {
            self.asked_again().await;
            self.asked = true;
        }
    }

    async fn asked_again(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
