//! What a program's own processors receive: inside, beside and around the `ConversationProcessor`.

use crate::stage::{self, Output, Stage, assert_each_key_once};
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor, SpanData, SpanLimits,
    SpanProcessor,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::Empty;
use tracing::{info, info_span};
use tracing_conversation::{ContentPolicy, ConversationProcessor};

/// Three turns, each with an llm span that records its token count.
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
        let mut lines: Vec<_> = span
            .attributes
            .iter()
            .map(|attribute| format!("{}={}", attribute.key, attribute.value))
            .collect();
        lines.sort();
        lines.join(" ")
    };
    let line = |span: &SpanData| format!("{} {}", span.name, attributes(span));
    spans.iter().map(line).collect()
}

fn expected() -> Vec<String> {
    let llm = |turn| {
        format!(
            "llm conversation.id=c1 gen_ai.conversation.id=c1 gen_ai.operation.name=chat gen_ai.output.type=text gen_ai.provider.name=openai \
             gen_ai.response.time_to_first_chunk=0.1 gen_ai.usage.output_tokens={turn} metrics.ttfb=0.1 output=Yes. \
             turn.number={turn}"
        )
    };
    let turn = |turn, reason, interrupted| {
        format!(
            "turn conversation.id=c1 gen_ai.conversation.id=c1 turn.duration_seconds=0.1 turn.end_reason={reason} turn.number={turn} \
             turn.output=Yes. turn.type=conversation turn.was_interrupted={interrupted}"
        )
    };
    let post = "POST conversation.id=c1 gen_ai.conversation.id=c1".to_owned();
    vec![
        llm(1),
        post.clone(),
        turn(1, "user_spoke", false),
        llm(2),
        post.clone(),
        turn(2, "user_spoke", false),
        llm(3),
        post,
        turn(3, "conversation_ended", true)
            + " turn.ended_by_conversation_end=true turn.user_speech_seconds=0.3",
        "conversation conversation.duration_seconds=0.3 conversation.error_count=0 conversation.id=c1 \
         conversation.interruption_count=0 conversation.output=Yes. conversation.turn_count=3 conversation.type=voice \
         conversation.usage.output_tokens=6 conversation.user_speech_seconds=0.3 gen_ai.conversation.id=c1 tier=premium"
            .to_owned(),
    ]
}

/// Sorts the attributes of each line.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    for line in &mut lines {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words[1..].sort();
        *line = words.join(" ");
    }
    lines
}

/// Returns a processor that exports to `exporter` synchronously.
fn simple(exporter: &InMemorySpanExporter) -> SimpleSpanProcessor<InMemorySpanExporter> {
    SimpleSpanProcessor::new(exporter.clone())
}

fn exported(exporter: &InMemorySpanExporter) -> Vec<String> {
    sorted(all(&exporter.get_finished_spans().unwrap()))
}

/// Selects the root spans and the ordinary spans, which the provider's own processors receive.
fn roots_and_ordinary(lines: Vec<String>) -> Vec<String> {
    let is_root_or_ordinary = |line: &String| {
        let name = line.split(' ').next();
        matches!(name, Some("conversation" | "POST"))
    };
    lines.into_iter().filter(is_root_or_ordinary).collect()
}

#[test]
fn processor_gets_complete_spans_from_first_to_last() {
    let stage = Stage::new();
    three_turns(&stage);
    assert_eq!(sorted(all(&stage.spans())), sorted(expected()));
    assert_each_key_once(&stage.spans());
}

#[test]
fn processors_inside_get_every_span() {
    let [first, second, third] = [(); 3].map(|()| InMemorySpanExporter::default());
    let processor = ConversationProcessor::new(simple(&first))
        .and(simple(&second))
        .and(ConversationProcessor::new(simple(&third)));
    let stage = Stage::over(
        Output::over(first.clone(), processor, |builder| builder),
        |layer| layer,
    );
    three_turns(&stage);
    for exporter in [&first, &second, &third] {
        assert_eq!(exported(exporter), sorted(expected()));
    }
}

#[test]
fn processors_beside_get_complete_roots_and_ordinary_spans() {
    let [exporter, before] = [(); 2].map(|()| InMemorySpanExporter::default());
    let processor = ConversationProcessor::new(simple(&exporter));
    let output = Output::over(exporter.clone(), processor, |builder| {
        builder.with_span_processor(simple(&before))
    });
    let stage = Stage::over(output, |layer| layer);
    three_turns(&stage);
    assert_eq!(exported(&exporter), sorted(expected()));
    assert_eq!(exported(&before), roots_and_ordinary(sorted(expected())));
}

#[test]
fn second_conversation_processor_of_a_provider_gets_complete_roots_and_ordinary_spans() {
    let [exporter, other] = [(); 2].map(|()| InMemorySpanExporter::default());
    let output = Output::over(
        exporter.clone(),
        ConversationProcessor::new(simple(&exporter)),
        |builder| builder.with_span_processor(ConversationProcessor::new(simple(&other))),
    );
    let stage = Stage::over(output, |layer| layer);
    three_turns(&stage);
    assert_eq!(exported(&exporter), sorted(expected()));
    assert_eq!(exported(&other), roots_and_ordinary(sorted(expected())));
}

/// A processor around the `ConversationProcessor`, which forwards the spans that the provider ends.
#[derive(Debug)]
struct Forwarding {
    outer_exporter: InMemorySpanExporter,
    inner: ConversationProcessor,
}

impl SpanProcessor for Forwarding {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.inner.on_start(span, context);
    }
    fn on_end(&self, span: SpanData) {
        SimpleSpanProcessor::new(self.outer_exporter.clone()).on_end(span.clone());
        self.inner.on_end(span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }
}

#[test]
fn wrapping_processor_gets_complete_roots_and_ordinary_spans() {
    let [inner_exporter, outer_exporter] = [(); 2].map(|()| InMemorySpanExporter::default());
    let inner = ConversationProcessor::new(simple(&inner_exporter));
    let forwarding = Forwarding {
        outer_exporter: outer_exporter.clone(),
        inner: inner.clone(),
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(forwarding)
        .build();
    let output = Output {
        exporter: inner_exporter.clone(),
        processor: inner,
        provider,
    };
    let stage = Stage::over(output, |layer| layer);
    three_turns(&stage);
    assert_eq!(exported(&inner_exporter), sorted(expected()));
    assert_eq!(
        exported(&outer_exporter),
        roots_and_ordinary(sorted(expected()))
    );
}

#[test]
fn policy_applies_to_roots_seen_by_processors_beside() {
    let [exporter, beside] = [(); 2].map(|()| InMemorySpanExporter::default());
    let processor = ConversationProcessor::new(simple(&exporter)).with_content(
        ContentPolicy::default().with_redaction(|key, _| (key == "tier").then(|| "***".into())),
    );
    let output = Output::over(exporter, processor, |builder| {
        builder.with_span_processor(simple(&beside))
    });
    let stage = Stage::over(output, |layer| layer);
    three_turns(&stage);
    for exporter in [&stage.output.exporter, &beside] {
        let spans = exporter.get_finished_spans().unwrap();
        let root = stage::one(&spans, "conversation");
        assert_eq!(stage::attribute(&root, "tier").as_deref(), Some("***"));
    }
}

#[test]
fn policy_set_after_layer_was_built_applies() {
    let stage = Stage::new();
    let _ = stage.output.processor.clone().with_content(
        ContentPolicy::default()
            .with_redaction(|_, value| value.contains("Yes").then(|| "[redacted]".to_owned())),
    );
    three_turns(&stage);
    for span in stage.spans() {
        let text = format!("{:?}", span.attributes);
        assert!(!text.contains("Yes"), "{text}");
    }
}

#[test]
fn processor_limits_apply_to_owned_spans_but_keep_conversation_attributes() {
    let limits = SpanLimits {
        max_attributes_per_span: 4,
        ..SpanLimits::default()
    };
    let exporter = InMemorySpanExporter::default();
    let processor = ConversationProcessor::new(simple(&exporter)).with_limits(limits);
    let output = Output::over(exporter, processor, |builder| {
        builder.with_max_attributes_per_span(4)
    });
    let stage = Stage::over(output, |layer| layer);
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

#[test]
fn resource_reaches_shared_processor() {
    #[derive(Debug, Clone, Default)]
    struct KeepsResource(Arc<Mutex<Option<Resource>>>);
    impl SpanProcessor for KeepsResource {
        fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}
        fn on_end(&self, _: SpanData) {}
        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }
        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
        fn set_resource(&mut self, resource: &Resource) {
            *self.0.lock().unwrap() = Some(resource.clone());
        }
    }
    let kept = KeepsResource::default();
    let processor = ConversationProcessor::new(kept.clone());
    let resource = Resource::builder_empty().with_service_name("agent").build();
    let _output = Output::over(InMemorySpanExporter::default(), processor, |builder| {
        builder.with_resource(resource.clone())
    });
    assert_eq!(kept.0.lock().unwrap().as_ref(), Some(&resource));
}
