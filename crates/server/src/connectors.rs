use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_connect::{Context, Credentials, FlowIdentity, LocalBroker};
use tidegate_core::{Sink, Source, SourceError, Trouble, WriteError};
use tidegate_identity::Tokens;
use tidegate_model::endpoint::{Endpoint, MqttHost, Settings};
#[cfg(feature = "kafka")]
use tidegate_model::plan::DataSources;
use tidegate_model::plan::{DataDestination, DestinationSpec, Plan, Transform};
use tidegate_model::topic::TopicTemplate;
use tidegate_runtime::{Connectors, DatasetState, DeadLetter, SpoolOptions};
use tokio::sync::watch;

#[cfg(feature = "lake")]
use crate::Compression;
use crate::StorageOptions;
use crate::dead_letters::DeadLetters;
use crate::services::Datasets;

/// What all connections of an instance have in common; the rest comes from the plan.
pub(crate) struct Connections {
    pub(crate) local_broker: LocalBroker,
    /// Whether the local broker is in this process and keeps its sessions on disk.
    pub(crate) local_broker_is_durable: bool,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) datasets: Datasets,
    /// `None` restores AIO's behaviour: what can't be processed is dropped.
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    pub(crate) spools: Spools,
    pub(crate) places: Places,
}

/// The spools of an instance.
pub(crate) struct Spools {
    /// Where they are, each in `<namespace>.<flow>/<instance>`.
    pub(crate) dir: PathBuf,
    /// Most bytes of each.
    pub(crate) bytes_max: u64,
    /// Most messages a second that leave each.
    pub(crate) drain_rate_max: Option<NonZeroU32>,
}

impl Spools {
    fn of(&self, plan: &Plan, instance: u32) -> SpoolOptions {
        let dir = self.dir.join(format!("{}.{}", plan.namespace, plan.name)).join(instance.to_string());
        SpoolOptions { dir, bytes_max: self.bytes_max, drain_rate_max: self.drain_rate_max }
    }
}

/// Where destinations find and keep files.
pub(crate) struct Places {
    /// Where the folders are that stand for PersistentVolumeClaims, unless it is said otherwise.
    #[cfg_attr(not(feature = "lake"), expect(dead_code, reason = "only the lake writes files"))]
    volumes_dir: PathBuf,
    #[cfg_attr(not(feature = "lake"), expect(dead_code, reason = "only the lake writes files"))]
    storage: StorageOptions,
    /// Where the journals of flows to Azure Data Explorer are, in `<namespace>.<flow>`.
    #[cfg(feature = "adx")]
    adx_dir: PathBuf,
}

impl Places {
    /// In a data directory.
    pub(crate) fn below(data_dir: &Path, storage: StorageOptions) -> Self {
        Self {
            volumes_dir: data_dir.join("volumes"),
            storage,
            #[cfg(feature = "adx")]
            adx_dir: data_dir.join("adx"),
        }
    }

    /// The folder that stands for a PersistentVolumeClaim.
    #[cfg(feature = "lake")]
    fn volume(&self, name: &str) -> PathBuf {
        self.storage.volumes.get(name).cloned().unwrap_or_else(|| self.volumes_dir.join(name))
    }
}

/// An endpoint that is to be tried.
pub(crate) struct Trial<'a> {
    pub(crate) endpoint: Arc<Endpoint>,
    /// What is wanted there; without it, that it answers and takes the credentials.
    pub(crate) destination: Option<DataDestination>,
    /// Of the data flow that wants it.
    pub(crate) transform: Option<&'a Transform>,
    /// The instance of a flow that is none: no trial disturbs another one, or a flow.
    pub(crate) context: &'a Context,
    pub(crate) places: &'a Places,
}

impl Trial<'_> {
    /// Connects as a data flow does, looks whether it could deliver, and leaves. Sends no message and leaves nothing behind.
    /// Gives what is not as it should be though it works, or can't be known.
    pub(crate) async fn run(self) -> Result<Option<String>, Trouble> {
        let Self { endpoint, destination, transform, context, places } = self;
        #[cfg(any(feature = "adx", feature = "lake"))]
        let name = match &destination {
            Some(DataDestination::Name(name)) => Some(name.as_str()),
            _ => None,
        };
        #[cfg(feature = "lake")]
        if endpoint.settings.endpoint_type().stores_files() {
            let volume = |name: &str| places.volume(name);
            return tidegate_connect_lake::examine(&endpoint, transform, name, context, &volume).await;
        }
        #[cfg(feature = "adx")]
        if let Settings::DataExplorer(adx) = &endpoint.settings {
            let columns = transform.and_then(|t| t.columns.as_deref());
            return tidegate_connect_adx::examine(&endpoint, adx, name, columns, context).await;
        }
        // one that nobody has, where none is wanted
        let any = match endpoint.settings {
            Settings::Mqtt(_) => TopicTemplate::parse(ANY_NAME).ok().map(DataDestination::Topic),
            _ => None,
        };
        let data_destination = destination.or(any).unwrap_or_else(|| DataDestination::Name(ANY_NAME.into()));
        let destination = DestinationSpec { endpoint, data_destination, headers: vec![] };
        let sink = open_sink(&destination, transform, context, places, None).await?;
        let prepared = sink.prepare().await;
        sink.close().await;
        match prepared {
            // of no records none can be rejected
            Ok(()) | Err(WriteError::Reject(_)) => Ok(None),
            Err(WriteError::Retry { trouble, .. } | WriteError::Fatal(trouble)) => Err(trouble),
        }
    }
}

const ANY_NAME: &str = "tidegate-connection-test";

/// Makes the sink of a destination. What it takes back goes to the dead letters, if there are any.
async fn open_sink(
    destination: &DestinationSpec,
    transform: Option<&Transform>,
    context: &Context,
    places: &Places,
    dead_letters: Option<&Arc<DeadLetters>>,
) -> Result<Arc<dyn Sink>, Trouble> {
    #[cfg(feature = "kafka")]
    if let (Settings::Kafka(kafka), DataDestination::Name(topic)) =
        (&destination.endpoint.settings, &destination.data_destination)
    {
        let DestinationSpec { endpoint, headers, .. } = destination;
        return Ok(tidegate_connect_kafka::open_sink(endpoint, kafka, topic, headers, context).into());
    }
    #[cfg(feature = "lake")]
    if let DataDestination::Name(name) = &destination.data_destination
        && destination.endpoint.settings.endpoint_type().stores_files()
    {
        let options = tidegate_connect_lake::Options {
            volume: &|name| places.volume(name),
            local_latency: places.storage.local_latency,
            compression: match places.storage.compression {
                Compression::Snappy => tidegate_connect_lake::Compression::Snappy,
                Compression::Zstd => tidegate_connect_lake::Compression::Zstd,
            },
            drop_batches: places.storage.drop_batches,
        };
        return tidegate_connect_lake::open_sink(&destination.endpoint, transform, name, context, &options);
    }
    #[cfg(feature = "adx")]
    if let (Settings::DataExplorer(adx), DataDestination::Name(table)) =
        (&destination.endpoint.settings, &destination.data_destination)
    {
        let FlowIdentity { namespace, dataflow, .. } = &context.flow;
        let flow = format!("{namespace}/{dataflow}");
        let journals = places.adx_dir.join(format!("{namespace}.{dataflow}"));
        let dead_letters = dead_letters.cloned();
        let bury = move |record, reason| {
            if let Some(dead_letters) = &dead_letters {
                dead_letters.put(&flow, DeadLetter { record, reason });
            }
        };
        let columns = transform.and_then(|t| t.columns.as_deref());
        let keep = (&*journals, Arc::new(bury) as _);
        let endpoint = &destination.endpoint;
        return tidegate_connect_adx::open_sink(endpoint, adx, table, columns, context, keep).map(Arc::from);
    }
    #[cfg(not(any(feature = "adx", feature = "lake")))]
    let _ = (transform, places);
    #[cfg(not(feature = "adx"))]
    let _ = dead_letters;
    tidegate_connect::open_sink(destination, context).await.map(Arc::from)
}

impl Connections {
    /// What a trial has for an identity.
    pub(crate) fn trial_context(
        &self,
        endpoint: &Endpoint,
        credentials: Arc<dyn Credentials>,
        number: u64,
    ) -> Context {
        Context {
            flow: FlowIdentity {
                namespace: endpoint.namespace.clone(),
                profile: "connection-test".into(),
                dataflow: format!("{}-{number}-{}", endpoint.name, std::process::id()),
                instance_index: 0,
                instance_count: 1,
            },
            request_disk_persistence: false,
            local_broker: self.local_broker.clone(),
            credentials,
            tokens: self.tokens.clone(),
        }
    }

    fn context(&self, plan: &Plan, instance: u32) -> Context {
        Context {
            flow: flow_identity(plan, instance),
            request_disk_persistence: plan.request_disk_persistence,
            local_broker: self.local_broker.clone(),
            credentials: self.credentials.clone(),
            tokens: self.tokens.clone(),
        }
    }
}

pub(crate) fn flow_identity(plan: &Plan, instance: u32) -> FlowIdentity {
    FlowIdentity {
        namespace: plan.namespace.clone(),
        profile: plan.profile.to_string(),
        dataflow: plan.name.to_string(),
        instance_index: instance,
        instance_count: plan.instance_count,
    }
}

/// Whether a flow needs a spool. The local broker in this process keeps messages itself; any other source hands over only
/// so many before it wants them acknowledged, and what batches more than that, or asks for persistence, gets a spool.
///
/// What is written to files or a table is to be there once, over any crash, and for that a message needs a place in a
/// log: such a flow gets a spool wherever messages outlive a crash.
fn wants_spool(plan: &Plan, local_broker: &LocalBroker, local_broker_is_durable: bool) -> bool {
    let embedded = matches!(local_broker, LocalBroker::Embedded(_));
    let to = &plan.destination.endpoint.settings;
    let window = match &plan.source.endpoint.settings {
        Settings::Mqtt(mqtt) if mqtt.host == MqttHost::LocalBroker && embedded => {
            return local_broker_is_durable
                && match to {
                    Settings::DataExplorer(s) => s.ingestion.deduplicate,
                    _ => to.endpoint_type().stores_files(),
                };
        }
        Settings::Mqtt(mqtt) => u64::from(mqtt.inflight_max),
        _ => KAFKA_WINDOW,
    };
    let batch = match to {
        // these pass on what there is; what they call a batch fills while messages are on their way
        Settings::Mqtt(_) | Settings::Kafka(_) | Settings::OpenTelemetry(_) => 1,
        Settings::DataLakeStorage(s) => s.batching.messages_max.unwrap_or(u64::MAX),
        Settings::FabricOneLake(s) => s.batching.messages_max.unwrap_or(u64::MAX),
        Settings::DataExplorer(s) => s.batching.messages_max.unwrap_or(u64::MAX),
        // a file is whole when it is written
        Settings::LocalStorage(_) => u64::MAX,
    };
    plan.request_disk_persistence || batch > window
}

/// How many records a Kafka source hands over before it wants them acknowledged.
const KAFKA_WINDOW: u64 = 10_000;

#[async_trait]
impl Connectors for Connections {
    async fn open_source(&self, plan: &Plan, instance: u32) -> Result<Box<dyn Source>, SourceError> {
        let context = self.context(plan, instance);
        #[cfg(feature = "kafka")]
        if let (Settings::Kafka(kafka), DataSources::Kafka { topics, consumer_group_id }) =
            (&plan.source.endpoint.settings, &plan.source.data_sources)
        {
            let endpoint = &plan.source.endpoint;
            return tidegate_connect_kafka::open_source(endpoint, kafka, topics, consumer_group_id, &context)
                .await;
        }
        tidegate_connect::open_source(&plan.source, &context).await
    }

    fn spool(&self, plan: &Plan, instance: u32) -> Option<SpoolOptions> {
        let options = self.spools.of(plan, instance);
        let wanted = instance < plan.instance_count
            && wants_spool(plan, &self.local_broker, self.local_broker_is_durable);
        // one that was made earlier may hold messages
        (wanted || options.dir.exists()).then_some(options)
    }

    fn watch_dataset(&self, key: &str) -> watch::Receiver<DatasetState> {
        self.datasets.watch(key)
    }

    fn bury(&self, plan: &Plan, letter: DeadLetter) {
        tracing::debug!(dataflow = %plan.name, topic = %letter.record.topic, reason = letter.reason, "a dead letter");
        if let Some(dead_letters) = &self.dead_letters {
            dead_letters.put(&format!("{}/{}", plan.namespace, plan.name), letter);
        }
    }

    async fn open_sink(&self, plan: &Plan, instance: u32) -> Result<Arc<dyn Sink>, Trouble> {
        let context = self.context(plan, instance);
        let dead_letters = self.dead_letters.as_ref();
        open_sink(&plan.destination, plan.transform.as_ref(), &context, &self.places, dead_letters).await
    }
}
