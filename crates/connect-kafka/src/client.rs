//! What producers and consumers have in common: how to reach the cluster and as whom, and what librdkafka says on the
//! way.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, metadata::MetadataTopic};
use rdkafka::{client::Client, error::RDKafkaErrorCode as Code};
use tidegate_connect::Context;
use tidegate_core::Secret;
use tidegate_identity::{Identity, TokenError, Tokens};
use tidegate_model::endpoint::{
    Authentication, ConfigMapRef, Endpoint, HostType, Kafka, SaslType, SecretRef, Tls, X509_KEYS,
    X509_TLS_KEYS,
};
use tidegate_model::names::HostPort;
use tokio::sync::watch;

use crate::failure::{Failure, Kind, cause};

/// How long a cluster may take to answer the first question; and how long where it is known what stands in the way.
const CONNECT_MAX: Duration = Duration::from_secs(15);
const UNREACHABLE_MAX: Duration = Duration::from_secs(3);

/// How long a topic may take to be there after it was asked for, on a cluster that creates topics.
const CREATION_MAX: Duration = Duration::from_secs(5);

/// How long one question waits for its answer, and thus how long an error may go unnoticed.
const QUESTION_MAX: Duration = Duration::from_secs(1);

/// A Kafka endpoint, and who wants to talk to it. Credentials are looked up anew for each client.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) endpoint: String,
    pub(crate) kafka: Kafka,
    pub(crate) context: Context,
    namespace: String,
    host_type: Option<HostType>,
}

impl Peer {
    pub(crate) fn new(endpoint: &Endpoint, kafka: &Kafka, context: &Context) -> Self {
        Self {
            endpoint: endpoint.name.to_string(),
            kafka: kafka.clone(),
            context: context.clone(),
            namespace: endpoint.namespace.clone(),
            host_type: endpoint.host_type,
        }
    }

    pub(crate) fn host(&self) -> &HostPort {
        &self.kafka.host
    }

    /// Event Hubs, or Fabric Real-Time Intelligence, which has the same service behind it.
    pub(crate) fn is_event_hubs(&self) -> bool {
        matches!(self.host_type, Some(HostType::Eventhub | HostType::FabricRT))
            || self.host().host().to_ascii_lowercase().ends_with(".servicebus.windows.net")
    }

    /// `<namespace>.<profile>.<dataflow>`, then `.<instance>` for every instance but the first: how the cluster's logs
    /// and quotas know this client.
    pub(crate) fn client_id(&self) -> String {
        let flow = &self.context.flow;
        let instance = match flow.instance_index {
            0 => String::new(),
            n => format!(".{n}"),
        };
        format!("{}.{}.{}{instance}", flow.namespace, flow.profile, flow.dataflow)
    }

    /// The settings of librdkafka that both ends share.
    pub(crate) fn config(&self) -> Result<ClientConfig, Failure> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.host().to_string())
            .set("client.id", self.client_id())
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            .set_log_level(RDKafkaLogLevel::Warning);
        if self.is_event_hubs() {
            // "Recommended configurations for Apache Kafka clients" of Event Hubs: it closes what is idle for 4 minutes,
            // and without a word.
            config.set("metadata.max.age.ms", "180000").set("connections.max.idle.ms", "180000");
        }
        let tls = self.kafka.tls != Tls::Disabled;
        let sasl = self.authenticate(&mut config)?;
        config.set(
            "security.protocol",
            match (tls, sasl) {
                (false, false) => "plaintext",
                (false, true) => "sasl_plaintext",
                (true, false) => "ssl",
                (true, true) => "sasl_ssl",
            },
        );
        if let Tls::Enabled { trusted_ca } = &self.kafka.tls {
            match trusted_ca {
                Some(ConfigMapRef(name)) => config.set("ssl.ca.pem", self.trusted_ca(name)?),
                // wherever this machine keeps its trust store
                None => config.set("ssl.ca.location", "probe"),
            };
        }
        Ok(config)
    }

    fn trusted_ca(&self, name: &str) -> Result<String, Failure> {
        let texts = self.context.credentials.config_map(&self.namespace, name).ok_or_else(|| {
            misconfigured(format!(
                "there is no ConfigMap `{name}`, which `tls.trustedCaCertificateConfigMapRef` names"
            ))
        })?;
        let pem = texts.join("\n");
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(misconfigured(format!("there is no PEM certificate in ConfigMap `{name}`")));
        }
        Ok(pem)
    }

    /// Sets the credentials; gives whether they are SASL's.
    fn authenticate(&self, config: &mut ClientConfig) -> Result<bool, Failure> {
        match &self.kafka.authentication {
            Authentication::Anonymous => Ok(false),
            Authentication::X509Certificate { secret: SecretRef(name) } => {
                let keys =
                    if self.secret(name, X509_KEYS[0]).is_some() { &X509_KEYS[..2] } else { &X509_TLS_KEYS };
                let (Some(mut certificate), Some(key)) =
                    (self.secret_text(name, keys[0])?, self.secret_text(name, keys[1])?)
                else {
                    return Err(misconfigured(format!(
                        "there is no Secret `{name}` with the keys `{}` and `{}`, or `{}` and `{}`",
                        X509_KEYS[0], X509_KEYS[1], X509_TLS_KEYS[0], X509_TLS_KEYS[1]
                    )));
                };
                if let Some(intermediates) = self.secret_text(name, X509_KEYS[2])? {
                    certificate = format!("{certificate}\n{intermediates}");
                }
                config.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key);
                Ok(false)
            }
            Authentication::Sasl { sasl_type, secret: SecretRef(name) } => {
                let (username, password) = match (
                    self.secret_text(name, "username")?,
                    self.secret_text(name, "password")?,
                ) {
                    (Some(username), Some(password)) => (username, password),
                    // The older form: the connection string alone.
                    _ => match self.secret_text(name, "token")? {
                        Some(token) => ("$ConnectionString".to_owned(), token),
                        None => {
                            return Err(misconfigured(format!(
                                "there is no Secret `{name}` with the keys `username` and `password`, or `token`"
                            )));
                        }
                    },
                };
                let mechanism = match sasl_type {
                    SaslType::Plain => "PLAIN",
                    SaslType::ScramSha256 => "SCRAM-SHA-256",
                    SaslType::ScramSha512 => "SCRAM-SHA-512",
                };
                config
                    .set("sasl.mechanism", mechanism)
                    .set("sasl.username", username)
                    .set("sasl.password", password);
                Ok(true)
            }
            Authentication::SystemAssignedManagedIdentity { .. }
            | Authentication::UserAssignedManagedIdentity { .. } => {
                config.set("sasl.mechanism", "OAUTHBEARER");
                Ok(true)
            }
            Authentication::ServiceAccountToken { .. } | Authentication::AccessToken { .. } => {
                Err(misconfigured("a Kafka endpoint knows no such authentication method".into()))
            }
        }
    }

    fn secret(&self, name: &str, key: &str) -> Option<Secret<Vec<u8>>> {
        self.context.credentials.secret(&self.namespace, name, key)
    }

    fn secret_text(&self, name: &str, key: &str) -> Result<Option<String>, Failure> {
        let Some(value) = self.secret(name, key) else { return Ok(None) };
        let text = std::str::from_utf8(value.expose())
            .map_err(|_| misconfigured(format!("the key `{key}` of Secret `{name}` is not text")))?;
        // a file that became a Secret has a last line
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Whose token to ask for, where tokens are used. The audience follows from the host (AIO, "Configure Azure Event
    /// Hubs and Kafka data flow endpoints").
    fn identity(&self) -> Option<Identity> {
        let audience = format!("https://{}", self.host().host());
        match &self.kafka.authentication {
            Authentication::SystemAssignedManagedIdentity { audience: given } => {
                Some(Identity::SystemAssigned { audience: given.clone().unwrap_or(audience) })
            }
            Authentication::UserAssignedManagedIdentity { client_id, tenant_id, scope } => {
                Some(Identity::UserAssigned {
                    client_id: client_id.clone(),
                    tenant_id: tenant_id.clone(),
                    scope: scope.clone().unwrap_or_else(|| format!("{audience}/.default")),
                })
            }
            _ => None,
        }
    }

    /// What a client of this peer tells us.
    pub(crate) fn monitor(&self) -> Arc<Monitor> {
        Arc::new(Monitor {
            host: self.host().clone(),
            client_id: self.client_id(),
            bearer: self
                .identity()
                .map(|identity| (identity, self.context.tokens.clone(), tokio::runtime::Handle::current())),
            no_token: Mutex::new(None),
            detail: Mutex::new(None),
            failure: watch::Sender::new(None),
        })
    }
}

fn misconfigured(message: String) -> Failure {
    Failure::refused(Kind::Configuration, message)
}

/// What librdkafka says about a client's connections, and where it gets its tokens.
pub(crate) struct Monitor {
    host: HostPort,
    client_id: String,
    bearer: Option<(Identity, Arc<dyn Tokens>, tokio::runtime::Handle)>,
    /// Why there is no token, if there is none.
    no_token: Mutex<Option<Failure>>,
    /// The last line about a connection that failed.
    detail: Mutex<Option<String>>,
    /// What is wrong, until something works again.
    failure: watch::Sender<Option<Failure>>,
}

impl Monitor {
    /// Notes an error and gives what it means.
    pub(crate) fn note(&self, code: Code) -> Failure {
        let failure = match self.no_token.lock().clone() {
            // librdkafka speaks of failed authentication, but nobody was asked to let us in
            Some(no_token) if code == Code::Authentication => no_token,
            _ => Failure::of(&self.host, code, self.detail.lock().as_deref()),
        };
        self.failure.send_if_modified(|now| {
            // "all brokers are down" follows the error that says why
            if now.as_ref().is_some_and(|f| f.refused) {
                return false;
            }
            *now = Some(failure.clone());
            true
        });
        failure
    }

    /// Something works: forget what did not.
    pub(crate) fn well(&self) {
        self.failure.send_if_modified(|now| now.take().is_some());
    }

    pub(crate) fn failure(&self) -> watch::Receiver<Option<Failure>> {
        self.failure.subscribe()
    }

    /// Why a client can't be used, if only a change helps.
    fn refusal(&self) -> Option<Failure> {
        self.failure.borrow().clone().filter(|f| f.refused)
    }

    /// Asks for a topic until the cluster has answered. Blocks for up to [`CONNECT_MAX`], and calls `serve` meanwhile
    /// so that a client without a thread of its own can serve its events.
    pub(crate) fn find_topic<C: ClientContext>(
        &self,
        client: &Client<C>,
        topic: &str,
        mut serve: impl FnMut(),
    ) -> Result<(), Failure> {
        let started = std::time::Instant::now();
        loop {
            serve();
            let answer = client.fetch_metadata(Some(topic), QUESTION_MAX);
            serve();
            let failure = match &answer {
                Ok(metadata) => match metadata.topics().iter().find(|t| t.name() == topic) {
                    Some(found) => match usable(found) {
                        Ok(()) => {
                            self.well();
                            return Ok(());
                        }
                        Err(code) => {
                            let failure = self.topic_failure(topic, code);
                            if failure.refused && (!is_unknown(code) || started.elapsed() > CREATION_MAX) {
                                return Err(failure);
                            }
                            failure
                        }
                    },
                    None => self.topic_failure(topic, Code::UnknownTopicOrPartition),
                },
                Err(error) => self.note_unless_known(error),
            };
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            let known = answer.is_err() && self.failure.borrow().is_some();
            if started.elapsed() > if known { UNREACHABLE_MAX } else { CONNECT_MAX } {
                return Err(failure);
            }
            if answer.is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn topic_failure(&self, topic: &str, code: Code) -> Failure {
        let failure = Failure::of(&self.host, code, None);
        Failure { message: format!("topic `{topic}`: {}", failure.message), ..failure }
    }

    /// An unanswered question; what is known of the connection says more than that.
    fn note_unless_known(&self, error: &KafkaError) -> Failure {
        if let Some(known) = self.failure.borrow().clone() {
            return known;
        }
        let code = error.rdkafka_error_code().unwrap_or(Code::OperationTimedOut);
        Failure::of(&self.host, code, self.detail.lock().as_deref())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(client_id = self.client_id, ?level, facility, line, "librdkafka");
        if matches!(facility, "FAIL" | "ERROR") {
            *self.detail.lock() = Some(cause(line).to_owned());
        }
    }

    fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let Some((identity, tokens, runtime)) = &self.bearer else {
            return Err("no token is configured".into());
        };
        // librdkafka calls from a thread that belongs to this client.
        let token = runtime.block_on(tokens.token(identity));
        *self.no_token.lock() = token.as_ref().err().map(|why| match why {
            TokenError::Unavailable(why) => Failure::later(Kind::Connection, why),
            TokenError::Refused(why) => misconfigured(why.clone()),
        });
        let token = token.inspect_err(|_| {
            self.note(Code::Authentication);
        })?;
        // It asks again after four fifths of the lifetime it is told.
        let expires = SystemTime::now() + token.renew_after.mul_f64(1.25);
        Ok(OAuthToken {
            token: String::from_utf8(token.value.expose().clone())?,
            principal_name: self.client_id.clone(),
            lifetime_ms: i64::try_from(expires.duration_since(UNIX_EPOCH)?.as_millis())?,
        })
    }
}

/// Whether there is a topic to write to or read from.
fn usable(topic: &MetadataTopic) -> Result<(), Code> {
    match topic.error() {
        Some(error) => Err(error.into()),
        None if topic.partitions().is_empty() => Err(Code::LeaderNotAvailable),
        None => Ok(()),
    }
}

fn is_unknown(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition)
}

/// The callbacks of one client, of a producer or a consumer as `T` has it.
pub(crate) struct Events<T> {
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) role: T,
}

impl<T: Send + Sync> ClientContext for Events<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.monitor.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, _: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.monitor.note(code);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.monitor.token()
    }
}
