//! A builder for finished spans, and a writer that captures output.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};

/// Creates a span of trace 1 from `start` to `end`, in seconds since an arbitrary time.
pub(crate) fn span(name: &'static str, id: u64, parent: u64, start: f64, end: f64) -> Builder {
    let epoch = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Builder(SpanData {
        span_context: SpanContext::new(
            TraceId::from(1),
            SpanId::from(id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: epoch + Duration::from_secs_f64(start),
        end_time: epoch + Duration::from_secs_f64(end),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("test").build(),
    })
}

pub(crate) struct Builder(pub(crate) SpanData);

impl Builder {
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Moves the span to another conversation and trace.
    pub(crate) fn of(mut self, conversation: &'static str, trace: u128) -> Self {
        let context = &self.0.span_context;
        self.0.span_context = SpanContext::new(
            TraceId::from(trace),
            context.span_id(),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        self.0
            .attributes
            .retain(|attribute| attribute.key.as_str() != "conversation.id");
        self.with("conversation.id", conversation)
    }

    /// Delays the span by a number of seconds.
    pub(crate) fn later(mut self, seconds: f64) -> Self {
        self.0.start_time += Duration::from_secs_f64(seconds);
        self.0.end_time += Duration::from_secs_f64(seconds);
        self
    }

    pub(crate) fn failed(mut self, description: &'static str) -> Self {
        self.0.status = Status::error(description);
        self
    }
}

impl From<Builder> for SpanData {
    fn from(builder: Builder) -> Self {
        builder.0
    }
}

/// Exports `batch` synchronously.
pub(crate) fn export(exporter: &impl SpanExporter, batch: Vec<Builder>) -> OTelSdkResult {
    let batch = batch.into_iter().map(SpanData::from).collect();
    match pin!(exporter.export(batch)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("console exporters are synchronous"),
    }
}

/// Captures written bytes and the number of writes.
#[derive(Clone, Default)]
pub(crate) struct Caught(Arc<Mutex<(Vec<u8>, usize)>>);

impl Caught {
    /// Returns the text written since the last call.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap().0)).unwrap()
    }

    pub(crate) fn writes(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Write for Caught {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut caught = self.0.lock().unwrap();
        caught.0.extend_from_slice(bytes);
        caught.1 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
