//! A publisher: keeps its window full, or its rate.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::atomic::Ordering;

use anyhow::{Context, ensure};
use bytes::{Bytes, BytesMut};
use tidegate_core::Properties;
use tidegate_mqtt::{
    Packet, PacketId, PacketType, PublishParts, QoS, ReasonCode, Version, encode_ack, encode_publish_head,
};
use tokio::sync::{mpsc, watch};

use super::client::{BUFFER_BYTES, Client};
use super::load::Load;
use super::payload::{Mark, Marks};
use super::{Event, Phase};

/// Waits for the start, publishes everything, leaves and tells so.
pub(crate) async fn run(
    client: Client,
    load: &Load,
    n: u16,
    phases: &mut watch::Receiver<Phase>,
    events: &mpsc::UnboundedSender<Event>,
) -> anyhow::Result<()> {
    let mut publisher = Publisher::new(client, load, n)?;
    publisher.idle(phases).await?;
    tokio::select! {
        published = publisher.publish_all() => published?,
        _ = phases.wait_for(|p| *p == Phase::Stop) => {}
    }
    publisher.client.leave();
    // the run may be over
    let _ = events.send(Event::Published);
    Ok(())
}

struct Publisher<'a> {
    client: Client,
    load: &'a Load,
    n: u16,
    /// A PUBLISH up to its payload.
    head: Bytes,
    /// The next message to send.
    sequence: u32,
    free_ids: VecDeque<PacketId>,
    window: usize,
    /// Messages due up to then, in nanoseconds since the start, were held up by the broker.
    held_up_until: u64,
}

impl<'a> Publisher<'a> {
    fn new(client: Client, load: &'a Load, n: u16) -> anyhow::Result<Self> {
        let mut head = BytesMut::new();
        let parts = PublishParts {
            dup: false,
            qos: load.qos,
            retain: false,
            topic: &load.publish_topic(n),
            packet_id: (load.qos != QoS::AtMostOnce).then_some(PacketId::MIN),
            message_expiry: None,
            topic_alias: None,
            subscription_ids: &[],
            properties: &Properties::default(),
            payload: &Bytes::copy_from_slice(load.payloads.of(0)),
        };
        encode_publish_head(&parts, Version::V5, &mut head).context("a publish can't be written")?;
        let window = load.window.min(client.receive_max);
        Ok(Self {
            client,
            load,
            n,
            head: head.freeze(),
            sequence: 0,
            free_ids: (1..=window).filter_map(NonZeroU16::new).collect(),
            window: window.into(),
            held_up_until: 0,
        })
    }

    /// Keeps the connection alive until the run begins.
    async fn idle(&mut self, phases: &mut watch::Receiver<Phase>) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                phase = phases.wait_for(|p| *p != Phase::Setup) => {
                    phase.context("nobody leads the run")?;
                    return Ok(());
                }
                progress = self.client.progress() => progress?,
            }
            while self.client.next()?.is_some() {}
        }
    }

    async fn publish_all(&mut self) -> anyhow::Result<()> {
        loop {
            self.fill();
            self.client.exchange()?;
            self.take_acks()?;
            let all_sent = self.sequence == self.load.messages && self.client.output.is_empty();
            if all_sent && self.free_ids.len() == self.window {
                self.load.publishing_ended.fetch_max(self.load.now(), Ordering::Relaxed);
                return Ok(());
            }
            let can_send = self.may_send() && self.client.output.is_empty();
            if !can_send {
                self.client.progress().await?;
                self.take_acks()?;
            } else if self.load.is_paced() {
                let due = self.load.moment(self.load.due(self.n, self.sequence));
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    progress = self.client.progress() => progress?,
                }
                self.take_acks()?;
            } else {
                // lets the other clients of this thread have their turn
                tokio::task::consume_budget().await;
            }
        }
    }

    fn may_send(&self) -> bool {
        self.sequence < self.load.messages && (self.load.qos == QoS::AtMostOnce || !self.free_ids.is_empty())
    }

    /// Appends what is due and allowed to the output.
    fn fill(&mut self) {
        let now = self.load.now();
        let first = self.sequence;
        while self.sequence < self.load.messages {
            let due = self.load.due(self.n, self.sequence);
            if due > now {
                break;
            }
            if !self.may_send() || self.client.output.len() >= BUFFER_BYTES {
                self.held_up_until = now;
                break;
            }
            // A message that the broker held up counts from when it was due, so that a stall is seen by all of them.
            let sent = if self.load.is_paced() && due <= self.held_up_until { due } else { now };
            self.append(Mark { publisher: self.n, sequence: self.sequence, sent });
            self.sequence += 1;
        }
        let appended = u64::from(self.sequence - first);
        self.load.published.fetch_add(appended, Ordering::Relaxed);
        if self.load.qos == QoS::AtMostOnce {
            self.load.acknowledged.fetch_add(appended, Ordering::Relaxed);
        }
    }

    fn append(&mut self, mark: Mark) {
        let output = &mut self.client.output;
        let start = output.len();
        output.extend_from_slice(&self.head);
        let payload = output.len();
        output.extend_from_slice(self.load.payloads.of(mark.sequence));
        if self.load.qos != QoS::AtMostOnce
            && let Some(id) = self.free_ids.pop_front()
        {
            // behind the identifier there is only the length of the property list, which is empty
            let at = start + self.head.len() - 3;
            output[at..at + 2].copy_from_slice(&id.get().to_be_bytes());
        }
        Marks::write(mark, self.load.payloads.mark_at(), &mut output[payload..]);
    }

    fn take_acks(&mut self) -> anyhow::Result<()> {
        let (mut acknowledged, mut refused) = (0, 0);
        while let Some(packet) = self.client.next()? {
            let ack = match packet {
                Packet::PubAck(ack) | Packet::PubComp(ack) => ack,
                Packet::PubRec(ack) if ack.reason.is_failure() => ack,
                Packet::PubRec(ack) => {
                    let output = &mut self.client.output;
                    encode_ack(PacketType::PubRel, ack.packet_id, ReasonCode::Success, Version::V5, output);
                    continue;
                }
                _ => continue,
            };
            ensure!(self.free_ids.len() < self.window, "the broker acknowledges what it was not sent");
            *(if ack.reason.is_failure() { &mut refused } else { &mut acknowledged }) += 1;
            self.free_ids.push_back(ack.packet_id);
        }
        self.load.acknowledged.fetch_add(acknowledged, Ordering::Relaxed);
        self.load.refused.fetch_add(refused, Ordering::Relaxed);
        Ok(())
    }
}
