//! Says, through `tracing` and at most once a period, that spans are held up or were lost.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tracing::{Dispatch, dispatcher::WeakDispatch, warn};

use super::queue::Queue;

const PERIOD: Duration = Duration::from_secs(60);

/// Speaks for one worker; clones speak to the same subscriber.
///
/// Workers run without a subscriber, so that nothing they do is traced. What they have to say goes to the
/// subscriber that the layer was installed in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reporter {
    subscriber: Arc<OnceLock<WeakDispatch>>,
    said_at: Option<Instant>,
    said_lost: u64,
}

impl Reporter {
    /// Reports go here from now on. The first call counts.
    pub(crate) fn speak_to(&self, subscriber: &Dispatch) {
        // A second subscriber with the same layer would only hear everything twice.
        let _ = self.subscriber.set(subscriber.downgrade());
    }

    /// Says that spans cannot leave for the moment, or what was lost since the last report; else nothing.
    pub(crate) fn report(&mut self, queue: &Queue, held_up: bool) {
        let counts = queue.counts();
        let lost = counts.lost() - self.said_lost;
        let too_soon = self.said_at.is_some_and(|at| at.elapsed() < PERIOD);
        if too_soon || (lost == 0 && !held_up) {
            return;
        }
        let Some(subscriber) = self.subscriber.get().and_then(WeakDispatch::upgrade) else {
            return;
        };
        self.said_at = Some(Instant::now());
        self.said_lost = counts.lost();
        let message = if held_up {
            "spans cannot be delivered and are kept for another try"
        } else {
            "spans were lost"
        };
        tracing::dispatcher::with_default(&subscriber, || {
            warn!(
                destination = counts.destination,
                lost,
                waiting = counts.waiting,
                dropped_queue_full = counts.dropped_queue_full,
                rejected = counts.rejected,
                failed = counts.failed,
                problem = counts.last_problem,
                "{message}",
            );
        });
    }
}
