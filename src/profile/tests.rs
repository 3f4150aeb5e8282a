use std::time::UNIX_EPOCH;

use opentelemetry::{
    InstrumentationScope,
    trace::{SpanContext, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::*;

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

fn llm() -> SpanData {
    span(
        "llm",
        [
            KeyValue::new("conversation.id", "c1"),
            KeyValue::new("gen_ai.operation.name", "chat"),
            KeyValue::new("gen_ai.provider.name", "openai"),
            KeyValue::new("gen_ai.request.model", "gpt-4o"),
            KeyValue::new("gen_ai.usage.input_tokens", 42),
            KeyValue::new("gen_ai.usage.output_tokens", 7),
            KeyValue::new("metrics.ttfb", 0.5),
            KeyValue::new("input", "Hello?"),
            KeyValue::new("output", "Hi."),
        ],
    )
}

fn turn() -> SpanData {
    span(
        "turn",
        [
            KeyValue::new("conversation.id", "c1"),
            KeyValue::new("turn.type", "conversation"),
            KeyValue::new("turn.number", 1),
            KeyValue::new("turn.input", "Hello?"),
            KeyValue::new("turn.output", "Hi."),
        ],
    )
}

/// What a profile adds, one attribute a line.
fn added(profile: Profile, mut span: SpanData) -> String {
    let before = span.attributes.len();
    profile.apply(&mut span);
    span.attributes[before..]
        .iter()
        .map(|pair| format!("{} = {}\n", pair.key, pair.value))
        .collect()
}

#[test]
fn the_default_profile_adds_nothing() {
    assert_eq!(added(Profile::Default, llm()), "");
}

#[test]
fn langfuse_reads_session_type_content_and_the_first_token() {
    assert_eq!(
        added(Profile::Langfuse, llm()),
        "langfuse.session.id = c1
session.id = c1
langfuse.observation.type = generation
langfuse.observation.input = Hello?
langfuse.observation.output = Hi.
langfuse.observation.completion_start_time = 2025-07-13T05:20:00.500Z
langfuse.trace.name = llm
"
    );
    assert_eq!(
        added(Profile::Langfuse, turn()),
        "langfuse.session.id = c1
session.id = c1
langfuse.observation.type = chain
langfuse.observation.input = Hello?
langfuse.observation.output = Hi.
langfuse.trace.name = turn
langfuse.trace.input = Hello?
langfuse.trace.output = Hi.
"
    );
}

#[test]
fn a_transcription_has_no_first_token_for_langfuse() {
    let stt = span(
        "stt",
        [
            KeyValue::new("gen_ai.operation.name", "stt"),
            KeyValue::new("metrics.ttfb", 0.5),
            KeyValue::new("transcript", "Hello?"),
        ],
    );
    assert_eq!(
        added(Profile::Langfuse, stt),
        "langfuse.observation.type = generation\nlangfuse.observation.output = Hello?\nlangfuse.trace.name = stt\n"
    );
}

#[test]
fn openinference_reads_kind_values_and_token_counts() {
    assert_eq!(
        added(Profile::OpenInference, llm()),
        "openinference.span.kind = LLM
session.id = c1
input.value = Hello?
input.mime_type = text/plain
output.value = Hi.
output.mime_type = text/plain
llm.model_name = gpt-4o
llm.provider = openai
llm.token_count.prompt = 42
llm.token_count.completion = 7
llm.token_count.total = 49
"
    );
    let tool = span(
        "tool",
        [
            KeyValue::new("gen_ai.operation.name", "execute_tool"),
            KeyValue::new("gen_ai.tool.name", "weather"),
            KeyValue::new("gen_ai.tool.call.arguments", "{\"city\":\"Bern\"}"),
        ],
    );
    assert_eq!(
        added(Profile::OpenInference, tool),
        "openinference.span.kind = TOOL
input.value = {\"city\":\"Bern\"}
input.mime_type = application/json
tool.name = weather
"
    );
}

#[test]
fn langsmith_reads_kind_thread_and_messages() {
    assert_eq!(
        added(Profile::LangSmith, llm()),
        r#"langsmith.span.kind = llm
langsmith.metadata.thread_id = c1
gen_ai.prompt = {"messages":[{"role":"user","content":"Hello?"}]}
gen_ai.completion = {"messages":[{"role":"assistant","content":"Hi."}]}
gen_ai.system = openai
"#
    );
}

#[test]
fn opik_reads_thread_input_and_output() {
    assert_eq!(
        added(Profile::Opik, turn()),
        "thread_id = c1
input = Hello?
output = Hi.
"
    );
    // The span's own input and output are what it reads already.
    assert_eq!(
        added(Profile::Opik, llm()),
        "thread_id = c1\ngen_ai.system = openai\n"
    );
}

#[test]
fn a_profile_never_changes_what_is_there() {
    let span = span(
        "llm",
        [
            KeyValue::new("conversation.id", "c1"),
            KeyValue::new("session.id", "mine"),
        ],
    );
    assert_eq!(added(Profile::OpenInference, span), "");
}

#[cfg(feature = "setup")]
#[test]
fn the_endpoint_tells_the_backend() {
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
        ("http://localhost:4318/v1/traces", Profile::Default),
        ("http://collector:4317", Profile::Default),
        ("http://collector/langfuse", Profile::Default),
    ] {
        assert_eq!(Profile::of_endpoint(url), profile, "{url}");
    }
}
