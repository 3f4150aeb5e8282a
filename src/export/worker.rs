//! A destination's thread: takes batches from the queue, sends them, tries again, ends in time.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::trace::SpanData;
use tokio::runtime::Runtime;

use super::{
    Answer, Delivered, Reporter, Sink,
    backoff::Backoff,
    deadline::{deadline, left},
    queue::{Next, Queue},
};
use crate::environment::Limits;
use crate::silence::silence_this_thread;

/// How long before the end of the program the last attempt is made, whatever delay the destination asked for.
const LAST_ATTEMPT: Duration = Duration::from_millis(300);

/// The longest wait between attempts when the program ends.
const LONGEST_WAIT_AT_THE_END: Duration = Duration::from_millis(500);

/// Between a panic and the next batch, so that an exporter that always panics does not keep a core busy.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// The program's end of a destination.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) queue: Arc<Queue>,
}

impl Worker {
    /// Starts the thread, on which `sink` then lives.
    pub(crate) fn start<S: Sink>(
        destination: String,
        limits: Limits,
        mut sink: S,
        mut reporter: Reporter,
    ) -> io::Result<Self> {
        // Made here and not on the thread so that a failure is the caller's to report.
        let mut runtime = silent_runtime()?;
        let queue = Arc::new(Queue::new(destination, limits));
        let worker = Self {
            queue: Arc::clone(&queue),
        };
        thread::Builder::new()
            .name("span-export".into())
            .spawn(move || {
                let _ended = Ended(&queue);
                silence_for_life();
                let mut restarted = false;
                loop {
                    let work = run(&queue, &mut sink, &mut reporter, restarted);
                    // A panic leaves no state of the crate inconsistent: the queue's lock is never held across foreign
                    // code, and a sink that is in pieces fails again and is counted again.
                    let finished = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
                    if finished.is_ok() {
                        let _context = runtime.enter();
                        drop(sink);
                        break;
                    }
                    queue.restarted();
                    restarted = true;
                    // What the panic left in the old one is not worth finding out.
                    match silent_runtime() {
                        Ok(fresh) => std::mem::replace(&mut runtime, fresh).shutdown_background(),
                        Err(error) => {
                            queue.note(format!("the export thread cannot be restarted: {error}"));
                            break;
                        }
                    }
                }
                // A resolver that hangs must not hold the thread, nor the program's end.
                runtime.shutdown_background();
            })?;
        Ok(worker)
    }

    pub(crate) fn counts(&self) -> Delivered {
        self.queue.counts()
    }
}

/// A runtime for one export thread, whose helper threads (the resolver's) are silent too.
pub(super) fn silent_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_start(silence_for_life)
        .build()
}

/// What HTTP and gRPC clients trace while they carry spans must not become spans itself: neither through this crate's
/// layer nor through other users of the OpenTelemetry SDK.
pub(super) fn silence_for_life() {
    // The thread serves export alone, so neither guard is ever to be dropped.
    std::mem::forget(silence_this_thread());
    std::mem::forget(Context::enter_telemetry_suppressed_scope());
}

/// Releases whoever waits for the worker, however it ended.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn run<S: Sink>(queue: &Queue, sink: &mut S, reporter: &mut Reporter, restarted: bool) {
    if restarted {
        // Here, where a subscriber that panics is caught.
        reporter.report_restart(queue);
        queue.pause(Instant::now() + RESTART_PAUSE).await;
    }
    loop {
        match queue.next(Instant::now()) {
            Next::Wait(until) => queue.woken(until).await,
            Next::Batch(spans) => {
                deliver(queue, sink, spans, reporter).await;
                reporter.report(queue, false);
            }
            Next::End => break,
        }
    }
    let closing = queue.closing().unwrap_or_else(Instant::now);
    sink.finish(left(closing));
}

async fn deliver<S: Sink>(
    queue: &Queue,
    sink: &mut S,
    spans: Vec<SpanData>,
    reporter: &mut Reporter,
) {
    let mut parcel = sink.pack(spans);
    let begun = Instant::now();
    let give_up = deadline(begun, queue.limits().give_up_after);
    let mut backoff = Backoff::new();
    loop {
        let answer = tokio::select! {
            biased;
            answer = sink.send(&mut parcel) => answer,
            () = queue.out_of_time() => {
                Answer::Failed("no answer before the program's end".into())
            }
        };
        let (after, why) = match answer {
            Answer::Taken { rejected, remark } => {
                return queue.settle(|counts, spans| {
                    // The server's count may be wrong; the totals here must add up.
                    let rejected = rejected.min(spans);
                    counts.rejected += rejected;
                    counts.exported += spans - rejected;
                    counts.last_problem = remark.or(counts.last_problem.take());
                });
            }
            Answer::Refused(why) => {
                return queue.settle(|counts, spans| {
                    counts.rejected += spans;
                    counts.last_problem = Some(why);
                });
            }
            Answer::Failed(why) => {
                return queue.settle(|counts, spans| {
                    counts.failed += spans;
                    counts.last_problem = Some(why);
                });
            }
            Answer::Again { after, why } => (after, why),
        };
        let now = Instant::now();
        let backoff = backoff.next(now - begun);
        let (wait, last_attempt) = match queue.closing() {
            None => (after.unwrap_or_default().max(backoff), give_up),
            Some(end) => (
                after
                    .unwrap_or_default()
                    .max(backoff.min(LONGEST_WAIT_AT_THE_END)),
                end.checked_sub(LAST_ATTEMPT).unwrap_or(now),
            ),
        };
        if now >= last_attempt {
            return queue.settle(|counts, spans| {
                counts.failed += spans;
                counts.last_problem = Some(why);
            });
        }
        queue.note(why);
        reporter.report(queue, true);
        queue.pause(deadline(now, wait).min(last_attempt)).await;
    }
}
