//! Local storage, Azure Data Lake and Fabric OneLake as destination of a data flow: Parquet files and Delta tables.
//!
//! One writer for all three: JSON bytes become columns ([`columns`](self)), columns a Parquet file, and a Delta table's
//! log is told of it. Knows endpoints and their settings, but no data flow.

mod azure;
mod checkpoint;
mod columns;
mod convert;
mod failure;
mod file;
mod json;
mod schema;
mod sink;
mod statistics;
mod store;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_connect::Context;
use tidegate_core::{Secret, Sink, Trouble};
use tidegate_identity::Identity;
use tidegate_model::endpoint::{Authentication, Batching, Endpoint, OneLakePathType, Settings};
use tidegate_model::plan::{SerializationFormat, Transform};

use crate::azure::{BlobContainer, Login};
use crate::failure::{Failure, Format, Kind};
use crate::sink::LakeSink;
use crate::store::{LocalFolder, Store};

pub use crate::file::Compression;

/// How files are written, and where local ones.
pub struct Options<'a> {
    /// Finds the folder that stands for a PersistentVolumeClaim.
    pub volume: &'a (dyn Fn(&str) -> PathBuf + Sync),
    /// How long messages for local storage, which has no settings of its own, are gathered at most.
    pub local_latency: Duration,
    /// Of Parquet files.
    pub compression: Compression,
    /// Whether a message that lacks what must not be null takes all with it that would be in its file, as in AIO.
    pub drop_batches: bool,
}

/// Makes the sink of a storage endpoint. It connects when it is [prepared](Sink::prepare) or written to.
/// `destination` is `dataDestination`.
///
/// # Errors
/// [`Trouble`] that only a change of configuration mends.
pub fn open_sink(
    endpoint: &Endpoint,
    transform: Option<&Transform>,
    destination: &str,
    context: &Context,
    options: &Options<'_>,
) -> Result<Arc<dyn Sink>, Trouble> {
    let format = format_of(transform);
    let refuse = |message: String| {
        Failure::refused(Kind::Configuration, message).trouble(endpoint.name.as_str(), format)
    };
    let Some(fields) = transform.and_then(|t| t.columns.clone()) else {
        return Err(refuse("the flow has no Delta schema for what it writes".into()));
    };
    schema::check(&fields).map_err(refuse)?;
    let Place { store, folder, batching } =
        place(endpoint, destination, context, options.volume).map_err(refuse)?;
    let batching = batching
        .unwrap_or(Batching { latency: options.local_latency, messages_max: Some(LOCAL_MESSAGES_MAX) });
    let flow = &context.flow;
    Ok(Arc::new(LakeSink {
        endpoint: endpoint.name.to_string(),
        store,
        format,
        folder,
        fields,
        compression: options.compression,
        drop_batches: options.drop_batches,
        app: format!("{}/{}/{}", flow.namespace, flow.dataflow, flow.instance_index),
        id: uuid::Uuid::new_v4(),
        batching,
        state: tokio::sync::Mutex::default(),
    }))
}

/// Looks whether a storage endpoint lets us write where a data flow would, and leaves nothing behind; gives what is not known
/// all the same. `destination` is `dataDestination`, if there is one.
///
/// # Errors
/// What keeps data flows from it.
pub async fn examine(
    endpoint: &Endpoint,
    transform: Option<&Transform>,
    destination: Option<&str>,
    context: &Context,
    volume: &(dyn Fn(&str) -> PathBuf + Sync),
) -> Result<Option<String>, Trouble> {
    let trouble = |failure: Failure| failure.trouble(endpoint.name.as_str(), format_of(transform));
    let placed = place(endpoint, destination.unwrap_or(ANYWHERE), context, volume);
    let Place { store, folder, .. } =
        placed.map_err(|message| trouble(Failure::refused(Kind::Configuration, message)))?;
    match store.probe(&folder).await {
        Ok(()) => Ok(None),
        // whoever says that there is no such container has let us in
        Err(failure) if failure.kind == Kind::Missing && destination.is_none() => {
            Ok(Some("no container was tried, as `dataDestination` names none".to_owned()))
        }
        Err(failure) => Err(trouble(failure)),
    }
}

/// A folder, or container, that nobody has, and that every service takes for the name of one.
const ANYWHERE: &str = "tidegate-connection-test";

fn format_of(transform: Option<&Transform>) -> Format {
    match transform.map(|t| t.format) {
        Some(SerializationFormat::Delta) => Format::Delta,
        _ => Format::Parquet,
    }
}

/// Where files go.
struct Place {
    store: Arc<dyn Store>,
    folder: String,
    /// Local storage has no settings for it.
    batching: Option<Batching>,
}

/// Finds it, or says what in the resources keeps from it.
fn place(
    endpoint: &Endpoint,
    destination: &str,
    context: &Context,
    volume: &(dyn Fn(&str) -> PathBuf + Sync),
) -> Result<Place, String> {
    let folder = destination.trim_matches('/').to_owned();
    if folder
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0']))
    {
        return Err(format!("`{destination}` can't be a folder; write a name such as `telemetry`"));
    }
    let (store, folder, batching): (Arc<dyn Store>, _, _) = match &endpoint.settings {
        Settings::LocalStorage(local) => (Arc::new(LocalFolder::new(volume(&local.volume))), folder, None),
        // the container, and in it a folder of the same name, as AIO's tutorial shows
        Settings::DataLakeStorage(lake) => {
            if folder.contains('/') {
                return Err(format!("`{destination}` can't be a container; write the name of one"));
            }
            let audience = format!("https://{}", lake.host);
            let login = login(endpoint, &lake.authentication, audience, context)?;
            (Arc::new(BlobContainer::new(&lake.host, &folder, login)), folder, Some(lake.batching))
        }
        Settings::FabricOneLake(lake) => {
            // files are made by the Blob service, whose host has another name
            let host = lake.host.replacen(".dfs.", ".blob.", 1).replacen("-dfs.", "-blob.", 1);
            let top = match lake.path_type {
                OneLakePathType::Files => "Files",
                OneLakePathType::Tables => "Tables",
            };
            // an item that is named by its id goes without its type
            let is_id = uuid::Uuid::parse_str(&lake.lakehouse_name).is_ok();
            let kind = if is_id { "" } else { ".Lakehouse" };
            let folder = format!("{}{kind}/{top}/{folder}", lake.lakehouse_name);
            let login = login(endpoint, &lake.authentication, STORAGE.into(), context)?;
            (Arc::new(BlobContainer::new(&host, &lake.workspace_name, login)), folder, Some(lake.batching))
        }
        other => {
            let r#type = other.endpoint_type().as_str();
            return Err(format!("this version does not run a destination of type {type} yet"));
        }
    };
    Ok(Place { store, folder, batching })
}

/// What tokens for any storage account are for.
const STORAGE: &str = "https://storage.azure.com";

fn login(
    endpoint: &Endpoint,
    authentication: &Authentication,
    audience: String,
    context: &Context,
) -> Result<Login, String> {
    let identity = match authentication {
        Authentication::AccessToken { secret } => {
            let (credentials, name) = (context.credentials.clone(), secret.0.clone());
            let namespace = endpoint.namespace.clone();
            return Ok(Login::Signature(Box::new(move || {
                let value = credentials.secret(&namespace, &name, "accessToken");
                let text = value.and_then(|value| String::from_utf8(value.expose().clone()).ok());
                text.map(Secret::new)
                    .ok_or_else(|| format!("Secret `{name}` has no text under `accessToken`"))
            })));
        }
        Authentication::SystemAssignedManagedIdentity { audience: given } => {
            Identity::SystemAssigned { audience: given.clone().unwrap_or(audience) }
        }
        Authentication::UserAssignedManagedIdentity { client_id, tenant_id, scope } => {
            Identity::UserAssigned {
                client_id: client_id.clone(),
                tenant_id: tenant_id.clone(),
                scope: scope.clone().unwrap_or_else(|| format!("{STORAGE}/.default")),
            }
        }
        _ => return Err("it takes a managed identity or an access token".into()),
    };
    Ok(Login::Identity { identity, tokens: context.tokens.clone(), token: parking_lot::Mutex::default() })
}

/// Messages of a file in local storage, as elsewhere by default.
const LOCAL_MESSAGES_MAX: u64 = 100_000;
