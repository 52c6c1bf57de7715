//! Listeners: where clients come in, and over which transport.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::access::Peer;
use crate::broker::{Broker, Shared};
use crate::config::{Anonymous, BrokerConfig};
use crate::connection::{self, Transport};
use crate::handshake::admit;
use crate::tls::{self, ListenerTls};
use crate::websocket;

/// How long a listener waits after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may be silent before the operating system asks whether its machine is still there.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How much larger than the largest packet a WebSocket frame may be.
const FRAME_BYTES_MORE: usize = 64 << 10;

/// A place where clients come in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where to listen; port 0 lets the operating system choose one.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// TLS, if connections are to be encrypted.
    pub tls: Option<ListenerTls>,
}

/// How MQTT is carried (MQTT v5 sections 4.2 and 6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Right in the stream.
    #[default]
    Mqtt,
    /// In WebSocket frames.
    WebSockets {
        /// The path of the URL, such as `/mqtt`.
        path: String,
    },
}

impl Listener {
    /// MQTT over plain TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self { address, protocol: Protocol::Mqtt, tls: None }
    }
}

/// Why a listener can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It would let in everybody who can reach it, or nobody.
    #[error(
        "a listener on {0} can be reached from other machines: configure users or a client CA, or allow \
         anonymous clients"
    )]
    NoAuthentication(SocketAddr),
    /// Its TLS settings can't be used.
    #[error("TLS of the listener on {address}: {problem}")]
    Tls {
        /// Where it was to listen.
        address: SocketAddr,
        /// A sentence.
        problem: String,
    },
    /// The operating system refuses.
    #[error("can't listen on {address}: {error}")]
    Io {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

impl Broker {
    /// Opens a listener and gives the address it has.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(&self, listener: Listener) -> Result<SocketAddr, ListenError> {
        let Listener { address, protocol, tls } = listener;
        check_authentication(&self.shared.config, address, tls.as_ref())?;
        let tls = tls.map(|tls| tls.parse()).transpose();
        let tls = tls.map_err(|problem| ListenError::Tls { address, problem })?;
        let socket = bind(address).map_err(|error| ListenError::Io { address, error })?;
        let local = socket.local_addr().map_err(|error| ListenError::Io { address, error })?;
        let door = Arc::new(Door { shared: self.shared.clone(), protocol, tls });
        self.shared.tasks.spawn(async move {
            door.shared.closing.clone().run_until_cancelled(door.accept(socket)).await;
        });
        Ok(local)
    }

    /// Serves one client over a stream that was opened in some other way, until the connection is over. `address` is
    /// where the client counts as coming from.
    pub async fn serve<S>(&self, stream: S, address: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(_permit) = self.shared.admit_connection(address) else { return };
        let peer = Peer { address: address.ip(), certificate_name: None, foreign_page: false };
        self.shared.serve(Box::new(stream), peer, address).await;
    }
}

impl Shared {
    fn admit_connection(&self, address: SocketAddr) -> Option<OwnedSemaphorePermit> {
        let permit = self.connections.clone().try_acquire_owned().ok();
        if permit.is_none() {
            self.with(|core| core.counters.connections_refused += 1);
            tracing::warn!(%address, "connection refused: there are too many");
        }
        permit
    }

    async fn serve(&self, mut stream: Transport, peer: Peer, address: SocketAddr) {
        // Boxed, as it would otherwise make every connection larger.
        let admitted = Box::pin(admit(self, &mut stream, &peer, address));
        if let Some(Some(admitted)) = self.closing.run_until_cancelled(admitted).await {
            connection::serve(self, &mut stream, admitted).await;
        }
    }
}

/// A listener from which other machines can come needs a way to tell clients apart.
fn check_authentication(
    config: &BrokerConfig,
    address: SocketAddr,
    tls: Option<&ListenerTls>,
) -> Result<(), ListenError> {
    let authentication = &config.authentication;
    let open = authentication.anonymous == Anonymous::Allowed
        || !authentication.users.is_empty()
        || tls.is_some_and(|tls| tls.client_ca.is_some())
        || address.ip().to_canonical().is_loopback();
    if open { Ok(()) } else { Err(ListenError::NoAuthentication(address)) }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// An open listener.
struct Door {
    shared: Arc<Shared>,
    protocol: Protocol,
    tls: Option<Arc<ServerConfig>>,
}

impl Door {
    async fn accept(self: &Arc<Self>, socket: TcpListener) {
        loop {
            let (stream, address) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(permit) = self.shared.admit_connection(address) else { continue };
            let door = self.clone();
            self.shared.tasks.spawn(async move {
                if let Err(error) = door.serve(stream, address).await {
                    door.shared.with(|core| core.counters.connections_refused += 1);
                    tracing::info!(%address, %error, "connection failed");
                }
                drop(permit);
            });
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEP_ALIVE))?;
        let mut peer = Peer { address: address.ip(), certificate_name: None, foreign_page: false };
        let opened = self.shared.closing.run_until_cancelled(timeout(
            self.shared.config.limits.connect_wait_max,
            Box::pin(self.open(stream, &mut peer)),
        ));
        let Some(opened) = opened.await else { return Ok(()) };
        let stream = opened??;
        self.shared.serve(stream, peer, address).await;
        Ok(())
    }

    /// The transport, up to the point where MQTT begins.
    async fn open(&self, stream: TcpStream, peer: &mut Peer) -> io::Result<Transport> {
        let stream: Transport = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let stream = TlsAcceptor::from(config.clone()).accept(stream).await?;
                let certificates = stream.get_ref().1.peer_certificates();
                peer.certificate_name = certificates.and_then(|c| c.first()).and_then(tls::common_name);
                Box::new(stream)
            }
        };
        match &self.protocol {
            Protocol::Mqtt => Ok(stream),
            Protocol::WebSockets { path } => {
                // A frame may hold a large packet and some small ones.
                let packet_bytes_max = self.shared.config.limits.packet_bytes_max.get() as usize;
                let frame_bytes_max = packet_bytes_max + FRAME_BYTES_MORE;
                let (stream, foreign_page) =
                    websocket::accept(stream, path, frame_bytes_max).await.map_err(io::Error::other)?;
                peer.foreign_page = foreign_page;
                Ok(Box::new(stream))
            }
        }
    }
}
