//! Sources and sinks against real brokers and scripted ones.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod conformance;
mod embedded;
mod later;
mod mosquitto;
mod scripted;
mod support;
mod tls;
mod tokens;
