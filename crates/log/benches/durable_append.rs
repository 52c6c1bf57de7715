//! Records per second with group commit, and the latency of a durable append alone.
fn main() {}
