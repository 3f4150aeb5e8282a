//! What the programs run under: this crate's layer in several settings, tracing-opentelemetry's, none.

use crate::drops::Drops;
use crate::programs::{Words, ordinary_event, ordinary_span, turn_by_hand, turn_by_hand_live};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::info_span;
use tracing_subscriber::prelude::*;

/// A subscriber, and the span that the measured program is in.
pub(crate) struct Subscriber {
    scopes: Vec<tracing::span::EnteredSpan>,
    _default: tracing::subscriber::DefaultGuard,
    _provider: SdkTracerProvider,
    pub(crate) words: Words,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // The innermost first.
        while self.scopes.pop().is_some() {}
    }
}

impl Subscriber {
    /// Below `depth` spans in place of those that it is in.
    fn below(mut self, depth: usize) -> Self {
        while self.scopes.pop().is_some() {}
        for _ in 0..depth {
            self.scopes.push(info_span!("outer").entered());
        }
        ordinary_event();
        ordinary_span();
        ordinary_span();
        self
    }

    fn warm_up(self, turn: fn(&Words)) -> Self {
        turn(&self.words);
        turn(&self.words);
        ordinary_event();
        ordinary_span();
        self
    }
}

/// This crate's layer.
pub(crate) mod ours {
    use super::*;
    use crate::programs::{
        contract_event, contract_event_with_field, event_by_message, event_by_target,
        event_with_field, turn_by_macros, turn_of_ours,
    };
    use opentelemetry_sdk::trace::{Sampler, TracerProviderBuilder};
    use tracing_conversation::observe::Observer;
    use tracing_conversation::rules::{Match, Operation, Rules, Source};
    use tracing_conversation::{
        Conversation, ConversationLayer, ConversationProcessor, LayerBuilder,
    };
    use tracing_subscriber::{Registry, filter::LevelFilter};

    fn with(
        processor: ConversationProcessor,
        set_provider: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
        set_layer: impl FnOnce(LayerBuilder<Registry>) -> LayerBuilder<Registry>,
        filter: LevelFilter,
    ) -> Subscriber {
        let provider = set_provider(SdkTracerProvider::builder())
            .with_span_processor(processor.clone())
            .build();
        let builder = ConversationLayer::builder(provider.tracer("bench"), &processor);
        let layer = set_layer(builder).build();
        let registry = tracing_subscriber::registry().with(layer).with(filter);
        let default = tracing::subscriber::set_default(registry);
        let subscriber = Subscriber {
            _default: default,
            _provider: provider,
            scopes: vec![info_span!("conversation", conversation.id = "call-1").entered()],
            words: Words::new(),
        };
        subscriber.warm_up(|words| turn_of_ours(words, 1))
    }

    fn processor() -> ConversationProcessor {
        ConversationProcessor::new(Drops)
    }

    /// As it is by default.
    pub(crate) fn default() -> Subscriber {
        with(processor(), |it| it, |it| it, LevelFilter::TRACE)
    }

    /// Where `OpenTelemetrySpanExt` does not reach service spans.
    pub(crate) fn without_span_ext() -> Subscriber {
        with(
            processor(),
            |it| it,
            |it| it.span_ext(false),
            LevelFilter::TRACE,
        )
    }

    /// Where the macros and the functions of `event` have been used before.
    pub(crate) fn warm_for_macros() -> Subscriber {
        without_span_ext().warm_up(turn_by_macros)
    }

    /// Where rules adopt events, none of which is of [`turn_of_ours`].
    pub(crate) fn with_rules() -> Subscriber {
        let rules = Rules::new()
            .event(Match::target("turns::release"), "user_stopped_speaking")
            .event(
                Match::target("turns").message("released"),
                "user_stopped_speaking",
            )
            .event(
                Match::target("vad").message("silence"),
                "vad_user_stopped_speaking",
            )
            .field("stop_secs", Source::millis("silence_ms"))
            .service(Match::span("ask"), Operation::Chat)
            .field("gen_ai.request.model", "model");
        let subscriber = with(
            processor(),
            |it| it,
            |it| it.rules(rules),
            LevelFilter::TRACE,
        );
        for event in [
            contract_event,
            event_by_target,
            event_by_message,
            contract_event_with_field,
            event_with_field,
            ordinary_event,
            ordinary_span,
        ] {
            event();
            event();
        }
        subscriber
    }

    #[cfg(feature = "attributes")]
    pub(crate) fn warm_for_attributes() -> Subscriber {
        without_span_ext().warm_up(crate::programs::turn_by_attributes)
    }

    pub(crate) fn with_two_processors() -> Subscriber {
        let processor = processor().and(Drops);
        with(
            processor,
            |it| it,
            |it| it.span_ext(false),
            LevelFilter::TRACE,
        )
    }

    /// Where metrics are fed to a provider of the program's. Needs the feature `metrics`; the same as the default without.
    pub(crate) fn with_metrics() -> Subscriber {
        #[cfg(feature = "metrics")]
        let set = {
            use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
            let reader = PeriodicReader::builder(Drops).build();
            let provider = SdkMeterProvider::builder().with_reader(reader).build();
            move |it: LayerBuilder<Registry>| it.with_meter_provider(&provider)
        };
        #[cfg(not(feature = "metrics"))]
        let set = |it| it;
        with(processor(), |it| it, set, LevelFilter::TRACE)
    }

    /// With an observer, which does nothing. Its thread is not measured.
    pub(crate) fn with_an_observer() -> Subscriber {
        struct Nothing;
        impl Observer for Nothing {}
        with(
            processor(),
            |it| it,
            |it| it.span_ext(false).with_observer(Nothing),
            LevelFilter::TRACE,
        )
    }

    pub(crate) fn sampled_out() -> Subscriber {
        let never = |it: TracerProviderBuilder| it.with_sampler(Sampler::AlwaysOff);
        with(
            processor(),
            never,
            |it| it.span_ext(false),
            LevelFilter::TRACE,
        )
    }

    pub(crate) fn disabled() -> Subscriber {
        with(processor(), |it| it, |it| it, LevelFilter::OFF)
    }

    /// Outside the scope.
    pub(crate) fn with_a_handle() -> (Subscriber, Conversation) {
        let mut subscriber = without_span_ext();
        let scope = subscriber
            .scopes
            .pop()
            .map(tracing::span::EnteredSpan::exit);
        let conversation = Conversation::by_id("call-1").expect("it is open");
        std::mem::forget(scope);
        conversation.in_scope(|| turn_of_ours(&subscriber.words, 1));
        (subscriber, conversation)
    }

    /// Below `depth` spans, after a conversation that is over.
    pub(crate) fn outside_a_conversation(depth: usize) -> Subscriber {
        default().below(depth)
    }
}

/// tracing-opentelemetry's layer.
pub(crate) mod otel {
    use super::*;
    use crate::programs::turn_nested_by_hand;
    use tracing_opentelemetry::OpenTelemetryLayer;
    use tracing_subscriber::{Registry, filter::LevelFilter};

    fn with(
        set: impl FnOnce(
            OpenTelemetryLayer<Registry, SdkTracer>,
        ) -> OpenTelemetryLayer<Registry, SdkTracer>,
    ) -> Subscriber {
        let provider = provider();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
        // The same filter as over this crate's layer: it takes part in every hook.
        let registry = tracing_subscriber::registry()
            .with(set(layer))
            .with(LevelFilter::TRACE);
        let default = tracing::subscriber::set_default(registry);
        let subscriber = Subscriber {
            _default: default,
            _provider: provider,
            scopes: vec![info_span!("outer").entered()],
            words: Words::new(),
        };
        subscriber.warm_up(|words| turn_nested_by_hand(words, 1, true))
    }

    /// As it is by default.
    pub(crate) fn default() -> Subscriber {
        with(|layer| layer)
    }

    /// The same below `depth` spans.
    pub(crate) fn lean_below(depth: usize) -> Subscriber {
        lean().below(depth)
    }

    /// Without location, threads, inactivity and target.
    pub(crate) fn lean() -> Subscriber {
        with(|layer| {
            layer
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_target(false)
        })
    }
}

struct Idle;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Idle {}

/// A layer that does nothing.
pub(crate) fn tracing_alone() -> Subscriber {
    let subscriber = Subscriber {
        _default: tracing::subscriber::set_default(tracing_subscriber::registry().with(Idle)),
        _provider: SdkTracerProvider::builder().build(),
        scopes: vec![info_span!("conversation", conversation.id = "call-1").entered()],
        words: Words::new(),
    };
    subscriber.warm_up(|words| crate::programs::turn_of_ours(words, 1))
}

fn provider() -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_span_processor(Drops)
        .build()
}

/// The SDK alone.
pub(crate) fn raw() -> (SdkTracerProvider, SdkTracer, Words) {
    let provider = provider();
    let tracer = provider.tracer("bench");
    let words = Words::new();
    for _ in 0..2 {
        turn_by_hand(&tracer, &words);
        turn_by_hand_live(&tracer, &words);
    }
    (provider, tracer, words)
}
