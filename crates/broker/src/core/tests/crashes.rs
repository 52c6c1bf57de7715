//! Whatever happens and whenever the power goes: what comes back from the journal is the state of the core at the last
//! record that is on disk, and no answer was given for what is not.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidegate_log::sim::{Faults, SimDisk};
use tidegate_log::{Log, Writer};
use tidegate_mqtt::PacketId;

use super::*;
use crate::durability::JournalLimits;

const TOPICS: [&str; 3] = ["t/1", "t/2", "u"];
const FILTERS: [&str; 5] = ["t/+", "#", "u", "$share/g/t/+", "$share/g/#"];
const CLIENTS: usize = 3;

/// More packet identifiers than a run uses.
const PACKET_IDS: u16 = 600;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        topic: usize,
        qos: u8,
        retain: bool,
        empty: bool,
    },
    /// A client publishes with QoS 2, and does not send the PUBREL.
    PublishExactlyOnce {
        client: usize,
        topic: usize,
    },
    /// It releases the oldest of those.
    Release {
        client: usize,
    },
    Come {
        client: usize,
        wire: bool,
        clean_start: bool,
        expiry_interval: u32,
    },
    Leave {
        client: usize,
    },
    Subscribe {
        client: usize,
        filter: usize,
        qos: u8,
    },
    Unsubscribe {
        client: usize,
        filter: usize,
    },
    /// The sessions of links are to be those of the clients from this one on, with this subscription.
    Reassign {
        from: usize,
        filter: usize,
    },
    /// It takes some of what waits for it, and answers for some of what it was sent.
    Take {
        client: usize,
        max: usize,
    },
    Answer {
        client: usize,
        count: usize,
    },
    /// The log puts on disk what it has.
    Commit,
    Crash {
        power_lasts: Option<u64>,
        kill: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    prop_oneof![
        12 => (0..TOPICS.len(), 0..3u8, prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(topic, qos, retain, empty)| Step::Publish { topic, qos, retain, empty }),
        2 => (client(), 0..TOPICS.len())
            .prop_map(|(client, topic)| Step::PublishExactlyOnce { client, topic }),
        1 => client().prop_map(|client| Step::Release { client }),
        4 => (client(), any::<bool>(), prop::bool::weighted(0.3), prop_oneof![Just(3600), Just(u32::MAX)])
            .prop_map(|(client, wire, clean_start, expiry_interval)| {
                Step::Come { client, wire, clean_start, expiry_interval }
            }),
        2 => client().prop_map(|client| Step::Leave { client }),
        4 => (client(), 0..FILTERS.len(), 1..3u8)
            .prop_map(|(client, filter, qos)| Step::Subscribe { client, filter, qos }),
        1 => (client(), 0..FILTERS.len()).prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
        1 => (client(), 0..FILTERS.len()).prop_map(|(from, filter)| Step::Reassign { from, filter }),
        5 => (client(), 1..6usize).prop_map(|(client, max)| Step::Take { client, max }),
        5 => (client(), 1..6usize).prop_map(|(client, count)| Step::Answer { client, count }),
        6 => Just(Step::Commit),
        2 => (prop::option::of(0..12u64), any::<bool>())
            .prop_map(|(power_lasts, kill)| Step::Crash { power_lasts, kill }),
    ]
}

/// What the journal is to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// By the name of the client and the number of the session.
    sessions: BTreeMap<(String, u64), KeptSession>,
    retained: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KeptSession {
    expiry_interval: u32,
    subscriptions: BTreeMap<String, u8>,
    received: BTreeSet<PacketId>,
    /// How many copies of each message wait for it, by payload, QoS and whether they came from the store.
    messages: BTreeMap<(String, u8, bool), usize>,
}

impl Kept {
    fn payloads(&self) -> BTreeSet<&str> {
        let messages = self.sessions.values().flat_map(|session| session.messages.keys());
        messages.map(|(payload, ..)| payload.as_str()).collect()
    }

    /// It is one of the two, or on the way from one to the other.
    fn is_between(&self, one: &Self, other: &Self) {
        between(&self.sessions, &one.sessions, &other.sessions, |session, one, other| {
            assert!([one.expiry_interval, other.expiry_interval].contains(&session.expiry_interval));
            between(&session.subscriptions, &one.subscriptions, &other.subscriptions, |qos, one, other| {
                assert!(qos == one || qos == other);
            });
            let (least, most) = (&one.received & &other.received, &one.received | &other.received);
            assert!(session.received.is_superset(&least) && session.received.is_subset(&most));
            let count = |session: &KeptSession, key| session.messages.get(key).copied().unwrap_or(0);
            let keys = [session, one, other].into_iter().flat_map(|session| session.messages.keys());
            for key in keys {
                let (one, other) = (count(one, key), count(other, key));
                let found = count(session, key);
                assert!(
                    (one.min(other)..=one.max(other)).contains(&found),
                    "{key:?}: {found} in place of {one} or {other}"
                );
            }
        });
        between(&self.retained, &one.retained, &other.retained, |payload, one, other| {
            assert!(payload == one || payload == other);
        });
        // a message may change hands within a group
        for payload in &one.payloads() & &other.payloads() {
            assert!(self.payloads().contains(payload), "{payload} is nobody's");
        }
    }
}

fn between<K: Ord + std::fmt::Debug, V>(
    found: &BTreeMap<K, V>,
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    check: impl Fn(&V, &V, &V),
) {
    for (key, value) in found {
        let (one, other) = (one.get(key).or(other.get(key)), other.get(key).or(one.get(key)));
        let (Some(one), Some(other)) = (one, other) else { panic!("{key:?} is invented") };
        check(value, one, other);
    }
    for key in one.keys().filter(|key| other.contains_key(key)) {
        assert!(found.contains_key(key), "{key:?} is lost");
    }
}

struct Ledger {
    world: World,
    clients: Vec<Option<(Client, bool)>>,
    disk: SimDisk,
    faults: Faults,
    log: Log,
    writer: Writer,
    /// What was to be kept when the journal had so many records.
    past: Vec<(u64, Kept)>,
    last_packet_id: u16,
}

fn packet_ids() -> impl Iterator<Item = PacketId> {
    (1..PACKET_IDS).filter_map(PacketId::new)
}

/// Opens the log; gives how many records it had, too.
fn open(disk: &SimDisk, now: Instant) -> (Core, Log, Writer, u64) {
    let options = tidegate_log::Options {
        bytes_max: 1 << 20,
        segment_bytes_max: 16 << 10,
        unsynced_bytes_max: 16 << 10,
        sync_bytes_max: 1 << 10,
        recent_bytes_max: 0,
        ..tidegate_log::Options::default()
    };
    let (log, mut writer) = Log::open_stepped(Arc::new(disk.clone()), options).unwrap();
    writer.commit();
    assert_eq!(log.durable_end(), log.end());
    let limits = JournalLimits {
        log_bytes_max: 1 << 20,
        disk_free_bytes_min: 0,
        backlog_bytes_max: 1 << 20,
        clean_bytes_min: 0,
    };
    let mut core = Core::new(Limits::default());
    let (image, records) = (read(&log).unwrap(), log.end().number);
    core.restore(log.clone(), limits, image, now);
    (core, log, writer, records)
}

impl Ledger {
    fn new(seed: u64, faulty: bool) -> Self {
        let disk = SimDisk::new(seed);
        let now = Instant::now();
        let (core, log, writer, _) = open(&disk, now);
        let often = if faulty { 0.2 } else { 0.0 };
        let faults = Faults { sync: often, write: often / 2.0, short_write: often, ..Faults::default() };
        disk.set_faults(faults);
        let mut ledger = Self {
            world: World { core, now },
            clients: (0..CLIENTS).map(|_| None).collect(),
            disk,
            faults,
            log,
            writer,
            past: Vec::new(),
            last_packet_id: 0,
        };
        ledger.past.push((0, Kept::default()));
        ledger
    }

    fn kept(&self) -> Kept {
        let core = &self.world.core;
        let mut kept = Kept::default();
        for (at, session) in &core.sessions.0 {
            let Some(number) = session.keeps_messages() else { continue };
            let client = self.clients.iter().flatten().map(|(client, _)| client);
            let flow = client
                .filter(|client| client.at.session.0 == at)
                .find(|client| session.connection.as_ref().is_some_and(|c| c.number == client.at.connection))
                .map_or(&session.flow, |client| &client.flow);
            let in_flight = packet_ids().filter_map(|id| flow.outbound.get(id));
            let copies = in_flight.chain(&session.unacked).chain(&session.queue);
            let mut messages = BTreeMap::new();
            for copy in copies.filter(|copy| copy.qos > Q0) {
                let key = (payloads([copy]).remove(0), copy.qos as u8, copy.from_store);
                *messages.entry(key).or_default() += 1;
            }
            let subscriptions = session.subscriptions.iter();
            let client_id = session.client_id.to_string();
            let session = KeptSession {
                expiry_interval: session.expiry_interval,
                subscriptions: subscriptions.map(|(f, o)| (f.to_string(), o.qos as u8)).collect(),
                received: session.received.clone(),
                messages,
            };
            kept.sessions.insert((client_id, number), session);
        }
        core.retained.select("#", self.world.now, |publication| {
            let payload = String::from_utf8(publication.message.payload.to_vec()).unwrap();
            kept.retained.insert(publication.message.topic.to_string(), payload);
        });
        kept
    }

    /// Takes note of what is to be kept now. `promised` is whether a change is answered for.
    fn note(&mut self, promised: bool) {
        let core = &mut self.world.core;
        let demand = core.settle();
        core.journal.as_mut().unwrap().demand();
        let records = core.settle().unwrap();
        if self.log.end().byte - self.log.durable_end().byte > 8 << 10 {
            self.disk.set_faults(Faults::default());
            self.writer.commit();
            self.disk.set_faults(self.faults);
        }
        let kept = self.kept();
        if promised && self.past.last().is_none_or(|(_, before)| *before != kept) {
            let demand = demand.expect("the answer waits");
            assert!(self.past.last().is_none_or(|(before, _)| *before < demand));
        }
        self.past.push((records, kept));
    }

    fn publish(&mut self, message: Message, by: Option<(usize, PacketId)>) {
        let publisher = by.and_then(|(number, _)| self.clients[number].as_ref()).map(|(client, _)| client.at);
        let exactly_once = by.map(|(_, id)| id);
        let publication = publication(message, publisher, self.world.now);
        self.world.core.accept(Publisher { exactly_once, ..SOMEBODY }, &publication, self.world.now);
    }

    fn come(&mut self, number: usize, wire: bool, clean_start: bool, expiry_interval: u32) {
        if self.clients[number].is_some() {
            return;
        }
        let (mut attach, calls) = self.world.ask(&format!("c{number}"), clean_start, expiry_interval);
        attach.address = attach.address.filter(|_| wire);
        attach.owner = Some("links".into()).filter(|_| !wire);
        let Poll::Ready(Ok(mut client)) = self.world.attach(&attach, calls) else { panic!("it was away") };
        client.flow.outbound.connected(std::num::NonZeroU16::MAX);
        while client.flow.outbound.next_resend().is_some() {}
        self.clients[number] = Some((client, wire));
    }

    fn take(&mut self, number: usize, max: usize) {
        let Self { world, clients, .. } = self;
        let Some((client, wire)) = &mut clients[number] else { return };
        let mut copies = Vec::new();
        if !*wire {
            return world.core.hand_out(client.at, max, Waker::noop(), world.now, &mut copies).unwrap();
        }
        world.core.take(client.at, max, usize::MAX, world.now, &mut copies).unwrap();
        for copy in copies {
            if copy.qos == Q0 {
                world.core.release(client.at, copy.load()).unwrap();
                continue;
            }
            let id = client.flow.outbound.next_id().unwrap();
            if let (Q2, Some(copy)) = (copy.qos, copy.id()) {
                world.core.sent(copy, id, false);
            }
            client.flow.outbound.start(id, copy.qos == Q2, copy);
        }
    }

    fn answer(&mut self, number: usize, count: usize) {
        let Self { world, clients, .. } = self;
        let Some((client, wire)) = &mut clients[number] else { return };
        if !*wire {
            let unacked = world.core.sessions[client.at.session].unacked.len();
            return world.core.acknowledge(client.at, count.min(unacked)).unwrap();
        }
        let outbound = &mut client.flow.outbound;
        let ids: Vec<_> = packet_ids().filter(|id| outbound.get(*id).is_some()).take(count).collect();
        for id in ids {
            let done = if outbound.get(id).unwrap().qos == Q2 {
                outbound.pubrec(id, false).unwrap();
                outbound.pubcomp(id)
            } else {
                outbound.puback(id)
            };
            let copy = done.unwrap().unwrap();
            world.core.spent.done.extend(copy.id());
            world.core.release(client.at, copy.load()).unwrap();
        }
    }

    fn crash(&mut self, power_lasts: Option<u64>, kill: bool) {
        if let Some(calls) = power_lasts {
            self.disk.cut_power_after(calls);
            self.writer.commit();
            // the journal may see that more is on disk, and let the log go
            self.world.core.settle();
        }
        let promised = self.log.durable_end().number;
        self.disk.set_faults(Faults::default());
        if kill && !self.disk.is_down() {
            self.disk.restart_after_kill();
        } else {
            self.disk.restart_after_power_cut();
        }
        self.clients.iter_mut().for_each(|client| *client = None);
        let records;
        (self.world.core, self.log, self.writer, records) = open(&self.disk, self.world.now);
        self.disk.set_faults(self.faults);
        assert!(records >= promised);

        let next = self.past.partition_point(|(before, _)| *before <= records);
        let (before, last) = &self.past[next - 1];
        let next = if *before == records { last } else { &self.past[next].1 };
        let kept = self.kept();
        kept.is_between(last, next);
        for (_, session) in &self.world.core.sessions.0 {
            let told_apart = payloads(&session.queue).into_iter().filter(|payload| !payload.is_empty());
            assert!(told_apart.is_sorted(), "out of order");
        }
        self.past = vec![(records, kept)];
    }

    fn step(&mut self, number: usize, step: Step) {
        // long enough for the log to have many blocks
        let payload = format!("{number:0>100}");
        let promised = match step {
            Step::Publish { topic, qos, retain, empty } => {
                let payload = if retain && empty { "" } else { &payload };
                let qos = QoS::from_number(qos).unwrap();
                self.publish(Message { retain, ..message(TOPICS[topic], payload, qos) }, None);
                qos > Q0
            }
            Step::PublishExactlyOnce { client, topic } => {
                if self.clients[client].is_none() {
                    return;
                }
                self.last_packet_id += 1;
                let id = PacketId::new(self.last_packet_id).unwrap();
                self.publish(message(TOPICS[topic], &payload, Q2), Some((client, id)));
                true
            }
            Step::Release { client } => {
                let Some((client, _)) = &self.clients[client] else { return };
                let first = self.world.core.sessions[client.at.session].received.first().copied();
                let Some(id) = first else { return };
                self.world.core.released(client.at, id).unwrap();
                true
            }
            Step::Come { client, wire, clean_start, expiry_interval } => {
                self.come(client, wire, clean_start, expiry_interval);
                true
            }
            Step::Leave { client } => {
                if let Some((client, _)) = self.clients[client].take() {
                    self.world.disconnect(client);
                }
                false
            }
            Step::Subscribe { client, filter, qos } => {
                let Some((client, _)) = &self.clients[client] else { return };
                self.world.subscribe(client, FILTERS[filter], QoS::from_number(qos).unwrap());
                true
            }
            Step::Unsubscribe { client, filter } => {
                let Some((client, _)) = &self.clients[client] else { return };
                self.world.core.unsubscribe(client.at, FILTERS[filter]).unwrap();
                true
            }
            Step::Reassign { from, filter } => {
                let clients: Vec<_> = (from..CLIENTS).map(|client| format!("c{client}").into()).collect();
                let wanted = [Subscription::new(FILTERS[filter], Q1)];
                self.world.core.reassign("links", &clients, &wanted, self.world.now);
                false
            }
            Step::Take { client, max } => {
                self.take(client, max);
                false
            }
            Step::Answer { client, count } => {
                self.answer(client, count);
                false
            }
            Step::Commit => {
                self.writer.commit();
                false
            }
            Step::Crash { power_lasts, kill } => {
                self.crash(power_lasts, kill);
                false
            }
        };
        self.note(promised);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn what_was_promised_comes_back_after_any_crash(
        seed in any::<u64>(),
        faulty in any::<bool>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut ledger = Ledger::new(seed, faulty);
        for (number, step) in steps.into_iter().enumerate() {
            ledger.step(number, step);
        }
        ledger.crash(None, false);
    }
}

#[test]
fn a_retained_message_is_deleted_on_disk_before_that_is_answered_though_the_log_is_full() {
    let mut ledger = Ledger::new(1, false);
    let retained = |payload: &str| Message { retain: true, ..message("r", payload, Q1) };
    ledger.publish(retained("old"), None);
    let mut keeper = ledger.world.resume("keeper");
    ledger.world.subscribe(&keeper, "t", Q1);
    ledger.writer.commit();
    while matches!(ledger.world.publish(message("t", &"x".repeat(200), Q1)), Verdict::Accepted { .. }) {
        ledger.world.core.settle();
    }
    // until not even that one of them is done with finds room
    let taken = ledger.world.take(&mut keeper);
    let mut taken = taken.iter();
    let mut records = 0;
    while records < ledger.log.end().number {
        records = ledger.log.end().number;
        ledger.world.core.spent.done.extend(taken.next().expect("it is nearly full").id());
        ledger.world.core.settle();
    }
    ledger.publish(retained(""), None);
    let demand = ledger.world.core.settle().expect("the answer waits");
    assert!(demand > ledger.log.end().number, "for a record that has no room yet");
    while ledger.log.durable_end().number < demand {
        ledger.writer.commit();
        ledger.world.core.keep_journal(ledger.world.now);
        ledger.world.core.settle();
    }
    ledger.disk.restart_after_power_cut();
    let (core, ..) = open(&ledger.disk, ledger.world.now);
    assert_eq!(core.retained.count(), 0);
}
