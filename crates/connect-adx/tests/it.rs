//! The sink and a double of the cluster, which Microsoft's own clients have been shown to work with.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_connect::{Context, Credentials, FlowIdentity, LocalBroker};
use tidegate_connect_adx::open_sink;
use tidegate_core::{LogPosition, Record, Secret, Sink, WriteError};
use tidegate_identity::{Identity, Token, TokenError, Tokens};
use tidegate_model::endpoint::{Authentication, Batching, DataExplorer, Endpoint, Ingestion, Settings};
use tidegate_model::names::{HostPort, ResourceName};
use tidegate_model::schema::{DeltaField, DeltaType};
use tidegate_testkit::{
    Azurite, Kusto, KustoFault, StorageAccount, StorageFault, StorageFront, azure_kusto_python,
};
use tokio::io::AsyncWriteExt;

const PATIENCE: Duration = Duration::from_secs(120);
const TABLE: &str = ".create table T (n:long, b:dynamic)";

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
    async fn token(&self, identity: &Identity) -> Result<Token, TokenError> {
        assert_eq!(*identity, Identity::SystemAssigned { audience: "https://api.kusto.windows.net".into() });
        Ok(Token { value: Secret::new(b"token".to_vec()), renew_after: PATIENCE })
    }
}

struct World {
    kusto: Kusto,
    _azurite: Azurite,
    journals: TempDir,
    ingestion: Ingestion,
    /// Payloads and reasons of dead letters.
    buried: Arc<Mutex<Vec<(String, String)>>>,
}

impl World {
    async fn new(commands: &[&str]) -> Self {
        let azurite = Azurite::start().await;
        let kusto = Kusto::start(azurite.accounts()).await;
        Self::of(azurite, kusto, commands)
    }

    fn of(azurite: Azurite, kusto: Kusto, commands: &[&str]) -> Self {
        for command in commands {
            kusto.execute("db", command).unwrap();
        }
        let journals = tempfile::tempdir().unwrap();
        Self { kusto, _azurite: azurite, journals, ingestion: Ingestion::default(), buried: Arc::default() }
    }

    fn sink(&self) -> Box<dyn Sink> {
        let adx = DataExplorer {
            host: self.kusto.url(),
            database: "db".into(),
            authentication: Authentication::SystemAssignedManagedIdentity { audience: None },
            batching: Batching { latency: Duration::ZERO, messages_max: Some(1000) },
            ingestion: self.ingestion.clone(),
        };
        let endpoint = Endpoint {
            name: ResourceName::parse("adx").unwrap(),
            namespace: "ns".into(),
            host_type: None,
            settings: Settings::DataExplorer(adx.clone()),
        };
        let context = Context {
            flow: FlowIdentity {
                namespace: "ns".into(),
                profile: "default".into(),
                dataflow: "flow".into(),
                instance_index: 0,
                instance_count: 1,
            },
            request_disk_persistence: false,
            local_broker: LocalBroker::Remote {
                address: HostPort::parse("localhost:1").unwrap(),
                tls: false,
            },
            credentials: Arc::new(Nothing),
            tokens: Arc::new(Nothing),
        };
        let column = |name: &str, data_type| DeltaField { name: name.into(), data_type, nullable: true };
        let columns = [column("n", DeltaType::Long), column("b", DeltaType::Struct(vec![]))];
        let buried = self.buried.clone();
        let bury = move |record: Record, reason| {
            let payload = String::from_utf8(record.payload.to_vec()).unwrap();
            buried.lock().unwrap().push((payload, reason));
        };
        open_sink(&endpoint, &adx, "T", Some(&columns), &context, (self.journals.path(), Arc::new(bury)))
            .unwrap()
    }

    /// Column `n`, in order.
    fn numbers(&self) -> Vec<i64> {
        let rows = self.kusto.rows("db", "T");
        let mut numbers: Vec<i64> = rows.iter().map(|row| row[0].as_i64().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Waits until these are there, and each of them once.
    async fn until_numbers(&self, expected: impl IntoIterator<Item = i64>) {
        let expected: Vec<i64> = expected.into_iter().collect();
        until("the rows are there", async || self.numbers().len() >= expected.len()).await;
        assert_eq!(self.numbers(), expected);
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn record(payload: String, number: u64) -> Record {
    let mut record = Record::new("in/a", payload, Instant::now());
    record.position = Some(LogPosition { log: 7, number });
    record
}

/// Records of a log.
fn records(numbers: Range<u64>) -> Vec<Record> {
    numbers.map(|n| record(json!({ "n": n, "b": { "c": "x" } }).to_string(), n)).collect()
}

fn reason_of(result: Result<(), WriteError>) -> (String, String) {
    match result {
        Err(WriteError::Fatal(t) | WriteError::Retry { trouble: t, .. }) => (t.reason.to_string(), t.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_that_of_microsofts_client() {
    let world = World::new(&[TABLE]).await;
    world.sink().write(&records(0..100)).await.unwrap();
    world.until_numbers(0..100).await;
    assert_eq!(world.kusto.rows("db", "T")[0], [json!(0), json!({ "c": "x" })], "columns are found by name");
    let ours = world.kusto.messages().remove(0);

    // the same lines, by the same options
    let lines: String =
        records(0..100).iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap() + "\n").collect();
    let tag = "tidegate/ns/flow/0/7/0-99";
    let options = json!({
        "column_mappings": [["n", "long", "$['n']"], ["b", "dynamic", "$['b']"]],
        "ingest_by_tags": [tag], "ingest_if_not_exists": [tag],
        "report_level": 2, "flush_immediately": false,
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles/azure-kusto/ingest.py");
    let mut child = tokio::process::Command::new(azure_kusto_python())
        .arg(script)
        .args(["queued", &world.kusto.url(), "db", "T", &options.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    until("the message is taken", async || world.kusto.messages().len() == 2).await;
    let theirs = world.kusto.messages().remove(1);

    // what names itself, the blob and the time
    let plain = |mut message: Value| {
        let all = message.as_object_mut().unwrap();
        for own in ["ApplicationForTracing", "ClientVersionForTracing"] {
            assert!(all[own].is_string());
            all[own] = json!("");
        }
        let id = all["Id"].as_str().unwrap().to_owned();
        let blob = all["BlobPath"].as_str().unwrap().to_owned();
        let (path, signature) = blob.split_once('?').unwrap();
        assert!(path.contains(&format!("/db__T__{id}__")) && path.ends_with(".gz"), "{path}");
        assert!(signature.contains("sig="));
        all["BlobPath"] = json!("");
        assert_eq!(
            all["SourceMessageCreationTime"].as_str().unwrap().len(),
            "2026-01-01T00:00:00.000000".len()
        );
        all["SourceMessageCreationTime"] = json!("");
        all["Id"] = json!("");
        message
    };
    let (mut ours, theirs) = (plain(ours), plain(theirs));
    // this the Python client can't: reports into the table, as the clients for Java and .NET ask for them
    let table = ours.as_object_mut().unwrap().remove("IngestionStatusInTable").unwrap();
    assert!(table["TableConnectionString"].as_str().unwrap().contains("/ingestionsstatus?"), "{table}");
    assert_eq!(std::mem::replace(&mut ours["ReportMethod"], json!(0)), json!(1));
    assert_eq!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_come_again_are_not_ingested_again() {
    let world = World::new(&[TABLE]).await;
    let sink = world.sink();
    sink.write(&records(0..100)).await.unwrap();
    drop(sink);
    // after a crash they are cut up differently
    let sink = world.sink();
    sink.write(&records(50..150)).await.unwrap();
    // and one of them was never one for a table
    let mut again = records(90..160);
    again[3] = record("nonsense".into(), 93);
    let Err(WriteError::Reject(rejected)) = sink.write(&again).await else { panic!("one is none") };
    assert_eq!(rejected.iter().map(|r| r.index).collect::<Vec<_>>(), [3]);
    world.until_numbers(0..160).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_it_crashes_nothing_is_missing_and_nothing_twice() {
    let world = World::new(&[TABLE]).await;
    let mut from = 0;
    for crash in 0..30 {
        let sink = world.sink();
        // the futures are dropped; requests that are on their way arrive all the same
        let all = records(from..from + 50);
        let _ = tokio::time::timeout(Duration::from_millis(crash * 3), sink.write(&all)).await;
        drop(sink);
        let sink = world.sink();
        sink.write(&records(from..from + 60)).await.unwrap();
        from += 60;
    }
    world.until_numbers(0..i64::try_from(from).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_account_that_refuses_is_passed_over() {
    let azurite = Azurite::start().await;
    let [first, second] = azurite.accounts() else { panic!("there are two") };
    let blobs = StorageFront::account(first).await;
    let its_queues = StorageAccount { blobs: first.queues.clone(), ..first.clone() };
    let queues = StorageFront::account(&its_queues).await;
    let fronted = StorageAccount { blobs: blobs.url(), queues: queues.url(), ..first.clone() };
    let kusto = Kusto::start(&[fronted, second.clone()]).await;
    let world = World::of(azurite, kusto, &[TABLE]);
    let sink = world.sink();
    let mut from = 0;
    for (of_blobs, of_queues) in [
        (None, None),
        (Some(StorageFault::Busy), None),
        (None, Some(StorageFault::Forbidden)),
        (Some(StorageFault::Forbidden), Some(StorageFault::Busy)),
    ] {
        blobs.set_fault(of_blobs);
        queues.set_fault(of_queues);
        for _ in 0..5 {
            sink.write(&records(from..from + 100)).await.unwrap();
            from += 100;
        }
        // what is in an account must be out of it before that fails
        blobs.set_fault(None);
        queues.set_fault(None);
        world.until_numbers(0..i64::try_from(from).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_passes_is_waited_out() {
    let world = World::new(&[TABLE]).await;
    let sink = world.sink();
    world.kusto.fail_ingestions(2);
    sink.write(&records(0..100)).await.unwrap();
    let mut from = 100;
    // nothing more is taken while it lasts, and it is said why
    until("it is noticed", async || {
        let result = sink.write(&records(from..from + 1)).await;
        from += u64::from(result.is_ok());
        result.is_err_and(|e| e.to_string().contains("General_InternalServerError"))
    })
    .await;
    until("it is over", async || sink.write(&records(from..from + 1)).await.is_ok()).await;
    world.until_numbers(0..=i64::try_from(from).unwrap()).await;
    assert!(world.buried.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_for_a_missing_table_waits_for_it_over_a_crash() {
    let world = World::new(&[]).await;
    let sink = world.sink();
    sink.write(&records(0..100)).await.unwrap();
    let mut from = 100;
    let mut said = (String::new(), String::new());
    until("it is noticed", async || {
        let result = sink.write(&records(from..from + 1)).await;
        from += u64::from(result.is_ok());
        let failed = result.is_err();
        if failed {
            said = reason_of(result);
        }
        failed
    })
    .await;
    assert_eq!(said.0, "DataflowAdxTargetConfigurationError");
    assert!(said.1.contains("'T' of kind 'Table' was not found in database 'db'"), "{}", said.1);
    drop(sink);
    let sink = world.sink();
    world.kusto.execute("db", TABLE).unwrap();
    until("it goes on", async || sink.write(&records(from..from + 1)).await.is_ok()).await;
    world.until_numbers(0..=i64::try_from(from).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_kusto_can_t_ingest_is_a_dead_letter_and_takes_no_other_with_it() {
    let world = World::new(&[TABLE]).await;
    let sink = world.sink();
    let mut all = records(0..400);
    // more than fits into a dynamic column
    let large = json!({ "n": 123, "b": { "c": "x".repeat(1 << 20) } }).to_string();
    all[123] = record(large.clone(), 123);
    sink.write(&all).await.unwrap();
    until("it is a dead letter", async || !world.buried.lock().unwrap().is_empty()).await;
    world.until_numbers((0..400).filter(|n| *n != 123)).await;
    let buried = world.buried.lock().unwrap().clone();
    assert_eq!(buried.len(), 1);
    assert!(buried[0].0 == large && buried[0].1.contains("Stream_DynamicPropertyBagTooLarge"));
    // the sink takes more all the while
    sink.write(&records(400..401)).await.unwrap();
    world.until_numbers((0..401).filter(|n| *n != 123)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_batches_are_streamed_and_go_by_the_queue_where_that_is_not_possible() {
    let mut world = World::new(&[TABLE]).await;
    world.ingestion.streaming = true;
    let sink = world.sink();
    sink.write(&records(0..100)).await.unwrap();
    assert_eq!((world.kusto.streamed(), world.kusto.messages().len()), (1, 0));
    world.until_numbers(0..100).await;
    for (round, fault) in [KustoFault::StreamingOff, KustoFault::Throttle].into_iter().enumerate() {
        let from = 100 + round as u64 * 10;
        world.kusto.set_fault(fault, 1);
        sink.write(&records(from..from + 10)).await.unwrap();
        world.until_numbers(0..i64::try_from(from).unwrap() + 10).await;
        assert_eq!((world.kusto.streamed(), world.kusto.messages().len()), (1, round + 1));
    }
    // the same record that the queue can't ingest, and the others with it
    let mut all = records(120..130);
    all[4] = record(json!({ "n": 124, "b": { "c": "x".repeat(2 << 20) } }).to_string(), 124);
    sink.write(&all).await.unwrap();
    world.until_numbers((0..130).filter(|n| *n != 124)).await;
    // what comes again after a crash is not streamed again
    drop(sink);
    for _ in 0..2 {
        let sink = world.sink();
        sink.write(&records(130..140)).await.unwrap();
        assert_eq!(world.kusto.streamed(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_says_what_is_to_be_done() {
    let mut world = World::new(&[]).await;
    let sink = world.sink();
    world.kusto.set_fault(KustoFault::Unauthorized, 1);
    let (reason, message) = reason_of(sink.prepare().await);
    assert_eq!(reason, "DataflowAdxTargetAuthenticationFailed");
    assert!(message.contains("does not accept the token"), "{message}");
    world.kusto.set_fault(KustoFault::Forbidden, 1);
    let (reason, message) = reason_of(sink.prepare().await);
    assert_eq!(reason, "DataflowAdxTargetAuthenticationFailed");
    assert!(message.contains(".add database ['<database>'] ingestors"), "{message}");
    world.kusto.set_fault(KustoFault::Throttle, 1);
    let (reason, message) = reason_of(sink.prepare().await);
    assert_eq!(reason, "DataflowAdxTargetSendFailed");
    assert!(message.contains("throttles"), "{message}");
    sink.prepare().await.unwrap();
    world.ingestion.streaming = true;
    let (reason, message) = reason_of(world.sink().write(&records(0..1)).await);
    assert_eq!(reason, "DataflowAdxTargetConfigurationError");
    assert!(message.contains("BadRequest_EntityNotFound"), "{message}");
}
