//! The bounded queue between the program's threads and a worker, and the count of each span's outcome.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::Notify;

use super::{deadline::deadline, size};
use crate::environment::Limits;

/// The outcome of the spans of one destination since the program started.
///
/// `exported + rejected + failed + dropped_queue_full + waiting` is the number of spans that were finished.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Where the spans go: a URL, or the name of a console view.
    pub destination: String,
    /// Spans that the destination accepted.
    pub exported: u64,
    /// Spans that found the queue full: the destination was unavailable, or slower than the program, for too long.
    pub dropped_queue_full: u64,
    /// Spans that the destination refused, all of a batch (say, a wrong key) or some (OTLP's partial success).
    pub rejected: u64,
    /// Spans given up: the destination was unavailable for longer than every retry, the program ended first, or the span ended after
    /// the shutdown.
    pub failed: u64,
    /// Spans in the queue or under way.
    pub waiting: u64,
    /// How often the export thread panicked, in an exporter or in what it calls, and was started again. The spans of
    /// the batch that it was sending are among `failed`.
    pub restarts: u64,
    /// The last error, as the destination or the connection to it reported it.
    pub last_problem: Option<String>,
}

impl Delivered {
    /// Spans that will never arrive.
    pub fn lost(&self) -> u64 {
        self.dropped_queue_full + self.rejected + self.failed
    }
}

#[derive(Debug)]
struct State {
    /// With the memory that each holds.
    spans: VecDeque<(usize, SpanData)>,
    /// Memory of the queued spans and of the batch under way: a batch releases its share only once it is settled.
    bytes: usize,
    /// Spans of the batch under way, and their memory.
    under_way: usize,
    under_way_bytes: usize,
    /// When the queue was last empty; the batch delay counts from there.
    since: Instant,
    /// Spans that were ever queued, and those of them whose fate is known.
    accepted: u64,
    settled: u64,
    /// Spans accepted up to here are sent without delay.
    flush_to: u64,
    /// Set at shutdown: the deadline by which everything must be settled.
    closing: Option<Instant>,
    /// The worker has ended.
    closed: bool,
    counts: Delivered,
}

/// One destination's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Wakes those who wait for spans to be settled.
    settled: Condvar,
    /// Wakes the worker.
    wake: Notify,
}

/// What the worker is to do next.
pub(crate) enum Next {
    Batch(Vec<SpanData>),
    Wait(Option<Instant>),
    End,
}

impl Queue {
    pub(crate) fn new(destination: String, limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::new(State {
                spans: VecDeque::new(),
                bytes: 0,
                under_way: 0,
                under_way_bytes: 0,
                since: Instant::now(),
                accepted: 0,
                settled: 0,
                flush_to: 0,
                closing: None,
                closed: false,
                counts: Delivered {
                    destination,
                    exported: 0,
                    dropped_queue_full: 0,
                    rejected: 0,
                    failed: 0,
                    waiting: 0,
                    restarts: 0,
                    last_problem: None,
                },
            }),
            settled: Condvar::new(),
            wake: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` while another thread could not take the lock, as in a process that has forked at the wrong moment.
    #[cfg(test)]
    pub(crate) fn while_locked(&self, work: impl FnOnce()) {
        let _state = self.lock();
        work();
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Queues a span, or drops and counts it. Never waits for the destination.
    pub(crate) fn push(&self, span: SpanData) {
        let bytes = size::held_by(&span);
        let mut state = self.lock();
        if state.closed {
            state.counts.failed += 1;
            return;
        }
        if state.spans.len() + state.under_way >= self.limits.queue_spans
            || state.bytes.saturating_add(bytes) > self.limits.queue_bytes
        {
            state.counts.dropped_queue_full += 1;
            return;
        }
        let was_empty = state.spans.is_empty();
        if was_empty {
            state.since = Instant::now();
        }
        state.bytes += bytes;
        state.accepted += 1;
        state.spans.push_back((bytes, span));
        let wake = was_empty || state.spans.len() == self.limits.batch_spans;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Returns what the worker is to do now, with a batch if one is due.
    pub(crate) fn next(&self, now: Instant) -> Next {
        let mut state = self.lock();
        match state.closing {
            Some(deadline) if state.spans.is_empty() || now >= deadline => return Next::End,
            None if state.spans.is_empty() => return Next::Wait(None),
            _ => {}
        }
        let due = deadline(state.since, self.limits.delay);
        let ready = state.closing.is_some()
            || state.flush_to > state.settled
            || state.spans.len() >= self.limits.batch_spans
            || now >= due;
        if !ready {
            return Next::Wait(Some(due));
        }
        let (mut count, mut bytes) = (0, 0);
        for (more, _) in state.spans.iter().take(self.limits.batch_spans) {
            if count > 0 && bytes + more > self.limits.batch_bytes {
                break;
            }
            count += 1;
            bytes += more;
        }
        state.under_way = count;
        state.under_way_bytes = bytes;
        Next::Batch(state.spans.drain(..count).map(|(_, span)| span).collect())
    }

    /// Records the outcome of the batch under way.
    pub(crate) fn settle(&self, fate: impl FnOnce(&mut Delivered, u64)) {
        let mut state = self.lock();
        let count = state.under_way as u64;
        fate(&mut state.counts, count);
        state.under_way = 0;
        state.bytes -= std::mem::take(&mut state.under_way_bytes);
        state.settled += count;
        if state.spans.is_empty() {
            // A burst grew it; an idle program releases the memory.
            state.spans.shrink_to(self.limits.batch_spans);
        }
        drop(state);
        self.settled.notify_all();
    }

    /// Records a temporary failure.
    pub(crate) fn note(&self, problem: String) {
        self.lock().counts.last_problem = Some(problem);
    }

    pub(crate) fn counts(&self) -> Delivered {
        let state = self.lock();
        Delivered {
            waiting: (state.spans.len() + state.under_way) as u64,
            ..state.counts.clone()
        }
    }

    /// Requests that everything queued be sent now, and returns the last span's position.
    pub(crate) fn start_flush(&self) -> u64 {
        let mut state = self.lock();
        state.flush_to = state.accepted;
        let target = state.accepted;
        drop(state);
        self.wake.notify_one();
        target
    }

    /// Waits for every span up to `target` to be settled; false if the time ran out.
    pub(crate) fn wait_settled(&self, target: u64, deadline: Instant) -> bool {
        self.wait(deadline, |state| state.settled >= target)
    }

    /// Sets the worker's deadline. The first call counts.
    pub(crate) fn close(&self, deadline: Instant) {
        self.lock().closing.get_or_insert(deadline);
        self.wake.notify_one();
    }

    /// Waits for the worker to end; false if the time ran out.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> bool {
        self.wait(deadline, |state| state.closed)
    }

    fn wait(&self, deadline: Instant, done: impl Fn(&State) -> bool) -> bool {
        let mut state = self.lock();
        loop {
            if done(&state) || state.closed {
                return done(&state);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .settled
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    /// Records that the export thread panicked: the batch that it was sending is lost.
    pub(crate) fn restarted(&self) {
        self.settle(|counts, spans| {
            counts.failed += spans;
            counts.restarts += 1;
            counts.last_problem = Some("the exporter panicked".into());
        });
    }

    /// Called when the worker ends, also by a panic: what remains will not be sent.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        let left = (state.spans.len() + state.under_way) as u64;
        state.counts.failed += left;
        state.settled += left;
        state.under_way = 0;
        state.under_way_bytes = 0;
        state.bytes = 0;
        state.spans = VecDeque::new();
        state.closed = true;
        drop(state);
        self.settled.notify_all();
    }

    /// Waits until something has changed or the deadline has passed.
    pub(crate) async fn woken(&self, until: Option<Instant>) {
        match until {
            None => self.wake.notified().await,
            // The caller checks the condition again, whether it was woken or the time is up.
            Some(moment) => {
                let _ = tokio::time::timeout_at(moment.into(), self.wake.notified()).await;
            }
        }
    }

    /// Does not return before the shutdown's deadline has passed.
    pub(crate) async fn out_of_time(&self) {
        loop {
            match self.closing() {
                Some(deadline) => return tokio::time::sleep_until(deadline.into()).await,
                None => self.woken(None).await,
            }
        }
    }

    /// Waits out a backoff; the end of the program cuts it short, for one more attempt.
    pub(crate) async fn pause(&self, until: Instant) {
        let was_closing = self.closing().is_some();
        while Instant::now() < until && (was_closing || self.closing().is_none()) {
            self.woken(Some(until)).await;
        }
    }
}
