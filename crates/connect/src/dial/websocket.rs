//! The client's side of the WebSocket handshake, and what its errors mean for an operator.

use tidegate_broker::WebSocket;
use tidegate_model::names::HostPort;
use tidegate_mqtt::PACKET_BYTES_MAX;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{ByteStream, tls};
use crate::failure::Failure;

/// Makes a WebSocket of `stream`, with the subprotocol `mqtt`.
pub(super) async fn handshake<S: ByteStream>(
    to: &HostPort,
    path: &str,
    tls: bool,
    stream: S,
) -> Result<WebSocket<S>, Failure> {
    let scheme = if tls { "wss" } else { "ws" };
    let uri: Uri = format!("{scheme}://{to}{path}")
        .parse()
        .map_err(|e| Failure::Configuration(format!("`{to}{path}` is no WebSocket address: {e}")))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
    let config = WebSocketConfig::default()
        .max_message_size(Some(PACKET_BYTES_MAX))
        .max_frame_size(Some(PACKET_BYTES_MAX));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((frames, _)) => Ok(WebSocket::new(frames)),
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
        Err(Error::Io(e)) if let Some(failure) = tls::failure_in(to, &e) => Err(failure),
        Err(e) => Err(Failure::Connection(format!("{to} broke off the WebSocket handshake: {e}"))),
    }
}
