//! Storage as destination: what the readers that people use find in the folders.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tidegate_testkit::{Azurite, FaultProxy, Mosquitto, MosquittoOptions};
use tokio::process::Command;

use crate::client::publish_as;
use crate::gateway::{Gateway, PLAIN, mqtt_endpoint, repository};

/// An endpoint for the volume `archive`.
const STORAGE: &str = r"---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: { name: storage, namespace: azure-iot-operations }
spec:
  endpointType: LocalStorage
  localStorageSettings: { persistentVolumeClaimRef: archive }
";

pub(crate) fn schema(version: u32, fields: &Value) -> String {
    let content = json!({
        "$schema": "Delta/1.0", "type": "object", "properties": { "type": "struct", "fields": fields },
    });
    format!(
        "---\napiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {{ name: row-{version}, namespace: azure-iot-operations }}\n\
         spec:\n  version: \"1\"\n  format: Delta/1.0\n  content: '{content}'\n"
    )
}

/// A flow from topic `in` of the local broker into a folder of its own name.
pub(crate) fn flow(name: &str, format: &str, version: u32) -> String {
    format!(
        "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: Dataflow\n\
         metadata: {{ name: {name}, namespace: azure-iot-operations }}\nspec:\n  profileRef: default\n  operations:\n    \
         - operationType: Source\n      sourceSettings: {{ endpointRef: default, dataSources: [in] }}\n    \
         - operationType: BuiltInTransformation\n      builtInTransformationSettings:\n        \
         serializationFormat: {format}\n        schemaRef: aio-sr://row-{version}:1\n        \
         map: [{{ inputs: ['*'], output: '*' }}]\n    \
         - operationType: Destination\n      destinationSettings: {{ endpointRef: storage, dataDestination: {name} }}\n"
    )
}

/// Runs flows; gives the folder of the volume as well.
async fn run(resources: &str, args: &[&str]) -> (Gateway, PathBuf) {
    run_on(resources, args, |_| ()).await
}

/// The same, `prepare` having been called with where the folder is to be.
async fn run_on(resources: &str, args: &[&str], prepare: impl FnOnce(&Path)) -> (Gateway, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resources.yaml");
    std::fs::write(&path, resources).unwrap();
    let volume = dir.path().join("volume");
    prepare(&volume);
    let archive = format!("archive={}", volume.display());
    let mut all = vec!["-q", "--volume", &archive];
    all.extend(args);
    if !args.contains(&"--broker") {
        all.extend(["--mqtt-listen", "127.0.0.1:0"]);
    }
    let path = path.display().to_string();
    all.push(&path);
    (Gateway::start(dir, all.into_iter().map(str::to_owned).collect()).await, volume)
}

/// What `rows.py` says.
pub(crate) async fn rows_py(args: &[&str]) -> Result<String, String> {
    python("rows.py", args).await
}

/// What a script says; `tests/peers/lake.sh` installs its libraries.
async fn python(script: &str, args: &[&str]) -> Result<String, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let python = cache.join("tidegate-test/lake-1/bin/python");
    assert!(python.exists(), "the readers are not there; tests/peers/lake.sh installs them");
    let output = Command::new(python)
        .arg(repository().join("oracles/lake").join(script))
        .args(args)
        .output()
        .await
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The rows of a folder, as all readers see them.
async fn rows(kind: &str, folder: &Path, order: &str) -> Vec<Value> {
    let lines = rows_py(&[kind, folder.to_str().unwrap(), order]).await.unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many rows, how many different ones, the smallest and the largest.
pub(crate) async fn count(kind: &str, folder: &Path) -> Value {
    let line = rows_py(&["count", kind, folder.to_str().unwrap(), "n"]).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

async fn send(gateway: &Gateway, messages: &[String]) {
    publish_as(gateway.port(), "in", 0..messages.len() as u64, 1, |n| messages[n as usize].clone()).await;
}

pub(crate) fn settled(n: u64) -> impl Fn(&Value) -> bool {
    move |flow| flow["messages"]["inFlight"] == 0 && flow["messages"]["accepted"].as_u64() >= Some(n)
}

/// Written as soon as it comes.
const AT_ONCE: [&str; 2] = ["--local-storage-latency", "0s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_in_delta_tables_and_parquet_files_and_what_does_not_fit_is_a_dead_letter() {
    let field = |name: &str, r#type: Value, nullable: bool| json!({ "name": name, "type": r#type, "nullable": nullable, "metadata": {} });
    let fields = json!([
        field("id", json!("long"), false),
        field("text", json!("string"), true),
        field("an integer", json!("integer"), true),
        field("short", json!("short"), true),
        field("byte", json!("byte"), true),
        field("float", json!("float"), true),
        field("double", json!("double"), true),
        field("boolean", json!("boolean"), true),
        field("binary", json!("binary"), true),
        field("date", json!("date"), true),
        field("at", json!("timestamp"), true),
        field("wall", json!("timestamp_ntz"), true),
        field("price", json!("decimal(9,2)"), true),
        field("exact", json!({ "type": "decimal", "precision": 38, "scale": 10 }), true),
        field(
            "machine",
            json!({ "type": "struct", "fields": [
                field("line", json!("string"), true),
                field("place", json!({ "type": "struct", "fields": [field("hall", json!("integer"), false)] }), true),
            ]}),
            true
        ),
        field("samples", json!({ "type": "array", "elementType": "double", "containsNull": true }), true),
        field(
            "alarms",
            json!({ "type": "array", "elementType": { "type": "struct", "fields": [
            field("code", json!("string"), true), field("since", json!("timestamp"), true),
        ]}, "containsNull": false }),
            true
        ),
    ]);
    let resources = STORAGE.to_owned()
        + &schema(1, &fields)
        + &flow("delta", "Delta", 1)
        + &flow("parquet", "Parquet", 1);
    let (mut gateway, volume) = run(&resources, &AT_ONCE).await;
    let good = [
        json!({
            "id": 1, "text": "Größe \u{1F321} \"x\"\n", "an integer": -2_147_483_648, "short": 32767, "byte": -128, "float": 1.5,
            "double": -2.5e-300, "boolean": true, "binary": "AAH/", "date": "2024-02-29",
            "at": "2026-11-29T06:48:38.123456Z", "wall": "2026-11-29T06:48:38", "price": -12.34,
            "exact": "1234567890123456789012345678.0123456789",
            "machine": { "line": "a", "place": { "hall": 7 } }, "samples": [1, null, 2.5],
            "alarms": [{ "code": "E1", "since": "2026-01-01T00:00:00+02:00" }, { "code": null }],
        }),
        // nothing but what must be there
        json!({ "id": 2 }),
        json!({ "id": 3, "text": null, "machine": null, "samples": [], "alarms": [] }),
        // what is made to fit: AIO's conversions
        json!({
            "id": "4", "text": 12.5, "an integer": 5.9, "float": 3, "double": "0.5", "binary": [0, 255],
            "date": "2026-01-02T03:04:05Z", "at": "2026-01-02T03:04:05.123456789+01:00", "price": "7.129", "exact": 5,
            "machine": { "line": null }, "samples": [1],
        }),
        // a number of 64 bits is kept to the last digit
        json!({ "id": i64::MAX, "an integer": 0 }),
    ];
    let bad = [
        ("no json", "JSON"),
        (r#"{"id":10,"unknown":1}"#, "could not set a field unknown, it does not exist by the schema"),
        (r#"{"text":"x"}"#, "found missing property that is not nullable: id"),
        (r#"{"id":null}"#, "field 'id' is not nullable"),
        (r#"{"id":11,"machine":5}"#, "could not set a field machine"),
        (r#"{"id":12,"machine":{"place":{}}}"#, "machine.place.hall"),
        (r#"{"id":13,"at":"yesterday"}"#, "field 'at' holds times"),
        (r#"{"id":14,"price":12345678901}"#, "field 'price' holds decimal numbers"),
        (r#"{"id":15,"samples":[1,"x"]}"#, "samples"),
        (r#"{"id":16,"alarms":[null]}"#, "alarms"),
        (r#"{"id":17,"float":1e300}"#, "float"),
        (r#"{"id":18,"boolean":"yes"}"#, "boolean"),
        (r#"{"id":19,"binary":"%"}"#, "binary"),
        ("[1]", ""),
    ];
    let mut messages: Vec<String> = good.iter().map(Value::to_string).collect();
    // good ones before, between and after
    for (n, (message, _)) in bad.iter().enumerate() {
        messages.insert((2 * n).min(messages.len()), (*message).to_owned());
    }
    send(&gateway, &messages).await;
    let nothing = json!({
        "id": null, "text": null, "an integer": null, "short": null, "byte": null, "float": null, "double": null,
        "boolean": null, "binary": null, "date": null, "at": null, "wall": null, "price": null, "exact": null,
        "machine": null, "samples": null, "alarms": null,
    });
    let with = |values: Value| {
        let mut row = nothing.clone();
        row.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        row
    };
    let expected = [
        with(json!({
            "id": 1, "text": "Größe \u{1F321} \"x\"\n", "an integer": -2_147_483_648, "short": 32767, "byte": -128, "float": 1.5,
            "double": -2.5e-300, "boolean": true, "binary": "0001ff", "date": "2024-02-29",
            "at": "2026-11-29T06:48:38.123456Z", "wall": "2026-11-29T06:48:38.000000", "price": "-12.34",
            "exact": "1234567890123456789012345678.0123456789",
            "machine": { "line": "a", "place": { "hall": 7 } }, "samples": [1.0, null, 2.5],
            "alarms": [
                { "code": "E1", "since": "2025-12-31T22:00:00.000000Z" }, { "code": null, "since": null },
            ],
        })),
        with(json!({ "id": 2 })),
        with(json!({ "id": 3, "samples": [], "alarms": [] })),
        with(json!({
            "id": 4, "text": "12.5", "an integer": 5, "float": 3.0, "double": 0.5, "binary": "00ff", "date": "2026-01-02",
            "at": "2026-01-02T02:04:05.123456Z", "price": "7.12", "exact": "5.0000000000",
            "machine": { "line": null, "place": null }, "samples": [1.0],
        })),
        with(json!({ "id": i64::MAX, "an integer": 0 })),
    ];
    for (name, kind) in [("delta", "delta"), ("parquet", "parquet")] {
        let flow = gateway.until(name, "settled", settled(messages.len() as u64)).await;
        assert_eq!(flow["messages"]["delivered"], good.len(), "{flow}");
        assert_eq!(flow["messages"]["deadLettered"], bad.len(), "{flow}");
        assert_eq!(rows(kind, &volume.join(name), "id").await, expected, "{name}");
        let (_, letters) = gateway.get(&format!("/api/v1/dataflows/{name}/dead-letters")).await;
        let letters: Value = serde_json::from_str(&letters).unwrap();
        let reasons: Vec<&str> = letters["deadLetters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["reason"].as_str().unwrap())
            .collect();
        for (message, expected) in &bad {
            assert!(reasons.iter().any(|reason| reason.contains(expected)), "{message}: {reasons:#?}");
        }
    }
    // the table and the files take more after a restart
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    send(&gateway, &[json!({ "id": 100 }).to_string()]).await;
    for (name, kind) in [("delta", "delta"), ("parquet", "parquet")] {
        gateway.until(name, "settled", settled(messages.len() as u64 + 1)).await;
        let rows = rows(kind, &volume.join(name), "id").await;
        assert_eq!((rows.len(), &rows[4]), (good.len() + 1, &with(json!({ "id": 100 }))), "{name}");
    }
}

/// `TIDEGATE_TEST_LAKE_MESSAGES` says how many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_every_type_are_all_there_with_the_right_values() {
    const PART: u64 = 100_000;
    let total: u64 = std::env::var("TIDEGATE_TEST_LAKE_MESSAGES").map_or(5000, |n| n.parse().unwrap());
    let field = |name: &str, r#type: Value| json!({ "name": name, "type": r#type, "nullable": name != "id", "metadata": {} });
    let primitive = |name: &str, r#type: &str| field(name, json!(r#type));
    let fields = json!([
        primitive("id", "long"),
        primitive("text", "string"),
        primitive("an integer", "integer"),
        primitive("short", "short"),
        primitive("byte", "byte"),
        primitive("float", "float"),
        primitive("double", "double"),
        primitive("boolean", "boolean"),
        primitive("binary", "binary"),
        primitive("date", "date"),
        primitive("at", "timestamp"),
        primitive("wall", "timestamp_ntz"),
        primitive("price", "decimal(9,2)"),
        primitive("exact", "decimal(38,10)"),
        field(
            "machine",
            json!({ "type": "struct", "fields": [
                primitive("line", "string"),
                field("place", json!({ "type": "struct", "fields": [primitive("hall", "integer")] })),
            ]})
        ),
        field("samples", json!({ "type": "array", "elementType": "double", "containsNull": true })),
    ]);
    // `oracles/lake/every_type.py` makes the same of a number
    let message = |n: u64| {
        let (second, micros) = (n % 2_419_200, n % 1_000_000);
        let time =
            format!("{:02}:{:02}:{:02}.{micros:06}", second / 3600 % 24, second / 60 % 60, second % 60);
        let at = format!("2026-11-{:02}T{time}", 1 + second / 86400);
        let signed = n as i64;
        let mut message = json!({
            "id": n, "text": format!("row {n}"), "an integer": signed * 7919 % (1 << 31) - (1 << 30),
            "short": signed % 65536 - 32768, "byte": signed % 256 - 128, "float": n as f64 / 8.0, "double": n as f64 / 7.0,
            "boolean": n.is_multiple_of(3), "binary": [n % 256, n / 256 % 256],
            "date": format!("2026-{:02}-{:02}", 1 + n % 12, 1 + n % 28), "at": at.clone() + "Z", "wall": at,
            "price": format!("{}.{:02}", n % 999_999_999 / 100, n % 999_999_999 % 100),
            "exact": format!("{}.{:010}", u128::from(n) * 100_000_000, n),
            "machine": { "line": format!("line {}", n % 10), "place": { "hall": n % 9 } },
            "samples": [n, null, n as f64 / 2.0],
        });
        if n.is_multiple_of(10) {
            message.as_object_mut().unwrap().remove("text");
        }
        message.to_string()
    };
    let resources = STORAGE.to_owned()
        + &schema(1, &fields)
        + &flow("delta", "Delta", 1)
        + &flow("parquet", "Parquet", 1);
    let (gateway, volume) = run(&resources, &["--local-storage-latency", "2s"]).await;
    let started = std::time::Instant::now();
    for first in (0..total).step_by(PART as usize) {
        publish_as(gateway.port(), "in", first..total.min(first + PART), 1000, message).await;
    }
    for name in ["delta", "parquet"] {
        let flow = gateway.until(name, "settled", settled(total)).await;
        assert_eq!(flow["messages"]["delivered"], total, "{flow}");
    }
    println!("{total} messages took {:.0?}", started.elapsed());
    for name in ["delta", "parquet"] {
        let folder = volume.join(name);
        let found = python("every_type.py", &[name, folder.to_str().unwrap(), &total.to_string()]).await;
        println!("{name}, {} files\n{}", files(name, &folder).await.len(), found.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_aio_a_message_without_what_must_be_there_takes_its_batch_with_it() {
    let azurite = Azurite::start().await;
    let account = &azurite.accounts()[0];
    let port = account.blobs.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1.parse().unwrap();
    let endpoint = data_lake(port, &account.name, &account.signature())
        .replace("latencySeconds: 0", "latencySeconds: 3600, maxMessages: 3");
    let fields = json!([{ "name": "n", "type": "long", "nullable": false, "metadata": {} }]);
    let container = format!("{}/table?{}", account.blobs, account.signature());
    rows_py(&["container", &container]).await.unwrap();
    let resources = endpoint + &schema(1, &fields) + &flow("table", "Delta", 1);
    let (gateway, _) = run(&resources, &["--compat", "aio"]).await;
    // a batch is full with three
    let batches = [
        ["{\"n\":1}", "{\"n\":2}", "{}"],
        ["{\"n\":null}", "{\"n\":3}", "{\"n\":4}"],
        ["{\"n\":5}", "{\"m\":6}", "{\"n\":7}"],
    ];
    let mut sent = 0;
    for batch in batches {
        send(&gateway, &batch.map(str::to_owned)).await;
        sent += 3;
        gateway.until("table", "settled", settled(sent)).await;
    }
    let copy = gateway.dir.path().join("copy");
    rows_py(&["fetch", &container, copy.to_str().unwrap()]).await.unwrap();
    assert_eq!(rows("delta", &copy.join("table"), "n").await, [json!({ "n": 5 }), json!({ "n": 7 })]);
    let (_, letters) = gateway.get("/api/v1/dataflows/table/dead-letters").await;
    let letters: Value = serde_json::from_str(&letters).unwrap();
    let reasons: Vec<&str> =
        letters["deadLetters"].as_array().unwrap().iter().map(|l| l["reason"].as_str().unwrap()).collect();
    let with = |text: &str| reasons.iter().filter(|reason| reason.contains(text)).count();
    assert_eq!(
        (reasons.len(), with("dropping it"), with("could not set a field m")),
        (7, 4, 1),
        "{reasons:#?}"
    );
}

pub(crate) fn numbered() -> Value {
    json!([
        { "name": "n", "type": "long", "nullable": true, "metadata": {} },
        { "name": "text", "type": "string", "nullable": true, "metadata": {} },
    ])
}

/// `TIDEGATE_TEST_LAKE_KILLS` says how many times the writer is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_moment_writes_every_row_once() {
    const ROWS_A_KILL: u64 = 600;
    let kills: u64 = std::env::var("TIDEGATE_TEST_LAKE_KILLS").map_or(10, |n| n.parse().unwrap());
    let total = kills * ROWS_A_KILL;
    let resources = STORAGE.to_owned()
        + &schema(1, &numbered())
        + &flow("delta", "Delta", 1)
        + &flow("parquet", "Parquet", 1);
    let args = ["--local-storage-latency", "0s", "--spool-drain-rate", "3000"];
    // the volume is no folder at first, so that everything comes to lie in the spools before the first kill
    let (mut gateway, volume) = run_on(&resources, &args, |volume| std::fs::write(volume, "").unwrap()).await;
    let row = |n: u64| json!({ "n": n, "text": format!("row {n}") }).to_string();
    for first in (0..total).step_by(10_000) {
        publish_as(gateway.port(), "in", first..total.min(first + 10_000), 1000, row).await;
    }
    for name in ["delta", "parquet"] {
        gateway.until(name, "in the spool", |f| f["messages"]["accepted"] == total).await;
    }
    assert_eq!(gateway.stop().await, Some(0));
    std::fs::remove_file(&volume).unwrap();
    let mut random = StdRng::seed_from_u64(500);
    for _ in 0..kills {
        gateway.restart().await;
        // a moment like any other
        tokio::time::sleep(std::time::Duration::from_millis(random.random_range(0..400))).await;
        gateway.kill_9().await;
    }
    gateway.restart().await;
    for name in ["delta", "parquet"] {
        gateway.until(name, "settled", settled(total)).await;
        assert_eq!(count(name, &volume.join(name)).await, json!([total, total, 0, total - 1]), "{name}");
    }
}

/// Rows of a folder's files.
async fn files(kind: &str, folder: &Path) -> Vec<u64> {
    let line = rows_py(&["files", kind, folder.to_str().unwrap()]).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_and_other_engines_write_to_one_table_and_its_checkpoints_are_read() {
    const ROWS: u64 = 10_000;
    const APPENDS: i64 = 12;
    let mut resources = STORAGE.to_owned() + &schema(1, &numbered());
    for name in ["one", "two"] {
        let flow = flow(name, "Delta", 1).replace("dataDestination: one", "dataDestination: shared");
        resources += &flow
            .replace("dataDestination: two", "dataDestination: shared")
            .replace("[in]", &format!("[{name}]"));
    }
    let args = ["--local-storage-latency", "10ms", "--spool-drain-rate", "6000"];
    let (mut gateway, volume) = run(&resources, &args).await;
    let table = volume.join("shared");
    let port = gateway.port();
    let row = |n: u64| json!({ "n": n, "text": "ours" }).to_string();
    // the table is there
    publish_as(port, "one", 0..1, 1, row).await;
    gateway.until("one", "settled", settled(1)).await;
    tokio::join!(
        publish_as(port, "one", 1..ROWS, 1000, row),
        publish_as(port, "two", ROWS..2 * ROWS, 1000, row),
        async {
            for n in 1..=APPENDS {
                // it tries again when it comes second; the fifth brings a column that nobody knows
                let mut rows = json!([{ "n": -n, "text": "theirs" }]);
                if n == 5 {
                    rows[0]["new"] = json!(1.5);
                }
                rows_py(&["append", table.to_str().unwrap(), &rows.to_string()]).await.unwrap();
                if n == 1 {
                    rows_py(&["compact", table.to_str().unwrap()]).await.unwrap();
                }
            }
        },
    );
    for name in ["one", "two"] {
        gateway.until(name, "settled", settled(ROWS)).await;
    }
    let (mut sent, theirs) = (ROWS, u64::try_from(APPENDS).unwrap());
    let expected = |one: u64| {
        let total = one + ROWS + theirs;
        json!([total, total, -APPENDS, one.max(ROWS) + ROWS - 1])
    };
    assert_eq!(count("delta", &table).await, expected(sent));
    // readers and we ourselves get along with the newest checkpoint and what comes after it
    let log = table.join("_delta_log");
    let names = || -> Vec<String> {
        std::fs::read_dir(&log).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    let more = async |gateway: &Gateway, sent: &mut u64| {
        publish_as(gateway.port(), "one", *sent + ROWS..*sent + ROWS + 1, 1, row).await;
        *sent += 1;
        gateway.until("one", "settled", settled(*sent)).await;
    };
    let newest = loop {
        let newest = names().into_iter().filter(|name| name.ends_with(".checkpoint.parquet")).max();
        match newest {
            Some(newest) => break newest,
            None => more(&gateway, &mut sent).await,
        }
    };
    for name in names().iter().filter(|name| name.ends_with(".json") && **name < newest) {
        std::fs::remove_file(log.join(name)).unwrap();
    }
    assert_eq!(count("delta", &table).await, expected(sent));
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    more(&gateway, &mut sent).await;
    assert_eq!(count("delta", &table).await, expected(sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_may_grow_and_what_can_not_be_brought_together_stops_its_flow_alone() {
    let column =
        |name: &str, r#type: &str| json!({ "name": name, "type": r#type, "nullable": true, "metadata": {} });
    let with = |more: Vec<Value>| {
        let mut fields = numbered();
        fields.as_array_mut().unwrap().extend(more);
        fields
    };
    let schemas = schema(1, &numbered())
        + &schema(2, &with(vec![column("level", "double")]))
        + &schema(3, &with(vec![column("level", "string")]));
    let resources = |version| {
        STORAGE.to_owned() + &schemas + &flow("table", "Delta", version) + &flow("files", "Parquet", 1)
    };
    let (mut gateway, volume) = run(&resources(1), &AT_ONCE).await;
    let table = volume.join("table");
    send(&gateway, &[json!({ "n": 1 }).to_string()]).await;
    gateway.until("table", "settled", settled(1)).await;
    let change = async |gateway: &mut Gateway, version| {
        assert_eq!(gateway.stop().await, Some(0));
        std::fs::write(gateway.dir.path().join("resources.yaml"), resources(version)).unwrap();
        gateway.restart().await;
    };
    change(&mut gateway, 2).await;
    send(&gateway, &[json!({ "n": 2, "level": 0.5 }).to_string()]).await;
    gateway.until("table", "settled", settled(2)).await;
    let grown =
        [json!({ "n": 1, "text": null, "level": null }), json!({ "n": 2, "text": null, "level": 0.5 })];
    assert_eq!(rows("delta", &table, "n").await, grown);
    change(&mut gateway, 3).await;
    send(&gateway, &[json!({ "n": 3 }).to_string()]).await;
    let troubled = gateway.until("table", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(troubled["health"]["reasonCode"], "DataflowDeltaLakeTargetConfigurationError");
    let message = troubled["health"]["message"].as_str().unwrap();
    assert!(
        message.contains("column `level` is `double` in the table and `string` in the schema"),
        "{message}"
    );
    // the message of two has a member that the schema of the files doesn't know
    gateway.until("files", "settled", settled(3)).await;
    assert_eq!(rows("parquet", &volume.join("files"), "n").await.len(), 2);
    assert_eq!(rows("delta", &table, "n").await, grown);
    change(&mut gateway, 2).await;
    gateway.until("table", "settled", settled(3)).await;
    assert_eq!(rows("delta", &table, "n").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_window_of_a_remote_source_does_not_make_small_files() {
    let source = Mosquitto::start(MosquittoOptions::default()).await;
    let broker = format!("mqtt://127.0.0.1:{}", source.port());
    let remote =
        mqtt_endpoint("remote", "aio-broker:18883", &format!("{PLAIN}    maxInflightMessages: 10\n"));
    let flow = flow("table", "Delta", 1).replace("endpointRef: default", "endpointRef: remote");
    let resources = STORAGE.to_owned() + &remote + &schema(1, &numbered()) + &flow;
    let (mut gateway, volume) = run(&resources, &["--broker", &broker]).await;
    gateway.until("table", "running", |f| f["state"] == "running").await;
    publish_as(source.port(), "in", 0..2000, 500, |n| json!({ "n": n }).to_string()).await;
    gateway.until("table", "in the spool", |f| f["messages"]["accepted"] == 2000).await;
    // what has been taken out of the spool is written when it stops, the rest the next time
    while count("delta", &volume.join("table")).await[0] != 2000 {
        assert_eq!(gateway.stop().await, Some(0));
        gateway.restart().await;
    }
    let files = files("delta", &volume.join("table")).await;
    assert!(files.len() < 10, "{files:?}");
}

/// An endpoint of a storage account behind a proxy, with a shared access signature in a Secret.
fn data_lake(port: u16, account: &str, signature: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: sas, namespace: azure-iot-operations }}\n\
         stringData: {{ accessToken: '{signature}' }}\n\
         ---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowEndpoint\nmetadata:\n  \
         name: storage\n  namespace: azure-iot-operations\n  annotations: {{ tidegate.dev/allow-any-host: \"true\" }}\n\
         spec:\n  endpointType: DataLakeStorage\n  dataLakeStorageSettings:\n    host: http://127.0.0.1:{port}/{account}\n    \
         authentication: {{ method: AccessToken, accessTokenSettings: {{ secretRef: sas }} }}\n    \
         batching: {{ latencySeconds: 0 }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_account_gets_every_row_once_while_it_is_out_of_reach_now_and_then() {
    const ROWS: u64 = 9000;
    let azurite = Azurite::start().await;
    let account = &azurite.accounts()[0];
    let signature = account.signature();
    let proxy = FaultProxy::listen().await;
    let (address, _) = account.blobs.rsplit_once('/').unwrap();
    proxy.forward_to(address.rsplit_once(':').unwrap().1.parse().unwrap());
    let endpoint = data_lake(proxy.port(), &account.name, &signature) + &schema(1, &numbered());
    let row = |n: u64| json!({ "n": n, "text": format!("row {n}") }).to_string();
    let container = |name: &str| format!("{}/{name}?{signature}", account.blobs);

    // the container is not there at first, so that everything comes to lie in the spool before the first kill
    let resources = endpoint.clone() + &flow("table", "Delta", 1);
    let (mut gateway, _) = run(&resources, &["--spool-drain-rate", "1000"]).await;
    publish_as(gateway.port(), "in", 0..ROWS, 1000, row).await;
    gateway.until("table", "in the spool", |f| f["messages"]["accepted"] == ROWS).await;
    let troubled = gateway.until("table", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(troubled["health"]["reasonCode"], "DataflowDeltaLakeTargetConfigurationError", "{troubled}");
    let message = troubled["health"]["message"].as_str().unwrap();
    assert!(message.contains("ContainerNotFound") && !message.contains("sig="), "{message}");
    assert_eq!(gateway.stop().await, Some(0));
    rows_py(&["container", &container("table")]).await.unwrap();
    gateway.restart().await;
    let delivered = |flow: &Value| flow["messages"]["delivered"].as_u64().unwrap();
    let is_done = |flow: &Value| flow["messages"]["inFlight"] == 0;
    for n in 0..6 {
        let before = delivered(&gateway.dataflow("table").await);
        gateway.until("table", "moving", |f| delivered(f) > before || is_done(f)).await;
        if n % 2 == 0 {
            proxy.cut();
            gateway.until("table", "troubled", |f| f["state"] == "troubled" || is_done(f)).await;
            proxy.pass();
        } else {
            gateway.kill_9().await;
            gateway.restart().await;
        }
    }
    gateway.until("table", "settled", settled(ROWS)).await;
    let copy = gateway.dir.path().join("copy");
    rows_py(&["fetch", &container("table"), copy.to_str().unwrap()]).await.unwrap();
    assert_eq!(count("delta", &copy.join("table")).await, json!([ROWS, ROWS, 0, ROWS - 1]));

    rows_py(&["container", &container("files")]).await.unwrap();
    let (gateway, _) = run(&(endpoint + &flow("files", "Parquet", 1)), &[]).await;
    publish_as(gateway.port(), "in", 0..100, 10, row).await;
    gateway.until("files", "settled", settled(100)).await;
    let copy = gateway.dir.path().join("copy");
    rows_py(&["fetch", &container("files"), copy.to_str().unwrap()]).await.unwrap();
    assert_eq!(count("parquet", &copy.join("files")).await, json!([100, 100, 0, 99]));
}
