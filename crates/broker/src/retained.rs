//! The messages kept for subscribers to come, one a topic (MQTT v5 section 3.3.1.3).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use tidegate_core::Properties;

use crate::config::Limits;
use crate::message::{Message, Publication};
use crate::trie::Trie;

/// How long a full store waits before it looks for expired messages again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// From this size on a message is given memory of its own.
const COMPACTED_BYTES_MIN: usize = 4000;

/// The retained messages.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: Trie<Arc<Publication>>,
    count: usize,
    bytes: usize,
    swept_at: Option<Instant>,
    /// The numbers in the journal of those that are gone, until somebody takes note.
    pub(crate) gone: Vec<u64>,
}

impl Retained {
    /// Whether there is room for a message, after a look for expired ones if need be. There is for an empty one, which
    /// takes none.
    pub(crate) fn make_room(&mut self, publication: &Publication, limits: &Limits, now: Instant) -> bool {
        if publication.message.payload.is_empty() || self.has_room(publication, limits) {
            return true;
        }
        self.sweep(now);
        self.has_room(publication, limits)
    }

    /// Keeps a message in place of the one its topic had, or forgets that one if the payload is empty.
    pub(crate) fn put(&mut self, publication: &Arc<Publication>) {
        let topic = &publication.message.topic;
        let old = if publication.message.payload.is_empty() {
            self.messages.remove(topic)
        } else {
            self.count += 1;
            self.bytes += publication.message.size();
            self.messages.slot(topic).replace(compact(publication))
        };
        if let Some(old) = old {
            self.count -= 1;
            self.bytes -= old.message.size();
            self.gone.extend(old.journaled());
        }
    }

    /// Hands every living message whose topic matches `filter` to `found`.
    pub(crate) fn select(&self, filter: &str, now: Instant, mut found: impl FnMut(&Arc<Publication>)) {
        self.messages.select(filter, |publication| {
            if !publication.is_expired(now) {
                found(publication);
            }
        });
    }

    /// How many there are, expired ones that nobody noticed included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn has_room(&self, publication: &Publication, limits: &Limits) -> bool {
        let (count, bytes) = match self.messages.get(&publication.message.topic) {
            Some(old) => (self.count - 1, self.bytes - old.message.size()),
            None => (self.count, self.bytes),
        };
        count < limits.retained_messages_max
            && bytes + publication.message.size() <= limits.retained_bytes_max
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now < at + SWEEP_INTERVAL) {
            return;
        }
        self.swept_at = Some(now);
        let Self { messages, count, bytes, gone, .. } = self;
        messages.prune(&mut |publication| {
            let keep = !publication.is_expired(now);
            if !keep {
                *count -= 1;
                *bytes -= publication.message.size();
                gone.extend(publication.journaled());
            }
            keep
        });
    }
}

/// The same message in memory of its own: as it came, a large one is a slice of a read buffer, which would stay for as
/// long as the message does.
fn compact(publication: &Arc<Publication>) -> Arc<Publication> {
    let Publication { message, publisher, received_at, number } = &**publication;
    if message.size() < COMPACTED_BYTES_MIN {
        return publication.clone();
    }
    let properties = Bytes::copy_from_slice(message.properties.as_bytes());
    let message = Message {
        topic: ByteString::from(&*message.topic),
        payload: Bytes::copy_from_slice(&message.payload),
        properties: Properties::parse(properties).expect("it is a copy of what was parsed"),
        ..*message
    };
    let number = AtomicU64::new(number.load(Relaxed));
    Arc::new(Publication { message, publisher: *publisher, received_at: *received_at, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str, expiry_interval: Option<u32>, now: Instant) -> Arc<Publication> {
        let message = Message { expiry_interval, retain: true, ..Message::new(topic, payload.to_owned()) };
        Arc::new(Publication::new(message, None, now))
    }

    fn put(retained: &mut Retained, publication: &Arc<Publication>, limits: &Limits, now: Instant) -> bool {
        let has_room = retained.make_room(publication, limits, now);
        if has_room {
            retained.put(publication);
        }
        has_room
    }

    fn payloads(retained: &Retained, filter: &str, now: Instant) -> Vec<String> {
        let mut found = Vec::new();
        retained.select(filter, now, |p| found.push(String::from_utf8(p.message.payload.to_vec()).unwrap()));
        found.sort();
        found
    }

    #[test]
    fn the_last_message_of_each_topic_is_kept_until_an_empty_one() {
        let (limits, t0) = (Limits::default(), Instant::now());
        let mut retained = Retained::default();
        for (topic, payload) in [("a/x", "1"), ("a/y", "2"), ("a/x", "3"), ("$SYS/a", "4")] {
            assert!(put(&mut retained, &message(topic, payload, None, t0), &limits, t0));
        }
        assert_eq!(payloads(&retained, "a/+", t0), ["2", "3"]);
        assert_eq!(payloads(&retained, "#", t0), ["2", "3"]);
        assert_eq!(payloads(&retained, "$SYS/#", t0), ["4"]);
        assert_eq!((retained.count(), retained.bytes()), (3, 4 + 4 + 7));

        assert!(put(&mut retained, &message("a/x", "", None, t0), &limits, t0));
        assert!(put(&mut retained, &message("never/was", "", None, t0), &limits, t0));
        assert_eq!(payloads(&retained, "#", t0), ["2"]);
        assert_eq!((retained.count(), retained.bytes()), (2, 4 + 7));
    }

    #[test]
    fn a_full_store_takes_replacements_and_the_room_of_expired_messages() {
        let limits = Limits { retained_messages_max: 2, retained_bytes_max: 20, ..Limits::default() };
        let t0 = Instant::now();
        let mut retained = Retained::default();
        assert!(put(&mut retained, &message("a", "1", Some(5), t0), &limits, t0));
        assert!(put(&mut retained, &message("b", "2", None, t0), &limits, t0));
        assert!(!put(&mut retained, &message("c", "3", None, t0), &limits, t0));
        assert!(put(&mut retained, &message("b", "22", None, t0), &limits, t0));
        assert!(!put(&mut retained, &message("b", &"2".repeat(20), None, t0), &limits, t0));

        let later = t0 + Duration::from_secs(5);
        assert_eq!(payloads(&retained, "#", later), ["22"]);
        assert!(put(&mut retained, &message("c", "3", None, later), &limits, later));
        assert_eq!(payloads(&retained, "#", later), ["22", "3"]);
        assert_eq!((retained.count(), retained.bytes()), (2, 5));
    }

    #[test]
    fn a_large_message_does_not_keep_the_buffer_it_came_in() {
        let (limits, t0) = (Limits::default(), Instant::now());
        let mut retained = Retained::default();
        for (topic, size, shared) in [("small", 100, true), ("large", 10_000, false)] {
            let came = message(topic, &"x".repeat(size), None, t0);
            assert!(put(&mut retained, &came, &limits, t0));
            retained.select(topic, t0, |kept| {
                assert_eq!(kept.message, came.message);
                assert_eq!(kept.message.payload.as_ptr() == came.message.payload.as_ptr(), shared);
            });
        }
    }
}
