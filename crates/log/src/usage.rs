//! How full a log is, how fast it fills, and when it will be full.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

/// How long the past counts in a rate.
const RATE_WINDOW: Duration = Duration::from_secs(60);
/// Ages are known to this precision, and more coarsely when there is much to remember.
const AGE_STEP: Duration = Duration::from_secs(1);
const AGES_MAX: usize = 1024;

/// What a log holds, and how that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// Bytes on disk or on their way there.
    pub bytes: u64,
    /// [`Options::bytes_max`](crate::Options).
    pub bytes_max: u64,
    /// Bytes the file system has left, if it says so.
    pub disk_free: Option<u64>,
    /// Records that are not behind every consumer's watermark.
    pub records: u64,
    /// Records that are not on disk yet.
    pub records_unsynced: u64,
    /// Roughly how long ago the oldest of `records` was appended; `None` when there are none.
    pub oldest_age: Option<Duration>,
    /// Bytes appended a second, over the last minute.
    pub write_rate: f64,
    /// Bytes a second that all consumers are done with, over the last minute.
    pub drain_rate: f64,
    /// Why nothing becomes durable at the moment. It ends by itself when the disk takes writes again.
    pub stall: Option<Stall>,
}

/// The disk doesn't take what it should; appended records wait in memory, and it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Since when.
    pub since: SystemTime,
    /// What the disk said, with the name of the file.
    pub message: String,
    /// Whether it said that there is no space left.
    pub disk_full: bool,
}

impl Usage {
    /// When there will be no room, if it goes on as in the last minute: the log at its limit or the disk full,
    /// whichever comes first. `None` when the log does not grow.
    pub fn full_in(&self) -> Option<Duration> {
        let room = self.bytes_max.saturating_sub(self.bytes).min(self.disk_free.unwrap_or(u64::MAX));
        if room == 0 {
            return Some(Duration::ZERO);
        }
        let growth = self.write_rate - self.drain_rate;
        if growth <= 0.0 { None } else { Duration::try_from_secs_f64(room as f64 / growth).ok() }
    }
}

/// A time as people say it, such as `6 h`.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How fast a number grows, with the past fading over a minute.
#[derive(Debug)]
pub struct Rate {
    seen: u64,
    at: Instant,
    /// Both fade alike, so their quotient is right from the first second on.
    count: f64,
    seconds: f64,
}

impl Rate {
    /// The number is that now.
    pub fn new(seen: u64, now: Instant) -> Self {
        Self { seen, at: now, count: 0.0, seconds: 0.0 }
    }

    /// The number is `total` now. How much it grows a second; calls in quick succession change nothing.
    pub fn update(&mut self, total: u64, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        if passed >= 1.0 {
            let fade = (-passed / RATE_WINDOW.as_secs_f64()).exp();
            self.count = self.count * fade + (total as f64 - self.seen as f64);
            self.seconds = self.seconds * fade + passed;
            self.seen = total;
            self.at = now;
        }
        if self.seconds > 0.0 { self.count / self.seconds } else { 0.0 }
    }
}

/// Roughly when which byte of the log was written.
#[derive(Debug, Default)]
pub(crate) struct Ages(VecDeque<(u64, SystemTime)>);

impl Ages {
    /// What comes from `byte` on is not older than `time`.
    pub(crate) fn note(&mut self, byte: u64, time: SystemTime) {
        let recent =
            |&(_, last): &(u64, SystemTime)| time.duration_since(last).is_ok_and(|passed| passed < AGE_STEP);
        if self.0.back().is_some_and(recent) {
            return;
        }
        if self.0.len() >= AGES_MAX {
            let mut keep = false;
            self.0.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.0.push_back((byte, time));
    }

    /// Forgets what is before `byte`.
    pub(crate) fn forget(&mut self, byte: u64) {
        while self.0.get(1).is_some_and(|&(next, _)| next <= byte) {
            self.0.pop_front();
        }
    }

    /// How old the record at `byte` can be.
    pub(crate) fn age(&self, byte: u64, now: SystemTime) -> Option<Duration> {
        let after = self.0.partition_point(|&(noted, _)| noted <= byte);
        let (_, time) = self.0.get(after.checked_sub(1)?)?;
        Some(now.duration_since(*time).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        bytes: 400_000,
        bytes_max: 1_000_000,
        disk_free: None,
        records: 0,
        records_unsynced: 0,
        oldest_age: None,
        write_rate: 0.0,
        drain_rate: 0.0,
        stall: None,
    };

    #[test]
    fn the_forecast_is_the_room_over_the_growth() {
        let six_hours = Usage { write_rate: 600_000.0 / 21_600.0, ..USAGE };
        assert_eq!(six_hours.full_in().map(|t| t.as_secs_f64().round()), Some(21_600.0));
        let drained = Usage { drain_rate: six_hours.write_rate, ..six_hours.clone() };
        assert_eq!(drained.full_in(), None);
        let small_disk = Usage { disk_free: Some(300_000), ..six_hours.clone() };
        assert_eq!(small_disk.full_in().map(|t| t.as_secs_f64().round()), Some(10_800.0));
        let full = Usage { bytes: 1_000_001, ..six_hours };
        assert_eq!(full.full_in(), Some(Duration::ZERO));
    }

    #[test]
    fn a_rate_is_right_at_once_and_forgets_in_minutes() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(5000, start);
        assert_eq!(rate.update(5000, start), 0.0);
        assert_eq!(rate.update(7000, after(2)), 1000.0);
        assert_eq!(rate.update(9999, after(2)), 1000.0, "too soon to tell");
        let quiet = rate.update(9999, after(602));
        assert!(quiet < 6.0, "{quiet}");
    }

    #[test]
    fn ages_are_known_to_a_second_and_never_too_small() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |millis| start + Duration::from_millis(millis);
        let mut ages = Ages::default();
        assert_eq!(ages.age(0, start), None);
        ages.note(0, at(0));
        ages.note(10, at(900));
        ages.note(20, at(1100));
        assert_eq!(ages.age(10, at(2000)), Some(Duration::from_millis(2000)));
        assert_eq!(ages.age(25, at(2000)), Some(Duration::from_millis(900)));
        ages.forget(19);
        assert_eq!(ages.age(19, at(2000)), Some(Duration::from_millis(2000)));
        ages.forget(20);
        assert_eq!(ages.age(19, at(2000)), None);
    }

    #[test]
    fn a_long_past_takes_little_memory() {
        let mut ages = Ages::default();
        for second in 0..100_000 {
            ages.note(second, SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        }
        assert!(ages.0.len() <= AGES_MAX);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        assert_eq!(ages.age(0, now), Some(Duration::from_secs(100_000)));
    }
}
