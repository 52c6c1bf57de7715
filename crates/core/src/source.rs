use async_trait::async_trait;

use crate::{Ack, Batch, Trouble};

/// Where a data flow's records come from.
///
/// A source that fails is thrown away and opened anew: that is the one recovery path. What it had handed over and
/// nobody acknowledged comes again.
#[async_trait]
pub trait Source: Send {
    /// Waits for records; `None` means no more will come. Cancel-safe: a dropped call loses nothing.
    async fn next(&mut self) -> Result<Option<Batch>, SourceError>;

    /// This batch is safe at the destination. Called in the order in which `next` returned the batches.
    async fn ack(&mut self, ack: Ack) -> Result<(), SourceError>;

    /// How many records the source hands over before it insists on an `ack`. A chunk that waits for more than these
    /// would wait for ever.
    fn unacked_max(&self) -> usize;

    /// Whether it hands over no more until an `ack` for another reason, such as memory. A chunk that waits for more
    /// would only wait.
    fn wants_ack(&self) -> bool {
        false
    }

    /// How many messages that need no acknowledgement it had to drop since the last call, because nobody called
    /// [`Source::next`]. They were never handed over.
    fn take_dropped(&mut self) -> u64 {
        0
    }

    /// Sends what acknowledgements are still on the way and leaves as the protocol asks. The session, where there is
    /// one, is kept.
    async fn close(&mut self) {}
}

/// Why a source can't be opened, or can't go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// Opening it anew may help.
    #[error("{0}")]
    Lost(Trouble),
    /// Only a change of configuration, credentials or rights helps; it is still tried again, slowly.
    #[error("{0}")]
    Refused(Trouble),
}
