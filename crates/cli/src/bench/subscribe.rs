//! A subscriber: acknowledges, and counts what came.

use parking_lot::Mutex;
use tidegate_mqtt::{Packet, PacketType, QoS, ReasonCode, Version, encode_ack};
use tokio::sync::watch;

use super::Phase;
use super::client::Client;
use super::load::Load;
use super::tally::Received;

/// Receives until the end.
pub(crate) async fn run(
    mut client: Client,
    load: &Load,
    n: u16,
    received: &Mutex<Received>,
    phases: &mut watch::Receiver<Phase>,
) -> anyhow::Result<()> {
    // of each publisher, the message after the latest that came
    let mut next = vec![0; load.publishers.into()];
    loop {
        tokio::select! {
            _ = phases.wait_for(|p| *p == Phase::Stop) => break,
            progress = client.progress() => progress?,
        }
        take(&mut client, load, load.copy_of(n), &mut next, &mut received.lock())?;
        client.exchange()?;
    }
    client.leave();
    Ok(())
}

fn take(
    client: &mut Client,
    load: &Load,
    copy: u16,
    next: &mut [u32],
    received: &mut Received,
) -> anyhow::Result<()> {
    let now = load.now();
    let mut came = 0;
    while let Some(packet) = client.next()? {
        let (answer, id) = match &packet {
            Packet::Publish(publish) => {
                match load.marks.find(&publish.payload) {
                    Some(mark) => match load.seen.first(copy, mark.publisher, mark.sequence) {
                        Some(true) => {
                            came += 1;
                            received.latency.record(now.saturating_sub(mark.sent));
                            received.ended = now;
                            let next = &mut next[usize::from(mark.publisher)];
                            received.reordered += u64::from(mark.sequence < *next);
                            *next = (*next).max(mark.sequence.saturating_add(1));
                        }
                        Some(false) => received.duplicated += 1,
                        None => received.foreign += 1,
                    },
                    None => received.foreign += 1,
                }
                let answer =
                    if publish.qos == QoS::ExactlyOnce { PacketType::PubRec } else { PacketType::PubAck };
                (answer, publish.packet_id)
            }
            Packet::PubRel(ack) => (PacketType::PubComp, Some(ack.packet_id)),
            _ => continue,
        };
        if let Some(id) = id {
            encode_ack(answer, id, ReasonCode::Success, Version::V5, &mut client.output);
        }
    }
    if came > 0 {
        load.count_received(came);
    }
    Ok(())
}
