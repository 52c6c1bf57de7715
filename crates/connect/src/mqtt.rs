//! MQTT endpoints: what source and sink share, which is everything up to the CONNECT packet.

mod client;
mod ledger;
mod local;
mod publication;
mod sink;
mod source;
mod subscriptions;
mod verdict;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_broker::Broker;
use tidegate_core::{Secret, Sink, Source, SourceError};
use tidegate_model::endpoint::{
    Authentication, ConfigMapRef, Endpoint, HostType, Mqtt, MqttHost, MqttProtocol, Qos, SecretRef, Tls,
    X509_KEYS, X509_TLS_KEYS,
};
use tidegate_model::names::HostPort;
use tidegate_model::plan::HeaderAction;
use tidegate_model::topic::{TopicFilter, TopicTemplate};
use tidegate_mqtt::{Authentication as EnhancedAuthentication, Connect, QoS, UserProperties, Version};

use self::local::{LocalSink, LocalSource};
use self::publication::PublicationRules;
use self::sink::MqttSink;
use self::source::MqttSource;
use crate::context::{Context, FlowIdentity, Identity, LocalBroker, Token};
use crate::dial::{ClientCertificate, Dial, client_config};
use crate::failure::Failure;

/// The longest keep-alive Event Grid takes ("MQTT features supported by Azure Event Grid").
const EVENT_GRID_KEEP_ALIVE_MAX: Duration = Duration::from_secs(1160);

/// The audience of tokens for Event Grid (AIO, "Configure MQTT dataflow endpoints").
const EVENT_GRID_AUDIENCE: &str = "https://eventgrid.azure.net";

/// The path of a WebSocket when the host names none.
const WEBSOCKET_PATH: &str = "/mqtt";

/// Opens the source of an MQTT endpoint.
pub(crate) async fn open_source(
    endpoint: &Arc<Endpoint>,
    mqtt: &Mqtt,
    filters: &[TopicFilter],
    qos: Qos,
    context: &Context,
) -> Result<Box<dyn Source>, SourceError> {
    let qos = mqtt_qos(qos);
    Ok(match Peer::of(endpoint, mqtt, context, Role::Source) {
        Peer::Embedded(broker) => {
            Box::new(LocalSource::open(broker, endpoint, mqtt, filters, qos, context).await?)
        }
        Peer::Remote(remote) => Box::new(MqttSource::open(remote, filters, qos).await?),
    })
}

/// Makes the sink of an MQTT endpoint.
pub(crate) fn open_sink(
    endpoint: &Arc<Endpoint>,
    mqtt: &Mqtt,
    topic: &TopicTemplate,
    headers: &[HeaderAction],
    context: &Context,
) -> Box<dyn Sink> {
    let rules = PublicationRules::new(endpoint, mqtt, topic, headers);
    match Peer::of(endpoint, mqtt, context, Role::Sink) {
        Peer::Embedded(broker) => Box::new(LocalSink::new(broker, endpoint, mqtt, rules, context)),
        Peer::Remote(remote) => Box::new(MqttSink::new(remote, rules)),
    }
}

/// The setting as MQTT's number.
fn mqtt_qos(qos: Qos) -> QoS {
    match qos {
        Qos::Zero => QoS::AtMostOnce,
        Qos::One => QoS::AtLeastOnce,
    }
}

/// Which end of a data flow a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Source,
    Sink,
}

/// The client identifier of one end of a data flow instance: `<prefix><namespace>.<profile>.<dataflow>`, then
/// `.<instance>` for every instance but the first, then `.out` for a sink. It is the same after a restart, which is
/// what lets a source resume its session. None of the names holds a dot, so no two data flows share an identifier.
pub(crate) fn client_id(prefix: Option<&str>, flow: &FlowIdentity, role: Role) -> String {
    let instance = match flow.instance_index {
        0 => String::new(),
        n => format!(".{n}"),
    };
    let end = match role {
        Role::Source => "",
        Role::Sink => ".out",
    };
    format!("{}{}{instance}{end}", prefix.unwrap_or_default(), share_group(flow))
}

/// The group in which all instances of a data flow share their subscriptions.
pub(crate) fn share_group(flow: &FlowIdentity) -> String {
    format!("{}.{}.{}", flow.namespace, flow.profile, flow.dataflow)
}

/// A broker on the network, and as whom to connect to it. Credentials are looked up anew for each connection.
pub(crate) struct Remote {
    endpoint: Arc<Endpoint>,
    mqtt: Mqtt,
    address: HostPort,
    websocket_path: Option<String>,
    client_id: String,
    context: Context,
}

/// A token for MQTT's enhanced authentication, and how to get the next one.
pub(crate) struct Bearer {
    method: &'static str,
    identity: Identity,
    token: Token,
}

/// The broker an endpoint means.
enum Peer<'a> {
    Embedded(&'a Broker),
    Remote(Arc<Remote>),
}

impl<'a> Peer<'a> {
    fn of(endpoint: &Arc<Endpoint>, mqtt: &Mqtt, context: &'a Context, role: Role) -> Self {
        let (address, websocket_path) = match (&mqtt.host, &context.local_broker) {
            (MqttHost::Remote { address, path }, _) => match mqtt.protocol {
                MqttProtocol::Mqtt => (address, None),
                MqttProtocol::WebSockets => {
                    (address, Some(path.as_deref().unwrap_or(WEBSOCKET_PATH).to_owned()))
                }
            },
            (MqttHost::LocalBroker, LocalBroker::Remote { address, .. }) => (address, None),
            (MqttHost::LocalBroker, LocalBroker::Embedded(broker)) => return Peer::Embedded(broker),
        };
        Peer::Remote(Arc::new(Remote {
            endpoint: endpoint.clone(),
            mqtt: mqtt.clone(),
            address: address.clone(),
            websocket_path,
            client_id: client_id(mqtt.client_id_prefix.as_deref(), &context.flow, role),
            context: context.clone(),
        }))
    }
}

impl Remote {
    fn is_event_grid(&self) -> bool {
        self.endpoint.host_type == Some(HostType::EventGrid)
            || self.address.host().ends_with(".eventgrid.azure.net")
    }

    /// How to reach it.
    async fn dial(&self) -> Result<Dial, Failure> {
        let trusted_ca = match (&self.mqtt.tls, &self.mqtt.host, &self.context.local_broker) {
            (_, MqttHost::LocalBroker, LocalBroker::Remote { tls: false, .. })
            | (Tls::Disabled, MqttHost::Remote { .. }, _) => None,
            (Tls::Enabled { trusted_ca }, MqttHost::Remote { .. }, _) => {
                Some(self.trusted_ca(trusted_ca.as_ref())?)
            }
            // Where the local broker is somebody else's, the ConfigMap of AIO's own need not exist.
            (Tls::Enabled { trusted_ca }, MqttHost::LocalBroker, _) => {
                Some(self.trusted_ca(trusted_ca.as_ref()).unwrap_or_default())
            }
            (Tls::Disabled, MqttHost::LocalBroker, _) => Some(None),
        };
        let tls = match trusted_ca {
            None => None,
            Some(trusted) => {
                let trusted = trusted.as_ref().map(|(name, texts)| (name.as_str(), texts.as_slice()));
                Some(client_config(trusted, self.client_certificate()?).await?)
            }
        };
        Ok(Dial { address: self.address.clone(), tls, websocket_path: self.websocket_path.clone() })
    }

    /// The texts of a ConfigMap and what to call it in an error.
    fn trusted_ca(
        &self,
        config_map: Option<&ConfigMapRef>,
    ) -> Result<Option<(String, Vec<String>)>, Failure> {
        let Some(ConfigMapRef(name)) = config_map else { return Ok(None) };
        match self.context.credentials.config_map(&self.endpoint.namespace, name) {
            Some(texts) => Ok(Some((format!("ConfigMap `{name}`"), texts))),
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
    async fn bearer(&self) -> Result<Option<Bearer>, Failure> {
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
            Err(_) if self.mqtt.host == MqttHost::LocalBroker => Ok(None),
            Err(message) => Err(Failure::Configuration(message)),
        }
    }

    /// A CONNECT of a clean session and without authentication, to be completed.
    fn connect_packet(&self) -> Connect {
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
        if self.mqtt.host == MqttHost::LocalBroker {
            // AIO's broker groups its metrics by it ("Metrics for the MQTT broker").
            connect.user_properties.push(("metriccategory".into(), "aio-dataflow".into()));
        }
        connect
    }

    /// The user properties that ask AIO's broker to keep this data flow's queue on disk ("Configure disk
    /// persistence"). Its documentation names CONNECT in one place and SUBSCRIBE in another, so both carry them. Event
    /// Grid takes none on either.
    fn persistence_properties(&self) -> UserProperties {
        if self.context.request_disk_persistence && !self.is_event_grid() {
            vec![("aio-persistence".into(), "true".into())]
        } else {
            Vec::new()
        }
    }
}

impl Bearer {
    fn authentication(&self) -> EnhancedAuthentication {
        let data = Secret::new(Bytes::copy_from_slice(self.token.value.expose()));
        EnhancedAuthentication { method: self.method.into(), data }
    }
}
