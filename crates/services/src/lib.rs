//! The state store and the schema registry that AIO's broker and cluster have: for programs beside it, over MQTT, and
//! for this process.
//!
//! Nothing here knows what a data flow is.

mod rpc;
pub mod schema_registry;
pub mod state_store;
