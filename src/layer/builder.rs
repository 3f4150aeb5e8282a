//! The settings of a layer.

use super::callsite::Callsites;
use super::neighbour::Neighbour;
use super::tracer::LayerTracer;
use super::{ConversationLayer, LayerState};
use crate::clock::ManualClock;
use crate::observe::{Observer, Observers, SummarySinks};
use crate::prices::Prices;
use crate::recording::ConversationProcessor;
use crate::rules::Rules;
use crate::settings::{LayerSettings, TraceMode};
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::Arc;
use std::time::Duration;
#[cfg(feature = "testing")]
use tracing_core::LevelFilter;
use tracing_core::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// A layer that starts its spans with `tracer` and hands those that are its own to `processor`.
///
/// `tracer` comes from a provider that has a clone of the same processor. The layer takes the place of
/// `tracing_opentelemetry::layer().with_tracer(tracer)`, which it wraps: a registry has room for one of the two.
///
/// ```
/// use opentelemetry::trace::TracerProvider as _;
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
/// use tracing_conversation::ConversationProcessor;
/// use tracing_subscriber::prelude::*;
///
/// let exporter = InMemorySpanExporter::default();
/// let processor = ConversationProcessor::new(SimpleSpanProcessor::new(exporter.clone()));
/// let provider = SdkTracerProvider::builder()
///     .with_span_processor(processor.clone())
///     .build();
/// let layer = tracing_conversation::layer(provider.tracer("my-agent"), &processor);
/// let subscriber = tracing_subscriber::registry().with(layer);
/// tracing::subscriber::with_default(subscriber, || {
///     let conversation = tracing::info_span!("conversation", conversation.id = "call-1");
///     conversation.in_scope(|| tracing::info!(conversation.event = "user_started_speaking"));
/// });
/// let names: Vec<_> = exporter.get_finished_spans().unwrap().into_iter().map(|s| s.name).collect();
/// assert_eq!(names, ["turn", "conversation"]);
/// ```
pub fn layer<S>(tracer: SdkTracer, processor: &ConversationProcessor) -> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    ConversationLayer::builder(tracer, processor).build()
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// Settings for a layer that starts its spans with `tracer` and hands those that are its own to `processor`; see
    /// [`layer`].
    pub fn builder(tracer: SdkTracer, processor: &ConversationProcessor) -> LayerBuilder<S> {
        LayerBuilder::new(tracer, processor)
    }
}

/// Settings of a [`ConversationLayer`], each with a default.
///
/// Made by [`ConversationLayer::builder`]. What may be exported is set on the
/// [processor](ConversationProcessor::with_content).
#[must_use = "a builder does nothing until `build`"]
pub struct LayerBuilder<S> {
    tracer: SdkTracer,
    processor: ConversationProcessor,
    settings: LayerSettings,
    sinks: SummarySinks,
    observers: Vec<Arc<dyn Observer>>,
    otel_layer: Option<OpenTelemetryLayer<S, SdkTracer>>,
    has_span_ext: bool,
}

impl<S> LayerBuilder<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn new(tracer: SdkTracer, processor: &ConversationProcessor) -> Self {
        Self {
            tracer,
            processor: processor.clone(),
            settings: LayerSettings::default(),
            sinks: SummarySinks::default(),
            observers: Vec::new(),
            otel_layer: None,
            has_span_ext: true,
        }
    }

    #[cfg(feature = "setup")]
    pub(crate) fn settings(self, settings: LayerSettings) -> Self {
        Self { settings, ..self }
    }

    #[cfg(feature = "setup")]
    pub(crate) fn sinks(self, sinks: SummarySinks) -> Self {
        Self { sinks, ..self }
    }

    /// The rules so far.
    #[cfg(feature = "testing")]
    pub(crate) fn own_rules(&self) -> Rules {
        self.settings.rules.clone()
    }

    /// From which level upwards the layer's filter lets ordinary spans and events through.
    #[cfg(feature = "testing")]
    pub(crate) fn level(mut self, level: LevelFilter) -> Self {
        self.settings.level = level;
        self
    }

    /// How long the bot is silent before its turn ends. Default: 2.5 seconds, as in Pipecat.
    ///
    /// Shorter where the bot never pauses within an answer; longer where slow tools make it do so.
    pub fn turn_end_timeout(mut self, timeout: Duration) -> Self {
        self.settings.turn_end_timeout = timeout;
        self
    }

    /// After how long without any event a conversation counts as lost and is ended, with
    /// `turn.end_reason = conversation_lost`. Default: one hour.
    ///
    /// It bounds the memory of a program that never ends its conversations.
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.settings.idle_limit = limit;
        self
    }

    /// The attribute `conversation.type`. Default: `voice`.
    pub fn conversation_type(mut self, kind: impl Into<String>) -> Self {
        self.settings.conversation_type = kind.into();
        self
    }

    /// What is one trace. Default: [`TraceMode::Conversation`].
    pub fn trace_mode(mut self, mode: TraceMode) -> Self {
        self.settings.trace_mode = mode;
        self
    }

    /// Fields of the conversation's scope that every span of the conversation carries, beside `conversation.id`,
    /// `turn.number`, the user (`user.id`, `enduser.id`, `user_id`) and the tags (`tags`, `conversation.tags`). Default: none.
    ///
    /// For what a backend filters single spans by, such as a tenant. Where the scope has no such field, an entry of
    /// that name in the baggage that the conversation is started with takes its place.
    pub fn inherited<N: Into<String>>(mut self, fields: impl IntoIterator<Item = N>) -> Self {
        self.settings.inherited = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a conversation is a trace of its own, with a link to the span that it is started in. Default: no, it
    /// continues the trace of that span.
    ///
    /// For calls that outlive the request that begins them: a trace is sampled with its root, and many backends close it
    /// with that. What the caller decided on sampling does not count then.
    pub fn link_to_caller(mut self, link: bool) -> Self {
        self.settings.links_to_caller = link;
        self
    }

    /// What models cost: service, turn and conversation spans then carry `usage.cost_usd`. Default: no prices, no costs.
    pub fn prices(mut self, prices: Prices) -> Self {
        self.settings.prices = Some(prices);
        self
    }

    /// What the program's own spans and events mean, behind the rules that it has already. Default: none.
    ///
    /// A rule that cannot be used ([`Rules::check`]) is left out, with a warning.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.settings.rules = std::mem::take(&mut self.settings.rules).and(rules);
        self
    }

    /// Goes by `clock` in place of the machine's, for tests and replays. Ordinary spans then start when they are first
    /// entered.
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.settings.clock = Some(clock);
        self
    }

    /// Feeds the [metrics](crate#metrics) of its conversations to `provider`, whether their traces are sampled or not. Called
    /// again, it feeds a further one.
    ///
    /// Flush or shut the provider down after the last conversation has ended.
    #[cfg(feature = "metrics")]
    pub fn with_meter_provider(
        mut self,
        provider: &impl opentelemetry::metrics::MeterProvider,
    ) -> Self {
        let metrics = crate::metrics::Metrics::new(provider);
        let sink = crate::metrics::MetricsSink(metrics);
        self.sinks.push(std::sync::Arc::new(sink));
        self
    }

    /// Whether [`OpenTelemetrySpanExt`](tracing_opentelemetry::OpenTelemetrySpanExt) and
    /// [`get_otel_context`](tracing_opentelemetry::get_otel_context) reach service spans. Default: yes.
    ///
    /// Without it a service span costs about a third less; ordinary spans below it are still traced below it, and code
    /// in it still has its context as the current one of OpenTelemetry. `set_parent`, `set_attribute` and their like do
    /// nothing to it. Of service spans in a conversation that the sampler has dropped nothing is kept: code in them has
    /// the context of the conversation's span.
    pub fn span_ext(mut self, reaches: bool) -> Self {
        self.has_span_ext = reaches;
        self
    }

    /// Wraps `otel` in place of a lean layer that records no location, threads, inactivity and target of ordinary spans.
    ///
    /// Spans are started with the tracer of the builder all the same. Context activation has to be on, as it is by
    /// default.
    pub fn otel_layer(mut self, otel: OpenTelemetryLayer<S, SdkTracer>) -> Self {
        self.otel_layer = Some(otel);
        self
    }

    /// Has `observer` called with the turns, services and conversations of the layer; see [`observe`](crate::observe). Called
    /// again, it adds one more.
    ///
    /// They are called on one thread of their own, with what is not sampled as well. `force_flush` and `shutdown` of the provider
    /// that the processor is part of wait for them.
    pub fn with_observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// The layer.
    pub fn build(mut self) -> ConversationLayer<S> {
        if let Some(observers) = Observers::new(&self.observers, self.processor.content()) {
            self.processor.wait_for(observers.clone());
            self.sinks.push(Arc::new(observers));
        }
        let state = LayerState::new(
            self.tracer.clone(),
            self.processor,
            self.settings,
            self.sinks,
        );
        let clock = state.shared.settings.clock.clone();
        let tracer = LayerTracer::new(self.tracer, state.tracked.clone(), clock);
        let wrapped = match self.otel_layer {
            Some(otel) => otel.with_tracer(tracer),
            // What these add to every span costs more than it tells of a voice agent.
            None => tracing_opentelemetry::layer()
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_target(false)
                .with_tracer(tracer),
        };
        ConversationLayer {
            state,
            callsites: Callsites::new(),
            wrapped,
            has_span_ext: self.has_span_ext,
            neighbour: Neighbour::unknown(),
        }
    }
}

impl<S> std::fmt::Debug for LayerBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
