//! HTTP to the cluster and its storage: few requests, each of them large.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a request may take with its answer; the largest is a batch on a slow line.
const REQUEST_MAX: Duration = Duration::from_secs(300);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy)]
pub(crate) enum Method {
    Get,
    Put,
    Post,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Http {
    agent: Agent,
}

impl Http {
    pub(crate) fn new() -> Self {
        let native = rustls_native_certs::load_native_certs().certs;
        let roots = match native.as_slice() {
            [] => RootCerts::WebPki,
            native => native.iter().map(|c| Certificate::from_der(c).to_owned()).into(),
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(roots)
            .build();
        // credentials follow no redirect
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(REQUEST_MAX))
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls);
        Self { agent: config.build().new_agent() }
    }

    /// Asks; gives why there is no answer, without the URL, which may hold a signature.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: String,
        headers: Vec<(&'static str, String)>,
        body: Arc<Vec<u8>>,
    ) -> Result<Answer, String> {
        let agent = self.agent.clone();
        let ask = move || {
            let answer = match method {
                Method::Get => {
                    headers.iter().fold(agent.get(&url), |r, (name, value)| r.header(*name, value)).call()
                }
                Method::Put | Method::Post => {
                    let request =
                        if matches!(method, Method::Put) { agent.put(&url) } else { agent.post(&url) };
                    headers.iter().fold(request, |r, (name, value)| r.header(*name, value)).send(&body[..])
                }
            };
            let mut answer = answer.map_err(|e| e.to_string())?;
            let status = answer.status().as_u16();
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
            Ok(Answer { status, body: body.map_err(|e| e.to_string())? })
        };
        tokio::task::spawn_blocking(ask).await.map_err(|e| e.to_string())?
    }
}
