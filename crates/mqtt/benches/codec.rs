//! Nanoseconds to decode and to encode one PUBLISH, ours and `mqtt-protocol-core`'s in the same run:
//! `cargo bench -p tidegate-mqtt --bench codec`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, no product")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::common::{ArcPayload, Cursor};
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData};
use mqtt_protocol_core::mqtt::packet::{self as theirs, v5_0};
use tidegate_core::{PropertiesBuilder, Property};
use tidegate_mqtt::{Decoder, PacketId, Publish, QoS, Version, encode_publish};

const TOPIC: &str = "plant/line7/press/telemetry";
const USER_PROPERTIES: [(&str, &str); 2] = [("source", "press-07"), ("schema", "telemetry:3")];
const BATCH: usize = 256;
const ROUNDS: usize = 2000;

fn main() {
    println!("{:<44} {:>8} {:>8}", "256-byte payload, ns per packet (median)", "ours", "theirs");
    for (name, qos, properties) in [
        ("QoS 0", QoS::AtMostOnce, &[][..]),
        ("QoS 1, two user properties", QoS::AtLeastOnce, &USER_PROPERTIES[..]),
    ] {
        let publish = publish(qos, properties);
        let mut stream = BytesMut::new();
        for _ in 0..BATCH {
            encode_publish(&publish.parts(), Version::V5, &mut stream).unwrap();
        }
        let decode = format!("decode {name}");
        println!("{decode:<44} {:>8.0} {:>8.0}", ours_decode(&stream), theirs_decode(&stream));
        let encode = format!("encode {name}");
        println!("{encode:<44} {:>8.0} {:>8.0}", ours_encode(&publish), theirs_encode(&publish, properties));
    }
}

fn publish(qos: QoS, user_properties: &[(&str, &str)]) -> Publish {
    let mut properties = PropertiesBuilder::default();
    for (name, value) in user_properties {
        assert!(properties.push(Property::UserProperty(name, value)));
    }
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: TOPIC.into(),
        packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
        message_expiry: None,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: properties.build().unwrap(),
        payload: vec![b'x'; 256].into(),
    }
}

/// The median time of one of `BATCH` operations over many rounds.
fn median(mut round: impl FnMut() -> Duration) -> f64 {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    times.sort_unstable();
    times[ROUNDS / 2].as_nanos() as f64 / BATCH as f64
}

fn ours_decode(stream: &BytesMut) -> f64 {
    let mut input = BytesMut::new();
    let mut decoder = Decoder::for_client(Version::V5, 1 << 20);
    median(|| {
        input.extend_from_slice(stream);
        let start = Instant::now();
        while let Some(packet) = decoder.decode(&mut input).unwrap() {
            black_box(packet);
        }
        start.elapsed()
    })
}

fn theirs_decode(stream: &BytesMut) -> f64 {
    let mut builder = PacketBuilder::with_maximum_packet_size(1 << 20);
    median(|| {
        let start = Instant::now();
        let mut cursor = Cursor::new(&stream[..]);
        while let PacketBuildResult::Complete(raw) = builder.feed(&mut cursor) {
            let flags = raw.flags();
            let PacketData::Publish(body) = raw.data else { unreachable!("only PUBLISH was written") };
            black_box(v5_0::Publish::parse(flags, body).unwrap());
        }
        start.elapsed()
    })
}

fn ours_encode(publish: &Publish) -> f64 {
    let mut out = BytesMut::with_capacity(1 << 20);
    median(|| {
        out.clear();
        let start = Instant::now();
        for _ in 0..BATCH {
            encode_publish(&black_box(publish).parts(), Version::V5, &mut out).unwrap();
        }
        start.elapsed()
    })
}

fn theirs_encode(publish: &Publish, user_properties: &[(&str, &str)]) -> f64 {
    let mut out = BytesMut::with_capacity(1 << 20);
    let payload = Arc::<[u8]>::from(&publish.payload[..]);
    median(|| {
        out.clear();
        let start = Instant::now();
        for _ in 0..BATCH {
            let mut builder = v5_0::Publish::builder()
                .topic_name(black_box(TOPIC))
                .unwrap()
                .qos(theirs::Qos::try_from(publish.qos as u8).unwrap())
                .payload(ArcPayload::new(payload.clone(), 0, payload.len()));
            if let Some(id) = publish.packet_id {
                builder = builder.packet_id(id.get());
            }
            let properties = user_properties.iter().map(|(name, value)| {
                theirs::Property::UserProperty(theirs::UserProperty::new(*name, *value).unwrap())
            });
            builder = builder.props(properties.collect::<Vec<_>>());
            let packet = builder.build().unwrap();
            for slice in packet.to_buffers() {
                out.extend_from_slice(&slice);
            }
        }
        start.elapsed()
    })
}
