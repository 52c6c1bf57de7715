//! The bytes of a segment: its header and its records. `docs/durable-log.md` is the description for people.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, BytesMut};
use crc32c::{crc32c, crc32c_append};

use crate::Position;

/// The format this build writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
/// Length of a segment's header: where its first record begins.
pub(crate) const HEADER_BYTES: u64 = 64;
/// Longest record header: length, checksum, mark.
pub(crate) const RECORD_HEADER_BYTES_MAX: usize = 16;

const SEGMENT_MAGIC: &[u8; 8] = b"TGLOGSEG";
const SUFFIX: &str = ".segment";
/// A segment has its last name only when header and first bytes are on disk.
const UNFINISHED_SUFFIX: &str = ".new";
/// No log comes as far: what says so is damaged. It keeps sums of positions from overflowing.
pub(crate) const POSITION_MAX: u64 = 1 << 62;
/// Set in a record's length when the header has a mark.
const MARKED: u32 = 1 << 31;

/// The file of a segment. Ordinals ascend in the order of creation.
pub(crate) fn segment_name(ordinal: u64) -> String {
    format!("{ordinal:010}{SUFFIX}")
}

/// The file of a segment in the making.
pub(crate) fn unfinished_name(ordinal: u64) -> String {
    format!("{ordinal:010}{UNFINISHED_SUFFIX}")
}

/// What a file is by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment(u64),
    Unfinished(u64),
    Other,
}

pub(crate) fn parse_name(name: &str) -> Kind {
    let ordinal: Option<u64> = name.split('.').next().and_then(|stem| stem.parse().ok());
    match ordinal.filter(|&ordinal| ordinal < POSITION_MAX) {
        Some(ordinal) if name == segment_name(ordinal) => Kind::Segment(ordinal),
        Some(ordinal) if name == unfinished_name(ordinal) => Kind::Unfinished(ordinal),
        _ => Kind::Other,
    }
}

/// The name of a log, drawn when it is created. It is mixed into every checksum, so that nothing from another log, and
/// nothing a payload imitates, passes for a record of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogId(pub(crate) u64);

impl LogId {
    /// Where the checksum of every record of this log begins.
    pub(crate) fn seed(self) -> u32 {
        crc32c(&self.0.to_le_bytes())
    }
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) log: LogId,
    /// The position of its first record. The segment ends where the next one begins, whatever is in the file.
    pub(crate) base: Position,
    /// How many bytes of records were on disk before the file got its name.
    pub(crate) synced: u64,
    pub(crate) created: SystemTime,
}

/// Why a file of ours can't be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Damaged(&'static str),
    /// It has this version, newer than [`VERSION`].
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let created = self.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut out = [0; HEADER_BYTES as usize];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.log.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.base.number.to_le_bytes());
        out[32..40].copy_from_slice(&self.base.byte.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced.to_le_bytes());
        out[48..56].copy_from_slice(&(created.as_millis() as u64).to_le_bytes());
        let checksum = crc32c(&out[..60]);
        out[60..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Result<Self, Unreadable> {
        check_version(bytes, SEGMENT_MAGIC)?;
        if u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return Err(Unreadable::Damaged("the header's checksum is wrong"));
        }
        let base = Position { number: u64_at(bytes, 24), byte: u64_at(bytes, 32) };
        let synced = u64_at(bytes, 40);
        if base.number.max(base.byte).max(synced) > POSITION_MAX {
            return Err(Unreadable::Damaged("the header's checksum is right and its content is not"));
        }
        Ok(Self {
            log: LogId(u64_at(bytes, 16)),
            base,
            synced,
            created: SystemTime::UNIX_EPOCH + Duration::from_millis(u64_at(bytes, 48)),
        })
    }
}

/// Checks the first twelve bytes of a file: its magic word and its version.
pub(crate) fn check_version(bytes: &[u8], magic: &[u8; 8]) -> Result<(), Unreadable> {
    if bytes.get(..8) != Some(magic.as_slice()) || bytes.len() < 12 {
        return Err(Unreadable::Damaged("it does not begin as a file of a log does"));
    }
    match u32_at(bytes, 8) {
        0 => Err(Unreadable::Damaged("there is no format version 0")),
        version if version > VERSION => Err(Unreadable::Newer(version)),
        _ => Ok(()),
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Appends one record to `out`. `payload_sum` is [`sum_payload`] of the parts; `byte` is where the record stands in the
/// log; `mark` says how far the log was on disk, `None` where an earlier record has said so.
pub(crate) fn put_record(
    out: &mut BytesMut,
    byte: u64,
    mark: Option<u64>,
    payload: &[&[u8]],
    payload_sum: u32,
) {
    let len = payload.iter().map(|part| part.len()).sum::<usize>() as u32;
    let len = if mark.is_some() { len | MARKED } else { len };
    out.put_u32_le(len);
    out.put_u32_le(sum_record(payload_sum, byte, len, mark));
    if let Some(mark) = mark {
        out.put_u64_le(mark);
    }
    for part in payload {
        out.put_slice(part);
    }
}

/// The payload's share of a record's checksum. It comes first, so that it can be had before the position is known.
pub(crate) fn sum_payload(seed: u32, payload: &[&[u8]]) -> u32 {
    payload.iter().fold(seed, |sum, part| crc32c_append(sum, part))
}

fn sum_record(payload_sum: u32, byte: u64, len: u32, mark: Option<u64>) -> u32 {
    let mut rest = [0; 20];
    rest[..8].copy_from_slice(&byte.to_le_bytes());
    rest[8..12].copy_from_slice(&len.to_le_bytes());
    match mark {
        Some(mark) => {
            rest[12..].copy_from_slice(&mark.to_le_bytes());
            crc32c_append(payload_sum, &rest)
        }
        None => crc32c_append(payload_sum, &rest[..12]),
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A sound record: how far the log was on disk if it says so, and where its payload is. It ends with its payload.
    Record { mark: Option<u64>, payload: Range<usize> },
    /// Perhaps a record; this many bytes are needed to tell.
    Short { needed: usize },
    /// No record of this log at this position.
    Bad,
}

/// Reads the record that `bytes` begin with, which is the one at `byte` of the log.
pub(crate) fn read_record(seed: u32, byte: u64, bytes: &[u8]) -> Found {
    if bytes.len() < 8 {
        return Found::Short { needed: 8 };
    }
    let len = u32_at(bytes, 0);
    let begin = if len & MARKED == 0 { 8 } else { RECORD_HEADER_BYTES_MAX };
    let payload = begin..begin + (len & !MARKED) as usize;
    if bytes.len() < payload.end {
        return Found::Short { needed: payload.end };
    }
    let mark = (begin == RECORD_HEADER_BYTES_MAX).then(|| u64_at(bytes, 8));
    let payload_sum = crc32c_append(seed, &bytes[payload.clone()]);
    if sum_record(payload_sum, byte, len, mark) != u32_at(bytes, 4) {
        return Found::Bad;
    }
    Found::Record { mark, payload }
}

/// The mark that a record at the beginning of `bytes` would have, if there were one; a cheap look before
/// [`read_record`].
pub(crate) fn peek_mark(bytes: &[u8]) -> Option<u64> {
    (bytes.len() >= RECORD_HEADER_BYTES_MAX && u32_at(bytes, 0) & MARKED != 0).then(|| u64_at(bytes, 8))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            log: LogId(7),
            base: Position { number: 3, byte: 1000 },
            synced: 40,
            created: SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn a_newer_format_is_named_before_anything_else_is_judged() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        bytes[30] ^= 1;
        assert_eq!(Header::decode(&bytes), Err(Unreadable::Newer(2)));
    }

    #[test]
    fn names_tell_what_a_file_is() {
        assert_eq!(parse_name(&segment_name(12)), Kind::Segment(12));
        assert_eq!(parse_name(&unfinished_name(12)), Kind::Unfinished(12));
        assert_eq!(parse_name(&segment_name(u64::MAX)), Kind::Other);
        for other in ["lock", "watermarks.a", "x.segment", ".segment", "1.segment", "0000000001.segment.bak"]
        {
            assert_eq!(parse_name(other), Kind::Other, "{other}");
        }
    }

    fn record(byte: u64, mark: Option<u64>, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let (left, right) = payload.split_at(payload.len() / 2);
        put_record(&mut out, byte, mark, &[left, right], sum_payload(9, &[left, right]));
        out
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            byte: u64, mark: Option<u64>, payload: Vec<u8>, more: Vec<u8>, short in 0.0..1.0,
        ) {
            let mut bytes = record(byte, mark, &payload);
            let end = bytes.len();
            bytes.extend_from_slice(&more);
            let expected = Found::Record { mark, payload: end - payload.len()..end };
            prop_assert_eq!(read_record(9, byte, &bytes), expected);
            prop_assert_eq!(peek_mark(&bytes).is_some(), mark.is_some());
            let short = (end as f64 * short) as usize;
            let needs_more = matches!(read_record(9, byte, &bytes[..short]), Found::Short { needed } if needed > short);
            prop_assert!(needs_more);
        }

        #[test]
        fn one_changed_bit_is_noticed(byte: u64, mark: Option<u64>, payload: Vec<u8>, at: prop::sample::Index) {
            let mut bytes = record(byte, mark, &payload);
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = read_record(9, byte, &bytes);
            prop_assert!(!matches!(found, Found::Record { .. }), "{:?}", found);
        }

        #[test]
        fn a_record_of_another_place_or_log_is_none(byte: u64, payload: Vec<u8>) {
            let bytes = record(byte, None, &payload);
            prop_assert_eq!(read_record(9, byte.wrapping_add(1), &bytes), Found::Bad);
            prop_assert_eq!(read_record(8, byte, &bytes), Found::Bad);
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes: Vec<u8>, header: [u8; 32], more: [u8; 32]) {
            let _ = read_record(9, 0, &bytes);
            let _ = peek_mark(&bytes);
            let _ = Header::decode(&[header, more].concat().try_into().unwrap());
        }
    }
}
