//! The time that the layer goes by: the machine's, or one that a test or a replay moves by hand.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

/// Moves along with the clock it is measured on, and never back.
pub(crate) type Time = Duration;

/// Something that has deadlines on a manual clock.
pub(crate) trait Alarms: Send + Sync {
    /// The earliest deadline.
    fn next_alarm(&self) -> Option<Time>;
    /// Deals with everything that is due at `now`.
    fn ring(&self, now: Time);
}

#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// Monotonic, counted from here.
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

    /// The wall clock's view of now. Read once a conversation: what follows in it counts from there monotonically, so
    /// that a wall clock that is set meanwhile bends no duration.
    pub(crate) fn wall(&self) -> SystemTime {
        match self {
            Self::System(_) => SystemTime::now(),
            Self::Manual(clock) => clock.wall(),
        }
    }
}

/// A clock that stands still until it is moved, for tests and replays.
///
/// A layer [on this clock](crate::LayerBuilder::clock) has no timer thread; what becomes due while the clock
/// is [advanced](Self::advance) happens during that call, in order, on the caller's thread.
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
    sleepers: Mutex<Vec<Weak<dyn Alarms>>>,
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl ManualClock {
    /// A clock that shows the start of 2025 (UTC).
    pub fn new() -> Self {
        Self::default()
    }

    /// The time it shows.
    pub fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600) + self.now()
    }

    /// Moves the clock on by `by`, letting everything happen that becomes due on the way.
    pub fn advance(&self, by: Duration) {
        let target = self.now().saturating_add(by);
        loop {
            let sleepers: Vec<_> = lock(&self.0.sleepers)
                .iter()
                .filter_map(Weak::upgrade)
                .collect();
            let next = sleepers
                .iter()
                .filter_map(|sleeper| sleeper.next_alarm())
                .min();
            let Some(next) = next.filter(|next| *next <= target) else {
                break;
            };
            let now = {
                let mut now = lock(&self.0.now);
                *now = next.max(*now);
                *now
            };
            for sleeper in sleepers {
                sleeper.ring(now);
            }
        }
        *lock(&self.0.now) = target;
    }

    pub(crate) fn now(&self) -> Time {
        *lock(&self.0.now)
    }

    pub(crate) fn wake(&self, sleeper: Weak<dyn Alarms>) {
        let mut sleepers = lock(&self.0.sleepers);
        sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        sleepers.push(sleeper);
    }
}

/// Locks; a panic elsewhere while the lock was held is no reason to join in.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
