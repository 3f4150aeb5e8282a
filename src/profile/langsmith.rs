//! LangSmith: run type, thread, messages, provider.

use super::{Added, Facts, Kind, json};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    let kind = match facts.kind {
        Kind::Llm | Kind::Realtime => Some("llm"),
        Kind::Tool => Some("tool"),
        Kind::Agent | Kind::Stt | Kind::Tts | Kind::Turn | Kind::Conversation => Some("chain"),
        Kind::Other => None,
    };
    add.put("langsmith.span.kind", kind);
    add.put("langsmith.metadata.thread_id", facts.session());
    add.put(
        "gen_ai.prompt",
        facts
            .input()
            .map(|text| json::messages("user", text.as_str())),
    );
    add.put(
        "gen_ai.completion",
        facts
            .output()
            .map(|text| json::messages("assistant", text.as_str())),
    );
    // Its mapping knows the provider under the name that the conventions had until 2025.
    add.put("gen_ai.system", facts.text(names::GEN_AI_PROVIDER_NAME));
}
