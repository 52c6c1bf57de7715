//! Local storage, Azure Data Lake and Fabric OneLake as destination of a data flow: Parquet files and Delta tables.
//!
//! One writer for all three: JSON bytes become columns ([`columns`](self)), columns a Parquet file, and a Delta table's
//! log is told of it. Knows endpoints and their settings, but no data flow.

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
use tidegate_core::{Sink, Trouble};
use tidegate_model::endpoint::{Batching, Endpoint, Settings};
use tidegate_model::plan::{SerializationFormat, Transform};

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
    let format = match transform.map(|t| t.format) {
        Some(SerializationFormat::Delta) => Format::Delta,
        _ => Format::Parquet,
    };
    let refuse = |message: String| {
        Failure::refused(Kind::Configuration, message).trouble(endpoint.name.as_str(), format)
    };
    let Some(fields) = transform.and_then(|t| t.columns.clone()) else {
        return Err(refuse("the flow has no Delta schema for what it writes".into()));
    };
    schema::check(&fields).map_err(refuse)?;
    let folder = destination.trim_matches('/').to_owned();
    if folder
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0']))
    {
        return Err(refuse(format!("`{destination}` can't be a folder; write a name such as `telemetry`")));
    }
    let (store, batching): (Arc<dyn Store>, _) = match &endpoint.settings {
        Settings::LocalStorage(local) => {
            let folder = LocalFolder::new((options.volume)(&local.volume));
            (
                Arc::new(folder),
                Batching { latency: options.local_latency, messages_max: Some(LOCAL_MESSAGES_MAX) },
            )
        }
        other => {
            let r#type = other.endpoint_type().as_str();
            return Err(refuse(format!("this version does not run a destination of type {type} yet")));
        }
    };
    let flow = &context.flow;
    Ok(Arc::new(LakeSink {
        endpoint: endpoint.name.to_string(),
        store,
        format,
        folder,
        fields,
        compression: options.compression,
        app: format!("{}/{}/{}", flow.namespace, flow.dataflow, flow.instance_index),
        id: uuid::Uuid::new_v4(),
        batching,
        state: tokio::sync::Mutex::default(),
    }))
}

/// Messages of a file in local storage, as elsewhere by default.
const LOCAL_MESSAGES_MAX: u64 = 100_000;
