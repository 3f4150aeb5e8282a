//! The layer's clock: the system's, or one that a test or a replay advances manually.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

/// Monotonic time since the clock's origin.
pub(crate) type Time = Duration;

/// Something with deadlines on a manual clock.
pub(crate) trait DeadlineQueue: Send + Sync {
    /// Returns the earliest deadline.
    fn next_deadline(&self) -> Option<Time>;
    /// Handles every deadline that is due at `now`.
    fn expire(&self, now: Time);
}

#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// Monotonic, counted from this origin.
    System(Instant),
    Manual(ManualClock),
}

impl Default for Clock {
    fn default() -> Self {
        Self::System(Instant::now())
    }
}

impl Clock {
    #[inline]
    pub(crate) fn now(&self) -> Time {
        match self {
            Self::System(origin) => origin.elapsed(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Returns the wall-clock time. Read once a conversation; later times are computed from it monotonically, so that
    /// adjusting the system clock does not change a duration.
    pub(crate) fn wall(&self) -> SystemTime {
        match self {
            Self::System(_) => SystemTime::now(),
            Self::Manual(clock) => clock.wall(),
        }
    }
}

/// A clock that moves only when it is advanced, for tests and replays.
///
/// A layer [on this clock](crate::LayerBuilder::clock) has no timer thread; deadlines that become due while the clock
/// is [advanced](Self::advance) are handled during that call, in order, on the caller's thread.
///
/// ```
/// use std::time::Duration;
/// use tracing_conversation::ManualClock;
///
/// let clock = ManualClock::new();
/// let before = clock.wall();
/// clock.advance(Duration::from_millis(1_500));
/// assert_eq!(clock.wall(), before + Duration::from_millis(1_500));
/// ```
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Inner>);

#[derive(Default)]
struct Inner {
    now: Mutex<Time>,
    queues: Mutex<Vec<Weak<dyn DeadlineQueue>>>,
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl ManualClock {
    /// Creates a clock at the start of 2025 (UTC).
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the wall-clock time.
    pub fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600) + self.now()
    }

    /// Advances the clock by `by` and handles the deadlines that become due. It goes no further than a hundred years from
    /// its start: beyond, times cannot be represented everywhere that spans go.
    pub fn advance(&self, by: Duration) {
        const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);
        let target = self.now().saturating_add(by).min(LONGEST);
        loop {
            let queues: Vec<_> = lock(&self.0.queues)
                .iter()
                .filter_map(Weak::upgrade)
                .collect();
            let next = queues
                .iter()
                .filter_map(|queue| queue.next_deadline())
                .min();
            let Some(next) = next.filter(|next| *next <= target) else {
                break;
            };
            let now = {
                let mut now = lock(&self.0.now);
                *now = next.max(*now);
                *now
            };
            for queue in queues {
                queue.expire(now);
            }
        }
        *lock(&self.0.now) = target;
    }

    pub(crate) fn now(&self) -> Time {
        *lock(&self.0.now)
    }

    pub(crate) fn register(&self, queue: Weak<dyn DeadlineQueue>) {
        let mut queues = lock(&self.0.queues);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(queue);
    }
}

/// Locks `mutex`, ignoring poisoning: a panic elsewhere must not spread.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_advanced_by_any_duration_has_a_wall_time() {
        let clock = ManualClock::new();
        let before = clock.wall();
        for by in [Duration::from_secs(1 << 40), Duration::MAX, Duration::MAX] {
            clock.advance(by);
            assert!(clock.wall() > before);
        }
    }
}
