//! Display names: `turn 7`, `chat gpt-4o-mini`, `execute_tool get_weather`, `stt deepgram nova-3`.

use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;

use super::kind::{Kind, text_of, value_of};
use crate::names;

/// The display name of a span with one of the contract's names; `None` for names that the program chose.
pub(super) fn name(span: &SpanData, kind: Kind) -> Option<String> {
    let text = |key| text_of(&span.attributes, key).filter(|text| !text.is_empty());
    let model = || text(names::GEN_AI_REQUEST_MODEL).or_else(|| text(names::GEN_AI_RESPONSE_MODEL));
    let provider = || text(names::GEN_AI_PROVIDER_NAME);
    let (first, rest) = match (kind, span.name.as_ref()) {
        (Kind::Turn, names::TURN) => match value_of(&span.attributes, names::TURN_NUMBER) {
            Some(Value::I64(number)) => return Some(format!("turn {number}")),
            _ => return None,
        },
        // The conventions' span names: `{gen_ai.operation.name} {gen_ai.request.model}`.
        (Kind::Llm, "llm") => (text(names::GEN_AI_OPERATION_NAME)?, [model(), None]),
        (Kind::Tool, "tool") => ("execute_tool", [text(names::GEN_AI_TOOL_NAME), None]),
        (Kind::Stt, "stt") => ("stt", [provider(), model()]),
        (Kind::Tts, "tts") => ("tts", [provider(), model()]),
        (Kind::Realtime, "realtime") => ("realtime", [provider(), model()]),
        _ => return None,
    };
    let mut name = first.to_owned();
    for word in rest.into_iter().flatten() {
        name.push(' ');
        name.push_str(word);
    }
    Some(name)
}
