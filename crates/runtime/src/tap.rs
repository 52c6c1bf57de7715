use std::sync::Arc;

use tidegate_core::Record;
use tokio::sync::broadcast;

/// Messages kept for a watcher who does not read: what falls out is skipped, never waited for.
const TAP_BACKLOG_MAX: usize = 1024;

/// Where on its way through a flow a record was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// As the source handed it over.
    Source,
    /// After enrich, filter and map.
    Transformed,
    /// As the destination took it, topic resolved.
    Destination,
}

/// A record on its way, for people who watch.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// Where it was seen.
    pub stage: Stage,
    /// What was seen.
    pub record: Record,
}

/// Where a flow's records can be watched without disturbing the flow. It belongs to the flow's name, so that it
/// survives a change of the flow.
#[derive(Clone, Debug)]
pub struct Tap {
    sender: Arc<broadcast::Sender<Tapped>>,
}

impl Default for Tap {
    fn default() -> Self {
        Self { sender: Arc::new(broadcast::Sender::new(TAP_BACKLOG_MAX)) }
    }
}

impl Tap {
    /// Everything from now on. A watcher who is too slow gets `Lagged` and goes on with the newest.
    pub fn watch(&self) -> broadcast::Receiver<Tapped> {
        self.sender.subscribe()
    }

    /// Whether anybody watches; nothing is copied otherwise.
    pub(crate) fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    pub(crate) fn show(&self, stage: Stage, record: Record) {
        // an error says that the last watcher has left
        let _ = self.sender.send(Tapped { stage, record });
    }
}
