//! Bytes from anyone: nothing panics, and what is taken for a packet can be written and read again.
#![no_main]

#[path = "../../crates/mqtt/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other target uses the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|data: &[u8]| driver::decode_anything(data));
