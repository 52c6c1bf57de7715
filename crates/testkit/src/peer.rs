//! An MQTT server whose every answer the test writes down.

use bytes::BytesMut;
use tidegate_mqtt::{ConnAck, Connect, Decoder, PACKET_BYTES_MAX, Packet, ReasonCode, Version, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a free port of 127.0.0.1.
pub struct ScriptedPeer {
    listener: TcpListener,
}

impl ScriptedPeer {
    /// Starts to listen.
    pub async fn listen() -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free") }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("a bound socket has an address").port()
    }

    /// Waits for the next client.
    pub async fn accept(&self) -> PeerConnection {
        let (stream, _) = self.listener.accept().await.expect("a listening socket accepts");
        PeerConnection { stream, decoder: Decoder::for_server(PACKET_BYTES_MAX), input: BytesMut::new() }
    }

    /// Waits for the next client and its CONNECT, and answers it with `connack`.
    pub async fn welcome(&self, connack: ConnAck) -> (PeerConnection, Connect) {
        let mut connection = self.accept().await;
        let Packet::Connect(connect) = connection.read().await else {
            panic!("the first packet of a client is CONNECT");
        };
        connection.send(Packet::ConnAck(Box::new(connack))).await;
        (connection, *connect)
    }

    /// Waits for the next client and lets it in, without a session.
    pub async fn welcome_any(&self) -> (PeerConnection, Connect) {
        self.welcome(ConnAck::new(ReasonCode::Success)).await
    }
}

/// One connection of a client; dropping it cuts the connection.
pub struct PeerConnection {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
}

impl PeerConnection {
    /// The next packet.
    pub async fn read(&mut self) -> Packet {
        self.read_or_end().await.expect("the client sends another packet")
    }

    /// The next packet, or `None` once the client has closed the connection.
    pub async fn read_or_end(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).expect("the client speaks MQTT") {
                return Some(packet);
            }
            if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Sends a packet.
    pub async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        encode(&packet, self.decoder.version().unwrap_or(Version::V5), &mut bytes)
            .expect("the packet has a form");
        self.send_bytes(&bytes).await;
    }

    /// Sends bytes, which need not be MQTT. A client that has gone is none of the peer's business.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Waits until the client has closed the connection, whatever it still sends.
    pub async fn end(mut self) {
        let mut buffer = [0; 1024];
        while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {}
    }
}
