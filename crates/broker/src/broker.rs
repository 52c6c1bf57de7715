//! The handle to a running broker: one lock around the [core](crate::core), and what runs beside it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_log::Log;
use tidegate_mqtt::topic::{self, TopicError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{BrokerConfig, Limits};
use crate::core::{Core, Journal, read};
use crate::durability::{JournalLimits, LogUsage};
use crate::stats::{Client, Stats, Waiting};

/// How long clients get to read the DISCONNECT that says that the broker shuts down.
const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the journal looks at the disk and the clock.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a disk may take to take what a killed process had left unsynced.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a broker can't go on with a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What is in the log can't be read.
    #[error("{0}")]
    Log(String),
    /// The disk takes no writes.
    #[error("the disk takes no writes{}", .0.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Disk(Option<String>),
}

/// An MQTT broker. Cheap to clone; all clones are the same broker.
#[derive(Clone)]
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: BrokerConfig,
    core: Mutex<Core>,
    /// What the core writes to.
    pub(crate) log: Option<(Log, JournalLimits)>,
    /// A permit for each network connection.
    pub(crate) connections: Arc<Semaphore>,
    /// Everything the broker spawned.
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
}

impl Broker {
    /// A broker that nobody can reach yet. Runs until [`Broker::shutdown`], in the tokio runtime it is called in.
    pub fn new(config: BrokerConfig) -> Self {
        Self::with_core(Core::new(config.limits.clone()), config, None)
    }

    /// A broker that keeps in a log what is to outlive a connection: sessions with their subscriptions and the QoS 1 and
    /// 2 messages that wait in them, and retained messages. It goes on with what the log has. Publishes and
    /// subscriptions are answered once they are on disk.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: BrokerConfig, log: Log, limits: JournalLimits) -> Result<Self, OpenError> {
        // what a killed process had left unsynced is written again; it counts once that is done
        let written = log.durable_records(log.end().number);
        match tokio::time::timeout(OPEN_WAIT_MAX, written).await {
            Ok(written) => written.map_err(|error| OpenError::Log(error.to_string()))?,
            Err(_) => return Err(OpenError::Disk(log.usage().stall.map(|stall| stall.message))),
        }
        let reader = log.clone();
        let image = tokio::task::spawn_blocking(move || read(&reader)).await;
        let image =
            image.expect("reading does not panic").map_err(|error| OpenError::Log(error.to_string()))?;
        let mut core = Core::new(config.limits.clone());
        core.restore(log.clone(), limits.clone(), image, now());
        let broker = Self::with_core(core, config, Some((log, limits)));
        let keeper = broker.shared.clone();
        let closing = keeper.closing.clone();
        broker.shared.tasks.spawn(async move { closing.run_until_cancelled(keeper.keep_journal()).await });
        Ok(broker)
    }

    fn with_core(core: Core, config: BrokerConfig, log: Option<(Log, JournalLimits)>) -> Self {
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            log,
            connections: Arc::new(Semaphore::new(config.limits.connections_max)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            config,
        });
        let clock = shared.clone();
        shared.tasks.spawn(async move { clock.closing.run_until_cancelled(clock.run_clock()).await });
        Self { shared }
    }

    /// Ends listeners and connections; v5 clients are told why (0x8B Server shutting down). Returns when they are gone,
    /// or have had a few seconds to go.
    pub async fn shutdown(&self) {
        self.shared.closing.cancel();
        self.shared.with(|core| core.close());
        self.shared.tasks.close();
        // Whoever does not read its DISCONNECT by then loses nothing but the reason.
        let _ = tokio::time::timeout(SHUTDOWN_WAIT_MAX, self.shared.tasks.wait()).await;
        if let Some((log, _)) = self.shared.log.clone() {
            // a disk that takes nothing any more must not keep us: nothing was promised of what is not on it
            let close = tokio::task::spawn_blocking(move || log.close());
            match tokio::time::timeout(SHUTDOWN_WAIT_MAX, close).await {
                Ok(Ok(Err(error))) => tracing::error!(%error, "the broker's log"),
                Ok(_) => {}
                Err(_) => tracing::error!("the broker's log was not closed in time"),
            }
        }
    }

    /// How full the log is; none if sessions are in memory.
    pub fn log_usage(&self) -> Option<LogUsage> {
        let (log, limits) = self.shared.log.as_ref()?;
        let (live_bytes, growth, is_full) = self.shared.with(|core| {
            let journal = core.journal.as_mut().expect("it comes with the log");
            (journal.live_bytes(), journal.growth(now()), journal.is_full())
        });
        Some(LogUsage::of(log.usage(), limits, live_bytes, growth, is_full))
    }

    /// The limits it was given.
    pub fn limits(&self) -> &Limits {
        &self.shared.config.limits
    }

    /// What the broker holds and has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.with(|core| core.stats())
    }

    /// The clients that have a session.
    pub fn clients(&self) -> Vec<Client> {
        self.shared.with(|core| core.clients())
    }

    /// What waits for a client, sent and not yet acknowledged messages included; `None` if it has no session.
    pub fn waiting(&self, client_id: &str) -> Option<Waiting> {
        self.shared.with(|core| core.waiting(client_id, now()))
    }

    /// Topics with a retained message that match a filter, each with the bytes of its payload.
    ///
    /// # Errors
    /// It is no topic filter.
    pub fn retained(&self, filter: &str) -> Result<Vec<(String, usize)>, TopicError> {
        topic::check_filter(filter)?;
        Ok(self.shared.with(|core| core.retained(filter, now())))
    }
}

impl Shared {
    /// Works on the core, then wakes whom that concerns.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Core) -> R) -> R {
        self.with_demand(work).0
    }

    /// The same, and how many records of the log must be on disk before anybody is told of it.
    pub(crate) fn with_demand<R>(&self, work: impl FnOnce(&mut Core) -> R) -> (R, Option<u64>) {
        let mut core = self.core.lock();
        let result = work(&mut core);
        let demand = core.settle();
        let woken = core.take_woken();
        drop(core);
        woken.into_iter().for_each(std::task::Waker::wake);
        (result, demand)
    }

    /// Returns when so many records of the log are on disk; never, if the log was closed before.
    pub(crate) fn durable(&self, records: u64) -> impl Future<Output = ()> + Send + use<> {
        let durable = self.log.as_ref().map(|(log, _)| log.durable_records(records));
        async move {
            if let Some(durable) = durable
                && durable.await.is_err()
            {
                std::future::pending().await
            }
        }
    }

    /// Looks after the journal.
    async fn keep_journal(&self) {
        let Some((log, _)) = &self.log else { return };
        let Some(wanted) = self.with(|core| core.journal.as_ref().map(Journal::wanted)) else { return };
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEEP_INTERVAL) => {}
                () = wanted.notified() => {
                    let bytes = self.with(|core| core.journal.as_ref().map_or(0, Journal::wanted_bytes));
                    // if it can't be had, it is looked at again all the same
                    let _ = tokio::time::timeout(KEEP_INTERVAL, log.room(bytes)).await;
                }
            }
            self.with(|core| core.keep_journal(now()));
        }
    }

    /// Does what falls due.
    async fn run_clock(&self) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| {
            loop {
                let Some(next) = self.with(|core| core.tick(cx.waker(), now())) else {
                    return Poll::Pending;
                };
                sleep.as_mut().reset(next.into());
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// The time, by tokio's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
