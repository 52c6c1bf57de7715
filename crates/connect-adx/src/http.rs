//! HTTP to the cluster and its storage: few requests, each of them large.

use std::sync::Arc;
use std::time::Duration;

use tidegate_identity::{http_agent, unanswered};
use ureq::Agent;

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
        Self { agent: http_agent(CONNECT_MAX, REQUEST_MAX) }
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
            let mut answer = answer.map_err(|e| unanswered(&e))?;
            let status = answer.status().as_u16();
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
            Ok(Answer { status, body: body.map_err(|e| e.to_string())? })
        };
        tokio::task::spawn_blocking(ask).await.map_err(|e| e.to_string())?
    }
}
