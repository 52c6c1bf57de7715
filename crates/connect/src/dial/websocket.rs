//! A WebSocket as a byte stream: MQTT packets and WebSocket frames need not be aligned (MQTT v5 section 6.0).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tidegate_model::names::HostPort;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::{Message, http};

use super::ByteStream;
use crate::failure::Failure;

/// Makes a WebSocket of `stream`, with the subprotocol `mqtt`.
pub(super) async fn handshake<S: ByteStream>(
    to: &HostPort,
    path: &str,
    tls: bool,
    stream: S,
) -> Result<WebSocketBytes<S>, Failure> {
    let scheme = if tls { "wss" } else { "ws" };
    let uri: http::Uri = format!("{scheme}://{to}{path}")
        .parse()
        .map_err(|e| Failure::Configuration(format!("`{to}{path}` is no WebSocket address: {e}")))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(WebSocketBytes { socket, received: Bytes::new() }),
        Err(Error::Http(response)) => Err(Failure::Refused(format!(
            "{to} answers {} instead of opening a WebSocket on `{path}`; check the path and the port",
            response.status()
        ))),
        Err(Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_))) => Err(Failure::Refused(
            format!("{to} opens a WebSocket on `{path}`, but does not speak MQTT on it; check the path"),
        )),
        Err(Error::Protocol(e)) => Err(Failure::Refused(format!(
            "{to} does not speak WebSocket ({e}); set `protocol: Mqtt` or use the server's WebSocket port"
        ))),
        Err(e) => Err(Failure::Connection(format!("{to} broke off the WebSocket handshake: {e}"))),
    }
}

/// The payloads of binary frames, one after the other.
pub(super) struct WebSocketBytes<S> {
    socket: WebSocketStream<S>,
    received: Bytes,
}

impl<S: ByteStream> AsyncRead for WebSocketBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.received = bytes,
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the server sent text on the WebSocket, where MQTT is binary",
                    )));
                }
                // tungstenite answers pings itself
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                None | Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(e)) => return Poll::Ready(Err(into_io(e))),
            }
        }
        let n = self.received.len().min(buf.remaining());
        buf.put_slice(&self.received[..n]);
        self.received.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: ByteStream> AsyncWrite for WebSocketBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(into_io)?;
        Pin::new(&mut self.socket)
            .start_send(Message::Binary(Bytes::copy_from_slice(buf)))
            .map_err(into_io)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(into_io)
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
