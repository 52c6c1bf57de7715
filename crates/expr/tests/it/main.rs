//! The language from outside.

mod formulas;
mod paths;
