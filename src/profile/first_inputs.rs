//! Tracks which traces have had a turn with an input.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use opentelemetry::trace::TraceId;

/// Maximum number of traces; when it is reached, all are forgotten.
const MOST: usize = 65_536;

/// Remembers traces from their first input to the end of their conversation.
#[derive(Debug, Default)]
pub(super) struct FirstInputs {
    traces: Mutex<HashSet<TraceId>>,
}

impl FirstInputs {
    /// Returns whether the trace is new, and remembers it.
    pub(super) fn is_first(&self, trace: TraceId) -> bool {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if traces.len() >= MOST {
            traces.clear();
        }
        traces.insert(trace)
    }

    pub(super) fn forget(&self, trace: TraceId) {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.remove(&trace);
    }
}
