//! Who is told about changes of which key.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use bytes::Bytes;

/// The registrations of all clients. `C` is a client for as long as its connection lasts: registrations live no longer.
#[derive(Debug)]
pub(crate) struct Observers<C> {
    by_key: HashMap<Bytes, HashSet<C>>,
    by_client: HashMap<C, HashSet<Bytes>>,
    len: usize,
}

impl<C> Default for Observers<C> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), by_client: HashMap::new(), len: 0 }
    }
}

impl<C: Copy + Eq + Hash> Observers<C> {
    /// How many registrations there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the client is told about the key.
    pub(crate) fn contains(&self, client: C, key: &[u8]) -> bool {
        self.by_client.get(&client).is_some_and(|keys| keys.contains(key))
    }

    pub(crate) fn insert(&mut self, client: C, key: &[u8]) {
        // a copy: the request's buffer is not to be held for as long as the client stays
        let key = self
            .by_key
            .get_key_value(key)
            .map_or_else(|| Bytes::copy_from_slice(key), |(key, _)| key.clone());
        if self.by_client.entry(client).or_default().insert(key.clone()) {
            self.by_key.entry(key).or_default().insert(client);
            self.len += 1;
        }
    }

    /// Whether there was such a registration.
    pub(crate) fn remove(&mut self, client: C, key: &[u8]) -> bool {
        let Some(keys) = self.by_client.get_mut(&client) else { return false };
        let found = keys.remove(key);
        if keys.is_empty() {
            self.by_client.remove(&client);
        }
        if found {
            self.remove_from_key(client, key);
        }
        found
    }

    /// Forgets the clients whose connection has ended.
    pub(crate) fn keep(&mut self, lasts: impl Fn(C) -> bool) {
        let gone: Vec<_> = self.by_client.extract_if(|client, _| !lasts(*client)).collect();
        for (client, keys) in gone {
            keys.iter().for_each(|key| self.remove_from_key(client, key));
        }
    }

    fn remove_from_key(&mut self, client: C, key: &[u8]) {
        self.len -= 1;
        if let Some(clients) = self.by_key.get_mut(key) {
            clients.remove(&client);
            if clients.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    /// The clients that are told about a key.
    pub(crate) fn of(&self, key: &[u8]) -> impl Iterator<Item = C> {
        self.by_key.get(key).into_iter().flatten().copied()
    }
}
