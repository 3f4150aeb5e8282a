//! OpenInference: span kind, session, input and output values, model and token counts.

use opentelemetry::StringValue;

use super::{Added, Facts, Kind, json};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    let kind = match facts.kind {
        Kind::Llm | Kind::Realtime => Some("LLM"),
        Kind::Tool => Some("TOOL"),
        Kind::Agent | Kind::Conversation => Some("AGENT"),
        Kind::Stt | Kind::Tts | Kind::Turn => Some("CHAIN"),
        Kind::Other => None,
    };
    add.put("openinference.span.kind", kind);
    add.put("session.id", facts.session());
    put_text(add, "input.value", "input.mime_type", facts.input());
    put_text(add, "output.value", "output.mime_type", facts.output());
    match facts.kind {
        Kind::Llm | Kind::Realtime => {
            add.put("llm.model_name", facts.text(names::GEN_AI_REQUEST_MODEL));
            add.put("llm.provider", facts.text(names::GEN_AI_PROVIDER_NAME));
            let prompt = facts.integer("gen_ai.usage.input_tokens");
            let completion = facts.integer("gen_ai.usage.output_tokens");
            add.put("llm.token_count.prompt", prompt);
            add.put("llm.token_count.completion", completion);
            add.put(
                "llm.token_count.total",
                prompt
                    .zip(completion)
                    .map(|(prompt, completion)| prompt.saturating_add(completion)),
            );
            for (ours, theirs) in [
                (
                    "gen_ai.usage.cache_read.input_tokens",
                    "llm.token_count.prompt_details.cache_read",
                ),
                (
                    "gen_ai.usage.cache_creation.input_tokens",
                    "llm.token_count.prompt_details.cache_write",
                ),
                (
                    "gen_ai.usage.audio.input_tokens",
                    "llm.token_count.prompt_details.audio",
                ),
                (
                    "gen_ai.usage.reasoning.output_tokens",
                    "llm.token_count.completion_details.reasoning",
                ),
                (
                    "gen_ai.usage.audio.output_tokens",
                    "llm.token_count.completion_details.audio",
                ),
            ] {
                add.put(theirs, facts.integer(ours));
            }
        }
        Kind::Tool => add.put("tool.name", facts.text(names::GEN_AI_TOOL_NAME)),
        _ => {}
    }
}

fn put_text(add: &mut Added, key: &'static str, type_key: &'static str, text: Option<StringValue>) {
    let mime_type = text.as_ref().map(|text| {
        if json::looks_like(text.as_str()) {
            "application/json"
        } else {
            "text/plain"
        }
    });
    add.put(key, text);
    add.put(type_key, mime_type);
}
