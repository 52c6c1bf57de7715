//! How much the broker keeps on disk, and how full that is.

use std::time::Duration;

use tidegate_log::{Options, Stall, Usage, in_words};

use crate::config::Limits;

/// What is set aside in a record for who is to get the message, and for the subscriptions of a session.
const RECIPIENTS_BYTES: u64 = 8 << 20;

/// Limits of what the broker keeps on disk.
#[derive(Clone, Debug)]
pub struct JournalLimits {
    /// Most bytes of the log (2 GiB). A quarter of it is for what is alive: sessions, the messages that wait in them, and
    /// retained messages; beyond that publishers wait or are refused. The rest is for what is dead and not let go yet.
    pub log_bytes_max: u64,
    /// While the disk has less left than this (32 MiB), publishers wait or are refused: what is needed to go on when
    /// subscribers make room.
    pub disk_free_bytes_min: u64,
    /// Most bytes of what clients did, other than publish, while the log had no room for it (16 MiB). They are held in
    /// memory; beyond that no clients come and nobody subscribes.
    pub backlog_bytes_max: usize,
    /// How many bytes of the log are dead, beside as many as are alive, before what is alive is written again (64 MiB).
    pub clean_bytes_min: u64,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            log_bytes_max: 2 << 30,
            disk_free_bytes_min: 32 << 20,
            backlog_bytes_max: 16 << 20,
            clean_bytes_min: 64 << 20,
        }
    }
}

impl JournalLimits {
    /// Most bytes of what is alive.
    pub(crate) fn live_bytes_max(&self) -> u64 {
        self.log_bytes_max / 4
    }

    /// The limits of the log itself, for a broker with these limits.
    pub fn log_options(&self, limits: &Limits) -> Options {
        // the longest record is a message of the longest packet, and who is to get it
        let longest = u64::from(limits.packet_bytes_max.get()) + RECIPIENTS_BYTES;
        Options {
            bytes_max: self.log_bytes_max.max(2 * longest + 4096),
            segment_bytes_max: longest,
            unsynced_bytes_max: longest,
            // nobody reads behind the writer
            recent_bytes_max: 0,
            ..Options::default()
        }
    }
}

/// How full the log under the sessions is.
#[derive(Clone, Debug, PartialEq)]
pub struct LogUsage {
    /// Bytes on disk or on their way there.
    pub bytes: u64,
    /// [`JournalLimits::log_bytes_max`].
    pub bytes_max: u64,
    /// Bytes of what is alive.
    pub live_bytes: u64,
    /// Of those, at most.
    pub live_bytes_max: u64,
    /// Bytes the disk has left, if it says so.
    pub disk_free: Option<u64>,
    /// Of those, at least: [`JournalLimits::disk_free_bytes_min`].
    pub disk_free_min: u64,
    /// Records that are not on disk yet.
    pub records_unsynced: u64,
    /// Bytes that more is alive a second, over the last minute.
    pub growth: f64,
    /// When publishers will be refused, if it goes on as in the last minute.
    pub full_in: Option<Duration>,
    /// Whether they are refused now.
    pub is_full: bool,
    /// Why nothing becomes durable at the moment.
    pub stall: Option<Stall>,
}

impl LogUsage {
    pub(crate) fn of(
        usage: Usage,
        limits: &JournalLimits,
        live_bytes: u64,
        growth: f64,
        is_full: bool,
    ) -> Self {
        // what is dead is let go in time: the log is full when too much is alive
        let live_bytes_max = limits.live_bytes_max();
        let room = usage.disk_free.map_or(u64::MAX, |free| free.saturating_sub(limits.disk_free_bytes_min));
        let room = room.min(live_bytes_max.saturating_sub(live_bytes));
        let full_in = if room == 0 {
            Some(Duration::ZERO)
        } else if growth > 0.0 {
            Duration::try_from_secs_f64(room as f64 / growth).ok()
        } else {
            None
        };
        Self {
            bytes: usage.bytes,
            bytes_max: limits.log_bytes_max,
            live_bytes,
            live_bytes_max,
            disk_free: usage.disk_free,
            disk_free_min: limits.disk_free_bytes_min,
            records_unsynced: usage.records_unsynced,
            growth,
            full_in,
            is_full,
            stall: usage.stall,
        }
    }

    /// Whether publishers are pushed back.
    pub fn pushes_back(&self) -> bool {
        self.is_full || self.stall.is_some()
    }

    /// What an operator wants to know: how full it is, how long that can go on, and what helps. `None` while there is
    /// nothing worth a word.
    pub fn message(&self) -> Option<String> {
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
        let Self { live_bytes, live_bytes_max, disk_free_min, .. } = *self;
        let held = format!("{} of {}", mebibytes(live_bytes), mebibytes(live_bytes_max));
        let pushed_back = "what was acknowledged is safe, publishers wait or are refused";
        if let Some(Stall { message, disk_full, .. }) = &self.stall {
            let help = if *disk_full { "; make room on the disk" } else { "" };
            return Some(format!("the broker's log can't be written: {message}: {pushed_back}{help}"));
        }
        if let Some(free) = self.disk_free.filter(|free| *free < disk_free_min) {
            let (free, least) = (mebibytes(free), mebibytes(disk_free_min));
            let disk = format!("the disk of the broker's log has {free} left, and {least} are kept free");
            return Some(format!("{disk}: {pushed_back}; make room on the disk"));
        }
        if self.is_full {
            return Some(format!(
                "the broker's log is full, {held}: {pushed_back} until sessions take theirs"
            ));
        }
        let full_in = self.full_in.filter(|_| live_bytes >= WORTH_A_WORD)?;
        Some(format!("the broker's log holds {held}: full in about {} at this rate", in_words(full_in)))
    }
}

/// Below this many bytes nobody needs to be told.
const WORTH_A_WORD: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_how_full_it_is_and_what_helps() {
        let limits = JournalLimits::default();
        let of = |disk_free, live_bytes, growth, is_full, stall: Option<Stall>| {
            let usage = Usage {
                bytes: 100 << 20,
                bytes_max: limits.log_bytes_max,
                disk_free: Some(disk_free),
                records: 1,
                records_unsynced: 0,
                oldest_age: None,
                write_rate: 1e6,
                drain_rate: 0.0,
                stall,
            };
            LogUsage::of(usage, &limits, live_bytes, growth, is_full).message()
        };
        assert_eq!(of(1 << 30, 1 << 20, 0.0, false, None), None, "what is written comes and goes");
        assert_eq!(of(1 << 30, 1 << 19, 1e6, false, None), None);
        let growing = of(1 << 40, 12 << 20, 500.0 * 1048.576, false, None).unwrap();
        assert_eq!(
            growing,
            "the broker's log holds 12.0 MiB of 512.0 MiB: full in about 16 min at this rate"
        );
        let full = of(1 << 30, 512 << 20, 0.0, true, None).unwrap();
        assert!(full.ends_with("until sessions take theirs"), "{full}");
        let low = of(3 << 20, 0, 0.0, true, None).unwrap();
        assert!(low.contains("has 3.0 MiB left, and 32.0 MiB are kept free"), "{low}");
        let stall = Stall {
            since: std::time::SystemTime::UNIX_EPOCH,
            message: "b/1.log: no space left".into(),
            disk_full: true,
        };
        let stalled = of(0, 0, 0.0, true, Some(stall)).unwrap();
        assert!(stalled.contains("no space left") && stalled.ends_with("make room on the disk"), "{stalled}");
    }
}
