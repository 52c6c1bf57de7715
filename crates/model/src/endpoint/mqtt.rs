//! Endpoints of type `Mqtt`: the local broker, Event Grid, any other MQTT v5 broker.

use std::time::Duration;

use crate::codes;
use crate::endpoint::authentication::{
    self, Authentication, AuthenticationFields, ConfigMapRef, LOCAL_AUDIENCE, Method, Tls, TlsFields,
};
use crate::endpoint::host::{host_port, is_event_grid};
use crate::endpoint::{EndpointType, Surroundings};
use crate::field::{choice, object, one_of};
use crate::names::HostPort;
use crate::node::{Node, Text};
use crate::problems::{Problems, error, warning};
use crate::value::{Filled, Given, Int, Raw, Spanned};

/// `mqttSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// `host`.
    pub host: MqttHost,
    /// `authentication`.
    pub authentication: Authentication,
    /// `tls`.
    pub tls: Tls,
    /// `protocol`.
    pub protocol: MqttProtocol,
    /// `clientIdPrefix`.
    pub client_id_prefix: Option<String>,
    /// `qos` of subscribe and publish.
    pub qos: Qos,
    /// `retain: Keep`: whether the incoming retain flag is passed on.
    pub keep_retain: bool,
    /// `sessionExpirySeconds`, default 600.
    pub session_expiry: Duration,
    /// `keepAliveSeconds`, default 60; zero switches it off.
    pub keep_alive: Duration,
    /// `maxInflightMessages`, 1 to 65535, default 100: Receive Maximum of a source, unacknowledged publishes of a
    /// destination.
    pub inflight_max: u16,
    /// `cloudEventAttributes`.
    pub cloud_event_attributes: CloudEventAttributes,
}

impl Mqtt {
    /// The settings of the endpoint `default` as AIO deploys it.
    pub(super) fn local_broker() -> Self {
        let trusted_ca = Some(ConfigMapRef("azure-iot-operations-aio-ca-trust-bundle".into()));
        Self {
            host: MqttHost::LocalBroker,
            authentication: Authentication::ServiceAccountToken { audience: LOCAL_AUDIENCE.into() },
            tls: Tls::Enabled { trusted_ca },
            protocol: MqttProtocol::Mqtt,
            client_id_prefix: None,
            qos: Qos::One,
            keep_retain: true,
            session_expiry: Duration::from_secs(SESSION_EXPIRY_SECONDS.unsigned_abs()),
            keep_alive: Duration::from_secs(KEEP_ALIVE_SECONDS.unsigned_abs()),
            inflight_max: Int::<1, 65535>::from(INFLIGHT_MAX).to(),
            cloud_event_attributes: CloudEventAttributes::Propagate,
        }
    }
}

const QOS: i64 = 1;
const SESSION_EXPIRY_SECONDS: i64 = 600;
const KEEP_ALIVE_SECONDS: i64 = 60;
const INFLIGHT_MAX: i64 = 100;

/// `cloudEventAttributes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CloudEventAttributes {
    /// Pass on the attributes of a message that has all required ones.
    #[default]
    Propagate,
    /// Make the required ones where they are missing.
    CreateOrRemap,
}
choice!(CloudEventAttributes { Propagate, CreateOrRemap });

/// Which broker an MQTT endpoint means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttHost {
    /// The host contains `aio-broker`, or none is given: the embedded broker, or whatever `--broker` names.
    LocalBroker,
    /// Any other broker.
    Remote {
        /// Host and port.
        address: HostPort,
        /// The path of a WebSocket, starting with `/`.
        path: Option<String>,
    },
}

/// `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum MqttProtocol {
    #[default]
    Mqtt,
    WebSockets,
}
choice!(MqttProtocol { Mqtt, WebSockets });

/// `qos`: 2 isn't allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Qos {
    /// At most once.
    Zero,
    /// At least once.
    #[default]
    One,
}

/// `retain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retain {
    Keep,
    Never,
}
choice!(Retain { Keep, Never });

object! {
    /// `mqttSettings`.
    pub(crate) struct MqttFields {
        /// The broker as `<host>:<port>`, with WebSockets also `<host>:<port>/<path>`. Without it, and wherever it
        /// contains `aio-broker`, it is the local broker.
        host "host": optional Raw;
        /// How to log in.
        authentication "authentication": depends AuthenticationFields;
        /// Encryption. Left out, the connection is encrypted.
        tls "tls": optional TlsFields;
        /// Whether MQTT goes over TCP or over a WebSocket.
        protocol "protocol": default Given<MqttProtocol> = MqttProtocol::Mqtt;
        /// Goes before the client id, which is made from the names of data flow and instance.
        client_id_prefix "clientIdPrefix": optional Filled;
        /// Quality of service of subscriptions and publishes.
        qos "qos": default Int<0, 1> = QOS;
        /// Whether the retain flag of a message is passed on.
        retain "retain": default Retain = Retain::Keep;
        /// How long the broker keeps the session of a lost connection.
        session_expiry "sessionExpirySeconds": default Int<0, 4294967295> = SESSION_EXPIRY_SECONDS;
        /// The longest silence before a ping; 0 switches it off.
        keep_alive "keepAliveSeconds": default Int<0, 65535> = KEEP_ALIVE_SECONDS;
        /// Receive Maximum of a source, unacknowledged publishes of a destination.
        inflight_max "maxInflightMessages": default Int<1, 65535> = INFLIGHT_MAX;
        /// What happens to the CloudEvents attributes of a message.
        cloud_event_attributes "cloudEventAttributes": default CloudEventAttributes = CloudEventAttributes::Propagate;
        /// What `v1beta1` had; v1 shares the subscriptions of a profile with several instances by itself.
        shared_subscription "sharedSubscription": optional Node;
    }
}

pub(super) fn parse(fields: MqttFields, with: &mut Surroundings, problems: &mut Problems) -> Option<Mqtt> {
    let host = match &fields.host {
        Some(Raw(text)) => parse_host(text, &fields.protocol, problems),
        None => (!fields.flawed).then_some(MqttHost::LocalBroker),
    };
    let local = host.as_ref().is_some_and(|h| *h == MqttHost::LocalBroker);
    let references_before = with.references.len();
    let (tls, off_at) = authentication::tls(fields.tls, with, problems);
    let login = authentication::authentication(
        fields.authentication,
        EndpointType::Mqtt,
        local,
        fields.at,
        with,
        problems,
    );
    if local {
        // tidegate answers for the local broker's host itself, so it needs none of that.
        with.references.truncate(references_before);
    }
    if let (Some(host), Some((_, method))) = (&host, &login) {
        check_method(host, method, problems);
    }
    if let Some(off_at) = off_at {
        match (&host, &login) {
            (Some(MqttHost::Remote { address, .. }), _) if is_event_grid(address.host()) => {
                let problem = error(codes::SERVICE_NEEDS_TLS, off_at, "Event Grid speaks TLS only");
                problems.push(problem.help("write `Enabled`, or leave `tls` out"));
            }
            (_, Some((Authentication::X509Certificate { .. }, _))) => {
                let message =
                    "a client certificate is shown in the TLS handshake, and TLS is off: nobody will see it";
                problems
                    .push(warning(codes::CERTIFICATE_WITHOUT_TLS, off_at, message).help("write `Enabled`"));
            }
            _ => {}
        }
    }
    if let Some(shared) = fields.shared_subscription {
        let message = "`sharedSubscription` was removed in v1";
        let problem = warning(codes::LEGACY, shared.head(), message);
        problems.push(
            problem.help("remove it: with `instanceCount` above 1 subscriptions are shared by themselves"),
        );
    }
    Some(Mqtt {
        host: host?,
        authentication: login?.0,
        tls,
        protocol: fields.protocol.value,
        client_id_prefix: fields.client_id_prefix.map(|p| p.0.as_str().to_owned()),
        qos: if fields.qos.0 == 0 { Qos::Zero } else { Qos::One },
        keep_retain: fields.retain == Retain::Keep,
        session_expiry: Duration::from_secs(fields.session_expiry.to()),
        keep_alive: Duration::from_secs(fields.keep_alive.to()),
        inflight_max: fields.inflight_max.to(),
        cloud_event_attributes: fields.cloud_event_attributes,
    })
}

fn parse_host(text: &Text, protocol: &Given<MqttProtocol>, problems: &mut Problems) -> Option<MqttHost> {
    let written = text.as_str();
    if written.contains("aio-broker") {
        return Some(MqttHost::LocalBroker);
    }
    let (address, path) = match written.split_once('/').filter(|_| !written.contains("://")) {
        Some((address, path)) => (address, Some(format!("/{path}"))),
        None => (written, None),
    };
    let address = host_port(text, address, 8883, problems)?;
    let path = match (protocol.value, path) {
        (MqttProtocol::WebSockets, path) => Some(path.unwrap_or_else(|| "/mqtt".into())),
        (MqttProtocol::Mqtt, Some(path)) => {
            let at = text.part(written.len() - path.len()..written.len());
            let problem = error(codes::BAD_HOST, at, "only a WebSocket has a path");
            problems.push(problem.help("write `protocol: WebSockets`, or leave the path out"));
            return None;
        }
        (MqttProtocol::Mqtt, None) => None,
    };
    Some(MqttHost::Remote { address, path })
}

/// What a broker is known to refuse.
fn check_method(host: &MqttHost, method: &Spanned<Method>, problems: &mut Problems) {
    use Method::{
        Anonymous, ServiceAccountToken, SystemAssignedManagedIdentity, UserAssignedManagedIdentity,
        X509Certificate,
    };
    let (who, takes): (&str, &[Method]) = match host {
        MqttHost::LocalBroker => ("the local broker", &[ServiceAccountToken, X509Certificate, Anonymous]),
        MqttHost::Remote { address, .. } if is_event_grid(address.host()) => {
            ("Event Grid", &[X509Certificate, SystemAssignedManagedIdentity, UserAssignedManagedIdentity])
        }
        MqttHost::Remote { .. } => return,
    };
    if !takes.contains(&method.value) {
        let message = format!("{who} doesn't take {:?}", method.value);
        let names: Vec<String> = takes.iter().map(|m| format!("{m:?}")).collect();
        let problem = error(codes::METHOD_REFUSED_BY_HOST, method.span, message);
        problems.push(problem.help(format!("it takes {}", one_of(&names))));
    }
}
