//! One running instance: the local broker, the data flows and the control API, wired together.
//!
//! It prints nothing and reads no resource files: it is given a catalog and says through the API how it is.

mod api;
mod connectors;
mod data_dir;
mod gateway;
mod http;
mod message;

pub use data_dir::{DataDir, DataDirError};
pub use gateway::{Gateway, LocalBrokerOptions, Options, StartError};
