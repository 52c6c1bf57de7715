//! Message schemas (AIO: Understand message schemas): where they are kept, how programs get them, and how one is made
//! from samples. What a schema document says is [`tidegate_model::schema`]'s to know.

mod generate;
mod names;
mod registry;
mod service;

pub use generate::{GenerateError, GenerateOptions, Generated, Json, generate};
pub use names::{SchemaName, SchemaVersion};
pub use registry::{OpenError, PutError, RegistryLimits, Schema, SchemaDescription, SchemaRegistry};
pub use service::{GET_TOPIC, PUT_TOPIC};
