//! The tracer of the wrapped layer: starts ordinary spans through the SDK, and gives it the layer's own spans where those
//! are.
//!
//! `OpenTelemetrySpanExt` reaches a span only through data that the wrapped layer keeps of it, in types that are private
//! to it. So the layer shows its own spans to the wrapped layer as spans of a callsite of its own, a proxy, whose one field
//! is the id of the `tracing` span. Whatever a program sets, the wrapped layer collects in the proxy's builder; when it
//! starts that, this tracer finds the owned span by the id and passes on what was collected.

use super::tracked::{TrackedSpan, TrackedSpans};
use crate::clock::ManualClock;
use crate::recording::ContextSpan;
use opentelemetry::trace::{Span, SpanBuilder, SpanContext, Status, Tracer};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;
use tracing_core::callsite::Callsite;
use tracing_core::span::{Attributes, Id};
use tracing_core::{Interest, Kind, Level, Metadata};

const PROXY: &str = "tracing_conversation.proxy";
const PROXY_ID: &str = "tracing_conversation.proxy.id";

pub(super) struct ProxyCallsite;

pub(super) static PROXY_CALLSITE: ProxyCallsite = ProxyCallsite;

static PROXY_METADATA: Metadata<'static> = tracing_core::metadata! {
    name: PROXY,
    target: "tracing_conversation",
    level: Level::INFO,
    fields: &[PROXY_ID],
    callsite: &PROXY_CALLSITE,
    kind: Kind::SPAN
};

impl Callsite for ProxyCallsite {
    // It is not registered: no subscriber ever sees it.
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &PROXY_METADATA
    }
}

/// Calls `act` with the attributes of the proxy of a span.
pub(super) fn with_proxy(id: &Id, act: impl FnOnce(&Attributes<'_>)) {
    let fields = PROXY_METADATA.fields();
    let Some(field) = fields.field(PROXY_ID) else {
        return;
    };
    let id = id.into_u64().cast_signed();
    let id: &dyn tracing_core::field::Value = &id;
    act(&Attributes::new(
        &PROXY_METADATA,
        &fields.value_set(&[(&field, Some(id))]),
    ));
}

/// Starts spans for the wrapped layer.
#[derive(Clone)]
pub(crate) struct LayerTracer {
    sdk: SdkTracer,
    tracked: Arc<TrackedSpans>,
    /// The wrapped layer goes by the machine's clock. Where the layer does not, nor do the spans that it starts.
    clock: Option<ManualClock>,
}

impl LayerTracer {
    pub(super) fn new(
        sdk: SdkTracer,
        tracked: Arc<TrackedSpans>,
        clock: Option<ManualClock>,
    ) -> Self {
        Self {
            sdk,
            tracked,
            clock,
        }
    }

    #[cold]
    fn on_clock(
        &self,
        clock: &ManualClock,
        mut builder: SpanBuilder,
        parent: &Context,
    ) -> LayerSpan {
        builder.start_time = Some(clock.wall());
        for event in builder.events.iter_mut().flatten() {
            event.timestamp = clock.wall();
        }
        LayerSpan::OnClock(Box::new(SpanOnClock {
            span: self.sdk.build_with_context(builder, parent),
            clock: clock.clone(),
        }))
    }

    #[inline(never)]
    fn owned_span(&self, mut builder: SpanBuilder, parent: &Context) -> LayerSpan {
        let attributes = builder.attributes.get_or_insert_default();
        let at = attributes
            .iter()
            .position(|attribute| attribute.key.as_str() == PROXY_ID);
        // What stands before the id, such as the source location, is the proxy's own.
        let id = at.and_then(|at| attributes.drain(..=at).next_back());
        let tracked = match id.map(|id| id.value) {
            Some(Value::I64(id)) => self.tracked.get(&Id::from_u64(id.cast_unsigned())),
            _ => None,
        };
        LayerSpan::Owned(match tracked {
            Some(TrackedSpan::Service { service, .. }) => service.start_from(builder, parent),
            Some(TrackedSpan::Scope(conversation)) => conversation.start_root(builder, parent),
            Some(
                TrackedSpan::Unrecorded(_) | TrackedSpan::Ordinary(_) | TrackedSpan::Joining(_),
            )
            | None => ContextSpan::gone(),
        })
    }
}

impl Tracer for LayerTracer {
    type Span = LayerSpan;

    #[inline]
    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> LayerSpan {
        if builder.name == PROXY {
            self.owned_span(builder, parent)
        } else if let Some(clock) = &self.clock {
            self.on_clock(clock, builder, parent)
        } else {
            LayerSpan::Sdk(self.sdk.build_with_context(builder, parent))
        }
    }
}

/// A span that the wrapped layer has started.
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub(crate) enum LayerSpan {
    Sdk(SdkSpan),
    /// Boxed, so that the others need no more room than the SDK's.
    OnClock(Box<SpanOnClock>),
    Owned(ContextSpan),
}

/// A span of the SDK with the times of a clock that is not the machine's.
pub(crate) struct SpanOnClock {
    span: SdkSpan,
    clock: ManualClock,
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
            Self::Sdk(span) => span.add_event_with_timestamp(name, timestamp, attributes),
            Self::OnClock(on) => {
                let time = on.clock.wall();
                on.span.add_event_with_timestamp(name, time, attributes);
            }
            Self::Owned(span) => span.add_event_with_timestamp(name, timestamp, attributes),
        }
    }

    fn span_context(&self) -> &SpanContext {
        match self {
            Self::Sdk(span) => span.span_context(),
            Self::OnClock(on) => on.span.span_context(),
            Self::Owned(span) => span.span_context(),
        }
    }

    fn is_recording(&self) -> bool {
        match self {
            Self::Sdk(span) => span.is_recording(),
            Self::OnClock(on) => on.span.is_recording(),
            Self::Owned(span) => span.is_recording(),
        }
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        match self {
            Self::Sdk(span) => span.set_attribute(attribute),
            Self::OnClock(on) => on.span.set_attribute(attribute),
            Self::Owned(span) => span.set_attribute(attribute),
        }
    }

    fn set_status(&mut self, status: Status) {
        match self {
            Self::Sdk(span) => span.set_status(status),
            Self::OnClock(on) => on.span.set_status(status),
            Self::Owned(span) => span.set_status(status),
        }
    }

    fn update_name<T: Into<Cow<'static, str>>>(&mut self, name: T) {
        match self {
            Self::Sdk(span) => span.update_name(name),
            Self::OnClock(on) => on.span.update_name(name),
            Self::Owned(span) => span.update_name(name),
        }
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        match self {
            Self::Sdk(span) => span.add_link(span_context, attributes),
            Self::OnClock(on) => on.span.add_link(span_context, attributes),
            Self::Owned(span) => span.add_link(span_context, attributes),
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        match self {
            Self::Sdk(span) => span.end_with_timestamp(timestamp),
            Self::OnClock(on) => on.span.end_with_timestamp(on.clock.wall()),
            Self::Owned(span) => span.end_with_timestamp(timestamp),
        }
    }
}
