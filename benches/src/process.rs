//! A server under measurement, and what the kernel knows of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// Its files.
    _dir: TempDir,
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident now: VmRSS.
    pub(crate) resident: u64,
    /// The most that was resident so far: VmHWM.
    pub(crate) peak: u64,
}

impl Server {
    /// Starts one that is to listen on `port`, and returns when it does. It says nothing to anybody.
    pub(crate) fn start(command: &mut Command, port: u16, dir: TempDir) -> anyhow::Result<Self> {
        let mut server = Self::spawn(command, port, dir)?;
        let started = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ends with {status} instead of listening", program(command));
            }
            if started.elapsed() > START_MAX {
                bail!("{} does not listen", program(command));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// The same without waiting.
    pub(crate) fn spawn(command: &mut Command, port: u16, dir: TempDir) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("can't start {}", program(command)))?;
        Ok(Self { child, port, _dir: dir })
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(&self.child.id().to_string())
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = self.proc("status")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib =
                line.and_then(|l| l.trim().strip_suffix(" kB")).context("/proc/PID/status lacks a line")?;
            anyhow::Ok(kib.parse::<u64>()? * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("can't read {path}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // one that is gone already needs no killing
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of a process so far, of all its threads, in user and system mode: the first field of each thread's
/// schedstat, in nanoseconds. A thread that has ended does not count any more; those that carry messages don't end.
/// `process` is its number, or `self`.
pub(crate) fn cpu(process: &str) -> anyhow::Result<Duration> {
    let tasks = format!("/proc/{process}/task");
    let mut nanos = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("can't read {tasks}"))? {
        // one that ends just now
        let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += schedstat.split(' ').next().context("a schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// A port of 127.0.0.1 that was free just now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
