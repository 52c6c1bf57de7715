//! The cluster: its engine, its data management service, and the storage that the latter lends.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_identity::{Identity, Tokens};
use tidegate_model::endpoint::{Authentication, DataExplorer};
use tidegate_model::schema::DeltaField;
use tokio::sync::Mutex;

use crate::batch::{Batch, Lent, Target};
use crate::failure::{Answered, Failure, Kind, is_bad_data};
use crate::http::{Answer, Http, Method};
use crate::lines;
use crate::ranking::Ranking;

/// Whom tokens are for, unless the endpoint says otherwise ("Configure data flow endpoints for Azure Data Explorer").
const AUDIENCE: &str = "https://api.kusto.windows.net";

/// How long resources and the identity token are used, as in the official clients.
const RESOURCES_FOR: Duration = Duration::from_secs(3600);

/// How many containers or queues are tried, as in the official clients.
const RESOURCES_TRIED_MAX: usize = 3;

/// The largest message of a queue ("Put Message").
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

const STORAGE_VERSION: &str = "2020-08-04";

/// What tables answer in.
const JSON: &str = "application/json;odata=nometadata";

pub(crate) struct Cluster {
    http: Http,
    /// The engine's URL, and that of data management.
    engine: String,
    management: String,
    identity: Option<Identity>,
    tokens: Arc<dyn Tokens>,
    token: Mutex<Option<(String, Instant)>>,
    loan: Mutex<Option<Arc<Loan>>>,
    ranking: std::sync::Mutex<Ranking>,
    /// The newest signature of every container that was ever lent.
    signatures: std::sync::Mutex<HashMap<String, String>>,
}

/// What data management lends for an hour.
struct Loan {
    since: Instant,
    identity_token: String,
    containers: Vec<Resource>,
    queues: Vec<Resource>,
    /// The table of reports.
    reports: Resource,
}

/// A container, a queue or a table: its URL, and the signature that opens it.
#[derive(Clone, Debug)]
struct Resource {
    url: String,
    signature: String,
}

impl Resource {
    fn parse(root: &str) -> Option<Self> {
        let (url, signature) = root.split_once('?')?;
        Some(Self { url: url.trim_end_matches('/').to_owned(), signature: signature.to_owned() })
    }

    /// The URL of something in it.
    fn at(&self, path: &str) -> String {
        format!("{}{path}?{}", self.url, self.signature)
    }

    /// Its storage account.
    fn account(&self) -> String {
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        match host.split_once(['.', ':']) {
            // an emulator has the account in the path
            Some(("127" | "localhost", _)) => host.split('/').nth(1).unwrap_or(host).to_owned(),
            Some((account, _)) => account.to_owned(),
            None => host.to_owned(),
        }
    }
}

/// What the cluster says of a batch.
#[derive(Debug)]
pub(crate) enum Report {
    /// Nothing yet.
    Pending,
    /// It is ingested, or was earlier under the same tag.
    Done,
    /// It is not, and will not be: the data is at fault.
    BadData(String),
    /// It is not, and may be later, or when somebody has changed something.
    Failed(Failure),
}

impl Cluster {
    pub(crate) fn new(adx: &DataExplorer, tokens: Arc<dyn Tokens>) -> Self {
        let engine = match adx.host.starts_with("http://") {
            true => adx.host.clone(),
            false => format!("https://{}", adx.host.trim_start_matches("https://")),
        };
        let identity = match &adx.authentication {
            Authentication::SystemAssignedManagedIdentity { audience } => {
                let audience = audience.clone().unwrap_or_else(|| AUDIENCE.to_owned());
                Some(Identity::SystemAssigned { audience })
            }
            Authentication::UserAssignedManagedIdentity { client_id, tenant_id, scope } => {
                Some(Identity::UserAssigned {
                    client_id: client_id.clone(),
                    tenant_id: tenant_id.clone(),
                    scope: scope.clone().unwrap_or_else(|| format!("{AUDIENCE}/.default")),
                })
            }
            // the model offers no other
            _ => None,
        };
        Self {
            http: Http::new(),
            management: management(&engine),
            engine,
            identity,
            tokens,
            token: Mutex::default(),
            loan: Mutex::default(),
            ranking: std::sync::Mutex::new(Ranking::new()),
            signatures: std::sync::Mutex::default(),
        }
    }

    /// The engine's URL.
    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    async fn token(&self) -> Result<String, Failure> {
        let mut cached = self.token.lock().await;
        if let Some((token, _)) = cached.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(token.clone());
        }
        let Some(identity) = &self.identity else {
            return Err(Failure::refused(Kind::Authentication, "only managed identities can log in"));
        };
        let token = self.tokens.token(identity).await.map_err(Failure::of_token)?;
        let value = String::from_utf8(token.value.expose().clone())
            .map_err(|_| Failure::later("the token is not text"))?;
        *cached = Some((value.clone(), Instant::now() + token.renew_after));
        Ok(value)
    }

    async fn post(
        &self,
        url: String,
        more: Vec<(&'static str, String)>,
        body: Arc<Vec<u8>>,
    ) -> Result<Answer, Failure> {
        let host = host_of(&url).to_owned();
        let mut headers = vec![
            ("authorization", format!("Bearer {}", self.token().await?)),
            ("accept", "application/json".to_owned()),
            ("x-ms-version", "2024-12-12".to_owned()),
            ("x-ms-app", "tidegate".to_owned()),
            ("x-ms-client-version", concat!("tidegate:", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        headers.extend(more);
        let answer = self
            .http
            .ask(Method::Post, url, headers, body)
            .await
            .map_err(|why| Failure::later(format!("{host} can't be reached ({why})")))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        if answer.status == 401 {
            *self.token.lock().await = None;
        }
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let error = &said["error"];
        Err(Failure::of_answer(&Answered {
            host: &host,
            status: answer.status,
            code: error["code"].as_str().unwrap_or_default(),
            said: error["@message"].as_str().or(error["message"].as_str()).unwrap_or_default(),
            permanent: error["@permanent"].as_bool(),
        }))
    }

    /// Carries out a management command; gives the rows by column name.
    async fn manage(&self, at: &str, database: &str, command: &str) -> Result<Vec<Value>, Failure> {
        let body = json!({ "db": database, "csl": command }).to_string().into_bytes();
        let id = format!("tidegate.mgmt;{}", uuid::Uuid::new_v4());
        let headers = vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("x-ms-client-request-id", id),
        ];
        let answer = self.post(format!("{at}/v1/rest/mgmt"), headers, Arc::new(body)).await?;
        let said: Value = serde_json::from_slice(&answer.body)
            .map_err(|e| Failure::later(format!("`{command}` gives no JSON: {e}")))?;
        let table = &said["Tables"][0];
        let empty = Vec::new();
        let columns = table["Columns"].as_array().unwrap_or(&empty);
        let rows = table["Rows"].as_array().unwrap_or(&empty);
        let row = |row: &Value| {
            let pairs = columns.iter().enumerate().filter_map(|(index, column)| {
                Some((column["ColumnName"].as_str()?.to_owned(), row[index].clone()))
            });
            Value::Object(pairs.collect())
        };
        Ok(rows.iter().map(row).collect())
    }

    /// The resources, asked for anew after an hour.
    async fn loan(&self) -> Result<Arc<Loan>, Failure> {
        const DATABASE: &str = "NetDefaultDB";
        let mut cached = self.loan.lock().await;
        if let Some(loan) = cached.as_ref().filter(|l| l.since.elapsed() < RESOURCES_FOR) {
            return Ok(loan.clone());
        }
        let since = Instant::now();
        let rows = self.manage(&self.management, DATABASE, ".get ingestion resources").await?;
        let identity = self.manage(&self.management, DATABASE, ".get kusto identity token").await?;
        let of = |kind: &str| -> Vec<Resource> {
            let named = rows.iter().filter(|row| row["ResourceTypeName"] == kind);
            named.filter_map(|row| Resource::parse(row["StorageRoot"].as_str()?)).collect()
        };
        let identity = identity.first().and_then(|row| row["AuthorizationContext"].as_str());
        let (containers, queues) = (of("TempStorage"), of("SecuredReadyForAggregationQueue"));
        let reports = of("IngestionsStatusTable").into_iter().next();
        let (Some(reports), Some(identity), false, false) =
            (reports, identity, containers.is_empty(), queues.is_empty())
        else {
            return Err(Failure::later(format!(
                "{} lends no container, queue, table of reports or identity token",
                host_of(&self.management)
            )));
        };
        let lent = containers.iter().map(|c| (c.url.clone(), c.signature.clone()));
        self.signatures.lock().unwrap_or_else(PoisonError::into_inner).extend(lent);
        let loan = Loan { since, identity_token: identity.to_owned(), containers, queues, reports };
        Ok(cached.insert(Arc::new(loan)).clone())
    }

    /// Sees that the cluster lets us in.
    pub(crate) async fn prepare(&self) -> Result<(), Failure> {
        self.loan().await.map(drop)
    }

    /// Looks whether the cluster lets us in and has what a flow needs, and changes nothing; gives what is not as it should be
    /// though batches are taken, or can't be known.
    pub(crate) async fn examine(
        &self,
        adx: &DataExplorer,
        table: &str,
        columns: Option<&[DeltaField]>,
    ) -> Result<Option<String>, Failure> {
        let database = &adx.database;
        let quoted = quote(table);
        let show = format!(".show table {quoted} cslschema");
        match self.manage(&self.engine, database, &show).await {
            Ok(_) => {}
            // who may ingest need not be allowed to look
            Err(failure) if failure.kind == Kind::Authentication => {
                return Ok(Some(format!(
                    "let in, and not allowed to look at database `{database}`: whether table `{table}` is there shows when \
                     data comes; a database viewer may look"
                )));
            }
            Err(failure) if failure.message.contains("'Database'") => {
                let message = format!("{}; correct the endpoint's `database`", failure.message);
                return Err(Failure { message, ..failure });
            }
            Err(failure) if failure.kind == Kind::Configuration => {
                let columns = columns.map_or_else(|| "...".to_owned(), lines::declarations);
                let message = format!("{}; create it: `.create table {quoted} ({columns})`", failure.message);
                return Err(Failure { message, ..failure });
            }
            Err(failure) => return Err(failure),
        }
        if !adx.ingestion.streaming {
            return Ok(None);
        }
        // the table's policy counts more than the database's
        for what in [format!("table {quoted}"), format!("database {}", quote(database))] {
            let show = format!(".show {what} policy streamingingestion");
            let rows = self.manage(&self.engine, database, &show).await?;
            let policy = rows.first().and_then(|row| serde_json::from_str(row["Policy"].as_str()?).ok());
            match policy.unwrap_or(Value::Null)["IsEnabled"].as_bool() {
                Some(true) => return Ok(None),
                Some(false) => break,
                None => {}
            }
        }
        Ok(Some(format!(
            "streaming ingestion is off for table `{table}`, so all batches go by the queue; switch it on: `.alter table \
             {quoted} policy streamingingestion enable`, and for the cluster in its configuration in the Azure portal"
        )))
    }

    /// The resources to be tried, the best first.
    fn best(&self, resources: &[Resource]) -> Vec<Resource> {
        let ranking = self.ranking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut best = ranking.order(resources.to_vec(), Resource::account);
        best.truncate(RESOURCES_TRIED_MAX);
        best
    }

    /// Asks a storage account, and notes how it went. Gives what it answers with any status that `fine` takes.
    async fn ask(
        &self,
        resource: &Resource,
        method: Method,
        url: String,
        more: &[(&'static str, &str)],
        body: Arc<Vec<u8>>,
        fine: impl Fn(u16) -> bool + Send,
    ) -> Result<Answer, Failure> {
        let mut headers = vec![("x-ms-version", STORAGE_VERSION.to_owned())];
        headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let answer = self.http.ask(method, url, headers, body).await;
        let well = answer.as_ref().is_ok_and(|a| fine(a.status));
        self.ranking.lock().unwrap_or_else(PoisonError::into_inner).note(&resource.account(), well);
        let why = match answer {
            Ok(answer) if well => return Ok(answer),
            Ok(answer) => {
                if answer.status == 403 {
                    // signatures have ended
                    *self.loan.lock().await = None;
                }
                let said: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
                format!("status {} {said}", answer.status)
            }
            Err(why) => why,
        };
        Err(Failure::later(format!("{} fails ({})", resource.url, why.trim())))
    }

    /// Uploads a compressed batch; gives the blob's URL. Another storage account is tried where one fails.
    pub(crate) async fn upload(
        &self,
        target: &Target,
        id: &str,
        gzip: Arc<Vec<u8>>,
    ) -> Result<String, Failure> {
        let loan = self.loan().await?;
        let name = encode(&format!("{}__{}__{id}__tidegate.json.gz", target.database, target.table));
        let mut failure = None;
        for container in self.best(&loan.containers) {
            let url = container.at(&format!("/{name}"));
            let headers = [("x-ms-blob-type", "BlockBlob")];
            match self.ask(&container, Method::Put, url, &headers, gzip.clone(), is_success).await {
                Ok(_) => return Ok(format!("{}/{name}", container.url)),
                Err(why) => failure = Some(why),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::later("no container is lent")))
    }

    /// The container of a blob, with the newest signature there was for it.
    fn container_of(&self, blob: &str) -> Result<Resource, Failure> {
        let url = blob.rsplit_once('/').map_or("", |(folder, _)| folder);
        let signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = signatures.get(url).map(|s| Resource { url: url.to_owned(), signature: s.clone() });
        lent.ok_or_else(|| Failure::later(format!("{url} is lent no more; a batch in it waits for it")))
    }

    /// Asks for a batch to be ingested. Asked again with the same batch, it makes no difference to what is reported.
    pub(crate) async fn enqueue(&self, target: &Target, batch: &Batch) -> Result<(), Failure> {
        let loan = self.loan().await?;
        let container = self.container_of(&batch.blob)?;
        let lent = Lent {
            signature: &container.signature,
            identity: &loan.identity_token,
            reports: &loan.reports.at(""),
        };
        let text = STANDARD.encode(target.message(batch, &lent).to_string());
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Failure::refused(
                Kind::Configuration,
                "the table has too many columns for a mapping in the message; create a mapping in the database and name \
                 it in the annotation `tidegate.dev/adx-mapping`",
            ));
        }
        self.expect_report(&loan.reports, target, batch).await?;
        let body =
            Arc::new(format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>").into_bytes());
        let mut failure = None;
        for queue in self.best(&loan.queues) {
            let headers = [("content-type", "application/xml")];
            let url = queue.at("/messages");
            match self.ask(&queue, Method::Post, url, &headers, body.clone(), is_success).await {
                Ok(_) => return Ok(()),
                Err(why) => failure = Some(why),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::later("no queue is lent")))
    }

    /// Makes the row that the report on a batch will be in.
    async fn expect_report(&self, table: &Resource, target: &Target, batch: &Batch) -> Result<(), Failure> {
        let row = json!({
            "PartitionKey": batch.id,
            "RowKey": batch.id,
            "Status": "Pending",
            "IngestionSourceId": batch.id,
            "IngestionSourcePath": batch.blob,
            "Database": target.database,
            "Table": target.table,
            "UpdatedOn": batch.created,
        });
        let headers =
            [("content-type", "application/json"), ("accept", JSON), ("prefer", "return-no-content")];
        let body = Arc::new(row.to_string().into_bytes());
        // 409: it is there already
        let fine = |status| is_success(status) || status == 409;
        self.ask(table, Method::Post, table.at(""), &headers, body, fine).await.map(drop)
    }

    /// What has become of a batch.
    pub(crate) async fn report(&self, batch: &Batch) -> Result<Report, Failure> {
        let loan = self.loan().await?;
        let table = &loan.reports;
        let url = table.at(&format!("(PartitionKey='{0}',RowKey='{0}')", batch.id));
        let headers = [("accept", JSON)];
        let fine = |status| is_success(status) || status == 404;
        let answer = self.ask(table, Method::Get, url, &headers, Arc::default(), fine).await?;
        let row: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(parse_report(&row))
    }

    /// The lines of a batch.
    pub(crate) async fn fetch(&self, batch: &Batch) -> Result<Vec<u8>, Failure> {
        self.loan().await?;
        let container = self.container_of(&batch.blob)?;
        let url = format!("{}?{}", batch.blob, container.signature);
        let blob = self.ask(&container, Method::Get, url, &[], Arc::default(), is_success).await?;
        let unpack = move || {
            let mut lines = Vec::new();
            flate2::read::GzDecoder::new(&blob.body[..]).read_to_end(&mut lines).map(|_| lines)
        };
        let unpacked = tokio::task::spawn_blocking(unpack).await.map_err(std::io::Error::other).flatten();
        unpacked.map_err(|e| Failure::later(format!("{} can't be unpacked ({e})", batch.blob)))
    }

    /// Makes the mapping that streaming needs; gives its name.
    pub(crate) async fn create_mapping(&self, target: &Target) -> Result<String, Failure> {
        // named by what it says, so that flows with other columns have another one
        let name = format!("tidegate_{:08x}", crc32(target.mapping.as_bytes()));
        let command = format!(
            ".create-or-alter table {} ingestion json mapping \"{name}\" ```{}```",
            quote(&target.table),
            target.mapping
        );
        self.manage(&self.engine, &target.database, &command).await?;
        Ok(name)
    }

    /// Streams a compressed batch into the table, by a mapping of the database.
    pub(crate) async fn stream(
        &self,
        target: &Target,
        mapping: &str,
        id: &str,
        attempt: u32,
        gzip: Arc<Vec<u8>>,
    ) -> Result<(), Failure> {
        let url = format!(
            "{}/v1/rest/ingest/{}/{}?streamFormat=Json&mappingName={}",
            self.engine,
            encode(&target.database),
            encode(&target.table),
            encode(mapping)
        );
        let headers = vec![
            ("content-encoding", "gzip".to_owned()),
            ("content-type", "application/octet-stream".to_owned()),
            ("x-ms-client-request-id", format!("KPC.executeManagedStreamingIngest;{id};{attempt}")),
        ];
        self.post(url, headers, gzip).await.map(drop)
    }
}

/// What a row of the table of reports says ("Ingestion status reporting").
fn parse_report(row: &Value) -> Report {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let (status, code, details) = (text("Status"), text("ErrorCode"), text("Details"));
    match status {
        "Succeeded" => Report::Done,
        // it was there already
        _ if code == "Skipped_IngestByTagAlreadyExists" => Report::Done,
        "Failed" | "PartiallySucceeded" | "Skipped" => {
            let permanent = text("FailureStatus") == "Permanent";
            if permanent && is_bad_data(code) {
                Report::BadData(format!("Azure Data Explorer can't ingest it ({code}: {details})"))
            } else {
                Report::Failed(Failure::of_report(code, details, permanent))
            }
        }
        _ => Report::Pending,
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Where data management is: `ingest-` before the cluster's name, but for an emulator.
fn management(engine: &str) -> String {
    let Some((scheme, host)) = engine.split_once("://") else { return engine.to_owned() };
    let name = host.split(['/', ':']).next().unwrap_or(host);
    let is_itself =
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok() || name.starts_with("ingest-");
    if is_itself { engine.to_owned() } else { format!("{scheme}://ingest-{host}") }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// A name in a command ("Entity names").
pub(crate) fn quote(name: &str) -> String {
    format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A checksum that is the same in every version and on every machine.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Percent-encodes what is to be one part of a URL (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_management_has_a_host_of_its_own() {
        for (engine, expected) in [
            ("https://p.westeurope.kusto.windows.net", "https://ingest-p.westeurope.kusto.windows.net"),
            (
                "https://ingest-p.westeurope.kusto.windows.net",
                "https://ingest-p.westeurope.kusto.windows.net",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:8080", "http://localhost:8080"),
        ] {
            assert_eq!(management(engine), expected);
        }
    }

    #[test]
    fn accounts_are_told_apart() {
        let account = |url: &str| Resource::parse(url).unwrap().account();
        assert_eq!(account("https://abc.blob.core.windows.net/c?sig=x"), "abc");
        assert_eq!(account("http://127.0.0.1:1000/first/c?sig=x"), "first");
    }

    #[test]
    fn reports_are_sorted_by_what_is_to_be_done() {
        let report = |status: &str, code: &str, failure: &str| {
            parse_report(&json!({ "Status": status, "ErrorCode": code, "FailureStatus": failure }))
        };
        assert!(matches!(parse_report(&Value::Null), Report::Pending));
        assert!(matches!(report("Pending", "", ""), Report::Pending));
        assert!(matches!(report("Succeeded", "", ""), Report::Done));
        assert!(matches!(report("Skipped", "Skipped_IngestByTagAlreadyExists", "Permanent"), Report::Done));
        assert!(matches!(report("Failed", "Stream_ClosingQuoteMissing", "Permanent"), Report::BadData(_)));
        let transient = report("Failed", "Download_UnknownError", "Transient");
        assert!(matches!(transient, Report::Failed(Failure { refused: false, .. })));
        let missing = report("Failed", "BadRequest_TableNotExist", "Permanent");
        assert!(matches!(missing, Report::Failed(Failure { refused: true, kind: Kind::Configuration, .. })));
    }
}
