//! The root of a trace: the one span of the layer that the SDK starts, because only the SDK can ask the sampler.

use super::SpanExtras;
use crate::clock::lock;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, Status, Tracer as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::sync::Mutex;
use std::time::SystemTime;

/// A value of the context that a root is started with: the layer itself sets all its attributes.
pub(crate) struct OwnedRoot;

/// What a span of the layer ends with.
pub(crate) struct Ended {
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) status: Status,
    pub(crate) time: SystemTime,
}

pub(crate) struct RootSpan {
    pub(crate) span_context: SpanContext,
    /// Whether the sampler wants anything of the trace.
    pub(crate) is_recording: bool,
    /// Until it ends.
    span: Mutex<Option<Span>>,
}

impl RootSpan {
    /// Starts the span. Samplers and processors run, so no lock may be held.
    pub(crate) fn start(tracer: &SdkTracer, builder: SpanBuilder, parent: &Context) -> Self {
        let span = tracer.build_with_context(builder, &parent.with_value(OwnedRoot));
        Self {
            span_context: span.span_context().clone(),
            is_recording: span.is_recording(),
            span: Mutex::new(Some(span)),
        }
    }

    /// The scope under which its trace is exported; `None` if it is not recorded.
    pub(crate) fn instrumentation_scope(&self) -> Option<InstrumentationScope> {
        let data = lock(&self.span).as_ref()?.exported_data()?;
        Some(data.instrumentation_scope)
    }

    /// Does something to the span, unless it has ended.
    pub(crate) fn with_span(&self, act: impl FnOnce(&mut Span)) {
        if let Some(span) = &mut *lock(&self.span) {
            act(span);
        }
    }

    /// Adds what the program has set on the span.
    pub(crate) fn add(&self, extras: SpanExtras) {
        self.with_span(|span| {
            for event in extras.events {
                span.add_event_with_timestamp(event.name, event.timestamp, event.attributes);
            }
            for link in extras.links {
                span.add_link(link.span_context, link.attributes);
            }
            if let Some(name) = extras.name {
                span.update_name(name);
            }
        });
    }

    /// Takes the span out to be ended, once. Not under the lock: processors run.
    pub(super) fn take(&self) -> Option<Span> {
        lock(&self.span).take()
    }
}
