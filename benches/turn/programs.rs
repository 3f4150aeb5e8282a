//! The programs that are measured: a turn in each of its forms, an ordinary span, an ordinary event.

use opentelemetry::trace::{Span as _, SpanBuilder, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use std::hint::black_box;
use tracing::field::Empty;
use tracing::{Span, info, info_span};
use tracing_conversation::{Conversation, event, llm_span, stt_span, tts_span};

fn words(seed: u8) -> String {
    char::from(b'a' + seed).to_string().repeat(200)
}

/// Everything that is said in a turn, made before it is measured.
pub(crate) struct Words([String; 6]);

impl Words {
    pub(crate) fn new() -> Self {
        Self([0, 1, 2, 3, 4, 5].map(words))
    }
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

/// A turn in plain `tracing`: boundary events and flat service spans. Turn, nesting and figures are the layer's.
pub(crate) fn turn_of_ours(Words(words): &Words, polls: usize) {
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
pub(crate) fn turn_nested_by_hand(Words(words): &Words, polls: usize, with_events: bool) {
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
    if with_events {
        info!(event = "vad_user_started_speaking", start_secs = 0.2);
    }
    if with_events {
        info!(event = "user_started_speaking");
    }
    let span = stt!(
        conversation.id = "call-1",
        turn.number = 3_i64,
        metrics.ttfb = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
    );
    poll(&span, polls);
    if with_events {
        info!(event = "vad_user_stopped_speaking", stop_secs = 0.2);
    }
    span.record("transcript", &*words[0])
        .record("stt.alternative", &*words[1]);
    figures(&span);
    drop(span);
    if with_events {
        info!(event = "user_stopped_speaking");
    }
    let span = llm!(
        conversation.id = "call-1",
        turn.number = 3_i64,
        gen_ai.output.type = "text",
        metrics.ttfb = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
    );
    span.record("input", &*words[2]);
    poll(&span, polls);
    if with_events {
        info!(parent: &span, event = "first_byte");
    }
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
    if with_events {
        info!(parent: &span, event = "first_byte");
    }
    if with_events {
        info!(event = "bot_started_speaking");
    }
    span.record("tts.second", &*words[5])
        .record("metrics.character_count", 200_i64);
    figures(&span);
    drop(span);
    if with_events {
        info!(event = "bot_stopped_speaking");
    }
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
pub(crate) fn turn_by_hand(tracer: &SdkTracer, Words(words): &Words) {
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

pub(crate) fn ordinary_span() {
    let span = info_span!("GET", http.request.method = "GET", url.path = "/health");
    span.in_scope(|| black_box(()));
}

pub(crate) fn ordinary_event() {
    info!(bytes = 17_i64, "read");
}

/// A boundary event that changes nothing in a turn that is under way.
pub(crate) fn contract_event() {
    info!(conversation.event = "user_stopped_speaking");
}

/// The same of a program that is adopted by rules.
pub(crate) fn event_by_target() {
    info!(target: "turns::release", turn = 1_i64);
}

pub(crate) fn event_by_message() {
    info!(target: "turns", "released");
}

pub(crate) fn contract_event_with_field() {
    info!(
        conversation.event = "vad_user_stopped_speaking",
        stop_secs = 0.2
    );
}

pub(crate) fn event_with_field() {
    info!(target: "vad", silence_ms = 200_i64, "silence");
}

/// The turn of [`turn_of_ours`] with the functions of `event` and the span macros.
pub(crate) fn turn_by_macros(Words(words): &Words) {
    event::vad_user_started_speaking(0.2);
    event::user_started_speaking();
    let span = stt_span!(
        gen_ai.provider.name = "deepgram",
        gen_ai.request.model = "nova-3",
        language = "en",
        stt.alternative = Empty,
    );
    poll(&span, 1);
    event::vad_user_stopped_speaking(0.2);
    span.record("transcript", &*words[0])
        .record("stt.alternative", &*words[1]);
    drop(span);
    event::user_stopped_speaking();
    let span = llm_span!(
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "gpt-4o",
        gen_ai.request.temperature = 0.7,
    );
    span.record("input", &*words[2]);
    poll(&span, 1);
    event::in_span(&span).first_byte();
    span.record("output", &*words[3]);
    drop(span);
    let span = tts_span!(
        gen_ai.provider.name = "cartesia",
        gen_ai.request.model = "sonic-2",
        voice_id = "reading-lady",
        tts.second = Empty,
    );
    span.record("text", &*words[4]);
    poll(&span, 1);
    event::in_span(&span).first_byte();
    event::bot_started_speaking();
    span.record("tts.second", &*words[5]);
    drop(span);
    event::bot_stopped_speaking();
}

/// The turn of [`turn_by_macros`] in functions with attributes, which record what they return.
#[cfg(feature = "attributes")]
pub(crate) fn turn_by_attributes(Words(words): &Words) {
    use tracing_conversation::instrument::Recorder;
    use tracing_conversation::{traced_llm, traced_stt, traced_tts};

    #[traced_stt(
        record: |said: &&[String], recorder: &mut Recorder<'_>| {
            recorder.transcript(&said[0], true);
            recorder.span().record("stt.alternative", &*said[1]);
        },
        gen_ai.provider.name = "deepgram",
        gen_ai.request.model = "nova-3",
        language = "en",
        stt.alternative = Empty,
    )]
    fn transcribe(words: &[String]) -> &[String] {
        event::vad_user_stopped_speaking(0.2);
        words
    }

    #[traced_llm(
        record: |answer: &&str, recorder: &mut Recorder<'_>| { recorder.output(answer); },
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "gpt-4o",
        gen_ai.request.temperature = 0.7,
        input = question,
    )]
    fn complete<'a>(question: &str, answer: &'a str) -> &'a str {
        black_box(question);
        answer
    }

    #[traced_tts(
        record: |second: &&str, recorder: &mut Recorder<'_>| {
            recorder.span().record("tts.second", *second);
        },
        gen_ai.provider.name = "cartesia",
        gen_ai.request.model = "sonic-2",
        voice_id = "reading-lady",
        text = text,
        tts.second = Empty,
    )]
    fn speak<'a>(text: &str, second: &'a str) -> &'a str {
        black_box(text);
        event::first_byte();
        event::bot_started_speaking();
        second
    }

    event::vad_user_started_speaking(0.2);
    event::user_started_speaking();
    black_box(transcribe(&words[0..2]));
    event::user_stopped_speaking();
    black_box(complete(&words[2], &words[3]));
    black_box(speak(&words[4], &words[5]));
    event::bot_stopped_speaking();
}

/// The turn of [`turn_of_ours`] in code that has a handle and no scope.
pub(crate) fn turn_by_handle(words: &Words, conversation: &Conversation) {
    conversation.in_scope(|| turn_of_ours(words, 1));
}

/// The SDK by hand as a program that runs would use it: attributes are set as they become known, the context of each
/// span is active meanwhile.
pub(crate) fn turn_by_hand_live(tracer: &SdkTracer, Words(words): &Words) {
    let turn = tracer.build(SpanBuilder::from_name("turn").with_attributes(vec![
        KeyValue::new("conversation.id", "call-1"),
        KeyValue::new("turn.number", 3_i64),
        KeyValue::new("turn.type", "conversation"),
    ]));
    let turn = Context::new().with_span(turn);
    let _turn = turn.clone().attach();
    let service = |name: &'static str, known: Vec<KeyValue>, later: Vec<KeyValue>| {
        let mut attributes = vec![
            KeyValue::new("conversation.id", "call-1"),
            KeyValue::new("turn.number", 3_i64),
            KeyValue::new("gen_ai.operation.name", name),
        ];
        attributes.extend(known);
        let builder = SpanBuilder::from_name(name).with_attributes(attributes);
        let context = Context::current_with_span(tracer.build(builder));
        let _active = context.clone().attach();
        let span = context.span();
        for attribute in later {
            span.set_attribute(attribute);
        }
        span.set_attribute(KeyValue::new("metrics.ttfb", 0.2));
        span.set_attribute(KeyValue::new("gen_ai.response.time_to_first_chunk", 0.2));
        span.end();
    };
    service(
        "stt",
        vec![
            KeyValue::new("gen_ai.provider.name", "deepgram"),
            KeyValue::new("gen_ai.request.model", "nova-3"),
            KeyValue::new("language", "en"),
        ],
        vec![
            KeyValue::new("transcript", words[0].clone()),
            KeyValue::new("stt.alternative", words[1].clone()),
        ],
    );
    service(
        "llm",
        vec![
            KeyValue::new("gen_ai.provider.name", "openai"),
            KeyValue::new("gen_ai.request.model", "gpt-4o"),
            KeyValue::new("gen_ai.request.temperature", 0.7),
            KeyValue::new("gen_ai.output.type", "text"),
        ],
        vec![
            KeyValue::new("input", words[2].clone()),
            KeyValue::new("output", words[3].clone()),
        ],
    );
    service(
        "tts",
        vec![
            KeyValue::new("gen_ai.provider.name", "cartesia"),
            KeyValue::new("gen_ai.request.model", "sonic-2"),
            KeyValue::new("voice_id", "reading-lady"),
            KeyValue::new("gen_ai.output.type", "speech"),
        ],
        vec![
            KeyValue::new("text", words[4].clone()),
            KeyValue::new("tts.second", words[5].clone()),
            KeyValue::new("metrics.character_count", 200_i64),
        ],
    );
    let span = turn.span();
    for attribute in [
        KeyValue::new("turn.duration_seconds", 1.5),
        KeyValue::new("turn.was_interrupted", false),
        KeyValue::new("turn.end_reason", "user_spoke"),
        KeyValue::new("turn.user_bot_latency_seconds", 0.6),
        KeyValue::new("turn.latency.measured_from", "user_silence"),
        KeyValue::new("turn.latency.endpointing_wait", 0.2),
        KeyValue::new("turn.input", words[0].clone()),
        KeyValue::new("turn.output", words[4].clone()),
    ] {
        span.set_attribute(attribute);
    }
    span.end();
}
