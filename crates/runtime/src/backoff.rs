use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// First wait after something that may pass by itself.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// First wait after something that somebody has to change.
const REFUSED_FIRST: Duration = Duration::from_secs(5);
/// Longest such wait.
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// How long to wait before the next try: doubled each time up to a limit, with jitter, so that many gateways that lost
/// one broker don't come back at one instant.
pub(crate) struct Backoff {
    tries: u32,
    random: SmallRng,
}

/// What the last try said.
#[derive(Clone, Copy)]
pub(crate) enum Hope {
    /// It may pass by itself.
    Soon,
    /// Somebody has to change something.
    Distant,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { tries: 0, random: SmallRng::seed_from_u64(seed) }
    }

    /// The next wait: half of the doubled time for certain, the other half at random.
    pub(crate) fn next(&mut self, hope: Hope) -> Duration {
        let (first, max) = match hope {
            Hope::Soon => (RETRY_FIRST, RETRY_MAX),
            Hope::Distant => (REFUSED_FIRST, REFUSED_MAX),
        };
        let full = first.saturating_mul(1 << self.tries.min(16)).min(max);
        self.tries = self.tries.saturating_add(1);
        full / 2 + full.mul_f64(self.random.random_range(0.0..0.5))
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let mut b = Backoff::new(1);
        let waits: Vec<_> = (0..40).map(|_| b.next(Hope::Soon)).collect();
        assert!(waits[0] >= RETRY_FIRST / 2 && waits[0] < RETRY_FIRST);
        assert!(waits[3] >= RETRY_FIRST * 4 && waits[3] < RETRY_FIRST * 8);
        assert!(waits.iter().all(|w| *w < RETRY_MAX));
        assert!(*waits.last().unwrap() >= RETRY_MAX / 2);
        b.reset();
        assert!(b.next(Hope::Distant) >= REFUSED_FIRST / 2);
    }
}
