//! Renders what the layer and the processor export as text.

#![allow(dead_code)] // Not every test binary uses all of it.

use std::fmt::Write as _;
use std::time::Duration;

use opentelemetry::trace::{Status, TracerProvider as _};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor, SpanData,
};
use tracing::subscriber::DefaultGuard;
use tracing_conversation::{ContentPolicy, ConversationLayer, ConversationProcessor, ManualClock};
use tracing_subscriber::prelude::*;

/// The layer with a manual clock, installed on this thread.
pub(crate) struct Exported {
    pub(crate) clock: ManualClock,
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _default: DefaultGuard,
}

impl Exported {
    pub(crate) fn new() -> Self {
        Self::with_content(ContentPolicy::default())
    }

    pub(crate) fn with_content(policy: ContentPolicy) -> Self {
        let clock = ManualClock::new();
        let exporter = InMemorySpanExporter::default();
        let simple = SimpleSpanProcessor::new(exporter.clone());
        let processor = ConversationProcessor::new(simple).with_content(policy);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.clone())
            .build();
        let layer = ConversationLayer::builder(provider.tracer("test"), &processor)
            .clock(clock.clone())
            .build();
        Self {
            clock,
            exporter,
            provider,
            _default: tracing_subscriber::registry().with(layer).set_default(),
        }
    }

    pub(crate) fn pass(&self, milliseconds: u64) {
        self.clock.advance(Duration::from_millis(milliseconds));
    }

    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.provider.force_flush().unwrap();
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.sort_by_key(|span| span.start_time);
        spans
    }

    /// Renders each span below its parent, with the attributes that the instrumentation sets.
    pub(crate) fn tree(&self) -> String {
        let spans = self.spans();
        let mut tree = String::from("\n");
        for span in &spans {
            let is_parent = |other: &SpanData| other.span_context.span_id() == span.parent_span_id;
            if !spans.iter().any(is_parent) {
                write(&mut tree, &spans, span, 0);
            }
        }
        tree
    }
}

fn write(tree: &mut String, spans: &[SpanData], span: &SpanData, depth: usize) {
    let indent = "  ".repeat(depth);
    writeln!(tree, "{indent}{}", span.name).unwrap();
    let mut lines: Vec<String> = span
        .attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .filter(|line| is_shown(&span.name, line))
        .collect();
    lines.sort();
    match &span.status {
        Status::Unset => {}
        status => lines.push(format!("{status:?}")),
    }
    lines.extend(
        span.events
            .iter()
            .map(|event| format!("event {:?}", event.name)),
    );
    for line in lines {
        writeln!(tree, "{indent}  · {line}").unwrap();
    }
    for child in spans {
        if child.parent_span_id == span.span_context.span_id() {
            write(tree, spans, child, depth + 1);
        }
    }
}

/// Returns whether an attribute is shown. The attributes that the layer derives have their own tests.
fn is_shown(span: &str, line: &str) -> bool {
    let shown = ["turn.input", "turn.output", "turn.was_interrupted=true"];
    match span {
        "turn" => shown.iter().any(|shown| line.starts_with(shown)),
        "conversation" => {
            let is_derived = line.starts_with("conversation.") || line.starts_with("gen_ai.");
            !is_derived || line.starts_with("conversation.id=")
        }
        _ => ![
            "conversation.id",
            "gen_ai.conversation.id",
            "turn.number",
            "gen_ai.response.time_to_first_chunk",
        ]
        .iter()
        .any(|marked| line.starts_with(marked)),
    }
}
