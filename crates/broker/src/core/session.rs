//! One client's session: what outlives its connections (MQTT v5 section 4.1), and the queue of what it is to get.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use tidegate_mqtt::{Outgoing, PacketId, PublishParts, QoS, ReasonCode, Will, flow};

use super::journal::CopyId;
use super::journal::record::Copy;
use super::subscriptions::{GroupId, Options};
use crate::message::{Publication, SubscriptionIds};
use crate::stats::Dropped;

/// How long a full queue waits before it looks for expired messages again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// An empty queue gives its memory back from this capacity on.
const QUEUE_CAPACITY_KEPT_MAX: usize = 1024;

/// What a message takes beside its own bytes, on the wire and in memory, about.
const COPY_BYTES: usize = 32;

/// One copy of a message, for one session.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) publication: Arc<Publication>,
    /// The lower of what it was published and subscribed with.
    pub(crate) qos: QoS,
    /// As it goes out.
    pub(crate) retain: bool,
    pub(crate) subscription_ids: SubscriptionIds,
    /// The group it came by, if the subscription is shared.
    pub(super) group: Option<GroupId>,
    /// Whether it is a copy of a retained message, made for a new subscription.
    pub(super) from_store: bool,
    /// Which copy of the message it is in the journal; 0 if it is not in there.
    pub(super) index: u32,
    /// Whether the client may have been sent it already, before the process was last started: the journal does not say
    /// which copies of QoS 1 were sent. A client is told so, as it may have one twice (MQTT v5 section 3.3.1.1).
    pub(super) maybe_sent: bool,
}

impl Queued {
    /// What the journal calls it, if it has it.
    pub(crate) fn id(&self) -> Option<CopyId> {
        let message = self.publication.journaled()?;
        (self.index > 0).then_some(CopyId { message, index: self.index })
    }

    /// The same as the journal keeps it for the session of that number, if it came by no group.
    pub(super) fn of_session(&self, session: u64) -> Copy {
        Copy {
            index: self.index,
            session,
            qos: self.qos,
            retain: self.retain,
            from_store: self.from_store,
            subscription_ids: self.subscription_ids.clone(),
            group: None,
            sent: None,
        }
    }

    /// What it counts in its session.
    pub(crate) fn load(&self) -> Load {
        if self.from_store {
            Load { from_store: 1, ..Load::default() }
        } else {
            Load { messages: 1, bytes: self.publication.message.size(), from_store: 0 }
        }
    }
}

impl Outgoing for Queued {
    fn parts(&self, now: Instant) -> PublishParts<'_> {
        let message = &self.publication.message;
        PublishParts {
            dup: self.maybe_sent,
            qos: self.qos,
            retain: self.retain,
            topic: &message.topic,
            packet_id: None,
            // One that expired is not sent, but sent again if its delivery began in time: then a second is left to it.
            message_expiry: self.publication.remaining_expiry(now).unwrap_or(Some(1)),
            topic_alias: None,
            subscription_ids: self.subscription_ids.as_slice(),
            properties: &message.properties,
            payload: &message.payload,
        }
    }
}

/// What became of copies, until somebody takes note.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    pub(crate) dropped: Dropped,
    /// Those in the journal that are done with.
    pub(crate) done: Vec<CopyId>,
}

impl Spent {
    fn expired(&mut self, copy: &Queued) {
        self.dropped.expired += 1;
        self.done.extend(copy.id());
    }
}

/// How much a session holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Copies of retained messages for new subscriptions. As the store holds them anyway, they count in neither of the
    /// others.
    pub(crate) from_store: usize,
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.from_store += other.from_store;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.messages -= other.messages;
        self.bytes -= other.bytes;
        self.from_store -= other.from_store;
    }
}

/// A session's client while it is there.
#[derive(Debug)]
pub(super) struct Connection {
    /// Tells this connection from those before and after it.
    pub(super) number: u64,
    /// Called when there is something to take, and when the connection is over.
    pub(super) waker: Waker,
    /// Whether the client knows that there is something to take.
    pub(super) woken: bool,
    /// Why it is to go, once it is told to.
    pub(super) dismissed: Option<ReasonCode>,
    /// None for a client in this process.
    pub(super) address: Option<SocketAddr>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: ByteString,
    /// Its number in the journal, if it is to outlive the process.
    pub(super) number: Option<u64>,
    /// When its client went, in milliseconds since 1970; known if it has a number.
    pub(super) left_at: Option<u64>,
    /// QoS 2 messages from its client that the journal has, and whose PUBREL has not come.
    pub(super) received: BTreeSet<PacketId>,
    pub(super) username: Option<ByteString>,
    /// Who in this process it belongs to, if anybody.
    pub(super) owner: Option<ByteString>,
    pub(super) connection: Option<Connection>,
    /// Session Expiry Interval in seconds, `u32::MAX` for never.
    pub(super) expiry_interval: u32,
    pub(super) expires_at: Option<Instant>,
    pub(super) will: Option<Will>,
    pub(super) will_at: Option<Instant>,
    /// By their filters as written, `$share/<group>/` included.
    pub(super) subscriptions: HashMap<ByteString, Options>,
    pub(super) queue: VecDeque<Queued>,
    /// What was sent to an MQTT client and not answered; the client's connection has it while there is one.
    pub(super) flow: flow::Session<Queued>,
    /// What was given to a client in this process and not acknowledged.
    pub(super) unacked: VecDeque<Queued>,
    /// Of the queue, and of what was taken from it and not released.
    load: Load,
    pub(super) load_max: Load,
    /// Publishers that wait for room, and connections that wait for this session's client to go.
    waiters: Vec<Waker>,
    /// Whether a publisher waited in vain, and nothing has moved since.
    stalled: bool,
    swept_at: Option<Instant>,
    /// The number of the route this session was last a target of, and which of its targets.
    target: (u64, usize),
}

impl Session {
    pub(super) fn new(client_id: ByteString) -> Self {
        Self {
            client_id,
            number: None,
            left_at: None,
            received: BTreeSet::new(),
            username: None,
            owner: None,
            connection: None,
            expiry_interval: 0,
            expires_at: None,
            will: None,
            will_at: None,
            subscriptions: HashMap::new(),
            queue: VecDeque::new(),
            flow: flow::Session::new(),
            unacked: VecDeque::new(),
            load: Load::default(),
            load_max: Load::default(),
            waiters: Vec::new(),
            stalled: false,
            swept_at: None,
            target: (0, 0),
        }
    }

    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// It holds this too, outside of the queue.
    pub(super) fn hold(&mut self, load: Load) {
        self.load += load;
    }

    /// Its number in the journal, if the journal keeps its messages: a session that ends with its connection may be in
    /// there for its will alone.
    pub(super) fn keeps_messages(&self) -> Option<u64> {
        self.number.filter(|_| self.expiry_interval > 0)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Its client comes.
    pub(super) fn connect(&mut self, connection: Connection) {
        self.connection = Some(connection);
        self.stalled = false;
    }

    /// Whether a full queue can be expected to have room soon.
    pub(super) fn drains(&self) -> bool {
        self.is_connected() && !self.stalled
    }

    /// A publisher waited in vain.
    pub(super) fn stall(&mut self) {
        self.stalled = true;
    }

    /// Which target of a route this session is, if it is one already.
    pub(super) fn target_of(&self, route: u64) -> Option<usize> {
        (self.target.0 == route).then_some(self.target.1)
    }

    pub(super) fn set_target(&mut self, route: u64, index: usize) {
        self.target = (route, index);
    }

    /// Whether the queue takes a message of that size. An empty one takes any.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.load.messages == 0
            || self.load.messages < self.load_max.messages && self.load.bytes + size <= self.load_max.bytes
    }

    /// The same, after a look for expired messages if need be.
    pub(super) fn make_room(&mut self, size: usize, now: Instant, spent: &mut Spent) -> bool {
        if self.has_room(size) {
            return true;
        }
        if self.swept_at.is_none_or(|at| now >= at + SWEEP_INTERVAL) {
            self.swept_at = Some(now);
            let mut gone = Load::default();
            self.queue.retain(|copy| {
                let keep = !copy.publication.is_expired(now);
                if !keep {
                    gone += copy.load();
                    spent.expired(copy);
                }
                keep
            });
            self.load -= gone;
        }
        self.has_room(size)
    }

    /// Has `waker` called when there is room, or the client goes.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|w| w.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }

    /// Calls everybody who waits.
    pub(super) fn wake_waiters(&mut self, woken: &mut Vec<Waker>) {
        woken.append(&mut self.waiters);
    }

    /// Tells the client that there is something to take, once until it comes.
    pub(super) fn wake(&mut self, woken: &mut Vec<Waker>) {
        if let Some(connection) = &mut self.connection
            && !connection.woken
        {
            connection.woken = true;
            woken.push(connection.waker.clone());
        }
    }

    pub(super) fn push(&mut self, copy: Queued) {
        self.load += copy.load();
        self.queue.push_back(copy);
    }

    /// Some of what was taken is gone for good. Publishers that wait are called if there is so much room now that it
    /// pays: not for every message that leaves.
    pub(super) fn release(&mut self, gone: Load, woken: &mut Vec<Waker>) {
        self.load -= gone;
        self.stalled = false;
        let Load { messages, bytes, .. } = self.load;
        let much_room = messages <= self.load_max.messages / 8 * 7 && bytes <= self.load_max.bytes / 8 * 7;
        if !self.waiters.is_empty() && (much_room || messages == 0) {
            self.wake_waiters(woken);
        }
    }

    /// Moves what is next to `out`: about `bytes` bytes, no more than `room` messages of QoS 1 and 2, which stop those
    /// behind them. It counts as held until it is released.
    pub(super) fn take(
        &mut self,
        mut room: usize,
        mut bytes: usize,
        now: Instant,
        out: &mut Vec<Queued>,
        spent: &mut Spent,
    ) {
        let mut gone = Load::default();
        while bytes > 0
            && let Some(copy) = self.queue.pop_front_if(|copy| copy.qos == QoS::AtMostOnce || room > 0)
        {
            if copy.publication.is_expired(now) {
                gone += copy.load();
                spent.expired(&copy);
                continue;
            }
            bytes = bytes.saturating_sub(copy.publication.message.size() + COPY_BYTES);
            room -= usize::from(copy.qos > QoS::AtMostOnce);
            out.push(copy);
        }
        self.load -= gone;
        self.taken();
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_CAPACITY_KEPT_MAX {
            self.queue = VecDeque::new();
        }
    }

    /// A client that left something behind will come again by itself; otherwise it wants to be called.
    fn taken(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.woken = !self.queue.is_empty();
        }
    }

    /// Gives what is next to a client in this process, no more than `max` messages.
    pub(super) fn hand_out(&mut self, max: usize, now: Instant, out: &mut Vec<Queued>, spent: &mut Spent) {
        let mut gone = Load::default();
        while out.len() < max
            && let Some(copy) = self.queue.pop_front()
        {
            if copy.publication.is_expired(now) {
                gone += copy.load();
                spent.expired(&copy);
                continue;
            }
            out.push(copy.clone());
            self.unacked.push_back(copy);
        }
        self.load -= gone;
        self.taken();
    }

    /// Puts back at the front of the queue what a client in this process was given; QoS 0 is forgotten.
    pub(super) fn put_back_unacked(&mut self) {
        let mut gone = Load::default();
        while let Some(copy) = self.unacked.pop_back() {
            if copy.qos == QoS::AtMostOnce {
                gone += copy.load();
            } else {
                self.queue.push_front(copy);
            }
        }
        self.load -= gone;
    }

    /// Puts back at the front of the queue what an MQTT client was sent and has not taken responsibility for.
    pub(super) fn put_back_in_flight(&mut self, spent: &mut Spent) {
        let mut gone = Load::default();
        for unfinished in self.flow.outbound.drain().into_iter().rev() {
            if unfinished.taken {
                gone += unfinished.message.load();
                spent.done.extend(unfinished.message.id());
            } else {
                self.queue.push_front(unfinished.message);
            }
        }
        self.load -= gone;
    }
}
