//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(250);
/// Also the longest that a destination that is back has to wait for the spans.
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles from a quarter of a second to five seconds. Half of each wait is random, so that a fleet of programs
/// does not return to a collector all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        // Each `RandomState` has keys of its own: randomness enough here without a crate for it.
        let random = RandomState::new().hash_one(whole) as u32;
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_half_of_each_is_random() {
        let mut backoff = Backoff::new();
        let mut whole = FIRST;
        for _ in 0..10 {
            let wait = backoff.next();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
        assert_eq!(whole, LONGEST);
        let firsts: std::collections::HashSet<_> = (0..8).map(|_| Backoff::new().next()).collect();
        assert!(
            firsts.len() > 1,
            "eight programs would return at the same moment"
        );
    }
}
