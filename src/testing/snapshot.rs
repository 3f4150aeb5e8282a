//! The spans of one conversation, at the moment they were asked for.

use super::attributes::{error, is_conversation, is_service, is_turn, text};
use super::failure::{FailureReport, is_of};
use crate::names;
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[derive(Clone)]
pub(super) struct Snapshot(Arc<Inner>);

struct Inner {
    id: String,
    /// In the order of their start.
    spans: Vec<Arc<SpanData>>,
    failure: Arc<FailureReport>,
}

impl Snapshot {
    pub(super) fn new(id: String, spans: &[Arc<SpanData>], failure: Arc<FailureReport>) -> Self {
        let mut spans = spans.to_vec();
        spans.retain(|span| is_of(span, &id));
        spans.sort_by_key(|span| span.start_time);
        Self(Arc::new(Inner { id, spans, failure }))
    }

    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    pub(super) fn spans(&self) -> &[Arc<SpanData>] {
        &self.0.spans
    }

    /// The time from the first span's start to that of `span`.
    pub(super) fn started(&self, span: &SpanData) -> Duration {
        let first = self.0.spans.first();
        let start = first.map_or(SystemTime::UNIX_EPOCH, |first| first.start_time);
        span.start_time.duration_since(start).unwrap_or_default()
    }
}

/// What went wrong in spans of conversations, turns and services, each with the span's name.
pub(super) fn errors<'a>(spans: impl Iterator<Item = &'a Arc<SpanData>>) -> Vec<String> {
    let failed = spans.filter_map(|span| Some((span, error(span)?)));
    let failed =
        failed.filter(|(span, _)| is_service(span) || is_turn(span) || is_conversation(span));
    failed
        .map(|(span, error)| match text(span, names::GEN_AI_TOOL_NAME) {
            Some(tool) => format!("{} {tool}: {error}", span.name),
            None => format!("{}: {error}", span.name),
        })
        .collect()
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.failure.print(&self.id);
    }
}
