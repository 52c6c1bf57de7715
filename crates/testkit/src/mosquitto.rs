//! A real mosquitto on a free port, gone with the test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::free_port;

/// How many free ports are tried, as another process may take one between the asking and the listening.
const PORTS_TRIED_MAX: usize = 5;

/// What a test wants of a mosquitto.
#[derive(Clone, Debug, Default)]
pub struct MosquittoOptions {
    /// Sessions and retained messages survive a stop.
    pub persistence: bool,
    /// Lines for the general part of `mosquitto.conf`.
    pub general: String,
    /// Lines for its listener, which is plain TCP otherwise.
    pub listener: String,
    /// Files to write into its directory first, by name; `general` and `listener` find them under `{dir}`.
    pub files: Vec<(String, String)>,
}

/// A running mosquitto that allows anonymous clients; killed when dropped.
pub struct Mosquitto {
    options: MosquittoOptions,
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Mosquitto {
    /// Starts one and returns once it listens.
    pub async fn start(options: MosquittoOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        for (name, text) in &options.files {
            std::fs::write(dir.path().join(name), text).expect("the temporary directory is writable");
        }
        let mut output = String::new();
        for _ in 0..PORTS_TRIED_MAX {
            let port = free_port();
            match spawn(&options, dir.path(), port).await {
                Ok(child) => return Self { options, dir, port, child },
                Err(said) => output = said,
            }
        }
        panic!("mosquitto does not start:\n{output}");
    }

    /// The port of 127.0.0.1 it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory, with configuration, files and database.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Asks it to stop, so that it saves its database, and waits until it has.
    pub async fn stop(&mut self) {
        if let Some(pid) = self.child.id() {
            let killed = Command::new("kill").arg(pid.to_string()).status().await;
            assert!(killed.is_ok_and(|s| s.success()), "mosquitto, process {pid}, can't be told to stop");
            self.child.wait().await.expect("a child can be waited for");
        }
    }

    /// Ends it at once, without a chance to save anything.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Starts it again on the same port with the same database, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub async fn restart(&mut self) {
        match spawn(&self.options, self.dir.path(), self.port).await {
            Ok(child) => self.child = child,
            Err(said) => panic!("mosquitto does not start again:\n{said}"),
        }
    }
}

/// Starts a process, or says what it said before it gave up.
async fn spawn(options: &MosquittoOptions, dir: &Path, port: u16) -> Result<Child, String> {
    let path = |text: &str| text.replace("{dir}", &dir.display().to_string());
    let mut config = String::from("log_dest stderr\nlog_type all\n");
    if options.persistence {
        let _ = writeln!(config, "persistence true\npersistence_location {}/", dir.display());
    }
    // Started as root, mosquitto would change to a user that may not write here; else this has no effect.
    config.push_str("user root\n");
    // By default it drops what a slow subscriber has not taken beyond 1000 messages, and tells the publisher it has it.
    config.push_str("max_queued_messages 0\n");
    let _ = writeln!(config, "{}", path(&options.general));
    // It does not start with nothing but a WebSocket listener.
    let _ = writeln!(config, "listener 0 {}/socket", dir.display());
    if options.listener.contains("websockets") {
        // Mosquitto 2.0.11 gives up when all its listeners are for WebSockets.
        let _ = writeln!(config, "listener {} 127.0.0.1", free_port());
    }
    let _ = writeln!(config, "listener {port} 127.0.0.1\nallow_anonymous true\n{}", path(&options.listener));
    let config_path = dir.join("mosquitto.conf");
    std::fs::write(&config_path, config).expect("the temporary directory is writable");
    let mut child = Command::new(binary())
        .arg("-c")
        .arg(&config_path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto can be executed");
    let mut lines = BufReader::new(child.stderr.take().expect("it was asked for")).lines();
    let mut said = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.ends_with("running") {
            // What it says is read on, or it would block on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(child);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(said)
}

fn binary() -> PathBuf {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&in_path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join("mosquitto"))
        .find(|file| file.is_file())
        .expect(
            "mosquitto is not installed; install it, on Debian and Ubuntu with `apt-get install mosquitto`",
        )
}
