//! The limits of a log.

use std::time::Duration;

/// Limits of a log. Every one has a default that suits a gateway with a disk of some gigabytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes on disk (1 GiB). When they are reached an append waits, or is told [`Full`](crate::AppendError).
    /// After a failed write or a crash up to `unsynced_bytes_max` may for a while be there twice.
    pub bytes_max: u64,
    /// Longest segment (64 MiB). Space is given back a segment at a time.
    pub segment_bytes_max: u64,
    /// Most bytes appended and not yet on disk (16 MiB). They are held in memory; an append beyond waits. No record
    /// may be longer.
    pub unsynced_bytes_max: u64,
    /// Most bytes that wait for company before they are synced (1 MiB).
    pub sync_bytes_max: u64,
    /// Longest time a record waits for company before it is synced (10 ms). When somebody waits for a record and no
    /// others come, it is synced at once.
    pub sync_interval_max: Duration,
    /// Longest time a watermark waits to be saved (250 ms): how much comes again after a crash.
    pub save_interval_max: Duration,
    /// Most bytes of what is on disk that memory keeps for readers who keep up (4 MiB).
    pub recent_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes_max: 1 << 30,
            segment_bytes_max: 64 << 20,
            unsynced_bytes_max: 16 << 20,
            sync_bytes_max: 1 << 20,
            sync_interval_max: Duration::from_millis(10),
            save_interval_max: Duration::from_millis(250),
            recent_bytes_max: 4 << 20,
        }
    }
}

impl Options {
    /// What is wrong with the limits, if anything.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let ascending = [self.sync_bytes_max, self.unsynced_bytes_max, self.segment_bytes_max, 1 << 30];
        if !ascending.is_sorted() {
            return Err("sync_bytes_max, unsynced_bytes_max, segment_bytes_max and 1 GiB must ascend");
        }
        if self.sync_interval_max.max(self.save_interval_max) > Duration::from_secs(86_400) {
            return Err("sync_interval_max and save_interval_max must be at most a day");
        }
        // a segment that everybody has read is given back only when there is another one to append to
        if self.bytes_max < 2 * self.segment_bytes_max + 4096 {
            return Err("bytes_max must be at least two segments and 4 KiB");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_could_lock_up_are_refused() {
        assert_eq!(Options::default().check(), Ok(()));
        let good = Options::default();
        assert!(Options { bytes_max: good.segment_bytes_max * 2, ..good.clone() }.check().is_err());
        assert!(Options { unsynced_bytes_max: good.segment_bytes_max + 1, ..good.clone() }.check().is_err());
        assert!(Options { sync_interval_max: Duration::MAX, ..good.clone() }.check().is_err());
        assert!(Options { segment_bytes_max: 2 << 30, bytes_max: 8 << 30, ..good }.check().is_err());
    }
}
