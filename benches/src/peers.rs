//! The programs that are measured, as they are configured for it.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::Durability;
use crate::process::{Server, free_port};

/// Brings the release build of tidegate up to date and gives its path, which is beside this program.
pub(crate) fn build_tidegate() -> anyhow::Result<PathBuf> {
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--package", "tidegate"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("can't run cargo")?;
    ensure!(status.success(), "tidegate can't be built");
    let path = env::current_exe()?.with_file_name("tidegate");
    ensure!(path.is_file(), "there is no {}; say where it is with --tidegate", path.display());
    Ok(path)
}

/// What runs in a tidegate that is measured.
pub(crate) enum Resources {
    /// The local broker alone.
    None,
    /// Resources as text.
    Text(String),
    /// Resources of the repository.
    Path(PathBuf),
}

/// How to start a tidegate with everything at its default but for where it listens; and its port and directory.
pub(crate) fn tidegate(
    binary: &Path,
    resources: Resources,
) -> anyhow::Result<(Command, u16, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    let path = match resources {
        Resources::Path(path) => path,
        Resources::None => write(dir.path(), NO_FLOWS)?,
        Resources::Text(text) => write(dir.path(), &text)?,
    };
    let (mqtt, http) = (free_port()?, free_port()?);
    let mut command = Command::new(binary);
    command.arg("--data-dir").arg(dir.path().join("data")).arg("run").arg(path);
    command.args([
        "--mqtt-listen",
        &format!("127.0.0.1:{mqtt}"),
        "--http-listen",
        &format!("127.0.0.1:{http}"),
    ]);
    Ok((command, mqtt, dir))
}

fn write(dir: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join("resources.yaml");
    fs::write(&path, text)?;
    Ok(path)
}

/// `tidegate run` wants resources, if only one that does nothing.
const NO_FLOWS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: nothing, namespace: azure-iot-operations }
data: {}
";

/// An MQTT endpoint on this machine, by the name `remote`.
pub(crate) fn remote_endpoint(port: u16) -> String {
    format!(
        "
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: remote, namespace: azure-iot-operations }}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: 127.0.0.1:{port}
    authentication: {{ method: Anonymous, anonymousSettings: {{}} }}
    tls: {{ mode: Disabled }}
"
    )
}

/// A data flow that passes everything on.
pub(crate) fn flow((from, source): (&str, &str), (to, destination): (&str, &str)) -> String {
    format!(
        "---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {{ name: pass-on, namespace: azure-iot-operations }}
spec:
  profileRef: default
  operations:
    - operationType: Source
      sourceSettings: {{ endpointRef: {from}, dataSources: ['{source}'] }}
    - operationType: Destination
      destinationSettings: {{ endpointRef: {to}, dataDestination: '{destination}' }}
"
    )
}

/// The same that keeps what outlives a connection there.
pub(crate) fn tidegate_with(
    binary: &Path,
    resources: Resources,
    durability: Durability,
) -> anyhow::Result<Server> {
    let (mut command, port, dir) = tidegate(binary, resources)?;
    if durability == Durability::Memory {
        command.args(["--durability", "memory"]);
    }
    Server::start(&mut command, port, dir)
}

/// A mosquitto at its best: nothing on disk unless it is to be, no log, no delay before it sends, no limit to what waits and more than any
/// load has to what is in flight. (Without a limit there its bridge sends a Receive Maximum of 0, which is refused.)
/// `more` are lines for the end of its configuration.
pub(crate) fn mosquitto(durability: Durability, more: &str) -> anyhow::Result<Server> {
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    let mut config = match durability {
        Durability::Memory => "persistence false\n".to_owned(),
        Durability::Disk => {
            format!("persistence true\npersistence_location {}/\nautosave_interval 1\n", dir.path().display())
        }
    };
    config.push_str(
        "log_dest none\nlog_type none\nmax_inflight_messages 1000\nmax_queued_messages 0\n\
         set_tcp_nodelay true\n",
    );
    // Started as root it would change to a user that may not read here; else this has no effect.
    config.push_str("user root\n");
    let _ = write!(config, "listener {port} 127.0.0.1\nallow_anonymous true\n{more}\n");
    let path = dir.path().join("mosquitto.conf");
    fs::write(&path, config)?;
    Server::start(Command::new(mosquitto_binary()?).arg("-c").arg(path), port, dir)
}

fn mosquitto_binary() -> anyhow::Result<PathBuf> {
    let in_path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&in_path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join("mosquitto"))
        .find(|file| file.is_file())
        .context("mosquitto is not installed; on Debian and Ubuntu: apt-get install mosquitto")
}

/// What `program --version` says, or mosquitto's way of saying it.
pub(crate) fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The same of the mosquitto that is measured.
pub(crate) fn mosquitto_version() -> anyhow::Result<String> {
    let output = Command::new(mosquitto_binary()?).arg("-h").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
