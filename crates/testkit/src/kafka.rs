//! A real Apache Kafka in KRaft mode on free ports, gone with the test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cache::newest;
use crate::{EntraId, free_port};

/// How many free ports are tried, as another process may take one between the asking and the listening.
const PORTS_TRIED_MAX: usize = 3;

/// What a test wants of a Kafka.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// How many partitions a topic gets that is created by being used.
    pub partitions: u32,
    /// The port clients are told to use, if it is not the one it listens on: that of a proxy.
    pub advertised_port: Option<u16>,
    /// The security protocol of the listener: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: &'static str,
    /// Further lines of `server.properties`; `{dir}` stands for its directory.
    pub more: String,
    /// SCRAM users, made when the storage is formatted: `SCRAM-SHA-256=[name=alice,password=secret]`.
    pub scram: Vec<String>,
    /// Further options of the Java virtual machine.
    pub java: Vec<String>,
    /// Files to write into its directory first, by name.
    pub files: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            advertised_port: None,
            protocol: "PLAINTEXT",
            more: String::new(),
            scram: vec![],
            java: vec![],
            files: vec![],
        }
    }
}

impl KafkaOptions {
    /// One that takes the tokens of `entra`.
    pub fn oauthbearer(entra: &EntraId) -> Self {
        let module = "org.apache.kafka.common.security.oauthbearer";
        let listener = "listener.name.clients.oauthbearer";
        let keys = entra.keys_url();
        Self {
            protocol: "SASL_PLAINTEXT",
            more: format!(
                "sasl.enabled.mechanisms=OAUTHBEARER\nsasl.mechanism.inter.broker.protocol=OAUTHBEARER\n\
                 {listener}.sasl.jaas.config={module}.OAuthBearerLoginModule required;\n\
                 {listener}.sasl.server.callback.handler.class={module}.OAuthBearerValidatorCallbackHandler\n\
                 sasl.oauthbearer.jwks.endpoint.url={keys}"
            ),
            java: vec![format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}")],
            ..Self::default()
        }
    }
}

/// A running Kafka of one node; killed when dropped.
pub struct Kafka {
    dir: TempDir,
    port: u16,
    java: Vec<String>,
    child: Child,
}

impl Kafka {
    /// Starts one and returns once it serves clients.
    pub async fn start(options: KafkaOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        for (name, text) in &options.files {
            std::fs::write(dir.path().join(name), text).expect("the temporary directory is writable");
        }
        let mut output = String::new();
        for _ in 0..PORTS_TRIED_MAX {
            let port = free_port();
            configure(&options, dir.path(), port, free_port());
            format(&options, dir.path()).await;
            match spawn(dir.path(), &options.java).await {
                Ok(child) => return Self { dir, port, java: options.java, child },
                Err(said) => output = said,
            }
        }
        panic!("Kafka does not start:\n{output}");
    }

    /// The port of 127.0.0.1 that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it in the middle of whatever it does; connections stay open. [`Kafka::thaw`] goes on.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    /// Goes on after [`Kafka::freeze`].
    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Starts it again on the same port with the same data, after [`Kafka::kill`].
    pub async fn restart(&mut self) {
        match spawn(self.dir.path(), &self.java).await {
            Ok(child) => self.child = child,
            Err(said) => panic!("Kafka does not start again:\n{said}"),
        }
    }

    /// Creates a topic.
    pub async fn create_topic(&self, name: &str, partitions: u32) {
        let bootstrap = format!("127.0.0.1:{}", self.port);
        let partitions = partitions.to_string();
        let args =
            ["--create", "--bootstrap-server", &bootstrap, "--topic", name, "--partitions", &partitions];
        run(java("org.apache.kafka.tools.TopicCommand").args(args)).await;
    }

    /// The batches of a partition as they are stored, oldest first, each in the words of Kafka's own tool:
    /// `baseOffset: 0 lastOffset: 9 count: 10 ... compresscodec: gzip ...`.
    pub async fn batches(&self, topic: &str, partition: u32) -> Vec<String> {
        let segment = format!("data/{topic}-{partition}/00000000000000000000.log");
        let output = java("kafka.tools.DumpLogSegments")
            .arg("--files")
            .arg(self.dir.path().join(segment))
            .stdin(Stdio::null())
            .output()
            .await
            .expect("java can be executed");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().filter(|line| line.starts_with("baseOffset:")).map(str::to_owned).collect()
    }

    async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.is_ok_and(|s| s.success()), "Kafka, process {pid}, takes no {signal}");
    }
}

fn configure(options: &KafkaOptions, dir: &Path, port: u16, controller: u16) {
    let KafkaOptions { partitions, protocol, more, .. } = options;
    let advertised = options.advertised_port.unwrap_or(port);
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=CLIENTS://localhost:{advertised}\n\
         listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=CLIENTS\n\
         log.dirs={dir}/data\n\
         num.partitions={partitions}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n",
        dir = dir.display(),
    );
    let _ = writeln!(text, "{}", more.replace("{dir}", &dir.display().to_string()));
    std::fs::write(dir.join("server.properties"), text).expect("the temporary directory is writable");
}

async fn format(options: &KafkaOptions, dir: &Path) {
    let mut command = java("kafka.tools.StorageTool");
    command.args(["format", "--cluster-id", "dGlkZWdhdGUtdGVzdHMtMQ", "--ignore-formatted", "--config"]);
    command.arg(dir.join("server.properties"));
    for user in &options.scram {
        command.args(["--add-scram", user]);
    }
    run(&mut command).await;
}

/// Starts a process, or says what it said before it gave up.
async fn spawn(dir: &Path, options: &[String]) -> Result<Child, String> {
    let mut child = java_with(options, "kafka.Kafka")
        .arg(dir.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("java can be executed");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let mut said = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("Kafka Server started") {
            // What it says is read on, or it would block on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(child);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(said)
}

async fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().await.expect("java can be executed");
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

fn java(class: &str) -> Command {
    java_with(&[], class)
}

fn java_with(options: &[String], class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(options)
        .args(["-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}/*", jars().display()))
        .arg("-Dorg.slf4j.simpleLogger.logFile=System.out")
        .arg(class);
    command
}

/// Where `tests/peers/kafka.sh` puts them.
fn jars() -> PathBuf {
    newest("kafka-").expect(
        "Apache Kafka is not there; run tests/peers/kafka.sh, which fetches it and needs Java 17 and Maven",
    )
}
