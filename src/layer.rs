//! The layer: what `tracing` reports, sorted into what is a conversation's and what is handed on untouched.

mod boundary;
mod conversations;
mod entered;
mod place;
mod services;

use crate::clock::ManualClock;
use crate::content::ContentPolicy;
use crate::core::{Core, Settings, TraceMode, occupied, undisturbed};
use crate::recognise::CallSite;
use crate::tracer::{Aside, LayerTracer};
use crate::turns::EndReason;
use opentelemetry_sdk::trace::SdkTracer;
use std::any::TypeId;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Interest, LevelFilter, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub(crate) use place::{ConversationOf, Ours};
use services::Wanted;

/// Turns a voice agent's spans and events into OpenTelemetry spans of its conversations; everything else goes to the
/// [`OpenTelemetryLayer`] that it wraps.
///
/// Made by [`layer`].
pub struct ConversationLayer<S> {
    core: Arc<Core>,
    inner: OpenTelemetryLayer<S, LayerTracer>,
    /// Knows the same spans. What the hooks of a span call is called nowhere else, so that the compiler puts it into them:
    /// what one of the two layers does in a hook, the other does elsewhere.
    aside: OpenTelemetryLayer<S, Aside>,
    conversation_of: ConversationOf,
}

/// A layer that makes its spans with `tracer`.
///
/// It takes the place of `tracing_opentelemetry::layer().with_tracer(tracer)`, which it wraps. A registry has room for one
/// of either: tracing-opentelemetry panics where two keep their data on the same span. For everything that the
/// contract promises, the tracer's provider should have a [`ConversationProcessor`](crate::ConversationProcessor).
///
/// ```
/// use opentelemetry::trace::TracerProvider as _;
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
/// use tracing_conversation::ConversationProcessor;
/// use tracing_subscriber::prelude::*;
///
/// let exporter = InMemorySpanExporter::default();
/// let simple = SimpleSpanProcessor::new(exporter.clone());
/// let provider = SdkTracerProvider::builder()
///     .with_span_processor(ConversationProcessor::new(simple))
///     .build();
/// let layer = tracing_conversation::layer(provider.tracer("my-agent"));
/// let subscriber = tracing_subscriber::registry().with(layer);
/// tracing::subscriber::with_default(subscriber, || {
///     let conversation = tracing::info_span!("conversation", conversation.id = "call-1");
///     conversation.in_scope(|| tracing::info!(conversation.event = "user_started_speaking"));
/// });
/// let names: Vec<_> = exporter.get_finished_spans().unwrap().into_iter().map(|s| s.name).collect();
/// assert_eq!(names, ["turn", "conversation"]);
/// ```
pub fn layer<S>(tracer: SdkTracer) -> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    layer_with(tracer, Settings::default())
}

pub(crate) fn layer_with<S>(tracer: SdkTracer, settings: Settings) -> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    // What these add to every span costs more than it tells of a voice agent; `with_otel_layer` brings it back.
    let lean = || {
        tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
    };
    let core = Core::new(tracer, settings, Arc::default());
    let own = LayerTracer::of(&core);
    ConversationLayer {
        inner: lean().with_tracer(own.clone()),
        aside: lean().with_tracer(Aside(own)),
        core,
        conversation_of: ConversationOf(ConversationLayer::<S>::conversation_of),
    }
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// How long the bot is silent before its turn ends. Default: 2.5 seconds, as in Pipecat.
    ///
    /// Shorter where the bot never pauses within an answer; longer where slow tools make it do so.
    #[must_use]
    pub fn with_turn_end_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.turn_end_timeout = timeout)
    }

    /// How long nothing need be heard of a conversation before it is taken for lost and ended, with
    /// `turn.end_reason = conversation_lost`. Default: one hour.
    ///
    /// It bounds what a program costs that never ends its conversations.
    #[must_use]
    pub fn with_idle_limit(self, limit: Duration) -> Self {
        self.with(|settings| settings.idle_limit = limit)
    }

    /// The attribute `conversation.type`. Default: `voice`.
    #[must_use]
    pub fn with_conversation_type(self, kind: impl Into<String>) -> Self {
        self.with(|settings| settings.conversation_type = kind.into())
    }

    /// What is one trace. Default: [`TraceMode::Conversation`].
    #[must_use]
    pub fn with_trace_mode(self, mode: TraceMode) -> Self {
        self.with(|settings| settings.trace_mode = mode)
    }

    /// What of the words is read and kept. Default: everything, in bounds.
    ///
    /// The [processor](crate::ConversationProcessor::with_content) needs the same policy.
    #[must_use]
    pub fn with_content(self, content: ContentPolicy) -> Self {
        self.with(|settings| settings.content = content)
    }

    /// Fields of the conversation's scope that every span of the conversation is to carry, beside `conversation.id` and
    /// `turn.number`. Default: none.
    ///
    /// For what a backend filters single spans by, such as a tenant or a user.
    #[must_use]
    pub fn with_inherited<N: Into<String>>(self, fields: impl IntoIterator<Item = N>) -> Self {
        self.with(|settings| settings.inherited = fields.into_iter().map(Into::into).collect())
    }

    /// Goes by `clock` in place of the machine's, for tests and replays.
    #[must_use]
    pub fn with_clock(self, clock: ManualClock) -> Self {
        self.with(|settings| settings.clock = Some(clock))
    }

    /// Wraps `otel` in place of a lean layer that records no location, threads, inactivity and target.
    ///
    /// Spans are made with this layer's tracer all the same. Context activation has to be on, as it is by default.
    #[must_use]
    pub fn with_otel_layer(self, otel: OpenTelemetryLayer<S, SdkTracer>) -> Self {
        Self {
            inner: otel.with_tracer(LayerTracer::of(&self.core)),
            ..self.with(|settings| settings.otel_layer_is_lean = false)
        }
    }

    /// A handle to the conversations of this layer. To be taken after everything is set.
    pub fn conversations(&self) -> Conversations {
        Conversations(Arc::downgrade(&self.core))
    }

    fn with(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.core.settings.clone();
        set(&mut settings);
        let core = Core::new(self.core.tracer.clone(), settings, self.core.ours.clone());
        Self { core, ..self }
    }
}

/// The open conversations of a layer, all together. Cheap to clone; does not keep the layer alive.
#[derive(Clone)]
pub struct Conversations(Weak<Core>);

impl Conversations {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.upgrade().map_or(0, |core| core.table.len())
    }

    /// Ends all of them, as at the end of the program: their turns end with `turn.end_reason = conversation_ended`.
    pub fn end_all(&self) {
        if let Some(core) = self.0.upgrade() {
            core.end_all(EndReason::ConversationEnded);
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
            .field("settings", &self.core.settings)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.core.learn(dispatch);
        self.inner.on_register_dispatch(dispatch);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.inner.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.inner.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, ctx: Context<'_, S>) -> bool {
        self.inner.enabled(metadata, ctx)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.inner.max_level_hint()
    }

    fn event_enabled(&self, event: &Event<'_>, ctx: Context<'_, S>) -> bool {
        self.inner.event_enabled(event, ctx)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        match CallSite::of(attributes.metadata()) {
            CallSite::Conversation if !occupied() => self.new_conversation(attributes, id, ctx),
            CallSite::Service if !occupied() => {
                self.new_service(attributes, id, ctx, Wanted::default());
            }
            CallSite::PlacedService if !occupied() => {
                self.new_service(attributes, id, ctx, Wanted::among(attributes));
            }
            CallSite::Joining if !occupied() => self.join(attributes, id, ctx),
            _ if attributes.parent().is_some()
                || self.core.astray.load(Ordering::Relaxed)
                || !self.core.settings.otel_layer_is_lean =>
            {
                self.new_ordinary(attributes, id, ctx);
            }
            // Nothing is started by that.
            _ => self.aside.on_new_span(attributes, id, ctx),
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let ours = self.core.ours.may_have(id) && !occupied();
        if !ours || !self.record(id, &|visit| values.record(visit), &ctx) {
            self.inner.on_record(id, values, ctx);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        self.tell_if_service(id, &ctx);
        self.tell_if_service(follows, &ctx);
        if id != follows {
            undisturbed(|| self.inner.on_follows_from(id, follows, ctx));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        match CallSite::of(event.metadata()) {
            CallSite::Boundary if occupied() => {}
            CallSite::Boundary => self.boundary(event, &ctx),
            _ => {
                match event.parent() {
                    None if !entered::is_any() => {}
                    None => self.tell_innermost(&ctx),
                    Some(parent) => self.tell_if_service(parent, &ctx),
                }
                self.inner.on_event(event, ctx);
            }
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if self.core.ours.may_have(id) && self.enter_service(id, &ctx) {
            return;
        }
        // It starts the span, under a lock: a sampler or processor that emits something must not lead back to it.
        undisturbed(|| self.inner.on_enter(id, ctx));
        if self.core.awaits_enter.load(Ordering::Relaxed) != 0 {
            self.core.learn_by_default();
            self.scope_entered(id);
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        if entered::is_any() && entered::exit(&self.core, id) {
            return;
        }
        self.inner.on_exit(id, ctx);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let has_ended = self.core.ours.may_have(&id) && self.close(&id, &ctx);
        if !has_ended {
            undisturbed(|| self.inner.on_close(id, ctx));
        }
    }

    fn on_id_change(&self, old: &Id, new: &Id, ctx: Context<'_, S>) {
        self.inner.on_id_change(old, new, ctx);
    }

    // The one `unsafe` of the crate: `OpenTelemetrySpanExt` finds its way to a span through the wrapped layer's private
    // types, so whoever wraps that layer has to answer for them.
    //
    // SAFETY: every pointer returned is to `self` or to something that `self` owns and never replaces, so it is valid
    // as long as `self` is, and has the type whose id was asked for. What the wrapped layer answers is valid as long as
    // it is, which is as long as `self`.
    #[allow(unsafe_code)]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            Some(std::ptr::from_ref(self).cast())
        } else if id == TypeId::of::<Core>() {
            Some(std::ptr::from_ref(&*self.core).cast())
        } else if id == TypeId::of::<ContentPolicy>() {
            Some(std::ptr::from_ref(&self.core.settings.content).cast())
        } else if id == TypeId::of::<ConversationOf>() {
            Some(std::ptr::from_ref(&self.conversation_of).cast())
        } else {
            // SAFETY: as above.
            let answer = unsafe { self.inner.downcast_raw(id) };
            let is_its_own = id == TypeId::of::<OpenTelemetryLayer<S, LayerTracer>>();
            if answer.is_some() && !is_its_own {
                self.core.asked();
            }
            answer
        }
    }
}
