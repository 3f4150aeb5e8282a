//! A destination's thread: takes batches from the queue, sends them, tries again, ends in time.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::trace::SpanData;
use tracing::Dispatch;

use super::{
    Answer, Delivered, Reporter, Sink,
    backoff::Backoff,
    queue::{Next, Queue, left},
};

/// The bounds of one destination.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Spans in the queue and under way together.
    pub(crate) queue_spans: usize,
    /// Their memory, as [`size`](super::size) estimates it.
    pub(crate) queue_bytes: usize,
    /// Spans in one request.
    pub(crate) batch_spans: usize,
    /// Their memory. A collector takes gRPC messages of up to 4 MiB unless told otherwise.
    pub(crate) batch_bytes: usize,
    /// How long the first span of a batch waits for more to come.
    pub(crate) delay: Duration,
    /// How long a batch is retried.
    pub(crate) give_up_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_spans: 65_536,
            queue_bytes: 64 << 20,
            batch_spans: 512,
            batch_bytes: 2 << 20,
            delay: Duration::from_millis(500),
            give_up_after: Duration::from_secs(120),
        }
    }
}

/// The program's end of a destination.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) queue: Arc<Queue>,
}

impl Worker {
    /// Starts the thread. `sink` is made on it, inside its runtime.
    pub(crate) fn start<S: Sink>(
        destination: String,
        limits: Limits,
        sink: impl FnOnce() -> S + Send + 'static,
        reporter: Reporter,
    ) -> io::Result<Self> {
        // Made here and not on the thread so that a failure is the caller's to report.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let queue = Arc::new(Queue::new(destination, limits));
        let worker = Self {
            queue: Arc::clone(&queue),
        };
        thread::Builder::new()
            .name("span-export".into())
            .spawn(move || {
                let _ended = Ended(&queue);
                // What HTTP and gRPC clients trace while they carry our spans must not become spans itself.
                let _silence = tracing::dispatcher::set_default(&Dispatch::none());
                let _suppressed = Context::enter_telemetry_suppressed_scope();
                runtime.block_on(async { run(&queue, sink(), reporter).await });
                // A resolver that hangs must not hold the thread, nor the program's end.
                runtime.shutdown_background();
            })?;
        Ok(worker)
    }

    pub(crate) fn counts(&self) -> Delivered {
        self.queue.counts()
    }
}

/// Lets those go who wait for the worker, whichever way it ended.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn run<S: Sink>(queue: &Queue, mut sink: S, mut reporter: Reporter) {
    loop {
        match queue.next(Instant::now()) {
            Next::Wait(until) => queue.woken(until).await,
            Next::Batch { spans, bytes } => {
                deliver(queue, &mut sink, spans, bytes, &mut reporter).await;
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
    bytes: usize,
    reporter: &mut Reporter,
) {
    let mut parcel = sink.pack(spans);
    let give_up = Instant::now() + queue.limits().give_up_after;
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
                return queue.settle(bytes, |counts, spans| {
                    // A server may count as it likes; ours must add up.
                    let rejected = rejected.min(spans);
                    counts.rejected += rejected;
                    counts.exported += spans - rejected;
                    counts.last_problem = remark.or(counts.last_problem.take());
                });
            }
            Answer::Refused(why) => {
                return queue.settle(bytes, |counts, spans| {
                    counts.rejected += spans;
                    counts.last_problem = Some(why);
                });
            }
            Answer::Failed(why) => {
                return queue.settle(bytes, |counts, spans| {
                    counts.failed += spans;
                    counts.last_problem = Some(why);
                });
            }
            Answer::Again { after, why } => (after, why),
        };
        let now = Instant::now();
        let wait = after.unwrap_or_default().max(backoff.next());
        let closing = queue.closing();
        let hopeless = match closing {
            // Nobody is helped by waiting for an attempt that the end would cut off.
            Some(deadline) => now + wait >= deadline,
            None => now >= give_up,
        };
        if hopeless {
            return queue.settle(bytes, |counts, spans| {
                counts.failed += spans;
                counts.last_problem = Some(why);
            });
        }
        queue.note(why);
        reporter.report(queue, true);
        let until = if closing.is_some() {
            now + wait
        } else {
            (now + wait).min(give_up)
        };
        queue.pause(until).await;
    }
}
