use std::sync::{Arc, OnceLock};

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
    /// Dropped by a filter.
    Filtered,
    /// Could not be processed, or refused by the destination for good.
    DeadLettered,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 5] =
        [Self::Source, Self::Transformed, Self::Destination, Self::Filtered, Self::DeadLettered];

    /// In lower case, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transformed => "transformed",
            Self::Destination => "destination",
            Self::Filtered => "filtered",
            Self::DeadLettered => "dead-lettered",
        }
    }
}

/// A record on its way, for people who watch.
#[derive(Clone, Debug)]
pub struct Tapped {
    /// Where it was seen.
    pub stage: Stage,
    /// What was seen.
    pub record: Record,
    /// What it was before, where it is transformed.
    pub before: Option<Record>,
    /// Why it goes no further, where it does not.
    pub reason: Option<String>,
}

/// Where a flow's records can be watched without disturbing the flow. It belongs to the flow's name, so that it
/// survives a change of the flow.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    /// Made for the first watcher: its room is many times what an idle flow takes.
    sender: Arc<OnceLock<broadcast::Sender<Arc<Tapped>>>>,
}

impl Tap {
    /// Everything from now on. A watcher who is too slow gets `Lagged` and goes on with the newest.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Tapped>> {
        self.sender.get_or_init(|| broadcast::Sender::new(TAP_BACKLOG_MAX)).subscribe()
    }

    /// Whether anybody watches; nothing is copied otherwise.
    pub(crate) fn is_watched(&self) -> bool {
        self.sender.get().is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn show(&self, stage: Stage, record: Record) {
        self.send(Tapped { stage, record, before: None, reason: None });
    }

    pub(crate) fn show_transformed(&self, before: Record, record: Record) {
        self.send(Tapped { stage: Stage::Transformed, record, before: Some(before), reason: None });
    }

    pub(crate) fn show_end(&self, stage: Stage, record: Record, reason: String) {
        self.send(Tapped { stage, record, before: None, reason: Some(reason) });
    }

    fn send(&self, tapped: Tapped) {
        if let Some(sender) = self.sender.get() {
            // an error says that the last watcher has left
            let _ = sender.send(Arc::new(tapped));
        }
    }
}
