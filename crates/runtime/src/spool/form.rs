//! A record as it lies in a spool.
//!
//! ```text
//! u8 version = 1 | u8 flags: 1 retain, 2 has a key, 4 has an expiry interval, 8 has a timestamp
//! | u64 received, ms since 1970 | [u32 expiry interval] | [i64 timestamp]
//! | u32 length, topic | u32 length, properties as in a PUBLISH | [u32 length, key] | payload
//! ```
//!
//! Numbers are little-endian. The log's checksum covers all of it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use tidegate_core::{ByteString, LogPosition, Properties, Record};

const VERSION: u8 = 1;
const RETAIN: u8 = 1;
const KEY: u8 = 2;
const EXPIRY: u8 = 4;
const TIMESTAMP: u8 = 8;

/// One moment by both clocks: what has waited in a file is known by the calendar only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) calendar: SystemTime,
}

impl Now {
    pub(super) fn new() -> Self {
        Self { instant: tokio::time::Instant::now().into_std(), calendar: SystemTime::now() }
    }
}

/// Writes all but the payload, which follows as it is.
pub(super) fn encode_head(record: &Record, now: Now, out: &mut Vec<u8>) {
    let waited = now.instant.saturating_duration_since(record.received_at);
    let received = now.calendar.checked_sub(waited).unwrap_or(UNIX_EPOCH);
    let received = received.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.clear();
    out.push(VERSION);
    out.push(
        flag(record.retain, RETAIN)
            | flag(record.key.is_some(), KEY)
            | flag(record.expiry_interval.is_some(), EXPIRY)
            | flag(record.timestamp.is_some(), TIMESTAMP),
    );
    out.extend(u64::try_from(received).unwrap_or(u64::MAX).to_le_bytes());
    out.extend(record.expiry_interval.iter().flat_map(|seconds| seconds.to_le_bytes()));
    out.extend(record.timestamp.iter().flat_map(|millis| millis.to_le_bytes()));
    let mut part = |bytes: &[u8]| {
        // what is longer does not fit the log, which says so
        out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    part(record.topic.as_bytes());
    part(record.properties.as_bytes());
    if let Some(key) = &record.key {
        part(key);
    }
}

/// Reads a record; its parts are slices of `bytes`. `None` if it is none.
///
/// The time it has waited counts for its expiry, whether the process ran meanwhile or not. A calendar that was set back
/// makes it younger, never older than it can be.
pub(super) fn decode(mut bytes: Bytes, now: Now, position: LogPosition) -> Option<Record> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let flags = bytes.try_get_u8().ok()?;
    let has = |flag| flags & flag != 0;
    let received = Duration::from_millis(bytes.try_get_u64_le().ok()?);
    let mut expiry_interval = if has(EXPIRY) { Some(bytes.try_get_u32_le().ok()?) } else { None };
    let timestamp = if has(TIMESTAMP) { Some(bytes.try_get_i64_le().ok()?) } else { None };
    let topic = ByteString::try_from(part(&mut bytes)?).ok()?;
    let properties = Properties::parse(part(&mut bytes)?).ok()?;
    let key = if has(KEY) { Some(part(&mut bytes)?) } else { None };
    let waited = now.calendar.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(received);
    let received_at = match now.instant.checked_sub(waited) {
        Some(received_at) => received_at,
        // where the clock can't say how long ago it was, the life it has left can
        None => {
            let seconds = u32::try_from(waited.as_secs()).unwrap_or(u32::MAX);
            expiry_interval = expiry_interval.map(|interval| interval.saturating_sub(seconds));
            now.instant
        }
    };
    Some(Record {
        key,
        properties,
        retain: has(RETAIN),
        expiry_interval,
        timestamp,
        position: Some(position),
        ..Record::new(topic, bytes, received_at)
    })
}

fn part(bytes: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_core::{PropertiesBuilder, Property};

    use super::*;

    const AT: LogPosition = LogPosition { log: 7, number: 42 };

    fn encode(record: &Record, now: Now) -> Bytes {
        let mut bytes = Vec::new();
        encode_head(record, now, &mut bytes);
        bytes.extend_from_slice(&record.payload);
        bytes.into()
    }

    #[test]
    fn life_ends_while_nobody_runs() {
        let before = Now::new();
        let record = Record { expiry_interval: Some(3600), ..Record::new("t", "x", before.instant) };
        // half an hour until it is written, then a restart, which sets the one clock anew
        let written = Now {
            instant: before.instant + Duration::from_secs(1800),
            calendar: before.calendar + Duration::from_secs(1800),
        };
        let bytes = encode(&record, written);
        let read_after = |seconds: u64| {
            let now = Now {
                instant: before.instant + Duration::from_secs(100_000),
                calendar: written.calendar + Duration::from_secs(seconds),
            };
            decode(bytes.clone(), now, AT).unwrap().remaining_expiry(now.instant)
        };
        assert_eq!(read_after(60), Ok(Some(1740)));
        assert!(read_after(1801).is_err());
        // set back by an hour and a half: all its life, and no more
        let now = Now { instant: before.instant, calendar: before.calendar - Duration::from_secs(5400) };
        assert_eq!(decode(bytes.clone(), now, AT).unwrap().remaining_expiry(now.instant), Ok(Some(3600)));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            topic in ".{0,20}",
            payload: Vec<u8>,
            key: Option<Vec<u8>>,
            users in prop::collection::vec(("[a-z]{0,5}", "[a-z]{0,5}"), 0..3),
            retain: bool,
            expiry_interval: Option<u32>,
            timestamp: Option<i64>,
            waited in 0u64..100,
        ) {
            let now = Now::new();
            let mut properties = PropertiesBuilder::default();
            for (k, v) in &users {
                properties.push(Property::UserProperty(k, v));
            }
            let record = Record {
                key: key.map(Into::into),
                properties: properties.build().unwrap(),
                retain,
                expiry_interval,
                timestamp,
                position: Some(AT),
                ..Record::new(topic, payload, now.instant - Duration::from_secs(waited))
            };
            let read = decode(encode(&record, now), now, AT).unwrap();
            let error = read.received_at.max(record.received_at) - read.received_at.min(record.received_at);
            prop_assert!(error <= Duration::from_millis(2), "{error:?}");
            let shown = |r: &Record| format!("{:?}", Record { received_at: now.instant, ..r.clone() });
            prop_assert_eq!(shown(&read), shown(&record));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let _ = decode([&[VERSION][..], &bytes].concat().into(), Now::new(), AT);
        }
    }
}
