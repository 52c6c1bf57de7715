//! The durable log: what was appended and reported durable is there after any crash, in order and unaltered, until
//! every consumer is done with it.
//!
//! It knows records as bytes, consumers as names, and nothing of MQTT, flows or tokio's runtime. `docs/durable-log.md`
//! says what it promises and how it keeps that; [`Disk`] is its only way to the world.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! use std::sync::Arc;
//! use tidegate_log::{Directory, Log, Options, StartAt};
//!
//! let log = Log::open(Arc::new(Directory::open(dir.path())?), Options::default())?;
//! let consumer = log.consumer("lake", StartAt::Oldest);
//!
//! let at = log.blocking_append(&[b"21.5"])?;
//! log.blocking_durable(at)?; // only now may the sender forget it
//!
//! let entry = consumer.cursor().blocking_next()?;
//! assert_eq!((entry.at, &entry.payload[..]), (at, &b"21.5"[..]));
//! consumer.advance(entry.next); // only now may the log forget it
//! # Ok(())
//! # }
//! ```

mod block_on;
mod consumer;
mod cursor;
mod disk;
mod error;
mod format;
mod log;
mod options;
mod position;
mod recent;
mod recover;
mod state;
mod usage;
mod watermarks;
mod writer;

#[cfg(feature = "sim")]
pub mod sim;

pub use consumer::{Consumer, Lag, StartAt};
pub use cursor::{Cursor, Entry};
pub use disk::{Directory, Disk, DiskFile};
pub use error::{AppendError, Closed, Corrupt, OpenError, ReadError};
pub use log::{CloseError, Log};
pub use options::Options;
pub use position::Position;
pub use usage::{Rate, Stall, Usage, in_words};
pub use writer::Writer;
