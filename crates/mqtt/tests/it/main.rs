//! Tests of the codec and the machines through their public interface.
#![allow(clippy::unwrap_used, reason = "this is all tests")]

mod codec;
mod driver;
mod flow;
mod fuzz_sessions;
mod machines;
mod oracle;
mod packets;
