//! The end of the chain of span processors: each finished span goes to every destination.

use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span, SpanData, SpanProcessor},
};

use super::{Delivered, Worker, deadline::deadline};

/// A `SpanProcessor` that queues spans for its workers.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    workers: Vec<Worker>,
    /// How long `force_flush` and a plain `shutdown` may take.
    patience: Duration,
    /// The process that the workers' threads run in.
    process: u32,
}

impl Delivery {
    pub(crate) fn new(workers: Vec<Worker>, patience: Duration) -> Self {
        Self {
            workers,
            patience,
            process: std::process::id(),
        }
    }

    pub(crate) fn counts(&self) -> Vec<Delivered> {
        self.workers.iter().map(Worker::counts).collect()
    }

    /// Whether this is a copy that `fork` made, where the threads do not exist and locks may be held for ever. What is queued
    /// is the parent's to send.
    pub(crate) fn is_forked_copy(&self) -> bool {
        std::process::id() != self.process
    }

    /// Waits until everything queued so far is sent or lost. The error names what is lost or still queued.
    pub(crate) fn flush_within(&self, patience: Duration) -> Result<(), String> {
        if self.is_forked_copy() {
            return Ok(());
        }
        let deadline = deadline(Instant::now(), patience);
        let before = self.counts();
        // All are asked before any is waited for: a slow one must not use up the time of the others.
        let targets: Vec<u64> = self
            .workers
            .iter()
            .map(|worker| worker.queue.start_flush())
            .collect();
        let mut problems = Vec::new();
        for ((worker, target), before) in self.workers.iter().zip(targets).zip(before) {
            let in_time = worker.queue.wait_settled(target, deadline);
            let now = worker.counts();
            let lost = now.rejected + now.failed - before.rejected - before.failed;
            if !in_time || lost > 0 {
                problems.push(problem(&now, lost));
            }
        }
        verdict(problems)
    }

    /// Sends what is queued and ends the threads by `deadline`. The error counts every span lost since the start.
    pub(crate) fn close_by(&self, deadline: Instant) -> Result<(), String> {
        if self.is_forked_copy() {
            return Ok(());
        }
        let now = Instant::now();
        // The workers stop a little earlier, so that there is time to collect their results.
        let stop = now + deadline.saturating_duration_since(now).mul_f64(0.95);
        for worker in &self.workers {
            worker.queue.close(stop);
        }
        let mut problems = Vec::new();
        for worker in &self.workers {
            let in_time = worker.queue.wait_closed(deadline);
            let counts = worker.counts();
            if !in_time || counts.lost() > 0 {
                problems.push(problem(&counts, counts.lost()));
            }
        }
        verdict(problems)
    }
}

impl SpanProcessor for Delivery {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if let Some((last, others)) = self.workers.split_last() {
            for worker in others {
                worker.queue.push(span.clone());
            }
            last.queue.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush_within(self.patience)
            .map_err(OTelSdkError::InternalFailure)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        // The provider's drop shuts down once more: whoever was waited for is not waited for again.
        if self.is_forked_copy() {
            return Ok(());
        }
        let closing = |worker: &Worker| worker.queue.closing().is_some();
        let timeout = if self.workers.iter().all(closing) {
            Duration::ZERO
        } else {
            timeout
        };
        self.close_by(deadline(Instant::now(), timeout))
            .map_err(OTelSdkError::InternalFailure)
    }
}

fn problem(counts: &Delivered, lost: u64) -> String {
    let Delivered {
        destination,
        waiting,
        last_problem,
        ..
    } = counts;
    let why = last_problem.as_deref().unwrap_or("out of time");
    format!("{destination}: {lost} spans lost, {waiting} still waiting ({why})")
}

fn verdict(problems: Vec<String>) -> Result<(), String> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Limits;
    use crate::export::{Answer, Reporter, Sink};

    /// Never returns from an export.
    struct Endless;

    impl Sink for Endless {
        type Parcel = ();

        fn pack(&mut self, _: Vec<SpanData>) {}

        async fn send(&mut self, (): &mut ()) -> Answer {
            std::future::pending().await
        }
    }

    #[test]
    fn forked_copy_neither_waits_nor_takes_a_lock() {
        let name = "endless".to_owned();
        let worker = Worker::start(name, Limits::default(), Endless, Reporter::default()).unwrap();
        let mut delivery = Delivery::new(vec![worker.clone()], Duration::MAX);
        delivery.process = delivery.process.wrapping_add(1);
        worker.queue.while_locked(|| {
            assert_eq!(delivery.flush_within(Duration::MAX), Ok(()));
            assert_eq!(
                delivery.close_by(deadline(Instant::now(), Duration::MAX)),
                Ok(())
            );
            assert!(delivery.force_flush().is_ok());
            assert!(delivery.shutdown_with_timeout(Duration::MAX).is_ok());
        });
    }
}
