//! The codec and the machines on random scripts, for a bounded number of them or for `TIDEGATE_FUZZ_SECONDS`.

use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::driver;

/// Scripts that a run without `TIDEGATE_FUZZ_SECONDS` takes, always the same.
const SCRIPTS: u64 = 1000;

fn fuzz(bytes_max: usize, run: impl Fn(&[u8])) {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut number = match end {
        None => 0,
        // A long run is to find what the last one did not.
        Some(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    let mut left = SCRIPTS;
    while end.map_or(left > 0, |end| Instant::now() < end) {
        let mut seed = [1; 16];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
        let mut script = vec![0; rng.next_u32() as usize % bytes_max];
        rng.fill_bytes(&mut script);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&script)));
        assert!(result.is_ok(), "script {number} fails");
        number = number.wrapping_add(1);
        left = left.saturating_sub(1);
    }
}

#[test]
fn fuzz_decode() {
    fuzz(64, driver::decode_anything);
}

#[test]
fn fuzz_sessions() {
    fuzz(600, driver::drive);
}
