//! What was sent and is not answered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU16;

use super::Mismatch;
use crate::PacketId;

/// The sending half: hands out packet identifiers, keeps to the peer's Receive Maximum, and keeps each message until
/// the peer has answered for good.
///
/// A connection begins with [`Outbound::connected`]; then everything that [`Outbound::next_resend`] gives goes out
/// before anything new.
#[derive(Debug)]
pub struct Outbound<T> {
    in_flight: HashMap<PacketId, InFlight<T>, IdHashing>,
    /// Identifiers of SUBSCRIBE and UNSUBSCRIBE, which count from the same numbers.
    reserved: HashSet<PacketId, IdHashing>,
    /// In flight from an earlier connection and not sent on this one yet, oldest first.
    resend: VecDeque<PacketId>,
    receive_max: u16,
    /// How many of `in_flight` were sent on this connection.
    sent: u16,
    last_id: u16,
    next_number: u64,
}

#[derive(Debug)]
struct InFlight<T> {
    message: T,
    stage: Stage,
    /// Counts up, so that the order of sending can be told after a reconnect.
    number: u64,
    sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// QoS 1, waits for PUBACK.
    AtLeastOnce,
    /// QoS 2, waits for PUBREC.
    ExactlyOnce,
    /// QoS 2, waits for PUBCOMP.
    Released,
}

/// What has to be sent again on a new connection (MQTT v5 section 4.4).
#[derive(Debug, PartialEq, Eq)]
pub enum Resend<'a, T> {
    /// The publish, with the DUP flag.
    Publish(PacketId, &'a T),
    /// The PUBREL.
    PubRel(PacketId),
}

/// What a PUBREC leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum PubRecOutcome<T> {
    /// Send PUBREL.
    Release,
    /// The peer refused the message: it is done with.
    Refused(T),
    /// There is no such publish: send PUBREL with Packet Identifier not found.
    NotFound,
}

/// A message whose session ended before the peer had answered for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfinished<T> {
    /// The message.
    pub message: T,
    /// The peer has sent PUBREC, and so has taken responsibility for it (MQTT v5 section 4.3.3).
    pub taken: bool,
}

impl<T> Outbound<T> {
    /// Nothing in flight, and no connection: no room.
    pub fn new() -> Self {
        Self {
            in_flight: HashMap::default(),
            reserved: HashSet::default(),
            resend: VecDeque::new(),
            receive_max: 0,
            sent: 0,
            last_id: 0,
            next_number: 0,
        }
    }

    /// How many messages are in flight, those that wait to be sent again included.
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether none is in flight.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// A connection begins, to a peer that kept the session and takes `receive_max` unanswered publishes. Whatever is
    /// in flight is to be sent again; identifiers that were reserved are free.
    pub fn connected(&mut self, receive_max: NonZeroU16) {
        self.receive_max = receive_max.get();
        self.sent = 0;
        self.reserved.clear();
        let mut order: Vec<_> = self
            .in_flight
            .iter_mut()
            .map(|(id, f)| {
                f.sent = false;
                (f.number, *id)
            })
            .collect();
        order.sort_unstable();
        self.resend = order.into_iter().map(|(_, id)| id).collect();
    }

    /// The next thing to send again, oldest first, as long as the peer's Receive Maximum lets it. A PUBREL counts, as
    /// its publish has not been answered for good.
    pub fn next_resend(&mut self) -> Option<Resend<'_, T>> {
        if self.sent >= self.receive_max {
            return None;
        }
        let id = self.resend.pop_front()?;
        let f = self.in_flight.get_mut(&id).expect("what is to be sent again is in flight");
        f.sent = true;
        self.sent += 1;
        Some(match f.stage {
            Stage::AtLeastOnce | Stage::ExactlyOnce => Resend::Publish(id, &f.message),
            Stage::Released => Resend::PubRel(id),
        })
    }

    /// How many new publishes may be sent now. None while something waits to be sent again.
    pub fn room(&self) -> usize {
        if self.resend.is_empty() { usize::from(self.receive_max.saturating_sub(self.sent)) } else { 0 }
    }

    /// An identifier for a new publish; none without [room](Outbound::room). It is taken once the publish
    /// [starts](Outbound::start).
    pub fn next_id(&mut self) -> Option<PacketId> {
        if self.room() == 0 { None } else { self.free_id() }
    }

    /// A message of QoS 1, or 2 if `exactly_once`, is sent now, as `id`, which [`Outbound::next_id`] gave.
    ///
    /// # Panics
    /// If `id` is in flight.
    pub fn start(&mut self, id: PacketId, exactly_once: bool, message: T) {
        let stage = if exactly_once { Stage::ExactlyOnce } else { Stage::AtLeastOnce };
        let started = InFlight { message, stage, number: self.next_number, sent: true };
        let before = self.in_flight.insert(id, started);
        assert!(before.is_none(), "next_id gives identifiers that are free");
        self.next_number += 1;
        self.sent += 1;
    }

    /// A message of QoS 2 that was in flight in an earlier life of this session, `taken` if the PUBREC has come. To be
    /// called between connections, in the order the messages were sent.
    pub fn restore(&mut self, id: PacketId, taken: bool, message: T) {
        let stage = if taken { Stage::Released } else { Stage::ExactlyOnce };
        self.in_flight.insert(id, InFlight { message, stage, number: self.next_number, sent: false });
        self.next_number += 1;
    }

    /// The message that is in flight as `id`.
    pub fn get(&self, id: PacketId) -> Option<&T> {
        self.in_flight.get(&id).map(|f| &f.message)
    }

    /// The peer answered QoS 1: the message is done with, whatever the reason. `None`: there is no such publish, which
    /// is to be ignored.
    ///
    /// # Errors
    /// [`Mismatch`] if the publish is one of QoS 2.
    pub fn puback(&mut self, id: PacketId) -> Result<Option<T>, Mismatch> {
        self.complete(id, Stage::AtLeastOnce)
    }

    /// The peer answered QoS 2 for the first time, `refused` if with a reason of 0x80 or above.
    ///
    /// # Errors
    /// [`Mismatch`] if the publish is one of QoS 1.
    pub fn pubrec(&mut self, id: PacketId, refused: bool) -> Result<PubRecOutcome<T>, Mismatch> {
        let Some(f) = self.in_flight.get_mut(&id).filter(|f| f.sent) else {
            return Ok(PubRecOutcome::NotFound);
        };
        match f.stage {
            Stage::AtLeastOnce => Err(Mismatch),
            Stage::ExactlyOnce if refused => {
                let message = self.complete(id, Stage::ExactlyOnce)?.expect("it was found just now");
                Ok(PubRecOutcome::Refused(message))
            }
            Stage::ExactlyOnce | Stage::Released => {
                f.stage = Stage::Released;
                Ok(PubRecOutcome::Release)
            }
        }
    }

    /// The peer answered QoS 2 for the last time: the message is done with. `None`: there is no such publish, which is
    /// to be ignored.
    ///
    /// # Errors
    /// [`Mismatch`] if the publish is not one of QoS 2 that was released.
    pub fn pubcomp(&mut self, id: PacketId) -> Result<Option<T>, Mismatch> {
        self.complete(id, Stage::Released)
    }

    fn complete(&mut self, id: PacketId, expected: Stage) -> Result<Option<T>, Mismatch> {
        // An answer to what was not sent on this connection can't be one to it.
        let Some(f) = self.in_flight.get(&id).filter(|f| f.sent) else { return Ok(None) };
        if f.stage != expected {
            return Err(Mismatch);
        }
        self.sent -= 1;
        Ok(self.in_flight.remove(&id).map(|f| f.message))
    }

    /// Takes back a message that can't be sent again.
    pub fn give_up(&mut self, id: PacketId) -> Option<T> {
        let f = self.in_flight.remove(&id)?;
        if f.sent {
            self.sent -= 1;
        } else {
            self.resend.retain(|waiting| *waiting != id);
        }
        Some(f.message)
    }

    /// Takes back, in the order they were sent, those messages of QoS 1 for which `take` says so: the peer is gone, and
    /// another one gets them (MQTT v5 section 4.8.2). To be called between connections.
    pub fn take_back(&mut self, mut take: impl FnMut(&T) -> bool) {
        let of_qos_1 = self.in_flight.iter().filter(|(_, f)| f.stage == Stage::AtLeastOnce);
        let mut order: Vec<_> = of_qos_1.map(|(id, f)| (f.number, *id)).collect();
        order.sort_unstable();
        for (_, id) in order {
            if take(&self.in_flight[&id].message) {
                self.give_up(id);
            }
        }
    }

    /// The session is over: everything in flight, in the order it was sent.
    pub fn drain(&mut self) -> Vec<Unfinished<T>> {
        self.resend.clear();
        self.sent = 0;
        let mut all: Vec<_> = self.in_flight.drain().map(|(_, f)| f).collect();
        all.sort_unstable_by_key(|f| f.number);
        all.into_iter()
            .map(|f| Unfinished { message: f.message, taken: f.stage == Stage::Released })
            .collect()
    }

    /// An identifier for a SUBSCRIBE or UNSUBSCRIBE; none if all are taken.
    pub fn reserve_id(&mut self) -> Option<PacketId> {
        let id = self.free_id()?;
        self.reserved.insert(id);
        Some(id)
    }

    /// Gives a reserved identifier back; `false` if it was not reserved.
    pub fn release_id(&mut self, id: PacketId) -> bool {
        self.reserved.remove(&id)
    }

    /// The next free identifier. They go round, so that one is not used again soon after it was answered.
    fn free_id(&mut self) -> Option<PacketId> {
        if self.in_flight.len() + self.reserved.len() >= usize::from(u16::MAX) {
            return None;
        }
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last_id)
                && !self.in_flight.contains_key(&id)
                && !self.reserved.contains(&id)
            {
                return Some(id);
            }
        }
    }
}

impl<T> Default for Outbound<T> {
    fn default() -> Self {
        Self::new()
    }
}

type IdHashing = BuildHasherDefault<IdHasher>;

/// We choose these identifiers ourselves, one after the other: there is nothing to defend against, and a
/// multiplication spreads them well.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u16((*byte).into());
        }
    }

    fn write_u16(&mut self, id: u16) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
