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
