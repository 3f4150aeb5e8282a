//! One destination of metrics, as the SDK's reader knows it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use tokio::runtime::Runtime;

use super::{MetricsSink, progress::Limit, progress::Progress};
use crate::{
    export::{Answer, Reporter, backoff::Backoff, worker::silent_runtime},
    silence::silence_this_thread,
};

/// How long before its end an export is tried for the last time.
const LAST_ATTEMPT: Duration = Duration::from_millis(300);

/// Sends what is collected, tries again while the destination is away, and says how that went.
pub(crate) struct MetricsExporter<S> {
    running: Mutex<Running<S>>,
    progress: Arc<Progress>,
    timeout: Duration,
    temporality: Temporality,
}

struct Running<S> {
    sink: S,
    reporter: Reporter,
    /// `None` once it has ended.
    runtime: Option<Runtime>,
}

impl<S: MetricsSink> MetricsExporter<S> {
    pub(super) fn new(
        sink: S,
        progress: Arc<Progress>,
        timeout: Duration,
        temporality: Temporality,
        reporter: Reporter,
    ) -> std::io::Result<Self> {
        Ok(Self {
            running: Mutex::new(Running {
                sink,
                reporter,
                runtime: Some(silent_runtime()?),
            }),
            progress,
            timeout,
            temporality,
        })
    }

    /// Exports on this thread, which is the reader's: it waits for nothing else.
    fn export_blocking(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let _silenced = silence_this_thread();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running {
            sink,
            reporter,
            runtime,
        } = &mut *running;
        let Some(awake) = runtime else {
            return Err(OTelSdkError::AlreadyShutdown);
        };
        // A panic must not end the reader's thread. What it leaves in the sink is dropped with the next request.
        let exported = catch_unwind(AssertUnwindSafe(|| {
            let limit = self.progress.limit(self.timeout);
            let result = awake.block_on(deliver(sink, metrics, limit));
            if let Err(problem) = &result {
                // Here, where a subscriber that panics is caught.
                reporter.report_metrics(self.progress.destination(), problem);
            }
            result
        }));
        let result = exported.unwrap_or_else(|_| {
            if let Some(broken) = std::mem::replace(runtime, silent_runtime().ok()) {
                broken.shutdown_background();
            }
            Err("the export panicked".to_owned())
        });
        self.progress.settle(&result);
        result.map_err(OTelSdkError::InternalFailure)
    }
}

impl<S: MetricsSink> PushMetricExporter for MetricsExporter<S> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.export_blocking(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = running.runtime.take() {
            // A resolver that hangs must not hold the program's end.
            runtime.shutdown_background();
        }
        self.progress.end();
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        // The last handle may be dropped inside a runtime of the program's, where waiting for this one would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sends until it is taken, refused, or the time is over.
async fn deliver(
    sink: &mut impl MetricsSink,
    metrics: &ResourceMetrics,
    mut limit: Limit,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut backoff = Backoff::new();
    loop {
        let (after, why) = match attempt(sink, metrics, &mut limit).await {
            Answer::Taken { rejected: 0, .. } => return Ok(()),
            Answer::Taken { remark, .. } => return Err(remark.unwrap_or_default()),
            Answer::Refused(why) | Answer::Failed(why) => return Err(why),
            Answer::Again { after, why } => (after, why),
        };
        let now = Instant::now();
        let last_attempt = limit.end.checked_sub(LAST_ATTEMPT).unwrap_or(now);
        if now >= last_attempt {
            return Err(why);
        }
        let wait = after.unwrap_or_default().max(backoff.next(now - begun));
        let next = super::super::deadline(now, wait).min(last_attempt);
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            // One more attempt at once: what has waited so far gets in no later.
            () = limit.shortened() => {}
        }
    }
}

/// Sends once, within the limit.
async fn attempt(
    sink: &mut impl MetricsSink,
    metrics: &ResourceMetrics,
    limit: &mut Limit,
) -> Answer {
    let mut sent = pin!(sink.send(metrics));
    loop {
        let end = limit.end;
        tokio::select! {
            biased;
            answer = &mut sent => return answer,
            () = tokio::time::sleep_until(end.into()) => {
                return Answer::Failed("no answer in time".to_owned());
            }
            () = limit.shortened() => {}
        }
    }
}

/// An exporter of the SDK's kind as a sink.
#[cfg(feature = "console")]
pub(crate) struct PushSink<E>(pub(crate) E);

#[cfg(feature = "console")]
impl<E: PushMetricExporter> MetricsSink for PushSink<E> {
    async fn send(&mut self, metrics: &ResourceMetrics) -> Answer {
        match self.0.export(metrics).await {
            Ok(()) => Answer::Taken {
                rejected: 0,
                remark: None,
            },
            Err(error) => Answer::Failed(error.to_string()),
        }
    }
}
