//! Deadlines from durations that come from outside: settings, and what servers send.

use std::time::{Duration, Instant};

/// `Instant + Duration` panics on overflow; a longer duration means "without end".
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// `from + after`, at most 30 years ahead.
pub(crate) fn deadline(from: Instant, after: Duration) -> Instant {
    from + after.min(FAR)
}

/// Time left until `deadline`.
pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_saturates() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(deadline(now, second), now + second);
        assert_eq!(deadline(now, Duration::MAX), now + FAR);
    }
}
