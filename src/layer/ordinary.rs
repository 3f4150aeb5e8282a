//! Spans that are neither scopes nor service spans: the wrapped layer's, marked as their conversation's.

use super::recorded::Recorded;
use super::standing::Standing;
use super::tracked::TrackedSpan;
use super::{ConversationLayer, LayerState, stack};
use crate::active_context::{attach, with_current};
use crate::recording::{Identity, Marks};
use crate::reentrancy::is_guarded;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt as _;
use std::fmt::Debug;
use std::sync::Arc;
use tracing_core::Subscriber;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// An ordinary span that may be inside a conversation.
    pub(super) fn new_ordinary(&self, attributes: &Attributes<'_>, id: &Id, ctx: &Context<'_, S>) {
        let standing = if is_guarded() {
            None
        } else {
            self.standing_of_new(attributes)
        };
        self.start_ordinary(standing.as_ref(), attributes, id, ctx);
        if let Some(standing) = standing {
            self.state
                .tracked
                .insert(id, TrackedSpan::Ordinary(standing));
        }
    }

    /// Has the wrapped layer start a span below what `tracing` says, with the marks of where it stands.
    pub(super) fn start_ordinary(
        &self,
        standing: Option<&Standing>,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: &Context<'_, S>,
    ) {
        let wrapped = &self.wrapped;
        let Some(standing) = standing else {
            return wrapped.on_new_span(attributes, id, ctx.clone());
        };
        match self.corrected_parent(standing, attributes, ctx) {
            None => wrapped.on_new_span(attributes, id, ctx.clone()),
            Some(parent) => {
                let _attached = attach(parent);
                let contextual = Attributes::new(attributes.metadata(), attributes.values());
                wrapped.on_new_span(&contextual, id, ctx.clone());
            }
        }
        self.record_integers(id, &|visit| attributes.record(visit), ctx);
    }

    /// The context to start a span under whose parent, by `tracing`, knows nothing of the conversation that it stands in.
    fn corrected_parent(
        &self,
        standing: &Standing,
        attributes: &Attributes<'_>,
        ctx: &Context<'_, S>,
    ) -> Option<OtelContext> {
        let identity = standing
            .conversation()
            .map(|conversation| &conversation.identity);
        let is_marked = |context: &OtelContext| match (context.get::<Marks>(), identity) {
            (Some(marks), Some(identity)) => Arc::ptr_eq(&marks.identity, identity),
            _ => false,
        };
        if attributes.is_contextual() && with_current(is_marked).unwrap_or(false) {
            return None;
        }
        let parent = self.parent_context(attributes, ctx);
        if is_marked(&parent) {
            // The wrapped layer knows an owned span only without its marks.
            let is_owned = attributes.parent().is_some_and(|parent| {
                let tracked = self.state.tracked.get(parent);
                tracked.is_some_and(|tracked| tracked.is_owned())
            });
            return is_owned.then_some(parent);
        }
        if !parent.has_active_span()
            && let Some(own) = standing.context()
        {
            return Some(own);
        }
        Some(parent.with_value(self.state.marks(standing)?))
    }

    pub(super) fn record_ordinary(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        self.wrapped.on_record(id, values, ctx.clone());
        self.record_integers(id, &|visit| values.record(visit), &ctx);
    }

    /// Records fields of a span that may name its conversation only now.
    #[cold]
    pub(super) fn record_joining(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        self.record_ordinary(id, values, ctx.clone());
        self.join_late(id, values, &ctx);
    }

    /// Moves an ordinary span to the conversation that it names only now, if it does.
    pub(super) fn join_late(&self, id: &Id, recorded: &impl Recorded, ctx: &Context<'_, S>) {
        let fields = super::scope::SpanFields::read(recorded);
        let Some(conversation_id) = fields.conversation else {
            return;
        };
        let standing = self.standing_by_id(conversation_id, None);
        if let Some(marks) = self.state.marks(&standing)
            && let Some(context) = self.context_of(id, ctx)
            && context.span().is_recording()
        {
            let span_id = context.span().span_context().span_id();
            self.state.shared.processor.replace_marks(span_id, marks);
        }
        stack::change(&self.state, id, &standing);
        self.state
            .tracked
            .insert(id, TrackedSpan::Joining(Some(standing)));
    }

    /// Records unsigned integers once more, as the signed ones that OpenTelemetry has: the wrapped layer formats them.
    fn record_integers(&self, id: &Id, record: &dyn Fn(&mut dyn Visit), ctx: &Context<'_, S>) {
        record(&mut Unsigned(|field: &Field, value: i64| {
            let metadata = ctx.metadata(id);
            let Some(fields) = metadata.map(|metadata| metadata.fields()) else {
                return;
            };
            let value: &dyn tracing_core::field::Value = &value;
            let values = [(field, Some(value))];
            let values = fields.value_set(&values);
            self.wrapped
                .on_record(id, &Record::new(&values), ctx.clone());
        }));
    }
}

impl LayerState {
    /// What marks a span that stands there.
    pub(super) fn marks(&self, standing: &Standing) -> Option<Marks> {
        match standing {
            Standing::Conversation(conversation) => Some(Marks::new(&conversation.identity, None)),
            Standing::Service(service) => service.marks(),
            Standing::Id(id) => {
                let identity = Identity::new(id.clone(), &self.shared.content);
                Some(Marks::new(&Arc::new(identity), None))
            }
        }
    }
}

/// Visits the unsigned integers that fit into signed ones.
struct Unsigned<F>(F);

impl<F: FnMut(&Field, i64)> Visit for Unsigned<F> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if let Ok(value) = i64::try_from(value) {
            (self.0)(field, value);
        }
    }
    fn record_i64(&mut self, _: &Field, _: i64) {}
    fn record_bool(&mut self, _: &Field, _: bool) {}
    fn record_f64(&mut self, _: &Field, _: f64) {}
    fn record_str(&mut self, _: &Field, _: &str) {}
    fn record_i128(&mut self, _: &Field, _: i128) {}
    fn record_u128(&mut self, _: &Field, _: u128) {}
    fn record_error(&mut self, _: &Field, _: &(dyn std::error::Error + 'static)) {}
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
