//! Messages, as the programs around the broker see them and as the broker keeps them.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;
use tidegate_core::{Expired, Properties};
use tidegate_mqtt::{QoS, Will};

use crate::core::Attachment;

/// An application message. Cheap to clone: every part is a counted slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A topic name (MQTT v5 section 4.7).
    pub topic: ByteString,
    /// The payload.
    pub payload: Bytes,
    /// The properties that travel with the message, in their order.
    pub properties: Properties,
    /// The quality of service it is published with.
    pub qos: QoS,
    /// Whether the broker keeps it for subscribers to come; with an empty payload, whether it forgets the one it kept.
    pub retain: bool,
    /// Message Expiry Interval in seconds (MQTT v5 section 3.3.2.3.3).
    pub expiry_interval: Option<u32>,
}

impl Message {
    /// A QoS 1 message without properties.
    pub fn new(topic: impl Into<ByteString>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            properties: Properties::default(),
            qos: QoS::AtLeastOnce,
            retain: false,
            expiry_interval: None,
        }
    }

    /// What it counts against limits in bytes.
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.as_bytes().len()
    }
}

impl From<Will> for Message {
    fn from(will: Will) -> Self {
        let Will { topic, payload, properties, qos, retain, message_expiry, delay: _ } = will;
        Self { topic, payload, properties, qos, retain, expiry_interval: message_expiry }
    }
}

/// A message in the broker's care, shared by every session that is to get it.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) message: Message,
    /// None for the will of a client that is gone.
    pub(crate) publisher: Option<Attachment>,
    pub(crate) received_at: Instant,
    /// Its number in the journal; 0 while it has none. Changed under the lock of the core only.
    pub(crate) number: AtomicU64,
}

impl Publication {
    pub(crate) fn new(message: Message, publisher: Option<Attachment>, received_at: Instant) -> Self {
        Self { message, publisher, received_at, number: AtomicU64::new(0) }
    }

    /// Its number in the journal, if it has one.
    pub(crate) fn journaled(&self) -> Option<u64> {
        Some(self.number.load(Relaxed)).filter(|number| *number > 0)
    }

    /// The Message Expiry Interval less the whole seconds the message has waited.
    pub(crate) fn remaining_expiry(&self, now: Instant) -> Result<Option<u32>, Expired> {
        let Some(interval) = self.message.expiry_interval else { return Ok(None) };
        let waited = now.saturating_duration_since(self.received_at).as_secs();
        let waited = u32::try_from(waited).unwrap_or(u32::MAX);
        interval.checked_sub(waited).filter(|left| *left > 0).map(Some).ok_or(Expired)
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.remaining_expiry(now).is_err()
    }
}

/// The Subscription Identifiers one copy of a message carries, one for each matching subscription that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIds {
    #[default]
    None,
    One(NonZeroU32),
    Many(Box<[NonZeroU32]>),
}

impl SubscriptionIds {
    pub(crate) fn push(&mut self, id: NonZeroU32) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(id),
            Self::One(first) => Self::Many([first, id].into()),
            Self::Many(ids) => Self::Many(ids.iter().copied().chain([id]).collect()),
        }
    }

    pub(crate) fn as_slice(&self) -> &[NonZeroU32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn expiry_counts_whole_seconds_waited() {
        let t0 = Instant::now();
        let mut publication = Publication::new(Message::new("a", "x"), None, t0);
        let at = |publication: &Publication, millis| {
            publication.remaining_expiry(t0 + Duration::from_millis(millis))
        };
        assert_eq!(at(&publication, u64::MAX >> 20), Ok(None));
        publication.message.expiry_interval = Some(10);
        assert_eq!(at(&publication, 999), Ok(Some(10)));
        assert_eq!(at(&publication, 1_000), Ok(Some(9)));
        assert_eq!(at(&publication, 9_999), Ok(Some(1)));
        assert_eq!(at(&publication, 10_000), Err(Expired));
        publication.message.expiry_interval = Some(0);
        assert_eq!(at(&publication, 0), Err(Expired));
    }

    #[test]
    fn subscription_identifiers_gather() {
        let id = |n| NonZeroU32::new(n).unwrap();
        let mut ids = SubscriptionIds::default();
        assert_eq!(ids.as_slice(), []);
        for n in 1..=3 {
            ids.push(id(n));
        }
        assert_eq!(ids.as_slice(), [id(1), id(2), id(3)]);
    }
}
