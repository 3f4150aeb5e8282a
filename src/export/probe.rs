//! Whether an OTLP endpoint answers: a request without any span, sent once.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::worker::{silence_for_life, silent_runtime};
use super::{Answer, Sink};

/// What came of a probe.
pub(crate) struct Probed {
    /// The error of the endpoint or of the connection to it; none if it accepts spans.
    pub(crate) problem: Option<String>,
    pub(crate) after: Duration,
}

/// Sends a request without spans through `sink`, on a thread of its own, and waits for the answer up to `patience`.
pub(crate) fn probe(mut sink: impl Sink, patience: Duration) -> Probed {
    let begun = Instant::now();
    let (answer, answered) = mpsc::channel();
    let thread = thread::Builder::new().name("span-probe".into());
    let started = thread.spawn(move || {
        silence_for_life();
        let Ok(runtime) = silent_runtime() else {
            return;
        };
        let mut parcel = sink.pack(Vec::new());
        // The receiver has gone where the answer comes too late.
        let _ = answer.send(runtime.block_on(sink.send(&mut parcel)));
        let context = runtime.enter();
        drop((parcel, sink));
        drop(context);
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
