//! A span of the layer as code sees it that has its OpenTelemetry context.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, SpanContext, Status};
use std::borrow::Cow;
use std::sync::Weak;
use std::time::SystemTime;

/// What code that has the context of a span of the layer may do to it.
pub(crate) trait SpanTarget: Send + Sync {
    fn is_recording(&self) -> bool;
    fn set_attribute(&self, attribute: KeyValue);
    fn add_event(&self, name: Cow<'static, str>, time: SystemTime, attributes: Vec<KeyValue>);
    fn add_link(&self, span_context: SpanContext, attributes: Vec<KeyValue>);
    fn set_status(&self, status: Status);
    fn set_name(&self, name: Cow<'static, str>);
}

/// Passes on to a span of the layer, as long as that is there. Only the layer ends it.
pub(crate) struct ContextSpan {
    span_context: SpanContext,
    target: Weak<dyn SpanTarget>,
}

impl ContextSpan {
    pub(crate) fn new(span_context: SpanContext, target: Weak<dyn SpanTarget>) -> Self {
        Self {
            span_context,
            target,
        }
    }

    /// A span that is no longer there.
    pub(crate) fn gone() -> Self {
        struct Gone;
        impl SpanTarget for Gone {
            fn is_recording(&self) -> bool {
                false
            }
            fn set_attribute(&self, _: KeyValue) {}
            fn add_event(&self, _: Cow<'static, str>, _: SystemTime, _: Vec<KeyValue>) {}
            fn add_link(&self, _: SpanContext, _: Vec<KeyValue>) {}
            fn set_status(&self, _: Status) {}
            fn set_name(&self, _: Cow<'static, str>) {}
        }
        Self::new(SpanContext::NONE, Weak::<Gone>::new())
    }

    fn with_target(&self, act: impl FnOnce(&dyn SpanTarget)) {
        if let Some(target) = self.target.upgrade() {
            act(&*target);
        }
    }
}

impl std::fmt::Debug for ContextSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ContextSpan")
            .field(&self.span_context)
            .finish()
    }
}

impl Span for ContextSpan {
    fn add_event_with_timestamp<T: Into<Cow<'static, str>>>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) {
        self.with_target(|target| target.add_event(name.into(), timestamp, attributes));
    }

    fn span_context(&self) -> &SpanContext {
        &self.span_context
    }

    fn is_recording(&self) -> bool {
        self.target
            .upgrade()
            .is_some_and(|target| target.is_recording())
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.with_target(|target| target.set_attribute(attribute));
    }

    fn set_status(&mut self, status: Status) {
        self.with_target(|target| target.set_status(status));
    }

    fn update_name<T: Into<Cow<'static, str>>>(&mut self, name: T) {
        self.with_target(|target| target.set_name(name.into()));
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        self.with_target(|target| target.add_link(span_context, attributes));
    }

    fn end_with_timestamp(&mut self, _timestamp: SystemTime) {}
}
