//! Where a record stands in the life of its log.

/// The place of a record, its identity: it is never given to another record that anybody could have read.
///
/// Both numbers count from the log's first record and never go back, so either one orders positions. Positions come
/// from the log ([`Log::try_append`](crate::Log::try_append), [`Entry`](crate::Entry)); they are not for making up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// How many records came before it. Differences are counts of records.
    pub number: u64,
    /// How many bytes came before it, record headers included: where to read.
    pub byte: u64,
}
