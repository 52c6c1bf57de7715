//! A batch in a blob, and the message that asks the cluster to ingest it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_core::LogPosition;

/// A batch that has been uploaded. It holds no signature and no token: those are added when the message is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// The id of the source: reports name it.
    pub(crate) id: String,
    /// The blob's URL without query.
    pub(crate) blob: String,
    /// Bytes before compression.
    pub(crate) raw_size: u64,
    /// What it is ingested by once only.
    pub(crate) tag: Option<String>,
    /// When it was made, as RFC 3339 without zone.
    pub(crate) created: String,
    /// What is in it.
    pub(crate) content: Content,
    /// The topic of its first record.
    pub(crate) topic: String,
}

/// What tells the same records when they come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Records of a log: these, and all before them that the flow passes on.
    UpTo { log: u64, number: u64 },
    /// Records without a place in a log: a hash over all lines.
    Hash(u64),
}

impl Content {
    /// Whether the record is in it, or came before.
    pub(crate) fn covers(self, position: Option<LogPosition>) -> bool {
        match (self, position) {
            (Content::UpTo { log, number }, Some(p)) => p.log == log && p.number <= number,
            _ => false,
        }
    }
}

/// Where batches go, and how.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) database: String,
    pub(crate) table: String,
    /// A mapping of the database that the user names.
    pub(crate) mapping_name: Option<String>,
    /// The mapping where none is named, empty if the columns are not known.
    pub(crate) mapping: String,
}

/// What the message holds that is lent by the cluster for a while.
pub(crate) struct Lent<'a> {
    /// What opens the blob.
    pub(crate) signature: &'a str,
    /// Who we are.
    pub(crate) identity: &'a str,
    /// The table of reports, with what opens it.
    pub(crate) reports: &'a str,
}

impl Target {
    /// The message ("Ingestion without the Kusto.Ingest library", "Ingestion message internal structure"). Failures and
    /// successes are reported, into the table, in the row that has the batch's id.
    pub(crate) fn message(&self, batch: &Batch, lent: &Lent<'_>) -> Value {
        let mut more = json!({ "authorizationContext": lent.identity, "format": "json", "ingestionMappingType": "Json" });
        match &self.mapping_name {
            Some(name) => more["ingestionMappingReference"] = json!(name),
            None => more["ingestionMapping"] = json!(self.mapping),
        }
        if let Some(tag) = &batch.tag {
            more["tags"] = json!(json!([format!("ingest-by:{tag}")]).to_string());
            more["ingestIfNotExists"] = json!(json!([tag]).to_string());
        }
        json!({
            "BlobPath": format!("{}?{}", batch.blob, lent.signature),
            "RawDataSize": batch.raw_size,
            "DatabaseName": self.database,
            "TableName": self.table,
            "RetainBlobOnSuccess": true,
            "FlushImmediately": false,
            "IgnoreSizeLimit": false,
            "ReportLevel": 2,
            "ReportMethod": 1,
            "IngestionStatusInTable": {
                "TableConnectionString": lent.reports,
                "PartitionKey": batch.id,
                "RowKey": batch.id,
            },
            "SourceMessageCreationTime": batch.created,
            "Id": batch.id,
            "ApplicationForTracing": "tidegate",
            "ClientVersionForTracing": concat!("tidegate:", env!("CARGO_PKG_VERSION")),
            "AdditionalProperties": more,
        })
    }
}
