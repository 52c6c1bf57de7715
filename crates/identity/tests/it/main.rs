//! Tokens from the services of Azure's various homes, which a double in `tidegate-testkit` plays.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod tokens;
