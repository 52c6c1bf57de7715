//! The state store: keys and values that clients share by MQTT request and response (AIO: State store protocol).
//!
//! [`Store`](store) is the protocol as a state machine; everything around it moves bytes.

mod glob;
mod handle;
mod hlc;
mod observers;
mod reply;
mod request;
mod resp3;
mod service;
mod storage;
mod store;
mod task;

pub use handle::{Options, SetOptions, StateStore, StateStoreError, Versioned, Watch};
pub use hlc::{Hlc, MalformedHlc};
pub use request::{Condition, RequestError};
pub use service::REQUEST_TOPIC;
pub use storage::{Disk, Memory, Saved, Storage, StorageError};
pub use store::{Entry, Limits};
