//! The language from outside. The `spec_` modules are the documented behaviour case by case, numbered as in the
//! project's digest of AIO's documentation; a `*` behind the number marks a choice where the documentation is silent.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod driver;
mod formulas;
mod fuzz;
mod laws;
mod oracle;
mod paths;
mod shapes;
mod spec_cases;
mod spec_filters;
mod spec_maps;
mod spec_values;
mod spec_windows;
mod support;
