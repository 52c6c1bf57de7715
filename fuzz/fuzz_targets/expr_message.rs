//! An input and an output of a rule, a line each, and a message: the fast path and the interpreter agree.
#![no_main]

#[path = "../../crates/expr/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (input, output) = (text(), text());
    driver::message(input, output, lines.next().unwrap_or_default());
});
