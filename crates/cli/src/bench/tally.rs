//! What subscribers count: which messages came, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;

/// Messages that can be told apart in one run; a bit of memory each.
const TRACKED_MAX: u64 = 1 << 32;

/// Which messages have come, for all subscribers together.
pub(crate) struct Seen {
    bits: Vec<AtomicU64>,
    publishers: u16,
    messages: u32,
}

impl Seen {
    /// For every message in `copies`.
    pub(crate) fn new(copies: u16, publishers: u16, messages: u32) -> anyhow::Result<Self> {
        let tracked = u64::from(copies) * u64::from(publishers);
        let tracked = tracked.checked_mul(messages.into()).filter(|n| *n <= TRACKED_MAX);
        ensure!(tracked.is_some(), "a run has at most {TRACKED_MAX} messages to receive");
        let words = tracked.unwrap_or(0).div_ceil(64);
        Ok(Self { bits: (0..words).map(|_| AtomicU64::new(0)).collect(), publishers, messages })
    }

    /// Notes a message; whether it had not come before. `None` if there is no such message.
    pub(crate) fn first(&self, copy: u16, publisher: u16, sequence: u32) -> Option<bool> {
        if publisher >= self.publishers || sequence >= self.messages {
            return None;
        }
        let stream = u64::from(copy) * u64::from(self.publishers) + u64::from(publisher);
        let bit = stream * u64::from(self.messages) + u64::from(sequence);
        let word = self.bits.get(usize::try_from(bit / 64).ok()?)?;
        let mask = 1 << (bit % 64);
        Some(word.fetch_or(mask, Ordering::Relaxed) & mask == 0)
    }
}

/// What some subscribers got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// From publish to first receipt, in nanoseconds.
    pub(crate) latency: Histogram,
    /// Messages that had come before.
    pub(crate) duplicated: u64,
    /// Messages that came after a later one of the same publisher.
    pub(crate) reordered: u64,
    /// Messages that are not of this run.
    pub(crate) foreign: u64,
    /// When the last message came first, in nanoseconds since the start.
    pub(crate) ended: u64,
}

impl Received {
    pub(crate) fn add(&mut self, other: &Received) {
        self.latency.add(&other.latency);
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
        self.ended = self.ended.max(other.ended);
    }
}

/// Bits of a value that its bucket keeps: percentiles are at most 1/128 too high.
const KEPT_BITS: u32 = 7;
const BUCKETS: usize = ((64 - KEPT_BITS + 1) as usize) << KEPT_BITS;

/// How often which value was seen: exact for small values, to KEPT_BITS for large ones.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], max: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// A value that `percent` of all values are not above; none if there are no values.
    pub(crate) fn percentile(&self, percent: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(highest(found).min(self.max))
    }

    fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.max = self.max.max(other.max);
    }
}

fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(KEPT_BITS + 1);
    ((shift as usize) << KEPT_BITS) + (value >> shift) as usize
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let shift = (bucket >> KEPT_BITS).saturating_sub(1);
    let kept = (bucket - (shift << KEPT_BITS)) as u64;
    (kept << shift) + ((1u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_message_is_first_once() {
        let seen = Seen::new(2, 3, 5).unwrap();
        let all = || (0..2).flat_map(|c| (0..3).flat_map(move |p| (0..5).map(move |s| (c, p, s))));
        assert!(all().all(|(c, p, s)| seen.first(c, p, s) == Some(true)));
        assert!(all().all(|(c, p, s)| seen.first(c, p, s) == Some(false)));
        assert_eq!(seen.first(0, 3, 0), None);
        assert_eq!(seen.first(0, 0, 5), None);
    }

    #[test]
    fn a_run_that_does_not_fit_is_refused() {
        assert!(Seen::new(u16::MAX, u16::MAX, u32::MAX).is_err());
    }

    #[test]
    fn without_values_there_are_no_percentiles() {
        assert_eq!(Histogram::default().percentile(50.0), None);
    }

    proptest! {
        #[test]
        fn percentiles_are_close_and_never_too_low(
            mut values in prop::collection::vec(prop_oneof![0..1000u64, any::<u64>()], 1..200), percent in 0.0..=100.0f64,
        ) {
            let mut all = Histogram::default();
            let (left, right) = values.split_at(values.len() / 2);
            for half in [left, right] {
                let mut part = Histogram::default();
                half.iter().for_each(|v| part.record(*v));
                all.add(&part);
            }
            values.sort_unstable();
            let rank = ((values.len() as f64 * percent / 100.0).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let found = all.percentile(percent).unwrap();
            prop_assert!(exact <= found && found - exact <= exact / 128, "{} for {}", found, exact);
            prop_assert_eq!(all.percentile(100.0), Some(all.max()));
        }
    }
}
