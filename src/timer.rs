//! Deadlines: one small thread that sleeps until the next, and is gone when its owner is.
//!
//! A deadline only says when to look again. Whoever is looked at decides by the clock whether anything is due, so a
//! deadline that was overtaken needs no cancelling.

use crate::clock::{Clock, DeadlineQueue, Time, lock};
use crate::silence::silence_this_thread;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

/// Looked at when its deadline has come.
pub(crate) trait Due: Send + Sync {
    /// Does what is due at `now`, and gives the next deadline.
    fn check(self: Arc<Self>, now: Time) -> Option<Time>;
}

pub(crate) struct Timer {
    deadlines: Arc<Deadlines>,
}

struct Deadlines {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    deadlines: BinaryHeap<Reverse<Deadline>>,
    running: bool,
    stopped: bool,
}

struct Deadline {
    at: Time,
    whose: Weak<dyn Due>,
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Deadline {}
impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        let deadlines = Arc::new(Deadlines {
            clock,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        if let Clock::Manual(clock) = &deadlines.clock {
            let queue: Arc<dyn DeadlineQueue> = deadlines.clone();
            clock.register(Arc::downgrade(&queue));
        }
        Self { deadlines }
    }

    /// Has `whose` looked at when the clock shows `at`.
    pub(crate) fn set(&self, at: Time, whose: Weak<dyn Due>) {
        let mut state = lock(&self.deadlines.state);
        let earliest = state
            .deadlines
            .peek()
            .is_none_or(|Reverse(first)| at < first.at);
        state.deadlines.push(Reverse(Deadline { at, whose }));
        if let Clock::Manual(_) = self.deadlines.clock {
            return;
        }
        if !state.running {
            // Where no thread can be had, what is due happens with the next event instead: late, but not wrong.
            let deadlines = self.deadlines.clone();
            let thread = std::thread::Builder::new().name("conversation-timer".into());
            state.running = thread.spawn(move || deadlines.run()).is_ok();
        } else if earliest {
            self.deadlines.changed.notify_one();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.deadlines.state).deadlines.is_empty()
    }

    #[cfg(test)]
    fn is_running(&self) -> bool {
        lock(&self.deadlines.state).running
    }

    /// Ends its thread.
    pub(crate) fn stop(&self) {
        lock(&self.deadlines.state).stopped = true;
        self.deadlines.changed.notify_one();
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Deadlines {
    fn run(&self) {
        // What samplers and processors emit here is not the program's work.
        let _silenced = silence_this_thread();
        let mut state = lock(&self.state);
        while !state.stopped {
            let now = self.clock.now();
            match state.deadlines.peek().map(|Reverse(first)| first.at) {
                None => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                Some(at) if at > now => {
                    state = match self.changed.wait_timeout(state, at - now) {
                        Ok((state, _)) => state,
                        Err(poisoned) => poisoned.into_inner().0,
                    };
                }
                Some(_) => {
                    drop(state);
                    self.expire(now);
                    state = lock(&self.state);
                }
            }
        }
        state.running = false;
    }
}

impl DeadlineQueue for Deadlines {
    fn next_deadline(&self) -> Option<Time> {
        lock(&self.state)
            .deadlines
            .peek()
            .map(|Reverse(first)| first.at)
    }

    fn expire(&self, now: Time) {
        loop {
            let due = {
                let mut state = lock(&self.state);
                match state.deadlines.peek() {
                    Some(Reverse(first)) if first.at <= now && !state.stopped => {
                        state.deadlines.pop()
                    }
                    _ => return,
                }
            };
            let Some(Reverse(Deadline { whose, .. })) = due else {
                return;
            };
            let Some(due) = whose.upgrade() else { continue };
            // A span processor of the program that panics here must not take the timer with it.
            let look = std::panic::AssertUnwindSafe(|| due.check(now));
            if let Ok(Some(next)) = std::panic::catch_unwind(look) {
                // Strictly later, or a deadline that is never met would ring forever.
                let at = next.max(now + Time::from_nanos(1));
                lock(&self.state)
                    .deadlines
                    .push(Reverse(Deadline { at, whose }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    struct Told(Mutex<mpsc::Sender<Time>>);
    impl Due for Told {
        fn check(self: Arc<Self>, now: Time) -> Option<Time> {
            lock(&self.0).send(now).unwrap();
            None
        }
    }

    #[test]
    fn a_deadline_rings_without_anybody_asking_and_the_thread_goes_with_its_owner() {
        let clock = Clock::System(Instant::now());
        let timer = Timer::new(clock.clone());
        assert!(!timer.is_running(), "no thread before the first deadline");
        let (tell, told) = mpsc::channel();
        let due: Arc<dyn Due> = Arc::new(Told(Mutex::new(tell)));
        let at = clock.now() + Duration::from_millis(5);
        timer.set(at, Arc::downgrade(&due));
        let rang = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(rang >= at);
        assert!(timer.is_running());
        let deadlines = Arc::downgrade(&timer.deadlines);
        drop(timer);
        let given_up = Instant::now() + Duration::from_secs(20);
        while deadlines.strong_count() > 0 {
            assert!(Instant::now() < given_up, "the timer thread did not go");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_manual_clock_rings_in_order_on_the_callers_thread() {
        struct Again(AtomicUsize);
        impl Due for Again {
            fn check(self: Arc<Self>, now: Time) -> Option<Time> {
                let times = self.0.fetch_add(1, Ordering::SeqCst) + 1;
                (times < 3).then(|| now + Duration::from_secs(1))
            }
        }
        let clock = crate::ManualClock::new();
        let timer = Timer::new(Clock::Manual(clock.clone()));
        let again = Arc::new(Again(AtomicUsize::new(0)));
        let due: Arc<dyn Due> = again.clone();
        timer.set(Duration::from_secs(1), Arc::downgrade(&due));
        clock.advance(Duration::from_millis(1_999));
        assert_eq!(again.0.load(Ordering::SeqCst), 1);
        clock.advance(Duration::from_secs(5));
        assert_eq!(again.0.load(Ordering::SeqCst), 3);
        assert!(!timer.is_running());
    }
}
