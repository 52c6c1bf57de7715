//! Sink and source from outside, against librdkafka's own mock of a cluster, which refuses and fails when told to, and,
//! where that has no idea, against a real Apache Kafka.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod oauthbearer;
mod sink;
mod source;
mod support;
