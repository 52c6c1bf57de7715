//! Templates by the front door, without files: whatever the text, evaluating it ends, says something and never panics.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod driver;
mod fuzz;
mod language;
