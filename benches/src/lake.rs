//! JSON into Delta tables and Parquet files: by the writer of a storage destination alone, and all the way from MQTT. Beside
//! it what arrow-json and parquet do alone with the same rows in the same number of files: they only decode and encode, so
//! that they are a ceiling.

mod messages;

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use arrow_json::ReaderBuilder;
use arrow_schema::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_connect::{Context, Credentials, FlowIdentity, LocalBroker};
use tidegate_connect_lake::Options;
use tidegate_core::{Files, LogPosition, Record, Secret, Sink};
use tidegate_identity::{Identity, Token, TokenError, Tokens};
use tidegate_model::LoadOptions;
use tidegate_model::names::HostPort;
use tidegate_model::plan::{DataDestination, Plan};

use self::messages::Size;
use crate::client::Client;
use crate::peers::{self, Resources};
use crate::process::{Server, cpu};
use crate::{Contest, Durability};

/// Messages of a run of 142 bytes; of 768 bytes they are a quarter.
const MESSAGES: u64 = 1_000_000;

/// So many messages differ from each other.
const DIFFERENT: u64 = 100_000;

/// Rows of a file where the writer is alone.
const ROWS_A_FILE: [u64; 2] = [100_000, 10_000];

/// Unacknowledged publishes of the client that publishes to tidegate.
const WINDOW: u16 = 1000;

/// How long messages are gathered at most: longer than a file takes to fill up, and less than one wants to wait.
const LATENCY: &str = "5s";

/// Between two looks into the folder.
const TICK: Duration = Duration::from_millis(50);

/// How long the next file may take.
const STALL_MAX: Duration = Duration::from_secs(30);

const TOPIC: &str = "rows";
const FOLDER: &str = "table";

/// One run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) rows: u64,
    /// Of the process that is measured, all its threads.
    pub(crate) cpu: Duration,
    pub(crate) rows_per_second: f64,
    /// The most memory it had resident so far, in bytes; not known of a writer alone, which holds all its rows.
    pub(crate) peak_resident: Option<u64>,
    /// Files that a writer alone has made, the log's among them, and their bytes.
    files: Option<(u64, u64)>,
}

impl Sample {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.rows as f64 / self.cpu.as_secs_f64()
    }
}

/// Those that do the same, in turns.
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// What is measured, and its runs.
    pub(crate) tidegate: Vec<(String, Vec<Sample>)>,
    pub(crate) ceiling: Vec<Sample>,
}

impl Outcome {
    /// How much of the ceiling's rows per CPU second each round has.
    pub(crate) fn shares(&self, samples: &[Sample]) -> Vec<f64> {
        let pairs = samples.iter().zip(&self.ceiling);
        pairs.map(|(ours, ceiling)| ours.per_cpu_second() / ceiling.per_cpu_second()).collect()
    }
}

/// What writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Writer {
    Ceiling,
    Delta,
    Parquet,
}

pub(crate) fn run(tidegate: &Path, args: &Contest) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for size in [Size::Small, Size::Large] {
        let messages = MESSAGES * u64::from(args.messages) / 100 / if size == Size::Large { 4 } else { 1 };
        let bytes = size.bytes();
        for rows_a_file in ROWS_A_FILE {
            let name = format!("the writer alone: {messages} rows of {bytes} bytes, {rows_a_file} a file");
            if name.contains(&args.only) {
                let alone = |writer| Alone { writer, size, rows_a_file, rows: messages };
                outcomes.push(alone_in_turns(name, args.rounds, alone)?);
            }
        }
        let name = format!("from MQTT: {messages} messages of {bytes} bytes, QoS 1");
        if name.contains(&args.only) {
            outcomes.push(from_mqtt(tidegate, name, args.rounds, size, messages)?);
        }
    }
    Ok(outcomes)
}

fn alone_in_turns(name: String, rounds: u32, alone: impl Fn(Writer) -> Alone) -> anyhow::Result<Outcome> {
    let mut samples = [Writer::Ceiling, Writer::Delta, Writer::Parquet].map(|writer| (writer, Vec::new()));
    for _ in 0..rounds {
        for (writer, samples) in &mut samples {
            samples.push(alone(*writer).start()?);
        }
    }
    let [(_, ceiling), (_, delta), (_, parquet)] = samples;
    Ok(Outcome { name, tidegate: vec![("Delta".into(), delta), ("Parquet".into(), parquet)], ceiling })
}

fn from_mqtt(
    tidegate: &Path,
    name: String,
    rounds: u32,
    size: Size,
    messages: u64,
) -> anyhow::Result<Outcome> {
    let payloads = size.payloads(DIFFERENT);
    let mut ours = Vec::new();
    for durability in [Durability::Memory, Durability::Disk] {
        for format in [Writer::Delta, Writer::Parquet] {
            let kept = if durability == Durability::Memory { "memory" } else { "disk" };
            ours.push((format!("{format:?}, --durability {kept}"), Vec::new(), durability, format));
        }
    }
    let mut ceiling = Vec::new();
    for _ in 0..rounds {
        ceiling
            .push(Alone { writer: Writer::Ceiling, size, rows_a_file: DIFFERENT, rows: messages }.start()?);
        for (name, samples, durability, format) in &mut ours {
            let sample = one_from_mqtt(tidegate, *format, *durability, size, &payloads, messages);
            samples.push(sample.with_context(|| name.clone())?);
        }
    }
    let tidegate = ours.into_iter().map(|(name, samples, ..)| (name, samples)).collect();
    Ok(Outcome { name, tidegate, ceiling })
}

fn one_from_mqtt(
    tidegate: &Path,
    format: Writer,
    durability: Durability,
    size: Size,
    payloads: &[Bytes],
    messages: u64,
) -> anyhow::Result<Sample> {
    let (mut command, port, dir) = peers::tidegate(tidegate, Resources::Text(resources(format, size)))?;
    let volume = dir.path().join("volume");
    command.arg("--volume").arg(format!("bench={}", volume.display()));
    command.args(["--local-storage-latency", LATENCY]);
    if durability == Durability::Memory {
        command.args(["--durability", "memory"]);
    }
    let server = Server::start(&mut command, port, dir)?;
    let folder = volume.join(FOLDER);
    // it is made when the flow has its destination, which is after it has subscribed
    let started = Instant::now();
    while !folder.exists() {
        ensure!(started.elapsed() < STALL_MAX, "the data flow does not start");
        sleep(TICK);
    }
    let mut publisher = Client::connect(port, "publisher")?;
    let (before, started) = (server.cpu()?, SystemTime::now());
    publisher.publish_all(TOPIC, payloads, messages, WINDOW)?;
    let written = until_written(&folder, messages)?;
    let cpu = server.cpu()?.saturating_sub(before);
    if format == Writer::Delta {
        ensure!(rows_in_log(&folder)? == messages, "the log says another number of rows");
    }
    // the last file waited for messages that did not come
    let counted = &written[..(written.len() - 1).max(1)];
    let rows: u64 = counted.iter().map(|(_, rows)| rows).sum();
    let took = counted.last().context("there is no file")?.0.duration_since(started)?;
    let peak_resident = Some(server.memory()?.peak);
    let rows_per_second = rows as f64 / took.as_secs_f64();
    Ok(Sample { rows: messages, cpu, rows_per_second, peak_resident, files: None })
}

/// When each file was there, and its rows, in this order; returns when they have so many together.
fn until_written(folder: &Path, rows: u64) -> anyhow::Result<Vec<(SystemTime, u64)>> {
    let mut seen: HashMap<PathBuf, (SystemTime, u64)> = HashMap::new();
    let mut moved = Instant::now();
    loop {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden || seen.contains_key(&path) || path.extension().is_none_or(|e| e != "parquet") {
                continue;
            }
            let file = File::open(&path)?;
            let written = file.metadata()?.modified()?;
            let rows = SerializedFileReader::new(file)?.metadata().file_metadata().num_rows();
            seen.insert(path, (written, u64::try_from(rows)?));
            moved = Instant::now();
        }
        let there: u64 = seen.values().map(|(_, rows)| rows).sum();
        if there >= rows {
            ensure!(there == rows, "{} rows more than messages", there - rows);
            let mut files: Vec<_> = seen.into_values().collect();
            files.sort_unstable();
            return Ok(files);
        }
        ensure!(moved.elapsed() < STALL_MAX, "{there} of {rows} rows are there, and no more come");
        sleep(TICK);
    }
}

/// What a table's log says; the last entry may be a moment behind its file.
fn rows_in_log(folder: &Path) -> anyhow::Result<u64> {
    sleep(TICK);
    let mut rows = 0;
    for entry in fs::read_dir(folder.join("_delta_log"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        for line in fs::read_to_string(path)?.lines() {
            let action: Value = serde_json::from_str(line)?;
            if let Some(statistics) = action["add"]["stats"].as_str() {
                let statistics: Value = serde_json::from_str(statistics)?;
                rows += statistics["numRecords"].as_u64().unwrap_or_default();
            }
        }
    }
    Ok(rows)
}

/// A flow from the local broker into a folder.
fn resources(format: Writer, size: Size) -> String {
    let format = if format == Writer::Delta { "Delta" } else { "Parquet" };
    let content = size.schema();
    format!(
        "
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: storage, namespace: azure-iot-operations }}
spec:
  endpointType: LocalStorage
  localStorageSettings: {{ persistentVolumeClaimRef: bench }}
---
apiVersion: tidegate.dev/v1
kind: Schema
metadata: {{ name: row, namespace: azure-iot-operations }}
spec:
  version: '1'
  format: Delta/1.0
  content: '{content}'
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: write, namespace: azure-iot-operations }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: default, dataSources: ['{TOPIC}'] }}
    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        serializationFormat: {format}
        schemaRef: aio-sr://row:1
        map: [{{ inputs: ['*'], output: '*' }}]
    - operationType: Destination
      destinationSettings: {{ endpointRef: storage, dataDestination: {FOLDER} }}
"
    )
}

/// A writer by itself.
#[derive(Args)]
pub(crate) struct Alone {
    writer: Writer,
    size: Size,
    rows_a_file: u64,
    rows: u64,
}

impl Alone {
    /// In a process of its own.
    fn start(&self) -> anyhow::Result<Sample> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).context("every value has a name")
        };
        let output = Command::new(std::env::current_exe()?)
            .args(["writer", &name(self.writer.to_possible_value())?, &name(self.size.to_possible_value())?])
            .args([self.rows_a_file.to_string(), self.rows.to_string()])
            .output()?;
        if !output.status.success() {
            bail!("the writer alone fails: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Prints a [`Sample`].
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let format = if self.writer == Writer::Delta { Writer::Delta } else { Writer::Parquet };
        let plan = plan(&resources(format, self.size))?;
        let payloads = self.size.payloads(DIFFERENT.min(self.rows));
        let mut sample = match self.writer {
            Writer::Ceiling => self.ceiling(&dir, &plan, &payloads)?,
            Writer::Delta | Writer::Parquet => self.sink(&dir, &plan, &payloads)?,
        };
        sample.files = Some(files_in(dir.path())?);
        Ok(serde_json::to_writer(std::io::stdout(), &sample)?)
    }

    /// The files, by the numbers of their first row and the one behind the last.
    fn files(&self) -> impl Iterator<Item = (u64, u64)> {
        let (rows, step) = (self.rows, self.rows_a_file);
        (0..rows).step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(move |n| (n, (n + step).min(rows)))
    }

    fn sample(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Sample> {
        let (started, before) = (Instant::now(), cpu("self")?);
        work()?;
        let rows_per_second = self.rows as f64 / started.elapsed().as_secs_f64();
        let cpu = cpu("self")? - before;
        Ok(Sample { rows: self.rows, cpu, rows_per_second, peak_resident: None, files: None })
    }

    /// The rows are JSON lines, one behind the other, which suits it best; its files are not synced.
    fn ceiling(&self, dir: &TempDir, plan: &Plan, payloads: &[Bytes]) -> anyhow::Result<Sample> {
        const BATCH: usize = 8192;
        let columns = plan.transform.as_ref().and_then(|t| t.columns.as_deref()).context("no columns")?;
        let schema = Arc::new(Schema::new(messages::arrow_fields(columns)?));
        let lines = |(from, to)| {
            let mut lines = Vec::new();
            for n in from..to {
                lines.extend_from_slice(&payloads[usize::try_from(n)? % payloads.len()]);
                lines.push(b'\n');
            }
            anyhow::Ok(lines)
        };
        let files: Vec<Vec<u8>> = self.files().map(lines).collect::<Result<_, _>>()?;
        self.sample(|| {
            for (n, lines) in files.iter().enumerate() {
                let mut decoder =
                    ReaderBuilder::new(schema.clone()).with_batch_size(BATCH).build_decoder()?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_statistics_enabled(EnabledStatistics::Chunk)
                    .build();
                let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
                let mut rest = lines.as_slice();
                while !rest.is_empty() {
                    rest = &rest[decoder.decode(rest)?..];
                    if let Some(batch) = decoder.flush()? {
                        writer.write(&batch)?;
                    }
                }
                fs::write(dir.path().join(format!("{n}.parquet")), writer.into_inner()?)?;
            }
            Ok(())
        })
    }

    /// The sink of a flow. Rows have a place in a log, as those from a spool have.
    fn sink(&self, dir: &TempDir, plan: &Plan, payloads: &[Bytes]) -> anyhow::Result<Sample> {
        let sink = open_sink(plan, dir.path())?;
        let chunk = |(from, to)| {
            let record = |number: u64| {
                let payload = payloads[usize::try_from(number)? % payloads.len()].clone();
                let position = Some(LogPosition { log: 1, number });
                anyhow::Ok(Record { position, ..Record::new(TOPIC, payload, Instant::now()) })
            };
            (from..to).map(record).collect()
        };
        let chunks: Vec<Vec<Record>> = self.files().map(chunk).collect::<Result<_, _>>()?;
        // threads that do the writing must not end, as nobody knows what they have used then
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_keep_alive(Duration::from_secs(3600))
            .enable_all()
            .build()?;
        runtime.block_on(sink.prepare())?;
        self.sample(|| {
            for chunk in &chunks {
                runtime.block_on(sink.write(chunk))?;
            }
            Ok(())
        })
    }
}

/// How many there are in a folder and those in it, and their bytes.
fn files_in(folder: &Path) -> anyhow::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (more, size) = if metadata.is_dir() { files_in(&entry.path())? } else { (1, metadata.len()) };
        files += more;
        bytes += size;
    }
    Ok((files, bytes))
}

fn plan(resources: &str) -> anyhow::Result<Arc<Plan>> {
    let mut files = Files::default();
    files.add("resources.yaml", resources);
    let loaded = tidegate_model::load(&files, &LoadOptions::default());
    ensure!(!loaded.has_errors(), "the resources are wrong: {:?}", loaded.diagnostics);
    loaded.value.plans().into_iter().next().context("there is no flow")
}

fn open_sink(plan: &Plan, volume: &Path) -> anyhow::Result<Arc<dyn Sink>> {
    let DataDestination::Name(folder) = &plan.destination.data_destination else { bail!("not a folder") };
    let context = Context {
        flow: FlowIdentity {
            namespace: plan.namespace.clone(),
            profile: plan.profile.to_string(),
            dataflow: plan.name.to_string(),
            instance_index: 0,
            instance_count: 1,
        },
        request_disk_persistence: false,
        local_broker: LocalBroker::Remote {
            address: HostPort::parse("localhost:1883").context("it is an address")?,
            tls: false,
        },
        credentials: Arc::new(Nothing),
        tokens: Arc::new(Nothing),
    };
    let options = Options {
        volume: &|_| volume.to_owned(),
        local_latency: Duration::ZERO,
        compression: tidegate_connect_lake::Compression::Snappy,
        drop_batches: false,
    };
    let transform = plan.transform.as_ref();
    let sink =
        tidegate_connect_lake::open_sink(&plan.destination.endpoint, transform, folder, &context, &options);
    sink.map_err(|trouble| anyhow::anyhow!("{trouble}"))
}

/// Local storage asks for no credentials.
struct Nothing;

impl Credentials for Nothing {
    fn secret(&self, _: &str, _: &str, _: &str) -> Option<Secret<Vec<u8>>> {
        None
    }

    fn config_map(&self, _: &str, _: &str) -> Option<Vec<String>> {
        None
    }
}

#[async_trait]
impl Tokens for Nothing {
    async fn token(&self, _: &Identity) -> Result<Token, TokenError> {
        Err(TokenError::Refused("there is no identity".into()))
    }
}
