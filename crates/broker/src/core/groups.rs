//! What becomes of a member's messages when it goes: the group was promised them, not the member (MQTT v5 section 4.8.2).

use std::time::Instant;

use tidegate_mqtt::{QoS, topic};

use super::publish::{Target, choose};
use super::session::{Load, Queued, Session};
use super::{Core, SessionId};

impl Core {
    /// The client of a session went: other members that are connected and have room get what waits in it for the
    /// group. A QoS 2 message that was sent stays, as only its client can complete it.
    pub(super) fn pass_on_shared(&mut self, id: SessionId, now: Instant) {
        let session = &mut self.sessions[id];
        if !session.subscriptions.keys().any(|filter| topic::is_shared(filter)) {
            return;
        }
        let mut flow = std::mem::take(&mut session.flow);
        let mut queue = std::mem::take(&mut session.queue);
        let mut gone = Load::default();
        let mut pass_on = |copy: &Queued| {
            let passed = self.pass_on(copy, now);
            if passed {
                gone += copy.load();
                self.spent.done.extend(copy.id());
            }
            passed
        };
        flow.outbound.take_back(&mut pass_on);
        queue.retain(|copy| !pass_on(copy));
        let session = &mut self.sessions[id];
        session.flow = flow;
        session.queue = queue;
        session.release(gone, &mut self.woken);
    }

    /// A session ended: other members get what waited in it for the group, and the heir what they do not, whatever their
    /// room, as its publishers were told that it is safe.
    pub(super) fn bequeath(&mut self, mut session: Session, heir: Option<SessionId>, now: Instant) {
        let in_flight = session.flow.outbound.drain();
        self.spent.done.extend(in_flight.iter().filter_map(|unfinished| unfinished.message.id()));
        let in_flight = in_flight.into_iter().filter(|unfinished| !unfinished.taken).map(|unfinished| {
            let may_go = unfinished.message.qos == QoS::AtLeastOnce;
            (unfinished.message, may_go)
        });
        let waiting = session.unacked.into_iter().chain(session.queue).map(|copy| (copy, true));
        for (copy, may_go) in in_flight.chain(waiting) {
            self.spent.done.extend(copy.id());
            let has_gone = may_go
                && (self.pass_on(&copy, now) || self.keep_for_member(&copy) || self.leave_to(heir, &copy));
            if !has_gone && !copy.from_store {
                self.spent.dropped.session_ended += 1;
            }
        }
    }

    /// Gives a copy to the next member in turn that is connected and has room.
    fn pass_on(&mut self, copy: &Queued, now: Instant) -> bool {
        let Self { sessions, subscriptions, spent, .. } = self;
        let Some(group) = copy.group.and_then(|id| subscriptions.group_mut(id)) else { return false };
        let size = copy.publication.message.size();
        let qos_min = copy.qos.min(QoS::AtLeastOnce);
        let Some(member) = choose(group, sessions, qos_min, size, now, spent) else {
            return false;
        };
        self.hand_over(Target::new(&member, &copy.publication, copy.group), copy);
        true
    }

    /// Gives a copy to a member that will be connected some day.
    fn keep_for_member(&mut self, copy: &Queued) -> bool {
        let Some(group) = copy.group.and_then(|id| self.subscriptions.group_mut(id)) else { return false };
        let Some(member) = group.members.iter().find(|m| m.options.qos > QoS::AtMostOnce) else {
            return false;
        };
        let target = Target::new(member, &copy.publication, copy.group);
        self.hand_over(target, copy);
        true
    }

    /// Gives a copy to the heir of its session, for itself: there is no group.
    fn leave_to(&mut self, heir: Option<SessionId>, copy: &Queued) -> bool {
        let Some(id) = heir.filter(|_| copy.qos > QoS::AtMostOnce && !copy.from_store) else { return false };
        let session = &mut self.sessions[id];
        let mut copy = Queued { group: None, index: 0, maybe_sent: false, ..copy.clone() };
        if let Some(journal) = &mut self.journal
            && let Some(number) = session.keeps_messages()
        {
            copy.index = journal.copy(&copy.publication, copy.of_session(number));
        }
        session.push(copy);
        session.wake(&mut self.woken);
        true
    }

    fn hand_over(&mut self, mut target: Target, copy: &Queued) {
        let Self { sessions, subscriptions, journal, woken, .. } = self;
        let session = &mut sessions[target.session];
        if let Some(journal) = journal
            && let Some(kept) = target.kept(session, subscriptions)
        {
            target.index = journal.copy(&copy.publication, kept);
        }
        session.push(target.copy(&copy.publication));
        session.wake(woken);
    }
}
