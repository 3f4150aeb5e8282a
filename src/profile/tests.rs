use opentelemetry_sdk::trace::SpanData;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use serde_json::json;

use super::*;
use crate::TraceMode;

fn span(name: &'static str, attributes: impl IntoIterator<Item = KeyValue>) -> SpanData {
    SpanData {
        span_context: SpanContext::NONE,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: UNIX_EPOCH + Duration::from_millis(1_752_384_000_000),
        end_time: UNIX_EPOCH + Duration::from_millis(1_752_384_002_000),
        attributes: attributes.into_iter().collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn llm(attributes: impl IntoIterator<Item = KeyValue>) -> SpanData {
    let operation = KeyValue::new("gen_ai.operation.name", "chat");
    span("llm", [operation].into_iter().chain(attributes))
}

/// The span as it is exported.
fn exported(profile: Profile, mut span: SpanData) -> SpanData {
    Profiles::of([profile]).translator().apply(&mut span);
    span
}

fn text(span: &SpanData, key: &str) -> Option<String> {
    let mut attributes = span.attributes.iter();
    attributes
        .find(|pair| pair.key.as_str() == key)
        .map(|pair| pair.value.to_string())
}

#[test]
fn a_recorded_conventional_form_leaves_byte_for_byte() {
    let messages = r#"[ {"parts": [{"content": "Hi", "type": "text"}], "role": "user"} ]"#;
    let answers = r#"[ {"parts": [{"content": "Hi", "type": "text"}], "role": "assistant", "finish_reason": "stop"} ]"#;
    let exported = exported(
        Profile::Default,
        llm([
            KeyValue::new("gen_ai.input.messages", messages),
            KeyValue::new("gen_ai.output.messages", answers),
        ]),
    );
    assert_eq!(
        text(&exported, "gen_ai.input.messages").as_deref(),
        Some(messages)
    );
    assert_eq!(
        text(&exported, "gen_ai.output.messages").as_deref(),
        Some(answers)
    );
}

#[test]
fn recorded_messages_win_over_input() {
    let exported = exported(
        Profile::Default,
        llm([
            KeyValue::new("input", "the whole prompt"),
            KeyValue::new(
                "gen_ai.input.messages",
                r#"[{"role":"user","content":"Hi"}]"#,
            ),
        ]),
    );
    assert_eq!(
        text(&exported, "gen_ai.input.messages").as_deref(),
        Some(r#"[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]"#)
    );
    assert_eq!(text(&exported, "input"), None);
}

#[test]
fn messages_keep_to_the_limit_and_tell_how_many_are_missing() {
    let messages: Vec<_> = (0..50)
        .map(|number| json!({"role": "user", "content": format!("message {number:02}")}))
        .collect();
    let input = serde_json::Value::from(messages).to_string();
    for profile in [
        Profile::Default,
        Profile::Pipecat,
        Profile::OpenInference,
        Profile::Langfuse,
    ] {
        let mut span = llm([KeyValue::new("input", input.clone())]);
        let profiles = Profiles::of([profile]).with_max_value_bytes(700);
        profiles.translator().apply(&mut span);
        assert_eq!(text(&span, "messages_cut").as_deref(), Some("40"));
        for pair in &span.attributes {
            let Value::String(value) = &pair.value else {
                continue;
            };
            assert!(value.as_str().len() <= 700, "{profile:?}: {}", pair.key);
            if value.as_str().starts_with('[') {
                assert!(
                    value.as_str().contains("message 49"),
                    "{profile:?}: {}",
                    pair.key
                );
                assert!(
                    !value.as_str().contains("message 00"),
                    "{profile:?}: {}",
                    pair.key
                );
                serde_json::from_str::<serde_json::Value>(value.as_str()).expect("whole JSON");
            }
        }
    }
}

#[test]
fn an_interrupted_or_failed_answer_does_not_claim_to_have_stopped() {
    let reason = |span| {
        let messages =
            text(&exported(Profile::Default, span), "gen_ai.output.messages").expect("an answer");
        let messages: serde_json::Value = serde_json::from_str(&messages).expect("JSON");
        messages[0]["finish_reason"].as_str().map(str::to_owned)
    };
    let output = || KeyValue::new("output", "It is");
    assert_eq!(reason(llm([output()])).as_deref(), Some("stop"));
    assert_eq!(
        reason(llm([output(), KeyValue::new("interrupted", true)])).as_deref(),
        Some("interrupted")
    );
    let mut failed = llm([output()]);
    failed.status = Status::error("");
    assert_eq!(reason(failed).as_deref(), Some("error"));
}

#[test]
fn what_cannot_be_read_as_tools_stays() {
    let exported = exported(
        Profile::Default,
        llm([KeyValue::new("tools", "weather, clock")]),
    );
    assert_eq!(text(&exported, "tools").as_deref(), Some("weather, clock"));
    assert_eq!(text(&exported, "gen_ai.tool.definitions"), None);
}

#[test]
fn spans_of_other_kinds_keep_input_and_tools() {
    for profile in [Profile::Default, Profile::Langfuse] {
        let span = span(
            "my_step",
            [KeyValue::new("input", "a"), KeyValue::new("tools", "b")],
        );
        let exported = exported(profile, span);
        assert_eq!(text(&exported, "input").as_deref(), Some("a"));
        assert_eq!(text(&exported, "tools").as_deref(), Some("b"));
    }
}

#[test]
fn realtime_spans_are_given_what_the_user_said() {
    for key in ["input", "transcript"] {
        let span = span(
            "realtime",
            [
                KeyValue::new("gen_ai.operation.name", "realtime"),
                KeyValue::new(key, "Hello?"),
                KeyValue::new("output", "Hi."),
            ],
        );
        let exported = exported(Profile::OpenInference, span);
        assert_eq!(
            text(&exported, "gen_ai.input.messages").as_deref(),
            Some(r#"[{"role":"user","parts":[{"type":"text","content":"Hello?"}]}]"#)
        );
        assert!(text(&exported, "gen_ai.output.messages").is_some());
        assert_eq!(text(&exported, "input.value").as_deref(), Some("Hello?"));
        assert_eq!(text(&exported, "transcript").is_some(), key == "transcript");
    }
}

#[test]
fn langfuse_counts_every_token_once() {
    let usage = |figures: &[(&'static str, i64)]| {
        let figures = figures
            .iter()
            .map(|(key, tokens)| KeyValue::new(*key, *tokens));
        let span = exported(Profile::Langfuse, llm(figures));
        let details = text(&span, "langfuse.observation.usage_details")?;
        Some(serde_json::from_str::<serde_json::Value>(&details).expect("JSON"))
    };
    assert_eq!(
        usage(&[
            ("gen_ai.usage.input_tokens", 200),
            ("gen_ai.usage.output_tokens", 100),
            ("gen_ai.usage.audio.input_tokens", 150),
            ("gen_ai.usage.audio.output_tokens", 70),
        ]),
        Some(json!({
            "input": 50,
            "input_audio_tokens": 150,
            "output": 30,
            "output_audio_tokens": 70,
            "total": 300,
        }))
    );
    // Cached audio counts as cached.
    assert_eq!(
        usage(&[
            ("gen_ai.usage.input_tokens", 100),
            ("gen_ai.usage.cache_read.input_tokens", 80),
            ("gen_ai.usage.audio.input_tokens", 60),
        ]),
        Some(json!({
            "input": 0,
            "input_audio_tokens": 20,
            "input_cached_tokens": 80,
            "total": 100,
        }))
    );
    assert_eq!(usage(&[("gen_ai.usage.input_tokens", -1)]), None);
    assert_eq!(usage(&[]), None);
}

#[test]
fn names_are_for_people_where_the_program_chose_none() {
    let name = |profile, name, operation: &'static str| {
        let span = span(
            name,
            [
                KeyValue::new("gen_ai.operation.name", operation),
                KeyValue::new("gen_ai.provider.name", "acme"),
                KeyValue::new("gen_ai.request.model", "m1"),
                KeyValue::new("gen_ai.tool.name", "weather"),
            ],
        );
        exported(profile, span).name.into_owned()
    };
    for profile in [
        Profile::Langfuse,
        Profile::OpenInference,
        Profile::LangSmith,
        Profile::Opik,
    ] {
        assert_eq!(name(profile, "llm", "chat"), "chat m1");
        assert_eq!(name(profile, "stt", "stt"), "stt acme m1");
        assert_eq!(name(profile, "tts", "text_to_speech"), "tts acme m1");
        assert_eq!(
            name(profile, "tool", "execute_tool"),
            "execute_tool weather"
        );
        assert_eq!(name(profile, "realtime", "realtime"), "realtime acme m1");
        assert_eq!(name(profile, "ask the oracle", "chat"), "ask the oracle");
    }
    for profile in [Profile::Default, Profile::Pipecat] {
        assert_eq!(name(profile, "llm", "chat"), "llm");
    }
}

#[test]
fn tags_are_a_list_or_a_text_with_commas() {
    let tags = |value: Value| {
        let span = span("conversation", [KeyValue::new("tags", value)]);
        text(&exported(Profile::LangSmith, span), "langsmith.span.tags")
    };
    assert_eq!(tags(" a, b,,".into()).as_deref(), Some("a,b"));
    assert_eq!(tags(r#"["a","b"]"#.into()).as_deref(), Some("a,b"));
    let list = opentelemetry::Array::String(vec!["a".into(), "b".into()]);
    assert_eq!(tags(Value::Array(list)).as_deref(), Some("a,b"));
    assert_eq!(tags("".into()), None);
}

#[test]
fn a_key_of_the_programs_own_gives_way_only_to_one_below_it() {
    let program = || {
        span(
            "turn",
            [
                KeyValue::new("conversation.id", "c1"),
                KeyValue::new("session", "mine"),
                KeyValue::new("customer", "ann"),
                KeyValue::new("customer.tier", "gold"),
            ],
        )
    };
    let phoenix = exported(Profile::OpenInference, program());
    assert_eq!(text(&phoenix, "session.id").as_deref(), Some("c1"));
    assert_eq!(text(&phoenix, "session"), None);
    assert_eq!(text(&phoenix, "customer").as_deref(), Some("ann"));
    let collector = exported(Profile::Default, program());
    assert_eq!(text(&collector, "session").as_deref(), Some("mine"));
}

#[test]
fn a_profile_never_changes_a_value_that_is_there() {
    let span = span(
        "turn",
        [
            KeyValue::new("conversation.id", "c1"),
            KeyValue::new("session.id", "mine"),
        ],
    );
    assert_eq!(
        text(&exported(Profile::OpenInference, span), "session.id").as_deref(),
        Some("mine")
    );
}

#[test]
fn trace_input_is_that_of_the_first_turn_that_has_one() {
    let translator = Profiles::of([Profile::Langfuse]).translator();
    let turn = |input: Option<&'static str>| {
        let marks = [KeyValue::new("turn.type", "conversation")];
        let input = input.map(|input| KeyValue::new("turn.input", input));
        let mut span = span("turn", marks.into_iter().chain(input));
        translator.apply(&mut span);
        text(&span, "langfuse.trace.input")
    };
    assert_eq!(turn(None), None);
    assert_eq!(turn(Some("one")).as_deref(), Some("one"));
    assert_eq!(turn(Some("two")), None);
    // Once the conversation is over, another may have its id.
    let mut conversation = span(
        "conversation",
        [KeyValue::new("conversation.type", "voice")],
    );
    translator.apply(&mut conversation);
    assert_eq!(turn(Some("three")).as_deref(), Some("three"));
}

#[test]
fn sessions_of_one_trace_a_turn_leave_the_conversation_out() {
    let conversation = || {
        span(
            "conversation",
            [
                KeyValue::new("conversation.id", "c1"),
                KeyValue::new("gen_ai.conversation.id", "c1"),
                KeyValue::new("conversation.type", "voice"),
            ],
        )
    };
    for (mode, is_in_session) in [(TraceMode::Conversation, true), (TraceMode::Turn, false)] {
        let mut span = conversation();
        let profiles = Profiles::of([Profile::OpenInference]).with_trace_mode(mode);
        profiles.translator().apply(&mut span);
        assert_eq!(text(&span, "session.id").is_some(), is_in_session);
        // Phoenix takes this for the session's id as well.
        assert_eq!(
            text(&span, "gen_ai.conversation.id").is_some(),
            is_in_session
        );
        assert_eq!(text(&span, "conversation.id").as_deref(), Some("c1"));
    }
}

#[test]
fn cache_writes_have_both_names_of_the_conventions() {
    const RELEASED: &str = "gen_ai.usage.cache_creation.input_tokens";
    const NEXT: &str = "gen_ai.usage.cache_write.input_tokens";
    for recorded in [RELEASED, NEXT] {
        let exported = exported(Profile::Default, llm([KeyValue::new(recorded, 7)]));
        assert_eq!(text(&exported, RELEASED).as_deref(), Some("7"));
        assert_eq!(text(&exported, NEXT).as_deref(), Some("7"));
    }
}

#[cfg(feature = "setup")]
#[test]
fn lists_of_the_conventions_are_lists_though_tracing_has_none() {
    let exported = exported(
        Profile::OpenInference,
        llm([
            KeyValue::new("gen_ai.response.finish_reasons", "tool_calls"),
            KeyValue::new("gen_ai.request.stop_sequences", r#"["\n","END"]"#),
            KeyValue::new("output", "Hi"),
        ]),
    );
    let value = |key| kind::value_of(&exported.attributes, key).cloned();
    let list = |texts: &[&'static str]| {
        let texts = texts.iter().map(|text| (*text).into()).collect();
        Some(Value::Array(opentelemetry::Array::String(texts)))
    };
    assert_eq!(
        value("gen_ai.response.finish_reasons"),
        list(&["tool_calls"])
    );
    assert_eq!(value("gen_ai.request.stop_sequences"), list(&["\n", "END"]));
    assert_eq!(
        value("llm.invocation_parameters"),
        Some(r#"{"stop":["\n","END"]}"#.into())
    );
}

#[cfg(feature = "setup")]
#[test]
fn endpoint_chooses_the_profile() {
    for (url, profile) in [
        (
            "https://cloud.langfuse.com/api/public/otel/v1/traces",
            Profile::Langfuse,
        ),
        (
            "http://localhost:3000/api/public/otel/v1/traces",
            Profile::Langfuse,
        ),
        (
            "https://EU.api.smith.langchain.com/otel/v1/traces",
            Profile::LangSmith,
        ),
        (
            "https://www.comet.com/opik/api/v1/private/otel/v1/traces",
            Profile::Opik,
        ),
        (
            "http://localhost:5173/api/v1/private/otel/v1/traces",
            Profile::Opik,
        ),
        ("http://localhost:6006/v1/traces", Profile::OpenInference),
        (
            "https://app.phoenix.arize.com/s/me/v1/traces",
            Profile::OpenInference,
        ),
        ("http://mlflow:5000/v1/traces", Profile::OpenInference),
        ("http://localhost:4318/v1/traces", Profile::Default),
        ("http://collector:4317", Profile::Default),
        ("http://collector/langfuse", Profile::Default),
    ] {
        assert_eq!(Profile::of_endpoint(url), profile, "{url}");
    }
}
