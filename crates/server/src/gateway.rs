use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus::Registry;
use tidegate_broker::{Anonymous, Broker, BrokerConfig, JournalLimits, ListenError, Listener};
use tidegate_connect::LocalBroker;
use tidegate_core::Files;
use tidegate_identity::{AmbientTokens, Surroundings};
use tidegate_log::{Directory, Log};
use tidegate_model::endpoint::Settings;
use tidegate_model::names::HostPort;
use tidegate_model::plan::Plan;
use tidegate_model::simulator::Simulator;
use tidegate_model::{Catalog, Dataflow, DataflowState, LoadOptions};
use tidegate_runtime::{FlowReport, FlowState, Metrics, Supervisor, SupervisorOptions, Tap};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::broker_config::broker_config;
use crate::broker_metrics::BrokerMetrics;
use crate::connectors::{Connections, Places, Spools, flow_identity};
use crate::credentials::Vault;
use crate::dead_letters::DeadLetters;
use crate::diagnostics::Report;
use crate::resources::{self, Change, ChangeError, Done, Snapshot};
use crate::services::{Datasets, Services};
use crate::{ApiToken, DataDir, DataDirError, http, simulator};

/// How long a change may take to show that it works, where it is undone otherwise.
const TRIAL_MAX: Duration = Duration::from_secs(30);

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It is only judged.
    DryRun,
    /// It stays.
    Made,
    /// It stays if the flows that it touches work.
    Tried,
}

/// What to run, and where.
pub struct Options {
    /// The folder that holds everything durable.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub http_listen: SocketAddr,
    /// What whoever uses the API has to send; without it the API is for this machine only.
    pub api_token: Option<ApiToken>,
    /// Who answers for the host `aio-broker`.
    pub local_broker: LocalBrokerOptions,
    /// Secrets as files, `DIR/<secret>/<key>`, beside those among the resources.
    pub secrets_dir: Option<PathBuf>,
    /// Of destinations that are files.
    pub storage: StorageOptions,
    /// Whether messages that can't be processed are kept, or dropped as AIO does.
    pub keep_dead_letters: bool,
    /// How long a flow that is stopped waits for its writes.
    pub drain_max: Duration,
    /// Which one of how many instances of every flow to run; without it all that their profiles want.
    pub instance: Option<InstanceOf>,
    /// Most bytes on disk of each spool.
    pub spool_bytes_max: u64,
    /// Most messages a second that leave each spool.
    pub spool_drain_rate_max: Option<NonZeroU32>,
}

/// One of several instances of every flow, each in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceOf {
    /// Which, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// How files are written, and where. By default at once, in the data directory.
#[derive(Clone, Debug, Default)]
pub struct StorageOptions {
    /// Folders that stand for PersistentVolumeClaims, by name; any other is in `volumes` of the data directory.
    pub volumes: BTreeMap<String, PathBuf>,
    /// How long messages for local storage are gathered, at most.
    pub local_latency: Duration,
    /// Of Parquet files.
    pub compression: Compression,
    /// Whether a message that lacks what must not be null takes all with it that would be in its file, as in AIO.
    pub drop_batches: bool,
}

/// How Parquet files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compression {
    #[default]
    Snappy,
    Zstd,
}

/// Where the broker in this process keeps what outlives a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In memory.
    Memory,
    /// On synced disk, before it is acknowledged.
    Disk,
}

/// Who answers for the host `aio-broker`.
pub enum LocalBrokerOptions {
    /// A broker in this process.
    Embedded {
        /// Where it listens, beside the listeners of the `Broker` resource.
        listeners: Vec<Listener>,
        /// Whether clients without credentials may come from other machines too.
        allow_anonymous: bool,
        /// Whether what outlives a connection outlives the process too.
        durability: Durability,
    },
    /// Another broker.
    Remote {
        /// Where it listens.
        address: HostPort,
        /// Whether with TLS.
        tls: bool,
    },
}

/// Which resources an instance runs.
#[derive(Debug)]
pub enum Resources {
    /// Those of these files; only [`Gateway::replace`] changes them.
    Files(Files, LoadOptions),
    /// Those that were applied, now and earlier.
    Applied(LoadOptions),
}

/// A data flow that is known and does not run.
#[derive(Clone, Debug)]
pub struct Idle {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The profile's name.
    pub profile: String,
    /// `mode: Disabled`; otherwise this version can't run it.
    pub disabled: bool,
    /// Why, in words.
    pub message: String,
    /// What would run.
    pub plan: Option<Arc<Plan>>,
}

impl Idle {
    /// Why a data flow does not run, if it does not.
    fn of(flow: &Dataflow) -> Option<Self> {
        let (plan, message) = match &flow.state {
            DataflowState::Disabled => (None, "it is disabled: `mode: Disabled`".to_owned()),
            DataflowState::Invalid => (None, "it has errors: see `tidegate check`".to_owned()),
            DataflowState::Enabled(plan) => (Some(plan.clone()), cannot_run(plan)?),
        };
        Some(Self {
            namespace: flow.namespace.clone(),
            name: flow.name.to_string(),
            profile: flow.profile.to_string(),
            disabled: matches!(flow.state, DataflowState::Disabled),
            message,
            plan,
        })
    }
}

/// What of a plan this version can't run. A flow never runs in part.
fn cannot_run(plan: &Plan) -> Option<String> {
    let runs = |settings: &Settings| {
        matches!(settings, Settings::Mqtt(_))
            || cfg!(feature = "kafka") && matches!(settings, Settings::Kafka(_))
    };
    let stores = |settings: &Settings| {
        cfg!(feature = "adx") && matches!(settings, Settings::DataExplorer(_))
            || cfg!(feature = "lake") && settings.endpoint_type().stores_files()
    };
    if !runs(&plan.source.endpoint.settings) {
        Some(format!(
            "a source of type {} does not run in this version",
            plan.source.endpoint.settings.endpoint_type().as_str()
        ))
    } else if !runs(&plan.destination.endpoint.settings) && !stores(&plan.destination.endpoint.settings) {
        let r#type = plan.destination.endpoint.settings.endpoint_type().as_str();
        Some(format!("a destination of type {type} does not run in this version"))
    } else {
        None
    }
}

/// Why an instance can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The API's listener.
    #[error("can't listen on {address}: {error}")]
    Http {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A listener of the local broker.
    #[error(transparent)]
    Mqtt(#[from] ListenError),
    /// The thread that writes dead letters.
    #[error("can't keep dead letters: {0}")]
    DeadLetters(std::io::Error),
    /// State store or schema registry.
    #[error("{0}")]
    Services(String),
    /// The log under the local broker's sessions.
    #[error("can't go on with the local broker's sessions: {0}")]
    Log(String),
    /// The resources that were applied earlier.
    #[error("can't read the applied resources: {0}")]
    Resources(std::io::Error),
    /// The `Broker` resource needs something that is not there.
    #[error("{0}")]
    Broker(String),
}

/// A broker that goes on with what its log in that folder has.
async fn open_broker(dir: &Path, config: BrokerConfig) -> Result<Broker, String> {
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let disk = Directory::open(dir).map_err(|error| error.to_string())?;
    let limits = JournalLimits::default();
    let options = limits.log_options(&config.limits);
    // it reads and syncs
    let log = tokio::task::spawn_blocking(move || Log::open(Arc::new(disk), options)).await;
    let log = log.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Broker::open(config, log, limits).await.map_err(|error| error.to_string())
}

/// One running instance.
pub struct Gateway {
    shared: Arc<Shared>,
    http_address: SocketAddr,
    mqtt_addresses: Vec<SocketAddr>,
    http_server: tokio::task::JoinHandle<()>,
    // held for as long as the instance runs
    _data_dir: DataDir,
}

/// What requests need.
pub(crate) struct Shared {
    pub(crate) supervisor: Supervisor,
    pub(crate) idle: Mutex<Vec<Idle>>,
    pub(crate) resources: Mutex<resources::Resources>,
    /// One change at a time.
    changes: tokio::sync::Mutex<()>,
    pub(crate) vault: Arc<Vault>,
    simulators: Mutex<Simulators>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) api_token: Option<ApiToken>,
    pub(crate) started_at: SystemTime,
    /// Counts what needs a name of its own.
    last_number: AtomicU64,
    /// Which instance of every flow this process is, where it is one of them.
    pub(crate) instance: Option<InstanceOf>,
    pub(crate) stopping: CancellationToken,
    broker: Option<Broker>,
    broker_metrics: BrokerMetrics,
    services: Option<Services>,
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
}

/// How everything was before a change.
struct Before {
    said: Snapshot,
    catalog: Arc<Catalog>,
    running: Vec<FlowReport>,
    idle: Vec<Idle>,
}

impl Before {
    fn of(shared: &Shared) -> Self {
        Self {
            said: shared.resources.lock().snapshot(),
            catalog: shared.catalog(),
            running: shared.supervisor.report(),
            idle: shared.idle.lock().clone(),
        }
    }
}

/// Runs what waits for the disk where it keeps nobody else waiting.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, ChangeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ChangeError::Disk(std::io::Error::other(e)))?
}

/// The simulated assets that run.
#[derive(Default)]
struct Simulators {
    running: Vec<Simulator>,
    stop: CancellationToken,
}

impl Gateway {
    /// Takes the data directory, opens the listeners and starts the flows. Flows go on starting after it returns: see
    /// [`Gateway::ready`].
    ///
    /// # Errors
    /// [`StartError`]: the folder, or a listener. A destination or source that is down is none.
    pub async fn start(options: Options, given: Resources) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&options.data_dir)?;
        let (resources, catalog) = match given {
            Resources::Files(files, load) => {
                let catalog = tidegate_model::load(&files, &load).value;
                (resources::Resources::given(&files, load), catalog)
            }
            Resources::Applied(load) => {
                let dir = data_dir.path().join("resources");
                resources::Resources::applied(dir, load).map_err(StartError::Resources)?
            }
        };
        let catalog = Arc::new(catalog);
        let address = options.http_listen;
        let http = TcpListener::bind(address).await.map_err(|error| StartError::Http { address, error })?;
        let http_address = http.local_addr().map_err(|error| StartError::Http { address, error })?;
        let credentials = Arc::new(Vault::new(catalog.clone(), options.secrets_dir));
        let stopping = CancellationToken::new();
        let mut mqtt_addresses = Vec::new();
        let mut services = None;
        let local_broker_is_durable = matches!(
            &options.local_broker,
            LocalBrokerOptions::Embedded { durability: Durability::Disk, .. }
        );
        let (broker, local_broker) = match options.local_broker {
            LocalBrokerOptions::Embedded { listeners, allow_anonymous, durability } => {
                let (mut config, more) =
                    broker_config(&catalog, &*credentials).map_err(StartError::Broker)?;
                if allow_anonymous {
                    config.authentication.anonymous = Anonymous::Allowed;
                }
                let broker = match durability {
                    Durability::Memory => Broker::new(config),
                    Durability::Disk => {
                        open_broker(&data_dir.path().join("broker"), config).await.map_err(StartError::Log)?
                    }
                };
                for listener in listeners.into_iter().chain(more) {
                    mqtt_addresses.push(broker.listen(listener)?);
                }
                services = Some(
                    Services::start(data_dir.path(), &catalog, &broker)
                        .await
                        .map_err(StartError::Services)?,
                );
                (Some(broker.clone()), LocalBroker::Embedded(broker))
            }
            LocalBrokerOptions::Remote { address, tls } => (None, LocalBroker::Remote { address, tls }),
        };
        let registry = Registry::new();
        let broker_metrics = BrokerMetrics::new(&registry);
        let datasets = Datasets::new(services.as_ref().map(|s: &Services| s.state_store.clone()));
        let tokens = Arc::new(AmbientTokens::new(Surroundings::of_process()));
        let dead_letters = match options.keep_dead_letters {
            true => Some(Arc::new(DeadLetters::open(data_dir.path()).map_err(StartError::DeadLetters)?)),
            false => None,
        };
        let spools = Spools {
            dir: data_dir.path().join("spool"),
            bytes_max: options.spool_bytes_max,
            drain_rate_max: options.spool_drain_rate_max,
        };
        let connections = Arc::new(Connections {
            local_broker,
            local_broker_is_durable,
            credentials: credentials.clone(),
            tokens,
            datasets,
            dead_letters: dead_letters.clone(),
            spools,
            places: Places::below(data_dir.path(), options.storage),
        });
        let supervisor = Supervisor::new(
            connections.clone(),
            Metrics::new(registry),
            SupervisorOptions {
                drain_max: options.drain_max,
                instance: options.instance.map(|i| i.index),
                ..SupervisorOptions::default()
            },
        );
        let shared = Arc::new(Shared {
            supervisor,
            idle: Mutex::default(),
            resources: Mutex::new(resources),
            changes: tokio::sync::Mutex::default(),
            vault: credentials,
            simulators: Mutex::default(),
            connections,
            api_token: options.api_token,
            started_at: SystemTime::now(),
            last_number: AtomicU64::new(0),
            instance: options.instance,
            stopping,
            broker,
            broker_metrics,
            services,
            dead_letters,
        });
        let service = http::router(shared.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let stopping = shared.stopping.clone();
        let http_server = tokio::spawn(async move {
            let served = axum::serve(http, service).with_graceful_shutdown(stopping.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "the API has stopped");
            }
        });
        shared.reconcile(catalog).await;
        Ok(Self { shared, http_address, mqtt_addresses, http_server, _data_dir: data_dir })
    }

    /// Where the API listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where the local broker listens, in the order of its listeners.
    pub fn mqtt_addresses(&self) -> &[SocketAddr] {
        &self.mqtt_addresses
    }

    /// Returns when every flow is known to work, or its trouble is known.
    pub async fn ready(&self) {
        self.shared.supervisor.ready().await;
    }

    /// Every flow that runs.
    pub fn report(&self) -> Vec<FlowReport> {
        self.shared.supervisor.report()
    }

    /// Every flow that does not.
    pub fn idle(&self) -> Vec<Idle> {
        self.shared.idle.lock().clone()
    }

    /// The simulated assets that run.
    pub fn simulators(&self) -> Vec<Simulator> {
        self.shared.simulators.lock().running.clone()
    }

    /// Runs what these files hold instead of what the earlier ones did. Only what differs is drained and started anew.
    pub async fn replace(&self, files: &Files, load: LoadOptions) {
        let catalog = tidegate_model::load(files, &load).value;
        let _turn = self.shared.changes.lock().await;
        *self.shared.resources.lock() = resources::Resources::given(files, load);
        self.shared.reconcile(Arc::new(catalog)).await;
    }

    /// Where the messages of a flow can be watched.
    pub fn tap(&self, namespace: &str, name: &str) -> Tap {
        self.shared.supervisor.tap(namespace, name)
    }

    /// Drains the flows, then closes the listeners.
    pub async fn shutdown(self) {
        self.shared.supervisor.shutdown().await;
        if let Some(dead_letters) = self.shared.dead_letters.clone() {
            // an error would say that it panicked; there is nobody left to tell
            let _ = tokio::task::spawn_blocking(move || dead_letters.flush()).await;
        }
        if let Some(broker) = &self.shared.broker {
            broker.shutdown().await;
        }
        if let Some(services) = &self.shared.services {
            services.state_store.shutdown().await;
        }
        self.shared.stopping.cancel();
        // open requests have been told; a client that holds its connection all the same must not keep us
        let _ = tokio::time::timeout(Duration::from_secs(1), self.http_server).await;
    }
}

impl Shared {
    /// Works out a change and makes it, as far as that is wanted. Returns when what had to stop has stopped. It goes on to
    /// its end when the caller does not wait for it.
    pub(crate) async fn change(
        self: &Arc<Self>,
        how: How,
        work: impl FnOnce(&resources::Resources) -> Result<Change, ChangeError> + Send + 'static,
    ) -> Result<(Vec<Done>, Report), ChangeError> {
        let shared = self.clone();
        let done = tokio::spawn(async move {
            let _turn = shared.changes.lock().await;
            let before = (how == How::Tried).then(|| Before::of(&shared));
            let on_disk = shared.clone();
            let (done, verdict, catalog) = aside(move || {
                let mut resources = on_disk.resources.lock();
                let mut change = work(&resources)?;
                let (done, verdict) = (change.actions.clone(), std::mem::take(&mut change.verdict));
                let catalog = match how {
                    How::DryRun => None,
                    How::Made | How::Tried => Some(resources.commit(change).map_err(ChangeError::Disk)?),
                };
                Ok((done, verdict, catalog))
            })
            .await?;
            if let Some(catalog) = catalog {
                shared.reconcile(Arc::new(catalog)).await;
            }
            if let Some(before) = before
                && let Some(why) = shared.broken_since(&before).await
            {
                shared.go_back_to(before).await?;
                return Err(ChangeError::RolledBack(why, verdict));
            }
            Ok((done, verdict))
        });
        done.await.map_err(|e| ChangeError::Disk(std::io::Error::other(e)))?
    }

    /// The flows that have been touched and don't work, with what keeps them. Waits until that is known.
    async fn broken_since(&self, before: &Before) -> Option<String> {
        let known = tokio::time::timeout(TRIAL_MAX, self.supervisor.ready()).await.is_ok();
        let touched = |now: &FlowReport| !before.running.iter().any(|then| then.plan == now.plan);
        let troubled = self.supervisor.report().into_iter().filter(touched).filter_map(|now| {
            let why = match now.state {
                FlowState::Running => return None,
                FlowState::Troubled => now.health.message,
                FlowState::Starting if known => return None,
                FlowState::Starting => format!("not known to work after {} seconds", TRIAL_MAX.as_secs()),
            };
            Some((now.plan.name.to_string(), why))
        });
        let is_new = |now: &Idle| {
            let key = (&now.namespace, &now.name);
            !before.idle.iter().any(|then| !then.disabled && (&then.namespace, &then.name) == key)
        };
        let idle = self.idle.lock().clone().into_iter();
        let idle = idle.filter(|now| !now.disabled && is_new(now)).map(|now| (now.name, now.message));
        let broken: Vec<String> =
            troubled.chain(idle).map(|(name, why)| format!("data flow `{name}`: {why}")).collect();
        (!broken.is_empty()).then(|| broken.join("; "))
    }

    /// Makes everything as it was.
    async fn go_back_to(self: &Arc<Self>, before: Before) -> Result<(), ChangeError> {
        let shared = self.clone();
        let restored =
            aside(move || shared.resources.lock().restore(before.said).map_err(ChangeError::Disk)).await;
        // also where the disk does not take it
        self.reconcile(before.catalog).await;
        restored
    }

    /// Makes what runs equal to what the catalog says.
    async fn reconcile(&self, catalog: Arc<Catalog>) {
        if let Some(services) = &self.services
            && let Err(why) = services.add_schemas(&catalog)
        {
            tracing::error!("{why}");
        }
        self.simulate(catalog.simulators());
        let mut plans: Vec<_> =
            catalog.plans().into_iter().filter(|plan| cannot_run(plan).is_none()).collect();
        if let Some(InstanceOf { count, .. }) = self.instance {
            for plan in &mut plans {
                Arc::make_mut(plan).instance_count = count;
            }
        }
        self.vault.replace(catalog.clone());
        self.supervisor.retire(&plans).await;
        self.keep_sessions(&catalog, &plans);
        *self.idle.lock() = catalog.dataflows().iter().filter_map(Idle::of).collect();
        self.supervisor.apply(&plans).await;
    }

    /// Makes the sessions that data flows have at the local broker fit those flows, while what has changed does not run.
    /// A flow that is disabled or has errors keeps its sessions as they are.
    fn keep_sessions(&self, catalog: &Catalog, plans: &[Arc<Plan>]) {
        let Some(broker) = &self.broker else { return };
        // what can't be read may be a flow, and its messages are waited for
        if !self.resources.lock().has_errors() {
            let key = |flow: &Dataflow| format!("{}/{}", flow.namespace, flow.name);
            let known: HashSet<String> = catalog.dataflows().iter().map(key).collect();
            tidegate_connect::end_sessions(broker, |owner| known.contains(owner));
        }
        for plan in plans {
            let instances = match self.instance {
                Some(InstanceOf { index, .. }) => index..index + 1,
                None => 0..plan.instance_count.max(1),
            };
            let instances: Vec<_> = instances.map(|index| flow_identity(plan, index)).collect();
            tidegate_connect::keep_sessions(broker, &plan.source, &instances);
        }
    }

    /// Runs these simulated assets, if there is a broker for them here.
    fn simulate(&self, wanted: &[Simulator]) {
        let mut simulators = self.simulators.lock();
        let Some(broker) = self.broker.as_ref().filter(|_| simulators.running != wanted) else { return };
        simulators.stop.cancel();
        *simulators = Simulators { running: wanted.to_vec(), stop: self.stopping.child_token() };
        for simulator in wanted {
            tokio::spawn(simulator::run(simulator.clone(), broker.clone(), simulators.stop.clone()));
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.supervisor.metrics().registry()
    }

    /// Brings all metrics up to date.
    pub(crate) fn show_metrics(&self) {
        self.supervisor.show_metrics();
        if let Some(broker) = &self.broker {
            self.broker_metrics.show(&broker.stats());
            self.broker_metrics.show_log(broker.log_usage().as_ref());
        }
    }

    pub(crate) fn services(&self) -> Option<&Services> {
        self.services.as_ref()
    }

    pub(crate) fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// The resources of now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.vault.catalog()
    }

    /// A number that nobody has been given since the start.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Namespace and name of every flow.
    pub(crate) fn flows(&self) -> Vec<(String, String)> {
        let running = self.supervisor.report();
        let running = running.iter().map(|r| (r.plan.namespace.clone(), r.plan.name.to_string()));
        running.chain(self.idle.lock().iter().map(|i| (i.namespace.clone(), i.name.clone()))).collect()
    }

    /// The namespace of the flow of that name.
    pub(crate) fn find_flow(&self, namespace: Option<&str>, name: &str) -> Result<String, String> {
        let mut found: Vec<String> = self
            .flows()
            .into_iter()
            .filter(|(ns, n)| n == name && namespace.is_none_or(|wanted| wanted == ns))
            .map(|(ns, _)| ns)
            .collect();
        match found.len() {
            0 => Err(format!("there is no data flow {name:?}")),
            1 => Ok(found.remove(0)),
            _ => Err(format!("data flow {name:?} is in several namespaces: {}; say which", found.join(", "))),
        }
    }
}
