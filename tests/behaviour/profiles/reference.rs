//! A reference conversation: a greeting, a tool call, an interruption, a failed request, audio tokens. Spans as the layer
//! passes them to an exporter, with fixed ids and times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde_json::json;
use tracing_conversation::TraceMode;

const CONVERSATION: u8 = 0x01;

/// The spans, in the order in which they end.
pub fn spans(mode: TraceMode) -> Vec<SpanData> {
    let mut spans = vec![
        greeting(),
        turn(1, 0x10, 0.0..3.0, None, "Hello! How can I help?"),
        span("save", 0x02, CONVERSATION, 3.0..3.5),
        transcription(2, 0x21, 5.0, "What is the weather in Bern?"),
        asked_for_a_tool(),
        tool(),
        answered(),
        speech(),
        interrupted(turn(
            2,
            0x20,
            4.0..9.0,
            Some("What is the weather in Bern?"),
            "It is clear and",
        )),
        transcription(3, 0x31, 10.0, "Stop, please."),
        request(),
        failed(),
        ended_with_the_conversation(turn(3, 0x30, 9.0..12.0, Some("Stop, please."), "")),
        conversation(),
    ];
    for span in &mut spans {
        set_trace(span, mode);
    }
    spans
}

fn at(seconds: f64) -> SystemTime {
    // 2025-07-13, 05:20.
    UNIX_EPOCH + Duration::from_secs(1_752_384_000) + Duration::from_secs_f64(seconds)
}

fn span(name: &'static str, id: u8, parent: u8, times: std::ops::Range<f64>) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::INVALID,
            SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, id]),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, parent]),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: at(times.start),
        end_time: at(times.end),
        attributes: vec![
            KeyValue::new("conversation.id", "call-1"),
            KeyValue::new("gen_ai.conversation.id", "call-1"),
            KeyValue::new("user.id", "ann"),
            KeyValue::new("tags", "beta,weather"),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("reference").build(),
    }
}

fn with(
    mut span: SpanData,
    attributes: impl IntoIterator<Item = (&'static str, Value)>,
) -> SpanData {
    let pairs = attributes.into_iter();
    span.attributes
        .extend(pairs.map(|(key, value)| KeyValue::new(key, value)));
    span
}

/// A service span in a turn, which has the first digit of its id.
fn service(
    name: &'static str,
    id: u8,
    times: std::ops::Range<f64>,
    operation: &'static str,
) -> SpanData {
    let mut service = span(name, id, id & 0xf0, times);
    service.span_kind = SpanKind::Client;
    with(
        service,
        [
            ("turn.number", i64::from(id >> 4).into()),
            ("gen_ai.operation.name", operation.into()),
        ],
    )
}

/// Sets a span's trace: that of the conversation, or of its turn.
fn set_trace(span: &mut SpanData, mode: TraceMode) {
    let id = span.span_context.span_id().to_bytes()[7];
    let trace = match mode {
        TraceMode::Turn => {
            if id < 0x10 {
                CONVERSATION
            } else {
                id & 0xf0
            }
        }
        _ => CONVERSATION,
    };
    let context = |trace: u8, id: SpanId| {
        let trace = TraceId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, trace]);
        SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default())
    };
    span.span_context = context(trace, span.span_context.span_id());
    let conversation = SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, CONVERSATION]);
    if trace != CONVERSATION && span.parent_span_id == conversation {
        span.parent_span_id = SpanId::INVALID;
        let link = Link::new(context(CONVERSATION, conversation), Vec::new(), 0);
        span.links.links.push(link);
    }
}

fn turn(
    number: i64,
    id: u8,
    times: std::ops::Range<f64>,
    input: Option<&'static str>,
    output: &'static str,
) -> SpanData {
    let seconds = times.end - times.start;
    let turn = with(
        span("turn", id, CONVERSATION, times),
        [
            ("turn.number", number.into()),
            ("turn.type", "conversation".into()),
            ("turn.duration_seconds", seconds.into()),
        ],
    );
    let turn = with(turn, input.map(|text| ("turn.input", text.into())));
    let output = (!output.is_empty()).then_some(output);
    with(turn, output.map(|text| ("turn.output", text.into())))
}

fn interrupted(turn: SpanData) -> SpanData {
    with(
        turn,
        [
            ("turn.was_interrupted", true.into()),
            ("turn.end_reason", "interrupted".into()),
        ],
    )
}

fn ended_with_the_conversation(turn: SpanData) -> SpanData {
    with(
        turn,
        [
            ("turn.was_interrupted", true.into()),
            ("turn.ended_by_conversation_end", true.into()),
            ("turn.end_reason", "conversation_ended".into()),
        ],
    )
}

fn conversation() -> SpanData {
    with(
        span("conversation", CONVERSATION, 0, 0.0..12.0),
        [
            ("conversation.type", "voice".into()),
            ("conversation.input", "What is the weather in Bern?".into()),
            ("conversation.output", "It is clear and".into()),
        ],
    )
}

fn greeting() -> SpanData {
    with(
        service("tts", 0x11, 0.5..1.5, "tts"),
        [
            ("gen_ai.provider.name", "cartesia".into()),
            ("gen_ai.request.model", "sonic-2".into()),
            ("gen_ai.output.type", "speech".into()),
            ("voice_id", "v1".into()),
            ("text", "Hello! How can I help?".into()),
            ("metrics.character_count", 22.into()),
            ("metrics.ttfb", 0.25.into()),
        ],
    )
}

fn transcription(turn: u8, id: u8, start: f64, text: &'static str) -> SpanData {
    with(
        service("stt", id, start..start + 1.0, "stt"),
        [
            ("gen_ai.provider.name", "deepgram".into()),
            ("gen_ai.request.model", "nova-3".into()),
            ("transcript", text.into()),
            ("is_final", true.into()),
            ("user_id", format!("speaker-{turn}").into()),
            ("metrics.audio_seconds", 1.5.into()),
            ("metrics.ttfb", 0.5.into()),
        ],
    )
}

fn chat(id: u8, times: std::ops::Range<f64>) -> SpanData {
    let tools = json!([{"type": "function", "function": {
        "name": "get_weather",
        "description": "The weather somewhere",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }}]);
    with(
        service("llm", id, times, "chat"),
        [
            ("gen_ai.provider.name", "openai".into()),
            ("gen_ai.request.model", "gpt-4o-mini".into()),
            ("gen_ai.request.temperature", 0.5.into()),
            ("gen_ai.output.type", "text".into()),
            ("server.address", "api.openai.com".into()),
            ("gen_ai.system_instructions", "Be brief.".into()),
            ("tools", tools.to_string().into()),
            ("tool_count", 1.into()),
        ],
    )
}

fn messages(with_tool: bool) -> Value {
    let mut messages = vec![
        json!({"role": "assistant", "content": "Hello! How can I help?"}),
        json!({"role": "user", "content": "What is the weather in Bern?"}),
    ];
    if with_tool {
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Bern\"}"}},
        ]}));
        messages.push(
            json!({"role": "tool", "tool_call_id": "call_1", "content": "{\"sky\":\"clear\"}"}),
        );
    }
    json!(messages).to_string().into()
}

fn finish_reason(reason: &'static str) -> Value {
    Value::Array(Array::String(vec![reason.into()]))
}

fn asked_for_a_tool() -> SpanData {
    let answer = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Bern\"}"}},
    ]});
    with(
        chat(0x22, 6.0..6.5),
        [
            ("input", messages(false)),
            ("output", answer.to_string().into()),
            ("gen_ai.response.id", "chatcmpl-1".into()),
            (
                "gen_ai.response.finish_reasons",
                finish_reason("tool_calls"),
            ),
            ("gen_ai.usage.input_tokens", 90.into()),
            ("gen_ai.usage.output_tokens", 12.into()),
            ("gen_ai.usage.cache_read.input_tokens", 64.into()),
            ("gen_ai.usage.cache_creation.input_tokens", 16.into()),
            ("metrics.ttfb", 0.25.into()),
            ("usage.cost_usd", 0.0001.into()),
        ],
    )
}

fn tool() -> SpanData {
    let mut tool = service("tool", 0x23, 6.5..6.75, "execute_tool");
    tool.span_kind = SpanKind::Internal;
    with(
        tool,
        [
            ("gen_ai.tool.name", "get_weather".into()),
            ("gen_ai.tool.call.id", "call_1".into()),
            ("gen_ai.tool.call.arguments", "{\"city\":\"Bern\"}".into()),
            ("gen_ai.tool.call.result", "{\"sky\":\"clear\"}".into()),
        ],
    )
}

fn answered() -> SpanData {
    with(
        chat(0x24, 6.75..8.0),
        [
            ("input", messages(true)),
            ("output", "It is clear and warm.".into()),
            ("gen_ai.response.model", "gpt-4o-mini-2024-07-18".into()),
            ("gen_ai.response.finish_reasons", finish_reason("stop")),
            ("gen_ai.usage.input_tokens", 200.into()),
            ("gen_ai.usage.output_tokens", 100.into()),
            ("gen_ai.usage.audio.input_tokens", 150.into()),
            ("gen_ai.usage.audio.output_tokens", 70.into()),
            ("gen_ai.usage.reasoning.output_tokens", 10.into()),
            ("metrics.ttfb", 0.25.into()),
        ],
    )
}

fn speech() -> SpanData {
    with(
        service("tts", 0x25, 7.0..9.0, "tts"),
        [
            ("gen_ai.provider.name", "cartesia".into()),
            ("gen_ai.request.model", "sonic-2".into()),
            ("text", "It is clear and warm.".into()),
            ("metrics.character_count", 21.into()),
            ("interrupted", true.into()),
            ("tts.interrupted", true.into()),
        ],
    )
}

/// An ordinary span below the failed one.
fn request() -> SpanData {
    with(
        span("POST", 0x33, 0x32, 11.0..11.5),
        [
            ("turn.number", 3.into()),
            ("http.response.status_code", 429.into()),
        ],
    )
}

fn failed() -> SpanData {
    let mut failed = with(
        chat(0x32, 11.0..11.5),
        [
            ("input", "Stop, please.".into()),
            ("error.type", "429".into()),
        ],
    );
    failed.status = Status::error("Too many requests");
    failed
}
