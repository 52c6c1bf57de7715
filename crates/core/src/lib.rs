//! The vocabulary that crates which do not know each other share: records and the right to acknowledge them,
//! sources and sinks, spans and diagnostics.
//!
//! Nothing here does I/O or knows tokio. A type moves here only when two crates that do not know each other need it.

mod diagnostic;
mod properties;
mod record;
mod secret;
mod sink;
mod source;
mod trouble;

pub use diagnostic::{Code, Diagnostic, FileId, Files, Label, Parsed, Position, Severity, SourceFile, Span};
pub use properties::{Properties, PropertiesBuilder, PropertiesError, Property};
pub use record::{Ack, Batch, Expired, LogPosition, Record};
pub use secret::Secret;
pub use sink::{Chunking, Rejected, Sink, WriteError};
pub use source::{Source, SourceError};
pub use trouble::Trouble;

/// A string whose bytes may be a slice of a larger buffer, so that taking it out of a packet copies nothing.
pub use bytestring::ByteString;
