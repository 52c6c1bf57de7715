//! MQTT over WebSocket (MQTT v5 section 6): a stream of bytes in binary frames, whose borders mean nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The library sets this aside for each connection at once.
const READ_BUFFER_BYTES: usize = 4096;

/// A WebSocket that carries MQTT, on either side, as a stream of bytes.
pub struct WebSocket<S> {
    frames: WebSocketStream<S>,
    /// What is not yet read of the last frame.
    unread: Bytes,
}

impl<S> WebSocket<S> {
    /// After the handshake.
    pub fn new(frames: WebSocketStream<S>) -> Self {
        Self { frames, unread: Bytes::new() }
    }
}

/// Makes a WebSocket of a stream whose client asks for `path` and the subprotocol `mqtt`. Also tells whether a web page
/// of another host stands behind it, as browsers say so with every WebSocket they open.
pub(crate) async fn accept<S>(
    stream: S,
    path: &str,
    frame_bytes_max: usize,
) -> Result<(WebSocket<S>, bool), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut foreign_page = false;
    #[expect(clippy::result_large_err, reason = "the type is the library's")]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        foreign_page = is_foreign_page(request.headers());
        if request.uri().path() != path {
            return Err(refuse(StatusCode::NOT_FOUND, format!("MQTT is at {path}")));
        }
        if !offers_mqtt(request.headers()) {
            return Err(refuse(StatusCode::BAD_REQUEST, "the subprotocol `mqtt` is required".into()));
        }
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
        Ok(response)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(frame_bytes_max))
        .max_frame_size(Some(frame_bytes_max));
    let frames = tokio_tungstenite::accept_hdr_async_with_config(stream, callback, Some(config)).await?;
    Ok((WebSocket::new(frames), foreign_page))
}

fn refuse(status: StatusCode, why: String) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why));
    *response.status_mut() = status;
    response
}

fn offers_mqtt(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == "mqtt")
}

fn is_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.map(|(_, host)| host.as_bytes()) != headers.get(HOST).map(HeaderValue::as_bytes)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.frames).poll_next(cx)).transpose().map_err(io_error)? {
                Some(Message::Binary(frame)) => self.unread = frame,
                // The library answers pings.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Some(Message::Text(_)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a text frame")));
                }
                Some(Message::Close(_)) | None => return Poll::Ready(Ok(())),
            }
        }
        let len = buf.remaining().min(self.unread.len());
        buf.put_slice(&self.unread[..len]);
        self.unread.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.frames).poll_ready(cx)).map_err(io_error)?;
        let frame = Message::Binary(Bytes::copy_from_slice(buf));
        Pin::new(&mut self.frames).start_send(frame).map_err(io_error)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::other(other),
    }
}
