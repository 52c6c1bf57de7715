use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use tidegate_broker::{Broker, BrokerConfig, Listener};
use tidegate_connect::{Credentials, LocalBroker, Tokens};
use tidegate_model::names::HostPort;
use tidegate_model::plan::Plan;
use tidegate_runtime::{FlowReport, Metrics, Supervisor, SupervisorOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::broker_metrics::BrokerMetrics;
use crate::connectors::Connections;
use crate::{DataDir, DataDirError, http};

/// What to run, and where.
pub struct Options {
    /// The folder that holds everything durable.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub http_listen: SocketAddr,
    /// Who answers for the host `aio-broker`.
    pub local_broker: LocalBrokerOptions,
    /// The values behind `secretRef` and the like.
    pub credentials: Arc<dyn Credentials>,
    /// Service account and managed identity tokens.
    pub tokens: Arc<dyn Tokens>,
    /// How long a flow that is stopped waits for its writes.
    pub drain_max: Duration,
}

/// Who answers for the host `aio-broker`.
pub enum LocalBrokerOptions {
    /// A broker in this process.
    Embedded {
        /// Who may come, and the limits.
        config: BrokerConfig,
        /// Where it listens.
        listeners: Vec<Listener>,
    },
    /// Another broker.
    Remote {
        /// Where it listens.
        address: HostPort,
        /// Whether with TLS.
        tls: bool,
    },
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

/// Why an instance can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A listener.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// What was to be listened on.
        address: String,
        /// What the system, or the broker's rules, say.
        error: std::io::Error,
    },
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
    pub(crate) stopping: CancellationToken,
    broker: Option<Broker>,
    broker_metrics: BrokerMetrics,
}

impl Gateway {
    /// Takes the data directory, opens the listeners and starts the flows. Flows go on starting after it returns: see
    /// [`Gateway::ready`].
    ///
    /// # Errors
    /// [`StartError`]: the folder, or a listener. A destination or source that is down is none.
    pub async fn start(options: Options, plans: &[Arc<Plan>], idle: Vec<Idle>) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&options.data_dir)?;
        let listen = |address: &dyn std::fmt::Display| {
            let address = address.to_string();
            move |error| StartError::Listen { address, error }
        };
        let http = TcpListener::bind(options.http_listen).await.map_err(listen(&options.http_listen))?;
        let http_address = http.local_addr().map_err(listen(&options.http_listen))?;
        let mut mqtt_addresses = Vec::new();
        let (broker, local_broker) = match options.local_broker {
            LocalBrokerOptions::Embedded { config, listeners } => {
                let broker = Broker::new(config);
                for listener in listeners {
                    let address = listener.address;
                    mqtt_addresses.push(broker.listen(listener).await.map_err(listen(&address))?);
                }
                (Some(broker.clone()), LocalBroker::Embedded(broker))
            }
            LocalBrokerOptions::Remote { address, tls } => (None, LocalBroker::Remote { address, tls }),
        };
        let registry = Registry::new();
        let broker_metrics = BrokerMetrics::new(&registry);
        let connections =
            Connections { local_broker, credentials: options.credentials, tokens: options.tokens };
        let supervisor = Supervisor::new(
            Arc::new(connections),
            Metrics::new(registry),
            SupervisorOptions { drain_max: options.drain_max, ..SupervisorOptions::default() },
        );
        let shared = Arc::new(Shared {
            supervisor,
            idle: Mutex::new(idle),
            stopping: CancellationToken::new(),
            broker,
            broker_metrics,
        });
        let service = http::router(shared.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let stopping = shared.stopping.clone();
        let http_server = tokio::spawn(async move {
            let served = axum::serve(http, service).with_graceful_shutdown(stopping.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "the API has stopped");
            }
        });
        shared.supervisor.apply(plans).await;
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

    /// Drains the flows, then closes the listeners.
    pub async fn shutdown(self) {
        self.shared.supervisor.shutdown().await;
        if let Some(broker) = &self.shared.broker {
            broker.shutdown().await;
        }
        self.shared.stopping.cancel();
        // open requests have been told; a client that holds its connection all the same must not keep us
        let _ = tokio::time::timeout(Duration::from_secs(1), self.http_server).await;
    }
}

impl Shared {
    pub(crate) fn registry(&self) -> &Registry {
        self.supervisor.metrics().registry()
    }

    /// Brings all metrics up to date.
    pub(crate) fn show_metrics(&self) {
        self.supervisor.show_metrics();
        if let Some(broker) = &self.broker {
            self.broker_metrics.show(&broker.stats());
        }
    }

    pub(crate) fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// The namespace of the flow of that name.
    pub(crate) fn find_flow(&self, namespace: Option<&str>, name: &str) -> Result<String, String> {
        let mut found: Vec<String> = self.supervisor.report().iter().map(|r| (&r.plan.namespace, r.plan.name.as_str()))
            .map(|(ns, n)| (ns.clone(), n.to_owned()))
            .chain(self.idle.lock().iter().map(|i| (i.namespace.clone(), i.name.clone())))
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
