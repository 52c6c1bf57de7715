//! Starts `tidegate run` in a folder of its own, on free ports.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// What any one step may take before the test gives up; nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn tidegate() -> Command {
    // another build of it, where load is measured
    let other = std::env::var_os("TIDEGATE_TEST_BINARY");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_tidegate").into()));
    command
        .kill_on_drop(true)
        .env_remove("TIDEGATE_API")
        .env_remove("TIDEGATE_API_TOKEN_FILE")
        .env_remove("TIDEGATE_DATA_DIR");
    command
}

/// The repository, where the examples are.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub(crate) struct Gateway {
    child: Child,
    pub(crate) dir: TempDir,
    pub(crate) http: String,
    pub(crate) mqtt: Vec<u16>,
    args: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Gateway {
    /// Runs the resources of one text.
    pub(crate) async fn run(resources: &str) -> Self {
        Self::run_with(resources, &["--mqtt-listen", "127.0.0.1:0"]).await
    }

    pub(crate) async fn run_with(resources: &str, args: &[&str]) -> Self {
        Self::run_in(vec![], resources, args).await
    }

    /// The same, with these environment variables.
    pub(crate) async fn run_in(
        environment: Vec<(&'static str, String)>,
        resources: &str,
        args: &[&str],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("resources.yaml"), resources).unwrap();
        let path = dir.path().join("resources.yaml");
        let mut args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        args.push(path.display().to_string());
        Self::start_with(dir, args, environment).await
    }

    pub(crate) async fn start(dir: TempDir, args: Vec<String>) -> Self {
        Self::start_with(dir, args, vec![]).await
    }

    /// The same, with these environment variables.
    pub(crate) async fn start_with(
        dir: TempDir,
        args: Vec<String>,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let child = spawn(&dir, &args, &environment);
        let mut gateway = Self { child, dir, http: String::new(), mqtt: vec![], args, environment };
        gateway.await_ready().await;
        gateway
    }

    /// Runs it again with the same arguments, after it was killed or stopped.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.dir, &self.args, &self.environment);
        self.await_ready().await;
    }

    async fn await_ready(&mut self) {
        let stdout = self.child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it gets ready").unwrap();
        let ready: Value = serde_json::from_str(&line.expect("it starts")).unwrap();
        self.http = ready["http"].as_str().unwrap().to_owned();
        let port = |address: &Value| address.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        self.mqtt = ready["mqtt"].as_array().unwrap().iter().map(port).collect();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    }

    /// What `doctor` says of the same resources, beside the running instance.
    pub(crate) async fn doctor(&self) -> (Option<i32>, Vec<Value>) {
        doctor(self.dir.path(), &self.environment, &[]).await
    }

    /// The first listener of the local broker.
    pub(crate) fn port(&self) -> u16 {
        self.mqtt[0]
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn kill_9(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and its exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        let status = Command::new("kill").arg(self.pid().to_string()).status().await.unwrap();
        assert!(status.success());
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it stops").unwrap().code()
    }

    /// GET of a path of the API: status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(&self.http, path, "127.0.0.1").await
    }

    /// Any request: status and body.
    pub(crate) async fn ask(&self, request: Request<'_>) -> (u16, String) {
        ask(&self.http, "127.0.0.1", request).await
    }

    /// A stream of server-sent events that has begun.
    pub(crate) async fn events(&self, path: &str) -> Events {
        let mut stream = TcpStream::connect(&self.http).await.unwrap();
        // without the chunks of HTTP/1.1
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        assert!(status.contains(" 200 "), "{path}: {status}");
        while !lines.next_line().await.unwrap().unwrap().is_empty() {}
        Events(lines)
    }

    /// A flow as the API has it.
    pub(crate) async fn dataflow(&self, name: &str) -> Value {
        let (status, body) = self.get("/api/v1/dataflows").await;
        assert_eq!(status, 200);
        let all: Value = serde_json::from_str(&body).unwrap();
        let found = all["dataflows"].as_array().unwrap().iter().find(|f| f["name"] == name).cloned();
        let flow = found.unwrap_or_else(|| panic!("no flow {name} in {all}"));
        let n = |column: &str| flow["messages"][column].as_u64().unwrap();
        assert_eq!(
            n("accepted"),
            n("delivered") + n("filtered") + n("expired") + n("deadLettered") + n("inFlight"),
            "the books balance: {flow}"
        );
        flow
    }

    /// Waits until a flow is as it should be.
    pub(crate) async fn until(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let flow = self.dataflow(name).await;
            if condition(&flow) {
                return flow;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {flow}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What `doctor` says of the resources in a folder: its exit code, and each thing it looked at.
pub(crate) async fn doctor(
    dir: &Path,
    environment: &[(&'static str, String)],
    args: &[&str],
) -> (Option<i32>, Vec<Value>) {
    let said = tidegate()
        .envs(environment.iter().cloned())
        .args(["doctor", "-o", "json", "--mqtt-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .args(args)
        .arg(dir.join("resources.yaml"))
        .arg("--data-dir")
        .arg(dir.join("data"))
        .output()
        .await
        .unwrap();
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(report["healthy"], said.status.success());
    (said.status.code(), report["checks"].as_array().unwrap().clone())
}

fn spawn(dir: &TempDir, args: &[String], environment: &[(&'static str, String)]) -> Child {
    tidegate()
        .envs(environment.iter().cloned())
        .args(["run", "--output", "json", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A stream of server-sent events.
pub(crate) struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    /// The data of the next one.
    pub(crate) async fn next(&mut self) -> String {
        let next = async {
            loop {
                let line = self.0.next_line().await.unwrap().expect("the stream goes on");
                if let Some(data) = line.strip_prefix("data: ") {
                    return data.to_owned();
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an event comes")
    }
}

/// A request of HTTP/1.1.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
}

/// A plain HTTP/1.1 GET with a Host header of choice: status and body.
pub(crate) async fn get(address: &str, path: &str, host: &str) -> (u16, String) {
    ask(address, host, Request { method: "GET", path, headers: &[], body: "" }).await
}

/// Any request with a Host header of choice: status and body.
pub(crate) async fn ask(address: &str, host: &str, request: Request<'_>) -> (u16, String) {
    let Request { method, path, headers, body } = request;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    (status, if chunked { unchunk(body) } else { body.to_owned() })
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = &rest[(size + 2).min(rest.len())..];
    }
    text
}

/// A data flow between two endpoints.
pub(crate) fn dataflow(name: &str, from: (&str, &str), to: (&str, &str)) -> String {
    let ((source, filter), (destination, topic)) = (from, to);
    format!(
        r#"---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: {name}, namespace: azure-iot-operations }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: {source}, dataSources: ['{filter}'] }}
    - operationType: Destination
      destinationSettings: {{ endpointRef: {destination}, dataDestination: '{topic}' }}
"#
    )
}

/// An MQTT endpoint; `more` are further lines of `mqttSettings`, indented by four.
pub(crate) fn mqtt_endpoint(name: &str, host: &str, more: &str) -> String {
    format!(
        r"---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: {name}, namespace: azure-iot-operations }}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: '{host}'
{more}"
    )
}

/// Further lines for a broker without credentials and TLS.
pub(crate) const PLAIN: &str =
    "    authentication: { method: Anonymous, anonymousSettings: {} }\n    tls: { mode: Disabled }\n";
