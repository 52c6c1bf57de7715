//! The two halves of flow control: the sending one against a naive model, and both against each other over a
//! connection that breaks at any moment.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidegate_mqtt::flow::*;
use tidegate_mqtt::{PacketId, PacketType, ReasonCode};

#[derive(Clone, Debug)]
enum Step {
    Connected(u16),
    Start { exactly_once: bool },
    Resend,
    PubAck(Index),
    PubRec(Index, bool),
    PubComp(Index),
    GiveUp(Index),
    ReserveId,
    ReleaseId(Index),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        2 => (1..8u16).prop_map(Step::Connected),
        8 => any::<bool>().prop_map(|exactly_once| Step::Start { exactly_once }),
        4 => Just(Step::Resend),
        4 => index().prop_map(Step::PubAck),
        4 => (index(), any::<bool>()).prop_map(|(i, refused)| Step::PubRec(i, refused)),
        4 => index().prop_map(Step::PubComp),
        1 => index().prop_map(Step::GiveUp),
        2 => Just(Step::ReserveId),
        2 => index().prop_map(Step::ReleaseId),
        1 => Just(Step::Drain),
    ]
}

/// One message in flight as the model sees it, in a list in the order of sending.
#[derive(Clone, Debug)]
struct Entry {
    id: PacketId,
    message: u32,
    exactly_once: bool,
    released: bool,
    sent: bool,
}

#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    reserved: HashSet<PacketId>,
    receive_max: usize,
    messages: u32,
}

impl Model {
    fn sent(&self) -> usize {
        self.entries.iter().filter(|e| e.sent).count()
    }

    fn room(&self) -> usize {
        if self.entries.iter().all(|e| e.sent) { self.receive_max.saturating_sub(self.sent()) } else { 0 }
    }

    /// An identifier in flight, or one that is not.
    fn pick(&self, index: &Index) -> PacketId {
        let i = index.index(self.entries.len() + 1);
        self.entries.get(i).map_or(PacketId::MAX, |e| e.id)
    }

    fn find(&self, id: PacketId) -> Option<usize> {
        self.entries.iter().position(|e| e.id == id && e.sent)
    }

    fn complete(&mut self, id: PacketId, fits: impl Fn(&Entry) -> bool) -> Result<Option<u32>, Mismatch> {
        match self.find(id) {
            None => Ok(None),
            Some(i) if fits(&self.entries[i]) => Ok(Some(self.entries.remove(i).message)),
            Some(_) => Err(Mismatch),
        }
    }
}

fn run(outbound: &mut Outbound<u32>, model: &mut Model, step: Step) {
    match step {
        Step::Connected(receive_max) => {
            outbound.connected(NonZeroU16::new(receive_max).unwrap());
            model.receive_max = receive_max.into();
            model.reserved.clear();
            model.entries.iter_mut().for_each(|e| e.sent = false);
        }
        Step::Start { exactly_once } => {
            let id = outbound.next_id();
            assert_eq!(id.is_some(), model.room() > 0);
            let Some(id) = id else { return };
            assert!(!model.reserved.contains(&id) && model.entries.iter().all(|e| e.id != id));
            outbound.start(id, exactly_once, model.messages);
            let message = model.messages;
            model.messages += 1;
            model.entries.push(Entry { id, message, exactly_once, released: false, sent: true });
        }
        Step::Resend => {
            let full = model.sent() >= model.receive_max;
            let next = model.entries.iter_mut().find(|e| !e.sent).filter(|_| !full);
            let expected = next.map(|e| {
                e.sent = true;
                if e.released { Resend::PubRel(e.id) } else { Resend::Publish(e.id, &e.message) }
            });
            assert_eq!(outbound.next_resend(), expected);
        }
        Step::PubAck(index) => {
            let id = model.pick(&index);
            assert_eq!(outbound.puback(id), model.complete(id, |e| !e.exactly_once));
        }
        Step::PubRec(index, refused) => {
            let id = model.pick(&index);
            let expected = match model.find(id) {
                None => Ok(PubRecOutcome::NotFound),
                Some(i) if !model.entries[i].exactly_once => Err(Mismatch),
                Some(i) if refused && !model.entries[i].released => {
                    Ok(PubRecOutcome::Refused(model.entries.remove(i).message))
                }
                Some(i) => {
                    model.entries[i].released = true;
                    Ok(PubRecOutcome::Release)
                }
            };
            assert_eq!(outbound.pubrec(id, refused), expected);
        }
        Step::PubComp(index) => {
            let id = model.pick(&index);
            assert_eq!(outbound.pubcomp(id), model.complete(id, |e| e.released));
        }
        Step::GiveUp(index) => {
            let id = model.pick(&index);
            let at = model.entries.iter().position(|e| e.id == id);
            assert_eq!(outbound.give_up(id), at.map(|i| model.entries.remove(i).message));
        }
        Step::ReserveId => {
            let id = outbound.reserve_id().unwrap();
            assert!(model.entries.iter().all(|e| e.id != id));
            assert!(model.reserved.insert(id));
        }
        Step::ReleaseId(index) => {
            let Some(id) = model.reserved.iter().nth(index.index(model.reserved.len() + 1)).copied() else {
                return;
            };
            model.reserved.remove(&id);
            assert!(outbound.release_id(id));
            assert!(!outbound.release_id(id));
        }
        Step::Drain => {
            let unfinished: Vec<_> = model
                .entries
                .drain(..)
                .map(|e| Unfinished { message: e.message, taken: e.released })
                .collect();
            assert_eq!(outbound.drain(), unfinished);
        }
    }
    assert_eq!(outbound.len(), model.entries.len());
    assert_eq!(outbound.room(), model.room());
    assert!(model.sent() <= model.receive_max, "never more than the window");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn sending_goes_as_in_the_model(steps in vec(step(), 1..120)) {
        let (mut outbound, mut model) = (Outbound::new(), Model::default());
        for step in steps {
            run(&mut outbound, &mut model, step);
        }
    }
}

#[test]
fn identifiers_go_round_and_skip_what_is_in_use() {
    let mut outbound = Outbound::new();
    outbound.connected(NonZeroU16::MAX);
    let kept = outbound.next_id().unwrap();
    outbound.start(kept, false, ());
    let reserved = outbound.reserve_id().unwrap();
    let mut seen = HashSet::new();
    for _ in 0..3 * 65_535 {
        let id = outbound.next_id().unwrap();
        assert!(id != kept && id != reserved);
        seen.insert(id);
        outbound.start(id, false, ());
        assert_eq!(outbound.puback(id), Ok(Some(())));
    }
    assert_eq!(seen.len(), 65_533);
    while outbound.reserve_id().is_some() {}
    assert_eq!(outbound.next_id(), None, "all identifiers are taken");
}

#[test]
fn a_smaller_receive_maximum_holds_on_resume_pubrels_included() {
    let mut outbound = Outbound::new();
    outbound.connected(NonZeroU16::new(4).unwrap());
    let ids: Vec<_> = (0..4)
        .map(|i| {
            let id = outbound.next_id().unwrap();
            outbound.start(id, i != 1, i);
            id
        })
        .collect();
    assert_eq!(outbound.pubrec(ids[0], false), Ok(PubRecOutcome::Release));
    outbound.connected(NonZeroU16::new(2).unwrap());
    assert_eq!(outbound.pubcomp(ids[0]), Ok(None), "an answer to what was not sent on this connection");
    assert_eq!(outbound.next_resend(), Some(Resend::PubRel(ids[0])));
    assert_eq!(outbound.next_resend(), Some(Resend::Publish(ids[1], &1)));
    assert_eq!(outbound.next_resend(), None);
    assert_eq!(outbound.room(), 0);
    assert_eq!(outbound.pubcomp(ids[0]), Ok(Some(0)));
    assert_eq!(outbound.next_resend(), Some(Resend::Publish(ids[2], &2)));
    assert_eq!(outbound.puback(ids[1]), Ok(Some(1)));
    assert_eq!(outbound.room(), 0, "something still waits to be sent again");
    assert_eq!(outbound.next_resend(), Some(Resend::Publish(ids[3], &3)));
}

#[test]
fn acknowledgements_go_out_in_the_order_of_arrival_for_each_qos() {
    let id = |n| PacketId::new(n).unwrap();
    let mut inbound = Inbound::new();
    inbound.connected(NonZeroU16::MAX);
    let first = inbound.at_least_once(id(1)).unwrap();
    let Arrival::New(exact) = inbound.exactly_once(id(2)).unwrap() else { panic!("it is new") };
    let second = inbound.at_least_once(id(3)).unwrap();
    inbound.finish(second, ReasonCode::Success);
    assert_eq!(inbound.next_released(), None, "the first is not finished");
    inbound.finish(exact, ReasonCode::Success);
    let released =
        |packet_type, n| Some(Released { packet_type, packet_id: id(n), reason: ReasonCode::Success });
    assert_eq!(inbound.next_released(), released(PacketType::PubRec, 2));
    inbound.finish(first, ReasonCode::Success);
    assert_eq!(inbound.next_released(), released(PacketType::PubAck, 1));
    assert_eq!(inbound.next_released(), released(PacketType::PubAck, 3));
    assert_eq!(inbound.next_released(), None);
    assert_eq!(inbound.pubrel(id(2)), Ok(ReasonCode::Success));
    assert_eq!(inbound.pubrel(id(2)), Ok(ReasonCode::PacketIdentifierNotFound));
    assert_eq!(inbound.owed(), 0);
}

#[test]
fn a_qos_2_repeat_before_the_pubrec_is_no_new_message() {
    let id = PacketId::MIN;
    let mut inbound = Inbound::new();
    inbound.connected(NonZeroU16::MIN);
    let Arrival::New(receipt) = inbound.exactly_once(id).unwrap() else { panic!("it is new") };
    assert_eq!(inbound.exactly_once(id), Ok(Arrival::Repeat));
    assert_eq!(inbound.pubrel(id), Err(Mismatch), "the PUBREC has not gone out");
    inbound.connected(NonZeroU16::MIN);
    assert_eq!(inbound.exactly_once(id), Ok(Arrival::Repeat));
    assert_eq!(inbound.next_released(), None);
    inbound.finish(receipt, ReasonCode::Success);
    assert!(inbound.next_released().is_some(), "one answer to all of them");
    assert_eq!(inbound.next_released(), None);
    assert_eq!(inbound.exactly_once(id), Ok(Arrival::Repeat), "until its PUBREL");
    assert_eq!(inbound.pubrel(id), Ok(ReasonCode::Success));
    assert!(matches!(inbound.exactly_once(id), Ok(Arrival::New(_))));
}

#[test]
fn what_will_not_be_finished_counts_as_new_when_it_comes_again() {
    let id = PacketId::MIN;
    let mut inbound = Inbound::new();
    inbound.connected(NonZeroU16::MAX);
    let Arrival::New(lost) = inbound.exactly_once(id).unwrap() else { panic!("it is new") };
    inbound.forget_unfinished();
    inbound.connected(NonZeroU16::MAX);
    let Ok(Arrival::New(receipt)) = inbound.exactly_once(id) else { panic!("it is new again") };
    inbound.finish(lost, ReasonCode::Success);
    assert_eq!(inbound.next_released(), None, "the lost receipt is void");
    inbound.finish(receipt, ReasonCode::NotAuthorized);
    assert!(inbound.next_released().is_some_and(|r| r.reason == ReasonCode::NotAuthorized));
    assert_eq!(inbound.pubrel(id), Ok(ReasonCode::PacketIdentifierNotFound), "a refusal ends the exchange");
}

#[test]
fn receipts_of_qos_1_are_void_after_a_reconnect() {
    let mut inbound = Inbound::new();
    inbound.connected(NonZeroU16::MIN);
    let stale = inbound.at_least_once(PacketId::MIN).unwrap();
    assert_eq!(inbound.at_least_once(PacketId::MAX), Err(ReceiveMaximumExceeded));
    inbound.connected(NonZeroU16::MIN);
    let fresh = inbound.at_least_once(PacketId::MIN).unwrap();
    inbound.finish(stale, ReasonCode::Success);
    assert_eq!(inbound.next_released(), None);
    inbound.finish(fresh, ReasonCode::Success);
    assert!(inbound.next_released().is_some());
}

/// What goes over the simulated connection.
#[derive(Debug)]
enum OnTheWire {
    Publish { id: PacketId, exactly_once: bool, message: u32 },
    PubRel(PacketId),
    PubAck(PacketId),
    PubRec(PacketId),
    PubComp(PacketId),
}

/// A sender and a receiver, and what is under way between them.
struct Simulation {
    outbound: Outbound<(u32, bool)>,
    inbound: Inbound,
    there: VecDeque<OnTheWire>,
    back: VecDeque<OnTheWire>,
    to_send: VecDeque<(u32, bool)>,
    unfinished: Vec<Receipt>,
    deliveries: HashMap<u32, u32>,
    first_deliveries: Vec<(u32, bool)>,
    completed: HashSet<u32>,
}

impl Simulation {
    fn connect(&mut self, receive_max: u16) {
        let receive_max = NonZeroU16::new(receive_max).unwrap();
        self.there.clear();
        self.back.clear();
        self.outbound.connected(receive_max);
        self.inbound.connected(receive_max);
        self.resend();
    }

    fn resend(&mut self) {
        while let Some(resend) = self.outbound.next_resend() {
            self.there.push_back(match resend {
                Resend::Publish(id, &(message, exactly_once)) => {
                    OnTheWire::Publish { id, exactly_once, message }
                }
                Resend::PubRel(id) => OnTheWire::PubRel(id),
            });
        }
    }

    fn send(&mut self) {
        let Some((message, exactly_once)) = self.to_send.front().copied() else { return };
        let Some(id) = self.outbound.next_id() else { return };
        self.to_send.pop_front();
        self.outbound.start(id, exactly_once, (message, exactly_once));
        self.there.push_back(OnTheWire::Publish { id, exactly_once, message });
    }

    fn arrive_there(&mut self) {
        match self.there.pop_front() {
            Some(OnTheWire::Publish { id, exactly_once, message }) => {
                let arrival = if exactly_once {
                    self.inbound.exactly_once(id).unwrap()
                } else {
                    Arrival::New(self.inbound.at_least_once(id).unwrap())
                };
                if let Arrival::New(receipt) = arrival {
                    self.unfinished.push(receipt);
                    let count = self.deliveries.entry(message).or_default();
                    *count += 1;
                    assert!(*count == 1 || !exactly_once, "QoS 2 is delivered once");
                    if *count == 1 {
                        self.first_deliveries.push((message, exactly_once));
                    }
                }
            }
            Some(OnTheWire::PubRel(id)) => {
                self.inbound.pubrel(id).unwrap();
                self.back.push_back(OnTheWire::PubComp(id));
            }
            other => assert!(other.is_none()),
        }
        self.acknowledge();
    }

    fn finish(&mut self, index: usize) {
        let receipt = self.unfinished.swap_remove(index);
        self.inbound.finish(receipt, ReasonCode::Success);
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        while let Some(released) = self.inbound.next_released() {
            self.back.push_back(match released.packet_type {
                PacketType::PubAck => OnTheWire::PubAck(released.packet_id),
                _ => OnTheWire::PubRec(released.packet_id),
            });
        }
    }

    fn arrive_back(&mut self) {
        let completed = match self.back.pop_front() {
            Some(OnTheWire::PubAck(id)) => Some(self.outbound.puback(id).unwrap().unwrap()),
            Some(OnTheWire::PubComp(id)) => Some(self.outbound.pubcomp(id).unwrap().unwrap()),
            Some(OnTheWire::PubRec(id)) => {
                assert_eq!(self.outbound.pubrec(id, false), Ok(PubRecOutcome::Release));
                self.there.push_back(OnTheWire::PubRel(id));
                None
            }
            _ => None,
        };
        if let Some((message, _)) = completed {
            assert!(self.completed.insert(message), "completed once");
            self.resend();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_message_arrives_and_qos_2_once_however_often_the_connection_breaks(
        messages in vec(any::<bool>(), 1..40),
        steps in vec((0..20u8, any::<Index>(), 1..6u16), 0..400),
    ) {
        let count = messages.len();
        let mut s = Simulation {
            outbound: Outbound::new(),
            inbound: Inbound::new(),
            there: VecDeque::new(),
            back: VecDeque::new(),
            to_send: messages.into_iter().enumerate().map(|(i, qos2)| (i as u32, qos2)).collect(),
            unfinished: Vec::new(),
            deliveries: HashMap::new(),
            first_deliveries: Vec::new(),
            completed: HashSet::new(),
        };
        s.connect(3);
        for (kind, index, receive_max) in steps {
            match kind {
                0 => s.connect(receive_max),
                1..=4 => s.send(),
                5..=9 => s.arrive_there(),
                10..=14 => s.arrive_back(),
                _ if s.unfinished.is_empty() => {}
                _ => s.finish(index.index(s.unfinished.len())),
            }
        }
        // Then nothing breaks any more, and everything comes to its end.
        while s.completed.len() < count {
            s.send();
            s.arrive_there();
            if !s.unfinished.is_empty() {
                s.finish(0);
            }
            s.arrive_back();
        }
        prop_assert!(s.outbound.is_empty());
        prop_assert_eq!(s.deliveries.len(), count);
        for qos2 in [false, true] {
            let order: Vec<_> = s.first_deliveries.iter().filter(|d| d.1 == qos2).map(|d| d.0).collect();
            prop_assert!(order.is_sorted(), "in the order sent: {:?}", order);
        }
        while let Some(receipt) = s.unfinished.pop() {
            s.inbound.finish(receipt, ReasonCode::Success);
        }
        s.acknowledge();
        prop_assert_eq!(s.inbound.owed(), 0, "nothing is left behind");
    }
}
