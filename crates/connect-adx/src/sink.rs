//! Records to a table.
//!
//! A write is one batch, or a few if it is large. A batch is streamed if that is asked for and it is small, else it goes
//! into a blob, and a message to a queue asks for it to be ingested. A write counts as done when the queue has taken the
//! message. What becomes of the batch after that is [watched](crate::watch).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use tidegate_connect::Context;
use tidegate_core::{Chunking, LogPosition, Record, Rejected, Sink, Trouble, WriteError};
use tidegate_model::endpoint::{Batching, DataExplorer, Endpoint, Ingestion};
use tidegate_model::schema::DeltaField;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Bury;
use crate::batch::{Batch, Content, Target};
use crate::cluster::{Cluster, crc32};
use crate::failure::{Failure, Kind};
use crate::journal::Journal;
use crate::lines;
use crate::watch::Watch;

/// The largest batch that is streamed, as in the official clients.
const STREAM_BYTES_MAX: usize = 4 << 20;

/// How often streaming is tried before the queue is used, as in the official clients.
const STREAM_ATTEMPTS: u32 = 3;
const STREAM_RETRY_FIRST: Duration = Duration::from_millis(500);

/// The most records of one batch where the endpoint sets no limit.
const RECORDS_MAX: u64 = 1_000_000;

/// When a batch is cut, in bytes before compression; Kusto recommends no more than 1 GB.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// How many records are looked at before others get their turn.
const RECORDS_PER_TURN: usize = 4096;

pub(crate) struct AdxSink {
    endpoint: String,
    cluster: Arc<Cluster>,
    target: Arc<Target>,
    ingestion: Ingestion,
    batching: Batching,
    /// What tags of this flow and instance begin with.
    tag_prefix: String,
    watch: Arc<Watch>,
    watching: JoinHandle<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The mapping to stream by, once it is there.
    mapping: Option<String>,
}

/// Records of a write that are one batch.
struct Part<'a> {
    records: &'a [Record],
    lines: Vec<u8>,
}

impl AdxSink {
    pub(crate) fn new(
        endpoint: &Endpoint,
        adx: &DataExplorer,
        table: &str,
        columns: Option<&[DeltaField]>,
        context: &Context,
        (journals, bury): (&Path, Bury),
    ) -> Result<Self, Trouble> {
        let flow = &context.flow;
        let cluster = Arc::new(Cluster::new(adx, context.tokens.clone()));
        let target = Arc::new(Target {
            database: adx.database.clone(),
            table: table.to_owned(),
            mapping_name: adx.ingestion.mapping.clone(),
            mapping: columns.map(lines::mapping).unwrap_or_default(),
        });
        // what was meant for another table waits until the flow has that as its destination again
        let place = format!("{}\n{}\n{table}", cluster.engine(), target.database);
        let file = format!("{}-{:08x}.json", flow.instance_index, crc32(place.as_bytes()));
        let journal = Journal::new(journals.join(file));
        let name = endpoint.name.to_string();
        let watch = Watch::open(&name, cluster.clone(), target.clone(), journal, bury)?;
        let watching = tokio::spawn(watch.clone().run());
        Ok(Self {
            endpoint: name,
            cluster,
            target,
            ingestion: adx.ingestion.clone(),
            batching: adx.batching,
            tag_prefix: format!("tidegate/{}/{}/{}", flow.namespace, flow.dataflow, flow.instance_index),
            watch,
            watching,
            state: Mutex::default(),
        })
    }

    /// Gives the records that can't be rows, or why not all others are delivered, and how many of the first are.
    async fn deliver(
        &self,
        state: &mut State,
        records: &[Record],
    ) -> Result<Vec<Rejected>, (Failure, usize)> {
        if self.target.mapping.is_empty() && self.target.mapping_name.is_none() {
            let why = "the flow has no Delta schema for what it writes";
            return Err((Failure::refused(Kind::Configuration, why), 0));
        }
        self.watch.admit().map_err(|f| (f, 0))?;
        if let Some(batch) = self.watch.pending()
            && matches!(batch.content, Content::UpTo { .. })
        {
            self.watch.hand_over(batch).await.map_err(|f| (f, 0))?;
        }
        let known = match self.watch.delivered() {
            Some(content) => records.iter().take_while(|r| content.covers(r.position)).count(),
            None => 0,
        };
        let (mut rejected, mut lines): (Vec<Rejected>, Vec<u8>) = (vec![], vec![]);
        let mut start = known;
        for (index, record) in records.iter().enumerate() {
            if index % RECORDS_PER_TURN == RECORDS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            // one of those that have been delivered may have been rejected just before the process ended
            match lines::push(record, &mut lines) {
                Ok(()) if index < known => lines.clear(),
                Ok(()) => {}
                Err(reason) => rejected.push(Rejected { index, reason, expired: false }),
            }
            let is_last = index + 1 == records.len();
            if !lines.is_empty() && (is_last || lines.len() >= BATCH_BYTES_MAX) {
                let part = Part { records: &records[start..=index], lines: std::mem::take(&mut lines) };
                // what was rejected is not delivered
                let safe = rejected.first().map_or(start, |r| r.index.min(start));
                self.send(state, part).await.map_err(|failure| (failure, safe))?;
                start = index + 1;
            }
        }
        Ok(rejected)
    }

    async fn send(&self, state: &mut State, Part { records, lines }: Part<'_>) -> Result<(), Failure> {
        let content = content_of(records, &lines);
        if let Some(batch) = self.watch.pending().filter(|batch| batch.content == content) {
            return self.watch.hand_over(batch).await;
        }
        let raw_size = lines.len();
        let gzip = gzip(lines).await?;
        let id = Uuid::new_v4().to_string();
        if self.ingestion.streaming && raw_size <= STREAM_BYTES_MAX && self.stream(state, &id, &gzip).await? {
            self.watch.streamed(content);
            return Ok(());
        }
        let blob = self.cluster.upload(&self.target, &id, gzip).await?;
        let first = records.first();
        let tag = self.ingestion.deduplicate.then(|| match (content, first.and_then(|r| r.position)) {
            (Content::UpTo { log, number }, Some(LogPosition { number: first, .. })) => {
                format!("{}/{log:x}/{first}-{number}", self.tag_prefix)
            }
            _ => format!("{}/{id}", self.tag_prefix),
        });
        let topic = first.map_or_else(String::new, |r| r.topic.to_string());
        let batch = Batch { id, blob, raw_size: raw_size as u64, tag, created: now(), content, topic };
        self.watch.hand_over(batch).await
    }

    /// Whether it was streamed; `false` sends it to the queue.
    async fn stream(&self, state: &mut State, id: &str, gzip: &Arc<Vec<u8>>) -> Result<bool, Failure> {
        for attempt in 0..STREAM_ATTEMPTS {
            let streamed = match self.mapping(state).await {
                Ok(mapping) => self.cluster.stream(&self.target, &mapping, id, attempt, gzip.clone()).await,
                Err(failure) => Err(failure),
            };
            match streamed {
                Ok(()) => return Ok(true),
                Err(failure) if failure.queue_instead => {
                    tracing::debug!(why = failure.message, "not to be streamed: by the queue");
                    return Ok(false);
                }
                Err(failure) if failure.refused => return Err(failure),
                Err(failure) => tracing::debug!(why = failure.message, "streaming ingestion failed"),
            }
            if attempt + 1 < STREAM_ATTEMPTS {
                let wait = STREAM_RETRY_FIRST * 2u32.pow(attempt);
                tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
            }
        }
        Ok(false)
    }

    /// The mapping to stream by: the user's, or one that is made.
    async fn mapping(&self, state: &mut State) -> Result<String, Failure> {
        if let Some(mapping) = self.target.mapping_name.as_ref().or(state.mapping.as_ref()) {
            return Ok(mapping.clone());
        }
        let mapping = self.cluster.create_mapping(&self.target).await?;
        Ok(state.mapping.insert(mapping).clone())
    }
}

impl Drop for AdxSink {
    fn drop(&mut self) {
        self.watch.close();
        self.watching.abort();
    }
}

/// What is in a batch of these records.
fn content_of(records: &[Record], lines: &[u8]) -> Content {
    let (first, last) = (records.first().and_then(|r| r.position), records.last().and_then(|r| r.position));
    match (first, last) {
        (Some(first), Some(last)) if first.log == last.log => {
            Content::UpTo { log: last.log, number: last.number }
        }
        _ => {
            let mut hasher = DefaultHasher::new();
            lines.hash(&mut hasher);
            Content::Hash(hasher.finish())
        }
    }
}

pub(crate) async fn gzip(lines: Vec<u8>) -> Result<Arc<Vec<u8>>, Failure> {
    let pack = move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 8), Compression::fast());
        encoder.write_all(&lines)?;
        encoder.finish()
    };
    let packed = tokio::task::spawn_blocking(pack).await.map_err(io::Error::other).flatten();
    packed.map(Arc::new).map_err(|e| Failure::later(format!("a batch can't be compressed: {e}")))
}

/// Now, as Microsoft's clients write it: UTC without zone.
pub(crate) fn now() -> String {
    let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    now.trim_end_matches('Z').to_owned()
}

#[async_trait]
impl Sink for AdxSink {
    async fn prepare(&self) -> Result<(), WriteError> {
        self.cluster.prepare().await.map_err(|failure| failure.of_sink(&self.endpoint, 0))
    }

    async fn write(&self, records: &[Record]) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        match self.deliver(&mut state, records).await {
            Ok(rejected) if rejected.is_empty() => Ok(()),
            Ok(rejected) => Err(WriteError::Reject(rejected)),
            Err((failure, written)) => Err(failure.of_sink(&self.endpoint, written)),
        }
    }

    fn chunking(&self) -> Chunking {
        let most = self.batching.messages_max.unwrap_or(RECORDS_MAX).min(RECORDS_MAX);
        Chunking {
            latency: self.batching.latency,
            records_max: usize::try_from(most).unwrap_or(usize::MAX),
            bytes_max: BATCH_BYTES_MAX,
        }
    }
}
