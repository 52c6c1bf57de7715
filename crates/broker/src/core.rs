//! The state of the broker and its rules, without I/O: it is called with the time as an argument, and says whom to wake.
//!
//! It refuses to know sockets, packets and credentials. One lock around it is all the concurrency there is, so callers
//! come with batches.

mod groups;
mod publish;
mod session;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use slab::Slab;
use tidegate_mqtt::{QoS, ReasonCode, RetainHandling, Subscription, Will, flow, topic};

pub(crate) use publish::{Publisher, Verdict};
use session::{Connection, Session};
pub(crate) use session::{Load, Queued};
use subscriptions::{Options, Subscriber, Subscriptions};

use crate::config::Limits;
use crate::message::{Message, Publication, SubscriptionIds};
use crate::retained::Retained;
use crate::stats::{Client, Counters, Stats};

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
    pub(crate) counters: Counters,
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
        if attach.clean_start
            && let Some(id) = old
        {
            self.end(id, now);
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
        if attach.address.is_none() {
            session.put_back_in_flight();
        }
        let attached = Attached {
            attachment: Attachment { session: id, connection: self.last_connection },
            session_present: old.is_some(),
            flow: std::mem::take(&mut session.flow),
        };
        self.set_timer(id, None, None);
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
            return self.end(id, now);
        }
        let after = |seconds: u32| now + Duration::from_secs(seconds.into());
        let expires_at = (session.expiry_interval != u32::MAX).then(|| after(session.expiry_interval));
        let will_at = session.will.as_ref().map(|will| after(will.delay));
        self.set_timer(id, will_at, expires_at);
        self.pass_on_shared(id, now);
        // A will without a delay is due.
        self.run_timers(now);
    }

    /// Ends a session that nobody is connected to.
    fn end(&mut self, id: SessionId, now: Instant) {
        self.set_timer(id, None, None);
        let mut session = self.sessions.0.remove(id.0);
        self.clients.remove(&session.client_id);
        for filter in session.subscriptions.keys() {
            self.subscriptions.remove(filter, id);
        }
        session.wake_waiters(&mut self.woken);
        if let Some(will) = session.will.take() {
            self.publish_will(will, now);
        }
        self.bequeath_shared(session, now);
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
                self.end(id, now);
                continue;
            }
            let expires_at = session.expires_at;
            let will = session.will.take();
            self.set_timer(id, None, expires_at);
            if let Some(will) = will {
                self.publish_will(will, now);
            }
        }
    }

    fn publish_will(&mut self, will: Will, now: Instant) {
        self.counters.messages_received += 1;
        let message = Message {
            topic: will.topic,
            payload: will.payload,
            properties: will.properties,
            qos: will.qos,
            retain: will.retain,
            expiry_interval: will.message_expiry,
        };
        let publication = Arc::new(Publication { message, publisher: None, received_at: now });
        self.try_will(DueWill { publication, give_up_at: now + self.limits.publish_wait_max }, now);
        if !self.due_wills.is_empty() {
            self.woken.push(self.clock.clone());
        }
    }

    /// A will has nobody who could be told that a queue is full, so it waits for itself, as long as a publish may.
    fn try_will(&mut self, will: DueWill, now: Instant) {
        let clock = self.clock.clone();
        let publisher = Publisher { waker: &clock, patient: true };
        let verdict = if now < will.give_up_at {
            self.accept(publisher, &will.publication, now)
        } else {
            self.accept_or_refuse(publisher, &will.publication, now)
        };
        match verdict {
            Verdict::Accepted { .. } => {}
            Verdict::Wait => self.due_wills.push(will),
            Verdict::Refused(_) => self.counters.dropped.will_refused += 1,
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
        let Limits { subscriptions_per_client_max, topic_levels_max, retained_messages_max, .. } =
            self.limits;
        let session = self.session(at)?;
        let filter = &subscription.filter;
        let is_new = !session.subscriptions.contains_key(filter);
        if filter.split('/').count() > topic_levels_max {
            return Ok(ReasonCode::TopicFilterInvalid);
        }
        if is_new && session.subscriptions.len() >= subscriptions_per_client_max {
            return Ok(ReasonCode::QuotaExceeded);
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
                });
            });
        }
        let session = &mut self.sessions[at.session];
        if session.load().from_store + copies.len() > retained_messages_max {
            return Ok(ReasonCode::QuotaExceeded);
        }
        session.subscriptions.insert(filter.clone(), options);
        copies.into_iter().for_each(|copy| session.push(copy));
        session.wake(&mut self.woken);
        self.subscriptions.insert(filter, Subscriber { session: at.session, options }, is_new);
        Ok(match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        })
    }

    /// Ends a subscription. Gives the reason code for the UNSUBACK.
    ///
    /// # Errors
    /// As [`Core::check`].
    pub(crate) fn unsubscribe(&mut self, at: Attachment, filter: &str) -> Result<ReasonCode, ReasonCode> {
        if self.session(at)?.subscriptions.remove(filter).is_none() {
            return Ok(ReasonCode::NoSubscriptionExisted);
        }
        self.subscriptions.remove(filter, at.session);
        Ok(ReasonCode::Success)
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
        self.sessions[at.session].take(room, bytes, now, out, &mut self.counters.dropped);
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
        session.hand_out(max, now, out, &mut self.counters.dropped);
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
        session.unacked.drain(..count.min(session.unacked.len())).for_each(|copy| gone += copy.load());
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
            counters: self.counters,
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
        let client = |(_, session): (usize, &Session)| Client {
            client_id: session.client_id.to_string(),
            username: session.username.as_ref().map(ToString::to_string),
            connected: session.is_connected(),
            address: session.connection.as_ref().and_then(|c| c.address),
            subscriptions: session.subscriptions.len(),
            queued_messages: session.load().messages,
            queued_bytes: session.load().bytes,
        };
        self.sessions.0.iter().map(client).collect()
    }
}
