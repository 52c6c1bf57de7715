//! Tests of the model by its front door: text in, diagnostics, catalog and plans out.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod article;
mod cases;
mod corpus;
mod data;
mod endpoints;
mod explained;
mod flows;
mod forms;
mod fuzz;
mod plans;
mod reference;
mod resources;
mod shapes;
mod support;
mod syntax;
mod templates;
