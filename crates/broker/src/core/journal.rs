//! What the broker has promised to keep, as a journal in the [durable log](tidegate_log).
//!
//! The state of the core is in memory; the journal says what of it is to be there after a crash: sessions that outlive
//! their connection, their subscriptions, the QoS 1 and 2 messages that wait for them, and retained messages. Records
//! are appended under the lock of the core, so that the journal has the order of what happened, and nobody waits for
//! the disk under that lock: whoever answers a client is told up to which record the answer must wait.
//!
//! The log can only forget what is at its beginning. It is seen as a row of blocks; when there is nothing alive in the
//! first one, it is let go. When too much of the log is dead, what is alive in the first block is written again at the
//! end. So the log stays about as long as what it keeps, and is read fast.

pub(crate) mod record;
mod recover;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_log::{AppendError, Consumer, Log, Position, Rate, StartAt};
use tidegate_mqtt::PacketId;
use tokio::sync::Notify;

use super::SessionId;
use crate::durability::JournalLimits;
use crate::message::Publication;
pub(crate) use record::CopyId;
use record::{Copy, RETAINED, Record, SessionRecord, put_message};
pub(crate) use recover::read;

/// About how many bytes of the log are let go together. Few in tests, so that it happens in all of them.
const BLOCK_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// What is written again at once, at least; twice as much as was appended since, if that is more.
const CLEAN_BYTES: u64 = if cfg!(test) { 128 } else { 64 << 10 };

/// After so many bytes the disk is asked again how much it has left.
const LOOK_BYTES: u64 = 1 << 20;

/// What a record takes of the log beside its own bytes, at most.
const RECORD_BYTES: u64 = 16;

/// How many copies one record says are done with, at most.
const DONE_MAX: usize = 64 << 10;

/// The log takes no more now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A message that the journal keeps.
struct Stored {
    publication: Arc<Publication>,
    /// The ordinal of the block that its newest full record is in, or a block before that.
    block: u64,
    bytes: u64,
    retained: bool,
    last_index: u32,
    /// Those that are not done with.
    copies: Vec<Copy>,
}

/// A session that the journal keeps.
struct Kept {
    id: SessionId,
    block: u64,
    bytes: u64,
}

struct Block {
    start: Position,
    /// How many have their newest full record in here.
    live: u32,
    /// Who had it here when it was written.
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    Message(u64),
    Session(u64),
}

pub(crate) struct Journal {
    log: Log,
    consumer: Consumer,
    limits: JournalLimits,
    /// An instant, and what it is in milliseconds since 1970.
    clock: (Instant, u64),
    messages: HashMap<u64, Stored>,
    sessions: HashMap<u64, Kept>,
    /// Never empty; the last one grows.
    blocks: VecDeque<Block>,
    /// The ordinal of the first of them.
    first_block: u64,
    /// About where the log ends.
    end_byte: u64,
    /// Where the log begins, as it was told.
    trimmed: Position,
    /// Where it is to begin once so many records are on disk.
    trim: Option<(u64, Position)>,
    /// Bytes of everything that is alive.
    live_bytes: u64,
    growth: Rate,
    last_message: u64,
    last_session: u64,
    /// How many records there are, those of the backlog included.
    records: u64,
    /// Small records that found no room; nothing is appended before they are.
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: usize,
    /// Copies that are done with and not said to be.
    done: Vec<CopyId>,
    /// Whether what was asked for is to be answered only once all of this is on disk.
    demanded: bool,
    /// Publishers that wait for room.
    waiters: Vec<Waker>,
    /// Whether there may be more room than when they came.
    progressed: bool,
    /// Whether one of them waited in vain, and there has been no progress since.
    stalled: bool,
    /// Whether it was logged that there is no room.
    told: bool,
    disk_low: bool,
    looked_at_byte: u64,
    cleaned_at_byte: u64,
    /// Of a record that found no room in the log.
    wanted_bytes: usize,
    /// Calls the keeper when somebody wants room in the log.
    wanted: Arc<Notify>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Journal {
    pub(crate) fn new(log: Log, limits: JournalLimits, now: Instant) -> Self {
        let consumer = log.consumer("broker", StartAt::Oldest);
        let (start, end) = (log.start(), log.end());
        Self {
            consumer,
            limits,
            clock: (now, since_1970()),
            messages: HashMap::new(),
            sessions: HashMap::new(),
            blocks: [Block { start, live: 0, items: Vec::new() }].into(),
            first_block: 0,
            end_byte: end.byte,
            trimmed: start,
            trim: None,
            live_bytes: 0,
            growth: Rate::new(0, now),
            last_message: 0,
            last_session: 0,
            records: end.number,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            done: Vec::new(),
            demanded: false,
            waiters: Vec::new(),
            progressed: false,
            stalled: false,
            told: false,
            disk_low: false,
            looked_at_byte: 0,
            cleaned_at_byte: end.byte,
            wanted_bytes: 0,
            wanted: Arc::default(),
            buffer: Vec::new(),
            log,
        }
    }

    /// An instant in milliseconds since 1970.
    pub(super) fn wall(&self, at: Instant) -> u64 {
        let (instant, wall) = self.clock;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if at >= instant {
            wall.saturating_add(millis(at - instant))
        } else {
            wall.saturating_sub(millis(instant - at))
        }
    }

    /// The instant of a time in milliseconds since 1970; now, if that was before there were instants.
    fn instant(&self, wall: u64) -> Instant {
        let (now, now_wall) = self.clock;
        now.checked_sub(Duration::from_millis(now_wall.saturating_sub(wall))).unwrap_or(now)
    }

    /// Whether a message of about so many bytes would be taken.
    fn has_room(&self, bytes: usize) -> bool {
        let bytes = bytes as u64 + RECORD_BYTES;
        // what is alive, twice, and once more while it is written again: the rest is for that
        self.backlog.is_empty()
            && !self.disk_low
            && self.live_bytes + bytes <= self.limits.live_bytes_max()
            && self.end_byte - self.trimmed.byte + bytes <= self.limits.log_bytes_max / 4 * 3
    }

    /// Whether clients may come and subscribe. They may when there is no room for messages, as they make some.
    pub(super) fn takes_sessions(&self) -> bool {
        self.backlog_bytes <= self.limits.backlog_bytes_max
    }

    /// Has `waker` called when there may be room.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|w| w.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }

    /// A publisher waited in vain.
    pub(super) fn stall(&mut self) {
        self.stalled = true;
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// What was asked for is to be answered only once it is on disk.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// How many records must be on disk before what was asked for is answered.
    pub(super) fn take_demand(&mut self) -> Option<u64> {
        std::mem::take(&mut self.demanded).then_some(self.records)
    }

    pub(crate) fn wanted(&self) -> Arc<Notify> {
        self.wanted.clone()
    }

    pub(crate) fn wanted_bytes(&self) -> usize {
        self.wanted_bytes
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// How many bytes more are alive a second, over the last minute.
    pub(crate) fn growth(&mut self, now: Instant) -> f64 {
        self.growth.update(self.live_bytes, now)
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(0)
    }

    /// Keeps a message for these sessions, and for the retained store. `received` is the session that published it with
    /// QoS 2, and its packet identifier.
    pub(super) fn message(
        &mut self,
        publication: &Arc<Publication>,
        copies: Vec<Copy>,
        retained: bool,
        received: Option<(u64, PacketId)>,
    ) -> Result<(), Full> {
        if !self.has_room(publication.message.size() + 64 * (copies.len() + 1)) {
            if !std::mem::replace(&mut self.told, true) {
                let (disk_low, live_bytes) = (self.disk_low, self.live_bytes);
                tracing::warn!(disk_low, live_bytes, "the broker's log is full: publishers are pushed back");
            }
            return Err(Full);
        }
        let number = self.last_message + 1;
        let received_at = self.wall(publication.received_at);
        self.buffer.clear();
        put_message(&mut self.buffer, number, received_at, retained, received, &publication.message, &copies);
        let block = self.try_append()?;
        self.store(number, publication, block, retained, copies);
        Ok(())
    }

    fn store(
        &mut self,
        number: u64,
        publication: &Arc<Publication>,
        block: u64,
        retained: bool,
        copies: Vec<Copy>,
    ) {
        self.last_message = self.last_message.max(number);
        publication.number.store(number, Relaxed);
        let bytes = self.buffer.len() as u64 + RECORD_BYTES;
        let last_index = copies.iter().map(|copy| copy.index).max().unwrap_or(0);
        let publication = publication.clone();
        self.pin(block, bytes, Item::Message(number));
        self.messages.insert(number, Stored { publication, block, bytes, retained, last_index, copies });
    }

    /// Keeps one more copy of a message, whatever the room: it was promised before. Gives its index.
    pub(super) fn copy(&mut self, publication: &Arc<Publication>, mut copy: Copy) -> u32 {
        self.buffer.clear();
        let known =
            publication.journaled().and_then(|number| Some((number, self.messages.get_mut(&number)?)));
        if let Some((number, stored)) = known {
            stored.last_index += 1;
            let index = stored.last_index;
            copy.index = index;
            stored.copies.push(copy.clone());
            Record::Copy(number, copy).put(&mut self.buffer);
            self.append();
            return index;
        }
        copy.index = 1;
        let number = self.last_message + 1;
        let copies = vec![copy];
        let received_at = self.wall(publication.received_at);
        put_message(&mut self.buffer, number, received_at, false, None, &publication.message, &copies);
        let block = self.append();
        self.store(number, publication, block, false, copies);
        1
    }

    /// A QoS 2 copy was sent as that, or its PUBREC has come.
    pub(super) fn sent(&mut self, id: CopyId, packet_id: PacketId, taken: bool) {
        let stored = self.messages.get_mut(&id.message);
        let Some(copy) = stored.and_then(|s| s.copies.iter_mut().find(|c| c.index == id.index)) else {
            return;
        };
        copy.sent = Some((packet_id, taken));
        self.buffer.clear();
        Record::Copy(id.message, copy.clone()).put(&mut self.buffer);
        self.append();
        self.demand();
    }

    /// Copies are done with. They are said to be when there is room for it.
    pub(super) fn done(&mut self, copies: &mut Vec<CopyId>) {
        for id in copies.drain(..) {
            let Some(stored) = self.messages.get_mut(&id.message) else { continue };
            if id.index == RETAINED {
                stored.retained = false;
            } else {
                stored.copies.retain(|copy| copy.index != id.index);
            }
            self.done.push(id);
            if stored.copies.is_empty() && !stored.retained {
                let (block, bytes) = (stored.block, stored.bytes);
                self.messages.remove(&id.message);
                self.unpin(block, bytes);
            }
        }
        while !self.done.is_empty() {
            let rest = self.done.split_off(self.done.len().min(DONE_MAX));
            let done = std::mem::replace(&mut self.done, rest);
            self.buffer.clear();
            // that a retained message is deleted may be promised with this turn of the lock: that must not be left out
            let is_promised = self.demanded && done.iter().any(|id| id.index == RETAINED);
            let record = Record::Done(done);
            record.put(&mut self.buffer);
            if is_promised {
                self.append();
            } else if self.try_append().is_err() {
                let Record::Done(mut done) = record else { unreachable!("it was made as one") };
                done.append(&mut self.done);
                self.done = done;
                return;
            }
        }
    }

    /// A number for a new session.
    pub(super) fn new_session(&mut self) -> u64 {
        self.last_session += 1;
        self.last_session
    }

    /// The session is now this.
    pub(super) fn session(&mut self, id: SessionId, record: SessionRecord) {
        let number = record.number;
        self.buffer.clear();
        Record::Session(record).put(&mut self.buffer);
        let block = self.append();
        self.keep_session(number, id, block);
    }

    fn keep_session(&mut self, number: u64, id: SessionId, block: u64) {
        let bytes = self.buffer.len() as u64 + RECORD_BYTES;
        let old = self.sessions.get(&number).map(|old| (old.block, old.bytes));
        // the old record counts until the log has the new one
        let block = old.filter(|_| !self.backlog.is_empty()).map_or(block, |(block, _)| block);
        self.sessions.insert(number, Kept { id, block, bytes });
        if let Some((block, bytes)) = old {
            self.unpin(block, bytes);
        }
        self.pin(block, bytes, Item::Session(number));
    }

    /// A session has ended.
    pub(super) fn ended(&mut self, number: u64) {
        if let Some(old) = self.sessions.remove(&number) {
            self.unpin(old.block, old.bytes);
        }
        self.put(&Record::Ended(number));
    }

    /// Something small happened.
    pub(super) fn put(&mut self, record: &Record) {
        self.buffer.clear();
        record.put(&mut self.buffer);
        self.append();
    }

    /// Appends the buffer, or leaves it for later. Gives the ordinal of the block, or of one before it.
    fn append(&mut self) -> u64 {
        self.try_append().unwrap_or_else(|Full| {
            self.backlog_bytes += self.buffer.len();
            self.backlog.push_back(self.buffer.clone());
            self.records += 1;
            self.last_block()
        })
    }

    fn try_append(&mut self) -> Result<u64, Full> {
        self.work_off();
        if !self.backlog.is_empty() {
            return Err(Full);
        }
        let at = append_to(&self.log, &self.buffer).map_err(|Full| self.want(self.buffer.len()))?;
        self.appended(at, self.buffer.len());
        self.records += 1;
        Ok(self.last_block())
    }

    /// Appends what was left for later.
    fn work_off(&mut self) {
        while let Some(record) = self.backlog.front() {
            let len = record.len();
            let Ok(at) = append_to(&self.log, record) else {
                self.want(len);
                return;
            };
            self.backlog.pop_front();
            self.backlog_bytes -= len;
            self.appended(at, len);
        }
    }

    fn want(&mut self, bytes: usize) -> Full {
        self.wanted_bytes = bytes;
        self.wanted.notify_one();
        Full
    }

    fn appended(&mut self, at: Position, len: usize) {
        self.end_byte = at.byte + len as u64 + RECORD_BYTES;
        let last = self.blocks.back().expect("there always is one");
        if at.byte - last.start.byte >= BLOCK_BYTES {
            self.blocks.push_back(Block { start: at, live: 0, items: Vec::new() });
        }
        if self.end_byte - self.looked_at_byte >= LOOK_BYTES {
            self.look();
        }
    }

    fn last_block(&self) -> u64 {
        self.first_block + self.blocks.len() as u64 - 1
    }

    fn pin(&mut self, block: u64, bytes: u64, item: Item) {
        let block = &mut self.blocks[(block - self.first_block) as usize];
        block.live += 1;
        block.items.push(item);
        self.live_bytes += bytes;
    }

    fn unpin(&mut self, block: u64, bytes: u64) {
        self.blocks[(block - self.first_block) as usize].live -= 1;
        self.live_bytes -= bytes;
        self.progressed = true;
    }

    /// Asks the disk how much it has left.
    fn look(&mut self) {
        self.looked_at_byte = self.end_byte;
        let free = self.log.usage().disk_free;
        let low = free.is_some_and(|free| free < self.limits.disk_free_bytes_min);
        self.progressed |= self.disk_low && !low;
        self.disk_low = low;
    }

    /// Does what is to be done from time to time, and when the log has room.
    pub(super) fn keep(&mut self, now: Instant) {
        self.clock = (now, since_1970());
        self.growth(now);
        self.look();
        self.progressed = true;
        self.work_off();
    }

    /// Lets the log go where it is dead, and calls those who wait if that helps.
    pub(super) fn trim(&mut self, woken: &mut Vec<Waker>) {
        while self.blocks.len() > 1 && self.blocks[0].live == 0 {
            self.blocks.pop_front();
            self.first_block += 1;
        }
        let start = self.blocks[0].start;
        if self.trim.is_none() && start > self.trimmed {
            // what is dead is so by newer records: they may take its place, and have to be on disk first
            self.trim = Some((self.records - self.backlog.len() as u64, start));
        }
        if let Some((records, to)) = self.trim
            && self.log.durable_end().number >= records
        {
            self.consumer.advance(to);
            self.trimmed = to;
            self.trim = None;
            self.progressed = true;
        }
        if self.progressed {
            self.stalled = false;
            self.progressed = false;
            if self.told && self.has_room(0) {
                self.told = false;
                tracing::info!("the broker's log has room again");
            }
            if !self.waiters.is_empty() && self.has_room(0) {
                woken.append(&mut self.waiters);
            }
        }
    }

    /// How many bytes are to be written again now, so that the log does not grow too long.
    pub(super) fn to_clean(&self) -> u64 {
        let length = self.end_byte - self.blocks[0].start.byte;
        if self.blocks.len() < 2 || length <= 2 * self.live_bytes + self.limits.clean_bytes_min {
            return 0;
        }
        CLEAN_BYTES.max(2 * (self.end_byte - self.cleaned_at_byte))
    }

    /// The next that is alive in the first block.
    pub(super) fn next_to_move(&mut self) -> Option<Item> {
        let ordinal = self.first_block;
        if self.blocks.len() < 2 {
            return None;
        }
        let block = &mut self.blocks[0];
        while let Some(item) = block.items.pop() {
            let at = match item {
                Item::Message(number) => self.messages.get(&number).map(|stored| stored.block),
                Item::Session(number) => self.sessions.get(&number).map(|kept| kept.block),
            };
            if at == Some(ordinal) {
                return Some(item);
            }
        }
        None
    }

    /// It stays where it is for now.
    pub(super) fn not_moved(&mut self, item: Item) {
        self.blocks[0].items.push(item);
    }

    pub(super) fn cleaned(&mut self) {
        self.cleaned_at_byte = self.end_byte;
    }

    /// Writes a message again.
    pub(super) fn move_message(&mut self, number: u64) -> Result<u64, Full> {
        let Some(stored) = self.messages.get(&number) else { return Ok(0) };
        let Stored { publication, retained, copies, .. } = stored;
        let (received_at, message) = (self.wall(publication.received_at), &publication.message);
        self.buffer.clear();
        put_message(&mut self.buffer, number, received_at, *retained, None, message, copies);
        let to = self.try_append()?;
        let bytes = self.buffer.len() as u64 + RECORD_BYTES;
        let Some(stored) = self.messages.get_mut(&number) else { return Ok(0) };
        let (block, old_bytes) = (stored.block, stored.bytes);
        (stored.block, stored.bytes) = (to, bytes);
        self.unpin(block, old_bytes);
        self.pin(to, bytes, Item::Message(number));
        Ok(bytes)
    }

    /// The session that has this number.
    pub(super) fn session_id(&self, number: u64) -> Option<SessionId> {
        self.sessions.get(&number).map(|kept| kept.id)
    }

    /// Writes a session again.
    pub(super) fn move_session(&mut self, id: SessionId, record: SessionRecord) -> Result<u64, Full> {
        let number = record.number;
        self.buffer.clear();
        Record::Session(record).put(&mut self.buffer);
        let block = self.try_append()?;
        self.keep_session(number, id, block);
        Ok(self.buffer.len() as u64)
    }
}

/// Appends a record, which [`JournalLimits::log_options`] makes sure is none too long for the log.
fn append_to(log: &Log, record: &[u8]) -> Result<Position, Full> {
    log.try_append(&[record]).map_err(|error| {
        if let AppendError::TooLong { len, len_max } = error {
            tracing::error!(len, len_max, "a record is too long for the log");
        }
        Full
    })
}

fn since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
