//! Which span is what: the names of the trace contract.

use crate::otlp::{Span, Value};

/// The parts of the time between the user's last word and the bot's first, in the order in which they happen.
pub(crate) const PARTS: [&str; 11] = [
    "endpointing_wait",
    "transcription",
    "turn_detection",
    "first_request",
    "llm_inference",
    "llm_tool_call",
    "function_handler",
    "sentence_aggregation",
    "speech_synthesis",
    "output_transport",
    "pipeline",
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Conversation,
    Turn,
    Service,
    Ordinary,
}

impl Kind {
    /// A program's own span may be called `turn` too; a turn has attributes that no other span has.
    pub(crate) fn of(span: &Span<'_>) -> Self {
        let has = |key| span.get(key).is_some();
        if span.name == "conversation" && has("conversation.type") {
            Self::Conversation
        } else if span.name == "turn" && (has("turn.type") || has("turn.duration_seconds")) {
            Self::Turn
        } else if has("gen_ai.operation.name") {
            Self::Service
        } else {
            Self::Ordinary
        }
    }
}

/// A service's kind in a word: `stt`, `llm`, `tts`, `tool`, or its operation's own name.
pub(crate) fn service<'a>(span: &'a Span<'_>) -> &'a str {
    match span.text("gen_ai.operation.name").unwrap_or("service") {
        "stt" | "speech_to_text" | "transcription" => "stt",
        "chat" | "text_completion" | "generate_content" => "llm",
        "tts" | "text_to_speech" | "audio_generation" => "tts",
        "execute_tool" => "tool",
        other => other,
    }
}

pub(crate) fn provider<'a>(span: &'a Span<'_>) -> Option<&'a str> {
    span.text("gen_ai.provider.name")
        .or_else(|| span.text("gen_ai.system"))
}

/// The model, or of a tool its name.
pub(crate) fn model<'a>(span: &'a Span<'_>) -> Option<&'a str> {
    span.text("gen_ai.request.model")
        .or_else(|| span.text("gen_ai.response.model"))
        .or_else(|| span.text("gen_ai.tool.name"))
}

/// Why a turn ended; Pipecat's own spans do not say, but whether the turn was interrupted.
pub(crate) fn end_reason<'a>(turn: &'a Span<'_>) -> Option<&'a str> {
    let flag = |key| turn.get(key).and_then(Value::bool) == Some(true);
    turn.text("turn.end_reason").or_else(|| {
        (flag("turn.was_interrupted") && !flag("turn.ended_by_conversation_end"))
            .then_some("interrupted")
    })
}

/// The parts of a turn's latency, under their names without `turn.latency.`.
pub(crate) fn parts<'a>(turn: &'a Span<'_>) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> {
    turn.attributes().filter_map(|(key, value)| {
        let part = key.strip_prefix("turn.latency.")?;
        (part != "measured_from").then_some((part, value))
    })
}

/// The position of a part among the parts; one that the contract does not know comes last.
pub(crate) fn part_order(part: &str) -> usize {
    PARTS
        .iter()
        .position(|it| *it == part)
        .unwrap_or(PARTS.len())
}

/// Whether the latency is that of a greeting: not from the end of the user's speech but from the start of the connection.
pub(crate) fn is_greeting(turn: &Span<'_>) -> bool {
    turn.text("turn.latency.measured_from") == Some("client_connected")
}
