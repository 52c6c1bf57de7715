//! Azure Data Explorer as destination of a data flow, by queued or streaming ingestion, with what the service's official
//! clients do and no library of theirs.
//!
//! Knows endpoints and their settings, but no data flow.

mod batch;
mod cluster;
mod failure;
mod http;
mod journal;
mod lines;
mod ranking;
mod sink;
mod watch;

use std::path::Path;
use std::sync::Arc;

use tidegate_connect::Context;
use tidegate_core::{Record, Sink, Trouble};
use tidegate_model::endpoint::{DataExplorer, Endpoint};
use tidegate_model::schema::DeltaField;

use self::cluster::Cluster;
use self::sink::AdxSink;

/// Takes a record for a dead letter that the cluster had taken and can't ingest, and why.
pub type Bury = Arc<dyn Fn(Record, String) + Send + Sync>;

/// Makes the sink of a DataExplorer endpoint. It connects when it is [prepared](Sink::prepare) or written to, and at once
/// if batches of an earlier run are open. In the folder `journals`, of one flow, it notes what it has handed over and
/// what the cluster has not reported on. Without `columns` it takes nothing.
///
/// # Errors
/// [`Trouble`] that only a change of configuration mends.
pub fn open_sink(
    endpoint: &Endpoint,
    adx: &DataExplorer,
    table: &str,
    columns: Option<&[DeltaField]>,
    context: &Context,
    (journals, bury): (&Path, Bury),
) -> Result<Box<dyn Sink>, Trouble> {
    let sink = AdxSink::new(endpoint, adx, table, columns, context, (journals, bury))?;
    Ok(Box::new(sink))
}

/// Looks whether a DataExplorer endpoint takes what a data flow would send it, and changes nothing there. Without a table only
/// the cluster and the right to ingest are looked at. Gives what is not as it should be though batches are taken, or can't
/// be known.
///
/// # Errors
/// What keeps data flows from it.
pub async fn examine(
    endpoint: &Endpoint,
    adx: &DataExplorer,
    table: Option<&str>,
    columns: Option<&[DeltaField]>,
    context: &Context,
) -> Result<Option<String>, Trouble> {
    let cluster = Cluster::new(adx, context.tokens.clone());
    let examined = async {
        cluster.prepare().await?;
        match table {
            Some(table) => cluster.examine(adx, table, columns).await,
            None => Ok(None),
        }
    };
    examined.await.map_err(|failure| failure.trouble(endpoint.name.as_str()))
}
