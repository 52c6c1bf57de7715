//! A scripted source and a scripted destination, and the books a test compares them by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::{
    Ack, Batch, ByteString, Record, Rejected, Sink, Source, SourceError, Trouble, WriteError,
};
use tidegate_expr::{Rules, Semantics};
use tidegate_model::endpoint::{
    Authentication, CloudEventAttributes, Endpoint, Mqtt, MqttHost, MqttProtocol, Qos, Settings, Tls,
};
use tidegate_model::names::ResourceName;
use tidegate_model::plan::{
    DataDestination, DataSources, DestinationSpec, Plan, SerializationFormat, SourceSpec, Transform,
};
use tidegate_model::topic::{TopicFilter, TopicTemplate};
use tidegate_runtime::{
    Connectors, DatasetState, DeadLetter, Ledger, Metrics, SpoolOptions, Supervisor, SupervisorOptions,
};
use tokio::sync::{Notify, watch};

/// What a broker would keep: messages nobody has acknowledged, oldest first.
#[derive(Default)]
pub(crate) struct Broker {
    pub(crate) waiting: Mutex<VecDeque<(u64, Record)>>,
    pub(crate) acked: Mutex<Vec<u64>>,
    pub(crate) opened: AtomicUsize,
    pub(crate) arrived: Notify,
    /// The source fails once it has handed over this many batches.
    pub(crate) fails_after: Mutex<Option<usize>>,
    pub(crate) batch_max: AtomicUsize,
    pub(crate) unacked_max: AtomicUsize,
    pub(crate) unacked_seen: AtomicUsize,
    /// Messages that the source had to drop and has not said so.
    pub(crate) dropped: AtomicUsize,
}

impl Broker {
    pub(crate) fn publish(&self, numbers: std::ops::Range<u64>) {
        let now = tokio::time::Instant::now().into_std();
        self.publish_with(numbers, |n| Record::new("in", ByteString::from(n.to_string()).into_bytes(), now));
    }

    pub(crate) fn publish_with(&self, numbers: std::ops::Range<u64>, record: impl Fn(u64) -> Record) {
        self.waiting.lock().extend(numbers.map(|n| (n, record(n))));
        self.arrived.notify_one();
    }

    pub(crate) fn acked(&self) -> Vec<u64> {
        self.acked.lock().clone()
    }
}

struct ScriptedSource {
    broker: Arc<Broker>,
    unacked: VecDeque<(u64, Vec<(u64, Record)>)>,
    batches: u64,
}

impl Drop for ScriptedSource {
    fn drop(&mut self) {
        let mut waiting = self.broker.waiting.lock();
        for (_, batch) in self.unacked.drain(..).rev() {
            for message in batch.into_iter().rev() {
                waiting.push_front(message);
            }
        }
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        loop {
            {
                let mut fails_after = self.broker.fails_after.lock();
                if fails_after.is_some_and(|n| self.batches as usize >= n) {
                    *fails_after = None;
                    return Err(SourceError::Lost(Trouble::new("DataflowMqttSourceConnectionFailed", "cut")));
                }
            }
            let arrived = self.broker.arrived.notified();
            let batch: Vec<_> = {
                let mut waiting = self.broker.waiting.lock();
                let n = self.broker.batch_max.load(Ordering::Relaxed).min(waiting.len());
                waiting.drain(..n).collect()
            };
            if batch.is_empty() {
                arrived.await;
                continue;
            }
            self.batches += 1;
            let records = batch.iter().map(|(_, r)| r.clone()).collect();
            self.unacked.push_back((self.batches, batch));
            let unacked = self.unacked.iter().map(|(_, b)| b.len()).sum();
            self.broker.unacked_seen.fetch_max(unacked, Ordering::Relaxed);
            return Ok(Some(Batch { records, ack: Ack::new(self.batches) }));
        }
    }

    async fn ack(&mut self, ack: Ack) -> Result<(), SourceError> {
        let (number, batch) = self.unacked.pop_front().expect("an ack for every batch, once");
        assert_eq!(number, ack.number(), "acks come in the order of the batches");
        self.broker.acked.lock().extend(batch.iter().map(|(n, _)| *n));
        Ok(())
    }

    fn unacked_max(&self) -> usize {
        self.broker.unacked_max.load(Ordering::Relaxed)
    }

    fn take_dropped(&mut self) -> u64 {
        self.broker.dropped.swap(0, Ordering::Relaxed) as u64
    }
}

/// What the destination does with the next write.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Take,
    TakeAfter(Duration),
    /// Takes them once [`Destination::told`] is notified.
    TakeWhenTold,
    /// Takes the first so many, then fails.
    Retry(usize),
    Fatal,
    Reject(Vec<usize>),
    Never,
    Panic,
}

#[derive(Default)]
pub(crate) struct Destination {
    pub(crate) taken: Mutex<Vec<u64>>,
    pub(crate) payloads: Mutex<Vec<String>>,
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    pub(crate) in_flight_max: AtomicUsize,
    pub(crate) told: Notify,
    pub(crate) prepares: Mutex<VecDeque<WriteError>>,
}

impl Destination {
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().extend(answers);
    }

    pub(crate) fn taken(&self) -> Vec<u64> {
        self.taken.lock().clone()
    }

    fn take(&self, records: &[Record]) {
        self.taken
            .lock()
            .extend(records.iter().filter_map(|r| std::str::from_utf8(&r.payload).ok()?.parse::<u64>().ok()));
        self.payloads.lock().extend(records.iter().map(|r| String::from_utf8_lossy(&r.payload).into_owned()));
    }
}

pub(crate) fn number(record: &Record) -> u64 {
    std::str::from_utf8(&record.payload).unwrap().parse().unwrap()
}

pub(crate) fn target_trouble() -> Trouble {
    Trouble::new("DataflowMqttTargetConnectionFailed", "the destination is down")
}

struct ScriptedSink(Arc<Destination>);

#[async_trait]
impl Sink for ScriptedSink {
    async fn prepare(&self) -> Result<(), WriteError> {
        let error = self.0.prepares.lock().pop_front();
        error.map_or(Ok(()), Err)
    }

    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        let answer = self.0.answers.lock().pop_front().unwrap_or(Answer::Take);
        match answer {
            Answer::Take => self.0.take(records),
            Answer::TakeAfter(wait) => {
                tokio::time::sleep(wait).await;
                self.0.take(records);
            }
            Answer::TakeWhenTold => {
                self.0.told.notified().await;
                self.0.take(records);
            }
            Answer::Retry(written) => {
                let written = written.min(records.len());
                self.0.take(&records[..written]);
                return Err(WriteError::Retry { trouble: target_trouble(), written });
            }
            Answer::Fatal => return Err(WriteError::Fatal(target_trouble())),
            Answer::Reject(indices) => {
                let rejected: Vec<Rejected> = indices
                    .into_iter()
                    .filter(|i| *i < records.len())
                    .map(|index| Rejected { index, reason: "poison".into(), expired: false })
                    .collect();
                for (i, record) in records.iter().enumerate() {
                    if rejected.iter().all(|r| r.index != i) {
                        self.0.take(std::slice::from_ref(record));
                    }
                }
                return Err(WriteError::Reject(rejected));
            }
            Answer::Never => std::future::pending().await,
            Answer::Panic => panic!("a bug in a connector"),
        }
        Ok(())
    }

    fn in_flight_max(&self) -> usize {
        self.0.in_flight_max.load(Ordering::Relaxed)
    }
}

/// A supervisor between one broker and one destination.
pub(crate) struct World {
    pub(crate) broker: Arc<Broker>,
    pub(crate) destination: Arc<Destination>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) dataset: watch::Sender<DatasetState>,
    pub(crate) buried: Arc<Mutex<Vec<DeadLetter>>>,
}

struct Scripted {
    spool: Option<SpoolOptions>,
    broker: Arc<Broker>,
    destination: Arc<Destination>,
    dataset: watch::Sender<DatasetState>,
    buried: Arc<Mutex<Vec<DeadLetter>>>,
}

#[async_trait]
impl Connectors for Scripted {
    async fn open_source(&self, _: &Plan, _: u32) -> Result<Box<dyn Source>, SourceError> {
        self.broker.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ScriptedSource { broker: self.broker.clone(), unacked: VecDeque::new(), batches: 0 }))
    }

    fn spool(&self, _: &Plan, instance: u32) -> Option<SpoolOptions> {
        self.spool.clone().filter(|_| instance == 0)
    }

    fn watch_dataset(&self, _: &str) -> watch::Receiver<DatasetState> {
        self.dataset.subscribe()
    }

    fn bury(&self, _: &Plan, letter: DeadLetter) {
        self.buried.lock().push(letter);
    }

    async fn open_sink(&self, _: &Plan, _: u32) -> Result<Arc<dyn Sink>, Trouble> {
        Ok(Arc::new(ScriptedSink(self.destination.clone())))
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_spool(None)
    }

    pub(crate) fn with_spool(spool: Option<SpoolOptions>) -> Self {
        let broker = Arc::new(Broker::default());
        broker.batch_max.store(10, Ordering::Relaxed);
        broker.unacked_max.store(100, Ordering::Relaxed);
        let destination = Arc::new(Destination::default());
        destination.in_flight_max.store(1, Ordering::Relaxed);
        let dataset = watch::Sender::new(DatasetState::Pending);
        let buried = Arc::default();
        // what lies in a spool need not wait for a destination that is stuck
        let drain_max = if spool.is_some() { Duration::ZERO } else { Duration::from_secs(10) };
        let scripted = Scripted {
            spool,
            broker: broker.clone(),
            destination: destination.clone(),
            dataset: dataset.clone(),
            buried: Arc::clone(&buried),
        };
        let metrics = Metrics::new(prometheus::Registry::new());
        let options = SupervisorOptions { drain_max, seed: 7, ..SupervisorOptions::default() };
        let supervisor = Arc::new(Supervisor::new(Arc::new(scripted), metrics, options));
        Self { broker, destination, supervisor, dataset, buried }
    }

    pub(crate) async fn start(&self) {
        self.supervisor.apply(&[plan("flow", "out")]).await;
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let ledger = self.supervisor.report()[0].ledger;
        assert!(ledger.balances(), "{ledger:?}");
        ledger
    }

    /// Lets (paused) time pass until the condition holds.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let started = std::time::Instant::now();
        for _ in 0..200_000 {
            if condition(self) {
                return;
            }
            if started.elapsed() > Duration::from_secs(60) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; {:?}, acked {:?}", self.supervisor.report()[0], self.broker.acked());
    }

    pub(crate) async fn until_acked(&self, count: usize) {
        self.until("all acked", |w| w.broker.acked.lock().len() >= count).await;
    }
}

pub(crate) fn plan(name: &str, topic: &str) -> Arc<Plan> {
    let endpoint = Arc::new(Endpoint {
        name: ResourceName::default_name(),
        namespace: "azure-iot-operations".into(),
        host_type: None,
        settings: Settings::Mqtt(Mqtt {
            host: MqttHost::LocalBroker,
            authentication: Authentication::Anonymous,
            tls: Tls::Disabled,
            protocol: MqttProtocol::Mqtt,
            client_id_prefix: None,
            qos: Qos::One,
            keep_retain: true,
            session_expiry: Duration::from_secs(600),
            keep_alive: Duration::from_secs(60),
            inflight_max: 100,
            cloud_event_attributes: CloudEventAttributes::Propagate,
        }),
    });
    let filters = vec![TopicFilter::parse("in").unwrap()];
    Arc::new(Plan {
        name: ResourceName::parse(name).unwrap(),
        namespace: "azure-iot-operations".into(),
        profile: ResourceName::default_name(),
        instance_count: 1,
        source: SourceSpec {
            endpoint: endpoint.clone(),
            data_sources: DataSources::Mqtt { filters, qos: Qos::One },
            schema: None,
        },
        transform: None,
        destination: DestinationSpec {
            endpoint,
            data_destination: DataDestination::Topic(TopicTemplate::parse(topic).unwrap()),
            headers: vec![],
        },
        request_disk_persistence: false,
    })
}

/// The same flow with a transformation in it.
pub(crate) fn transforming(rules: Rules) -> Arc<Plan> {
    let (rules, _) = tidegate_expr::Transform::compile(rules, Semantics::default()).unwrap();
    let transform =
        Transform { rules: Arc::new(rules), format: SerializationFormat::Json, schema: None, columns: None };
    Arc::new(Plan { transform: Some(transform), ..(*plan("flow", "out")).clone() })
}
