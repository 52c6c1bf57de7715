//! What a connector needs besides the endpoint: who it works for, who the local broker is, and where credentials and
//! tokens come from.

use std::sync::Arc;

use tidegate_broker::Broker;
use tidegate_core::Secret;
use tidegate_identity::Tokens;
use tidegate_model::names::HostPort;

/// Everything `open_source` and `open_sink` need besides the endpoint.
#[derive(Clone)]
pub struct Context {
    /// The data flow instance the connection is for.
    pub flow: FlowIdentity,
    /// `requestDiskPersistence: Enabled` of the data flow.
    pub request_disk_persistence: bool,
    /// Who answers for the host `aio-broker`.
    pub local_broker: LocalBroker,
    /// Secrets and ConfigMaps; asked anew for each connection, so that a rotated secret is picked up.
    pub credentials: Arc<dyn Credentials>,
    /// Service account and managed identity tokens.
    pub tokens: Arc<dyn Tokens>,
}

/// One instance of one data flow. It names the MQTT session, so it must be the same after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowIdentity {
    /// `metadata.namespace` of the data flow.
    pub namespace: String,
    /// The profile's name.
    pub profile: String,
    /// The data flow's name.
    pub dataflow: String,
    /// Which of the instances, from 0.
    pub instance_index: u32,
    /// `instanceCount` of the profile.
    pub instance_count: u32,
}

impl FlowIdentity {
    /// The data flow, whichever its profile and its instances: `<namespace>/<dataflow>`.
    pub(crate) fn owner(&self) -> String {
        format!("{}/{}", self.namespace, self.dataflow)
    }
}

/// Who answers for the host `aio-broker`.
#[derive(Clone)]
pub enum LocalBroker {
    /// The broker in this process; data flows attach to it without TCP.
    Embedded(Broker),
    /// Another MQTT v5 broker.
    Remote {
        /// Where it listens.
        address: HostPort,
        /// Whether with TLS. The server is then checked against the ConfigMap the endpoint names, if it is given, or
        /// the public trust store.
        tls: bool,
    },
}

/// Where the values behind `secretRef` and `ConfigMapRef` come from.
pub trait Credentials: Send + Sync {
    /// One key of a Secret; `None` if there is no such Secret or it has no such key.
    fn secret(&self, namespace: &str, name: &str, key: &str) -> Option<Secret<Vec<u8>>>;

    /// All values of a ConfigMap; `None` if there is no such ConfigMap.
    fn config_map(&self, namespace: &str, name: &str) -> Option<Vec<String>>;
}
