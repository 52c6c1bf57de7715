//! A publisher that gives every message a number and does not rest until each is acknowledged, and a subscriber with a
//! session that notes the numbers it gets. Both come back after any loss of connection.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tidegate_core::Properties;
use tidegate_mqtt::{
    Ack, Connect, Decoder, PACKET_BYTES_MAX, Packet, Publish, QoS, ReasonCode, Subscribe, Subscription,
    Version, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::gateway::PATIENCE;

/// A connection, packet by packet.
pub(crate) struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
}

impl Wire {
    pub(crate) async fn connect(port: u16, connect: Connect) -> Option<(Self, bool)> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let decoder = Decoder::for_client(Version::V5, PACKET_BYTES_MAX);
        let mut wire = Self { stream, decoder, input: BytesMut::new() };
        wire.send(&Packet::Connect(Box::new(connect))).await?;
        match wire.read().await? {
            Packet::ConnAck(connack) if !connack.reason.is_failure() => Some((wire, connack.session_present)),
            _ => None,
        }
    }

    pub(crate) async fn send(&mut self, packet: &Packet) -> Option<()> {
        self.send_all([packet]).await
    }

    async fn send_all<'a>(&mut self, packets: impl IntoIterator<Item = &'a Packet>) -> Option<()> {
        let mut bytes = BytesMut::new();
        for packet in packets {
            encode(packet, Version::V5, &mut bytes).unwrap();
        }
        self.stream.write_all(&bytes).await.ok()
    }

    /// The next packet; `None` once the connection is lost.
    pub(crate) async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).expect("the broker speaks MQTT") {
                return Some(packet);
            }
            if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                return None;
            }
        }
    }
}

/// Publishes the numbers at QoS 1, at most `window` unacknowledged, again and again until each has its PUBACK.
pub(crate) async fn publish(port: u16, topic: &str, numbers: Range<u64>, window: usize) {
    publish_as(port, topic, numbers, window, |number| number.to_string()).await;
}

/// The same, as payloads of choice.
pub(crate) async fn publish_as(
    port: u16,
    topic: &str,
    numbers: Range<u64>,
    window: usize,
    payload: impl Fn(u64) -> String,
) {
    let work = async {
        let mut left = numbers;
        // what the broker has not acknowledged, oldest first
        let mut open: Vec<u64> = Vec::new();
        while !(left.is_empty() && open.is_empty()) {
            let connect = Connect::new(Version::V5, format!("publisher-{topic}"));
            let Some((mut wire, _)) = Wire::connect(port, connect).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let _ = publish_on(&mut wire, topic, &mut left, &mut open, window, &payload).await;
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("everything is acknowledged");
}

async fn publish_on(
    wire: &mut Wire,
    topic: &str,
    left: &mut Range<u64>,
    open: &mut Vec<u64>,
    window: usize,
    payload: &impl Fn(u64) -> String,
) -> Option<()> {
    let mut ids: BTreeMap<u16, u64> = BTreeMap::new();
    let mut next_id = 0u16;
    let mut again = open.clone().into_iter();
    loop {
        let mut packets = Vec::new();
        while ids.len() < window {
            let number = match again.next() {
                Some(number) => number,
                None => {
                    let Some(number) = left.next() else { break };
                    open.push(number);
                    number
                }
            };
            next_id = next_id.checked_add(1).unwrap_or(1);
            ids.insert(next_id, number);
            packets.push(Packet::Publish(Publish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: topic.into(),
                packet_id: NonZeroU16::new(next_id),
                message_expiry: None,
                topic_alias: None,
                subscription_ids: vec![],
                properties: Properties::default(),
                payload: payload(number).into(),
            }));
        }
        wire.send_all(&packets).await?;
        if ids.is_empty() {
            return Some(());
        }
        if let Packet::PubAck(ack) = wire.read().await? {
            let number = ids.remove(&ack.packet_id.get()).expect("an acknowledgement is for a publish");
            if ack.reason.is_failure() {
                // refused, so not taken: it is sent again on a new connection
                return None;
            }
            open.retain(|n| *n != number);
        }
    }
}

/// What a subscriber got, in the order it came.
#[derive(Clone, Default)]
pub(crate) struct Got(Arc<Mutex<Vec<u64>>>);

impl Got {
    pub(crate) fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }

    /// The different numbers, in order.
    pub(crate) fn distinct(&self) -> Vec<u64> {
        let mut all = self.all();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Waits until every number has come; says which have not.
    pub(crate) async fn until_complete(&self, numbers: Range<u64>) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let got = self.distinct();
            if got.len() as u64 == numbers.end - numbers.start {
                assert_eq!(got, numbers.collect::<Vec<_>>());
                return;
            }
            if tokio::time::Instant::now() > deadline {
                let missing: Vec<u64> = numbers.filter(|n| got.binary_search(n).is_err()).collect();
                let [first, .., last] = missing[..] else { panic!("missing: {missing:?}") };
                let some = &missing[..missing.len().min(20)];
                panic!(
                    "{} have come; {} are missing, from {first} to {last}: {some:?}",
                    got.len(),
                    missing.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many came more than once.
    pub(crate) fn duplicates(&self) -> usize {
        self.all().len() - self.distinct().len()
    }
}

/// A subscriber with a session of its own. Returns once it is subscribed.
pub(crate) async fn subscribe(port: u16, filter: &str) -> (Got, JoinHandle<()>) {
    let got = Got::default();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let task = tokio::spawn({
        let got = got.clone();
        let filter = filter.to_owned();
        let mut ready = Some(ready);
        async move {
            loop {
                let mut connect = Connect::new(Version::V5, format!("subscriber-{filter}"));
                connect.clean_start = false;
                connect.session_expiry = 3600;
                if let Some((mut wire, present)) = Wire::connect(port, connect).await {
                    let _ = receive_on(&mut wire, present, &filter, &got, &mut ready).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    tokio::time::timeout(PATIENCE, is_ready).await.expect("it subscribes").unwrap();
    (got, task)
}

async fn receive_on(
    wire: &mut Wire,
    session_present: bool,
    filter: &str,
    got: &Got,
    ready: &mut Option<tokio::sync::oneshot::Sender<()>>,
) -> Option<()> {
    if !session_present {
        let subscribe = Subscribe {
            packet_id: NonZeroU16::MIN,
            subscriptions: vec![Subscription::new(filter, QoS::AtLeastOnce)],
            subscription_id: None,
            user_properties: vec![],
        };
        wire.send(&Packet::Subscribe(subscribe)).await?;
    }
    if let Some(ready) = ready.take_if(|_| session_present) {
        let _ = ready.send(());
    }
    loop {
        match wire.read().await? {
            Packet::SubAck(_) => {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
            }
            Packet::Publish(publish) => {
                got.0.lock().unwrap().push(std::str::from_utf8(&publish.payload).unwrap().parse().unwrap());
                if let Some(id) = publish.packet_id {
                    wire.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success))).await?;
                }
            }
            _ => {}
        }
    }
}
