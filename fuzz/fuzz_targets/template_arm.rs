//! The text of a property in an ARM template, expressions included.
#![no_main]

#[path = "../../crates/template/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other target uses the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|text: &str| {
    driver::evaluate_arm(text);
});
