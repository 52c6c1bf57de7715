//! Microsoft's own Python clients ingest into the double and read back from it: so the double is like the real service.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::{Azurite, Kusto, KustoFault, azure_kusto_python};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const LINES: &str = "{\"a\":1,\"b\":{\"c\":\"x\"}}\n{\"a\":2,\"b\":{\"c\":\"y\"}}\n";

async fn python(args: &[&str], input: &str) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles/azure-kusto/ingest.py");
    let mut child = Command::new(azure_kusto_python())
        .arg(script)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn until_rows(kusto: &Kusto, count: usize) {
    let wait = async {
        while kusto.rows("db", "T").len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the rows are ingested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_clients_ingest_by_both_routes_and_query() {
    let azurite = Azurite::start().await;
    let kusto = Kusto::start(azurite.accounts()).await;
    let url = kusto.url();
    kusto.execute("db", ".create table T (a:long, c:string)").unwrap();
    let mapping =
        r#"[{"column":"a","Properties":{"Path":"$.a"}},{"column":"c","Properties":{"Path":"$['b'].c"}}]"#;
    kusto.execute("db", &format!(".create table T ingestion json mapping \"m\" '{mapping}'")).unwrap();
    let inline = json!({ "column_mappings": [["a", "long", "$.a"], ["c", "string", "$.b.c"]],
        "ingest_by_tags": ["batch-1"], "ingest_if_not_exists": ["batch-1"] })
    .to_string();
    let named = json!({ "ingestion_mapping_reference": "m" }).to_string();

    python(&["queued", &url, "db", "T", &inline], LINES).await.unwrap();
    until_rows(&kusto, 2).await;
    // the same tag again is not stored again
    python(&["queued", &url, "db", "T", &inline], LINES).await.unwrap();
    python(&["queued", &url, "db", "T", &named], LINES).await.unwrap();
    until_rows(&kusto, 4).await;
    assert_eq!(kusto.messages().len(), 3);

    python(&["streaming", &url, "db", "T", &named], LINES).await.unwrap();
    assert_eq!((kusto.rows("db", "T").len(), kusto.streamed()), (6, 1));
    let rows = python(&["query", &url, "db", "T | take 2"], "").await.unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows, [json!([1, "x"]), json!([2, "y"])]);

    // throttled: the managed client goes by the queue
    kusto.set_fault(KustoFault::Throttle, 1);
    python(&["managed", &url, "db", "T", &named], LINES).await.unwrap();
    until_rows(&kusto, 8).await;
    kusto.set_fault(KustoFault::Unauthorized, 100);
    assert!(python(&["streaming", &url, "db", "T", &named], LINES).await.is_err());
}

/// The tool, its address, and that of its blobs.
async fn tool() -> (Child, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate-testkit"))
        .arg("kusto")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().unwrap();
    child.stdin.as_mut().unwrap().write_all(b".get ingestion resources\n").await.unwrap();
    let address = |url: &str| url.split('/').nth(2).unwrap().to_owned();
    let mut blobs = None;
    while blobs.is_none() {
        let row: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        blobs = (row[0] == "TempStorage").then(|| address(row[1].as_str().unwrap()));
    }
    // what it prints is read to its end
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address(&url), blobs.unwrap())
}

#[tokio::test]
async fn whatever_ends_the_tool_ends_its_azurite() {
    for signal in ["-TERM", "-INT", "-KILL"] {
        let (mut child, cluster, blobs) = tool().await;
        assert!(TcpStream::connect(&cluster).is_ok() && TcpStream::connect(&blobs).is_ok());
        let pid = child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
        child.wait().await.unwrap();
        let wait = async {
            while TcpStream::connect(&blobs).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("Azurite ends");
    }
}
