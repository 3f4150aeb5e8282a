//! The tracer that the layer and the layer it wraps make their spans with.
//!
//! A service span is started by whoever needs it first. That is nearly always this layer, on its own, when the span is
//! entered. A program that asks the span for its OpenTelemetry context (`OpenTelemetrySpanExt`) asks the wrapped layer,
//! which keeps a builder for the same span; when it comes to start that, this tracer gives it the one span there is.

use crate::core::{Core, OpenSpans, undisturbed, with};
use crate::layer::Ours;
use crate::processor::take_values;
use opentelemetry::trace::{Span, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;
use tracing_core::span;

/// Makes spans with the program's tracer, each service span once.
#[derive(Clone)]
pub(crate) struct LayerTracer {
    sdk: SdkTracer,
    open: Arc<OpenSpans<Ours>>,
}

/// The name by which a builder says that it is of a service span; of which one is its first attribute. Neither leaves.
static SERVICE_SPAN: &str = "tracing_conversation.service_span";

thread_local! {
    /// The service span that the wrapped layer is just being told of.
    static BEING_TOLD_OF: Cell<u64> = const { Cell::new(0) };
}

/// Has the builders made during `tell` say that they are of the service span `id`.
pub(crate) fn telling_of<R>(id: &span::Id, tell: impl FnOnce() -> R) -> R {
    with(&BEING_TOLD_OF, id.into_u64(), || undisturbed(tell))
}

impl LayerTracer {
    pub(crate) fn of(core: &Core) -> Self {
        Self {
            sdk: core.tracer.clone(),
            open: core.ours.clone(),
        }
    }

    /// The span that a builder is of, which says so.
    #[cold]
    fn span_told_of(&self, mut builder: SpanBuilder, parent: &Context) -> LayerSpan {
        let attributes = builder.attributes.get_or_insert_default();
        let mark = (!attributes.is_empty()).then(|| attributes.remove(0));
        let ours = match mark.map(|mark| mark.value) {
            Some(Value::I64(id)) => self.open.get(&span::Id::from_u64(id.cast_unsigned())),
            _ => None,
        };
        let Some(Ours::Service(service)) = ours else {
            return LayerSpan::new(self.sdk.build_with_context(builder, parent));
        };
        let context = service
            .started_by_builder(&self.sdk, builder, parent)
            .clone();
        LayerSpan::Started {
            span_context: context.span().span_context().clone(),
            context,
        }
    }
}

impl Tracer for LayerTracer {
    type Span = LayerSpan;

    #[inline]
    fn span_builder<T: Into<Cow<'static, str>>>(&self, name: T) -> SpanBuilder {
        let id = BEING_TOLD_OF.get();
        if id == 0 {
            return SpanBuilder::from_name(name);
        }
        let mark = KeyValue::new(SERVICE_SPAN, id.cast_signed());
        let mut builder = SpanBuilder::from_name(SERVICE_SPAN);
        builder.attributes = Some(vec![mark]);
        builder
    }

    #[inline]
    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> LayerSpan {
        // Nobody else has this very name.
        if std::ptr::eq(&*builder.name, SERVICE_SPAN) {
            return self.span_told_of(builder, parent);
        }
        LayerSpan::new(self.sdk.build_with_context(builder, parent))
    }
}

/// The same tracer, for a layer of another type than the wrapped one.
pub(crate) struct Aside(pub(crate) LayerTracer);

impl Tracer for Aside {
    type Span = LayerSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> LayerSpan {
        self.0.build_with_context(builder, parent)
    }
}

/// A span of the layer or of the one that it wraps.
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub(crate) enum LayerSpan {
    Sdk {
        span: SdkSpan,
        /// Whether the program has set attributes by itself.
        is_set: bool,
    },
    /// One that is elsewhere; it ends there.
    Started {
        context: Context,
        span_context: SpanContext,
    },
}

impl LayerSpan {
    pub(crate) fn new(span: SdkSpan) -> Self {
        Self::Sdk {
            span,
            is_set: false,
        }
    }
}

impl std::fmt::Debug for LayerSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LayerSpan")
            .field(self.span_context())
            .finish()
    }
}

impl Span for LayerSpan {
    fn add_event_with_timestamp<T: Into<Cow<'static, str>>>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) {
        match self {
            Self::Sdk { span, .. } => span.add_event_with_timestamp(name, timestamp, attributes),
            Self::Started { context, .. } => {
                context
                    .span()
                    .add_event_with_timestamp(name, timestamp, attributes);
            }
        }
    }

    fn span_context(&self) -> &SpanContext {
        match self {
            Self::Sdk { span, .. } => span.span_context(),
            Self::Started { span_context, .. } => span_context,
        }
    }

    fn is_recording(&self) -> bool {
        match self {
            Self::Sdk { span, .. } => span.is_recording(),
            Self::Started { context, .. } => context.span().is_recording(),
        }
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        match self {
            Self::Sdk { span, is_set } => {
                *is_set = true;
                span.set_attribute(attribute);
            }
            Self::Started { context, .. } => context.span().set_attribute(attribute),
        }
    }

    fn set_status(&mut self, status: Status) {
        match self {
            Self::Sdk { span, .. } => span.set_status(status),
            Self::Started { context, .. } => context.span().set_status(status),
        }
    }

    fn update_name<T: Into<Cow<'static, str>>>(&mut self, name: T) {
        match self {
            Self::Sdk { span, .. } => span.update_name(name),
            Self::Started { context, .. } => context.span().update_name(name),
        }
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        match self {
            Self::Sdk { span, .. } => span.add_link(span_context, attributes),
            Self::Started { context, .. } => context.span().add_link(span_context, attributes),
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        match self {
            Self::Sdk { span, is_set } => {
                if let Some((attributes, status)) = take_values(span.span_context(), *is_set) {
                    span.set_attributes(attributes);
                    if status != Status::Unset {
                        span.set_status(status);
                    }
                }
                span.end_with_timestamp(timestamp);
            }
            Self::Started { context, .. } => context.span().end_with_timestamp(timestamp),
        }
    }
}
