//! Text to typed, resolved and checked resources: the model of data flows, profiles and endpoints.
//!
//! Three stages: a file becomes a tree of nodes with spans, the tree becomes typed resources, and the
//! resources together become [plans](plan) that can't be invalid. No I/O, no tokio, no panic on any input.

pub mod endpoint;
pub mod names;
pub mod plan;
pub mod topic;
