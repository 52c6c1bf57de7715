//! Sinks on a store that fails, and rows of any schema.

mod faults;
mod rows;

use proptest::test_runner::Config;
use tidegate_model::schema::{DeltaField, DeltaType};

fn field(name: &str, data_type: DeltaType, nullable: bool) -> DeltaField {
    DeltaField { name: name.into(), data_type, nullable }
}

/// So many cases, or as many as `PROPTEST_CASES` says.
fn cases(cases: u32) -> Config {
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    Config { cases, failure_persistence: None, ..default }
}
