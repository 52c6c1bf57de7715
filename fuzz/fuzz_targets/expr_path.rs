//! Paths of rules: what is read is printed and read again.
#![no_main]

#[path = "../../crates/expr/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|text: &str| driver::path(text));
