//! The state store: keys and values that clients share by MQTT request and response (AIO: State store protocol).
//!
//! `store` is the protocol as a state machine without I/O; `storage` keeps what it holds; `task` owns both, for
//! [`StateStore`] handles in this process and for the clients of a broker.

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
