//! Holds for any attributes: no panic, no repeated key, and converted values are valid JSON within the limit.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use proptest::prelude::*;

use super::{Profile, Profiles};
use crate::TraceMode;

const KEYS: &[&str] = &[
    "conversation.id",
    "gen_ai.conversation.id",
    "conversation.type",
    "conversation.input",
    "turn.type",
    "turn.number",
    "turn.input",
    "turn.output",
    "turn.was_interrupted",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.request.temperature",
    "gen_ai.request.stop_sequences",
    "gen_ai.response.finish_reasons",
    "gen_ai.tool.name",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.definitions",
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.audio.input_tokens",
    "input",
    "output",
    "tools",
    "text",
    "transcript",
    "tags",
    "user.id",
    "interrupted",
    "metrics.ttfb",
    "metrics.audio_seconds",
    "metrics.character_count",
    "usage.cost_usd",
    "session",
];

const OPERATIONS: &[&str] = &[
    "chat",
    "stt",
    "tts",
    "execute_tool",
    "realtime",
    "invoke_agent",
    "embeddings",
];

const PROFILES: [Profile; 6] = [
    Profile::Default,
    Profile::Pipecat,
    Profile::Langfuse,
    Profile::OpenInference,
    Profile::LangSmith,
    Profile::Opik,
];

const LIMIT: usize = 300;

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "[\\[\\]{}\":,a-z ]{0,400}".prop_map(Value::from),
        ("[a-z ]{0,400}", 0_usize..9).prop_map(|(text, count)| {
            let message = serde_json::json!({"role": "user", "content": text});
            serde_json::Value::from(vec![message; count])
                .to_string()
                .into()
        }),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        prop::collection::vec(any::<String>(), 0..4).prop_map(|texts| {
            Value::Array(Array::String(texts.into_iter().map(Into::into).collect()))
        }),
    ]
}

fn any_span() -> impl Strategy<Value = SpanData> {
    let attributes = prop::collection::hash_map(prop::sample::select(KEYS), any_value(), 0..16);
    let operation = prop::option::of(prop::sample::select(OPERATIONS));
    (attributes, operation, any::<bool>(), any::<bool>()).prop_map(
        |(attributes, operation, is_root, is_failed)| {
            let operation = operation.map(|name| KeyValue::new("gen_ai.operation.name", name));
            let attributes = attributes
                .into_iter()
                .map(|(key, value)| KeyValue::new(key, value));
            SpanData {
                span_context: SpanContext::NONE,
                parent_span_id: SpanId::from_bytes([u8::from(!is_root); 8]),
                parent_span_is_remote: false,
                span_kind: SpanKind::Internal,
                name: "llm".into(),
                start_time: UNIX_EPOCH,
                end_time: SystemTime::UNIX_EPOCH,
                attributes: attributes.chain(operation).collect(),
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status: if is_failed {
                    Status::error("")
                } else {
                    Status::Unset
                },
                instrumentation_scope: InstrumentationScope::default(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_span_is_translated(
        mut span in any_span(),
        profiles in prop::sample::subsequence(&PROFILES, 0..=PROFILES.len()),
        by_turn in any::<bool>(),
    ) {
        let mode = if by_turn { TraceMode::Turn } else { TraceMode::Conversation };
        let profiles = Profiles::of(profiles).with_trace_mode(mode).with_max_value_bytes(LIMIT);
        profiles.translator().apply(&mut span);
        let mut keys = HashSet::new();
        for pair in &span.attributes {
            let key = pair.key.as_str();
            prop_assert!(keys.insert(key), "{key} twice");
            let is_converted = span.attributes.iter().any(|pair| {
                pair.value == Value::from("chat") || pair.value == Value::from("realtime")
            });
            if let Value::String(text) = &pair.value
                && is_converted
                && matches!(key, "gen_ai.input.messages" | "gen_ai.output.messages" | "gen_ai.system_instructions")
                && !text.as_str().is_empty()
            {
                prop_assert!(text.as_str().len() <= LIMIT, "{key}: {text}");
                let json = serde_json::from_str::<serde_json::Value>(text.as_str());
                prop_assert!(json.is_ok_and(|json| json.is_array()), "{key}: {text}");
            }
        }
    }
}
