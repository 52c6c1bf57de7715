//! The mapping and filter language of data flows: lex, parse, check, evaluate.
//!
//! Paths say where values are ([`Path`], [`Input`], [`Output`]), formulas what is made of them ([`compile`],
//! [`Program`]), and [`Rules`] put the two together. [`Transform::compile`] reads and checks rules; a [`Transformer`]
//! applies them to messages. Complaints are byte ranges of the text that was given: this crate knows no files, does
//! no I/O, and panics on no input.
//!
//! ```
//! use std::sync::Arc;
//! use tidegate_expr::{MapRule, Message, Outcome, Rules, Semantics, Transform, Transformer};
//!
//! let fahrenheit = MapRule {
//!     inputs: vec!["temperature".into()],
//!     output: "temperature".into(),
//!     expression: Some("cToF($1)".into()),
//!     description: None,
//! };
//! let copy_all = MapRule { inputs: vec!["*".into()], output: "*".into(), ..MapRule::default() };
//! let rules = Rules { maps: vec![copy_all, fahrenheit], ..Rules::default() };
//! let (transform, warnings) = Transform::compile(rules, Semantics::default()).expect("the rules are correct");
//! assert!(warnings.is_empty());
//!
//! let mut transformer = Transformer::new(Arc::new(transform));
//! let payload = br#"{"temperature":100,"id":"a"}"#.as_slice().into();
//! let message = Message { payload: &payload, topic: "plant/a", properties: &Default::default() };
//! let Outcome::Pass(passed) = transformer.apply(message) else { panic!("nothing filters it") };
//! assert_eq!(passed.payload, r#"{"id":"a","temperature":212.0}"#);
//! ```

mod ast;
mod check;
mod compiler;
mod complaint;
mod dataset;
mod eval;
mod explain;
mod fast;
mod functions;
mod infer;
mod input;
mod json;
mod json_schema;
mod lexer;
mod map;
mod order;
mod parse;
mod passing;
mod path;
mod program;
mod rules;
mod scene;
mod shape;
mod transform;
mod transformer;
mod types;
mod value;
mod window;
mod witness;

pub use ast::Literal;
pub use check::{Env, Role, compile};
pub use compiler::DATASET_KEY_CHARS_MAX;
pub use complaint::{SyntaxError, Warning};
pub use dataset::{BadLine, Dataset};
pub use eval::{EvalError, TEXT_BYTES_MAX};
pub use explain::{Effect, Step};
pub use functions::{FUNCTIONS, Signature};
pub use infer::{Inferred, Write};
pub use input::{Host, Input, Output, parse_input, parse_output};
pub use json::{JSON_DEPTH_MAX, Json, JsonError, Object, parse_json};
pub use parse::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};
pub use path::{Fields, Metadata, PATH_SEGMENTS_MAX, Path, Segment, parse_path};
pub use program::Program;
pub use rules::{
    DatasetRule, FilterRule, FilterSemantics, Finding, MapRule, MissingInput, Part, Rules, Semantics,
    Specialization, Stage,
};
pub use scene::{LAST_VALUES_MAX, Message};
pub use shape::{Field, Kinds, Missing, Shape};
pub use transform::Transform;
pub use transformer::{Failure, Outcome, Passed, Transformer};
pub use value::{NotFinite, Operand, Value};
pub use window::{
    AccumulateRule, Boundary, Limit, TriggerRule, Window, WindowFailure, WindowFinding, WindowRule,
    WindowRules, Windower,
};
pub use witness::{Witness, Witnesses};
