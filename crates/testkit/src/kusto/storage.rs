//! The storage accounts of the cluster: a container, a queue, and a queue and a table for reports in each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ureq::Agent;

use crate::StorageAccount;

const CONTAINER: &str = "tempstorage";
const QUEUE: &str = "readyforaggregation";
const FAILURES: &str = "failed";
const STATUS: &str = "ingestionsstatus";

/// What tables answer in.
const JSON: &str = "application/json;odata=nometadata";

/// How many messages are taken at a time, the most there may be.
const TAKE_MAX: usize = 32;

pub(super) struct Storage {
    accounts: Vec<(StorageAccount, String)>,
    agent: Agent,
}

impl Storage {
    pub(super) async fn create(accounts: &[StorageAccount]) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let accounts: Vec<_> = accounts.iter().map(|a| (a.clone(), a.signature())).collect();
        let storage = Self { accounts, agent };
        for (account, sas) in &storage.accounts {
            let container = format!("{}/{CONTAINER}?restype=container&{sas}", account.blobs);
            let table = format!("{}/Tables?{sas}", account.tables);
            let (status, said) =
                storage.call("POST", table, format!("{{\"TableName\":\"{STATUS}\"}}").into_bytes()).await;
            assert!(matches!(status, 201 | 204 | 409), "{status} {}", String::from_utf8_lossy(&said));
            for url in [container, at(account, QUEUE, sas), at(account, FAILURES, sas)] {
                let (status, said) = storage.call("PUT", url, vec![]).await;
                assert!(matches!(status, 201 | 204 | 409), "{status} {}", String::from_utf8_lossy(&said));
            }
        }
        storage
    }

    /// What `.get ingestion resources` gives.
    pub(super) fn resources(&self) -> Vec<(&'static str, String)> {
        let all = self.accounts.iter().flat_map(|(account, sas)| {
            [
                ("SecuredReadyForAggregationQueue", at(account, QUEUE, sas)),
                ("TempStorage", format!("{}/{CONTAINER}?{sas}", account.blobs)),
                ("FailedIngestionsQueue", at(account, FAILURES, sas)),
                ("IngestionsStatusTable", format!("{}/{STATUS}?{sas}", account.tables)),
            ]
        });
        all.collect()
    }

    /// Takes messages from the queues.
    pub(super) async fn take(&self) -> Vec<Value> {
        let mut taken = Vec::new();
        for (account, sas) in &self.accounts {
            let messages = format!("{}/{QUEUE}/messages", account.queues);
            let (status, answer) =
                self.call("GET", format!("{messages}?numofmessages={TAKE_MAX}&{sas}"), vec![]).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            for message in answer.split("<QueueMessage>").skip(1).filter(|_| status == 200) {
                let element = |name: &str| {
                    let (_, rest) = message.split_once(&format!("<{name}>"))?;
                    Some(rest.split_once("</")?.0.replace("&amp;", "&"))
                };
                let (Some(id), Some(receipt), Some(text)) =
                    (element("MessageId"), element("PopReceipt"), element("MessageText"))
                else {
                    continue;
                };
                let receipt = receipt.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
                self.call("DELETE", format!("{messages}/{id}?popreceipt={receipt}&{sas}"), vec![]).await;
                let message = STANDARD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
                taken.extend(message);
            }
        }
        taken
    }

    /// The blob at a URL with its signature.
    pub(super) async fn fetch(&self, url: &str) -> Result<Vec<u8>, String> {
        match self.call("GET", url.to_owned(), vec![]).await {
            (200, blob) => Ok(blob),
            (status, said) => Err(format!("{status} {}", String::from_utf8_lossy(&said))),
        }
    }

    /// Puts a report into the queue of failed ingestions.
    pub(super) async fn report_failure(&self, report: Value) {
        let Some((account, sas)) = self.accounts.first() else { return };
        let text = STANDARD.encode(report.to_string());
        let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>");
        self.call("POST", format!("{}/{FAILURES}/messages?{sas}", account.queues), body.into_bytes()).await;
    }

    /// Writes the status of an ingestion into the row that its message names.
    pub(super) async fn report_status(&self, row: &Value, mut status: Value) {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let (partition, key) = (text("PartitionKey"), text("RowKey"));
        let Some((table, sas)) = text("TableConnectionString").split_once('?') else { return };
        status["PartitionKey"] = partition.into();
        status["RowKey"] = key.into();
        let url = format!("{table}(PartitionKey='{partition}',RowKey='{key}')?{sas}");
        self.call("PUT", url, status.to_string().into_bytes()).await;
    }

    async fn call(&self, method: &'static str, url: String, body: Vec<u8>) -> (u16, Vec<u8>) {
        let agent = self.agent.clone();
        let kind = if body.starts_with(b"{") { "application/json" } else { "application/xml" };
        let call = move || {
            let answer = match method {
                "GET" => agent.get(&url).call(),
                "DELETE" => agent.delete(&url).call(),
                "PUT" => agent.put(&url).header("content-type", kind).header("accept", JSON).send(&body[..]),
                _ => agent.post(&url).header("content-type", kind).header("accept", JSON).send(&body[..]),
            };
            match answer {
                Ok(mut answer) => {
                    let status = answer.status().as_u16();
                    let bytes = answer.body_mut().with_config().limit(1 << 30).read_to_vec();
                    (status, bytes.unwrap_or_default())
                }
                Err(error) => (0, error.to_string().into_bytes()),
            }
        };
        tokio::task::spawn_blocking(call).await.unwrap_or_default()
    }
}

fn at(account: &StorageAccount, queue: &str, sas: &str) -> String {
    format!("{}/{queue}?{sas}", account.queues)
}
