//! Who subscribed to what, and the groups that share a subscription (MQTT v5 sections 3.8 and 4.8.2).

use std::collections::HashMap;
use std::num::NonZeroU32;

use bytestring::ByteString;
use tidegate_mqtt::QoS;
use tidegate_mqtt::topic::Shared;

use super::SessionId;
use crate::trie::Trie;

/// What a session asked for with a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) id: Option<NonZeroU32>,
}

/// A session behind a filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    pub(super) session: SessionId,
    pub(super) options: Options,
}

/// Names a group while it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupId(NonZeroU32);

/// The sessions that share one subscription: each message goes to one of them.
#[derive(Debug)]
pub(super) struct Group {
    /// The subscription as written.
    pub(super) filter: ByteString,
    pub(super) members: Vec<Subscriber>,
    /// Whose turn it is, counted on without end.
    next: usize,
}

impl Group {
    /// The members, beginning with the one whose turn it is.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Subscriber> {
        let (before, from) = self.members.split_at(self.next % self.members.len().max(1));
        from.iter().chain(before)
    }

    /// Ends the turn of the member that comes `skipped` after the one whose turn it is.
    pub(super) fn advance(&mut self, skipped: usize) {
        self.next = (self.next + skipped + 1) % self.members.len().max(1);
    }
}

/// Everybody behind one filter.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    pub(super) sessions: Vec<Subscriber>,
    /// With their share names.
    pub(super) groups: Vec<(Box<str>, GroupId)>,
}

impl Subscribers {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.groups.is_empty()
    }
}

/// All subscriptions of all sessions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    filters: Trie<Subscribers>,
    groups: HashMap<GroupId, Group>,
    last_group: u32,
}

impl Subscriptions {
    /// Adds a subscription. Unless it `is_new`, it replaces the one the session had with the same filter,
    /// `$share/<group>/` included.
    pub(super) fn insert(&mut self, written: &ByteString, subscriber: Subscriber, is_new: bool) {
        let put = |subscribers: &mut Vec<Subscriber>| {
            let old = subscribers.iter_mut().filter(|_| !is_new).find(|s| s.session == subscriber.session);
            match old {
                Some(old) => *old = subscriber,
                None => subscribers.push(subscriber),
            }
        };
        let Some(Shared { group: name, filter }) = Shared::parse(written) else {
            return put(&mut self.filters.slot(written).get_or_insert_default().sessions);
        };
        let groups = &mut self.filters.slot(filter).get_or_insert_default().groups;
        let id = match groups.iter().find(|(n, _)| **n == *name) {
            Some((_, id)) => *id,
            None => {
                let id = loop {
                    self.last_group = self.last_group.wrapping_add(1);
                    if let Some(id) = NonZeroU32::new(self.last_group).map(GroupId)
                        && !self.groups.contains_key(&id)
                    {
                        break id;
                    }
                };
                groups.push((name.into(), id));
                id
            }
        };
        let new = || Group { filter: written.clone(), members: Vec::new(), next: 0 };
        put(&mut self.groups.entry(id).or_insert_with(new).members);
    }

    /// Ends a subscription.
    pub(super) fn remove(&mut self, filter: &str, session: SessionId) {
        let shared = Shared::parse(filter);
        let groups = &mut self.groups;
        self.filters.retain(shared.map_or(filter, |s| s.filter), |subscribers| {
            match shared {
                None => subscribers.sessions.retain(|s| s.session != session),
                Some(Shared { group: name, .. }) => subscribers.groups.retain(|(n, id)| {
                    if **n != *name {
                        return true;
                    }
                    let Some(group) = groups.get_mut(id) else { return false };
                    group.members.retain(|s| s.session != session);
                    let keep = !group.members.is_empty();
                    if !keep {
                        groups.remove(id);
                    }
                    keep
                }),
            }
            !subscribers.is_empty()
        });
    }

    /// Hands everybody behind a filter that matches `topic` to `found`.
    pub(super) fn matches<'a>(&'a self, topic: &str, found: impl FnMut(&'a Subscribers)) {
        self.filters.matches(topic, found);
    }

    /// The group that shares a subscription, as written.
    pub(super) fn group_of(&self, written: &str) -> Option<GroupId> {
        let Shared { group, filter } = Shared::parse(written)?;
        let groups = &self.filters.get(filter)?.groups;
        groups.iter().find(|(name, _)| **name == *group).map(|(_, id)| *id)
    }

    /// What a group shares, as written, if it still has members.
    pub(super) fn shared(&self, id: GroupId) -> Option<ByteString> {
        self.groups.get(&id).map(|group| group.filter.clone())
    }

    /// A group to take turns in, if it still has members.
    pub(super) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }
}
