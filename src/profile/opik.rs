//! Opik: thread, input and output, provider, span types, tags. Opik treats attributes without a mapping rule as input.

use opentelemetry::KeyValue;

use super::facts::{Added, Facts};
use super::kind::Kind;
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    add.put("thread_id", facts.session());
    // Opik reads the conventions' messages of language models.
    if !facts.kind.has_messages() {
        add.put(names::INPUT, facts.input());
        add.put(names::OUTPUT, facts.output());
    }
    // All versions of Opik read the provider from the conventions' former name. It also makes the span an `llm` span,
    // including stt and tts.
    add.put("gen_ai.system", facts.text(names::GEN_AI_PROVIDER_NAME));
    if facts.kind == Kind::Tool {
        // Makes the span a `tool` span.
        add.put("tool.name", facts.text(names::GEN_AI_TOOL_NAME));
    }
    add.put("opik.tags", facts.tag_list());
    add.put("gen_ai.usage.cost", facts.cost());
}

/// Renames attributes that Opik has no mapping rule for, so that they appear in its metadata and not in its input.
pub(super) fn move_to_metadata(attributes: &mut [KeyValue]) {
    for pair in attributes {
        if !has_rule(pair.key.as_str()) {
            pair.key = format!("opik.metadata.{}", pair.key).into();
        }
    }
}

/// Whether Opik has a suitable mapping rule for the attribute. Rules that only some of its versions have do not count.
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
