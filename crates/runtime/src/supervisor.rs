use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
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
use crate::spool::{Spool, SpoolSink, SpoolSource};
use crate::steps::{DatasetState, Steps};
use crate::{Ledger, SpoolOptions, SpoolReport, Stage, Tap};

/// Replays that wait for a flow.
const REPLAYS_MAX: usize = 4;

/// Opens the two ends of a flow. The runtime knows nothing else of connectors.
#[async_trait]
pub trait Connectors: Send + Sync + 'static {
    /// Opens the source of one instance of a flow: connected and subscribed.
    async fn open_source(&self, plan: &Plan, instance: u32) -> Result<Box<dyn Source>, SourceError>;

    /// The spool between the two ends of an instance, if it has one. It is also asked for instances beyond
    /// `instance_count`, whose spools may hold messages from a time when there were more of them.
    fn spool(&self, plan: &Plan, instance: u32) -> Option<SpoolOptions>;

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
    /// Which instance of every flow to run; all of them without it.
    pub instance: Option<u32>,
}

impl Default for SupervisorOptions {
    fn default() -> Self {
        Self { drain_max: Duration::from_secs(10), seed: 0, instance: None }
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
    /// The instances whose spools are in it.
    carried_over: BTreeSet<u32>,
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
    /// The spools that are open, by instance.
    spools: Mutex<BTreeMap<u32, Arc<Spool>>>,
    changes: watch::Sender<()>,
    replay: mpsc::Sender<Replay>,
    /// Whichever instance has room takes the next.
    replays: tokio::sync::Mutex<mpsc::Receiver<Replay>>,
}

struct FlowHealth {
    instances: BTreeMap<u32, InstanceHealth>,
    status: HealthStatus,
    last_transition: SystemTime,
}

/// Which part of the way one pipeline covers.
#[derive(Clone)]
pub(crate) enum Leg {
    /// From the source to the destination.
    Whole,
    /// From the source to the spool.
    Inbound(Arc<Spool>),
    /// From the spool to the destination.
    Outbound(Arc<Spool>),
}

impl Leg {
    /// Whether it begins at the flow's source.
    pub(crate) fn is_first(&self) -> bool {
        matches!(self, Leg::Whole | Leg::Inbound(_))
    }

    /// Whether it ends at the flow's destination.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Leg::Whole | Leg::Outbound(_))
    }
}

/// One pipeline of an instance of a flow.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) flow: Arc<Flow>,
    pub(crate) index: u32,
    pub(crate) leg: Leg,
    pub(crate) seed: u64,
    pub(crate) drain_max: Duration,
    connectors: Arc<dyn Connectors>,
    /// Whether the target is known to be well, so that the ordinary write takes no lock to say so.
    target_is_well: Arc<AtomicBool>,
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
    /// How its instances in this process are, in their order.
    pub instances: Vec<InstanceReport>,
    /// Where its messages are.
    pub ledger: Ledger,
    /// What lies in its spools, if it has any.
    pub spool: Option<SpoolReport>,
}

/// One of several instances of a flow.
#[derive(Clone, Debug)]
pub struct InstanceReport {
    /// Which, from 0.
    pub index: u32,
    /// How it is.
    pub status: HealthStatus,
    /// What keeps it from working.
    pub trouble: Option<Trouble>,
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
        self.retire(plans).await;
        let mut running = self.running.lock();
        running.retain(|_, running| plans.contains(&running.flow.plan));
        for plan in plans {
            running.entry(key(plan)).or_insert_with_key(|key| self.start(key.clone(), plan.clone()));
        }
        self.metrics.active_dataflows().set(i64::try_from(running.len()).unwrap_or(i64::MAX));
        self.changes.send_replace(());
    }

    /// Drains what is not as in `plans`, and returns when it has stopped. It is reported as it was until it is replaced.
    pub async fn retire(&self, plans: &[Arc<Plan>]) {
        let mut leaving = Vec::new();
        for (key, running) in &mut *self.running.lock() {
            if !plans.contains(&running.flow.plan) {
                running.stop.cancel();
                leaving.extend(running.tasks.drain(..).map(|task| (key.clone(), task)));
            }
        }
        for (key, task) in leaving {
            if let Err(error) = task.await {
                tracing::error!(dataflow = key, %error, "a pipeline came to a bad end");
            }
        }
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
            .all(|r| r.flow.health.lock().instances.values().all(InstanceHealth::is_known))
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
            drop(books);
            if let Some(spool) = flow.spool_report().0 {
                flow.metrics.show_spool(&spool);
            }
        }
    }

    /// The instances of a flow that run here, with their spools: those of the profile, and those it no longer has whose
    /// spools are to be emptied.
    fn instances(&self, plan: &Plan) -> BTreeMap<u32, Option<SpoolOptions>> {
        let count = plan.instance_count.max(1);
        (0..count.max(INSTANCES_MAX))
            .filter(|index| self.options.instance.is_none_or(|only| only == *index || *index >= count))
            .map(|index| (index, self.connectors.spool(plan, index)))
            .filter(|(index, spool)| *index < count || spool.is_some())
            .collect()
    }

    fn start(&self, key: String, plan: Arc<Plan>) -> Running {
        let Kept { tap, books } = self.kept.lock().entry(key.clone()).or_default().clone();
        let instances = self.instances(&plan);
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
                instances: instances.keys().map(|index| (*index, InstanceHealth::default())).collect(),
                status: HealthStatus::Unknown,
                last_transition: SystemTime::now(),
            }),
            spools: Mutex::default(),
            changes: self.changes.clone(),
            replay,
            replays: tokio::sync::Mutex::new(replays),
        });
        let stop = CancellationToken::new();
        let tasks = instances
            .into_iter()
            .map(|(index, spool)| {
                let mut hasher = DefaultHasher::new();
                (&flow.key, index).hash(&mut hasher);
                let instance = Instance {
                    flow: flow.clone(),
                    index,
                    leg: Leg::Whole,
                    seed: self.options.seed ^ hasher.finish(),
                    drain_max: self.options.drain_max,
                    connectors: self.connectors.clone(),
                    target_is_well: Arc::default(),
                };
                let stop = stop.clone();
                tokio::spawn(async move {
                    match spool {
                        Some(options) => instance.run_spooled(options, stop).await,
                        None => Arc::new(instance).run(stop).await,
                    }
                })
            })
            .collect();
        Running { flow, stop, tasks }
    }
}

/// Most instances a profile can have.
const INSTANCES_MAX: u32 = 20;

fn key(plan: &Plan) -> String {
    format!("{}/{}", plan.namespace, plan.name)
}

impl Flow {
    fn report(&self) -> FlowReport {
        let (spool, spool_trouble) = self.spool_report();
        let (status, trouble, instances, last_transition) = {
            let health = self.health.lock();
            let (status, trouble) = aggregate(health.instances.values());
            let instances = health.instances.iter().map(|(index, instance)| {
                let (status, trouble) = aggregate(std::iter::once(instance));
                InstanceReport { index: *index, status, trouble }
            });
            (status, trouble, instances.collect(), health.last_transition)
        };
        let state = match (&trouble, status) {
            (Some(_), _) => FlowState::Troubled,
            (None, _) if spool_trouble.is_some() => FlowState::Troubled,
            (None, HealthStatus::Unknown) => FlowState::Starting,
            (None, _) => FlowState::Running,
        };
        // what is delivered of late is delivered all the same
        let status = if spool_trouble.is_some() && status == HealthStatus::Available {
            HealthStatus::Degraded
        } else {
            status
        };
        let reason_code = trouble.as_ref().or(spool_trouble.as_ref()).map(|t| t.reason);
        let forecast = spool.as_ref().and_then(SpoolReport::forecast);
        let sentences = [trouble, spool_trouble].into_iter().flatten().map(|t| t.message).chain(forecast);
        let message = sentences.collect::<Vec<_>>().join("; ");
        FlowReport {
            plan: self.plan.clone(),
            state,
            health: Health { status, reason_code, message, last_transition },
            instances,
            ledger: self.ledger.lock().ledger,
            spool,
        }
    }

    /// What lies in the spools, and what keeps them from taking messages.
    fn spool_report(&self) -> (Option<SpoolReport>, Option<Trouble>) {
        let spools: Vec<_> = self.spools.lock().values().cloned().collect();
        let mut report = SpoolReport::default();
        let mut trouble = None;
        for spool in &spools {
            trouble = trouble.or(spool.report(&mut report));
        }
        ((!spools.is_empty()).then_some(report), trouble)
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
        change(health.instances.get_mut(&index).expect("every instance that runs has an entry"));
        let (status, _) = aggregate(health.instances.values());
        if status != health.status {
            health.status = status;
            health.last_transition = SystemTime::now();
        }
        drop(health);
        self.changes.send_replace(());
    }
}

impl Instance {
    /// Opens the spool and runs the pipelines before and behind it until asked to stop.
    async fn run_spooled(self, options: SpoolOptions, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.seed);
        let spool = loop {
            let opened = tokio::select! {
                opened = Spool::open(options.clone()) => opened,
                () = stop.cancelled() => return,
            };
            match opened {
                Ok(spool) => break spool,
                Err(trouble) => self.troubled("spool", trouble, |health| &mut health.spool),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(Hope::Distant)) => {}
                () = stop.cancelled() => return,
            }
        };
        self.flow.set_health(self.index, |h| h.spool = End::Well);
        {
            let mut books = self.flow.ledger.lock();
            if books.carried_over.insert(self.index) {
                let (ended, in_flight) = spool.books();
                books.carry_over(&ended, in_flight);
            }
        }
        self.flow.spools.lock().insert(self.index, spool.clone());
        let leg = |leg| Arc::new(Self { leg, target_is_well: Arc::default(), ..self.clone() });
        let outbound = leg(Leg::Outbound(spool.clone())).run(stop.clone());
        if self.index < self.flow.plan.instance_count.max(1) {
            let inbound = leg(Leg::Inbound(spool.clone())).run(stop);
            tokio::join!(inbound, outbound);
        } else {
            // there are fewer instances than there were: nothing comes in
            self.flow.set_health(self.index, |h| h.source = End::Well);
            outbound.await;
        }
        self.flow.spools.lock().remove(&self.index);
        spool.close().await;
    }

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
                    let moved = self.moved();
                    let exit = self.pump(source, sink.clone(), &stop).await;
                    sink.close().await;
                    if self.moved() > moved {
                        backoff.reset();
                    }
                    match exit {
                        Exit::Drained => return,
                        Exit::DrainTimedOut if !self.leg.is_first() => return,
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

    /// Grows with every message that moves.
    fn moved(&self) -> u64 {
        let books = self.flow.ledger.lock();
        books.received + books.delivered
    }

    async fn open_sink(&self) -> Result<Arc<dyn Sink>, Hope> {
        if let Leg::Inbound(spool) = &self.leg {
            return Ok(Arc::new(SpoolSink::new(spool.clone())));
        }
        self.connectors.open_sink(&self.flow.plan, self.index).await.map_err(|trouble| {
            self.target_troubled(trouble);
            Hope::Distant
        })
    }

    async fn open_source(&self) -> Result<Box<dyn Source>, Hope> {
        let source: Box<dyn Source> = match &self.leg {
            Leg::Outbound(spool) => Box::new(SpoolSource::new(spool.clone())),
            Leg::Whole | Leg::Inbound(_) => self
                .connectors
                .open_source(&self.flow.plan, self.index)
                .await
                .map_err(|error| self.source_failed(error))?,
        };
        self.flow.set_health(self.index, |health| *self.source_of(health) = End::Well);
        Ok(source)
    }

    /// The end of the flow, or of the spool, where this pipeline begins.
    fn source_of<'a>(&self, health: &'a mut InstanceHealth) -> &'a mut End {
        if self.leg.is_first() { &mut health.source } else { &mut health.spool }
    }

    /// The end of the flow, or of the spool, where this pipeline ends.
    fn target_of<'a>(&self, health: &'a mut InstanceHealth) -> &'a mut End {
        if self.leg.is_last() { &mut health.target } else { &mut health.spool }
    }

    /// Runs the pipeline to its end, and connects the sink ahead of the first write beside it.
    async fn pump(
        self: &Arc<Self>,
        source: Box<dyn Source>,
        sink: Arc<dyn Sink>,
        stop: &CancellationToken,
    ) -> Exit {
        let steps = match self.leg {
            Leg::Inbound(_) => Steps::none(),
            Leg::Whole | Leg::Outbound(_) => {
                Steps::new(&self.flow.plan, |key| self.connectors.watch_dataset(key))
            }
        };
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
        self.troubled("source", trouble, |health| self.source_of(health));
        hope
    }

    /// Hands a dead letter on. Its message is settled by whoever calls.
    pub(crate) fn bury(&self, letter: DeadLetter) {
        self.flow.metrics.error("PayloadError");
        if self.flow.tap.is_watched() {
            self.flow.tap.show_end(Stage::DeadLettered, letter.record.clone(), letter.reason.clone());
        }
        self.connectors.bury(&self.flow.plan, letter);
    }

    pub(crate) fn target_well(&self) {
        if !self.target_is_well.swap(true, Ordering::Relaxed) {
            self.flow.set_health(self.index, |health| *self.target_of(health) = End::Well);
        }
    }

    pub(crate) fn target_troubled(&self, trouble: Trouble) {
        self.target_is_well.store(false, Ordering::Relaxed);
        self.troubled("destination", trouble, |health| self.target_of(health));
    }

    /// Notes a trouble; the log says it once, not at every try.
    fn troubled(&self, end: &str, trouble: Trouble, of: impl FnOnce(&mut InstanceHealth) -> &mut End) {
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
