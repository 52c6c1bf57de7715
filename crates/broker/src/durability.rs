//! How much the broker keeps on disk, and how full that is.

use std::time::Duration;

use tidegate_log::{Options, Stall, Usage};

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
    /// Records that are not on disk yet.
    pub records_unsynced: u64,
    /// Bytes written a second, over the last minute.
    pub write_rate: f64,
    /// When publishers will be refused, if it goes on as in the last minute.
    pub full_in: Option<Duration>,
    /// Whether they are refused now.
    pub is_full: bool,
    /// Why nothing becomes durable at the moment.
    pub stall: Option<Stall>,
}

impl LogUsage {
    pub(crate) fn of(usage: Usage, limits: &JournalLimits, live_bytes: u64, is_full: bool) -> Self {
        // what is dead is let go in time: the log is full when too much is alive
        let live_bytes_max = limits.live_bytes_max();
        let room = usage.disk_free.map_or(u64::MAX, |free| free.saturating_sub(limits.disk_free_bytes_min));
        let room = room.min(live_bytes_max.saturating_sub(live_bytes));
        let growth = usage.write_rate - usage.drain_rate;
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
            records_unsynced: usage.records_unsynced,
            write_rate: usage.write_rate,
            full_in,
            is_full,
            stall: usage.stall,
        }
    }
}
