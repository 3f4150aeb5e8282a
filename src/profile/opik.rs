//! Opik: thread, input and output, provider, kinds, tags. What it has no rule for it takes for input.

use opentelemetry::{Array, KeyValue, Value};

use super::facts::{Added, Facts, Kind};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    add.put("thread_id", facts.session());
    // Of language models it takes the conventions' messages.
    if !facts.kind.has_messages() {
        add.put(names::INPUT, facts.input());
        add.put(names::OUTPUT, facts.output());
    }
    // Its mapping knows the provider under the name that the conventions had until 2025, and takes a span that has one
    // for a model's: so stt and tts are.
    add.put("gen_ai.system", facts.text(names::GEN_AI_PROVIDER_NAME));
    if facts.kind == Kind::Tool {
        // What makes it a tool.
        add.put("tool.name", facts.text(names::GEN_AI_TOOL_NAME));
    }
    let tags = facts.tags();
    add.put(
        "opik.tags",
        (!tags.is_empty()).then(|| Value::Array(Array::String(tags))),
    );
    add.put("gen_ai.usage.cost", facts.cost());
}

/// Moves what is neither input nor output, nor anything else that Opik has a rule for, to its metadata.
pub(super) fn put_aside(attributes: &mut [KeyValue]) {
    for pair in attributes {
        if !has_rule(pair.key.as_str()) {
            pair.key = format!("opik.metadata.{}", pair.key).into();
        }
    }
}

/// Whether one of Opik's rules puts the attribute where it belongs. Those that are only in some of its versions are not
/// counted on.
fn has_rule(key: &str) -> bool {
    match key {
        "gen_ai.request.model"
        | "gen_ai.response.model"
        | "gen_ai.response.id"
        | "gen_ai.response.finish_reasons"
        | "gen_ai.system"
        | "gen_ai.input.messages"
        | "gen_ai.output.messages"
        | "gen_ai.system_instructions"
        | "gen_ai.operation.name"
        | "gen_ai.conversation.id"
        | "gen_ai.usage.cost"
        | "input"
        | "output"
        | "thread_id"
        | "tool.name"
        | "server.address" => true,
        _ => ["gen_ai.usage.", "gen_ai.tool.", "gen_ai.agent.", "opik."]
            .iter()
            .any(|prefix| key.starts_with(prefix)),
    }
}
