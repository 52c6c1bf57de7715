//! The state of the broker and its rules, without I/O: it is called with the time as an argument, and says whom to wake.
//!
//! It refuses to know sockets, packets and credentials. One lock around it is all the concurrency there is, so callers
//! come with batches.

mod groups;
mod journal;
mod owned;
mod publish;
mod session;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use slab::Slab;
use tidegate_mqtt::{PacketId, QoS, ReasonCode, RetainHandling, Subscription, Will, flow, topic};

use journal::Item;
use journal::record::{Record, SessionRecord};
pub(crate) use journal::{CopyId, Journal, read};
pub(crate) use publish::{Publisher, Verdict};
use session::{Connection, Session, Spent};
pub(crate) use session::{Load, Queued};
use subscriptions::{Options, Subscriber, Subscriptions};

use crate::config::Limits;
use crate::message::{Publication, SubscriptionIds};
use crate::retained::Retained;
use crate::stats::{Client, Counters, Stats, Waiting};

/// The filters of a session that outlives the process are no longer than this together, as one record has them all.
const SUBSCRIPTION_BYTES_MAX: usize = 4 << 20;

/// A session's place; another session's after it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(usize);

/// A client's connection to its session. Void once the session is another connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attachment {
    pub(crate) session: SessionId,
    connection: u64,
}

/// A client that comes.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) client_id: ByteString,
    pub(crate) username: Option<ByteString>,
    /// Who in this process the session belongs to, if anybody.
    pub(crate) owner: Option<ByteString>,
    /// None for a client in this process.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) clean_start: bool,
    /// Session Expiry Interval in seconds, `u32::MAX` for never.
    pub(crate) expiry_interval: u32,
    pub(crate) will: Option<Will>,
    /// How much may wait for it.
    pub(crate) load_max: Load,
    /// Called when there is something for it, and when its connection is over.
    pub(crate) waker: Waker,
}

impl Attach {
    /// Whether something of it is to outlive the process.
    fn outlives(&self) -> bool {
        self.expiry_interval > 0 || self.will.is_some()
    }
}

/// What a client that came gets.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) attachment: Attachment,
    pub(crate) session_present: bool,
    /// What is unfinished between it and the broker; to be given back with [`Core::detach`].
    pub(crate) flow: flow::Session<Queued>,
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leave {
    /// Whether it said so itself, and its will is not to be published.
    pub(crate) without_will: bool,
    /// Session Expiry Interval in seconds, `u32::MAX` for never: that of the CONNACK or of a DISCONNECT.
    pub(crate) expiry_interval: u32,
}

/// A will that is due and found a full queue.
#[derive(Debug)]
struct DueWill {
    publication: Arc<Publication>,
    give_up_at: Instant,
}

/// The state of the broker.
#[derive(Debug)]
pub(crate) struct Core {
    limits: Limits,
    sessions: Sessions,
    clients: HashMap<ByteString, SessionId>,
    subscriptions: Subscriptions,
    retained: Retained,
    /// When something happens to a session by itself: its will, or its end.
    timers: BTreeSet<(Instant, SessionId)>,
    due_wills: Vec<DueWill>,
    /// Calls [`Core::tick`].
    clock: Waker,
    /// To be called once the lock is released.
    woken: Vec<Waker>,
    last_connection: u64,
    closed: bool,
    route: publish::Route,
    /// Without [`Spent::dropped`].
    pub(crate) counters: Counters,
    pub(crate) spent: Spent,
    /// None if everything ends with the process.
    pub(crate) journal: Option<Journal>,
}

#[derive(Debug, Default)]
struct Sessions(Slab<Session>);

impl Index<SessionId> for Sessions {
    type Output = Session;

    fn index(&self, id: SessionId) -> &Session {
        &self.0[id.0]
    }
}

impl IndexMut<SessionId> for Sessions {
    fn index_mut(&mut self, id: SessionId) -> &mut Session {
        &mut self.0[id.0]
    }
}

impl Core {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            sessions: Sessions::default(),
            clients: HashMap::new(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            timers: BTreeSet::new(),
            due_wills: Vec::new(),
            clock: Waker::noop().clone(),
            woken: Vec::new(),
            last_connection: 0,
            closed: false,
            route: publish::Route::default(),
            counters: Counters::default(),
            spent: Spent::default(),
            journal: None,
        }
    }

    /// To be called before the lock is released: the journal takes note of what is done with. Gives how many of its
    /// records must be on disk before what was asked for is answered.
    pub(crate) fn settle(&mut self) -> Option<u64> {
        let journal = self.journal.as_mut()?;
        let Spent { done, .. } = &mut self.spent;
        done.extend(self.retained.gone.drain(..).map(CopyId::retained));
        journal.done(done);
        self.clean();
        let journal = self.journal.as_mut()?;
        journal.trim(&mut self.woken);
        journal.take_demand()
    }

    /// Writes some of what is alive at the beginning of the journal again at its end, if that is due.
    fn clean(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let mut left = journal.to_clean();
        while left > 0
            && let Some(journal) = &mut self.journal
            && let Some(item) = journal.next_to_move()
        {
            let moved = match item {
                Item::Message(number) => journal.move_message(number),
                Item::Session(number) => match journal.session_id(number) {
                    Some(id) => journal.move_session(id, record_of(number, &self.sessions[id])),
                    None => continue,
                },
            };
            match moved {
                Ok(bytes) => left = left.saturating_sub(bytes),
                Err(journal::Full) => return journal.not_moved(item),
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.cleaned();
        }
    }

    /// Has the journal take note of a session, if it is to outlive the process.
    fn record_session(&mut self, id: SessionId) {
        let Some(journal) = &mut self.journal else { return };
        let session = &mut self.sessions[id];
        // one that ends with its connection still has a will
        if session.expiry_interval > 0 || session.will.is_some() || session.number.is_some() {
            let number = *session.number.get_or_insert_with(|| journal.new_session());
            journal.session(id, record_of(number, session));
        }
    }

    /// Does what is to be done from time to time, and when the log has room.
    pub(crate) fn keep_journal(&mut self, now: Instant) {
        if let Some(journal) = &mut self.journal {
            journal.keep(now);
        }
    }

    /// Whom to wake, after the lock is released.
    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    /// Ends all connections; nobody comes in any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for (_, session) in &mut self.sessions.0 {
            if let Some(connection) = &session.connection {
                self.woken.push(connection.waker.clone());
            }
            session.wake_waiters(&mut self.woken);
        }
    }

    /// The session of a connection, if it still is.
    fn session(&mut self, at: Attachment) -> Result<&mut Session, ReasonCode> {
        if self.closed {
            return Err(ReasonCode::ServerShuttingDown);
        }
        let session = self.sessions.0.get_mut(at.session.0).ok_or(ReasonCode::SessionTakenOver)?;
        let connection = session.connection.as_ref().filter(|connection| connection.number == at.connection);
        match connection.ok_or(ReasonCode::SessionTakenOver)?.dismissed {
            None => Ok(session),
            Some(reason) => Err(reason),
        }
    }

    /// The client identifier of a connection, while it lasts.
    pub(crate) fn client_id(&mut self, at: Attachment) -> Option<ByteString> {
        self.session(at).ok().map(|session| session.client_id.clone())
    }

    /// Tells a client to go, and why.
    pub(crate) fn dismiss(&mut self, at: Attachment, reason: ReasonCode) {
        if self.session(at).is_ok()
            && let Some(connection) = &mut self.sessions[at.session].connection
        {
            connection.dismissed = Some(reason);
            self.woken.push(connection.waker.clone());
        }
    }

    /// Gives a client its session. While another connection of the same client has it, that one is told to go, and
    /// `waker` is called when it has.
    ///
    /// # Errors
    /// The reason to refuse the client.
    pub(crate) fn attach(&mut self, attach: &Attach, now: Instant) -> Poll<Result<Attached, ReasonCode>> {
        if self.closed {
            return Poll::Ready(Err(ReasonCode::ServerUnavailable));
        }
        let old = self.clients.get(&attach.client_id).copied();
        if let Some(id) = old
            && let Some(connection) = &mut self.sessions[id].connection
        {
            connection.dismissed = Some(ReasonCode::SessionTakenOver);
            self.woken.push(connection.waker.clone());
            if connection.address.is_some() {
                self.sessions[id].wait(&attach.waker);
                return Poll::Pending;
            }
            // A client in this process has nothing to give back, and may not look for long.
            let expiry_interval = self.sessions[id].expiry_interval;
            self.leave(id, Leave { without_will: false, expiry_interval }, now);
        }
        Poll::Ready(self.attach_now(attach, now))
    }

    fn attach_now(&mut self, attach: &Attach, now: Instant) -> Result<Attached, ReasonCode> {
        let old = self.clients.get(&attach.client_id).copied();
        if self.journal.as_ref().is_some_and(|journal| attach.outlives() && !journal.takes_sessions()) {
            return Err(ReasonCode::QuotaExceeded);
        }
        if attach.clean_start
            && let Some(id) = old
        {
            if let (Some(_), Some(journal)) = (self.sessions[id].number, &mut self.journal) {
                journal.demand();
            }
            self.end(id, None, now);
        }
        let old = old.filter(|_| !attach.clean_start);
        let id = match old {
            Some(id) => id,
            None if self.sessions.0.len() >= self.limits.sessions_max => {
                return Err(ReasonCode::QuotaExceeded);
            }
            None => {
                let id = SessionId(self.sessions.0.insert(Session::new(attach.client_id.clone())));
                self.clients.insert(attach.client_id.clone(), id);
                id
            }
        };
        self.last_connection += 1;
        let session = &mut self.sessions[id];
        session.username = attach.username.clone();
        session.owner = attach.owner.clone();
        session.connect(Connection {
            number: self.last_connection,
            waker: attach.waker.clone(),
            woken: false,
            dismissed: None,
            address: attach.address,
        });
        session.expiry_interval = attach.expiry_interval;
        session.will = attach.will.clone();
        session.load_max = attach.load_max;
        session.left_at = None;
        if attach.address.is_none() {
            session.put_back_in_flight(&mut self.spent);
        }
        // what it is told with its CONNACK has to be on disk: that the session is there and has not begun to expire, for how
        // long it will be, and what is known of the QoS 2 messages it sends again
        if let Some(journal) = &mut self.journal
            && (attach.outlives() || session.number.is_some())
        {
            journal.demand();
        }
        let attached = Attached {
            attachment: Attachment { session: id, connection: self.last_connection },
            session_present: old.is_some(),
            flow: std::mem::take(&mut session.flow),
        };
        self.set_timer(id, None, None);
        self.record_session(id);
        Ok(attached)
    }

    /// A client goes. What is unfinished between it and the broker stays in its session, if that goes on; `gone` is what
    /// it was done with.
    pub(crate) fn detach(
        &mut self,
        at: Attachment,
        flow: flow::Session<Queued>,
        gone: Load,
        leave: Leave,
        now: Instant,
    ) {
        let session = self.sessions.0.get_mut(at.session.0);
        // A client that was told to go still has its session until it does.
        let Some(session) =
            session.filter(|s| s.connection.as_ref().is_some_and(|c| c.number == at.connection))
        else {
            return;
        };
        session.flow = flow;
        session.release(gone, &mut self.woken);
        self.leave(at.session, leave, now);
    }

    fn leave(&mut self, id: SessionId, leave: Leave, now: Instant) {
        let session = &mut self.sessions[id];
        session.connection = None;
        session.put_back_unacked();
        session.wake_waiters(&mut self.woken);
        if leave.without_will {
            session.will = None;
        }
        session.expiry_interval = leave.expiry_interval;
        if session.expiry_interval == 0 {
            return self.end(id, None, now);
        }
        session.left_at = self.journal.as_ref().map(|journal| journal.wall(now));
        self.record_session(id);
        self.pass_on_shared(id, now);
        self.has_left(id, now, now);
    }

    /// The client of a session left at that time: it and its will have so much longer.
    fn has_left(&mut self, id: SessionId, left_at: Instant, now: Instant) {
        let session = &self.sessions[id];
        let after = |seconds: u32| left_at + Duration::from_secs(seconds.into());
        let expires_at = (session.expiry_interval != u32::MAX).then(|| after(session.expiry_interval));
        let will_at = session.will.as_ref().map(|will| after(will.delay));
        self.set_timer(id, will_at, expires_at);
        // A will without a delay is due.
        self.run_timers(now);
    }

    /// Ends a session that nobody is connected to. What waits in it, and no member of its group gets, is for `heir`.
    fn end(&mut self, id: SessionId, heir: Option<SessionId>, now: Instant) {
        self.set_timer(id, None, None);
        self.withdraw(id);
        let mut session = self.sessions.0.remove(id.0);
        self.clients.remove(&session.client_id);
        session.wake_waiters(&mut self.woken);
        if let Some(will) = session.will.take() {
            self.publish_will(will, now);
        }
        let number = session.number;
        self.bequeath(session, heir, now);
        // last: should the power go in between, what the heirs get is still the session's
        if let (Some(journal), Some(number)) = (&mut self.journal, number) {
            journal.ended(number);
        }
    }

    /// Ends all subscriptions of a session that is about to end.
    fn withdraw(&mut self, id: SessionId) {
        for (filter, _) in self.sessions[id].subscriptions.drain() {
            self.subscriptions.remove(&filter, id);
        }
    }

    fn set_timer(&mut self, id: SessionId, will_at: Option<Instant>, expires_at: Option<Instant>) {
        let session = &mut self.sessions[id];
        let earlier = |a: Option<Instant>, b: Option<Instant>| a.into_iter().chain(b).min();
        if let Some(at) = earlier(session.will_at, session.expires_at) {
            self.timers.remove(&(at, id));
        }
        session.will_at = will_at;
        session.expires_at = expires_at;
        if let Some(at) = earlier(will_at, expires_at) {
            self.timers.insert((at, id));
            if self.timers.first() == Some(&(at, id)) {
                self.woken.push(self.clock.clone());
            }
        }
    }

    /// Does what is due and gives the time to come again; `waker` is called when that is sooner, or there is room for a
    /// will that waits.
    pub(crate) fn tick(&mut self, waker: &Waker, now: Instant) -> Option<Instant> {
        self.clock.clone_from(waker);
        self.run_timers(now);
        for will in std::mem::take(&mut self.due_wills) {
            self.try_will(will, now);
        }
        let wills = self.due_wills.iter().map(|will| will.give_up_at).min();
        self.timers.first().map(|(at, _)| *at).into_iter().chain(wills).min()
    }

    fn run_timers(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            let session = &mut self.sessions[id];
            if session.expires_at.is_some_and(|at| at <= now) {
                self.end(id, None, now);
                continue;
            }
            let expires_at = session.expires_at;
            let will = session.will.take();
            self.set_timer(id, None, expires_at);
            if let Some(will) = will {
                self.publish_will(will, now);
                self.record_session(id);
            }
        }
    }

    fn publish_will(&mut self, will: Will, now: Instant) {
        self.counters.messages_received += 1;
        let publication = Arc::new(Publication::new(will.into(), None, now));
        self.try_will(DueWill { publication, give_up_at: now + self.limits.publish_wait_max }, now);
        if !self.due_wills.is_empty() {
            self.woken.push(self.clock.clone());
        }
    }

    /// A will has nobody who could be told that a queue is full, so it waits for itself, as long as a publish may.
    fn try_will(&mut self, will: DueWill, now: Instant) {
        let clock = self.clock.clone();
        let publisher = Publisher::new(&clock, true);
        let verdict = if now < will.give_up_at {
            self.accept(publisher, &will.publication, now)
        } else {
            self.accept_or_refuse(publisher, &will.publication, now)
        };
        match verdict {
            Verdict::Accepted { .. } => {}
            Verdict::Wait => self.due_wills.push(will),
            Verdict::Refused(_) => self.spent.dropped.will_refused += 1,
        }
    }

    /// Subscribes, to a valid filter. Gives the reason code for the SUBACK.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn subscribe(
        &mut self,
        at: Attachment,
        subscription: &Subscription,
        subscription_id: Option<NonZeroU32>,
        now: Instant,
    ) -> Result<ReasonCode, ReasonCode> {
        self.check(at)?;
        Ok(self.subscribe_session(at.session, subscription, subscription_id, now))
    }

    fn subscribe_session(
        &mut self,
        id: SessionId,
        subscription: &Subscription,
        subscription_id: Option<NonZeroU32>,
        now: Instant,
    ) -> ReasonCode {
        let Limits { subscriptions_per_client_max, topic_levels_max, retained_messages_max, .. } =
            self.limits;
        let session = &self.sessions[id];
        let filter = &subscription.filter;
        let is_new = !session.subscriptions.contains_key(filter);
        if filter.split('/').count() > topic_levels_max {
            return ReasonCode::TopicFilterInvalid;
        }
        if is_new && session.subscriptions.len() >= subscriptions_per_client_max {
            return ReasonCode::QuotaExceeded;
        }
        if session.number.is_some() {
            let filters = session.subscriptions.keys().map(|filter| filter.len() + 16);
            let fits = filters.sum::<usize>() + filter.len() <= SUBSCRIPTION_BYTES_MAX;
            if !fits || self.journal.as_ref().is_some_and(|journal| !journal.takes_sessions()) {
                return ReasonCode::QuotaExceeded;
            }
        }
        let options = Options {
            qos: subscription.qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            id: subscription_id,
        };
        let mut copies = Vec::new();
        let wants_retained = match subscription.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained && !topic::is_shared(filter) {
            self.retained.select(filter, now, |publication| {
                copies.push(Queued {
                    qos: options.qos.min(publication.message.qos),
                    publication: publication.clone(),
                    retain: true,
                    subscription_ids: options.id.map_or(SubscriptionIds::None, SubscriptionIds::One),
                    group: None,
                    from_store: true,
                    index: 0,
                    maybe_sent: false,
                });
            });
        }
        let session = &mut self.sessions[id];
        if session.load().from_store + copies.len() > retained_messages_max {
            return ReasonCode::QuotaExceeded;
        }
        session.subscriptions.insert(filter.clone(), options);
        if let (Some(journal), Some(number)) = (&mut self.journal, session.number) {
            journal.put(&Record::Subscribed(number, filter.clone(), options));
            journal.demand();
            for copy in copies.iter_mut().filter(|copy| copy.qos > QoS::AtMostOnce) {
                copy.index = journal.copy(&copy.publication, copy.of_session(number));
            }
        }
        copies.into_iter().for_each(|copy| session.push(copy));
        session.wake(&mut self.woken);
        self.subscriptions.insert(filter, Subscriber { session: id, options }, is_new);
        match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// Ends a subscription. Gives the reason code for the UNSUBACK.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn unsubscribe(&mut self, at: Attachment, filter: &str) -> Result<ReasonCode, ReasonCode> {
        self.check(at)?;
        Ok(self.unsubscribe_session(at.session, filter))
    }

    fn unsubscribe_session(&mut self, id: SessionId, filter: &str) -> ReasonCode {
        let session = &mut self.sessions[id];
        let number = session.number;
        let Some((filter, _)) = session.subscriptions.remove_entry(filter) else {
            return ReasonCode::NoSubscriptionExisted;
        };
        self.subscriptions.remove(&filter, id);
        if let (Some(journal), Some(number)) = (&mut self.journal, number) {
            journal.put(&Record::Unsubscribed(number, filter));
            journal.demand();
        }
        ReasonCode::Success
    }

    /// A QoS 2 copy of a session was sent as that, or its PUBREC has come: [`Core::settle`] says what the packet has to
    /// wait for.
    pub(crate) fn sent(&mut self, copy: CopyId, packet_id: PacketId, taken: bool) {
        if let Some(journal) = &mut self.journal {
            journal.sent(copy, packet_id, taken);
        }
    }

    /// A client has released a QoS 2 message that it published.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn released(&mut self, at: Attachment, packet_id: PacketId) -> Result<(), ReasonCode> {
        let session = self.session(at)?;
        let was_kept = session.received.remove(&packet_id);
        if let (true, Some(number), Some(journal)) = (was_kept, session.number, &mut self.journal) {
            journal.put(&Record::Released(number, packet_id));
            // once it has its PUBCOMP, the client may use the identifier for another message
            journal.demand();
        }
        Ok(())
    }

    /// Whether a connection still has its session.
    ///
    /// # Errors
    /// The reason to tell the client if not.
    pub(crate) fn check(&mut self, at: Attachment) -> Result<(), ReasonCode> {
        self.session(at).map(drop)
    }

    /// An MQTT client is done with some of what was taken for it.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn release(&mut self, at: Attachment, gone: Load) -> Result<(), ReasonCode> {
        self.session(at)?;
        self.sessions[at.session].release(gone, &mut self.woken);
        Ok(())
    }

    /// Moves what an MQTT client is to be sent next to `out`, about `bytes` bytes and no more than `room` messages of
    /// QoS 1 and 2. The client comes again by itself when it left something behind.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn take(
        &mut self,
        at: Attachment,
        room: usize,
        bytes: usize,
        now: Instant,
        out: &mut Vec<Queued>,
    ) -> Result<(), ReasonCode> {
        self.session(at)?;
        self.sessions[at.session].take(room, bytes, now, out, &mut self.spent);
        self.counters.messages_sent += out.len() as u64;
        Ok(())
    }

    /// Moves up to `max` messages to a client in this process; if there is none, `waker` is called when there is.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn hand_out(
        &mut self,
        at: Attachment,
        max: usize,
        waker: &Waker,
        now: Instant,
        out: &mut Vec<Queued>,
    ) -> Result<(), ReasonCode> {
        if let Some(connection) = &mut self.session(at)?.connection {
            connection.waker.clone_from(waker);
        }
        let session = &mut self.sessions[at.session];
        session.hand_out(max, now, out, &mut self.spent);
        self.counters.messages_sent += out.len() as u64;
        Ok(())
    }

    /// A client in this process is done with the oldest `count` messages it was given.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn acknowledge(&mut self, at: Attachment, count: usize) -> Result<(), ReasonCode> {
        self.session(at)?;
        let session = &mut self.sessions[at.session];
        let mut gone = Load::default();
        for copy in session.unacked.drain(..count.min(session.unacked.len())) {
            gone += copy.load();
            self.spent.done.extend(copy.id());
        }
        session.release(gone, &mut self.woken);
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats {
            connections: 0,
            sessions: self.sessions.0.len(),
            subscriptions: 0,
            retained_messages: self.retained.count(),
            retained_bytes: self.retained.bytes(),
            queued_messages: 0,
            queued_bytes: 0,
            counters: Counters { dropped: self.spent.dropped, ..self.counters },
        };
        for (_, session) in &self.sessions.0 {
            stats.connections += usize::from(session.is_connected());
            stats.subscriptions += session.subscriptions.len();
            stats.queued_messages += session.load().messages;
            stats.queued_bytes += session.load().bytes;
        }
        stats
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        let subscriptions = |session: &Session| {
            let mut filters: Vec<_> = session.subscriptions.keys().map(ToString::to_string).collect();
            filters.sort();
            filters
        };
        let client = |(_, session): (usize, &Session)| Client {
            client_id: session.client_id.to_string(),
            username: session.username.as_ref().map(ToString::to_string),
            connected: session.is_connected(),
            address: session.connection.as_ref().and_then(|c| c.address),
            subscriptions: subscriptions(session),
            queued_messages: session.load().messages,
            queued_bytes: session.load().bytes,
        };
        self.sessions.0.iter().map(client).collect()
    }

    /// What waits for a client. Of what a connection has, the age is not known here.
    pub(crate) fn waiting(&self, client_id: &str, now: Instant) -> Option<Waiting> {
        let session = &self.sessions[*self.clients.get(client_id)?];
        // what is retained was published long ago, and has not waited since
        let oldest = |queue: &VecDeque<Queued>| {
            queue.iter().find(|q| !q.from_store).map(|q| q.publication.received_at)
        };
        let received_at = [&session.unacked, &session.queue].into_iter().filter_map(oldest).min();
        Some(Waiting {
            messages: session.load().messages,
            oldest_age: received_at.map(|at| now.saturating_duration_since(at)),
        })
    }

    /// Topics with a retained message that match a filter, and the bytes of its payload.
    pub(crate) fn retained(&self, filter: &str, now: Instant) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        self.retained.select(filter, now, |publication| {
            found.push((publication.message.topic.to_string(), publication.message.payload.len()));
        });
        found
    }
}

/// A session as the journal keeps it.
fn record_of(number: u64, session: &Session) -> SessionRecord {
    SessionRecord {
        number,
        client_id: session.client_id.clone(),
        username: session.username.clone(),
        owner: session.owner.clone(),
        expiry_interval: session.expiry_interval,
        left_at: session.left_at,
        will: session.will.clone(),
        received: session.received.iter().copied().collect(),
        subscriptions: session
            .subscriptions
            .iter()
            .map(|(filter, options)| (filter.clone(), *options))
            .collect(),
    }
}
