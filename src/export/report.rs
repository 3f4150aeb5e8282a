//! Reports, through `tracing` and at most once a period, that spans are held up or were lost, or that metrics were not sent.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tracing::{Dispatch, dispatcher::WeakDispatch, warn};

use super::queue::{Delivered, Queue};

const PERIOD: Duration = Duration::from_secs(60);

/// The reports of one worker; clones report to the same subscriber.
///
/// A report goes to the subscriber that the layer was installed in, which need not be the global one. The layer itself
/// ignores it, since the export thread is silenced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reporter {
    subscriber: Arc<OnceLock<WeakDispatch>>,
    said_at: Option<Instant>,
    said_restart_at: Option<Instant>,
    said_lost: u64,
}

impl Reporter {
    /// Reports go here from now on. The first call counts.
    pub(crate) fn speak_to(&self, subscriber: &Dispatch) {
        // A second subscriber with the same layer would only get every report twice.
        let _ = self.subscriber.set(subscriber.downgrade());
    }

    /// Reports that spans cannot be sent for the moment, or what was lost since the last report, if either is so.
    pub(crate) fn report(&mut self, queue: &Queue, held_up: bool) {
        let counts = queue.counts();
        let lost = counts.lost() - self.said_lost;
        if lost == 0 && !held_up {
            return;
        }
        let message = if held_up && counts.exported == 0 && counts.destination.starts_with("http") {
            "spans cannot be delivered and are kept for another try; if there is no collector, \
             OTEL_CONSOLE_EXPORT=tree shows turns in the terminal"
        } else if held_up {
            "spans cannot be delivered and are kept for another try"
        } else {
            "spans were lost"
        };
        if self.due(self.said_at) && self.warn(&counts, message) {
            self.said_at = Some(Instant::now());
        }
    }

    /// Reports that the export thread panicked and was started again.
    pub(crate) fn report_restart(&mut self, queue: &Queue) {
        if self.due(self.said_restart_at) {
            // Before the subscriber runs, which may be what panics.
            self.said_restart_at = Some(Instant::now());
            self.warn(
                &queue.counts(),
                "the export thread panicked and was restarted",
            );
        }
    }

    /// Reports that metrics could not be sent. With cumulative ones nothing is lost as long as a later export succeeds.
    #[cfg(feature = "metrics")]
    pub(crate) fn report_metrics(&mut self, destination: &str, problem: &str) {
        if !self.due(self.said_at) {
            return;
        }
        if let Some(subscriber) = self.subscriber.get().and_then(WeakDispatch::upgrade) {
            // Before the subscriber runs, which may panic.
            self.said_at = Some(Instant::now());
            tracing::dispatcher::with_default(&subscriber, || {
                warn!(destination, problem, "metrics cannot be delivered");
            });
        }
    }

    fn due(&self, said_at: Option<Instant>) -> bool {
        said_at.is_none_or(|at| at.elapsed() >= PERIOD)
    }

    /// Whether there was a subscriber to warn.
    fn warn(&mut self, counts: &Delivered, message: &str) -> bool {
        let Some(subscriber) = self.subscriber.get().and_then(WeakDispatch::upgrade) else {
            return false;
        };
        let lost = counts.lost() - self.said_lost;
        self.said_lost = counts.lost();
        tracing::dispatcher::with_default(&subscriber, || {
            warn!(
                destination = counts.destination,
                lost,
                waiting = counts.waiting,
                dropped_queue_full = counts.dropped_queue_full,
                rejected = counts.rejected,
                failed = counts.failed,
                restarts = counts.restarts,
                problem = counts.last_problem,
                "{message}",
            );
        });
        true
    }
}
