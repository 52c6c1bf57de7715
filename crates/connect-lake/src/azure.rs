//! Azure Data Lake Gen2 and Fabric OneLake over the Blob service's REST API, which both have. It takes five requests.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api>,
//! <https://learn.microsoft.com/fabric/onelake/onelake-access-api>

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_core::Secret;
use tidegate_identity::{Identity, TokenError, Tokens, http_agent, unanswered};
use ureq::Agent;
use ureq::http::Response;

use crate::failure::{Failure, Kind};
use crate::store::Store;

/// The version of the REST API. It is the first in which one request may bring a blob of 5000 MiB, and later.
const API_VERSION: &str = "2021-12-02";

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a whole request may take, the answer included.
const REQUEST_MAX: Duration = Duration::from_secs(120);

/// How long to wait before something is read again.
const READ_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// The largest blob that is read: checkpoints are.
const BLOB_BYTES_MAX: u64 = 1 << 30;

/// What lets us in.
pub(crate) enum Login {
    /// A shared access signature: a query without `?`. Asked for anew each time, as it may be rotated.
    Signature(Box<dyn Fn() -> Result<Secret<String>, String> + Send + Sync>),
    Identity {
        identity: Identity,
        tokens: Arc<dyn Tokens>,
        token: Mutex<Option<(Secret<String>, Instant)>>,
    },
}

/// A container of a storage account, or a workspace of OneLake.
pub(crate) struct BlobContainer {
    agent: Agent,
    /// `https://<host>/<container>`.
    url: String,
    login: Login,
}

/// A request, ready to be sent.
struct Request {
    method: Method,
    url: Secret<String>,
    authorization: Option<Secret<String>>,
}

enum Method {
    Get,
    Put { bytes: Bytes, only_if: OnlyIf },
}

/// When a blob is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnlyIf {
    Always,
    /// If there is none.
    New,
    /// If the one that is there has a tag that none has: who may not write hears that first.
    Never,
}

/// What came back, whatever its status.
struct Answer {
    status: u16,
    /// `x-ms-error-code`.
    code: String,
    body: Vec<u8>,
}

impl BlobContainer {
    /// `host` is without `https://`; that of an emulator may start with `http://`.
    pub(crate) fn new(host: &str, container: &str, login: Login) -> Self {
        let mut url = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
        url.push('/');
        encode(container, &mut url);
        Self { agent: http_agent(CONNECT_MAX, REQUEST_MAX), url, login }
    }

    /// Reads a path of the container, or the container with a query: more than once, if the service has a bad moment. A
    /// table is opened by many small reads, which would else begin anew with each of them that fails.
    async fn read(&self, path: &str, query: &str) -> Result<Answer, Failure> {
        let mut pauses = READ_PAUSES.iter();
        loop {
            let answer = self.send(Method::Get, path, query).await;
            let passes = match &answer {
                Ok(answer) => matches!(answer.status, 408 | 429 | 500..=599),
                Err(failure) => !failure.refused && matches!(failure.kind, Kind::Send | Kind::Timeout),
            };
            match pauses.next().filter(|_| passes) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return answer,
            }
        }
    }

    /// Sends a request for a path of the container, or for the container with a query.
    async fn send(&self, method: Method, path: &str, query: &str) -> Result<Answer, Failure> {
        let mut url = self.url.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            url.push('/');
            encode(part, &mut url);
        }
        let mut separator = '?';
        let mut add = |url: &mut String, query: &str| {
            if !query.is_empty() {
                url.push(separator);
                url.push_str(query);
                separator = '&';
            }
        };
        add(&mut url, query);
        let authorization = match &self.login {
            Login::Signature(signature) => {
                let signature = signature().map_err(|why| Failure::refused(Kind::Authentication, why))?;
                add(&mut url, signature.expose().trim().trim_start_matches('?'));
                None
            }
            Login::Identity { .. } => Some(self.bearer().await?),
        };
        let agent = self.agent.clone();
        let request = Request { method, url: Secret::new(url), authorization };
        let answer = tokio::task::spawn_blocking(move || request.send(&agent))
            .await
            .map_err(|error| Failure::later(Kind::Send, format!("the request was given up: {error}")))?;
        let answer = answer.map_err(|error| self.unanswered(&error))?;
        if answer.status == 401
            && let Login::Identity { token, .. } = &self.login
        {
            // it may have been withdrawn; the next request asks for another one
            *token.lock() = None;
        }
        Ok(answer)
    }

    async fn bearer(&self) -> Result<Secret<String>, Failure> {
        let Login::Identity { identity, tokens, token } = &self.login else {
            return Err(Failure::refused(Kind::Authentication, "there is no identity"));
        };
        let known = token
            .lock()
            .as_ref()
            .filter(|(_, until)| Instant::now() < *until)
            .map(|(bearer, _)| bearer.clone());
        if let Some(bearer) = known {
            return Ok(bearer);
        }
        let fresh = tokens.token(identity).await.map_err(|error| match error {
            TokenError::Unavailable(why) => Failure::later(Kind::Authentication, why),
            TokenError::Refused(why) => Failure::refused(Kind::Authentication, why),
        })?;
        let bearer = Secret::new(format!("Bearer {}", String::from_utf8_lossy(fresh.value.expose())));
        *token.lock() = Some((bearer.clone(), Instant::now() + fresh.renew_after));
        Ok(bearer)
    }

    /// An error has no address in it: a signature would be part of that.
    fn unanswered(&self, error: &ureq::Error) -> Failure {
        let kind = match error {
            ureq::Error::Timeout(_) => Kind::Timeout,
            _ => Kind::Send,
        };
        Failure::later(kind, format!("{}: {}", self.url, unanswered(error)))
    }

    /// What to do about 403.
    fn no_right(&self, code: &str) -> String {
        let firewall = "the account's firewall keeps this machine out";
        if let Login::Signature(signature) = &self.login
            && let Some(ended) = signature().ok().and_then(|text| ended_at(text.expose()))
        {
            return format!("the access token has run out, at {ended}; put a new one into its Secret");
        }
        match (&self.login, code) {
            (Login::Signature(_), "AuthenticationFailed" | "AuthorizationFailure") => {
                format!("the access token is not one of this account, or was withdrawn, or {firewall}")
            }
            (Login::Signature(_), _) => {
                "the access token has no right to do that; it needs read, create, write and list (`sp=rcwl`)"
                    .to_owned()
            }
            (Login::Identity { .. }, "AuthorizationFailure") => firewall.to_owned(),
            (Login::Identity { .. }, _) => {
                "the identity has no right to do that; give it the role Storage Blob Data Contributor, or in OneLake \
                 Contributor of the workspace"
                    .to_owned()
            }
        }
    }

    /// Why a request failed.
    fn failure(&self, answer: &Answer, what: &str) -> Failure {
        const MISSING: [&str; 4] =
            ["ContainerNotFound", "FilesystemNotFound", "WorkspaceNotFound", "ArtifactNotFound"];
        let Answer { status, code, .. } = answer;
        let said = format!("{}: {what}: HTTP {status} {code}", self.url);
        let with = |way_out: &str| format!("{said}; {way_out}");
        match status {
            404 if MISSING.contains(&code.as_str()) => {
                Failure::refused(Kind::Missing, with("create it, or correct its name"))
            }
            // a token that has just run out, or clocks that disagree, come right by themselves
            401 => Failure::later(
                Kind::Authentication,
                with(
                    "the credentials are not accepted; check the audience or scope, and this machine's clock",
                ),
            ),
            403 => Failure::refused(Kind::Authentication, with(&self.no_right(code))),
            400 => Failure::refused(Kind::Configuration, said),
            408 | 504 => Failure::later(Kind::Timeout, said),
            _ => Failure::later(Kind::Send, said),
        }
    }
}

/// When a shared access signature ended, if it has, as it says it (`se`, ISO 8601 in UTC).
fn ended_at(signature: &str) -> Option<String> {
    let ends = signature.split(['?', '&']).find_map(|field| field.trim().strip_prefix("se="))?;
    let ends = ends.replace("%3A", ":").replace("%3a", ":");
    (ends < humantime::format_rfc3339_seconds(SystemTime::now()).to_string()).then_some(ends)
}

impl Request {
    fn send(self, agent: &Agent) -> Result<Answer, ureq::Error> {
        let Self { method, url, authorization } = self;
        let authorization = authorization.as_ref().map(|a| a.expose().as_str());
        let answer = match method {
            Method::Get => {
                let mut request = agent.get(url.expose()).header("x-ms-version", API_VERSION);
                if let Some(authorization) = authorization {
                    request = request.header("authorization", authorization);
                }
                request.call()?
            }
            Method::Put { bytes, only_if } => {
                let mut request = agent
                    .put(url.expose())
                    .header("x-ms-version", API_VERSION)
                    .header("x-ms-blob-type", "BlockBlob")
                    .header("content-type", "application/octet-stream");
                if let Some(authorization) = authorization {
                    request = request.header("authorization", authorization);
                }
                request = match only_if {
                    OnlyIf::Always => request,
                    OnlyIf::New => request.header("if-none-match", "*"),
                    OnlyIf::Never => request.header("if-match", "\"0x0\""),
                };
                request.send(&bytes[..])?
            }
        };
        read(answer)
    }
}

fn read(mut answer: Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let code =
        answer.headers().get("x-ms-error-code").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(BLOB_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status, code, body })
}

#[async_trait]
impl Store for BlobContainer {
    /// There are no folders; that there is a container shows in the first listing.
    async fn prepare(&self, folder: &str) -> Result<(), Failure> {
        self.list(folder).await.map(drop)
    }

    async fn probe(&self, folder: &str) -> Result<(), Failure> {
        let answer = self.read("", &format!("{}&maxresults=1", listing(folder))).await?;
        if answer.status != 200 {
            return Err(self.failure(&answer, folder));
        }
        let path = format!("{folder}/.tidegate-connection-test");
        let put = Method::Put { bytes: Bytes::new(), only_if: OnlyIf::Never };
        let answer = self.send(put, &path, "").await?;
        match (answer.status, answer.code.as_str()) {
            (201 | 412, _) | (404, "BlobNotFound" | "PathNotFound" | "ResourceNotFound") => Ok(()),
            _ => Err(self.failure(&answer, &path)),
        }
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Failure> {
        let answer = self.send(Method::Put { bytes, only_if: OnlyIf::Always }, path, "").await?;
        if answer.status == 201 { Ok(()) } else { Err(self.failure(&answer, path)) }
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<bool, Failure> {
        let answer = self.send(Method::Put { bytes, only_if: OnlyIf::New }, path, "").await?;
        match (answer.status, answer.code.as_str()) {
            (201, _) => Ok(true),
            (412, _) | (409, "BlobAlreadyExists" | "PathAlreadyExists" | "ResourceAlreadyExists") => {
                Ok(false)
            }
            _ => Err(self.failure(&answer, path)),
        }
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Failure> {
        let answer = self.read(path, "").await?;
        match (answer.status, answer.code.as_str()) {
            (200, _) => Ok(Some(answer.body.into())),
            (404, "BlobNotFound" | "PathNotFound" | "ResourceNotFound") => Ok(None),
            _ => Err(self.failure(&answer, path)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        let mut marker = String::new();
        loop {
            let mut query = listing(folder);
            if !marker.is_empty() {
                query.push_str("&marker=");
                encode(&marker, &mut query);
            }
            let answer = self.read("", &query).await?;
            if answer.status != 200 {
                return Err(self.failure(&answer, folder));
            }
            let text = String::from_utf8_lossy(&answer.body);
            let unreadable = || Failure::later(Kind::Send, format!("{}: a listing can't be read", self.url));
            for blob in elements(&text, "Blob") {
                let name = unescape(elements(blob, "Name").next().ok_or_else(unreadable)?);
                names.extend(name.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned));
            }
            marker = elements(&text, "NextMarker").next().map(unescape).unwrap_or_default();
            if marker.is_empty() {
                names.sort_unstable();
                return Ok(names);
            }
        }
    }
}

/// The query that lists a folder.
fn listing(folder: &str) -> String {
    let mut query = "restype=container&comp=list&delimiter=%2F&prefix=".to_owned();
    for part in folder.split('/') {
        encode(part, &mut query);
        query.push_str("%2F");
    }
    query
}

/// Percent-encodes a segment.
fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

/// What is between the tags of that name, one after the other; none of those that are asked for is inside its like.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let from = rest.find(&start)? + start.len();
        let length = rest[from..].find(&end)?;
        let found = &rest[from..from + length];
        rest = &rest[from + length + end.len()..];
        Some(found)
    })
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}
