//! The services as programs use them: in the process, and over the broker.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod client;
mod in_process;
mod schema_registry;
mod state_store;
