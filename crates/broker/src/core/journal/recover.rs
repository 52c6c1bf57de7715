//! From the journal back to the state of the core.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;
use tidegate_core::Properties;
use tidegate_log::{Closed, Log, Position, Rate, ReadError, StartAt};
use tidegate_mqtt::QoS;

use super::record::{MessageRecord, RETAINED, Record, SessionRecord};
use super::{BLOCK_BYTES, Block, Item, Journal, Kept, RECORD_BYTES, Stored};
use crate::core::session::{Queued, Session};
use crate::core::subscriptions::Subscriber;
use crate::core::{Core, Leave, SessionId};
use crate::durability::JournalLimits;
use crate::handshake::load_max;
use crate::message::{Message, Publication};

/// Why the journal can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Its checksum is right, so somebody else wrote it.
    #[error("record {0} of the log is not one that this version knows")]
    Unknown(u64),
}

/// What the journal says there is.
#[derive(Default)]
pub(crate) struct Image {
    sessions: BTreeMap<u64, Written<SessionRecord>>,
    messages: BTreeMap<u64, Written<MessageRecord>>,
    blocks: Vec<Position>,
    last_session: u64,
    last_message: u64,
}

/// A thing and its newest full record.
struct Written<T> {
    what: T,
    at: Position,
    bytes: u64,
}

/// Reads the journal: what is on disk, so no more than was there once [`Log::durable`] had returned for its end.
pub(crate) fn read(log: &Log) -> Result<Image, RecoverError> {
    let mut cursor = log.consumer("broker", StartAt::Oldest).cursor();
    let mut image = Image::default();
    while let Some(entry) = cursor.try_next()? {
        let bytes = entry.payload.len() as u64 + RECORD_BYTES;
        let record = Record::parse(entry.payload).map_err(|_| RecoverError::Unknown(entry.at.number))?;
        image.apply(record, entry.at, bytes);
    }
    Ok(image)
}

impl Image {
    fn apply(&mut self, record: Record, at: Position, bytes: u64) {
        if self.blocks.last().is_none_or(|start| at.byte - start.byte >= BLOCK_BYTES) {
            self.blocks.push(at);
        }
        match record {
            Record::Session(session) => {
                self.last_session = self.last_session.max(session.number);
                self.sessions.insert(session.number, Written { what: session, at, bytes });
            }
            Record::Ended(number) => {
                self.last_session = self.last_session.max(number);
                self.sessions.remove(&number);
            }
            Record::Subscribed(number, filter, options) => {
                self.session(number, |session| {
                    session.subscriptions.retain(|(old, _)| *old != filter);
                    session.subscriptions.push((filter, options));
                });
            }
            Record::Unsubscribed(number, filter) => {
                self.session(number, |session| session.subscriptions.retain(|(old, _)| *old != filter));
            }
            Record::Message(mut message) => {
                self.last_message = self.last_message.max(message.number);
                if let Some((number, id)) = message.received {
                    self.session(number, |session| session.received.push(id));
                }
                message.message = own(&message.message);
                self.messages.insert(message.number, Written { what: message, at, bytes });
            }
            Record::Copy(number, copy) => {
                if let Some(Written { what: message, .. }) = self.messages.get_mut(&number) {
                    message.copies.retain(|old| old.index != copy.index);
                    message.copies.push(copy);
                }
            }
            Record::Done(copies) => {
                for id in copies {
                    let Entry::Occupied(mut entry) = self.messages.entry(id.message) else { continue };
                    let message = &mut entry.get_mut().what;
                    if id.index == RETAINED {
                        message.retained = false;
                    } else {
                        message.copies.retain(|copy| copy.index != id.index);
                    }
                    if message.copies.is_empty() && !message.retained {
                        entry.remove();
                    }
                }
            }
            Record::Released(number, id) => {
                self.session(number, |session| session.received.retain(|old| *old != id));
            }
        }
    }

    /// Changes a session; one that is not there has ended.
    fn session(&mut self, number: u64, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(session) = self.sessions.get_mut(&number) {
            change(&mut session.what);
        }
    }
}

impl Core {
    /// Brings everything back that the journal has, and goes on with it. Clients that were there when the process ended
    /// have lost their connections now.
    pub(crate) fn restore(&mut self, log: Log, limits: JournalLimits, image: Image, now: Instant) {
        let mut journal = Journal::new(log, limits, now);
        journal.restore_blocks(&image.blocks);
        (journal.last_session, journal.last_message) = (image.last_session, image.last_message);
        let mut left = Vec::new();
        for (number, Written { what: record, at, bytes }) in image.sessions {
            let left_at = record.left_at;
            let id = self.restore_session(record);
            left.push((id, left_at.map(|left_at| journal.instant(left_at))));
            let block = journal.block_of(at);
            journal.sessions.insert(number, Kept { id, block, bytes });
            journal.pin(block, bytes, Item::Session(number));
        }
        for (number, Written { what: record, at, bytes }) in image.messages {
            let block = journal.block_of(at);
            self.restore_message(&mut journal, number, record, (block, bytes));
        }
        journal.growth = Rate::new(journal.live_bytes, now);
        self.journal = Some(journal);
        for (id, left_at) in left {
            let session = &self.sessions[id];
            let leave = Leave { without_will: false, expiry_interval: session.expiry_interval };
            match left_at {
                None => self.leave(id, leave, now),
                Some(left_at) => self.has_left(id, left_at, now),
            }
        }
        self.settle();
    }

    fn restore_session(&mut self, record: SessionRecord) -> SessionId {
        let mut session = Session::new(record.client_id.clone());
        session.number = Some(record.number);
        session.username = record.username;
        session.owner = record.owner;
        session.expiry_interval = record.expiry_interval;
        session.left_at = record.left_at;
        session.will = record.will;
        session.load_max = load_max(&self.limits);
        for packet_id in record.received {
            session.flow.inbound.restore(packet_id);
            session.received.insert(packet_id);
        }
        session.subscriptions = record.subscriptions.iter().cloned().collect();
        let id = SessionId(self.sessions.0.insert(session));
        self.clients.insert(record.client_id, id);
        for (filter, options) in record.subscriptions {
            self.subscriptions.insert(&filter, Subscriber { session: id, options }, true);
        }
        id
    }

    fn restore_message(
        &mut self,
        journal: &mut Journal,
        number: u64,
        record: MessageRecord,
        (block, bytes): (u64, u64),
    ) {
        let MessageRecord { received_at, retained, message, mut copies, .. } = record;
        copies.retain(|copy| journal.sessions.contains_key(&copy.session));
        if copies.is_empty() && !retained {
            return;
        }
        let publication = Arc::new(Publication::new(message, None, journal.instant(received_at)));
        publication.number.store(number, super::Relaxed);
        if retained {
            self.retained.put(&publication);
        }
        for copy in &copies {
            let Some(id) = journal.session_id(copy.session) else { continue };
            let queued = Queued {
                publication: publication.clone(),
                qos: copy.qos,
                retain: copy.retain,
                subscription_ids: copy.subscription_ids.clone(),
                group: copy.group.as_deref().and_then(|group| self.subscriptions.group_of(group)),
                from_store: copy.from_store,
                index: copy.index,
                maybe_sent: copy.qos == QoS::AtLeastOnce,
            };
            let session = &mut self.sessions[id];
            match copy.sent {
                Some((packet_id, taken)) if copy.qos == QoS::ExactlyOnce => {
                    session.hold(queued.load());
                    session.flow.outbound.restore(packet_id, taken, queued);
                }
                _ => session.push(queued),
            }
        }
        let last_index = copies.iter().map(|copy| copy.index).max().unwrap_or(0);
        journal.pin(block, bytes, Item::Message(number));
        let stored = Stored { publication, block, bytes, retained, last_index, copies };
        journal.messages.insert(number, stored);
    }
}

impl Journal {
    fn restore_blocks(&mut self, starts: &[Position]) {
        let block = |start: &Position| Block { start: *start, live: 0, items: Vec::new() };
        if !starts.is_empty() {
            self.blocks = starts.iter().map(block).collect();
        }
    }

    fn block_of(&self, at: Position) -> u64 {
        let after = self.blocks.partition_point(|block| block.start <= at);
        self.first_block + after.saturating_sub(1) as u64
    }
}

/// The same message in memory of its own: as it comes, it is a slice of what was read together.
fn own(message: &Message) -> Message {
    Message {
        topic: ByteString::from(&*message.topic),
        payload: Bytes::copy_from_slice(&message.payload),
        properties: Properties::parse(Bytes::copy_from_slice(message.properties.as_bytes()))
            .expect("it is a copy of what was parsed"),
        ..*message
    }
}
