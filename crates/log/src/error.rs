//! What goes wrong, sorted by what is to be done.

use std::io;
use std::path::PathBuf;

use crate::Position;
use crate::format::VERSION;

/// Bytes that were on disk are no longer what they were, or are gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {offset}: {what}", file.display())]
pub struct Corrupt {
    /// The file.
    pub file: PathBuf,
    /// Where in the file the first damaged record is.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Why a log was not opened. Nothing that was there was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The limits contradict each other.
    #[error("the limits of the log contradict each other: {0}")]
    Options(&'static str),
    /// Records that were durable are damaged. What can be saved is for a person to decide.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A newer build wrote it.
    #[error("{} has format version {version}; this build reads versions up to {known}", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version this build reads.
        known: u32,
    },
    /// The disk refused; the next attempt may succeed.
    #[error("can't {doing} {}: {source}", file.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, file: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, file, source }
    }

    pub(crate) fn newer(file: PathBuf, version: u32) -> Self {
        Self::Newer { file, version, known: VERSION }
    }
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// There is no room now; there will be when the disk has caught up or the consumers have advanced.
    #[error("the log is full")]
    Full,
    /// It never fits.
    #[error("a record of {len} bytes is longer than the {len_max} bytes the log takes")]
    TooLong {
        /// Length of the payload.
        len: usize,
        /// Longest payload.
        len_max: u64,
    },
    /// The log is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// The log was closed; what was not durable by then may or may not be there when it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;

/// Why a record was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Records that were durable are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// It was deleted behind the lowest watermark, which has come this far.
    #[error("records before number {} are deleted", .0.number)]
    Gone(Position),
    /// The disk refused; the next attempt may succeed.
    #[error("can't read {}: {source}", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The log is closed and everything durable has been read.
    #[error(transparent)]
    Closed(#[from] Closed),
}
