//! What a connector needs besides the endpoint: who it works for, who the local broker is, and where credentials and
//! tokens come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_broker::Broker;
use tidegate_core::Secret;
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

/// Where short-lived bearer tokens come from.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A token for `identity` that is valid now.
    ///
    /// # Errors
    /// A sentence that says what is missing and the way out.
    async fn token(&self, identity: &Identity) -> Result<Token, String>;
}

/// Whom a token is to speak for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The Kubernetes service account of the process.
    ServiceAccount {
        /// Audience of the token.
        audience: String,
    },
    /// The identity of the machine.
    SystemAssigned {
        /// Audience of the token.
        audience: String,
    },
    /// A named identity.
    UserAssigned {
        /// Application id.
        client_id: String,
        /// Tenant id.
        tenant_id: String,
        /// Scope of the token.
        scope: String,
    },
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What goes over the wire.
    pub value: Secret<Vec<u8>>,
    /// How long from now until it is time to ask again, which is well before it ends.
    pub renew_after: Duration,
}

/// Where Kubernetes mounts the projected service account token in AIO's deployments.
pub const SERVICE_ACCOUNT_TOKEN_PATH: &str = "/var/run/secrets/tokens/broker-sat";

/// The kubelet replaces a projected token well before it ends, so looking once a minute is early enough.
const SERVICE_ACCOUNT_TOKEN_RENEW_AFTER: Duration = Duration::from_secs(60);

/// Service account tokens from a mounted file, which Kubernetes keeps fresh. No managed identities.
#[derive(Clone, Debug)]
pub struct MountedTokens {
    path: PathBuf,
}

impl MountedTokens {
    /// Reads the token from `path`, anew each time it is asked for.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

/// Reads the token from [`SERVICE_ACCOUNT_TOKEN_PATH`].
impl Default for MountedTokens {
    fn default() -> Self {
        Self::new(SERVICE_ACCOUNT_TOKEN_PATH)
    }
}

#[async_trait]
impl Tokens for MountedTokens {
    async fn token(&self, identity: &Identity) -> Result<Token, String> {
        let Identity::ServiceAccount { .. } = identity else {
            return Err(
                "managed identity tokens are not available in this version; use X509Certificate".into()
            );
        };
        let path = self.path.display();
        let value = tokio::fs::read(&self.path)
            .await
            .map_err(|e| format!("the service account token can't be read from {path}: {e}"))?
            .trim_ascii()
            .to_vec();
        if value.is_empty() {
            return Err(format!("the service account token file {path} is empty"));
        }
        Ok(Token { value: Secret::new(value), renew_after: SERVICE_ACCOUNT_TOKEN_RENEW_AFTER })
    }
}
