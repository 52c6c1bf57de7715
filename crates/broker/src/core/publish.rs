//! From a publish to the queues of the sessions that are to get it.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use tidegate_mqtt::{PacketId, QoS, ReasonCode};

use super::journal::record::Copy;
use super::journal::{Full, Journal};
use super::session::{Queued, Session, Spent};
use super::subscriptions::{Group, GroupId, Options, Subscriber, Subscriptions};
use super::{Core, SessionId, Sessions};
use crate::message::{Publication, SubscriptionIds};

/// How somebody publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher<'a> {
    /// Whom to wake when a full queue may have room again.
    pub(crate) waker: &'a Waker,
    /// Whether it waits even for a queue that nobody drains at present.
    pub(crate) patient: bool,
    /// The packet identifier of a QoS 2 publish.
    pub(crate) exactly_once: Option<PacketId>,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(waker: &'a Waker, patient: bool) -> Self {
        Self { waker, patient, exactly_once: None }
    }
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every session that must get the message has it in its queue: it may be acknowledged.
    Accepted {
        /// Whether any session gets it.
        matched: bool,
    },
    /// Nothing has happened yet. The publisher is woken when it may try again.
    Wait,
    /// Nothing has happened, nor will it.
    Refused(ReasonCode),
}

/// A session that is to get the message at hand.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) session: SessionId,
    qos: QoS,
    retain: bool,
    subscription_ids: SubscriptionIds,
    group: Option<GroupId>,
    /// Which copy it is in the journal; 0 if it is in none.
    pub(super) index: u32,
}

impl Target {
    pub(super) fn new(subscriber: &Subscriber, publication: &Publication, group: Option<GroupId>) -> Self {
        let mut target = Self {
            session: subscriber.session,
            qos: QoS::AtMostOnce,
            retain: false,
            subscription_ids: SubscriptionIds::None,
            group,
            index: 0,
        };
        target.add(&subscriber.options, publication);
        target
    }

    /// Counts in a subscription of the session: overlapping ones make one copy of the message, at the highest QoS and
    /// with every identifier (MQTT v5 section 3.3.4).
    fn add(&mut self, options: &Options, publication: &Publication) {
        self.qos = self.qos.max(options.qos.min(publication.message.qos));
        self.retain |= options.retain_as_published && publication.message.retain;
        if let Some(id) = options.id {
            self.subscription_ids.push(id);
        }
    }

    pub(super) fn copy(self, publication: &Arc<Publication>) -> Queued {
        let Self { qos, retain, subscription_ids, group, index, .. } = self;
        let publication = publication.clone();
        Queued {
            publication,
            qos,
            retain,
            subscription_ids,
            group,
            from_store: false,
            index,
            maybe_sent: false,
        }
    }

    /// The copy as the journal keeps it, if it is to.
    pub(super) fn kept(&self, session: &Session, subscriptions: &Subscriptions) -> Option<Copy> {
        if self.qos == QoS::AtMostOnce {
            return None;
        }
        Some(Copy {
            index: self.index,
            session: session.keeps_messages()?,
            qos: self.qos,
            retain: self.retain,
            from_store: false,
            subscription_ids: self.subscription_ids.clone(),
            group: self.group.and_then(|id| subscriptions.shared(id)),
            sent: None,
        })
    }
}

/// What [`Core::accept`] works with, kept from one call to the next for its memory.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Counts the calls, so that a session can tell whether it is a target of this one already.
    number: u64,
    targets: Vec<Target>,
    groups: Vec<GroupId>,
    /// Sessions that must get the message and have no room for it.
    full: Vec<SessionId>,
    /// Whether one of those won't have room soon either.
    hopeless: bool,
    /// Whether the log has no room.
    log_full: bool,
}

impl Route {
    /// Has the journal keep the message for all who are to get it and outlive the process.
    fn keep(
        &mut self,
        publication: &Arc<Publication>,
        retain: bool,
        publisher: Publisher<'_>,
        journal: &mut Journal,
        sessions: &mut Sessions,
        subscriptions: &Subscriptions,
    ) -> Result<(), Full> {
        let mut copies = Vec::new();
        for target in &mut self.targets {
            if let Some(mut copy) = target.kept(&sessions[target.session], subscriptions) {
                copy.index = copies.len() as u32 + 1;
                target.index = copy.index;
                copies.push(copy);
            }
        }
        let stays = retain && !publication.message.payload.is_empty();
        if copies.is_empty() && !stays {
            if retain && publication.message.qos > QoS::AtMostOnce {
                // that the old one is gone
                journal.demand();
            }
            return Ok(());
        }
        let publisher_session = publication.publisher.and_then(|at| sessions.0.get_mut(at.session.0));
        let publisher_session = publisher_session.filter(|session| session.keeps_messages().is_some());
        let received = publisher.exactly_once.zip(publisher_session);
        let identifier =
            received.as_ref().and_then(|(id, session)| session.keeps_messages().map(|n| (n, *id)));
        journal.message(publication, copies, stays, identifier)?;
        if let Some((id, session)) = received {
            session.received.insert(id);
        }
        if publication.message.qos > QoS::AtMostOnce {
            journal.demand();
        }
        Ok(())
    }
}

impl Core {
    /// Decides whether the broker takes a message and, if so, puts it into the queues: into all of them or none.
    ///
    /// This is the one place that decides that a publish may be acknowledged: whatever else has to be safe before that,
    /// such as a log on disk, belongs in here.
    pub(crate) fn accept(
        &mut self,
        publisher: Publisher<'_>,
        publication: &Arc<Publication>,
        now: Instant,
    ) -> Verdict {
        self.find_targets(publication);
        if publication.message.qos > QoS::AtMostOnce {
            self.find_full_targets(publication, now);
        }
        self.choose_from_groups(publication, now);

        let Self { route, sessions, retained, .. } = self;
        if !route.full.is_empty() {
            if route.hopeless && !publisher.patient {
                self.counters.publishes_refused += 1;
                return Verdict::Refused(ReasonCode::QuotaExceeded);
            }
            for id in &route.full {
                sessions[*id].wait(publisher.waker);
            }
            return Verdict::Wait;
        }
        let mut retain = publication.message.retain;
        if retain && !retained.make_room(publication, &self.limits, now) {
            if publication.message.qos > QoS::AtMostOnce {
                self.counters.publishes_refused += 1;
                return Verdict::Refused(ReasonCode::QuotaExceeded);
            }
            self.counters.retained_refused += 1;
            retain = false;
        }
        if let Some(journal) = &mut self.journal {
            let kept = route.keep(publication, retain, publisher, journal, sessions, &self.subscriptions);
            if kept == Err(Full) && publication.message.qos > QoS::AtMostOnce {
                if journal.is_stalled() && !publisher.patient {
                    self.counters.publishes_refused += 1;
                    return Verdict::Refused(ReasonCode::QuotaExceeded);
                }
                route.log_full = true;
                journal.wait(publisher.waker);
                return Verdict::Wait;
            }
            if kept == Err(Full) {
                self.counters.retained_refused += 1;
                retain = false;
            }
        }
        if retain {
            retained.put(publication);
        }
        let matched = !route.targets.is_empty();
        for target in route.targets.drain(..) {
            let session = &mut sessions[target.session];
            let takes = session.is_connected() && session.has_room(publication.message.size());
            if target.qos == QoS::AtMostOnce && !takes {
                self.spent.dropped.queue_full += u64::from(session.is_connected());
                continue;
            }
            session.push(target.copy(publication));
            session.wake(&mut self.woken);
        }
        Verdict::Accepted { matched }
    }

    /// The last try of a publish that has waited for as long as it may: in place of [`Verdict::Wait`] it is refused, and
    /// others need not wait for the same queues until they move again.
    pub(crate) fn accept_or_refuse(
        &mut self,
        publisher: Publisher<'_>,
        publication: &Arc<Publication>,
        now: Instant,
    ) -> Verdict {
        let verdict = self.accept(publisher, publication, now);
        if verdict != Verdict::Wait {
            return verdict;
        }
        for id in &self.route.full {
            self.sessions[*id].stall();
        }
        if self.route.log_full
            && let Some(journal) = &mut self.journal
        {
            journal.stall();
        }
        self.counters.publishes_refused += 1;
        Verdict::Refused(ReasonCode::QuotaExceeded)
    }

    /// The sessions that subscribed for themselves, and the groups.
    fn find_targets(&mut self, publication: &Publication) {
        let Self {
            route: Route { number, targets, groups, full, hopeless, log_full },
            sessions,
            subscriptions,
            ..
        } = self;
        let publisher = publication.publisher.map(|publisher| publisher.session);
        *number += 1;
        targets.clear();
        groups.clear();
        full.clear();
        *hopeless = false;
        *log_full = false;
        subscriptions.matches(&publication.message.topic, |subscribers| {
            for subscriber in &subscribers.sessions {
                if subscriber.options.no_local && Some(subscriber.session) == publisher {
                    continue;
                }
                let session = &mut sessions[subscriber.session];
                match session.target_of(*number) {
                    Some(at) => targets[at].add(&subscriber.options, publication),
                    None => {
                        session.set_target(*number, targets.len());
                        targets.push(Target::new(subscriber, publication, None));
                    }
                }
            }
            groups.extend(subscribers.groups.iter().map(|(_, id)| *id));
        });
    }

    fn find_full_targets(&mut self, publication: &Publication, now: Instant) {
        let Self { route: Route { targets, full, hopeless, .. }, sessions, spent, .. } = self;
        let size = publication.message.size();
        for target in targets.iter().filter(|target| target.qos > QoS::AtMostOnce) {
            let session = &mut sessions[target.session];
            if !session.make_room(size, now, spent) {
                full.push(target.session);
                *hopeless |= !session.drains();
            }
        }
    }

    /// One member of each group: the next one that is connected and has room or, if none is connected, one that keeps the
    /// message until it is.
    fn choose_from_groups(&mut self, publication: &Publication, now: Instant) {
        let Self {
            route: Route { targets, groups, full, hopeless, .. }, sessions, subscriptions, spent, ..
        } = self;
        let size = publication.message.size();
        for id in groups.drain(..) {
            let Some(group) = subscriptions.group_mut(id) else { continue };
            if let Some(member) = choose(group, sessions, QoS::AtMostOnce, size, now, spent) {
                targets.push(Target::new(&member, publication, Some(id)));
                continue;
            }
            let connected = group.members.iter().any(|m| sessions[m.session].is_connected());
            if publication.message.qos == QoS::AtMostOnce {
                spent.dropped.queue_full += u64::from(connected);
                continue;
            }
            let candidates: Vec<Subscriber> = group
                .members
                .iter()
                .filter(|m| {
                    m.options.qos > QoS::AtMostOnce && sessions[m.session].is_connected() == connected
                })
                .copied()
                .collect();
            if !connected
                && let Some(member) =
                    candidates.iter().find(|m| sessions[m.session].make_room(size, now, spent))
            {
                targets.push(Target::new(member, publication, Some(id)));
                continue;
            }
            full.extend(candidates.iter().map(|m| m.session));
            *hopeless |= !candidates.iter().any(|m| sessions[m.session].drains());
        }
    }
}

/// The next member in turn that subscribed with `qos_min` or more, is connected and has room.
pub(super) fn choose(
    group: &mut Group,
    sessions: &mut Sessions,
    qos_min: QoS,
    size: usize,
    now: Instant,
    spent: &mut Spent,
) -> Option<Subscriber> {
    let (skipped, member) = group
        .in_turn()
        .enumerate()
        .find(|(_, member)| {
            let session = &mut sessions[member.session];
            member.options.qos >= qos_min && session.is_connected() && session.make_room(size, now, spent)
        })
        .map(|(skipped, member)| (skipped, *member))?;
    group.advance(skipped);
    Some(member)
}
