//! What a turn costs, in instructions (callgrind) and allocations (DHAT, as "Total blocks").
//!
//!     cargo install gungraun-runner --version 0.20.0 --locked   # and valgrind, from the system's packages
//!     cargo bench --bench turn
//!
//! Each benchmark runs one turn, or one ordinary span or event, after a warm-up of two. A turn is a turn span, three
//! service spans (stt, llm, tts) with two texts of 200 bytes each, recorded after they began, and eight boundary events; a
//! service span is entered once or, as a future that is polled often, twenty times. All variants end in the same
//! processor, which drops spans, and export the same attributes:
//!
//! - `a_turn`: this crate, with its processor; plain events and flat spans, everything else is derived. `asked` is a program
//!   that asks spans for their OpenTelemetry context: from then on, service spans go through the wrapped layer as well. `tracing_alone` has a layer that does nothing.
//! - `a_turn_nested_by_hand`: tracing-opentelemetry's layer, as it is by default and without location, threads,
//!   inactivity and target (`lean`); the program nests the spans and records what this crate derives. Its events become
//!   span events, as they do under that layer.
//! - `a_turn_by_hand`: the floor, the SDK alone, without `tracing`, without events, with every value known in advance.

#![allow(missing_docs)] // the harness's macros make public items

use gungraun::Dhat;
use gungraun::prelude::*;
use opentelemetry::trace::{
    Span as _, SpanBuilder, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData, SpanProcessor};
use std::hint::black_box;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Span, info, info_span};
use tracing_conversation::ConversationProcessor;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::prelude::*;

#[derive(Debug)]
struct Drops;

impl SpanProcessor for Drops {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}
    fn on_end(&self, span: SpanData) {
        black_box(span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn words(seed: u8) -> String {
    char::from(b'a' + seed).to_string().repeat(200)
}

/// Everything that is said in a turn, made before it is measured.
struct Words([String; 6]);

impl Words {
    fn new() -> Self {
        Self([0, 1, 2, 3, 4, 5].map(words))
    }
}

/// What is measured runs under this subscriber.
struct Under {
    _default: tracing::subscriber::DefaultGuard,
    _provider: SdkTracerProvider,
    _scope: Option<tracing::span::EnteredSpan>,
    words: Words,
}

fn ours() -> Under {
    let processor = ConversationProcessor::new(Drops);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let layer = tracing_conversation::layer(provider.tracer("bench"), &processor);
    let default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let scope = info_span!("conversation", conversation.id = "call-1").entered();
    let under = Under {
        _default: default,
        _provider: provider,
        _scope: Some(scope),
        words: Words::new(),
    };
    turn_of_ours(&under.words, 1);
    turn_of_ours(&under.words, 1);
    ordinary_span();
    ordinary_event();
    under
}

/// As in a program that asks spans for their OpenTelemetry context, to inject it into requests for instance.
fn ours_asked() -> Under {
    let under = ours();
    black_box(Span::current().context());
    turn_of_ours(&under.words, 1);
    turn_of_ours(&under.words, 1);
    under
}

fn ours_outside_a_conversation() -> Under {
    let mut under = ours();
    under._scope = None;
    under._scope = Some(info_span!("outer").entered());
    ordinary_span();
    ordinary_event();
    under
}

struct Idle;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Idle {}

/// What the calls cost where nobody makes anything of them.
fn tracing_alone() -> Under {
    let provider = SdkTracerProvider::builder().build();
    let under = Under {
        _default: tracing::subscriber::set_default(tracing_subscriber::registry().with(Idle)),
        _provider: provider,
        _scope: Some(info_span!("conversation", conversation.id = "call-1").entered()),
        words: Words::new(),
    };
    turn_of_ours(&under.words, 1);
    turn_of_ours(&under.words, 1);
    under
}

fn otel_default() -> Under {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Drops)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    otel(provider, layer)
}

fn otel_lean() -> Under {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Drops)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_tracer(provider.tracer("bench"));
    otel(provider, layer)
}

fn otel(
    provider: SdkTracerProvider,
    layer: tracing_opentelemetry::OpenTelemetryLayer<tracing_subscriber::Registry, SdkTracer>,
) -> Under {
    let default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let scope = info_span!("outer").entered();
    let under = Under {
        _default: default,
        _provider: provider,
        _scope: Some(scope),
        words: Words::new(),
    };
    turn_nested_by_hand(&under.words, 1);
    turn_nested_by_hand(&under.words, 1);
    ordinary_span();
    ordinary_event();
    under
}

fn raw() -> (SdkTracerProvider, SdkTracer, Words) {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Drops)
        .build();
    let tracer = provider.tracer("bench");
    let words = Words::new();
    turn_by_hand(&tracer, &words);
    turn_by_hand(&tracer, &words);
    (provider, tracer, words)
}

fn poll(span: &Span, times: usize) {
    for _ in 0..times {
        span.in_scope(|| black_box(()));
    }
}

/// The service spans, alike in all variants that use `tracing`: whatever is known when a service starts is given then,
/// and two texts are recorded later. `$more` are the fields that a program declares which derives figures by itself.
macro_rules! stt {
    ($($more:tt)*) => {
        info_span!(
            "stt",
            gen_ai.operation.name = "stt",
            gen_ai.provider.name = "deepgram",
            gen_ai.request.model = "nova-3",
            language = "en",
            transcript = Empty,
            stt.alternative = Empty,
            $($more)*
        )
    };
}

macro_rules! llm {
    ($($more:tt)*) => {
        info_span!(
            "llm",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "openai",
            gen_ai.request.model = "gpt-4o",
            gen_ai.request.temperature = 0.7,
            input = Empty,
            output = Empty,
            $($more)*
        )
    };
}

macro_rules! tts {
    ($($more:tt)*) => {
        info_span!(
            "tts",
            gen_ai.operation.name = "tts",
            gen_ai.provider.name = "cartesia",
            gen_ai.request.model = "sonic-2",
            voice_id = "reading-lady",
            text = Empty,
            tts.second = Empty,
            $($more)*
        )
    };
}

/// A turn as a program tells it: boundary events and flat service spans. Turn, place and figures are the layer's.
fn turn_of_ours(Words(words): &Words, polls: usize) {
    info!(
        conversation.event = "vad_user_started_speaking",
        start_secs = 0.2
    );
    info!(conversation.event = "user_started_speaking");
    let span = stt!();
    poll(&span, polls);
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.2
    );
    span.record("transcript", &*words[0])
        .record("stt.alternative", &*words[1]);
    drop(span);
    info!(conversation.event = "user_stopped_speaking");
    let span = llm!();
    span.record("input", &*words[2]);
    poll(&span, polls);
    info!(parent: &span, conversation.event = "first_byte");
    span.record("output", &*words[3]);
    drop(span);
    let span = tts!();
    span.record("text", &*words[4]);
    poll(&span, polls);
    info!(parent: &span, conversation.event = "first_byte");
    info!(conversation.event = "bot_started_speaking");
    span.record("tts.second", &*words[5]);
    drop(span);
    info!(conversation.event = "bot_stopped_speaking");
}

/// The same by `tracing` alone: the turn's span nested by hand, and every attribute that the layer derives recorded by
/// the program, which has to reckon it too (not counted here).
fn turn_nested_by_hand(Words(words): &Words, polls: usize) {
    let turn = info_span!(
        "turn",
        conversation.id = "call-1",
        turn.number = 3_i64,
        turn.type = "conversation",
        turn.duration_seconds = Empty,
        turn.was_interrupted = Empty,
        turn.end_reason = Empty,
        turn.user_bot_latency_seconds = Empty,
        turn.latency.measured_from = Empty,
        turn.latency.endpointing_wait = Empty,
        turn.input = Empty,
        turn.output = Empty,
    );
    let _entered = turn.enter();
    info!(event = "vad_user_started_speaking", start_secs = 0.2);
    info!(event = "user_started_speaking");
    let span = stt!(
        conversation.id = "call-1",
        turn.number = 3_i64,
        metrics.ttfb = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
    );
    poll(&span, polls);
    info!(event = "vad_user_stopped_speaking", stop_secs = 0.2);
    span.record("transcript", &*words[0])
        .record("stt.alternative", &*words[1]);
    figures(&span);
    drop(span);
    info!(event = "user_stopped_speaking");
    let span = llm!(
        conversation.id = "call-1",
        turn.number = 3_i64,
        gen_ai.output.type = "text",
        metrics.ttfb = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
    );
    span.record("input", &*words[2]);
    poll(&span, polls);
    info!(parent: &span, event = "first_byte");
    span.record("output", &*words[3]);
    figures(&span);
    drop(span);
    let span = tts!(
        conversation.id = "call-1",
        turn.number = 3_i64,
        gen_ai.output.type = "speech",
        metrics.ttfb = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
        metrics.character_count = Empty,
    );
    span.record("text", &*words[4]);
    poll(&span, polls);
    info!(parent: &span, event = "first_byte");
    info!(event = "bot_started_speaking");
    span.record("tts.second", &*words[5])
        .record("metrics.character_count", 200_i64);
    figures(&span);
    drop(span);
    info!(event = "bot_stopped_speaking");
    turn.record("turn.duration_seconds", 1.5)
        .record("turn.was_interrupted", false)
        .record("turn.end_reason", "user_spoke")
        .record("turn.user_bot_latency_seconds", 0.6)
        .record("turn.latency.measured_from", "user_silence")
        .record("turn.latency.endpointing_wait", 0.2)
        .record("turn.input", &*words[0])
        .record("turn.output", &*words[4]);
}

fn figures(span: &Span) {
    span.record("metrics.ttfb", 0.2)
        .record("gen_ai.response.time_to_first_chunk", 0.2);
}

/// The floor: the same spans made with the SDK, every attribute known in advance, no events, nothing entered.
fn turn_by_hand(tracer: &SdkTracer, Words(words): &Words) {
    let turn = tracer.build(SpanBuilder::from_name("turn").with_attributes(vec![
        KeyValue::new("conversation.id", "call-1"),
        KeyValue::new("turn.number", 3_i64),
        KeyValue::new("turn.type", "conversation"),
        KeyValue::new("turn.duration_seconds", 1.5),
        KeyValue::new("turn.was_interrupted", false),
        KeyValue::new("turn.end_reason", "user_spoke"),
        KeyValue::new("turn.user_bot_latency_seconds", 0.6),
        KeyValue::new("turn.latency.measured_from", "user_silence"),
        KeyValue::new("turn.latency.endpointing_wait", 0.2),
        KeyValue::new("turn.input", words[0].clone()),
        KeyValue::new("turn.output", words[4].clone()),
    ]));
    let turn = Context::new().with_span(turn);
    let service = |name, provider, model, keys: [&'static str; 2], texts: [&String; 2], more| {
        let mut attributes: Vec<KeyValue> = more;
        attributes.extend([
            KeyValue::new("conversation.id", "call-1"),
            KeyValue::new("turn.number", 3_i64),
            KeyValue::new("gen_ai.operation.name", name),
            KeyValue::new("gen_ai.provider.name", provider),
            KeyValue::new("gen_ai.request.model", model),
            KeyValue::new("metrics.ttfb", 0.2),
            KeyValue::new("gen_ai.response.time_to_first_chunk", 0.2),
            KeyValue::new(keys[0], texts[0].clone()),
            KeyValue::new(keys[1], texts[1].clone()),
        ]);
        let builder = SpanBuilder::from_name(name).with_attributes(attributes);
        tracer.build_with_context(builder, &turn).end();
    };
    service(
        "stt",
        "deepgram",
        "nova-3",
        ["transcript", "stt.alternative"],
        [&words[0], &words[1]],
        vec![KeyValue::new("language", "en")],
    );
    service(
        "llm",
        "openai",
        "gpt-4o",
        ["input", "output"],
        [&words[2], &words[3]],
        vec![
            KeyValue::new("gen_ai.request.temperature", 0.7),
            KeyValue::new("gen_ai.output.type", "text"),
        ],
    );
    service(
        "tts",
        "cartesia",
        "sonic-2",
        ["text", "tts.second"],
        [&words[4], &words[5]],
        vec![
            KeyValue::new("voice_id", "reading-lady"),
            KeyValue::new("gen_ai.output.type", "speech"),
            KeyValue::new("metrics.character_count", 200_i64),
        ],
    );
    turn.span().end();
}

fn ordinary_span() {
    let span = info_span!("GET", http.request.method = "GET", url.path = "/health");
    span.in_scope(|| black_box(()));
}

fn ordinary_event() {
    info!(bytes = 17_i64, "read");
}

#[library_benchmark]
#[bench::raw_sdk(raw())]
fn a_turn_by_hand(
    (provider, tracer, words): (SdkTracerProvider, SdkTracer, Words),
) -> (SdkTracerProvider, Words) {
    turn_by_hand(&tracer, &words);
    (provider, words)
}

#[library_benchmark]
#[bench::ours_1_poll(ours(), 1)]
#[bench::ours_20_polls(ours(), 20)]
#[bench::ours_asked_1_poll(ours_asked(), 1)]
#[bench::tracing_alone_1_poll(tracing_alone(), 1)]
fn a_turn(under: Under, polls: usize) -> Under {
    turn_of_ours(&under.words, polls);
    under
}

#[library_benchmark]
#[bench::otel_default_1_poll(otel_default(), 1)]
#[bench::otel_default_20_polls(otel_default(), 20)]
#[bench::otel_lean_1_poll(otel_lean(), 1)]
fn a_turn_nested_by_hand(under: Under, polls: usize) -> Under {
    turn_nested_by_hand(&under.words, polls);
    under
}

#[library_benchmark]
#[bench::otel_alone(otel_lean())]
#[bench::ours(ours_outside_a_conversation())]
#[bench::ours_in_a_conversation(ours())]
fn an_ordinary_span(under: Under) -> Under {
    ordinary_span();
    under
}

#[library_benchmark]
#[bench::otel_alone(otel_lean())]
#[bench::ours(ours_outside_a_conversation())]
fn an_ordinary_event(under: Under) -> Under {
    ordinary_event();
    under
}

library_benchmark_group!(
    name = turns,
    benchmarks = [
        a_turn_by_hand,
        a_turn,
        a_turn_nested_by_hand,
        an_ordinary_span,
        an_ordinary_event
    ]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Dhat::default()),
    library_benchmark_groups = turns
);
