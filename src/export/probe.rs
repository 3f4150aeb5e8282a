//! Whether an OTLP endpoint answers: a request without any span or metric, sent once.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "metrics")]
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use tokio::runtime::Runtime;

#[cfg(feature = "metrics")]
use super::metrics::MetricsSink;
use super::worker::{silence_for_life, silent_runtime};
use super::{Answer, Sink};

/// What came of a probe.
pub(crate) struct Probed {
    /// The error of the endpoint or of the connection to it; none if it accepts what it is sent.
    pub(crate) problem: Option<String>,
    pub(crate) after: Duration,
}

impl Probed {
    /// Of a protocol that the program is built without.
    #[cfg(not(all(feature = "grpc", feature = "http")))]
    pub(crate) fn not_built() -> Self {
        Self {
            problem: Some("the program is built without this protocol".to_owned()),
            after: Duration::ZERO,
        }
    }
}

/// Sends a request without spans through `sink`, and waits for the answer up to `patience`.
pub(crate) fn probe(mut sink: impl Sink, patience: Duration) -> Probed {
    ask(patience, move |runtime| {
        let mut parcel = sink.pack(Vec::new());
        let answer = runtime.block_on(sink.send(&mut parcel));
        // What they hold may need the runtime.
        let _context = runtime.enter();
        drop((parcel, sink));
        answer
    })
}

/// Sends a request without metrics through `sink`, and waits for the answer up to `patience`.
#[cfg(feature = "metrics")]
pub(crate) fn probe_metrics(mut sink: impl MetricsSink, patience: Duration) -> Probed {
    ask(patience, move |runtime| {
        let answer = runtime.block_on(sink.send(&ResourceMetrics::default()));
        let _context = runtime.enter();
        drop(sink);
        answer
    })
}

/// Asks on a thread of its own, whose end is not waited for.
fn ask(patience: Duration, ask: impl FnOnce(&Runtime) -> Answer + Send + 'static) -> Probed {
    let begun = Instant::now();
    let (answer, answered) = mpsc::channel();
    let thread = thread::Builder::new().name("probe".into());
    let started = thread.spawn(move || {
        silence_for_life();
        let Ok(runtime) = silent_runtime() else {
            return;
        };
        // The receiver has gone where the answer comes too late.
        let _ = answer.send(ask(&runtime));
        runtime.shutdown_background();
    });
    let problem = match started.map(|_| answered.recv_timeout(patience)) {
        Ok(Ok(Answer::Taken { .. })) => None,
        Ok(Ok(Answer::Refused(why) | Answer::Failed(why) | Answer::Again { why, .. })) => Some(why),
        Ok(Err(mpsc::RecvTimeoutError::Timeout)) => Some(format!("no answer within {patience:?}")),
        Ok(Err(mpsc::RecvTimeoutError::Disconnected)) => Some("the probe failed".into()),
        Err(error) => Some(format!("the probe cannot be started: {error}")),
    };
    Probed {
        problem,
        after: begun.elapsed(),
    }
}
