//! Keeps every span that ends, and wakes those who wait for one.

use crate::clock::lock;
use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// The spans of a recorder. A clone is a handle to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    recorded: Mutex<Recorded>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Recorded {
    spans: Vec<Arc<SpanData>>,
    wakers: Vec<Waker>,
}

impl Sink {
    /// The spans in the order in which they ended.
    pub(super) fn spans(&self) -> Vec<Arc<SpanData>> {
        lock(&self.0.recorded).spans.clone()
    }

    /// Blocks until `find` finds something among the spans, for at most `patience`.
    pub(super) fn wait<R>(
        &self,
        patience: Duration,
        find: impl Fn(&[Arc<SpanData>]) -> Option<R>,
    ) -> Option<R> {
        let started = Instant::now();
        let mut recorded = lock(&self.0.recorded);
        loop {
            if let Some(found) = find(&recorded.spans) {
                return Some(found);
            }
            let left = patience.checked_sub(started.elapsed())?;
            let waited = self.0.changed.wait_timeout(recorded, left);
            recorded = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What `find` finds among the spans; if it is nothing, `waker` is woken when there are more.
    pub(super) fn poll<R>(
        &self,
        waker: &Waker,
        find: impl Fn(&[Arc<SpanData>]) -> Option<R>,
    ) -> Option<R> {
        let mut recorded = lock(&self.0.recorded);
        let found = find(&recorded.spans);
        if found.is_none() && !recorded.wakers.iter().any(|known| known.will_wake(waker)) {
            recorded.wakers.push(waker.clone());
        }
        found
    }
}

impl SpanProcessor for Sink {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let wakers = {
            let mut recorded = lock(&self.0.recorded);
            recorded.spans.push(Arc::new(span));
            std::mem::take(&mut recorded.wakers)
        };
        self.0.changed.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
