//! One running instance: the local broker, the data flows and the control API, wired together.
//!
//! It prints nothing and reads no files but those of its data directory: it is given texts and says through the API how
//! it is.

mod api;
mod broker_config;
mod broker_metrics;
mod connectors;
mod credentials;
mod data_dir;
mod dead_letters;
pub mod diagnostics;
pub mod doctor;
mod gateway;
mod http;
mod http_access;
mod http_broker;
mod http_dead_letters;
mod http_input;
mod http_reference;
mod http_resources;
mod http_services;
mod http_status;
mod http_tap;
mod http_try;
pub mod message;
pub mod offline;
mod resources;
mod services;
mod simulator;
mod ui;

pub use data_dir::{DataDir, DataDirError};
pub use gateway::{
    Compression, Durability, Gateway, Idle, InstanceOf, LocalBrokerOptions, Options, Resources, StartError,
    StorageOptions,
};
pub use http_access::{ApiToken, BadToken};
pub use simulator::Thermostat;
