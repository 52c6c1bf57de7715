//! Bicep: evaluating it ends, and every place that is named is in the text.
#![no_main]

#[path = "../../crates/template/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other target uses the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|text: &str| {
    driver::evaluate(text);
});
