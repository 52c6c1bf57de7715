//! What stands in front of an [Azurite](crate::Azurite): a storage account that fails as storage does, or Fabric OneLake,
//! which runs in Azure only. As OneLake it wants a token of Entra ID for Azure Storage, takes a workspace for the
//! container, knows one lakehouse, and lets nobody write beside its `Files` and `Tables`
//! (<https://learn.microsoft.com/fabric/onelake/onelake-access-api>). A test has delta-rs use it, by OneLake's URLs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State as Shared};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use ureq::Agent;

use crate::StorageAccount;

const BODY_BYTES_MAX: usize = 256 << 20;

/// Whom tokens must be for.
const AUDIENCE: &str = "https://storage.azure.com";

/// What goes wrong with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// They are answered with 503 `ServerBusy`, and nothing is done.
    Busy,
    /// They are answered with 403 `AuthorizationPermissionMismatch`.
    Forbidden,
    /// They are carried out, and the answer is lost on the way.
    LostAnswer,
    /// They are carried out, and answered with 500 `OperationTimedOut`.
    TimeoutAfterEffect,
}

/// Which workspace and lakehouse there are.
struct OneLake {
    workspace: String,
    lakehouse: String,
}

/// A running front; ended when dropped.
pub struct StorageFront {
    state: Arc<State>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct State {
    account: StorageAccount,
    one_lake: Option<OneLake>,
    agent: Agent,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    /// One of these, of so many requests one; and what is drawn from to say which.
    one_in: Option<(u64, Vec<StorageFault>)>,
    drawn: u64,
    /// All requests fail so.
    always: Option<StorageFault>,
    requests: usize,
    tokens_refused: usize,
}

impl StorageFront {
    /// Before an account, whose requests its clients sign.
    pub async fn account(account: &StorageAccount) -> Self {
        Self::start(account, None).await
    }

    /// A OneLake with one workspace, which is a container of the account that is there, and one lakehouse in it.
    pub async fn one_lake(account: &StorageAccount, workspace: &str, lakehouse: &str) -> Self {
        let (workspace, lakehouse) = (workspace.to_owned(), lakehouse.to_owned());
        Self::start(account, Some(OneLake { workspace, lakehouse })).await
    }

    async fn start(account: &StorageAccount, one_lake: Option<OneLake>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let agent = Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let state = Arc::new(State { account: account.clone(), one_lake, agent, faults: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(state.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { state, address, task }
    }

    /// The value of an endpoint's `host`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Of so many requests one fails, in one of these ways. It looks like chance, as any rhythm might meet that of a client
    /// that tries again, and is the same each time.
    pub fn fail_one_in(&self, requests: u64, how: &[StorageFault]) {
        let mut faults = self.state.faults.lock();
        faults.one_in = Some((requests, how.to_vec()));
        faults.drawn = 0x9e37_79b9_7f4a_7c15;
    }

    /// All requests fail, until they do not.
    pub fn set_fault(&self, fault: Option<StorageFault>) {
        self.state.faults.lock().always = fault;
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.state.faults.lock().requests
    }

    /// How many came without a token that is valid.
    pub fn tokens_refused(&self) -> usize {
        self.state.faults.lock().tokens_refused
    }
}

impl Drop for StorageFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Faults {
    fn next(&mut self) -> Option<StorageFault> {
        self.requests += 1;
        // xorshift
        self.drawn ^= self.drawn << 13;
        self.drawn ^= self.drawn >> 7;
        self.drawn ^= self.drawn << 17;
        let by_chance = self.one_in.as_ref().and_then(|(one_in, how)| {
            let fails = (self.drawn >> 16).is_multiple_of(*one_in);
            fails.then(|| how[(self.drawn >> 40) as usize % how.len()])
        });
        self.always.or(by_chance)
    }
}

async fn answer(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let fault = state.faults.lock().next();
    match fault {
        Some(StorageFault::Busy) => return error(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy"),
        Some(StorageFault::Forbidden) => {
            return error(StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch");
        }
        _ => {}
    }
    let done = match &state.one_lake {
        None => pass(&state, request, None).await,
        Some(one_lake) => match one_lake.admits(&request) {
            Ok(()) => {
                let first = start_from(&request);
                let done = pass(&state, request, Some(state.account.signature())).await;
                match first {
                    Some(first) => without_names_before(done, &first).await,
                    None => done,
                }
            }
            Err((status, code)) => {
                state.faults.lock().tokens_refused += usize::from(status == StatusCode::UNAUTHORIZED);
                error(status, code)
            }
        },
    };
    match fault {
        Some(StorageFault::LostAnswer) => {
            let cut = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
            (done.status(), Body::from_stream(cut)).into_response()
        }
        Some(StorageFault::TimeoutAfterEffect) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "OperationTimedOut")
        }
        _ => done,
    }
}

impl OneLake {
    /// Whether a request may pass, or how it is answered.
    fn admits(&self, request: &Request) -> Result<(), (StatusCode, &'static str)> {
        let authorization = request.headers().get("authorization").and_then(|v| v.to_str().ok());
        let claims = authorization.and_then(|v| v.strip_prefix("Bearer ")).and_then(claims);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let valid = claims.is_some_and(|claims| {
            claims["aud"] == AUDIENCE && claims["exp"].as_u64().is_some_and(|ends_at| ends_at > now)
        });
        if !valid {
            return Err((StatusCode::UNAUTHORIZED, "InvalidAuthenticationInfo"));
        }
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let mut parts = path.split('/');
        if parts.next() != Some(&self.workspace) {
            return Err((StatusCode::NOT_FOUND, "WorkspaceNotFound"));
        }
        let Some(item) = parts.next() else { return Ok(()) };
        if item != format!("{}.Lakehouse", self.lakehouse) {
            return Err((StatusCode::NOT_FOUND, "ArtifactNotFound"));
        }
        let is_put = request.method() == Method::PUT;
        if is_put && !matches!(parts.next(), Some("Files" | "Tables")) {
            return Err((StatusCode::BAD_REQUEST, "OperationNotAllowedOnManagedFolder"));
        }
        Ok(())
    }
}

fn claims(token: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

/// The first name that a listing is to have, which Azurite leaves out of account.
fn start_from(request: &Request) -> Option<String> {
    let Query(mut query) = Query::<HashMap<String, String>>::try_from_uri(request.uri()).ok()?;
    query.remove("startFrom")
}

async fn without_names_before(listing: Response, first: &str) -> Response {
    let (head, body) = listing.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let (mut kept, mut rest) = (String::new(), &*text);
    while let Some((before, after)) = rest.split_once("<Blob>") {
        kept.push_str(before);
        let Some((blob, after)) = after.split_once("</Blob>") else { break };
        let name = blob.split_once("<Name>").and_then(|(_, name)| name.split_once("</Name>"));
        if name.is_some_and(|(name, _)| name >= first) {
            kept.extend(["<Blob>", blob, "</Blob>"]);
        }
        rest = after;
    }
    kept.push_str(rest);
    Response::from_parts(head, kept.into())
}

fn error(status: StatusCode, code: &'static str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>");
    (status, [("x-ms-error-code", code)], body).into_response()
}

/// Passes a request on to the account, signed anew if it was not signed for it.
async fn pass(state: &State, request: Request, signature: Option<String>) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge");
    };
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let separator = if target.contains('?') { '&' } else { '?' };
    let signature = signature.map(|s| format!("{separator}{s}")).unwrap_or_default();
    let url = format!("{}{target}{signature}", state.account.blobs);
    let agent = state.agent.clone();
    let is_head = head.method == Method::HEAD;
    let call = move || {
        let mut headers = head.headers;
        for name in ["host", "content-length", "authorization", "connection"] {
            headers.remove(name);
        }
        let mut call = ureq::http::Request::builder().method(head.method).uri(url);
        for (name, value) in &headers {
            call = call.header(name, value);
        }
        let call = call.body(body.to_vec()).expect("what came in can go out");
        agent.run(call)
    };
    let Ok(Ok(mut answer)) = tokio::task::spawn_blocking(call).await else {
        return error(StatusCode::BAD_GATEWAY, "NoAnswer");
    };
    let bytes =
        answer.body_mut().with_config().limit(BODY_BYTES_MAX as u64).read_to_vec().unwrap_or_default();
    let mut out = Response::builder().status(answer.status());
    let names = ["x-ms-error-code", "content-type", "etag", "last-modified", "content-range"];
    // with a body it follows from that
    for name in names.into_iter().chain(is_head.then_some("content-length")) {
        if let Some(value) = answer.headers().get(name) {
            out = out.header(HeaderName::from_static(name), value);
        }
    }
    out.body(Body::from(bytes)).expect("an answer can be passed on")
}
