//! Opening: which segments there are, where the log ends, and how much of it is surely on disk.
//!
//! Nothing is repaired in place. What may not be on disk (the tail of the last segment since the last mark) is handed
//! to the writer, which puts it into a new segment as it does after a failed sync: one way to recover. The old file
//! ends where the new one begins, so a torn tail needs no cutting.

use std::io;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

use crate::Position;
use crate::disk::{Disk, DiskFile, read_exact_at};
use crate::error::{Corrupt, OpenError};
use crate::format::{
    Found, HEADER_BYTES, Header, Kind, LogId, RECORD_HEADER_BYTES_MAX, Unreadable, parse_name, peek_mark,
    read_record, segment_name, unfinished_name,
};
use crate::state::Segment;
use crate::watermarks::{Slots, Table};

/// How much is read at once.
const WINDOW_BYTES: u64 = 1 << 20;

/// A log as it was found.
pub(crate) struct Recovered {
    pub(crate) table: Table,
    pub(crate) slots: Slots,
    pub(crate) segments: Vec<Segment>,
    /// When the segments were created: roughly how old their records are.
    pub(crate) created: Vec<(u64, SystemTime)>,
    /// Everything before it is on disk.
    pub(crate) durable: Position,
    /// The end of the log: `unsynced` is what is between.
    pub(crate) end: Position,
    pub(crate) unsynced: Bytes,
    /// Files of segments that never got finished.
    pub(crate) unfinished: Vec<String>,
    pub(crate) next_ordinal: u64,
}

/// Reads what is there; makes the files of the watermarks where there is nothing.
pub(crate) fn recover(disk: &dyn Disk) -> Result<Recovered, OpenError> {
    let dir = || disk.path("");
    let mut unfinished = Vec::new();
    let mut ordinals = Vec::new();
    let mut next_ordinal = 0;
    for name in disk.list().map_err(OpenError::io("list", dir()))? {
        let ordinal = match parse_name(&name) {
            Kind::Segment(ordinal) => {
                ordinals.push(ordinal);
                ordinal
            }
            Kind::Unfinished(ordinal) => {
                unfinished.push(unfinished_name(ordinal));
                ordinal
            }
            Kind::Other => continue,
        };
        next_ordinal = next_ordinal.max(ordinal + 1);
    }
    ordinals.sort_unstable();

    let (mut slots, table) = Slots::open(disk)?;
    let table = match table {
        Some(table) => table,
        None if !ordinals.is_empty() => return Err(Slots::lost(disk)),
        None => {
            let mut table = Table::new(LogId(rand::random()));
            slots.save(&mut table).map_err(|(name, e)| OpenError::io("write", disk.path(name))(e))?;
            table
        }
    };
    // a process that was killed may have left names that are in memory only: nothing is built on them before they last
    disk.sync_names().map_err(OpenError::io("sync", dir()))?;

    let found = ordinals.into_iter().map(|ordinal| open_segment(disk, ordinal, table.log));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    check_chain(disk, &found, &table)?;
    let created = found.iter().map(|found| (found.header.base.byte, found.header.created)).collect();
    let Tail { durable, end, unsynced } = match found.last() {
        Some(last) => read_tail(disk, last, &table)?,
        None => Tail { durable: table.start, end: table.start, unsynced: Bytes::new() },
    };
    let segments = found.into_iter().map(|found| found.segment).collect();
    Ok(Recovered { table, slots, segments, created, durable, end, unsynced, unfinished, next_ordinal })
}

struct Opened {
    segment: Segment,
    header: Header,
    file: Box<dyn DiskFile>,
}

fn open_segment(disk: &dyn Disk, ordinal: u64, log: LogId) -> Result<Opened, OpenError> {
    let path = || disk.path(&segment_name(ordinal));
    let damaged = |what: &str| Corrupt { file: path(), offset: 0, what: what.into() };
    let mut header = [0; HEADER_BYTES as usize];
    let read = || -> io::Result<_> {
        let file = disk.open(&segment_name(ordinal))?;
        Ok((file.size()?, file))
    };
    let (file_bytes, file) = read().map_err(OpenError::io("open", path()))?;
    if file_bytes < HEADER_BYTES {
        return Err(damaged("it is shorter than its header").into());
    }
    read_exact_at(&*file, &mut header, 0).map_err(OpenError::io("read", path()))?;
    let header = Header::decode(&header).map_err(|e| match e {
        Unreadable::Newer(version) => OpenError::newer(path(), version),
        Unreadable::Damaged(what) => damaged(what).into(),
    })?;
    if header.log != log {
        return Err(damaged("it belongs to another log").into());
    }
    Ok(Opened { segment: Segment { ordinal, base: header.base, file_bytes }, header, file })
}

/// Checks that the segments that are needed follow each other and are as long as they must be.
fn check_chain(disk: &dyn Disk, found: &[Opened], table: &Table) -> Result<(), Corrupt> {
    let damaged = |at: &Opened, offset: u64, what: &str| Corrupt {
        file: disk.path(&segment_name(at.segment.ordinal)),
        offset,
        what: what.into(),
    };
    let Some(first) = found.first() else {
        return if table.durable == Position::default() {
            Ok(())
        } else {
            let what = format!("all segments are missing, and {} records were in them", table.durable.number);
            Err(Corrupt { file: disk.path(""), offset: 0, what })
        };
    };
    if first.header.base > table.start {
        return Err(damaged(first, 0, "it is the first segment, and older ones are still needed"));
    }
    for pair in found.windows(2) {
        let [this, next] = pair else { unreachable!("windows of two") };
        if next.header.base < this.header.base {
            return Err(damaged(next, 0, "it begins before the segment before it"));
        }
        // what is behind the lowest watermark may have been deleted in any order
        if next.header.base <= table.start {
            continue;
        }
        let needed = HEADER_BYTES + next.header.base.byte - this.header.base.byte;
        if this.segment.file_bytes < needed {
            let what = format!("it ends here and {needed} bytes of it are needed");
            return Err(damaged(this, this.segment.file_bytes, &what));
        }
    }
    Ok(())
}

/// The end of the last segment.
struct Tail {
    durable: Position,
    end: Position,
    unsynced: Bytes,
}

fn read_tail(disk: &dyn Disk, last: &Opened, table: &Table) -> Result<Tail, OpenError> {
    let path = || disk.path(&segment_name(last.segment.ordinal));
    let base = last.header.base;
    let seed = table.log.seed();
    let damaged = |byte: u64, what| {
        OpenError::Corrupt(Corrupt { file: path(), offset: HEADER_BYTES + byte - base.byte, what })
    };

    let (end, mark) = scan(last, seed).map_err(OpenError::io("read", path()))?;
    let durable = mark.max(base.byte + last.header.synced).max(table.durable.byte);
    // a torn tail is what a crash leaves; damage to what was on disk is another thing and is not to be passed over
    let later = later_mark(last, seed, end.byte).map_err(OpenError::io("read", path()))?;
    if let Some(known) = later.max(Some(durable)).filter(|&known| known > end.byte) {
        let more = known - end.byte;
        return Err(damaged(
            end.byte,
            format!("no sound record is here, and at least {more} bytes more were on disk"),
        ));
    }

    let mut unsynced = BytesMut::zeroed((end.byte - durable) as usize);
    read_exact_at(&*last.file, &mut unsynced, HEADER_BYTES + durable - base.byte)
        .map_err(OpenError::io("read", path()))?;
    let records = count_records(seed, durable, &unsynced)
        .ok_or_else(|| damaged(durable, "what was on disk does not end with a record".into()))?;
    let durable = Position { number: end.number - records, byte: durable };
    if table.durable > durable {
        return Err(damaged(durable.byte, "the watermarks tell of more records than are there".into()));
    }
    Ok(Tail { durable, end, unsynced: unsynced.freeze() })
}

/// Reads records until one is not sound: where that is, and the latest mark before it.
fn scan(last: &Opened, seed: u32) -> io::Result<(Position, u64)> {
    let mut at = last.header.base;
    let mut latest_mark = 0;
    let mut wanted = WINDOW_BYTES;
    loop {
        let window = read_window(last, at.byte, wanted)?;
        let mut rest = window.as_slice();
        wanted = WINDOW_BYTES;
        loop {
            match read_record(seed, at.byte, rest) {
                Found::Record { mark, payload } => {
                    latest_mark = latest_mark.max(mark.unwrap_or(0));
                    at = Position { number: at.number + 1, byte: at.byte + payload.end as u64 };
                    rest = &rest[payload.end..];
                }
                Found::Bad => return Ok((at, latest_mark)),
                Found::Short { needed } => {
                    let offset = HEADER_BYTES + at.byte - last.header.base.byte;
                    if offset + needed as u64 > last.segment.file_bytes {
                        return Ok((at, latest_mark));
                    }
                    wanted = wanted.max(needed as u64);
                    break;
                }
            }
        }
    }
}

/// Looks behind the bad record at `bad` for a sound one which says that more than that was on disk.
fn later_mark(last: &Opened, seed: u32, bad: u64) -> io::Result<Option<u64>> {
    let mut at = bad + 1;
    loop {
        let window = read_window(last, at, WINDOW_BYTES)?;
        for skip in 0..(window.len() + 1).saturating_sub(RECORD_HEADER_BYTES_MAX) {
            let byte = at + skip as u64;
            // a cheap look first; hardly anything that is not a mark passes
            let Some(mark) = peek_mark(&window[skip..]).filter(|mark| (bad + 1..=byte).contains(mark)) else {
                continue;
            };
            let found = match read_record(seed, byte, &window[skip..]) {
                Found::Short { needed } => read_record(seed, byte, &read_window(last, byte, needed as u64)?),
                found => found,
            };
            if matches!(found, Found::Record { .. }) {
                return Ok(Some(mark));
            }
        }
        if (window.len() as u64) < WINDOW_BYTES {
            return Ok(None);
        }
        at += WINDOW_BYTES - RECORD_HEADER_BYTES_MAX as u64;
    }
}

/// Up to `len` bytes of records from `byte` on; fewer at the end of the file.
fn read_window(last: &Opened, byte: u64, len: u64) -> io::Result<Vec<u8>> {
    let offset = HEADER_BYTES + byte - last.header.base.byte;
    let len = len.min(last.segment.file_bytes.saturating_sub(offset));
    let mut window = vec![0; len as usize];
    read_exact_at(&*last.file, &mut window, offset)?;
    Ok(window)
}

/// How many records `bytes` are, which begin at `byte`; `None` when they are anything else.
fn count_records(seed: u32, mut byte: u64, mut bytes: &[u8]) -> Option<u64> {
    let mut count = 0;
    while !bytes.is_empty() {
        let Found::Record { payload, .. } = read_record(seed, byte, bytes) else { return None };
        count += 1;
        byte += payload.end as u64;
        bytes = &bytes[payload.end..];
    }
    Some(count)
}
