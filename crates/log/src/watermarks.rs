//! How far each consumer has come, and the two files that remember it in turn.
//!
//! The watermarks of all consumers are one table, so that saving them is one write and one sync. The table is written
//! over the older of two files; the newer one is what counts if that write is torn.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf, BufMut, Bytes};
use crc32c::crc32c;

use crate::Position;
use crate::disk::{Disk, DiskFile, read_exact_at, write_all_at};
use crate::error::{Corrupt, OpenError};
use crate::format::{LogId, POSITION_MAX, Unreadable, VERSION, check_version, u32_at};

const MAGIC: &[u8; 8] = b"TGLOGMRK";
const NAMES: [&str; 2] = ["watermarks.a", "watermarks.b"];
/// Slots grow in steps of this many bytes, so that writing one over seldom needs new space.
const STEP_BYTES: usize = 4096;

/// What one consumer has done with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// Everything before it.
    pub(crate) at: Position,
    /// The consumer's own note, saved together with it.
    pub(crate) memo: Bytes,
}

/// What the two files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) log: LogId,
    /// Counts the writes of the table; the highest one is valid.
    pub(crate) generation: u64,
    /// Nobody needs what is before it; it never goes back.
    pub(crate) start: Position,
    /// Everything before it was on disk when the table was saved; no watermark is beyond.
    pub(crate) durable: Position,
    pub(crate) consumers: BTreeMap<String, Watermark>,
}

impl Table {
    pub(crate) fn new(log: LogId) -> Self {
        let beginning = Position::default();
        Self { log, generation: 1, start: beginning, durable: beginning, consumers: BTreeMap::new() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u64_le(self.log.0);
        body.put_u64_le(self.generation);
        put_position(&mut body, self.start);
        put_position(&mut body, self.durable);
        body.put_u32_le(self.consumers.len() as u32);
        for (name, watermark) in &self.consumers {
            put_bytes(&mut body, name.as_bytes());
            put_position(&mut body, watermark.at);
            put_bytes(&mut body, &watermark.memo);
        }
        let mut out = Vec::with_capacity(body.len() + STEP_BYTES);
        out.put_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(body.len() as u32);
        out.put_u32_le(crc32c(&body));
        out.put_slice(&body);
        out.resize(out.len().next_multiple_of(STEP_BYTES), 0);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        const DAMAGED: Unreadable = Unreadable::Damaged("its checksum is wrong");
        check_version(bytes, MAGIC)?;
        let body = bytes.get(20..).and_then(|rest| rest.get(..u32_at(bytes, 12) as usize)).ok_or(DAMAGED)?;
        if u32_at(bytes, 16) != crc32c(body) {
            return Err(DAMAGED);
        }
        let table = Self::decode_body(body).filter(Self::is_possible);
        table.ok_or(Unreadable::Damaged("its checksum is right and its content is not"))
    }

    fn decode_body(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let log = LogId(body.try_get_u64_le().ok()?);
        let generation = body.try_get_u64_le().ok()?;
        let start = get_position(body)?;
        let durable = get_position(body)?;
        let mut consumers = BTreeMap::new();
        for _ in 0..body.try_get_u32_le().ok()? {
            let name = String::from_utf8(get_bytes(body)?.to_vec()).ok()?;
            let at = get_position(body)?;
            let memo = Bytes::copy_from_slice(get_bytes(body)?);
            consumers.insert(name, Watermark { at, memo });
        }
        Some(Self { log, generation, start, durable, consumers })
    }

    fn is_possible(&self) -> bool {
        let Position { number, byte } = self.durable;
        let positions = self.consumers.values().map(|watermark| watermark.at).chain([self.start]);
        number.max(byte) <= POSITION_MAX
            && positions.into_iter().all(|at| at.number <= number && at.byte <= byte)
    }
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    out.put_u64_le(position.number);
    out.put_u64_le(position.byte);
}

fn get_position(body: &mut &[u8]) -> Option<Position> {
    Some(Position { number: body.try_get_u64_le().ok()?, byte: body.try_get_u64_le().ok()? })
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

fn get_bytes<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = body.try_get_u32_le().ok()? as usize;
    let (bytes, rest) = body.split_at_checked(len)?;
    *body = rest;
    Some(bytes)
}

/// The two files.
pub(crate) struct Slots {
    files: [Box<dyn DiskFile>; 2],
    /// The one that holds the newest table; the other one is written next.
    newest: usize,
    generation: u64,
    /// What the newest holds, until it is known to be on disk: a process that was killed may have left it in the page
    /// cache only. While it is not, the older slot must not be touched.
    unconfirmed: Option<Vec<u8>>,
}

impl Slots {
    /// Finds the newest table; `None` when there is none that can be read, as in a new directory.
    pub(crate) fn open(disk: &dyn Disk) -> Result<(Self, Option<Table>), OpenError> {
        let mut files = Vec::new();
        let mut newest: Option<(usize, Table, Vec<u8>)> = None;
        for (slot, name) in NAMES.into_iter().enumerate() {
            let read = || -> io::Result<_> {
                let file = match disk.open(name) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => disk.create(name)?,
                    file => file?,
                };
                let mut bytes = vec![0; file.size()? as usize];
                read_exact_at(&*file, &mut bytes, 0)?;
                Ok((file, bytes))
            };
            let (file, bytes) = read().map_err(OpenError::io("read", disk.path(name)))?;
            files.push(file);
            match Table::decode(&bytes) {
                Ok(table)
                    if newest.as_ref().is_none_or(|(_, other, _)| other.generation < table.generation) =>
                {
                    newest = Some((slot, table, bytes));
                }
                Err(Unreadable::Newer(version)) => return Err(OpenError::newer(disk.path(name), version)),
                Ok(_) | Err(Unreadable::Damaged(_)) => {}
            }
        }
        let files = files.try_into().unwrap_or_else(|_| unreachable!("one file for each of two names"));
        Ok(match newest {
            Some((newest, table, bytes)) => {
                (Self { files, newest, generation: table.generation, unconfirmed: Some(bytes) }, Some(table))
            }
            None => (Self { files, newest: 1, generation: 0, unconfirmed: None }, None),
        })
    }

    /// Saves a table; its generation is set here. When this fails, for the named file, what was saved before still is.
    pub(crate) fn save(&mut self, table: &mut Table) -> Result<(), (&'static str, io::Error)> {
        if let Some(bytes) = &self.unconfirmed {
            // the same bytes again: wherever this is torn, they are as they were
            self.write(self.newest, bytes)?;
            self.unconfirmed = None;
        }
        table.generation = self.generation + 1;
        let next = 1 - self.newest;
        self.write(next, &table.encode())?;
        self.newest = next;
        self.generation = table.generation;
        Ok(())
    }

    fn write(&self, slot: usize, bytes: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let file = &*self.files[slot];
        write_all_at(file, bytes, 0).and_then(|()| file.sync()).map_err(|error| (NAMES[slot], error))
    }

    /// What to tell when segments are there and no table can be read.
    pub(crate) fn lost(disk: &dyn Disk) -> OpenError {
        let what = format!("neither it nor {} holds the watermarks of the segments beside them", NAMES[1]);
        OpenError::Corrupt(Corrupt { file: disk.path(NAMES[0]), offset: 0, what })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn tables() -> impl Strategy<Value = Table> {
        let position = || (0..1000_u64, 0..1000_u64).prop_map(|(number, byte)| Position { number, byte });
        let watermark =
            (position(), vec(any::<u8>(), 0..50)).prop_map(|(at, memo)| Watermark { at, memo: memo.into() });
        (any::<[u64; 2]>(), position(), 1000..POSITION_MAX, btree_map(".{0,20}", watermark, 0..200)).prop_map(
            |([log, generation], start, end, consumers)| {
                let durable = Position { number: end, byte: end };
                Table { log: LogId(log), generation, start, durable, consumers }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_table_comes_back_as_it_was(table in tables()) {
            prop_assert_eq!(Table::decode(&table.encode()), Ok(table));
        }

        #[test]
        fn a_table_torn_over_another_is_one_of_them_or_none(
            old in tables(), new in tables(), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = old.encode();
            let newer = new.encode();
            let cut = cut.index(newer.len());
            bytes.resize(bytes.len().max(cut), 0);
            bytes[..cut].copy_from_slice(&newer[..cut]);
            match Table::decode(&bytes) {
                Ok(table) => prop_assert!(table == old || table == new),
                Err(e) => prop_assert_eq!(e, Unreadable::Damaged("its checksum is wrong")),
            }
        }

        #[test]
        fn a_watermark_beyond_what_is_on_disk_is_not_believed(mut table in tables()) {
            table.consumers.insert("lake".into(), Watermark { at: table.durable, ..Watermark::default() });
            prop_assert!(Table::decode(&table.encode()).is_ok());
            table.durable.number -= 1;
            prop_assert!(Table::decode(&table.encode()).is_err());
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Table::decode(&bytes);
            let _ = Table::decode_body(&bytes);
        }
    }
}
