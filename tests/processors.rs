//! Every processor of a provider hears everything, however the layer hands it over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

mod stage;

use opentelemetry_sdk::trace::{
    InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor, SpanData,
};
use stage::{Stage, assert_each_key_once};
use tracing::field::Empty;
use tracing::{info, info_span};
use tracing_conversation::ConversationProcessor;

/// Three turns, each with a model that says how many tokens it took.
fn three_turns(stage: &Stage) {
    stage.play(|| {
        let _scope = info_span!("conversation", conversation.id = "c1", tier = "premium").entered();
        for turn in 1..=3_i64 {
            info!(conversation.event = "user_started_speaking");
            let llm = info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.provider.name = "openai",
                gen_ai.usage.output_tokens = Empty,
                output = Empty,
            );
            stage.pass(100);
            llm.in_scope(|| info!(conversation.event = "first_byte"));
            llm.record("gen_ai.usage.output_tokens", turn)
                .record("output", "Yes.");
            drop(llm);
            drop(info_span!("POST"));
            info!(conversation.event = "bot_started_speaking");
            info!(conversation.event = "bot_stopped_speaking");
        }
    });
}

/// The spans as text, with all their attributes.
fn all(spans: &[SpanData]) -> Vec<String> {
    let attributes = |span: &SpanData| {
        let mut told: Vec<_> = span
            .attributes
            .iter()
            .map(|attribute| format!("{}={}", attribute.key, attribute.value))
            .collect();
        told.sort();
        told.join(" ")
    };
    let line = |span: &SpanData| format!("{} {}", span.name, attributes(span));
    spans.iter().map(line).collect()
}

fn expected() -> Vec<String> {
    let llm = |turn| {
        format!(
            "llm conversation.id=c1 gen_ai.operation.name=chat gen_ai.output.type=text gen_ai.provider.name=openai \
             gen_ai.response.time_to_first_chunk=0.1 gen_ai.usage.output_tokens={turn} metrics.ttfb=0.1 output=Yes. \
             turn.number={turn}"
        )
    };
    let turn = |turn, reason, interrupted| {
        format!(
            "turn conversation.id=c1 turn.duration_seconds=0.1 turn.end_reason={reason} turn.number={turn} \
             turn.output=Yes. turn.type=conversation turn.was_interrupted={interrupted}"
        )
    };
    let post = "POST conversation.id=c1".to_owned();
    vec![
        llm(1),
        post.clone(),
        turn(1, "user_spoke", false),
        llm(2),
        post.clone(),
        turn(2, "user_spoke", false),
        llm(3),
        post,
        turn(3, "conversation_ended", true) + " turn.ended_by_conversation_end=true",
        "conversation conversation.id=c1 conversation.type=voice gen_ai.conversation.id=c1 tier=premium"
            .to_owned(),
    ]
}

/// The attributes of the third turn in their order.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    for line in &mut lines {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words[1..].sort();
        *line = words.join(" ");
    }
    lines
}

#[test]
fn a_processor_that_is_alone_hears_everything_from_the_first_span_to_the_last() {
    let stage = Stage::new();
    three_turns(&stage);
    assert_eq!(sorted(all(&stage.spans())), sorted(expected()));
    assert_each_key_once(&stage.spans());
}

#[test]
fn processors_beside_ours_hear_everything_too() {
    let [ours, before, after] = [(); 3].map(|()| InMemorySpanExporter::default());
    let simple = |exporter: &InMemorySpanExporter| SimpleSpanProcessor::new(exporter.clone());
    let provider = SdkTracerProvider::builder()
        .with_span_processor(simple(&before))
        .with_span_processor(ConversationProcessor::new(simple(&ours)))
        .with_span_processor(simple(&after))
        .build();
    let stage = Stage::over(ours.clone(), provider, |layer| layer);
    three_turns(&stage);
    // An ordinary span is marked by ours, as it starts: for all of them.
    for exporter in [&ours, &before, &after] {
        let spans = exporter.get_finished_spans().unwrap();
        assert_eq!(sorted(all(&spans)), sorted(expected()));
    }
}

#[test]
fn two_of_ours_hear_the_same() {
    let [one, other] = [(); 2].map(|()| InMemorySpanExporter::default());
    let ours = |exporter: &InMemorySpanExporter| {
        ConversationProcessor::new(SimpleSpanProcessor::new(exporter.clone()))
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(ours(&one))
        .with_span_processor(ours(&other))
        .build();
    let stage = Stage::over(one.clone(), provider, |layer| layer);
    three_turns(&stage);
    for exporter in [one, other] {
        let spans = exporter.get_finished_spans().unwrap();
        assert_eq!(sorted(all(&spans)), sorted(expected()));
    }
}

#[test]
fn without_ours_the_spans_of_the_layer_are_complete_all_the_same() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let stage = Stage::over(exporter, provider, |layer| layer);
    three_turns(&stage);
    let unmarked = |line: &String| !line.starts_with("POST");
    let lines: Vec<_> = all(&stage.spans()).into_iter().filter(unmarked).collect();
    let expected: Vec<_> = expected().into_iter().filter(unmarked).collect();
    assert_eq!(sorted(lines), sorted(expected));
}

#[test]
fn the_limit_of_the_sdk_holds_and_leaves_the_marks() {
    let (exporter, provider) =
        stage::exporter_with(|builder| builder.with_max_attributes_per_span(4));
    let stage = Stage::over(exporter, provider, |layer| layer);
    three_turns(&stage);
    let spans = stage.spans();
    assert_eq!(spans.len(), 10);
    for span in &spans {
        assert!(span.attributes.len() <= 4, "{:?}", span.attributes);
        assert_eq!(
            stage::attribute(span, "conversation.id").as_deref(),
            Some("c1"),
            "{}",
            span.name
        );
    }
    let dropped = spans
        .iter()
        .filter(|span| span.dropped_attributes_count > 0);
    assert_eq!(dropped.filter(|span| span.name == "llm").count(), 3);
}
