//! The sessions of one owner in this process, such as a data flow: they change together, while its links are away.

use std::collections::VecDeque;
use std::time::Instant;

use bytestring::ByteString;
use tidegate_mqtt::{ReasonCode, Subscription};

use super::{Attachment, Core, SessionId};

impl Core {
    /// Makes the subscriptions of a session these, in one step: of what is published nothing comes twice, by an old and
    /// a new one, and nothing by neither.
    ///
    /// # Errors
    /// As [`Core::check`]; the place of a subscription that is refused, and why.
    pub(crate) fn resubscribe(
        &mut self,
        at: Attachment,
        wanted: &[Subscription],
        now: Instant,
    ) -> Result<Result<(), (usize, ReasonCode)>, ReasonCode> {
        self.check(at)?;
        Ok(self.resubscribe_session(at.session, wanted, now))
    }

    fn resubscribe_session(
        &mut self,
        id: SessionId,
        wanted: &[Subscription],
        now: Instant,
    ) -> Result<(), (usize, ReasonCode)> {
        for (place, subscription) in wanted.iter().enumerate() {
            let reason = self.subscribe_session(id, subscription, None, now);
            if reason.is_failure() {
                return Err((place, reason));
            }
        }
        let filters = self.sessions[id].subscriptions.keys();
        let old: Vec<_> = filters.filter(|f| !wanted.iter().any(|w| w.filter == **f)).cloned().collect();
        for filter in old {
            self.unsubscribe_session(id, &filter);
        }
        Ok(())
    }

    /// Makes the sessions of an owner those of `clients`, as far as there are any, with the subscriptions `wanted`, in one
    /// step. A session whose client is none of them goes on as one that is missing; what waits in one too many others
    /// get: the members of its group, or the first of `clients`. So none of its messages is lost, and none is taken in
    /// for two.
    pub(crate) fn reassign(
        &mut self,
        owner: &str,
        clients: &[ByteString],
        wanted: &[Subscription],
        now: Instant,
    ) {
        let mut surplus: VecDeque<_> =
            self.absent_sessions(|by, client| by == owner && !clients.contains(client)).into();
        for client in clients {
            if !self.clients.contains_key(client)
                && let Some(id) = surplus.pop_front()
            {
                self.rename(id, client);
            }
        }
        let own = |core: &Self, client| {
            let id = *core.clients.get(client)?;
            (core.sessions[id].owner.as_deref() == Some(owner)).then_some(id)
        };
        for client in clients {
            if let Some(id) = own(self, client)
                && let Err((place, reason)) = self.resubscribe_session(id, wanted, now)
            {
                tracing::warn!(%client, filter = %wanted[place].filter, %reason, "not subscribed");
            }
        }
        let heir = clients.first().and_then(|client| own(self, client));
        // none of them is to inherit from another
        surplus.iter().for_each(|id| self.withdraw(*id));
        surplus.into_iter().for_each(|id| self.end(id, heir, now));
    }

    /// Ends the sessions of owners that are gone, unless a client is there.
    pub(crate) fn end_sessions_of(&mut self, is_gone: impl Fn(&str) -> bool, now: Instant) {
        for id in self.absent_sessions(|owner, _| is_gone(owner)) {
            self.end(id, None, now);
        }
    }

    /// Sessions that have an owner and no client at present, by the names of their clients.
    fn absent_sessions(&self, is_meant: impl Fn(&str, &ByteString) -> bool) -> Vec<SessionId> {
        let meant = self.sessions.0.iter().filter(|(_, session)| {
            let owner = session.owner.as_deref().filter(|_| !session.is_connected());
            owner.is_some_and(|owner| is_meant(owner, &session.client_id))
        });
        let mut meant: Vec<_> = meant.map(|(id, session)| (&session.client_id, SessionId(id))).collect();
        meant.sort_unstable();
        meant.into_iter().map(|(_, id)| id).collect()
    }

    fn rename(&mut self, id: SessionId, client: &ByteString) {
        let old = std::mem::replace(&mut self.sessions[id].client_id, client.clone());
        self.clients.remove(&old);
        self.clients.insert(client.clone(), id);
        self.record_session(id);
    }
}
