//! The mapping and filter language of data flows: lex, parse, check, evaluate.
//!
//! Paths say where values are ([`Path`], [`Input`], [`Output`]), formulas what is made of them ([`compile`],
//! [`Program`]). Complaints are byte ranges of the text that was given: this crate knows no files.

mod ast;
mod check;
mod complaint;
mod functions;
mod input;
mod lexer;
mod parse;
mod path;
mod program;
mod types;

pub use ast::Literal;
pub use check::{Env, Role, compile};
pub use complaint::{SyntaxError, Warning};
pub use functions::{FUNCTIONS, Signature};
pub use input::{Host, Input, Output, parse_input, parse_output};
pub use parse::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};
pub use path::{Fields, Metadata, PATH_SEGMENTS_MAX, Path, Segment, parse_path};
pub use program::Program;
