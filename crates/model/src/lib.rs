//! Text to typed, resolved and checked resources: the model of data flows, profiles and endpoints.
//!
//! Three stages: a file becomes a tree of nodes with spans, the tree becomes typed resources, and the
//! resources together become [plans](plan) that can't be invalid. No I/O, no tokio, no panic on any input.

pub mod broker;
pub mod cases;
mod catalog;
mod check;
pub mod codes;
mod columns;
mod comments;
mod content;
mod conversion;
mod credentials;
mod dataflow;
pub mod endpoint;
mod field;
mod json;
mod load;
mod manifest;
pub mod names;
pub mod node;
mod placeholder;
pub mod plan;
mod problems;
pub mod profile;
mod proof;
pub mod reference;
mod resource;
pub mod schema;
mod secrecy;
pub mod simulator;
mod template;
pub mod topic;
mod transform;
mod value;
mod yaml;

pub use catalog::{Catalog, Dataflow, DataflowState, Outline, ResourceId};
pub use comments::{Comment, comments};
pub use content::missing_files;
pub use load::{LoadOptions, documents_as_json, load};
pub use manifest::{Manifest, manifests, plain_files};
pub use resource::Kind;
