//! The broker as its clients see it: packets over streams in this process with the clock stopped, and real sockets where
//! the transport is the point.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

mod access;
mod chaos;
mod client;
mod connect;
mod honesty;
mod link;
mod publish;
mod session;
mod transport;
