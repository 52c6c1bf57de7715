//! Message schemas (AIO: Understand message schemas): what they are called, what they look like, where they are kept,
//! how programs get them, and how one is made from samples.

mod delta;
mod document;
mod generate;
mod names;
mod registry;
mod service;

pub use delta::{DeltaField, DeltaSchema, DeltaType};
pub use document::{ContentError, Document};
pub use generate::{GenerateError, GenerateOptions, Generated, Json, generate};
pub use names::{Format, SchemaName, SchemaRef, SchemaVersion};
pub use registry::{OpenError, PutError, RegistryLimits, Schema, SchemaDescription, SchemaRegistry};
pub use service::{GET_TOPIC, PUT_TOPIC};
