//! Whatever happens: what was accepted for a session is sent to it, in order, until it is answered for, and the books
//! balance.

use std::collections::VecDeque;

use proptest::prelude::*;
use tidegate_mqtt::PacketId;
use tidegate_mqtt::flow::Resend;

use super::*;

const TOPICS: [&str; 3] = ["t/1", "t/2", "u"];
const FILTERS: [&str; 3] = ["t/+", "#", "u"];
const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody publishes.
    Publish {
        topic: usize,
        qos: u8,
    },
    /// A client comes, over the wire or by a link.
    Come {
        client: usize,
        wire: bool,
    },
    Leave {
        client: usize,
    },
    Subscribe {
        client: usize,
        filter: usize,
        shared: bool,
    },
    /// It takes some of what waits for it.
    Take {
        client: usize,
        max: usize,
    },
    /// It answers for the oldest of what it was sent.
    Answer {
        client: usize,
        count: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..TOPICS.len(), 0..3u8).prop_map(|(topic, qos)| Step::Publish { topic, qos }),
        2 => (0..CLIENTS, any::<bool>()).prop_map(|(client, wire)| Step::Come { client, wire }),
        1 => (0..CLIENTS).prop_map(|client| Step::Leave { client }),
        2 => (0..CLIENTS, 0..FILTERS.len(), prop::bool::weighted(0.3))
            .prop_map(|(client, filter, shared)| Step::Subscribe { client, filter, shared }),
        3 => (0..CLIENTS, 1..4usize).prop_map(|(client, max)| Step::Take { client, max }),
        3 => (0..CLIENTS, 1..4usize).prop_map(|(client, count)| Step::Answer { client, count }),
    ]
}

/// A client by the book.
#[derive(Default)]
struct Book {
    client: Option<Client>,
    wire: bool,
    /// The filters it subscribed to for itself.
    filters: Vec<usize>,
    /// The QoS 1 and 2 messages it is to be sent by those.
    due: VecDeque<String>,
    /// What it was sent; with the identifier, over the wire.
    unanswered: VecDeque<(Option<PacketId>, Queued)>,
}

struct Ledger {
    world: World,
    books: Vec<Book>,
    /// Which filters have been shared.
    groups: [bool; FILTERS.len()],
    /// QoS 1 and 2 messages accepted for groups, and sent for them and not taken back.
    shared_accepted: usize,
    shared_sent: usize,
}

fn covers(filter: usize, topic: usize) -> bool {
    tidegate_mqtt::topic::matches(FILTERS[filter], TOPICS[topic])
}

impl Ledger {
    fn new() -> Self {
        Self {
            world: World::new(Limits { queue_messages_max: 4, ..Limits::default() }),
            books: (0..CLIENTS).map(|_| Book::default()).collect(),
            groups: [false; FILTERS.len()],
            shared_accepted: 0,
            shared_sent: 0,
        }
    }

    fn publish(&mut self, topic: usize, qos: QoS, payload: &str) {
        let verdict = self.world.publish(message(TOPICS[topic], payload, qos));
        if qos == Q0 || !matches!(verdict, Verdict::Accepted { .. }) {
            return;
        }
        for book in &mut self.books {
            if book.filters.iter().any(|filter| covers(*filter, topic)) {
                book.due.push_back(payload.to_owned());
            }
        }
        self.shared_accepted += (0..FILTERS.len()).filter(|f| self.groups[*f] && covers(*f, topic)).count();
    }

    fn come(&mut self, number: usize, wire: bool) {
        if self.books[number].client.is_some() {
            return;
        }
        let (mut attach, calls) = self.world.ask(&format!("c{number}"), false, u32::MAX);
        attach.address = attach.address.filter(|_| wire);
        let Poll::Ready(Ok(mut client)) = self.world.attach(&attach, calls) else { panic!("it was away") };
        let mut again = Vec::new();
        client.flow.outbound.connected(std::num::NonZeroU16::MAX);
        while let Some(Resend::Publish(id, copy)) = client.flow.outbound.next_resend() {
            again.push((Some(id), copy.clone()));
        }
        self.books[number].wire = wire;
        self.books[number].client = Some(client);
        self.sent(number, again);
    }

    fn sent(&mut self, number: usize, copies: Vec<(Option<PacketId>, Queued)>) {
        let book = &mut self.books[number];
        for (_, copy) in &copies {
            match (copy.qos, copy.group) {
                (Q0, _) => {}
                (_, Some(_)) => self.shared_sent += 1,
                (_, None) => assert_eq!(book.due.pop_front(), payloads([copy]).pop()),
            }
        }
        book.unanswered.extend(copies.into_iter().filter(|(id, copy)| copy.qos > Q0 || id.is_none()));
    }

    /// What a client did not answer for is due again, ahead of the rest; for a group, to somebody.
    fn leave(&mut self, number: usize) {
        let book = &mut self.books[number];
        let Some(client) = book.client.take() else { return };
        self.world.disconnect(client);
        while let Some((_, copy)) = book.unanswered.pop_back() {
            match (copy.qos, copy.group) {
                (Q0, _) => {}
                (_, Some(_)) => self.shared_sent -= 1,
                (_, None) => book.due.push_front(payloads([&copy]).remove(0)),
            }
        }
    }

    fn subscribe(&mut self, number: usize, filter: usize, shared: bool) {
        let book = &mut self.books[number];
        let Some(client) = &book.client else { return };
        if shared {
            self.world.subscribe(client, &format!("$share/g/{}", FILTERS[filter]), Q2);
            self.groups[filter] = true;
        } else {
            self.world.subscribe(client, FILTERS[filter], Q2);
            book.filters.push(filter);
        }
    }

    fn take(&mut self, number: usize, max: usize) -> usize {
        let (book, world) = (&mut self.books[number], &mut self.world);
        let Some(client) = &mut book.client else { return 0 };
        let mut copies = Vec::new();
        let mut sent = Vec::new();
        if book.wire {
            world.core.take(client.at, max, usize::MAX, world.now, &mut copies).unwrap();
            for copy in copies {
                if copy.qos == Q0 {
                    world.core.release(client.at, copy.load()).unwrap();
                } else {
                    let id = client.flow.outbound.next_id().unwrap();
                    client.flow.outbound.start(id, copy.qos == Q2, copy.clone());
                    sent.push((Some(id), copy));
                }
            }
        } else {
            world.core.hand_out(client.at, max, Waker::noop(), world.now, &mut copies).unwrap();
            sent.extend(copies.into_iter().map(|copy| (None, copy)));
        }
        let count = sent.len();
        self.sent(number, sent);
        count
    }

    fn answer(&mut self, number: usize, count: usize) {
        let (book, world) = (&mut self.books[number], &mut self.world);
        let Some(client) = &mut book.client else { return };
        let answered: Vec<_> = book.unanswered.drain(..count.min(book.unanswered.len())).collect();
        if !book.wire {
            return world.core.acknowledge(client.at, answered.len()).unwrap();
        }
        for (id, copy) in answered {
            let (id, outbound) = (id.unwrap(), &mut client.flow.outbound);
            let done = if copy.qos == Q2 {
                outbound.pubrec(id, false).unwrap();
                outbound.pubcomp(id)
            } else {
                outbound.puback(id)
            };
            world.core.release(client.at, done.unwrap().unwrap().load()).unwrap();
        }
    }

    fn check(&self) {
        let held = |(_, session): (usize, &Session)| {
            session.queue.len() + session.unacked.len() + session.flow.outbound.len()
        };
        let in_sessions: usize = self.world.core.sessions.0.iter().map(held).sum();
        let on_the_wire: usize =
            self.books.iter().filter_map(|book| book.client.as_ref()).map(|c| c.flow.outbound.len()).sum();
        assert_eq!(self.world.core.stats().queued_messages, in_sessions + on_the_wire);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn nothing_accepted_is_lost_or_sent_out_of_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut ledger = Ledger::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish { topic, qos } => {
                    ledger.publish(topic, QoS::from_number(qos).unwrap(), &number.to_string());
                }
                Step::Come { client, wire } => ledger.come(client, wire),
                Step::Leave { client } => ledger.leave(client),
                Step::Subscribe { client, filter, shared } => ledger.subscribe(client, filter, shared),
                Step::Take { client, max } => drop(ledger.take(client, max)),
                Step::Answer { client, count } => ledger.answer(client, count),
            }
            ledger.check();
        }
        for number in 0..CLIENTS {
            ledger.come(number, true);
            while ledger.take(number, 100) > 0 {}
            prop_assert_eq!(&ledger.books[number].due, &VecDeque::new());
        }
        prop_assert_eq!(ledger.shared_sent, ledger.shared_accepted);
    }
}
