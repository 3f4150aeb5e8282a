//! Flushing with a time limit, which the SDK's provider does not know.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use crate::{export::deadline::left, silence::silence_this_thread};

/// Flushes on a thread that exists only while somebody waits or has waited for it: one at most.
#[derive(Clone, Default)]
pub(super) struct Flusher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    flushes: Mutex<Flushes>,
    done: Condvar,
}

#[derive(Default)]
struct Flushes {
    asked: u64,
    done: u64,
    is_running: bool,
}

impl Flusher {
    /// Starts a flush, which is done once [`wait`](Self::wait) returns `true` for what this returns.
    pub(super) fn start(&self, flush: impl Fn() + Send + 'static) -> u64 {
        let mut flushes = self.0.flushes();
        flushes.asked += 1;
        if !flushes.is_running {
            let shared = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("metrics-flush".into());
            let started = thread.spawn(move || {
                let _silenced = silence_this_thread();
                shared.run(&flush);
            });
            // Without a thread, whoever waits does so in vain, and learns that it was not done.
            flushes.is_running = started.is_ok();
        }
        flushes.asked
    }

    /// Waits for a flush. Returns whether it was done in time.
    pub(super) fn wait(&self, flush: u64, deadline: Instant) -> bool {
        let flushes = self.0.flushes();
        let (flushes, _) = self
            .0
            .done
            .wait_timeout_while(flushes, left(deadline), |flushes| flushes.done < flush)
            .unwrap_or_else(PoisonError::into_inner);
        flushes.done >= flush
    }
}

impl Shared {
    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, flush: &impl Fn()) {
        let mut flushes = self.flushes();
        while flushes.done < flushes.asked {
            let asked = flushes.asked;
            drop(flushes);
            flush();
            flushes = self.flushes();
            flushes.done = asked;
            self.done.notify_all();
        }
        flushes.is_running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    #[test]
    fn flush_that_hangs_is_waited_for_until_the_deadline_and_starts_no_second_thread() {
        let flusher = Flusher::default();
        let (started, starts) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let first = flusher.start(move || {
            started.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        });
        starts.recv().unwrap();
        assert!(!flusher.wait(first, Instant::now()));
        // Comes after the first, which may have collected before what this one is to flush.
        let second = flusher.start(|| panic!("a second thread"));
        release.send(()).unwrap();
        let later = Instant::now() + Duration::from_secs(20);
        assert!(flusher.wait(first, later));
        starts.recv().unwrap();
        release.send(()).unwrap();
        assert!(flusher.wait(second, later));
    }
}
