//! The rules, with explicit time and no I/O. One file a theme.

mod conservation;
mod crashes;
mod full_queues;
mod owned;
mod records;
mod routing;
mod sessions;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tidegate_mqtt::{QoS, ReasonCode, Subscription, Will, flow};

use super::*;
use crate::message::Message;

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

/// A core, its clock, and clients that answer when they are told to.
struct World {
    core: Core,
    now: Instant,
}

/// A client of the wire, as far as the core sees it.
#[derive(Debug)]
struct Client {
    at: Attachment,
    session_present: bool,
    flow: flow::Session<Queued>,
    calls: Arc<Calls>,
    expiry_interval: u32,
}

/// Counts how often somebody was woken.
#[derive(Debug, Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Calls {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn message(topic: &str, payload: &str, qos: QoS) -> Message {
    Message { qos, ..Message::new(topic, payload.to_owned()) }
}

fn publication(message: Message, publisher: Option<Attachment>, received_at: Instant) -> Arc<Publication> {
    Arc::new(Publication::new(message, publisher, received_at))
}

fn payloads<'a>(copies: impl IntoIterator<Item = &'a Queued>) -> Vec<String> {
    let payload = |copy: &Queued| String::from_utf8(copy.publication.message.payload.to_vec()).unwrap();
    copies.into_iter().map(payload).collect()
}

impl World {
    fn new(limits: Limits) -> Self {
        Self { core: Core::new(limits), now: Instant::now() }
    }

    fn advance(&mut self, duration: Duration) {
        self.now += duration;
        let clock = self.core.clock.clone();
        self.core.tick(&clock, self.now);
        self.wake();
    }

    fn wake(&mut self) {
        self.core.take_woken().into_iter().for_each(Waker::wake);
    }

    fn ask(&self, client_id: &str, clean_start: bool, expiry_interval: u32) -> (Attach, Arc<Calls>) {
        let calls = Arc::new(Calls::default());
        let limits = &self.core.limits;
        let attach = Attach {
            client_id: client_id.into(),
            username: None,
            owner: None,
            address: Some(([127, 0, 0, 1], 1).into()),
            clean_start,
            expiry_interval,
            will: None,
            load_max: Load {
                messages: limits.queue_messages_max,
                bytes: limits.queue_bytes_max,
                from_store: 0,
            },
            waker: calls.clone().into(),
        };
        (attach, calls)
    }

    fn attach(&mut self, attach: &Attach, calls: Arc<Calls>) -> Poll<Result<Client, ReasonCode>> {
        let attached = self.core.attach(attach, self.now).map_ok(|attached| Client {
            at: attached.attachment,
            session_present: attached.session_present,
            flow: attached.flow,
            calls,
            expiry_interval: attach.expiry_interval,
        });
        self.wake();
        attached
    }

    fn connect_with(&mut self, client_id: &str, clean_start: bool, expiry_interval: u32) -> Client {
        let (attach, calls) = self.ask(client_id, clean_start, expiry_interval);
        match self.attach(&attach, calls) {
            Poll::Ready(Ok(mut client)) => {
                client.flow.outbound.connected(std::num::NonZeroU16::MAX);
                client
            }
            other => panic!("{other:?}"),
        }
    }

    /// A client whose session ends with its connection.
    fn connect(&mut self, client_id: &str) -> Client {
        self.connect_with(client_id, true, 0)
    }

    /// A client whose session goes on where it was, for ever.
    fn resume(&mut self, client_id: &str) -> Client {
        self.connect_with(client_id, false, u32::MAX)
    }

    fn disconnect(&mut self, client: Client) {
        self.part(client, true);
    }

    fn part(&mut self, client: Client, without_will: bool) {
        let leave = Leave { without_will, expiry_interval: client.expiry_interval };
        self.core.detach(client.at, client.flow, Load::default(), leave, self.now);
        self.wake();
    }

    fn subscribe(&mut self, client: &Client, filter: &str, qos: QoS) {
        assert!(!self.subscribe_with(client, &Subscription::new(filter, qos), None).is_failure());
    }

    fn subscribe_with(
        &mut self,
        client: &Client,
        subscription: &Subscription,
        id: Option<u32>,
    ) -> ReasonCode {
        let id = id.map(|id| id.try_into().unwrap());
        let reason = self.core.subscribe(client.at, subscription, id, self.now).unwrap();
        self.wake();
        reason
    }

    fn publish_as(&mut self, publisher: &Client, message: Message) -> Verdict {
        let waker = publisher.calls.clone().into();
        let publication = publication(message, Some(publisher.at), self.now);
        let verdict = self.core.accept(Publisher::new(&waker, false), &publication, self.now);
        self.wake();
        verdict
    }

    /// Somebody without a session publishes, and waits as `publisher` says.
    fn publish_by(&mut self, publisher: Publisher<'_>, message: Message) -> Verdict {
        let verdict = self.core.accept(publisher, &publication(message, None, self.now), self.now);
        self.wake();
        verdict
    }

    fn publish(&mut self, message: Message) -> Verdict {
        self.publish_by(SOMEBODY, message)
    }

    /// The same, by somebody who has waited for as long as a publish may.
    fn publish_at_last(&mut self, message: Message) -> Verdict {
        let verdict = self.core.accept_or_refuse(SOMEBODY, &publication(message, None, self.now), self.now);
        self.wake();
        verdict
    }

    /// Publishes what must find its way.
    fn send(&mut self, topic: &str, payload: &str, qos: QoS) {
        assert_eq!(self.publish(message(topic, payload, qos)), Verdict::Accepted { matched: true });
    }

    /// What a client is sent now; it does not answer.
    fn take(&mut self, client: &mut Client) -> Vec<Queued> {
        let mut copies = Vec::new();
        let room = client.flow.outbound.room();
        self.core.take(client.at, room, usize::MAX, self.now, &mut copies).unwrap();
        for copy in &copies {
            if copy.qos == Q0 {
                self.core.release(client.at, copy.load()).unwrap();
            } else {
                let id = client.flow.outbound.next_id().unwrap();
                client.flow.outbound.start(id, copy.qos == Q2, copy.clone());
            }
        }
        self.wake();
        copies
    }

    /// A client answers for everything it was sent.
    fn answer(&mut self, client: &mut Client) {
        let mut gone = Load::default();
        client.flow.outbound.drain().iter().for_each(|unfinished| gone += unfinished.message.load());
        client.flow.outbound.connected(std::num::NonZeroU16::MAX);
        self.core.release(client.at, gone).unwrap();
        self.wake();
    }

    /// What a client is sent now, and answers for.
    fn receive(&mut self, client: &mut Client) -> Vec<String> {
        let copies = self.take(client);
        self.answer(client);
        payloads(&copies)
    }

    fn dropped(&self) -> crate::stats::Dropped {
        self.core.spent.dropped
    }
}

const SOMEBODY: Publisher<'static> = Publisher { waker: Waker::noop(), patient: false, exactly_once: None };
