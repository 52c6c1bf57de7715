//! Runs data flows: one [pipeline](self) for each instance of a flow, and a [`Supervisor`] that makes what runs equal
//! to what is said.
//!
//! A flow whose [`Connectors`] give it a spool is two pipelines with a durable log between them.
//!
//! It names no connector: sources and sinks come from the [`Connectors`] it is given.

mod backoff;
mod deliver;
mod health;
mod ledger;
mod metrics;
mod pipeline;
mod spool;
mod steps;
mod supervisor;
mod tap;

pub use health::{Health, HealthStatus};
pub use ledger::Ledger;
pub use metrics::Metrics;
pub use spool::{SPOOL_BYTES_MIN, SpoolOptions, SpoolReport};
pub use steps::DatasetState;
pub use supervisor::{
    Connectors, DeadLetter, FlowReport, FlowState, InstanceReport, NotReplayed, Supervisor, SupervisorOptions,
};
pub use tap::{Stage, Tap, Tapped};
