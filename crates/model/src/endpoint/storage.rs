//! Endpoints that store rows or files: `DataLakeStorage`, `FabricOneLake`, `DataExplorer`, `LocalStorage`.

use std::time::Duration;

use crate::endpoint::authentication::{self, Authentication, AuthenticationFields};
use crate::endpoint::host::cloud_host;
use crate::endpoint::{EndpointType, Surroundings};
use crate::field::{choice, object};
use crate::names::ObjectName;
use crate::problems::Problems;
use crate::value::{Filled, Int, Raw, Spanned};

/// `batching` of the storage endpoints and OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// `latencySeconds`, 0 to 65535, default 60; zero sends at once.
    pub latency: Duration,
    /// `maxMessages`, default 100000; `None`, written as 0, is without limit.
    pub messages_max: Option<u64>,
}

const LATENCY_SECONDS: i64 = 60;
const MESSAGES_MAX: i64 = 100_000;

impl Default for Batching {
    fn default() -> Self {
        Self::new(LATENCY_SECONDS.into(), MESSAGES_MAX.into())
    }
}

impl Batching {
    fn new(latency: Int<0, 65535>, messages_max: Int<0, 4294967295>) -> Self {
        let messages_max = Some(messages_max.to()).filter(|n| *n > 0);
        Self { latency: Duration::from_secs(latency.to()), messages_max }
    }
}

impl From<Option<BatchingFields>> for Batching {
    fn from(fields: Option<BatchingFields>) -> Self {
        fields.map_or_else(Self::default, |f| Self::new(f.latency, f.messages_max))
    }
}

/// `dataLakeStorageSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLakeStorage {
    /// `host`, without `https://`. That of an emulator may start with `http://`.
    pub host: String,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
}

/// `oneLakePathType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum OneLakePathType {
    Files,
    Tables,
}
choice!(OneLakePathType { Files, Tables });

/// `fabricOneLakeSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricOneLake {
    /// `host`, without `https://`. That of an emulator may start with `http://`.
    pub host: String,
    /// `names.workspaceName`.
    pub workspace_name: String,
    /// `names.lakehouseName`.
    pub lakehouse_name: String,
    /// `oneLakePathType`.
    pub path_type: OneLakePathType,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
}

/// `dataExplorerSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataExplorer {
    /// `host`, without `https://`. That of an emulator may start with `http://`.
    pub host: String,
    /// `database`.
    pub database: String,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
    /// What AIO has no field for.
    pub ingestion: Ingestion,
}

/// How batches get into Azure Data Explorer: tidegate's annotations `tidegate.dev/adx-*` of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingestion {
    /// `adx-ingestion: streaming`: small batches are streamed. By default all are queued.
    pub streaming: bool,
    /// `adx-mapping`: the name of a JSON mapping in the database, instead of one by the columns' names.
    pub mapping: Option<String>,
    /// `adx-deduplicate`, true unless it says false: whether queued batches are tagged, so that none is ingested twice.
    pub deduplicate: bool,
}

impl Default for Ingestion {
    fn default() -> Self {
        Self { streaming: false, mapping: None, deduplicate: true }
    }
}

/// `localStorageSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStorage {
    /// `persistentVolumeClaimRef`.
    pub volume: String,
}

object! {
    /// `batching` of the storage endpoints and OpenTelemetry.
    pub(crate) struct BatchingFields {
        /// How long a message may wait for others, in seconds; 0 sends at once.
        latency "latencySeconds": default Int<0, 65535> = LATENCY_SECONDS;
        /// How many messages may wait; 0 is without limit.
        messages_max "maxMessages": default Int<0, 4294967295> = MESSAGES_MAX;
    }
}

object! {
    /// `dataLakeStorageSettings`.
    pub(crate) struct DataLakeStorageFields {
        /// `https://<account>.blob.core.windows.net`.
        host "host": required Raw;
        /// How to log in.
        authentication "authentication": depends AuthenticationFields;
        /// When messages are written; without it the defaults inside it hold.
        batching "batching": optional BatchingFields;
    }
}

object! {
    /// `fabricOneLakeSettings`.
    pub(crate) struct FabricOneLakeFields {
        /// `https://onelake.dfs.fabric.microsoft.com`, or that of a region.
        host "host": required Raw;
        /// Where in OneLake.
        names "names": required OneLakeNames;
        /// The top folder of the lakehouse to write to.
        path_type "oneLakePathType": required OneLakePathType;
        /// How to log in.
        authentication "authentication": depends AuthenticationFields;
        /// When messages are written; without it the defaults inside it hold.
        batching "batching": optional BatchingFields;
    }
}

object! {
    /// `fabricOneLakeSettings.names`.
    pub(crate) struct OneLakeNames {
        /// The workspace.
        workspace_name "workspaceName": required Filled;
        /// The lakehouse, without suffix.
        lakehouse_name "lakehouseName": required Filled;
    }
}

object! {
    /// `dataExplorerSettings`.
    pub(crate) struct DataExplorerFields {
        /// `https://<cluster>.<region>.kusto.windows.net`.
        host "host": required Raw;
        /// The database.
        database "database": required Filled;
        /// How to log in.
        authentication "authentication": depends AuthenticationFields;
        /// When messages are written; without it the defaults inside it hold.
        batching "batching": optional BatchingFields;
    }
}

object! {
    /// `localStorageSettings`.
    pub(crate) struct LocalStorageFields {
        /// The PersistentVolumeClaim to write to.
        volume "persistentVolumeClaimRef" | "persistentVolumeClaimName": required Spanned<ObjectName>;
    }
}

pub(super) fn data_lake_storage(
    fields: DataLakeStorageFields,
    with: &mut Surroundings,
    problems: &mut Problems,
) -> Option<DataLakeStorage> {
    const DOMAINS: (usize, &[&str]) = (1, &["blob.core.windows.net", "blob.core.usgovcloudapi.net"]);
    const EXAMPLE: &str = "https://<account>.blob.core.windows.net";
    let any_host = with.any_host;
    let host = fields.host.and_then(|Raw(host)| cloud_host(&host, DOMAINS, EXAMPLE, any_host, problems));
    let login = authentication::authentication(
        fields.authentication,
        EndpointType::DataLakeStorage,
        false,
        fields.at,
        with,
        problems,
    );
    Some(DataLakeStorage { host: host?, authentication: login?.0, batching: fields.batching.into() })
}

pub(super) fn fabric_one_lake(
    fields: FabricOneLakeFields,
    with: &mut Surroundings,
    problems: &mut Problems,
) -> Option<FabricOneLake> {
    const DOMAINS: (usize, &[&str]) = (1, &["fabric.microsoft.com", "fabric.microsoft.us"]);
    const EXAMPLE: &str = "https://onelake.dfs.fabric.microsoft.com";
    let any_host = with.any_host;
    let host = fields.host.and_then(|Raw(host)| cloud_host(&host, DOMAINS, EXAMPLE, any_host, problems));
    let login = authentication::authentication(
        fields.authentication,
        EndpointType::FabricOneLake,
        false,
        fields.at,
        with,
        problems,
    );
    let names = fields.names?;
    Some(FabricOneLake {
        host: host?,
        workspace_name: names.workspace_name?.0.as_str().to_owned(),
        lakehouse_name: names.lakehouse_name?.0.as_str().to_owned(),
        path_type: fields.path_type?,
        authentication: login?.0,
        batching: fields.batching.into(),
    })
}

pub(super) fn data_explorer(
    fields: DataExplorerFields,
    with: &mut Surroundings,
    problems: &mut Problems,
) -> Option<DataExplorer> {
    const DOMAINS: (usize, &[&str]) = (2, &["kusto.windows.net", "kusto.usgovcloudapi.net"]);
    const EXAMPLE: &str = "https://<cluster>.<region>.kusto.windows.net";
    let any_host = with.any_host;
    let host = fields.host.and_then(|Raw(host)| cloud_host(&host, DOMAINS, EXAMPLE, any_host, problems));
    let login = authentication::authentication(
        fields.authentication,
        EndpointType::DataExplorer,
        false,
        fields.at,
        with,
        problems,
    );
    Some(DataExplorer {
        host: host?,
        database: fields.database?.0.as_str().to_owned(),
        authentication: login?.0,
        batching: fields.batching.into(),
        ingestion: with.ingestion.clone(),
    })
}

pub(super) fn local_storage(fields: LocalStorageFields) -> Option<LocalStorage> {
    Some(LocalStorage { volume: fields.volume?.value.as_str().to_owned() })
}
