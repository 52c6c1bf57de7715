//! A double of an Azure Data Explorer cluster, which runs in Azure only: the engine and its data management service on
//! one port of 127.0.0.1, tables in memory, blobs and queues in an [Azurite](crate::Azurite). What is put into its
//! ingestion queue is fetched, unpacked, mapped and stored, and not stored twice where the message says so
//! (`ingestIfNotExists`). That it answers as the real one does is proven by Microsoft's Python clients, which are made to
//! use it (`oracles/azure-kusto`).
//!
//! It knows JSON formats only, and of the query language no more than `Table`, `Table | count` and `Table | take 10`.

mod commands;
mod storage;
mod tables;

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::storage::Storage;
use self::tables::{Refusal, Tables};
use crate::StorageAccount;

/// The largest streaming request that the service takes.
const STREAM_BYTES_MAX: usize = 10 << 20;

/// How often the queue is looked at.
const QUEUE_EVERY: Duration = Duration::from_millis(50);

/// The code of what is not ingested because its tag is there.
const SKIPPED: &str = "Skipped_IngestByTagAlreadyExists";

/// What goes wrong with requests to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KustoFault {
    /// They are answered with 429.
    Throttle,
    /// They are answered with 401.
    Unauthorized,
    /// They are answered with 403: the identity is no ingestor.
    Forbidden,
    /// Streaming ingestion is switched off.
    StreamingOff,
    /// They are answered so much later.
    Slow(Duration),
    /// They are carried out, and the answer is lost on the way.
    LostResponse,
}

/// A running cluster; ended when dropped.
pub struct Kusto {
    state: Arc<State>,
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

struct State {
    storage: Storage,
    tables: Mutex<Tables>,
    /// A fault, and how many requests it is still for.
    fault: Mutex<Option<(KustoFault, usize)>>,
    /// Every ingestion message, in the order they were taken from the queue.
    messages: Mutex<Vec<Value>>,
    streamed: Mutex<usize>,
    /// How many of the next ingestions from the queue fail, though they would succeed later.
    failing: Mutex<usize>,
    /// Whether clients may not look at tables, as those who may only ingest.
    blind: AtomicBool,
}

impl Kusto {
    /// Starts one on a free port.
    pub async fn start(accounts: &[StorageAccount]) -> Self {
        Self::listen(([127, 0, 0, 1], 0).into(), accounts).await
    }

    /// Starts one at an address.
    pub async fn listen(address: SocketAddr, accounts: &[StorageAccount]) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            storage: Storage::create(accounts).await,
            tables: Mutex::default(),
            fault: Mutex::default(),
            messages: Mutex::default(),
            streamed: Mutex::default(),
            failing: Mutex::default(),
            blind: AtomicBool::default(),
        });
        let router = Router::new().fallback(answer).with_state(state.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let managing = tokio::spawn(manage(state.clone()));
        Self { state, address, tasks: [server, managing] }
    }

    /// The URL of the cluster.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Carries out a management command or a query in a database; gives the rows.
    ///
    /// # Errors
    /// Kusto's error text.
    pub fn execute(&self, database: &str, command: &str) -> Result<Vec<Vec<Value>>, String> {
        commands::execute(&self.state, database, command).map(|t| t.rows).map_err(|r| r.message)
    }

    /// The rows of a table, in the order they were stored.
    pub fn rows(&self, database: &str, table: &str) -> Vec<Vec<Value>> {
        self.execute(database, table).expect("the table is there")
    }

    /// Makes the next `requests` to the cluster go wrong; what waits in its queue is ingested all the same.
    pub fn set_fault(&self, fault: KustoFault, requests: usize) {
        *self.state.fault.lock() = Some((fault, requests));
    }

    /// Whether there is a fault that is not used up.
    pub fn has_fault(&self) -> bool {
        self.state.fault.lock().is_some_and(|(_, left)| left > 0)
    }

    /// Makes the next so many ingestions from the queue fail for a reason that passes.
    pub fn fail_ingestions(&self, ingestions: usize) {
        *self.state.failing.lock() = ingestions;
    }

    /// From now on clients may ingest, and neither query nor look at tables and policies.
    pub fn forbid_looks(&self) {
        self.state.blind.store(true, Ordering::Relaxed);
    }

    /// Every ingestion message that has been taken from the queue, as it was written.
    pub fn messages(&self) -> Vec<Value> {
        self.state.messages.lock().clone()
    }

    /// How many streaming requests have been stored.
    pub fn streamed(&self) -> usize {
        *self.state.streamed.lock()
    }
}

impl Drop for Kusto {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn answer(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let streams = request.uri().path().starts_with("/v1/rest/ingest/");
    let fault = {
        let mut fault = state.fault.lock();
        // that streaming is off is no fault of another request, and is not spent by one
        let concerned = |kind| streams || kind != KustoFault::StreamingOff;
        match fault.as_mut().filter(|(kind, left)| *left > 0 && concerned(*kind)) {
            Some((kind, left)) => {
                *left -= 1;
                Some(*kind)
            }
            None => None,
        }
    };
    match fault {
        Some(KustoFault::Throttle) => {
            return Refusal::later(429, "TooManyRequests", "the request was throttled").into_response();
        }
        Some(KustoFault::Unauthorized) => {
            return Refusal::never(401, "Unauthorized", "the token is not valid").into_response();
        }
        Some(KustoFault::Forbidden) => {
            let message = "Principal 'aadapp=double' is not authorized to ingest";
            return Refusal::never(403, "Forbidden", message).into_response();
        }
        Some(KustoFault::StreamingOff) => return streaming_off().into_response(),
        Some(KustoFault::Slow(wait)) => tokio::time::sleep(wait).await,
        _ => {}
    }
    let done = carry_out(&state, request).await;
    if fault == Some(KustoFault::LostResponse) {
        let cut = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
        return Body::from_stream(cut).into_response();
    }
    done.unwrap_or_else(IntoResponse::into_response)
}

fn streaming_off() -> Refusal {
    let code = "BadRequest_StreamingIngestionPolicyNotEnabled";
    Refusal::never(400, code, "Streaming ingestion policy is not enabled")
}

async fn carry_out(state: &State, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if path == "/v1/rest/auth/metadata" {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let header = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !header(header::AUTHORIZATION).starts_with("Bearer ") {
        return Err(Refusal::never(401, "Unauthorized", "there is no token"));
    }
    let body = to_bytes(body, STREAM_BYTES_MAX)
        .await
        .map_err(|e| Refusal::never(413, "RequestTooLarge", e.to_string()))?;
    let bad = |message: String| Refusal::never(400, "BadRequest", message);
    if let Some(target) = path.strip_prefix("/v1/rest/ingest/") {
        let (database, table) = target.split_once('/').ok_or_else(|| bad(path.clone()))?;
        let body = if header(header::CONTENT_ENCODING) == "gzip" {
            gunzip(&body).map_err(bad)?
        } else {
            body.to_vec()
        };
        let query = head.uri.query().unwrap_or_default();
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|p| p.split_once('='))
                .find(|(n, _)| *n == name)
                .map(|(_, v)| decode(v))
        };
        let format = parameter("streamFormat").unwrap_or_default();
        let mapping = parameter("mappingName");
        if mapping.is_none() {
            let code = "BadRequest_MappingReferenceWasNotFound";
            return Err(Refusal::never(400, code, "`mappingName` is required for JSON"));
        }
        let mut tables = state.tables.lock();
        let table = tables.find(&decode(database), &decode(table))?;
        if table.streaming == Some(false) {
            return Err(streaming_off());
        }
        let mapping = table.mapping_of(mapping.as_deref(), None)?;
        table.ingest(&format, &mapping, &body)?;
        *state.streamed.lock() += 1;
        return Ok(axum::Json(commands::v1(&commands::Found::default())).into_response());
    }
    let asked: Value = serde_json::from_slice(&body).map_err(|e| bad(e.to_string()))?;
    let (database, command) =
        (asked["db"].as_str().unwrap_or_default(), asked["csl"].as_str().unwrap_or_default());
    let looks = command.starts_with(".show") || !command.starts_with('.');
    if looks && state.blind.load(Ordering::Relaxed) {
        let message = format!("Principal 'aadapp=double' is not authorized to read database '{database}'.");
        return Err(Refusal::never(403, "Forbidden", message));
    }
    let found = commands::execute(state, database, command)?;
    match path.as_str() {
        "/v1/rest/mgmt" | "/v1/rest/query" => Ok(axum::Json(commands::v1(&found)).into_response()),
        "/v2/rest/query" => Ok(axum::Json(commands::v2(&found)).into_response()),
        _ => Err(Refusal::never(404, "NotFound", path)),
    }
}

/// The data management service: takes messages from the queue and ingests what they name.
async fn manage(state: Arc<State>) {
    loop {
        let taken = state.storage.take().await;
        if taken.is_empty() {
            tokio::time::sleep(QUEUE_EVERY).await;
        }
        for message in taken {
            state.messages.lock().push(message.clone());
            report(&state, &message, ingest(&state, &message).await).await;
        }
    }
}

/// Reports what became of an ingestion as its message asks for: `ReportLevel` 0 failures, 2 successes too;
/// `ReportMethod` 0 to the queue, 1 into the table, 2 both.
async fn report(state: &State, message: &Value, ingested: Result<(), Refusal>) {
    let path = message["BlobPath"].as_str().and_then(|p| p.split('?').next());
    let mut report = json!({
        "OperationId": uuid::Uuid::new_v4().to_string(),
        "Database": message["DatabaseName"],
        "Table": message["TableName"],
        "IngestionSourceId": message["Id"],
        "IngestionSourcePath": path,
        "RootActivityId": uuid::Uuid::new_v4().to_string(),
        "OriginatesFromUpdatePolicy": false,
    });
    let level = message["ReportLevel"].as_u64().unwrap_or_default();
    let method = message["ReportMethod"].as_u64().unwrap_or_default();
    let status = match &ingested {
        Ok(()) if level != 2 => return,
        Ok(()) => "Succeeded",
        Err(refusal) => {
            report["Details"] = json!(refusal.message);
            report["ErrorCode"] = json!(refusal.code);
            report["FailureStatus"] = json!(if refusal.permanent { "Permanent" } else { "Transient" });
            if refusal.code == SKIPPED { "Skipped" } else { "Failed" }
        }
    };
    if method != 0 {
        let mut row = report.clone();
        row["Status"] = json!(status);
        state.storage.report_status(&message["IngestionStatusInTable"], row).await;
    }
    if let (Err(refusal), 0 | 2) = (ingested, method) {
        report["ShouldRetry"] = json!(!refusal.permanent);
        state.storage.report_failure(report).await;
    }
}

async fn ingest(state: &State, message: &Value) -> Result<(), Refusal> {
    {
        let mut failing = state.failing.lock();
        if *failing > 0 {
            *failing -= 1;
            return Err(Refusal::later(500, "General_InternalServerError", "An internal error occurred."));
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let more = &message["AdditionalProperties"];
    if text(&more["authorizationContext"]) != commands::IDENTITY_TOKEN {
        return Err(Refusal::never(403, "Forbidden", "the identity token is not valid"));
    }
    let path = text(&message["BlobPath"]);
    let blob =
        state.storage.fetch(&path).await.map_err(|e| Refusal::never(404, "Download_SourceNotFound", e))?;
    let zipped = path.split('?').next().is_some_and(|p| p.ends_with(".gz"));
    let body = if zipped {
        gunzip(&blob).map_err(|e| Refusal::never(400, "Stream_InvalidCompression", e))?
    } else {
        blob
    };
    let list = |value: &Value| -> Vec<String> {
        value.as_str().and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
    };
    let mut tables = state.tables.lock();
    let table = tables.find(&text(&message["DatabaseName"]), &text(&message["TableName"]))?;
    if list(&more["ingestIfNotExists"]).iter().any(|tag| table.has_tag(&format!("ingest-by:{tag}"))) {
        return Err(Refusal::never(
            400,
            SKIPPED,
            "Another stream with the same ingest-by tag was already ingested.",
        ));
    }
    let mapping =
        table.mapping_of(more["ingestionMappingReference"].as_str(), more["ingestionMapping"].as_str())?;
    table.ingest(&text(&more["format"]), &mapping, &body)?;
    table.tag(list(&more["tags"]));
    Ok(())
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).map_err(|e| e.to_string())?;
    Ok(plain)
}

/// Undoes percent encoding.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let code =
            bytes.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match code.filter(|_| *byte == b'%') {
            Some(code) => {
                plain.push(code);
                at += 3;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
