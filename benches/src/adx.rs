//! A data flow from the local broker to Azure Data Explorer, by both ways in, against the double of a cluster. There is no
//! peer: what is measured is what tidegate's process takes for a row, from MQTT over disk to the cluster. The double and its
//! storage are in other processes, or in this one, and do not count; what they need makes the rows per second theirs.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use serde_json::json;
use tidegate_testkit::{Azurite, EntraId, Kusto};

use crate::Contest;
use crate::client::Client;
use crate::kafka::Sample;
use crate::peers::{self, Resources};
use crate::process::{Memory, Server};

const MESSAGES: u64 = 300_000;

/// The share of the messages that warms up, in percent.
const WARM_UP_PERCENT: u64 = 10;

/// Unacknowledged publishes of the client.
const WINDOW: u16 = 1000;

/// Between two looks at how many rows there are.
const TICK: Duration = Duration::from_millis(20);

/// How long the cluster may take for one more row.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Longer than a message takes, which waits a second for others.
const SETTLED: Duration = Duration::from_secs(5);

const DATABASE: &str = "plant";

/// Messages of a batch: what is streamed has at most 4 MiB.
const WAYS: [(&str, u64); 2] = [("queued", 100_000), ("streaming", 10_000)];

pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
    /// After the last run.
    pub(crate) memory: Memory,
}

pub(crate) fn run(tidegate: &Path, args: &Contest) -> anyhow::Result<Vec<Outcome>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let azurite = runtime.block_on(Azurite::start());
    let entra = runtime.block_on(EntraId::start());
    let messages = MESSAGES * u64::from(args.messages) / 100;
    let mut outcomes = Vec::new();
    for (way, batch) in WAYS.into_iter().filter(|(way, _)| way.contains(&args.only)) {
        let kusto = runtime.block_on(Kusto::start(azurite.accounts()));
        execute(&kusto, ".create table Telemetry (n: long, asset: string, temperature: real, at: datetime)")?;
        let (mut command, port, dir) =
            peers::tidegate(tidegate, Resources::Text(resources(&kusto.url(), way, batch)))?;
        let server = Server::start(command.envs(entra.imds()), port, dir)?;
        let mut publisher = Client::connect(port, "publisher")?;
        let mut rows = until_connected(&mut publisher, &kusto)?;
        let mut one_run = |messages: u64| {
            let (cpu, started) = (server.cpu()?, Instant::now());
            publisher.publish_all("in", &[payload()], messages, WINDOW)?;
            rows += messages;
            until_rows(&kusto, rows)?;
            anyhow::Ok(Sample { messages, cpu: server.cpu()?.saturating_sub(cpu), took: started.elapsed() })
        };
        one_run(messages * WARM_UP_PERCENT / 100)?;
        let samples = (0..args.rounds).map(|_| one_run(messages)).collect::<Result<_, _>>()?;
        ensure!((kusto.streamed() > 0) == (way == "streaming"), "{way} is not what was measured");
        let name =
            format!("{way}, {batch} messages a batch: {messages} messages of {} bytes", payload().len());
        outcomes.push(Outcome { name, samples, memory: server.memory()? });
    }
    Ok(outcomes)
}

fn payload() -> Bytes {
    let more = "x".repeat(64);
    json!({ "n": 1_234_567, "asset": "press-7", "temperature": 181.25, "at": "2026-11-29T08:00:00.000000Z", "more": more })
        .to_string()
        .into()
}

fn execute(kusto: &Kusto, command: &str) -> anyhow::Result<Vec<Vec<serde_json::Value>>> {
    kusto.execute(DATABASE, command).map_err(anyhow::Error::msg)
}

/// What is published before the data flow has subscribed is not for it. Gives the rows that there are.
fn until_connected(publisher: &mut Client, kusto: &Kusto) -> anyhow::Result<u64> {
    let deadline = Instant::now() + STALL_MAX;
    loop {
        ensure!(Instant::now() < deadline, "no message reaches the cluster");
        publisher.publish_all("in", &[payload()], 1, WINDOW)?;
        sleep(SETTLED);
        let rows = count(kusto)?;
        if rows > 0 {
            return Ok(rows);
        }
    }
}

fn count(kusto: &Kusto) -> anyhow::Result<u64> {
    Ok(execute(kusto, "Telemetry | count")?[0][0].as_u64().unwrap_or_default())
}

fn until_rows(kusto: &Kusto, rows: u64) -> anyhow::Result<()> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let now = count(kusto)?;
        ensure!(now <= rows, "{now} rows of {rows} messages");
        if now == rows {
            return Ok(());
        }
        if now > seen {
            (seen, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < STALL_MAX, "{now} of {rows} rows, and no more");
        sleep(TICK);
    }
}

fn resources(url: &str, way: &str, batch: u64) -> String {
    let column =
        |name: &str, kind: &str| json!({ "name": name, "type": kind, "nullable": true, "metadata": {} });
    let columns = [("n", "long"), ("asset", "string"), ("temperature", "double"), ("at", "timestamp")];
    let fields = columns.map(|(name, kind)| column(name, kind));
    let schema = json!({
        "$schema": "Delta/1.0", "type": "object", "properties": { "type": "struct", "fields": fields },
    });
    format!(
        "
apiVersion: tidegate.dev/v1
kind: Schema
metadata: {{ name: telemetry, namespace: azure-iot-operations }}
spec:
  version: \"1\"
  format: Delta/1.0
  content: '{schema}'
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: adx
  namespace: azure-iot-operations
  annotations: {{ tidegate.dev/allow-any-host: \"true\", tidegate.dev/adx-ingestion: {way} }}
spec:
  endpointType: DataExplorer
  dataExplorerSettings:
    host: {url}
    database: {DATABASE}
    authentication:
      method: SystemAssignedManagedIdentity
      systemAssignedManagedIdentitySettings: {{}}
    batching: {{ latencySeconds: 1, maxMessages: {batch} }}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: to-adx, namespace: azure-iot-operations }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: default, dataSources: [in] }}
    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        serializationFormat: Parquet
        schemaRef: aio-sr://telemetry:1
        map: [{{ inputs: ['*'], output: '*' }}]
    - operationType: Destination
      destinationSettings: {{ endpointRef: adx, dataDestination: Telemetry }}
"
    )
}
