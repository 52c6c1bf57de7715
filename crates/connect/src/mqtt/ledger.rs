//! Which messages of which writes have been answered, and what each write comes to. Knows no connection.

use std::collections::VecDeque;

use tidegate_core::{Record, Rejected, WriteError};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Messages that were given to a sink together.
pub(super) struct Write {
    /// Each once, or none for a record that is rejected already.
    pub(super) messages: Vec<Option<Record>>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) reply: oneshot::Sender<Result<(), WriteError>>,
}

/// One message of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    write: u64,
    pub(super) index: usize,
}

/// All writes that have no reply yet, in the order in which they came.
pub(super) struct Ledger {
    /// For errors.
    endpoint: String,
    writes: VecDeque<Open>,
    /// The number of the first of `writes`; they count up.
    first: u64,
    /// The number of the write whose messages are being sent.
    sending: u64,
}

struct Open {
    messages: Vec<Option<Record>>,
    /// The first message that has not been sent.
    next: usize,
    /// By message.
    delivered: Vec<bool>,
    /// How many messages have neither been delivered nor rejected nor refused.
    unanswered: usize,
    rejected: Vec<Rejected>,
    /// Why messages were not taken, this time.
    refused: Option<Failure>,
    /// Gone once the reply is.
    reply: Option<oneshot::Sender<Result<(), WriteError>>>,
}

impl Ledger {
    pub(super) fn new(endpoint: String) -> Self {
        Self { endpoint, writes: VecDeque::new(), first: 0, sending: 0 }
    }

    pub(super) fn add(&mut self, write: Write) {
        self.writes.push_back(Open::new(write));
        self.settle(self.first + self.writes.len() as u64 - 1);
    }

    /// Takes the next message to send. Nobody waits for a write whose reply is not wanted any more: what is left of it
    /// is not sent.
    pub(super) fn next(&mut self) -> Option<(Place, Record)> {
        loop {
            let number = self.sending;
            let write = self.writes.get_mut(usize::try_from(number - self.first).ok()?)?;
            if write.reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
                write.unanswered -= write.messages[write.next..].iter().flatten().count();
                write.next = write.messages.len();
            }
            while let Some(message) = write.messages.get_mut(write.next) {
                let index = write.next;
                write.next += 1;
                if let Some(record) = message.take() {
                    return Some((Place { write: number, index }, record));
                }
            }
            self.sending += 1;
            self.settle(number);
        }
    }

    pub(super) fn delivered(&mut self, place: Place) {
        self.answer(place, |write| write.delivered[place.index] = true);
    }

    pub(super) fn rejected(&mut self, place: Place, rejected: Rejected) {
        self.answer(place, |write| write.rejected.push(rejected));
    }

    pub(super) fn refused(&mut self, place: Place, failure: Failure) {
        self.answer(place, |write| {
            write.refused.get_or_insert(failure);
        });
    }

    /// The connection is lost: whatever has no answer gets none, nor do the writes that come too late.
    pub(super) fn fail(self, failure: &Failure, late: impl Iterator<Item = Write>) {
        for mut write in self.writes.into_iter().chain(late.map(Open::new)) {
            write.refused.get_or_insert_with(|| failure.clone());
            write.answer(&self.endpoint);
        }
    }

    fn answer(&mut self, place: Place, note: impl FnOnce(&mut Open)) {
        let index = usize::try_from(place.write - self.first).expect("fewer writes than fit in memory");
        let write = &mut self.writes[index];
        note(write);
        write.unanswered -= 1;
        self.settle(place.write);
    }

    /// Replies to a write if everything is answered, and forgets the writes that are done with.
    fn settle(&mut self, number: u64) {
        let index = usize::try_from(number - self.first).expect("fewer writes than fit in memory");
        if self.writes[index].unanswered == 0 {
            self.writes[index].answer(&self.endpoint);
        }
        while self.writes.front().is_some_and(|write| write.reply.is_none()) {
            self.writes.pop_front();
            self.first += 1;
        }
        self.sending = self.sending.max(self.first);
    }
}

impl Open {
    fn new(Write { messages, rejected, reply }: Write) -> Self {
        Self {
            next: 0,
            delivered: vec![false; messages.len()],
            unanswered: messages.iter().flatten().count(),
            messages,
            rejected,
            refused: None,
            reply: Some(reply),
        }
    }

    fn answer(&mut self, endpoint: &str) {
        let written = self.delivered.iter().take_while(|delivered| **delivered).count();
        let rejected = std::mem::take(&mut self.rejected);
        let result = match self.refused.take() {
            Some(failure) => Err(failure.of_sink(endpoint, written)),
            None if rejected.is_empty() => Ok(()),
            None => Err(WriteError::Reject(rejected)),
        };
        if let Some(reply) = self.reply.take() {
            // Whoever does not wait any more writes the records again, or not.
            let _ = reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    /// What becomes of one record of a write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        RejectedBefore,
        Delivered,
        Rejected,
        Refused,
        /// The connection is lost before there is an answer.
        Unanswered,
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            1 => Just(Fate::RejectedBefore),
            6 => Just(Fate::Delivered),
            1 => Just(Fate::Rejected),
            1 => Just(Fate::Refused),
            1 => Just(Fate::Unanswered),
        ]
    }

    fn rejected(index: usize) -> Rejected {
        Rejected { index, reason: String::new(), expired: false }
    }

    fn refusal() -> Failure {
        Failure::Connection("refused".into())
    }

    fn expected(fates: &[Fate]) -> Result<(), WriteError> {
        let written = fates.iter().take_while(|f| **f == Fate::Delivered).count();
        if fates.iter().any(|f| matches!(f, Fate::Refused | Fate::Unanswered)) {
            return Err(refusal().of_sink("e", written));
        }
        let all = fates.iter().enumerate().filter(|(_, f)| **f != Fate::Delivered);
        let all: Vec<_> = all.map(|(i, _)| rejected(i)).collect();
        if all.is_empty() { Ok(()) } else { Err(WriteError::Reject(all)) }
    }

    fn told(result: Result<(), WriteError>) -> String {
        match result {
            Err(WriteError::Reject(mut all)) => {
                all.sort_by_key(|r| r.index);
                format!("{all:?}")
            }
            result => format!("{result:?}"),
        }
    }

    proptest! {
        #[test]
        fn every_write_learns_what_became_of_its_records(
            writes in prop::collection::vec(prop::collection::vec(fate(), 0..6), 0..6),
            order in any::<prop::sample::Index>(),
        ) {
            let mut ledger = Ledger::new("e".into());
            let mut answers = Vec::new();
            for fates in &writes {
                let (reply, answer) = oneshot::channel();
                let early = |i: usize| fates[i] == Fate::RejectedBefore;
                ledger.add(Write {
                    messages: (0..fates.len())
                        .map(|i| (!early(i)).then(|| Record::new("t", i.to_string(), Instant::now())))
                        .collect(),
                    rejected: (0..fates.len()).filter(|i| early(*i)).map(rejected).collect(),
                    reply,
                });
                answers.push(answer);
            }
            let mut sent = Vec::new();
            while let Some((place, record)) = ledger.next() {
                prop_assert_eq!(record.payload, place.index.to_string());
                sent.push(place);
            }
            prop_assert!(sent.is_sorted_by_key(|p| (p.write, p.index)), "first in, first out");
            if !sent.is_empty() {
                let middle = order.index(sent.len());
                sent.rotate_left(middle);
            }
            for place in sent {
                let write = usize::try_from(place.write).unwrap();
                match writes[write][place.index] {
                    Fate::Delivered => ledger.delivered(place),
                    Fate::Rejected => ledger.rejected(place, rejected(place.index)),
                    Fate::Refused => ledger.refused(place, refusal()),
                    Fate::RejectedBefore | Fate::Unanswered => {}
                }
            }
            for (fates, answer) in writes.iter().zip(&mut answers) {
                if !fates.contains(&Fate::Unanswered) {
                    let result = answer.try_recv().expect("everything is answered");
                    prop_assert_eq!(told(result), told(expected(fates)));
                }
            }
            ledger.fail(&refusal(), std::iter::empty());
            for (fates, answer) in writes.iter().zip(&mut answers) {
                if fates.contains(&Fate::Unanswered) {
                    let result = answer.try_recv().expect("all writes are answered in the end");
                    prop_assert_eq!(told(result), told(expected(fates)));
                }
            }
        }
    }

    #[test]
    fn a_write_nobody_waits_for_is_not_sent() {
        let mut ledger = Ledger::new("e".into());
        let mut answers = Vec::new();
        for n in ["a", "b"] {
            let (reply, answer) = oneshot::channel();
            let messages = vec![Some(Record::new("t", n, Instant::now())); 2];
            ledger.add(Write { messages, rejected: vec![], reply });
            answers.push(answer);
        }
        let (first, _) = ledger.next().unwrap();
        drop(answers.remove(0));
        let rest: Vec<_> = std::iter::from_fn(|| ledger.next()).map(|(_, record)| record.payload).collect();
        assert_eq!(rest, ["b", "b"]);
        ledger.delivered(first);
        assert_eq!(ledger.writes.len(), 1, "it is forgotten once what was sent of it is answered");
    }
}
