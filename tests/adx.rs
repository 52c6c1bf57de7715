//! Azure Data Explorer as destination, by both ways in: what the double of a cluster has as rows in the end.
//!
//! `TIDEGATE_TEST_ADX_MESSAGES=500000` makes the same runs long.

use serde_json::{Value, json};
use tidegate_testkit::{Azurite, EntraId, Kusto, KustoFault};
use tokio::process::Command;

use crate::client::publish_as;
use crate::gateway::{Gateway, PATIENCE, repository, tidegate};

const WINDOW: usize = 500;

/// How often tidegate is killed.
const KILLS: u64 = 5;

fn messages() -> u64 {
    std::env::var("TIDEGATE_TEST_ADX_MESSAGES").map_or(4000, |n| n.parse().unwrap())
}

struct World {
    gateway: Gateway,
    kusto: Kusto,
    _azurite: Azurite,
    _entra: EntraId,
}

impl World {
    /// The cluster may have a fault, for good, when tidegate starts.
    async fn start(ingestion: &str, batch: u64, fault: Option<KustoFault>) -> Self {
        let azurite = Azurite::start().await;
        let kusto = Kusto::start(azurite.accounts()).await;
        kusto.execute("plant", ".create table Numbers (n: long, asset: string)").unwrap();
        if let Some(fault) = fault {
            kusto.set_fault(fault, usize::MAX);
        }
        let entra = EntraId::start().await;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resources.yaml");
        std::fs::write(&path, resources(&kusto.url(), ingestion, batch)).unwrap();
        let args = ["--mqtt-listen", "127.0.0.1:0", "-q"].map(str::to_owned).into_iter();
        let args = args.chain([path.display().to_string()]).collect();
        let gateway = Gateway::start_with(dir, args, entra.imds()).await;
        Self { gateway, kusto, _azurite: azurite, _entra: entra }
    }

    async fn publish(&self, numbers: std::ops::Range<u64>) {
        let payload = |n| json!({ "n": n, "asset": format!("press-{}", n % 7), "more": true }).to_string();
        for from in numbers.clone().step_by(10_000) {
            let slice = from..numbers.end.min(from + 10_000);
            publish_as(self.gateway.port(), "in", slice, WINDOW, payload).await;
        }
    }

    fn count(&self) -> u64 {
        self.kusto.execute("plant", "Numbers | count").unwrap()[0][0].as_u64().unwrap()
    }

    /// Waits until there are so many rows.
    async fn until_rows(&self, count: u64) {
        let mut rows = self.count();
        let mut deadline = tokio::time::Instant::now() + PATIENCE;
        while rows < count {
            assert!(tokio::time::Instant::now() < deadline, "{rows} of {count} rows");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            if self.count() > rows {
                rows = self.count();
                deadline = tokio::time::Instant::now() + PATIENCE;
            }
        }
    }

    async fn kill_and_restart(&mut self) {
        self.gateway.kill_9().await;
        self.gateway.restart().await;
    }

    /// How many rows are there more than once; panics unless the messages are all there, as they were.
    fn duplicates(&self, count: u64) -> usize {
        let mut numbers = Vec::new();
        for row in self.kusto.rows("plant", "Numbers") {
            let [n, asset] = &row[..] else { panic!("{row:?}") };
            let n = n.as_u64().unwrap();
            assert_eq!(*asset, json!(format!("press-{}", n % 7)));
            numbers.push(n);
        }
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.iter().copied().eq(0..count), "{} of {count} are there", numbers.len());
        all - numbers.len()
    }
}

pub(crate) fn resources(url: &str, ingestion: &str, batch: u64) -> String {
    let content = json!({
        "$schema": "Delta/1.0", "type": "object", "properties": { "type": "struct", "fields": [
            { "name": "n", "type": "long", "nullable": true, "metadata": {} },
            { "name": "asset", "type": "string", "nullable": true, "metadata": {} },
        ] },
    });
    format!(
        r#"apiVersion: tidegate.dev/v1
kind: Schema
metadata: {{ name: numbers, namespace: azure-iot-operations }}
spec:
  version: "1"
  format: Delta/1.0
  content: '{content}'
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: adx
  namespace: azure-iot-operations
  annotations:
    tidegate.dev/allow-any-host: "true"
    tidegate.dev/adx-ingestion: {ingestion}
spec:
  endpointType: DataExplorer
  dataExplorerSettings:
    host: {url}
    database: plant
    authentication:
      method: SystemAssignedManagedIdentity
      systemAssignedManagedIdentitySettings: {{}}
    batching: {{ latencySeconds: 1, maxMessages: {batch} }}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: flow, namespace: azure-iot-operations }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: default, dataSources: [in] }}
    - operationType: BuiltInTransformation
      builtInTransformationSettings:
        serializationFormat: Parquet
        schemaRef: aio-sr://numbers:1
        map: [{{ inputs: ['*'], output: '*' }}]
    - operationType: Destination
      destinationSettings: {{ endpointRef: adx, dataDestination: Numbers }}
"#
    )
}

/// What is in the spool gets to the table once, whatever happens to the cluster and to tidegate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_messages_are_there_once_over_faults_and_kills() {
    let count = messages();
    let mut world = World::start("queued", count / 20, Some(KustoFault::Throttle)).await;
    // while the cluster takes nothing, all messages get into the spool; a source may deliver twice before that
    world.publish(0..count).await;
    let spooled = |f: &Value| f["spool"]["messages"] == count;
    world.gateway.until("flow", "spooled", spooled).await;
    let troubled = |f: &Value| f["health"]["reasonCode"] == "DataflowAdxTargetSendFailed";
    let flow = world.gateway.until("flow", "troubled", troubled).await;
    assert!(flow["health"]["message"].as_str().unwrap().contains("throttles"), "{flow}");
    world.gateway.stop().await;
    world.gateway.restart().await;
    for kill in 0..KILLS {
        match kill % 3 {
            0 => world.kusto.set_fault(KustoFault::LostResponse, 2),
            1 => world.kusto.fail_ingestions(2),
            _ => world.kusto.set_fault(KustoFault::Unauthorized, 2),
        }
        let rows = (kill + 1) * count / (KILLS + 2);
        world.until_rows(rows).await;
        world.kill_and_restart().await;
    }
    world.until_rows(count).await;
    world.gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    assert_eq!(world.duplicates(count), 0);
    let batches = world.kusto.messages().len();
    println!("{count} messages, {KILLS} kills, {batches} ingestion messages, no row twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_messages_are_all_there_over_faults_and_kills() {
    let count = messages();
    let mut world = World::start("streaming", count / 20, None).await;
    let half = count / 2;
    world.publish(0..half).await;
    world.until_rows(half / 4).await;
    world.kusto.set_fault(KustoFault::LostResponse, 1);
    world.until_rows(half / 2).await;
    world.kill_and_restart().await;
    world.kusto.set_fault(KustoFault::StreamingOff, 3);
    world.publish(half..count).await;
    world.gateway.until("flow", "drained", |f| f["messages"]["inFlight"] == 0).await;
    let distinct = async || {
        let rows = world.kusto.rows("plant", "Numbers");
        rows.iter().map(|row| row[0].as_u64().unwrap()).collect::<std::collections::HashSet<_>>().len() as u64
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while distinct().await < count {
        assert!(tokio::time::Instant::now() < deadline, "{} of {count} are there", distinct().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let twice = world.duplicates(count);
    let (streamed, queued) = (world.kusto.streamed(), world.kusto.messages().len());
    assert!(streamed > 0 && queued > 0);
    println!("{count} messages, {streamed} streamed and {queued} queued batches, {twice} rows twice");
}

/// A message without the columns' shape is a dead letter and takes no other with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_runs() {
    let example = std::fs::read_to_string(repository().join("examples/adx/adx.yaml")).unwrap();
    let azurite = Azurite::start().await;
    let kusto = Kusto::start(azurite.accounts()).await;
    // the commands that the example tells its reader to give
    let create = example.lines().find_map(|l| l.trim_start_matches('#').trim().strip_prefix(".create"));
    kusto.execute("plant", &format!(".create{}", create.unwrap())).unwrap();
    let resources = example
        .replace("https://plant.westeurope.kusto.windows.net", &kusto.url())
        .replace("  name: adx\n", "  name: adx\n  annotations: { tidegate.dev/allow-any-host: \"true\" }\n")
        .replace("latencySeconds: 60", "latencySeconds: 1");
    let entra = EntraId::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adx.yaml");
    std::fs::write(&path, resources).unwrap();
    let args = ["--mqtt-listen", "127.0.0.1:0", "-q"].map(str::to_owned).into_iter();
    let args = args.chain([path.display().to_string()]).collect();
    let gateway = Gateway::start_with(dir, args, entra.imds()).await;
    for payload in [r#"{"asset":"oven","temperature":180.5,"at":"2026-11-29T08:00:00Z","no":1}"#, "no object"]
    {
        let port = gateway.port().to_string();
        let published = Command::new("mosquitto_pub")
            .args(["-V", "5", "-q", "1", "-p", &port, "-t", "plant/telemetry/oven", "-m", payload])
            .status();
        assert!(published.await.unwrap().success());
    }
    let flow = gateway.until("telemetry-to-adx", "done", |f| f["messages"]["inFlight"] == 0).await;
    let done = |f: &Value| f["messages"]["delivered"] == 1 && f["messages"]["deadLettered"] == 1;
    let flow = if done(&flow) { flow } else { gateway.until("telemetry-to-adx", "done", done).await };
    assert_eq!(flow["state"], "running");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while kusto.rows("plant", "Telemetry").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "no row: {flow}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        kusto.rows("plant", "Telemetry"),
        [[json!("oven"), json!(180.5), json!("2026-11-29T08:00:00Z")]]
    );
    let report = tidegate().args(["check"]).arg(repository().join("examples/adx")).output().await.unwrap();
    assert!(report.status.success());
}
