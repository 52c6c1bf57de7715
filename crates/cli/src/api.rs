//! The control API of a running instance, as its clients see it.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tidegate_server::ApiToken;
use ureq::http::{Request, Response, header};
use ureq::middleware::MiddlewareNext;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, BodyReader, SendBody};

use crate::args::Global;
use crate::load;

/// How long an instance may take to accept a connection, and to begin and to finish an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is not a stream, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The API's token, if there is one.
///
/// # Errors
/// A sentence: the file can't be read, or holds no token.
pub(crate) fn token(global: &Global) -> anyhow::Result<Option<ApiToken>> {
    let Some(file) = &global.api_token_file else { return Ok(None) };
    let text = load::open(file).with_context(|| format!("can't read {}", file.display()))?;
    ApiToken::parse(&text).map(Some).with_context(|| file.display().to_string())
}

/// An instance.
pub(crate) struct Api {
    base: String,
    agent: Agent,
}

impl Api {
    /// The one that `--api` names, by a URL or the host and port of one.
    ///
    /// # Errors
    /// As [`token`].
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        let authorization = token(global)?.map(|token| token.authorization());
        let address = global.api.trim_end_matches('/');
        let base = if address.contains("://") { address.into() } else { format!("http://{address}") };
        let tls = if base.starts_with("https:") { tls() } else { TlsConfig::default() };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls)
            .timeout_resolve(Some(ANSWER_MAX))
            .timeout_connect(Some(ANSWER_MAX))
            .timeout_recv_response(Some(ANSWER_MAX))
            .middleware(move |mut request: Request<SendBody>, next: MiddlewareNext| {
                if let Some(authorization) = &authorization {
                    request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
                }
                next.handle(request)
            })
            .build()
            .new_agent();
        Ok(Self { base, agent })
    }

    /// The text of a JSON answer.
    ///
    /// # Errors
    /// A sentence: nobody answers, or what the instance says against it.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        self.get_with(path, &[])
    }

    /// The same with a query.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn get_with(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        String::from_utf8(self.get_bytes(path, query)?)
            .with_context(|| format!("{} answers what is no text", self.base))
    }

    /// The bytes of an answer.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn get_bytes(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
        let request = self.agent.get(self.url(path)).query_pairs(query.iter().copied());
        self.whole(request.config().timeout_recv_body(Some(ANSWER_MAX)).build().call())
    }

    /// Puts what `body` holds.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn put(&self, path: &str, query: &[(&str, &str)], body: &[u8]) -> anyhow::Result<String> {
        let request = self.agent.put(self.url(path)).query_pairs(query.iter().copied());
        let answer = self.whole(request.send(body))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Asks for something that may take as long as it takes.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn post(&self, path: &str, query: &[(&str, &str)], json: &str) -> anyhow::Result<String> {
        let request = self.agent.post(self.url(path)).query_pairs(query.iter().copied());
        let request = request.header("Content-Type", "application/json");
        let answer = self.whole(request.config().timeout_recv_response(None).build().send(json))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The same, where the instance may find the request wanting: its answer to that, as JSON, is a result too.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn judge(
        &self,
        path: &str,
        query: &[(&str, &str)],
        json: &str,
    ) -> anyhow::Result<Result<String, String>> {
        let request = self.agent.post(self.url(path)).query_pairs(query.iter().copied());
        let request = request.header("Content-Type", "application/json");
        let answer = request.config().timeout_recv_response(None).build().send(json);
        match answer {
            Ok(mut answer) if answer.status() == 422 => Ok(Err(answer.body_mut().read_to_string()?)),
            answer => Ok(Ok(String::from_utf8(self.whole(answer)?)?)),
        }
    }

    /// Deletes.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn delete(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        let request = self.agent.delete(self.url(path)).query_pairs(query.iter().copied());
        let answer = self.whole(request.call())?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// A stream of events, which lasts until either side ends it.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn events(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<Events<BufReader<BodyReader<'static>>>> {
        let request = self.agent.get(self.url(path)).query_pairs(query.iter().copied());
        Ok(Events(BufReader::new(self.accept(request.call())?.into_body().into_reader())))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn whole(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        self.accept(answer)?
            .into_body()
            .into_with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .with_context(|| format!("the answer of {} breaks off", self.base))
    }

    fn accept(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Response<Body>> {
        #[derive(Deserialize)]
        struct Refusal {
            error: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(ureq::Error::Io(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => bail!(
                "no tidegate answers at {}: start one with `tidegate run PATH...`, or say with --api where one is",
                self.base
            ),
            Err(error) => return Err(error).with_context(|| format!("no answer from {}", self.base)),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        match serde_json::from_str::<Refusal>(&said) {
            Ok(refusal) => bail!("{}", refusal.error.message),
            Err(_) => bail!("{} answers {}; is it a tidegate?", self.base, answer.status()),
        }
    }
}

/// Trusts what the machine trusts, or the public CAs on one that has no certificates, which is common in containers.
fn tls() -> TlsConfig {
    let native = rustls_native_certs::load_native_certs().certs;
    let roots = match native.as_slice() {
        [] => RootCerts::WebPki,
        native => native.iter().map(|c| Certificate::from_der(c).to_owned()).into(),
    };
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .build()
}

/// A name as one segment of a path: whatever it holds, it can't reach another address.
pub(crate) fn path_segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A `text/event-stream`, event by event (WHATWG HTML, "Server-sent events").
pub(crate) struct Events<R>(R);

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty for `message`, the usual one.
    pub(crate) name: String,
    /// Its lines, joined.
    pub(crate) data: String,
}

impl<R: BufRead> Events<R> {
    /// Waits for the next event that has data; none when the stream has ended.
    ///
    /// # Errors
    /// The connection's, or text that is no UTF-8.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut has_data = false;
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && has_data => return Ok(Some(event)),
                "" if line.is_empty() => event = Event::default(),
                "event" => event.name = value.into(),
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    has_data = true;
                }
                // a comment, or a field that is not ours
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(path_segment("line-7"), "line-7");
        assert_eq!(path_segment("../a b?x#ü"), "%2E%2E%2Fa%20b%3Fx%23%C3%BC");
    }

    fn read(text: &str) -> Vec<(String, String)> {
        let mut events = Events(text.as_bytes());
        std::iter::from_fn(|| events.next().unwrap()).map(|e| (e.name, e.data)).collect()
    }

    #[test]
    fn comments_and_half_events_are_passed_over() {
        let text =
            ": hello\n\ndata: 1\n\n:\n\nevent: lagged\r\ndata: {\"skipped\":2}\r\n\r\nid: 3\n\ndata:cut off";
        assert_eq!(read(text), [("".into(), "1".into()), ("lagged".into(), r#"{"skipped":2}"#.into())]);
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read(sent in prop::collection::vec(("[a-z]{0,5}", "[^\r\n]{0,9}(\n[^\r\n]{0,9})?"), 0..5)) {
            let mut text = String::new();
            for (name, data) in &sent {
                if !name.is_empty() {
                    writeln!(text, "event: {name}").unwrap();
                }
                for line in data.split('\n') {
                    writeln!(text, "data: {line}").unwrap();
                }
                text.push('\n');
            }
            prop_assert_eq!(read(&text), sent);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a-z: \r\n]{0,60}") {
            read(&text);
        }
    }
}
