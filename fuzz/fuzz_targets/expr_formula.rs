//! A formula, and on the next line a message to compute it for.
#![no_main]

#[path = "../../crates/expr/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (formula, message) = text.split_once('\n').unwrap_or((text, ""));
    driver::formula(formula, message);
    driver::window(formula, message.as_bytes());
});
