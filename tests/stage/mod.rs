//! A test harness: the layer with a manual clock, and the exported spans as text.
#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor, SpanData, TracerProviderBuilder,
};
use std::time::Duration;
use tracing::{Dispatch, Span, info, info_span};
use tracing_conversation::testing::Tree;
use tracing_conversation::{
    ConversationLayer, ConversationProcessor, Conversations, LayerBuilder, ManualClock,
};
use tracing_subscriber::Registry;
use tracing_subscriber::prelude::*;

/// An exporter behind a conversation processor, and a provider with that processor.
pub struct Output {
    pub exporter: InMemorySpanExporter,
    pub processor: ConversationProcessor,
    pub provider: SdkTracerProvider,
}

impl Output {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// Creates an output; `set` configures the provider before the processor is added.
    pub fn with(set: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder) -> Self {
        let exporter = InMemorySpanExporter::default();
        let processor = ConversationProcessor::new(SimpleSpanProcessor::new(exporter.clone()));
        Self::over(exporter, processor, set)
    }

    /// Creates an output from a processor that exports to `exporter`.
    pub fn over(
        exporter: InMemorySpanExporter,
        processor: ConversationProcessor,
        set: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
    ) -> Self {
        let provider = set(SdkTracerProvider::builder())
            .with_span_processor(processor.clone())
            .build();
        Self {
            exporter,
            processor,
            provider,
        }
    }

    /// Returns a builder of a layer that exports to this output.
    pub fn layer<S>(&self) -> LayerBuilder<S>
    where
        S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    {
        ConversationLayer::builder(self.provider.tracer("test"), &self.processor)
    }
}

/// A layer with a manual clock on a registry, and its exported spans.
pub struct Stage {
    pub clock: ManualClock,
    pub output: Output,
    pub conversations: Conversations,
    pub dispatch: Dispatch,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(|layer| layer)
    }

    /// Creates a stage; `set` configures the layer.
    pub fn with(set: impl FnOnce(LayerBuilder<Registry>) -> LayerBuilder<Registry>) -> Self {
        Self::over(Output::new(), set)
    }

    /// Creates a stage that exports to `output`.
    pub fn over(
        output: Output,
        set: impl FnOnce(LayerBuilder<Registry>) -> LayerBuilder<Registry>,
    ) -> Self {
        let clock = ManualClock::new();
        let layer = set(output.layer().clock(clock.clone())).build();
        let conversations = layer.conversations();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Self {
            clock,
            output,
            conversations,
            dispatch,
        }
    }

    /// Runs `program` under the layer.
    pub fn play<R>(&self, program: impl FnOnce() -> R) -> R {
        tracing::dispatcher::with_default(&self.dispatch, program)
    }

    /// Advances the clock.
    pub fn pass(&self, milliseconds: u64) {
        self.clock.advance(Duration::from_millis(milliseconds));
    }

    /// Returns the exported spans in the order of their export.
    pub fn spans(&self) -> Vec<SpanData> {
        self.output.exporter.get_finished_spans().unwrap()
    }

    /// Returns the only exported span named `name`.
    #[track_caller]
    pub fn span(&self, name: &str) -> SpanData {
        one(&self.spans(), name)
    }

    /// Returns the exported spans as a tree.
    pub fn tree(&self, keys: &[&str]) -> Vec<String> {
        tree(&self.spans(), keys)
    }
}

/// Returns the only span named `name`.
#[track_caller]
pub fn one(spans: &[SpanData], name: &str) -> SpanData {
    let mut found = spans.iter().filter(|span| span.name == name);
    match (found.next(), found.next()) {
        (Some(span), None) => span.clone(),
        (None, _) => panic!("no span {name:?} among {:#?}", tree(spans, &[])),
        _ => panic!("several spans {name:?} among {:#?}", tree(spans, &[])),
    }
}

/// Returns the number of spans named `name`.
pub fn count(spans: &[SpanData], name: &str) -> usize {
    spans.iter().filter(|span| span.name == name).count()
}

/// Returns the value of an attribute as text: strings without quotes, numbers in Rust's notation.
pub fn value<'a>(attributes: impl IntoIterator<Item = &'a KeyValue>, key: &str) -> Option<String> {
    attributes
        .into_iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|attribute| match &attribute.value {
            Value::String(text) => text.to_string(),
            Value::I64(number) => number.to_string(),
            Value::F64(number) => format!("{number:?}"),
            Value::Bool(truth) => truth.to_string(),
            other => format!("{other:?}"),
        })
}

pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    value(&span.attributes, key)
}

pub fn seconds(span: &SpanData) -> f64 {
    let lasted = span.end_time.duration_since(span.start_time);
    lasted.unwrap().as_secs_f64()
}

/// Renders spans as a tree without times, with those of `keys` that a span has; see [`Tree`].
pub fn tree(spans: &[SpanData], keys: &[&str]) -> Vec<String> {
    let lines = Tree::of(spans).only(keys).without_times().lines();
    assert_eq!(lines.len(), spans.len(), "cyclic parents");
    lines
}

/// Creates a scope span.
pub fn scope() -> Span {
    info_span!("conversation", conversation.id = "c1")
}

/// Ends the open turn and starts the next.
pub fn next_turn() {
    info!(
        conversation.event = "bot_started_speaking",
        conversation.id = "c1"
    );
    info!(
        conversation.event = "user_started_speaking",
        conversation.id = "c1"
    );
}

/// Ends the open turn by silence, which leaves the conversation between turns.
pub fn end_turn(stage: &Stage) {
    info!(
        conversation.event = "bot_started_speaking",
        conversation.id = "c1"
    );
    info!(
        conversation.event = "bot_stopped_speaking",
        conversation.id = "c1"
    );
    stage.pass(2_500);
}

/// Fails if a span has an attribute twice.
#[track_caller]
pub fn assert_each_key_once(spans: &[SpanData]) {
    for span in spans {
        let mut keys: Vec<_> = span
            .attributes
            .iter()
            .map(|attribute| attribute.key.as_str())
            .collect();
        keys.sort_unstable();
        let repeated: Vec<_> = keys.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(repeated.is_empty(), "{}: {repeated:?}", span.name);
    }
}

/// Waits until `happened` returns true because of another thread.
#[track_caller]
pub fn eventually(happened: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !happened() {
        assert!(std::time::Instant::now() < deadline, "timed out");
        std::thread::yield_now();
    }
}
