//! The store as a state machine: requests in, replies and changes out. No I/O, no clock of its own.
//!
//! Everything is held in memory. A batch of requests is applied, then written out by somebody else ([`Store::unsaved`]),
//! and then either kept or undone.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::ops::Bound;

use bytes::Bytes;
use bytestring::ByteString;

use super::glob::Glob;
use super::hlc::{Hlc, HybridClock};
use super::observers::Observers;
use super::reply::{Change, NOT_APPLIED, Reply};
use super::request::{Command, Condition, Request, RequestError};

/// The node of the store's own clock, as AIO's documentation shows it.
const NODE: &str = "StateStore";

/// Keys that one SCAN looks at.
const SCAN_KEYS_MAX: usize = 1000;

/// Bytes of keys in one page of a SCAN; a longer key is a page of its own.
const SCAN_BYTES_MAX: usize = 64 << 10;

/// How much the store holds. What goes beyond is refused: the quota has been exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Keys.
    pub keys_max: usize,
    /// Bytes of keys, values and fencing tokens together.
    pub bytes_max: usize,
    /// Bytes of one key. The topic of its notifications has each of them in two characters.
    pub key_bytes_max: usize,
    /// Keys that clients observe, counted once for each client.
    pub observations_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { keys_max: 1_000_000, bytes_max: 256 << 20, key_bytes_max: 16 << 10, observations_max: 100_000 }
    }
}

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Of the latest SET.
    pub version: Hlc,
    /// The highest fencing token the key was set with.
    pub fencing_token: Option<Hlc>,
    /// When the key is deleted, in milliseconds since 1970-01-01T00:00:00Z.
    pub expires_at: Option<u64>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) reply: Result<Reply, RequestError>,
    /// The version of the key, if it has or had one.
    pub(crate) version: Option<Hlc>,
    /// What observers of the key are to be told.
    pub(crate) change: Option<Change>,
}

impl Outcome {
    pub(crate) fn refused(error: RequestError) -> Self {
        Self { reply: Err(error), version: None, change: None }
    }

    fn unchanged(reply: Reply, version: Option<Hlc>) -> Self {
        Self { reply: Ok(reply), version, change: None }
    }
}

/// The state store. `C` is a client that can be notified.
#[derive(Debug)]
pub(crate) struct Store<C> {
    entries: BTreeMap<Bytes, Entry>,
    expiries: BTreeSet<(u64, Bytes)>,
    /// What counts against [`Limits::bytes_max`].
    bytes: usize,
    clock: HybridClock,
    observers: Observers<C>,
    limits: Limits,
    /// What stood under keys before the requests that are not kept yet, the latest last.
    undo: Vec<(Bytes, Option<Entry>)>,
    /// Keys of which the storage may have something else than [`Self::entries`].
    unsaved: BTreeSet<Bytes>,
}

impl<C: Copy + Eq + Hash> Store<C> {
    /// A store with what a storage had: its entries and the latest reading of its clock.
    pub(crate) fn new(
        entries: impl IntoIterator<Item = (Bytes, Entry)>,
        clock: Option<Hlc>,
        limits: Limits,
    ) -> Self {
        let clock = clock.unwrap_or(Hlc { millis: 0, counter: 0, node: ByteString::from_static(NODE) });
        let mut store = Self {
            entries: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
            clock: HybridClock::after(clock),
            observers: Observers::default(),
            limits,
            undo: Vec::new(),
            unsaved: BTreeSet::new(),
        };
        for (key, entry) in entries {
            store.replace(&key, Some(entry));
        }
        store
    }

    /// Carries out a request. `client` is who is to be notified; nobody can be if there is none.
    pub(crate) fn apply(&mut self, now: u64, client: Option<C>, request: &Request) -> Outcome {
        self.try_apply(now, client, request).unwrap_or_else(Outcome::refused)
    }

    fn try_apply(&mut self, now: u64, client: Option<C>, request: &Request) -> Result<Outcome, RequestError> {
        if request.timestamp.as_ref().is_some_and(|ts| ts.is_too_far_ahead(now)) {
            return Err(RequestError::TimestampTooFarAhead);
        }
        if request.command.key().is_empty() {
            return Err(RequestError::EmptyKey);
        }
        match &request.command {
            Command::Get { key } => {
                let entry = self.entries.get(key);
                let value = entry.map(|e| e.value.clone());
                Ok(Outcome::unchanged(Reply::Value(value), entry.map(|e| e.version.clone())))
            }
            Command::Set { key, value, condition, expires_in } => {
                let token = self.check_fence(now, key, request)?;
                let old = self.entries.get(key);
                let met = match (condition, old) {
                    (Condition::Unconditional, _) | (_, None) => true,
                    (Condition::OnlyIfDoesNotExist, Some(_)) => false,
                    (Condition::OnlyIfEqualOrDoesNotExist, Some(old)) => old.value == value,
                };
                if !met {
                    return Ok(Outcome::unchanged(NOT_APPLIED, old.map(|e| e.version.clone())));
                }
                let millis = expires_in.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
                let entry = Entry {
                    // a copy: a small value is not to hold the large buffer it came in
                    value: Bytes::copy_from_slice(value),
                    version: self.clock.read(now, request.timestamp.as_ref()),
                    fencing_token: token,
                    expires_at: millis.map(|millis| now.saturating_add(millis)),
                };
                self.check_quota(key, &entry)?;
                Ok(self.change(key, Some(entry), Reply::Ok, None))
            }
            Command::Del { key } => {
                self.check_fence(now, key, request)?;
                Ok(self.delete(now, key, None, request))
            }
            Command::VDel { key, value } => {
                self.check_fence(now, key, request)?;
                Ok(self.delete(now, key, Some(value), request))
            }
            Command::KeyNotify { key, stop } => {
                let client = client.ok_or(RequestError::UnknownCommand)?;
                let reply = self.observe(client, key, *stop)?;
                Ok(Outcome::unchanged(reply, None))
            }
            Command::Scan { pattern, token } => {
                let (keys, token) = self.scan(pattern, token.as_deref())?;
                Ok(Outcome::unchanged(Reply::Keys { keys, token }, None))
            }
        }
    }

    fn delete(&mut self, now: u64, key: &Bytes, value: Option<&Bytes>, request: &Request) -> Outcome {
        match self.entries.get(key) {
            None => Outcome::unchanged(Reply::Count(0), None),
            Some(entry) if value.is_some_and(|value| entry.value != value) => {
                Outcome::unchanged(NOT_APPLIED, Some(entry.version.clone()))
            }
            Some(_) => {
                let version = self.clock.read(now, request.timestamp.as_ref());
                self.change(key, None, Reply::Count(1), Some(version))
            }
        }
    }

    fn observe(&mut self, client: C, key: &Bytes, stop: bool) -> Result<Reply, RequestError> {
        if stop {
            return Ok(if self.observers.remove(client, key) { Reply::Ok } else { Reply::Count(0) });
        }
        let full = self.is_full_of_observers();
        if key.len() > self.limits.key_bytes_max || full && !self.observers.contains(client, key) {
            return Err(RequestError::QuotaExceeded);
        }
        self.observers.insert(client, key);
        Ok(Reply::Ok)
    }

    /// The keys that match, from after `token`, and the token of the next page.
    pub(crate) fn scan(
        &self,
        pattern: &[u8],
        token: Option<&[u8]>,
    ) -> Result<(Vec<Bytes>, Option<Bytes>), RequestError> {
        if pattern.len() > self.limits.key_bytes_max {
            return Err(RequestError::QuotaExceeded);
        }
        let glob = Glob::parse(pattern).ok_or(RequestError::Syntax)?;
        let start = match token {
            Some(token) if token >= glob.prefix() => Bound::Excluded(token),
            _ => Bound::Included(glob.prefix()),
        };
        let mut candidates = self
            .entries
            .range::<[u8], _>((start, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(glob.prefix()))
            .peekable();
        let (mut keys, mut bytes, mut last) = (Vec::new(), 0, None);
        for key in candidates.by_ref().take(SCAN_KEYS_MAX) {
            if glob.matches(key) {
                bytes += key.len();
                keys.push(key.clone());
            }
            last = Some(key);
            if bytes >= SCAN_BYTES_MAX {
                break;
            }
        }
        let token = candidates.peek().and(last).cloned();
        Ok((keys, token))
    }

    /// The fencing token of the request, if it may change the key.
    fn check_fence(&self, now: u64, key: &Bytes, request: &Request) -> Result<Option<Hlc>, RequestError> {
        let fence = self.entries.get(key).and_then(|entry| entry.fencing_token.as_ref());
        match (&request.fencing_token, fence) {
            (Some(token), _) if token.is_too_far_ahead(now) => Err(RequestError::FencingTokenTooFarAhead),
            (Some(token), Some(fence)) if token < fence => Err(RequestError::FencingTokenLower),
            (None, Some(_)) => Err(RequestError::FencingTokenRequired),
            (token, _) => Ok(token.clone()),
        }
    }

    fn check_quota(&self, key: &Bytes, entry: &Entry) -> Result<(), RequestError> {
        let (old_size, keys) = match self.entries.get(key) {
            Some(old) => (size(key, old), self.entries.len()),
            None => (0, self.entries.len() + 1),
        };
        let size = size(key, entry);
        let grows_too_far = size > old_size && self.bytes - old_size + size > self.limits.bytes_max;
        if key.len() > self.limits.key_bytes_max || keys > self.limits.keys_max || grows_too_far {
            return Err(RequestError::QuotaExceeded);
        }
        Ok(())
    }

    /// Makes a change that can be undone. `deleted` is the version of a deletion.
    fn change(&mut self, key: &Bytes, entry: Option<Entry>, reply: Reply, deleted: Option<Hlc>) -> Outcome {
        let value = entry.as_ref().map(|entry| entry.value.clone());
        let version = entry.as_ref().map(|entry| entry.version.clone()).or(deleted);
        let (key, old) = self.replace(key, entry);
        self.unsaved.insert(key.clone());
        self.undo.push((key.clone(), old));
        let change = version.clone().map(|version| Change { key, value, version });
        Outcome { reply: Ok(reply), version, change }
    }

    /// Puts an entry in the place of another; the key comes back as the store holds it.
    fn replace(&mut self, key: &Bytes, entry: Option<Entry>) -> (Bytes, Option<Entry>) {
        let held = self.entries.get_key_value(key).map(|(key, _)| key.clone());
        let key = held.unwrap_or_else(|| Bytes::copy_from_slice(key));
        if let Some(entry) = &entry {
            self.bytes += size(&key, entry);
            if let Some(at) = entry.expires_at {
                self.expiries.insert((at, key.clone()));
            }
        }
        let expires_at = entry.as_ref().and_then(|entry| entry.expires_at);
        let old = match entry {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(&key),
        };
        if let Some(old) = &old {
            self.bytes -= size(&key, old);
            if let Some(at) = old.expires_at.filter(|at| Some(*at) != expires_at) {
                self.expiries.remove(&(at, key.clone()));
            }
        }
        (key, old)
    }

    /// Deletes the keys whose time has come. That is never undone: they would only expire again.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((_, key)) = self.expiries.first().filter(|(at, _)| *at <= now).cloned() {
            self.replace(&key, None);
            self.unsaved.insert(key.clone());
            changes.push(Change { key, value: None, version: self.clock.read(now, None) });
        }
        changes
    }

    /// When the next key expires, in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Who is told about changes of a key.
    pub(crate) fn observers_of(&self, key: &[u8]) -> impl Iterator<Item = C> {
        self.observers.of(key)
    }

    /// Whether there are as many observations as there may be.
    pub(crate) fn is_full_of_observers(&self) -> bool {
        self.observers.len() >= self.limits.observations_max
    }

    /// Forgets the observations of clients whose connection has ended.
    pub(crate) fn keep_observers(&mut self, lasts: impl Fn(C) -> bool) {
        self.observers.keep(lasts);
    }

    /// The latest reading of the clock: no version is later.
    pub(crate) fn clock(&self) -> &Hlc {
        self.clock.last()
    }

    /// What a storage must be told to have what the store has.
    pub(crate) fn unsaved(&self) -> Vec<(Bytes, Option<Entry>)> {
        self.unsaved.iter().map(|key| (key.clone(), self.entries.get(key).cloned())).collect()
    }

    /// Whether any request changed something since the last [`Store::saved`] or [`Store::undo`].
    pub(crate) fn is_changed(&self) -> bool {
        !self.undo.is_empty()
    }

    /// A storage has it all.
    pub(crate) fn saved(&mut self) {
        self.unsaved.clear();
        self.undo.clear();
    }

    /// A storage could not take it: as if the requests since [`Store::saved`] had not been made. As the storage may have
    /// taken some nonetheless, it will be told again what the keys are.
    pub(crate) fn undo(&mut self) {
        while let Some((key, old)) = self.undo.pop() {
            self.replace(&key, old);
        }
    }
}

/// What an entry counts against [`Limits::bytes_max`].
fn size(key: &Bytes, entry: &Entry) -> usize {
    let token = entry.fencing_token.as_ref().map_or(0, |token| token.node.len());
    key.len() + entry.value.len() + token
}

#[cfg(test)]
mod tests;
