//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(250);
/// The longest wait in an outage of up to [`SHORT_OUTAGE`]. Also how long a destination that is back waits for spans,
/// while the queue goes on filling.
const LONGEST: Duration = Duration::from_secs(1);
const SHORT_OUTAGE: Duration = Duration::from_secs(60);
/// The longest wait in an outage that lasts.
const LONGEST_IN_A_LONG_OUTAGE: Duration = Duration::from_secs(5);

/// Doubles from a quarter of a second to one second, after a minute to five. Half of each wait is random, so that a fleet
/// of programs does not return to a collector all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait in an outage that has lasted so long.
    pub(crate) fn next(&mut self, outage: Duration) -> Duration {
        let longest = if outage < SHORT_OUTAGE {
            LONGEST
        } else {
            LONGEST_IN_A_LONG_OUTAGE
        };
        let whole = self.next.min(longest);
        self.next = (whole * 2).min(longest);
        // Each `RandomState` has keys of its own: randomness enough here without a crate for it.
        let random = RandomState::new().hash_one(whole) as u32;
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_one_second_then_to_five_and_half_of_each_is_random() {
        let mut backoff = Backoff::new();
        for (outage, wholes) in [
            (Duration::ZERO, [0.25, 0.5, 1.0, 1.0, 1.0]),
            (SHORT_OUTAGE, [1.0, 2.0, 4.0, 5.0, 5.0]),
        ] {
            for whole in wholes.map(Duration::from_secs_f64) {
                let wait = backoff.next(outage);
                assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
            }
        }
        let first = || Backoff::new().next(Duration::ZERO);
        let firsts: std::collections::HashSet<_> = (0..8).map(|_| first()).collect();
        assert!(
            firsts.len() > 1,
            "eight programs would return at the same moment"
        );
    }
}
