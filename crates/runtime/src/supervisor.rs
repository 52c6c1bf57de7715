use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tidegate_core::{Record, Sink, Source, SourceError, Trouble, WriteError};
use tidegate_model::plan::Plan;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, Hope};
use crate::health::{End, Health, HealthStatus, InstanceHealth, aggregate};
use crate::metrics::{FlowMetrics, Metrics};
use crate::pipeline::{Exit, Pipeline};
use crate::steps::{DatasetState, Steps};
use crate::{Ledger, Tap};

/// Replays that wait for a flow.
const REPLAYS_MAX: usize = 4;

/// Opens the two ends of a flow. The runtime knows nothing else of connectors.
#[async_trait]
pub trait Connectors: Send + Sync + 'static {
    /// Opens the source of one instance of a flow: connected and subscribed.
    async fn open_source(&self, plan: &Plan, instance: u32) -> Result<Box<dyn Source>, SourceError>;

    /// The records of a dataset, by its state store key, as they change.
    fn watch_dataset(&self, key: &str) -> watch::Receiver<DatasetState>;

    /// Takes a message that can't be processed, or that the destination will never take. It must not block: the flow
    /// goes on.
    fn bury(&self, plan: &Plan, letter: DeadLetter);

    /// Makes the sink of one instance of a flow. It need not connect yet; what only a change of configuration mends
    /// fails here.
    async fn open_sink(&self, plan: &Plan, instance: u32) -> Result<Arc<dyn Sink>, Trouble>;
}

/// A message that can't be processed, or that the destination will never take.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message as it came in; as it was to go out where the destination refused it.
    pub record: Record,
    /// Why, as a sentence; where a rule failed, which.
    pub reason: String,
}

/// What all flows of an instance have in common.
#[derive(Clone, Copy, Debug)]
pub struct SupervisorOptions {
    /// How long a flow that is stopped waits for its writes.
    pub drain_max: Duration,
    /// Where all randomness comes from.
    pub seed: u64,
}

impl Default for SupervisorOptions {
    fn default() -> Self {
        Self { drain_max: Duration::from_secs(10), seed: 0 }
    }
}

/// Makes what runs equal to what is said. Flows that are not touched by a change go on undisturbed.
pub struct Supervisor {
    connectors: Arc<dyn Connectors>,
    metrics: Metrics,
    options: SupervisorOptions,
    running: Mutex<BTreeMap<String, Running>>,
    /// Taps and books outlive the pipelines they belong to, by the flow's key.
    kept: Mutex<BTreeMap<String, Kept>>,
    /// Bumped whenever the health of an instance changes.
    changes: watch::Sender<()>,
}

struct Running {
    flow: Arc<Flow>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// What stays when a flow is changed or gone.
#[derive(Clone, Default)]
struct Kept {
    tap: Tap,
    books: Arc<Mutex<Books>>,
}

/// A flow's ledger and what of it the metrics have shown.
#[derive(Default)]
pub(crate) struct Books {
    ledger: Ledger,
    shown: Ledger,
}

impl std::ops::Deref for Books {
    type Target = Ledger;
    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl std::ops::DerefMut for Books {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

/// Records that are to go through a flow once more.
pub(crate) struct Replay {
    pub(crate) records: Vec<Record>,
    pub(crate) settled: oneshot::Sender<()>,
}

/// What the instances of one flow share.
pub(crate) struct Flow {
    /// `namespace/name`.
    pub(crate) key: String,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Arc<Mutex<Books>>,
    pub(crate) metrics: FlowMetrics,
    pub(crate) tap: Tap,
    health: Mutex<FlowHealth>,
    changes: watch::Sender<()>,
    replay: mpsc::Sender<Replay>,
    /// Whichever instance has room takes the next.
    replays: tokio::sync::Mutex<mpsc::Receiver<Replay>>,
}

struct FlowHealth {
    instances: Vec<InstanceHealth>,
    status: HealthStatus,
    last_transition: SystemTime,
}

/// One instance of a flow.
pub(crate) struct Instance {
    pub(crate) flow: Arc<Flow>,
    pub(crate) index: u32,
    pub(crate) seed: u64,
    pub(crate) drain_max: Duration,
    connectors: Arc<dyn Connectors>,
    /// Whether the target is known to be well, so that the ordinary write takes no lock to say so.
    target_is_well: AtomicBool,
}

/// The flow does not run, or was stopped before the records were settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data flow does not run")]
pub struct NotReplayed;

/// What a flow does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// Connecting.
    Starting,
    /// Moving what there is to move.
    Running,
    /// Something keeps at least one instance from working.
    Troubled,
}

impl FlowState {
    /// In lower case, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            FlowState::Starting => "starting",
            FlowState::Running => "running",
            FlowState::Troubled => "troubled",
        }
    }
}

/// A flow as operators see it.
#[derive(Clone, Debug)]
pub struct FlowReport {
    /// What it does.
    pub plan: Arc<Plan>,
    /// Whether it does it.
    pub state: FlowState,
    /// AIO's health.
    pub health: Health,
    /// Where its messages are.
    pub ledger: Ledger,
}

impl Supervisor {
    /// A supervisor without flows.
    pub fn new(connectors: Arc<dyn Connectors>, metrics: Metrics, options: SupervisorOptions) -> Self {
        Self {
            connectors,
            metrics,
            options,
            running: Mutex::default(),
            kept: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// Makes what runs equal to `plans`: what is new is started, what is changed is drained and started anew, what is
    /// gone is drained, and the rest is not touched. Returns when all that had to stop has stopped.
    pub async fn apply(&self, plans: &[Arc<Plan>]) {
        let wanted: BTreeMap<String, &Arc<Plan>> = plans.iter().map(|p| (key(p), p)).collect();
        let leaving: Vec<Running> = {
            let mut running = self.running.lock();
            let gone = |key: &String, r: &Running| wanted.get(key).is_none_or(|plan| **plan != r.flow.plan);
            let keys: Vec<String> =
                running.iter().filter(|(k, r)| gone(k, r)).map(|(k, _)| k.clone()).collect();
            keys.iter().filter_map(|k| running.remove(k)).collect()
        };
        stop(leaving).await;
        let mut running = self.running.lock();
        for (key, plan) in wanted {
            running.entry(key).or_insert_with_key(|key| self.start(key.clone(), plan.clone()));
        }
        self.metrics.active_dataflows().set(i64::try_from(running.len()).unwrap_or(i64::MAX));
        self.changes.send_replace(());
    }

    /// Drains and stops every flow.
    pub async fn shutdown(&self) {
        self.apply(&[]).await;
    }

    /// Returns when every flow is known to work, or its trouble is known.
    pub async fn ready(&self) {
        let mut changes = self.changes.subscribe();
        while !self.is_ready() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether every flow is known to work, or its trouble is known.
    pub fn is_ready(&self) -> bool {
        self.running
            .lock()
            .values()
            .all(|r| r.flow.health.lock().instances.iter().all(InstanceHealth::is_known))
    }

    /// Sends records through a flow once more, as if they had just come in. Returns once they are settled: delivered,
    /// filtered, expired or dead letters again.
    ///
    /// # Errors
    /// [`NotReplayed`]: the flow does not run, or was stopped meanwhile; some may have been delivered all the same.
    pub async fn replay(&self, namespace: &str, name: &str, records: Vec<Record>) -> Result<(), NotReplayed> {
        let replay = {
            let running = self.running.lock();
            running.get(&format!("{namespace}/{name}")).ok_or(NotReplayed)?.flow.replay.clone()
        };
        let (settled, is_settled) = oneshot::channel();
        replay.send(Replay { records, settled }).await.map_err(|_| NotReplayed)?;
        // the flow keeps itself alive by this sender no longer
        drop(replay);
        is_settled.await.map_err(|_| NotReplayed)
    }

    /// Every flow, by namespace and name.
    pub fn report(&self) -> Vec<FlowReport> {
        self.running.lock().values().map(|r| r.flow.report()).collect()
    }

    /// Where the records of a flow can be watched; the flow need not exist yet.
    pub fn tap(&self, namespace: &str, name: &str) -> Tap {
        self.kept.lock().entry(format!("{namespace}/{name}")).or_default().tap.clone()
    }

    /// The metrics it counts in.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Brings the metrics up to date with the ledgers. Call it before gathering.
    pub fn show_metrics(&self) {
        for running in self.running.lock().values() {
            let flow = &running.flow;
            let mut books = flow.ledger.lock();
            flow.metrics.show(&books.ledger, &books.shown);
            books.shown = books.ledger;
        }
    }

    fn start(&self, key: String, plan: Arc<Plan>) -> Running {
        let Kept { tap, books } = self.kept.lock().entry(key.clone()).or_default().clone();
        let count = plan.instance_count.max(1);
        let (replay, replays) = mpsc::channel(REPLAYS_MAX);
        let flow = Arc::new(Flow {
            metrics: self.metrics.of_flow(
                plan.name.as_str(),
                &plan.source.endpoint,
                &plan.destination.endpoint,
            ),
            key,
            plan,
            ledger: books,
            tap,
            health: Mutex::new(FlowHealth {
                instances: vec![InstanceHealth::default(); count as usize],
                status: HealthStatus::Unknown,
                last_transition: SystemTime::now(),
            }),
            changes: self.changes.clone(),
            replay,
            replays: tokio::sync::Mutex::new(replays),
        });
        let stop = CancellationToken::new();
        let tasks = (0..count)
            .map(|index| {
                let mut hasher = DefaultHasher::new();
                (&flow.key, index).hash(&mut hasher);
                let instance = Arc::new(Instance {
                    flow: flow.clone(),
                    index,
                    seed: self.options.seed ^ hasher.finish(),
                    drain_max: self.options.drain_max,
                    connectors: self.connectors.clone(),
                    target_is_well: AtomicBool::new(false),
                });
                tokio::spawn(instance.run(stop.clone()))
            })
            .collect();
        Running { flow, stop, tasks }
    }
}

fn key(plan: &Plan) -> String {
    format!("{}/{}", plan.namespace, plan.name)
}

async fn stop(leaving: Vec<Running>) {
    for running in &leaving {
        running.stop.cancel();
    }
    for running in leaving {
        for task in running.tasks {
            if let Err(error) = task.await {
                tracing::error!(dataflow = running.flow.key, %error, "a pipeline came to a bad end");
            }
        }
    }
}

impl Flow {
    fn report(&self) -> FlowReport {
        let (state, health) = {
            let health = self.health.lock();
            let (status, trouble) = aggregate(&health.instances);
            let state = match (&trouble, status) {
                (Some(_), _) => FlowState::Troubled,
                (None, HealthStatus::Unknown) => FlowState::Starting,
                (None, _) => FlowState::Running,
            };
            let (reason_code, message) =
                trouble.map_or((None, String::new()), |t| (Some(t.reason), t.message));
            (state, Health { status, reason_code, message, last_transition: health.last_transition })
        };
        FlowReport { plan: self.plan.clone(), state, health, ledger: self.ledger.lock().ledger }
    }

    /// Waits for records that are to go through once more. Cancel-safe.
    pub(crate) async fn next_replay(&self) -> Replay {
        match self.replays.lock().await.recv().await {
            Some(replay) => replay,
            // the flow holds a sender itself
            None => std::future::pending().await,
        }
    }

    fn set_health(&self, index: u32, change: impl FnOnce(&mut InstanceHealth)) {
        let mut health = self.health.lock();
        change(&mut health.instances[index as usize]);
        let (status, _) = aggregate(&health.instances);
        if status != health.status {
            health.status = status;
            health.last_transition = SystemTime::now();
        }
        drop(health);
        self.changes.send_replace(());
    }
}

impl Instance {
    /// Opens both ends and runs the pipeline, again and again, until asked to stop.
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.seed);
        loop {
            let attempt = async {
                let sink = self.open_sink().await?;
                let source = self.open_source().await?;
                Ok::<_, Hope>((source, sink))
            };
            let opened = tokio::select! {
                opened = attempt => opened,
                () = stop.cancelled() => return,
            };
            let hope = match opened {
                Err(hope) => hope,
                Ok((source, sink)) => {
                    let received = self.flow.ledger.lock().received;
                    let exit = self.pump(source, sink.clone(), &stop).await;
                    sink.close().await;
                    if self.flow.ledger.lock().received > received {
                        backoff.reset();
                    }
                    match exit {
                        Exit::Drained => return,
                        Exit::DrainTimedOut => {
                            tracing::warn!(
                                dataflow = self.flow.key,
                                "stopped before everything was delivered; the source will deliver it again"
                            );
                            return;
                        }
                        Exit::SourceEnded => return,
                        Exit::SourceFailed(error) => self.source_failed(error),
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(backoff.next(hope)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn open_sink(&self) -> Result<Arc<dyn Sink>, Hope> {
        self.connectors.open_sink(&self.flow.plan, self.index).await.map_err(|trouble| {
            self.target_troubled(trouble);
            Hope::Distant
        })
    }

    async fn open_source(&self) -> Result<Box<dyn Source>, Hope> {
        match self.connectors.open_source(&self.flow.plan, self.index).await {
            Ok(source) => {
                self.flow.set_health(self.index, |h| h.source = End::Well);
                Ok(source)
            }
            Err(error) => Err(self.source_failed(error)),
        }
    }

    /// Runs the pipeline to its end, and connects the sink ahead of the first write beside it.
    async fn pump(
        self: &Arc<Self>,
        source: Box<dyn Source>,
        sink: Arc<dyn Sink>,
        stop: &CancellationToken,
    ) -> Exit {
        let steps = Steps::new(&self.flow.plan, |key| self.connectors.watch_dataset(key));
        let pipeline = Pipeline { source, sink: sink.clone(), steps, instance: self.clone() };
        let mut run = std::pin::pin!(AssertUnwindSafe(pipeline.run(stop)).catch_unwind());
        let mut prepare = std::pin::pin!(self.prepare(&*sink));
        let mut prepared = false;
        let exit = loop {
            tokio::select! {
                biased;
                exit = &mut run => break exit,
                () = &mut prepare, if !prepared => prepared = true,
            }
        };
        // a bug of ours in one pipeline must not end the others; nothing it held is acknowledged, so all of it comes again
        exit.unwrap_or_else(|_| {
            Exit::SourceFailed(SourceError::Lost(Trouble::new(
                "InternalError",
                "the pipeline broke down; please report it",
            )))
        })
    }

    /// Connects the sink, so that trouble shows and passes even while there is nothing to write.
    async fn prepare(&self, sink: &dyn Sink) {
        let mut backoff = Backoff::new(self.seed);
        loop {
            let (trouble, hope) = match sink.prepare().await {
                Ok(()) | Err(WriteError::Reject(_)) => return self.target_well(),
                Err(WriteError::Retry { trouble, .. }) => (trouble, Hope::Soon),
                Err(WriteError::Fatal(trouble)) => (trouble, Hope::Distant),
            };
            self.target_troubled(trouble);
            tokio::time::sleep(backoff.next(hope)).await;
            if self.target_is_well.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn source_failed(&self, error: SourceError) -> Hope {
        let (trouble, hope) = match error {
            SourceError::Lost(trouble) => (trouble, Hope::Soon),
            SourceError::Refused(trouble) => (trouble, Hope::Distant),
        };
        self.troubled("source", trouble, |health| &mut health.source);
        hope
    }

    /// Hands a dead letter on. Its message is settled by whoever calls.
    pub(crate) fn bury(&self, letter: DeadLetter) {
        self.flow.metrics.error("PayloadError");
        self.connectors.bury(&self.flow.plan, letter);
    }

    pub(crate) fn target_well(&self) {
        if !self.target_is_well.swap(true, Ordering::Relaxed) {
            self.flow.set_health(self.index, |h| h.target = End::Well);
        }
    }

    pub(crate) fn target_troubled(&self, trouble: Trouble) {
        self.target_is_well.store(false, Ordering::Relaxed);
        self.troubled("destination", trouble, |health| &mut health.target);
    }

    /// Notes a trouble; the log says it once, not at every try.
    fn troubled(&self, end: &str, trouble: Trouble, of: fn(&mut InstanceHealth) -> &mut End) {
        let flow = &self.flow;
        flow.metrics.error(trouble.reason);
        let (reason, message) = (trouble.reason, trouble.message.clone());
        let mut news = false;
        flow.set_health(self.index, |health| {
            let now = End::Troubled(trouble);
            news = std::mem::replace(of(health), now.clone()) != now;
        });
        if news {
            tracing::warn!(dataflow = flow.key, instance = self.index, reason, "{end}: {message}");
        } else {
            tracing::debug!(dataflow = flow.key, instance = self.index, reason, "{end}, again: {message}");
        }
    }
}
