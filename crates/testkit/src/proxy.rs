//! A TCP proxy that cuts or stalls the connections through it when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Cut,
    Stall,
}

/// Listens on a free port of 127.0.0.1 and passes bytes on to another one.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    target: AtomicU16,
    idle_max: Mutex<Option<Duration>>,
    connections: AtomicUsize,
}

impl FaultProxy {
    /// Starts to listen. Connections are cut until [`FaultProxy::forward_to`] says where they go.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared::default());
        let (mode, watched) = watch::channel(Mode::Cut);
        let task = tokio::spawn(accept(listener, shared.clone(), watched));
        Self { port, shared, mode, task }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where connections go; it passes them from now on.
    pub fn forward_to(&self, port: u16) {
        self.shared.target.store(port, Ordering::Relaxed);
        self.pass();
    }

    /// From now on, cuts a new connection once no byte has passed for that long, as cloud services do.
    pub fn cut_idle_after(&self, idle_max: Duration) {
        *self.shared.idle_max.lock() = Some(idle_max);
    }

    /// How many connections go through it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Passes bytes on, what was held back as well.
    pub fn pass(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// Cuts all connections, and new ones at once.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Holds bytes back; connections stay open, as when a cable is pulled.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mode: watch::Receiver<Mode>) {
    while let Ok((client, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let (shared, mode) = (shared.clone(), mode.clone());
        tokio::spawn(async move {
            let target = shared.target.load(Ordering::Relaxed);
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            let passed = Notify::new();
            let idle_max = *shared.idle_max.lock();
            shared.connections.fetch_add(1, Ordering::Relaxed);
            // whichever way ends first ends the connection
            tokio::select! {
                () = pump(client_in, server_out, &passed, mode.clone()) => {}
                () = pump(server_in, client_out, &passed, mode) => {}
                () = idle(&passed, idle_max) => {}
            }
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Returns once nothing has passed for that long.
async fn idle(passed: &Notify, idle_max: Option<Duration>) {
    let Some(idle_max) = idle_max else { return std::future::pending().await };
    while tokio::time::timeout(idle_max, passed.notified()).await.is_ok() {}
}

/// Passes bytes one way until the connection ends or is cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passed: &Notify, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 << 10];
    let mut cut = mode.clone();
    let mut stalled = mode;
    let pass = async {
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if stalled.wait_for(|mode| *mode != Mode::Stall).await.is_err() {
                return;
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            passed.notify_one();
        }
    };
    tokio::select! {
        () = pass => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}
