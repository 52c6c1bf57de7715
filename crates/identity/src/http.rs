//! HTTP to services of Azure, and questions for tokens, which are asked rarely: a token lives for hours.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Secret;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Timeout};

/// How long a service on this machine or beside it may take to let us in, and Entra ID.
const NEAR_CONNECT_MAX: Duration = Duration::from_secs(2);
const FAR_CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long an answer may take. Entra ID answers in well under a second; IMDS may ask it first.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A question.
pub(crate) struct Question {
    pub(crate) url: String,
    pub(crate) method: Method,
    /// Of the query of a GET, of the form of a POST.
    pub(crate) fields: Vec<(&'static str, Secret<String>)>,
    pub(crate) headers: Vec<(&'static str, Secret<String>)>,
}

/// GET to what is near, past any proxy; POST to Entra ID.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

/// What came back, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The challenge of a 401.
    pub(crate) challenge: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Question {
    /// Asks; gives why there is no answer.
    pub(crate) async fn ask(self) -> Result<Answer, String> {
        tokio::task::spawn_blocking(move || self.ask_blocking()).await.map_err(|e| e.to_string())?
    }

    fn ask_blocking(self) -> Result<Answer, String> {
        let fields = self.fields.iter().map(|(name, value)| (*name, value.expose().as_str()));
        let answer = match self.method {
            Method::Get => {
                let builder = Agent::config_builder().proxy(None);
                let agent = limited(builder, NEAR_CONNECT_MAX, ANSWER_MAX);
                let mut request = agent.get(&self.url);
                for (name, value) in &self.headers {
                    request = request.header(*name, value.expose());
                }
                request.query_pairs(fields).call().map_err(|e| e.to_string())
            }
            Method::Post => {
                let agent = http_agent(FAR_CONNECT_MAX, ANSWER_MAX);
                agent.post(&self.url).send_form(fields).map_err(|e| unanswered(&e))
            }
        };
        let mut answer = answer?;
        let challenge =
            answer.headers().get("www-authenticate").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok(Answer { status: answer.status().as_u16(), challenge, body: body.map_err(|e| e.to_string())? })
    }
}

/// Makes a client for a service of Azure: how long it waits for a connection, and for a whole request with its answer. Every
/// status is an answer, and credentials follow no redirect. It trusts what the machine trusts, or the public CAs on one that
/// has no certificates, which is common in containers.
pub fn http_agent(connect_max: Duration, request_max: Duration) -> Agent {
    let native = rustls_native_certs::load_native_certs().certs;
    let roots = match native.as_slice() {
        [] => RootCerts::WebPki,
        native => native.iter().map(|c| Certificate::from_der(c).to_owned()).into(),
    };
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .build();
    limited(Agent::config_builder().tls_config(tls), connect_max, request_max)
}

fn limited(builder: ConfigBuilder<AgentScope>, connect_max: Duration, request_max: Duration) -> Agent {
    let builder = builder.http_status_as_error(false).max_redirects(0).max_redirects_will_error(false);
    let builder = builder.timeout_connect(Some(connect_max)).timeout_global(Some(request_max));
    builder.user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))).build().new_agent()
}

/// Why a service gave no answer, and what may help. It has no URL in it, of which a signature may be part.
pub fn unanswered(error: &ureq::Error) -> String {
    let refused = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ConnectionRefused;
    let help = match error {
        ureq::Error::HostNotFound => "check the spelling of the host, and this machine's DNS",
        ureq::Error::Io(e) if refused(e) => "check the host and its port, and that the server runs",
        ureq::Error::Timeout(Timeout::Resolve) => "check this machine's DNS servers",
        ureq::Error::Timeout(Timeout::Connect) => "check the host, and the firewalls on the way",
        ureq::Error::Rustls(_) => {
            "check that this machine trusts the CA of the host, or of a proxy on the way"
        }
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => "check `HTTPS_PROXY`",
        _ => return error.to_string(),
    };
    format!("{error}: {help}")
}
