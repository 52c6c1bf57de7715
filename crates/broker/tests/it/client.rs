//! A client that says what it is told, packet by packet.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use tidegate_broker::Broker;
use tidegate_mqtt::{
    Ack, ConnAck, Connect, Decoder, Disconnect, PACKET_BYTES_MAX, Packet, PacketId, Publish, QoS, ReasonCode,
    Subscribe, Subscription, Unsubscribe, Version, encode,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

pub(crate) use tidegate_mqtt::Version::{V5, V311};

pub(crate) const Q0: QoS = QoS::AtMostOnce;
pub(crate) const Q1: QoS = QoS::AtLeastOnce;
pub(crate) const Q2: QoS = QoS::ExactlyOnce;

/// How long a client waits for what must come, by a clock that may be stopped.
const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) struct TestClient<S = DuplexStream> {
    stream: S,
    version: Version,
    decoder: Decoder,
    input: BytesMut,
    /// Arrived while something else was expected.
    publishes: VecDeque<Publish>,
    last_id: u16,
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1883))
}

/// A CONNECT whose session stays for ever and goes on where it was.
pub(crate) fn resume(version: Version, client_id: &str) -> Connect {
    Connect { clean_start: false, session_expiry: u32::MAX, ..Connect::new(version, client_id) }
}

impl TestClient {
    /// A stream to the broker, over which nothing has been said.
    pub(crate) fn open(broker: &Broker) -> DuplexStream {
        Self::open_from(broker, loopback())
    }

    pub(crate) fn open_from(broker: &Broker, address: SocketAddr) -> DuplexStream {
        let (ours, theirs) = duplex(4096);
        let broker = broker.clone();
        tokio::spawn(async move { broker.serve(theirs, address).await });
        ours
    }

    pub(crate) async fn ask(broker: &Broker, connect: Connect) -> (Self, ConnAck) {
        TestClient::over(Self::open(broker), connect).await
    }

    /// A client that was let in.
    pub(crate) async fn connect_with(broker: &Broker, connect: Connect) -> Self {
        let (client, connack) = Self::ask(broker, connect).await;
        assert_eq!(connack.reason, ReasonCode::Success);
        client
    }

    /// A v5 client whose session ends with its connection.
    pub(crate) async fn connect(broker: &Broker, client_id: &str) -> Self {
        Self::connect_with(broker, Connect::new(V5, client_id)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TestClient<S> {
    pub(crate) fn new(stream: S, version: Version) -> Self {
        Self {
            stream,
            version,
            decoder: Decoder::for_client(version, PACKET_BYTES_MAX),
            input: BytesMut::new(),
            publishes: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Connects over a stream and waits for the CONNACK.
    pub(crate) async fn over(stream: S, connect: Connect) -> (Self, ConnAck) {
        let mut client = Self::new(stream, connect.version);
        client.send(Packet::Connect(Box::new(connect))).await;
        match client.receive().await {
            Some(Packet::ConnAck(connack)) => (client, *connack),
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        encode(&packet, self.version, &mut out).unwrap();
        self.send_bytes(&out).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends, if the broker is there and reads on.
    pub(crate) async fn try_send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        encode(&packet, self.version, &mut out).unwrap();
        self.try_send_bytes(&out).await;
    }

    pub(crate) async fn try_send_bytes(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// The next packet; `None` when the broker has closed.
    pub(crate) async fn receive(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(packet);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
            if read.expect("nothing came").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Reads a little, and looks at it later.
    pub(crate) async fn sip(&mut self) {
        let mut some = [0; 4096];
        let count = self.stream.read(&mut some).await.unwrap();
        self.input.extend_from_slice(&some[..count]);
    }

    /// The next packet that is not a PUBLISH.
    pub(crate) async fn answer(&mut self) -> Packet {
        loop {
            match self.receive().await.expect("the broker closed") {
                Packet::Publish(publish) => self.publishes.push_back(publish),
                packet => return packet,
            }
        }
    }

    /// The reason of the DISCONNECT that comes before the broker closes; `None` if it just closes.
    pub(crate) async fn dismissed(&mut self) -> Option<ReasonCode> {
        let mut reason = None;
        while let Some(packet) = self.receive().await {
            if let Packet::Disconnect(disconnect) = packet {
                reason = Some(disconnect.reason);
            }
        }
        reason
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Publish {
        if let Some(publish) = self.publishes.pop_front() {
            return publish;
        }
        match self.receive().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("{other:?} instead of a PUBLISH"),
        }
    }

    /// The next message, answered for to the end.
    pub(crate) async fn take(&mut self) -> Publish {
        let publish = self.next().await;
        self.finish(&publish).await;
        publish
    }

    /// Answers for a message to the end.
    pub(crate) async fn finish(&mut self, publish: &Publish) {
        let Some(id) = publish.packet_id else { return };
        if publish.qos == Q1 {
            return self.send(Packet::PubAck(Ack::new(id, ReasonCode::Success))).await;
        }
        self.send(Packet::PubRec(Ack::new(id, ReasonCode::Success))).await;
        let released = self.answer().await;
        assert!(matches!(&released, Packet::PubRel(ack) if ack.packet_id == id), "{released:?}");
        self.send(Packet::PubComp(Ack::new(id, ReasonCode::Success))).await;
    }

    /// Everything the broker has for this client now, not answered for.
    pub(crate) async fn all(&mut self) -> Vec<Publish> {
        // The first PINGRESP may overtake what the broker found in the queue when it read the PINGREQ.
        for _ in 0..2 {
            self.send(Packet::PingReq).await;
            assert_eq!(self.answer().await, Packet::PingResp);
        }
        self.publishes.drain(..).collect()
    }

    pub(crate) fn next_id(&mut self) -> PacketId {
        self.last_id += 1;
        NonZeroU16::new(self.last_id).unwrap()
    }

    /// Sends a PUBLISH and does not wait for anything.
    pub(crate) async fn send_publish(&mut self, topic: &str, payload: &str, qos: QoS) {
        let publish = self.message(topic, payload, qos);
        self.send(Packet::Publish(publish)).await;
    }

    /// A PUBLISH with the next packet identifier.
    pub(crate) fn message(&mut self, topic: &str, payload: &str, qos: QoS) -> Publish {
        Publish {
            dup: false,
            qos,
            retain: false,
            topic: topic.into(),
            packet_id: (qos > Q0).then(|| self.next_id()),
            message_expiry: None,
            topic_alias: None,
            subscription_ids: Vec::new(),
            properties: tidegate_core::Properties::default(),
            payload: payload.to_owned().into(),
        }
    }

    /// Publishes to the end, and gives the reason of the first answer.
    pub(crate) async fn publish(&mut self, publish: Publish) -> ReasonCode {
        let (id, qos) = (publish.packet_id, publish.qos);
        self.send(Packet::Publish(publish)).await;
        let Some(id) = id else { return ReasonCode::Success };
        match self.answer().await {
            Packet::PubAck(ack) if qos == Q1 && ack.packet_id == id => ack.reason,
            Packet::PubRec(ack) if qos == Q2 && ack.packet_id == id => {
                if !ack.reason.is_failure() {
                    self.send(Packet::PubRel(Ack::new(id, ReasonCode::Success))).await;
                    assert_eq!(self.answer().await, Packet::PubComp(Ack::new(id, ReasonCode::Success)));
                }
                ack.reason
            }
            other => panic!("{other:?} for a publish of {qos:?}"),
        }
    }

    pub(crate) async fn say(&mut self, topic: &str, payload: &str, qos: QoS) -> ReasonCode {
        let publish = self.message(topic, payload, qos);
        self.publish(publish).await
    }

    pub(crate) async fn subscribe_with(&mut self, subscription: Subscription, id: Option<u32>) -> ReasonCode {
        let packet_id = self.next_id();
        self.send(Packet::Subscribe(Subscribe {
            packet_id,
            subscriptions: vec![subscription],
            subscription_id: id.map(|id| id.try_into().unwrap()),
            user_properties: Vec::new(),
        }))
        .await;
        match self.answer().await {
            Packet::SubAck(suback) if suback.packet_id == packet_id => suback.reasons[0],
            other => panic!("{other:?} instead of a SUBACK"),
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let reason = self.subscribe_with(Subscription::new(filter, qos), None).await;
        assert_eq!(reason as u8, qos as u8);
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) -> Vec<ReasonCode> {
        let packet_id = self.next_id();
        let filters = vec![ByteString::from(filter)];
        self.send(Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: Vec::new() })).await;
        match self.answer().await {
            Packet::UnsubAck(unsuback) if unsuback.packet_id == packet_id => unsuback.reasons,
            other => panic!("{other:?} instead of an UNSUBACK"),
        }
    }

    /// Leaves, and waits until the broker has closed.
    pub(crate) async fn disconnect(self) {
        self.disconnect_with(Disconnect::new(ReasonCode::Success)).await;
    }

    pub(crate) async fn disconnect_with(mut self, disconnect: Disconnect) {
        self.send(Packet::Disconnect(Box::new(disconnect))).await;
        while self.receive().await.is_some() {}
    }

    /// Breaks the connection, and waits until the broker has noticed.
    pub(crate) async fn vanish(self, broker: &Broker, client_id: &str) {
        drop(self.stream);
        while broker.clients().iter().any(|client| client.client_id == client_id && client.connected) {
            tokio::task::yield_now().await;
        }
    }
}

/// The payloads, as text.
pub(crate) fn payloads<'a>(publishes: impl IntoIterator<Item = &'a Publish>) -> Vec<String> {
    publishes.into_iter().map(|p| String::from_utf8(p.payload.to_vec()).unwrap()).collect()
}
