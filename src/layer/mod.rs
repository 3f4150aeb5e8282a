//! The layer: sorts what `tracing` reports, keeps what is open, and hands ordinary spans to the wrapped layer.

mod adopt;
mod boundary;
mod boundary_event;
mod builder;
mod callsite;
#[cfg(any(feature = "setup", feature = "testing"))]
mod filter;
mod neighbour;
mod ordinary;
mod recorded;
mod scope;
mod service;
pub(crate) mod stack;
pub(crate) mod standing;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod tracer;
mod tracked;

use crate::reentrancy::{guarded, is_guarded};
#[cfg(feature = "setup")]
use crate::seen::Seen;
use crate::silence::is_silenced;
use crate::turns::EndReason;
use adopt::Adoption;
use callsite::{CallsiteKind, Callsites, service_kind};
use neighbour::Neighbour;
use standing::Standing;
use std::any::TypeId;
use std::sync::{Arc, Weak};
use tracer::LayerTracer;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Interest, LevelFilter, Metadata, Subscriber, dispatcher};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub use builder::{LayerBuilder, layer};
#[cfg(any(feature = "setup", feature = "testing"))]
pub(crate) use filter::ConversationFilter;
pub(crate) use state::LayerState;
pub(crate) use table::Opening;
use tracked::TrackedSpan;

/// Turns a voice agent's spans and events into OpenTelemetry spans of its conversations; everything else goes to the
/// [`OpenTelemetryLayer`] that it wraps.
///
/// Made by [`layer`], or with more settings by [`ConversationLayer::builder`].
pub struct ConversationLayer<S> {
    state: Arc<LayerState>,
    callsites: Callsites,
    wrapped: OpenTelemetryLayer<S, LayerTracer>,
    /// Whether `OpenTelemetrySpanExt` reaches service spans from their start.
    has_span_ext: bool,
    neighbour: Neighbour,
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// A handle to all conversations of this layer.
    pub fn conversations(&self) -> Conversations {
        Conversations(Arc::downgrade(&self.state))
    }

    /// Keeps the way to the subscriber that the layer is part of. Rests if another layer of this crate is found first.
    fn register(&self, dispatch: &Dispatch) {
        let Some(first) = dispatch.downcast_ref::<LayerState>() else {
            return;
        };
        self.state.shared.set_subscriber(dispatch);
        if !std::ptr::eq(first, &*self.state) {
            self.rest();
        }
    }

    /// The same by the thread's default subscriber: `Option` and other wrappers do not pass
    /// [`on_register_dispatch`](Layer::on_register_dispatch) on.
    fn register_default(&self) {
        if !self.state.shared.has_subscriber() {
            dispatcher::get_default(|dispatch| self.register(dispatch));
        }
    }

    /// Whether the layer ignores the span `id`, which is new.
    #[inline]
    fn ignores(&self, id: &Id) -> bool {
        match self.neighbour.is_present() {
            Some(is_present) => is_present,
            None => self.finds_neighbour(id),
        }
    }

    #[cold]
    fn finds_neighbour(&self, id: &Id) -> bool {
        self.register_default();
        let subscriber = self.state.shared.subscriber();
        let found = subscriber.is_some_and(|subscriber| self.neighbour.search(id, &subscriber));
        if found {
            self.rest();
        }
        found
    }

    fn rest(&self) {
        if self.neighbour.rest() {
            self.state.shared.seen.rest();
            self.state.warn(|| {
                tracing::warn!(
                    target: "tracing_conversation",
                    "two layers of one registry keep OpenTelemetry spans, so that of tracing_conversation rests; remove \
                     tracing_opentelemetry::layer(), which it wraps, or the second layer of tracing_conversation"
                );
            });
        }
    }

    /// Where a new span stands: where its explicit parent stood when it was made, else where code on this thread stands.
    #[inline]
    fn standing_of_new(&self, attributes: &Attributes<'_>) -> Option<Standing> {
        match attributes.parent() {
            Some(parent) => self.state.tracked.get(parent)?.standing(),
            None if attributes.is_contextual() => stack::innermost(&self.state),
            None => None,
        }
    }
}

/// The open conversations of a layer, all together. Cheap to clone; does not keep the layer alive.
#[derive(Clone)]
pub struct Conversations(Weak<LayerState>);

impl Conversations {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.upgrade().map_or(0, |state| state.table.len())
    }

    /// What the layer's [rules](LayerBuilder::rules) have taken so far: every rule, every callsite that was seen with the rules
    /// that have taken something there, and the rules that have taken nothing. Empty without rules.
    pub fn rules_report(&self) -> String {
        let state = self.0.upgrade();
        let adoption = state.as_ref().and_then(|state| state.adoption.as_ref());
        adoption.map_or_else(String::new, Adoption::report)
    }

    /// What the layer has seen, if it is still there.
    #[cfg(feature = "setup")]
    pub(crate) fn seen(&self) -> Option<Arc<Seen>> {
        Some(self.0.upgrade()?.shared.seen.clone())
    }

    /// The subscriber that the layer is part of.
    #[cfg(feature = "setup")]
    pub(crate) fn subscriber(&self) -> Option<Dispatch> {
        self.0.upgrade()?.shared.subscriber()
    }

    /// Ends all of them as the program ends, and waits up to `patience` until the layer's warnings are emitted.
    #[cfg(feature = "setup")]
    pub(crate) fn finish(&self, patience: std::time::Duration) {
        if let Some(state) = self.0.upgrade() {
            state.advise_to_end();
            state.end_all(EndReason::ConversationEnded);
            state.conclude_rules();
            state.finish_warnings(patience);
        }
    }

    /// Ends all of them, as at the end of the program: their turns end with `turn.end_reason = conversation_ended`.
    pub fn end_all(&self) {
        if let Some(state) = self.0.upgrade() {
            state.end_all(EndReason::ConversationEnded);
        }
    }
}

impl std::fmt::Debug for Conversations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversations")
            .field("open", &self.open())
            .finish()
    }
}

impl<S> std::fmt::Debug for ConversationLayer<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConversationLayer")
            .field("settings", &self.state.shared.settings)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.register(dispatch);
        self.wrapped.on_register_dispatch(dispatch);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.wrapped.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Not by `kind`, which notes what was seen: here is every callsite of the program.
        let adoption = self.state.adoption.as_ref();
        let concerns_conversation = CallsiteKind::of(metadata) != CallsiteKind::Ordinary
            || adoption.is_some_and(|adoption| adoption.may_match(metadata));
        let address = std::ptr::from_ref(metadata).addr();
        let seen = &self.state.shared.seen;
        seen.callsite(address, concerns_conversation);
        self.wrapped.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, ctx: Context<'_, S>) -> bool {
        self.wrapped.enabled(metadata, ctx)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.wrapped.max_level_hint()
    }

    fn event_enabled(&self, event: &Event<'_>, ctx: Context<'_, S>) -> bool {
        self.wrapped.event_enabled(event, ctx)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if is_silenced() || self.ignores(id) {
            return;
        }
        let kind = self.kind(attributes.metadata());
        if kind == CallsiteKind::Ordinary && stack::is_empty() && attributes.parent().is_none() {
            // In no conversation, as most spans of most programs are.
            self.wrapped.on_new_span(attributes, id, ctx);
        } else {
            self.new_span(kind, attributes, id, ctx);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if self.neighbour.is_resting() {
            return;
        }
        if self.state.tracked.may_contain(id)
            && !is_guarded()
            && let Some((tracked, is_adopted)) = self.state.tracked.find(id)
        {
            if is_adopted {
                self.record_adopted(tracked, id, values, ctx);
            } else {
                self.record(tracked, id, values, ctx);
            }
        } else {
            self.wrapped.on_record(id, values, ctx);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        // The wrapped layer locks the data of one while it asks for the other's.
        if id != follows && !self.neighbour.is_resting() {
            self.show_if_service(id, &ctx);
            self.show_if_service(follows, &ctx);
            guarded(|| self.wrapped.on_follows_from(id, follows, ctx));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if is_silenced() || self.neighbour.is_resting() {
            return;
        }
        let kind = self.kind(event.metadata());
        if !kind.is_own_event() {
            self.ordinary_event(event, &ctx);
        } else if kind == CallsiteKind::Adopted {
            self.adopted_event(event, &ctx);
        } else if !is_guarded() {
            self.boundary(event, &ctx);
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if self.neighbour.is_resting() {
            return;
        }
        if !stack::is_empty() || self.state.tracked.may_contain(id) {
            self.enter(id, ctx);
        } else {
            // It starts the span: samplers and processors run.
            guarded(|| self.wrapped.on_enter(id, ctx));
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        if self.neighbour.is_resting() {
            return;
        }
        let was_entered_here =
            !stack::is_empty() && matches!(stack::exit(&self.state, id), stack::Exited::Here);
        if !was_entered_here {
            self.wrapped.on_exit(id, ctx);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        if self.neighbour.is_resting() {
            return;
        }
        match self.state.tracked.find(&id) {
            Some((tracked, is_adopted)) => self.close(tracked, is_adopted, id, ctx),
            None => guarded(|| self.wrapped.on_close(id, ctx)),
        }
    }

    fn on_id_change(&self, old: &Id, new: &Id, ctx: Context<'_, S>) {
        self.wrapped.on_id_change(old, new, ctx);
    }

    // The one `unsafe` of the crate: `OpenTelemetrySpanExt` finds its way to a span through types that are private to the
    // wrapped layer, so whoever wraps that layer has to answer for them.
    //
    // SAFETY: every pointer returned is to `self` or to something that `self` owns and never replaces, so it is valid
    // as long as `self` is, and has the type whose id was asked for. What the wrapped layer answers is valid as long as
    // it is, which is as long as `self`.
    #[allow(unsafe_code)]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            Some(std::ptr::from_ref(self).cast())
        } else if id == TypeId::of::<LayerState>() {
            Some(std::ptr::from_ref(&*self.state).cast())
        } else if id == TypeId::of::<crate::ContentPolicy>() {
            Some(std::ptr::from_ref(&self.state.shared.content).cast())
        } else {
            // SAFETY: as above.
            let answer = unsafe { self.wrapped.downcast_raw(id) };
            answer.filter(|_| !self.neighbour.defers())
        }
    }
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// What a callsite is, to this layer.
    #[inline]
    fn kind(&self, metadata: &'static Metadata<'static>) -> CallsiteKind {
        self.callsites.kind(metadata, |own| {
            let adoption = self.state.adoption.as_ref();
            adoption.is_some_and(|adoption| adoption.adopts(metadata, own))
        })
    }

    #[inline]
    fn new_span(
        &self,
        kind: CallsiteKind,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: Context<'_, S>,
    ) {
        match kind {
            CallsiteKind::Adopted => self.new_adopted(attributes, id, &ctx),
            CallsiteKind::Scope if !is_guarded() => {
                self.new_scope(attributes, attributes, id, &ctx)
            }
            CallsiteKind::Service if !is_guarded() => {
                let does = service_kind(attributes);
                self.new_service(attributes, does, attributes, id, &ctx, false);
            }
            CallsiteKind::ExplicitService if !is_guarded() => {
                let does = service_kind(attributes);
                self.new_service(attributes, does, attributes, id, &ctx, true);
            }
            CallsiteKind::Joining if !is_guarded() => self.new_joining(attributes, id, &ctx),
            _ => self.new_ordinary(attributes, id, &ctx),
        }
    }

    fn ordinary_event(&self, event: &Event<'_>, ctx: &Context<'_, S>) {
        if !self.has_span_ext {
            self.show_service_of(event, ctx);
        }
        self.wrapped.on_event(event, ctx.clone());
    }

    fn record(&self, tracked: TrackedSpan, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        match tracked {
            TrackedSpan::Scope(conversation) => {
                self.describe(&conversation, values);
            }
            TrackedSpan::Service { service, .. } => {
                self.record_service(&service, id, values, &ctx);
            }
            TrackedSpan::Unrecorded(_) => {}
            TrackedSpan::Joining(_) => self.record_joining(id, values, ctx),
            TrackedSpan::Ordinary(_) => self.record_ordinary(id, values, ctx),
        }
    }

    fn enter(&self, id: &Id, ctx: Context<'_, S>) {
        let conversation = match self.state.tracked.get(id) {
            Some(TrackedSpan::Service { service, .. }) => {
                let context = service.context().clone();
                let standing = Standing::Service(service);
                return stack::enter(&self.state, id, Some(standing), Some(context));
            }
            Some(TrackedSpan::Scope(conversation)) => {
                self.register_default();
                conversation
            }
            Some(TrackedSpan::Unrecorded(conversation)) => conversation,
            tracked @ (Some(TrackedSpan::Ordinary(_) | TrackedSpan::Joining(_)) | None) => {
                guarded(|| self.wrapped.on_enter(id, ctx));
                let standing = tracked.and_then(TrackedSpan::standing);
                return stack::enter(&self.state, id, standing, None);
            }
        };
        let context = conversation.context().clone();
        let standing = Standing::Conversation(conversation);
        stack::enter(&self.state, id, Some(standing), Some(context));
    }

    fn close(&self, tracked: TrackedSpan, is_adopted: bool, id: Id, ctx: Context<'_, S>) {
        let closing = if is_adopted {
            self.closing(&id, &ctx)
        } else {
            None
        };
        if tracked.is_wrapped() {
            // First the wrapped layer: it hands over what it has collected of an owned span.
            guarded(|| self.wrapped.on_close(id.clone(), ctx.clone()));
        }
        // The end of a conversation comes after what else its span's end is, that of a service before.
        let standing = closing
            .is_some()
            .then(|| tracked.clone().standing())
            .flatten();
        if let (Some(closing), TrackedSpan::Scope(_)) = (&closing, &tracked) {
            self.close_adopted(closing, standing.clone(), &ctx);
        }
        let is_scope = matches!(tracked, TrackedSpan::Scope(_));
        match tracked {
            TrackedSpan::Scope(conversation) => self.close_scope(&conversation, &id),
            TrackedSpan::Service { service, .. } => service.finish(),
            TrackedSpan::Unrecorded(conversation) => conversation.touch(self.state.now()),
            TrackedSpan::Ordinary(_) | TrackedSpan::Joining(_) => {}
        }
        if let Some(closing) = closing.filter(|_| !is_scope) {
            self.close_adopted(&closing, standing, &ctx);
        }
        self.state.tracked.remove(&id);
    }
}
