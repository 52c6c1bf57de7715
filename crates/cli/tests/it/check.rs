//! `check` and `explain`.
