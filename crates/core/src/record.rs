use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;

use crate::Properties;

/// One message on its way through a data flow. Cheap to clone: every part is a counted slice.
#[derive(Clone, Debug)]
pub struct Record {
    /// The MQTT topic or Kafka topic it came from. The destination's topic is not in here: a sink resolves it.
    pub topic: ByteString,
    /// The Kafka record key, if there was one.
    pub key: Option<Bytes>,
    /// The payload as it came; nobody decodes it until a field is asked for.
    pub payload: Bytes,
    /// Content type, user properties and the other properties that travel with the message.
    pub properties: Properties,
    /// Whether the message came with the MQTT retain flag.
    pub retain: bool,
    /// When tidegate received it; queue time counts from here.
    pub received_at: Instant,
    /// MQTT Message Expiry Interval as received, in seconds (MQTT v5 section 3.3.2.3.3).
    pub expiry_interval: Option<u32>,
    /// The Kafka record timestamp, in milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// Its place in the durable log it was read from, if it was read from one: how a sink can tell a record that
    /// comes again from a new one.
    pub position: Option<LogPosition>,
}

/// The place of a record in a durable log: its identity, over restarts and crashes.
///
/// Who sets it promises, for each sink and each `log`: records are handed over in ascending order of `number`; a number
/// never means another record; and after a failure or a restart the source goes on somewhere at or before the first
/// record that was not acknowledged, with the same numbers. Gaps are normal (a filter, a dead letter), and so are other
/// chunks than last time: [`Sink::write`](crate::Sink::write) may get the same records cut up differently.
///
/// So a sink that commits one write after the other ([`Sink::in_flight_max`](crate::Sink::in_flight_max) 1) and stores
/// the last `number` of each write together with the records, in one transaction, may take a record whose number is not
/// above the stored one for delivered: written exactly once. The key to store it under is `log` with the flow's and the
/// instance's name; a log that was lost and made anew has another `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// Which log, drawn at random when it was created.
    pub log: u64,
    /// How many records came before it in that log.
    pub number: u64,
}

impl Record {
    /// A record without properties, received at `received_at`.
    pub fn new(topic: impl Into<ByteString>, payload: impl Into<Bytes>, received_at: Instant) -> Self {
        Self {
            topic: topic.into(),
            key: None,
            payload: payload.into(),
            properties: Properties::default(),
            retain: false,
            received_at,
            expiry_interval: None,
            timestamp: None,
            position: None,
        }
    }

    /// Seconds left of the message's life at `now`: the interval less the whole seconds it has waited. `Ok(None)`
    /// for a message that does not expire, `Err` for one that has.
    ///
    /// # Errors
    /// [`Expired`] when nothing is left: such a message is not to be sent (MQTT v5 section 3.3.2.3.3).
    pub fn remaining_expiry(&self, now: Instant) -> Result<Option<u32>, Expired> {
        let Some(interval) = self.expiry_interval else { return Ok(None) };
        let waited = now.saturating_duration_since(self.received_at).as_secs();
        match u64::from(interval).checked_sub(waited) {
            Some(left) if left > 0 => {
                Ok(Some(u32::try_from(left).expect("no more than the u32 it came from")))
            }
            _ => Err(Expired),
        }
    }
}

/// The message's life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

/// Records the source wants acknowledged together.
#[derive(Debug)]
pub struct Batch {
    /// In the order they are to be delivered.
    pub records: Vec<Record>,
    /// Hand this back once every record is safe.
    pub ack: Ack,
}

/// The right to acknowledge one batch. Not `Clone`, and losing it is safe: the source delivers again.
#[must_use = "a batch whose ack is dropped is delivered again"]
#[derive(Debug, PartialEq, Eq)]
pub struct Ack(u64);

impl Ack {
    /// Only a source makes one; the number is its own.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number the source gave it.
    pub const fn number(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn expiry_counts_whole_seconds_waited() {
        let t0 = Instant::now();
        let mut r = Record::new("a", "x", t0);
        assert_eq!(r.remaining_expiry(t0), Ok(None));
        r.expiry_interval = Some(3600);
        // the examples of the MQTT endpoint's documentation
        assert_eq!(r.remaining_expiry(t0 + Duration::from_secs(1000)), Ok(Some(2600)));
        assert_eq!(r.remaining_expiry(t0 + Duration::from_secs(4000)), Err(Expired));
        assert_eq!(r.remaining_expiry(t0 + Duration::from_secs(3600)), Err(Expired));
        assert_eq!(r.remaining_expiry(t0 + Duration::from_millis(999)), Ok(Some(3600)));
        r.expiry_interval = Some(0);
        assert_eq!(r.remaining_expiry(t0), Err(Expired));
    }
}
