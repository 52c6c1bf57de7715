//! The handle to a running broker: one lock around the [core](crate::core), and what runs beside it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{BrokerConfig, Limits};
use crate::core::Core;
use crate::stats::{Client, Stats};

/// How long clients get to read the DISCONNECT that says that the broker shuts down.
const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(5);

/// An MQTT broker. Cheap to clone; all clones are the same broker.
#[derive(Clone)]
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: BrokerConfig,
    core: Mutex<Core>,
    /// A permit for each network connection.
    pub(crate) connections: Arc<Semaphore>,
    /// Everything the broker spawned.
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
}

impl Broker {
    /// A broker that nobody can reach yet. Runs until [`Broker::shutdown`], in the tokio runtime it is called in.
    pub fn new(config: BrokerConfig) -> Self {
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(config.limits.clone())),
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
}

impl Shared {
    /// Works on the core, then wakes whom that concerns.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.core.lock();
        let result = work(&mut core);
        let woken = core.take_woken();
        drop(core);
        woken.into_iter().for_each(std::task::Waker::wake);
        result
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
