//! The built binary as users run it, with real peers: Mosquitto as another broker, and its command-line clients.
//!
//! Nothing here knows the product's code; the clients speak MQTT packet by packet.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod adx;
mod api;
mod apply;
mod article;
mod bridge;
mod client;
mod durability;
mod event_hubs;
mod gateway;
mod haul;
mod instances;
mod kafka;
mod lake;
mod lake_one_lake;
mod operation;
mod outages;
mod quickstart;
mod spools;
mod transformations;
mod troubles;
mod ui;
