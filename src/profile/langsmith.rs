//! LangSmith: run type and name, thread, messages, usage, tags.

use opentelemetry::StringValue;
use serde_json::{Map, Value, json};

use super::facts::{Added, Facts};
use super::kind::Kind;
use crate::messages::{Message, Part, Shape, chat_messages};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    let kind = match facts.kind {
        Kind::Llm | Kind::Realtime | Kind::Stt | Kind::Tts => Some("llm"),
        Kind::Tool => Some("tool"),
        Kind::Agent | Kind::Turn | Kind::Conversation => Some("chain"),
        Kind::Other => None,
    };
    add.put("langsmith.span.kind", kind);
    add.put("langsmith.metadata.thread_id", facts.session());
    if matches!(facts.kind, Kind::Stt | Kind::Tts) {
        // The messages view is built from model runs; transcripts and speech would appear in it twice.
        add.put("langsmith.metadata.ls_message_view_exclude", Some(true));
    }
    if facts.is_root() {
        add.put("langsmith.root_span", Some(true));
        add.put("langsmith.trace.name", Some(facts.name.clone()));
        add.put("langsmith.metadata.ls_modality", Some("audio"));
    }
    add.put("langsmith.metadata.user_id", facts.user());
    let tags = facts.tags().map(|tags| {
        let tags: Vec<&str> = tags.iter().map(StringValue::as_str).collect();
        tags.join(",")
    });
    add.put("langsmith.span.tags", tags);
    let (prompt, completion) = match facts.kind {
        Kind::Llm | Kind::Realtime | Kind::Agent => (
            facts.words.chat_input(Shape::Object, facts.limit),
            facts.words.chat_output(Shape::Object, facts.limit),
        ),
        // Tool runs take arguments and result without messages.
        Kind::Tool => (
            facts.input().map(|text| text.to_string()),
            facts.output().map(|text| text.to_string()),
        ),
        _ => (
            facts
                .input()
                .and_then(|text| message("user", text.as_str(), facts.limit)),
            facts
                .output()
                .and_then(|text| message("assistant", text.as_str(), facts.limit)),
        ),
    };
    add.put("gen_ai.prompt", prompt);
    add.put("gen_ai.completion", completion);
    // LangSmith reads the provider from the conventions' former name.
    add.put("gen_ai.system", facts.text(names::GEN_AI_PROVIDER_NAME));
    add.put("langsmith.usage_metadata", usage(facts));
}

/// `{"messages":[…]}` with a single message.
fn message(role: &str, text: &str, limit: usize) -> Option<String> {
    let message = Message {
        role: role.to_owned(),
        name: None,
        finish_reason: None,
        parts: vec![Part::Text(text.to_owned())],
    };
    chat_messages(&[], &[message], &[], Shape::Object, limit)
}

/// Tokens with details, which LangSmith reads only in this form.
fn usage(facts: &Facts<'_>) -> Option<String> {
    if !matches!(facts.kind, Kind::Llm | Kind::Realtime) {
        return None;
    }
    let mut usage = Map::new();
    let input = facts.integer(names::GEN_AI_USAGE_INPUT_TOKENS);
    let output = facts.integer(names::GEN_AI_USAGE_OUTPUT_TOKENS);
    let total = input
        .zip(output)
        .map(|(input, output)| input.saturating_add(output));
    for (key, tokens) in [
        ("input_tokens", input),
        ("output_tokens", output),
        ("total_tokens", total),
    ] {
        if let Some(tokens) = tokens {
            usage.insert(key.into(), tokens.into());
        }
    }
    let details = [
        (
            "input_token_details",
            [
                ("cache_read", names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
                (
                    "cache_creation",
                    names::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
                ),
                ("audio", names::GEN_AI_USAGE_AUDIO_INPUT_TOKENS),
            ]
            .as_slice(),
        ),
        (
            "output_token_details",
            &[
                ("reasoning", names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
                ("audio", names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS),
            ],
        ),
    ];
    for (key, names) in details {
        let known: Map<String, Value> = names
            .iter()
            .filter_map(|(key, name)| Some(((*key).into(), facts.integer(name)?.into())))
            .collect();
        if !known.is_empty() {
            usage.insert(key.into(), known.into());
        }
    }
    if let Some(cost) = facts.cost() {
        usage.insert("total_cost".into(), json!(cost));
    }
    (!usage.is_empty()).then(|| Value::Object(usage).to_string())
}
