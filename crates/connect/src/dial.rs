//! A byte stream to a server: TCP, TLS on it, a WebSocket on either. Knows nothing of MQTT; its errors are sentences
//! that name the host, the cause and the mend.

mod tls;
mod websocket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::names::HostPort;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) use tls::{ClientCertificate, TrustedCa, client_config};

use crate::failure::Failure;

/// From the first packet to the server's answer to CONNECT.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long one address of a host may take to accept a TCP connection; a host may have several.
const TCP_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection of whatever kind.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Where to connect, and how.
pub(crate) struct Dial {
    /// Host and port.
    pub address: HostPort,
    /// With TLS by these settings.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// As a WebSocket on this path, which starts with `/`.
    pub websocket_path: Option<String>,
}

impl Dial {
    /// Connects; the caller limits the time.
    pub(crate) async fn open(&self) -> Result<Box<dyn ByteStream>, Failure> {
        let tcp = self.open_tcp().await?;
        match &self.tls {
            Some(config) => {
                self.open_websocket(tls::handshake(&self.address, config.clone(), tcp).await?).await
            }
            None => self.open_websocket(tcp).await,
        }
    }

    async fn open_websocket(
        &self,
        stream: impl ByteStream + 'static,
    ) -> Result<Box<dyn ByteStream>, Failure> {
        match &self.websocket_path {
            Some(path) => {
                let tls = self.tls.is_some();
                Ok(Box::new(websocket::handshake(&self.address, path, tls, stream).await?))
            }
            None => Ok(Box::new(stream)),
        }
    }

    async fn open_tcp(&self) -> Result<TcpStream, Failure> {
        let to = &self.address;
        let addresses = tokio::net::lookup_host((to.host(), to.port())).await.map_err(|e| {
            Failure::Connection(format!(
                "the host name `{}` can't be resolved ({e}); check its spelling and this machine's DNS",
                to.host()
            ))
        })?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name stands for no address");
        for address in addresses {
            let attempt = tokio::time::timeout(TCP_CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            match attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    // Writes are gathered before they are made; Nagle's algorithm would only add delay.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(Failure::Connection(match last.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("{to} refused the connection; check that the server runs and listens on that port")
            }
            io::ErrorKind::TimedOut => {
                format!("{to} does not answer; check the address and the firewalls on the way")
            }
            _ => format!("{to} can't be reached: {last}"),
        }))
    }

    /// What an error on an open connection means.
    pub(crate) fn broken(&self, error: &io::Error) -> Failure {
        match tls::failure_in(&self.address, error) {
            Some(failure) => failure,
            None => Failure::Connection(format!("the connection to {} broke: {error}", self.address)),
        }
    }
}
