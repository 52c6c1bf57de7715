//! A client and a server that do as a script of bytes says, on a connection that breaks and lies.
#![no_main]

#[path = "../../crates/mqtt/tests/it/driver.rs"]
#[expect(dead_code, reason = "the other target uses the rest")]
mod driver;

libfuzzer_sys::fuzz_target!(|script: &[u8]| driver::drive(script));
