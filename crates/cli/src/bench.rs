//! `tidegate bench`: a load that can be run again, and what became of it.
//!
//! Every message says who sent it, as which of its messages, and when; so what is lost, comes twice or out of order is
//! counted and not guessed. `docs/bench.md` explains the numbers.

mod client;
mod load;
mod payload;
mod publish;
mod report;
mod subscribe;
mod tally;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::FOUND_WANTING;
use crate::args::{BenchMqttArgs, Form, Global};
use crate::out::print;
use client::Client;
use load::Load;
use report::Report;
use tally::Received;

/// How often the run is looked at: for its end, and to show its progress.
const TICK: Duration = Duration::from_millis(100);

/// What all clients wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Clients connect and subscribe.
    Setup,
    /// Publishers publish.
    Go,
    /// Everybody leaves.
    Stop,
}

/// What a client tells.
enum Event {
    /// It is connected, and subscribed if it is to be.
    Ready,
    /// It has published everything, that was acknowledged, and it has left.
    Published,
    /// It can't go on.
    Failed(String),
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Subscriber(u16),
    Publisher(u16),
}

/// How a run ended.
#[derive(Default)]
struct End {
    timed_out: bool,
    errors: Vec<String>,
}

pub(crate) fn mqtt(args: &BenchMqttArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let load = Arc::new(Load::new(args)?);
    let roles: Vec<_> = (0..load.subscribers)
        .map(Role::Subscriber)
        .chain((0..load.publishers).map(Role::Publisher))
        .collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(cores, usize::from).min(roles.len());
    let (phase, phases) = watch::channel(Phase::Setup);
    let (events, mut told) = mpsc::unbounded_channel();
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let roles = roles.iter().copied().skip(thread).step_by(threads).collect();
            let (load, phases, events) = (load.clone(), phases.clone(), events.clone());
            thread::spawn(move || work(&load, roles, &phases, &events))
        })
        .collect();
    drop(events);
    let coordinator = runtime::Builder::new_current_thread().enable_time().build()?;
    let end = coordinator.block_on(coordinate(&load, roles.len(), &phase, &mut told, args));
    phase.send_replace(Phase::Stop);
    let mut received = Received::default();
    for worker in workers {
        received.add(&worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    let report = Report::new(args, &load, &received, end?);
    print(&match global.output {
        Form::Human => report.human(),
        Form::Json => report.json(),
    })?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WANTING) })
}

/// Some of the clients, on this thread: they connect one after the other, then work side by side until the end.
fn work(
    load: &Arc<Load>,
    roles: Vec<Role>,
    phases: &watch::Receiver<Phase>,
    events: &mpsc::UnboundedSender<Event>,
) -> anyhow::Result<Received> {
    let received = Arc::new(Mutex::new(Received::default()));
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut clients = JoinSet::new();
        for role in roles {
            let mut stopped = phases.clone();
            let client = tokio::select! {
                client = open(load, role) => client,
                _ = stopped.wait_for(|p| *p == Phase::Stop) => return,
            };
            let told = match client {
                Ok(client) => {
                    let (load, received, mut phases) = (load.clone(), received.clone(), phases.clone());
                    let events = events.clone();
                    clients.spawn(async move {
                        let ended = match role {
                            Role::Subscriber(n) => {
                                subscribe::run(client, &load, n, &received, &mut phases).await
                            }
                            Role::Publisher(n) => publish::run(client, &load, n, &mut phases, &events).await,
                        };
                        ended.map_err(|error| failed(role, &error))
                    });
                    Event::Ready
                }
                Err(error) => failed(role, &error),
            };
            // the coordinator may have given up already
            let _ = events.send(told);
        }
        while let Some(ended) = clients.join_next().await {
            if let Err(failed) = ended.unwrap_or_else(|panic| Err(Event::Failed(panic.to_string()))) {
                let _ = events.send(failed);
            }
        }
    });
    let received = std::mem::take(&mut *received.lock());
    Ok(received)
}

async fn open(load: &Load, role: Role) -> anyhow::Result<Client> {
    let id = format!("tidegate-bench-{:08x}-{}", load.run, name(role).replace(' ', "-"));
    match role {
        Role::Subscriber(n) => {
            let mut client = Client::connect(&load.subscribe_broker, &id, load.qos).await?;
            client.subscribe(&load.filter(n), load.qos).await?;
            Ok(client)
        }
        Role::Publisher(_) => Client::connect(&load.broker, &id, load.qos).await,
    }
}

fn name(role: Role) -> String {
    match role {
        Role::Subscriber(n) => format!("subscriber {n}"),
        Role::Publisher(n) => format!("publisher {n}"),
    }
}

fn failed(role: Role, error: &anyhow::Error) -> Event {
    Event::Failed(format!("{}: {error:#}", name(role)))
}

/// Takes the run through its phases. An error means that it never began.
async fn coordinate(
    load: &Load,
    clients: usize,
    phase: &watch::Sender<Phase>,
    events: &mut mpsc::UnboundedReceiver<Event>,
    args: &BenchMqttArgs,
) -> anyhow::Result<End> {
    let deadline = Instant::now() + args.timeout;
    for ready in 0..clients {
        match timeout_at(deadline, events.recv()).await {
            Ok(Some(Event::Ready)) => {}
            Ok(Some(Event::Failed(why))) => bail!(why),
            Ok(_) => bail!("the threads of the load are gone"),
            Err(_) => bail!("{ready} of {clients} clients were connected after {:?}", args.timeout),
        }
    }
    load.begin();
    phase.send_replace(Phase::Go);

    let mut end = End::default();
    let mut publishing = load.publishers;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut progress = Progress::default();
    let (mut seen, mut seen_at) = (0, Instant::now());
    while publishing > 0 || load.missing() > 0 {
        tokio::select! {
            event = events.recv() => match event.context("the threads of the load are gone")? {
                Event::Published => {
                    publishing -= 1;
                    seen_at = Instant::now();
                }
                Event::Failed(why) => {
                    end.errors.push(why);
                    break;
                }
                Event::Ready => {}
            },
            () = load.all_received.notified(), if publishing == 0 => {}
            now = tick.tick() => {
                let received = load.received.load(Ordering::Relaxed);
                if received != seen {
                    (seen, seen_at) = (received, now);
                }
                if publishing == 0 && now.duration_since(seen_at) >= args.settle {
                    break;
                }
                if now >= deadline {
                    end.timed_out = true;
                    break;
                }
                progress.show(load);
            }
        }
    }
    progress.clear();
    while let Ok(event) = events.try_recv() {
        if let Event::Failed(why) = event {
            end.errors.push(why);
        }
    }
    Ok(end)
}

/// One line on a terminal, written over and over; nothing if standard error is none.
#[derive(Default)]
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, load: &Load) {
        let mut stderr = io::stderr().lock();
        if stderr.is_terminal() {
            let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
            let (published, received) = (count(&load.published), count(&load.received));
            let _ = write!(stderr, "\r\x1b[Kpublished {published}   received {received}");
            let _ = stderr.flush();
            self.shown = true;
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
