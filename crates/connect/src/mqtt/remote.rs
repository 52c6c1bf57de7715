//! A broker on the network: how to reach it, with which credentials, and what its CONNECT says.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::Secret;
use tidegate_identity::{Identity, Token, TokenError};
use tidegate_model::endpoint::{
    Authentication, ConfigMapRef, Endpoint, HostType, Mqtt, MqttHost, MqttProtocol, SecretRef, Tls,
    X509_KEYS, X509_TLS_KEYS,
};
use tidegate_model::names::HostPort;
use tidegate_mqtt::{Authentication as EnhancedAuthentication, Connect, UserProperties, Version};

use super::{Role, client_id};
use crate::context::{Context, LocalBroker};
use crate::dial::{ClientCertificate, Dial, TrustedCa, client_config};
use crate::failure::Failure;

/// The longest keep-alive Event Grid takes ("MQTT features supported by Azure Event Grid").
const EVENT_GRID_KEEP_ALIVE_MAX: Duration = Duration::from_secs(1160);

/// The audience of tokens for Event Grid (AIO, "Configure MQTT dataflow endpoints").
const EVENT_GRID_AUDIENCE: &str = "https://eventgrid.azure.net";

/// The path of a WebSocket when the host names none.
const WEBSOCKET_PATH: &str = "/mqtt";

/// A broker on the network, and as whom to connect to it. Credentials are looked up anew for each connection.
pub(super) struct Remote {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) mqtt: Mqtt,
    pub(super) address: HostPort,
    pub(super) client_id: String,
    pub(super) context: Context,
}

/// A token for MQTT's enhanced authentication, and how to get the next one.
pub(super) struct Bearer {
    method: &'static str,
    pub(super) identity: Identity,
    pub(super) token: Token,
}

impl Remote {
    pub(super) fn new(
        address: &HostPort,
        endpoint: &Arc<Endpoint>,
        mqtt: &Mqtt,
        context: &Context,
        role: Role,
    ) -> Arc<Self> {
        Arc::new(Self {
            endpoint: endpoint.clone(),
            mqtt: mqtt.clone(),
            address: address.clone(),
            client_id: client_id(mqtt.client_id_prefix.as_deref(), &context.flow, role),
            context: context.clone(),
        })
    }

    fn is_local(&self) -> bool {
        self.mqtt.host == MqttHost::LocalBroker
    }

    fn is_event_grid(&self) -> bool {
        self.endpoint.host_type == Some(HostType::EventGrid)
            || self.address.host().ends_with(".eventgrid.azure.net")
    }

    /// How to reach it. How to reach a local broker elsewhere is not the endpoint's to say.
    pub(super) async fn dial(&self) -> Result<Dial, Failure> {
        let tls = match (&self.mqtt.host, &self.context.local_broker) {
            (MqttHost::LocalBroker, LocalBroker::Remote { tls, .. }) => *tls,
            _ => self.mqtt.tls != Tls::Disabled,
        };
        let websocket_path = match (&self.mqtt.host, self.mqtt.protocol) {
            (MqttHost::Remote { path, .. }, MqttProtocol::WebSockets) => {
                Some(path.as_deref().unwrap_or(WEBSOCKET_PATH).to_owned())
            }
            _ => None,
        };
        let tls = if tls {
            Some(client_config(self.trusted_ca()?, self.client_certificate()?).await?)
        } else {
            None
        };
        Ok(Dial { address: self.address.clone(), tls, websocket_path })
    }

    fn trusted_ca(&self) -> Result<Option<TrustedCa>, Failure> {
        let Tls::Enabled { trusted_ca: Some(ConfigMapRef(name)) } = &self.mqtt.tls else { return Ok(None) };
        match self.context.credentials.config_map(&self.endpoint.namespace, name) {
            Some(texts) => TrustedCa::parse(&format!("ConfigMap `{name}`"), &texts).map(Some),
            // A broker in place of AIO's own does not come with AIO's ConfigMap.
            None if self.is_local() => Ok(None),
            None => Err(Failure::Configuration(format!(
                "there is no ConfigMap `{name}`, which `tls.trustedCaCertificateConfigMapRef` names"
            ))),
        }
    }

    fn client_certificate(&self) -> Result<Option<ClientCertificate>, Failure> {
        let Authentication::X509Certificate { secret: SecretRef(name) } = &self.mqtt.authentication else {
            return Ok(None);
        };
        let value = |key| self.context.credentials.secret(&self.endpoint.namespace, name, key);
        let keys = if value(X509_KEYS[0]).is_some() { &X509_KEYS[..2] } else { &X509_TLS_KEYS[..] };
        let (Some(certificate), Some(key)) = (value(keys[0]), value(keys[1])) else {
            return Err(Failure::Configuration(format!(
                "Secret `{name}` must hold the keys `{}` and `{}`, or `{}` and `{}`",
                X509_KEYS[0], X509_KEYS[1], X509_TLS_KEYS[0], X509_TLS_KEYS[1]
            )));
        };
        let intermediates = value(X509_KEYS[2]);
        ClientCertificate::parse(
            &format!("Secret `{name}`"),
            certificate.expose(),
            key.expose(),
            intermediates.as_ref().map(|i| i.expose().as_slice()),
        )
        .map(Some)
    }

    /// The token to authenticate with, if the method wants one.
    pub(super) async fn bearer(&self) -> Result<Option<Bearer>, Failure> {
        let (method, identity) = match &self.mqtt.authentication {
            Authentication::ServiceAccountToken { audience } => {
                ("K8S-SAT", Identity::ServiceAccount { audience: audience.clone() })
            }
            Authentication::SystemAssignedManagedIdentity { audience } => {
                let audience = audience.clone().unwrap_or_else(|| EVENT_GRID_AUDIENCE.into());
                ("OAUTH2-JWT", Identity::SystemAssigned { audience })
            }
            Authentication::UserAssignedManagedIdentity { client_id, tenant_id, scope } => {
                let scope = scope.clone().unwrap_or_else(|| format!("{EVENT_GRID_AUDIENCE}/.default"));
                let (client_id, tenant_id) = (client_id.clone(), tenant_id.clone());
                ("OAUTH2-JWT", Identity::UserAssigned { client_id, tenant_id, scope })
            }
            Authentication::X509Certificate { .. } | Authentication::Anonymous => return Ok(None),
            Authentication::Sasl { .. } | Authentication::AccessToken { .. } => {
                return Err(Failure::Configuration(
                    "an MQTT endpoint knows no such authentication method".into(),
                ));
            }
        };
        match self.context.tokens.token(&identity).await {
            Ok(token) => Ok(Some(Bearer { method, identity, token })),
            // AIO's default endpoint asks for a token that only a cluster has; a broker beside it may do without.
            Err(why) if self.is_local() => {
                tracing::info!(
                    client_id = self.client_id,
                    %why,
                    "connecting to the local broker without a token"
                );
                Ok(None)
            }
            Err(TokenError::Unavailable(message)) => Err(Failure::Connection(message)),
            Err(TokenError::Refused(message)) => Err(Failure::Configuration(message)),
        }
    }

    /// A CONNECT of a clean session and without authentication, to be completed.
    pub(super) fn connect_packet(&self) -> Connect {
        let keep_alive = if self.is_event_grid() {
            match self.mqtt.keep_alive {
                Duration::ZERO => EVENT_GRID_KEEP_ALIVE_MAX,
                keep_alive => keep_alive.min(EVENT_GRID_KEEP_ALIVE_MAX),
            }
        } else {
            self.mqtt.keep_alive
        };
        let mut connect = Connect::new(Version::V5, self.client_id.as_str());
        connect.keep_alive = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        connect.receive_max = NonZeroU16::new(self.mqtt.inflight_max).unwrap_or(NonZeroU16::MIN);
        if self.is_local() {
            // AIO's broker groups its metrics by it ("Metrics for the MQTT broker").
            connect.user_properties.push(("metriccategory".into(), "aio-dataflow".into()));
        }
        connect
    }

    /// The user properties that ask AIO's broker to keep this data flow's queue on disk ("Configure disk
    /// persistence"). Its documentation names CONNECT in one place and SUBSCRIBE in another, so both carry them. Event
    /// Grid takes none on either.
    pub(super) fn persistence_properties(&self) -> UserProperties {
        if self.context.request_disk_persistence && !self.is_event_grid() {
            vec![("aio-persistence".into(), "true".into())]
        } else {
            Vec::new()
        }
    }
}

impl Bearer {
    pub(super) fn authentication(&self) -> EnhancedAuthentication {
        let data = Secret::new(Bytes::copy_from_slice(self.token.value.expose()));
        EnhancedAuthentication { method: self.method.into(), data }
    }
}
