//! Which partition a record goes to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::producer::Partitioner;

/// How a data flow instance spreads its records.
pub(crate) enum Partitions {
    /// All to one, which is chosen by the number of the instance.
    Static(u32),
    /// Equal keys to equal partitions, as Kafka's own clients do it; without a key as [`Runs`] has it.
    ByKey(Runs),
}

/// Records without a key go to one partition for as long as a batch takes, then to the next one. So batches are as full
/// as can be, and a partition has its batch stored before its turn comes again: an idempotent producer sends a partition
/// no second batch before the first is stored, and librdkafka does not sleep while one waits.
pub(crate) struct Runs {
    batch: Batch,
    run: Mutex<Run>,
    /// How many bytes the run has.
    bytes: AtomicU64,
}

/// When a batch is sent: after this time, with so many records, or so many bytes where it holds more than one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) latency: Duration,
    pub(crate) records_max: u64,
    pub(crate) bytes_max: u64,
}

struct Run {
    partition: i32,
    since: Instant,
    records: u64,
}

impl Runs {
    /// The first run is in the partition after `start`, among as many as there are.
    pub(crate) fn new(batch: Batch, start: u32) -> Self {
        // The run that is over with the first record.
        let run = Run { partition: index(start), since: Instant::now(), records: u64::MAX };
        Self { batch, run: Mutex::new(run), bytes: AtomicU64::new(0) }
    }

    fn next(&self, now: Instant, count: i32, is_available: impl Fn(i32) -> bool) -> i32 {
        let mut run = self.run.lock();
        let goes_on = run.records < self.batch.records_max
            && self.bytes.load(Ordering::Relaxed) < self.batch.bytes_max
            && now.saturating_duration_since(run.since) <= self.batch.latency
            && run.partition < count
            && is_available(run.partition);
        if !goes_on {
            let after = |step| (run.partition % count + step) % count;
            let next = (1..=count).map(after).find(|p| is_available(*p)).unwrap_or_else(|| after(1));
            *run = Run { partition: next, since: now, records: 0 };
            self.bytes.store(0, Ordering::Relaxed);
        }
        run.records += 1;
        run.partition
    }
}

impl Partitions {
    /// A record of so many bytes is on its way.
    pub(crate) fn sent(&self, bytes: usize) {
        if let Partitions::ByKey(runs) = self {
            runs.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Partitioner for Partitions {
    fn partition(&self, _: &str, key: Option<&[u8]>, count: i32, is_available: impl Fn(i32) -> bool) -> i32 {
        match (self, key) {
            (Partitions::Static(instance), _) => index(*instance) % count,
            (Partitions::ByKey(_), Some(key)) => index(murmur2(key)) % count,
            (Partitions::ByKey(runs), None) => runs.next(Instant::now(), count, is_available),
        }
    }
}

/// What can be taken modulo the number of partitions: Kafka's `Utils.toPositive`.
fn index(number: u32) -> i32 {
    (number & 0x7fff_ffff).cast_signed()
}

/// The hash of Kafka's own clients (`org.apache.kafka.common.utils.Utils.murmur2`).
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let (words, rest) = data.as_chunks::<4>();
    #[expect(clippy::cast_possible_truncation, reason = "as in Java, where lengths have 32 bits")]
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test of it, `UtilsTest.testMurmur2`.
    #[test]
    fn the_hash_is_kafkas() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    const LIMITS: Batch = Batch { latency: Duration::from_millis(5), records_max: 3, bytes_max: 100 };

    #[test]
    fn a_run_is_a_batch() {
        let runs = Runs::new(LIMITS, 0);
        let t0 = Instant::now();
        let next = |millis| runs.next(t0 + Duration::from_millis(millis), 4, |_| true);
        // as many records as fit
        assert_eq!([next(0), next(1), next(1), next(1), next(5)], [1, 1, 1, 2, 2]);
        // as long as it waits
        assert_eq!([next(6), next(7), next(12)], [2, 3, 3]);
        assert_eq!([next(13), next(13)], [0, 0]);
        // as many bytes
        runs.bytes.fetch_add(100, Ordering::Relaxed);
        assert_eq!([next(13), next(13)], [1, 1]);
    }

    #[test]
    fn a_partition_without_a_leader_is_passed_over() {
        let runs = Runs::new(LIMITS, 0);
        let t0 = Instant::now();
        assert_eq!(runs.next(t0, 4, |p| p != 1), 2);
        assert_eq!(runs.next(t0, 4, |p| p != 2), 3);
        // one is as good as another when there is none
        assert_eq!(runs.next(t0, 4, |_| false), 0);
        // there were more
        assert_eq!(Runs::new(LIMITS, 7).next(t0, 3, |_| true), 2);
    }

    #[test]
    fn a_static_partition_is_that_of_the_instance() {
        let partition = |instance, count| Partitions::Static(instance).partition("", None, count, |_| false);
        assert_eq!([partition(0, 3), partition(2, 3), partition(4, 3), partition(u32::MAX, 1)], [0, 2, 1, 0]);
    }
}
