//! Logfire's layer in one registry with this one, before it and behind it: each exports what it does alone, in traces of its own.

use opentelemetry_sdk::trace::InMemorySpanExporter;
use opentelemetry_sdk_032::trace as logfire_sdk;
use std::time::Duration;
use tracing::{Dispatch, Subscriber, info, info_span};
use tracing_conversation::{Telemetry, event};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, prelude::*};

/// Longer than any machine needs; never waited for unless the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The trace ids that a service span has, in this layer and in Logfire's.
fn call() -> (String, String) {
    info_span!("request").in_scope(|| {
        info_span!("conversation", conversation.id = "call-1").in_scope(|| {
            event::user_started_speaking();
            let llm = info_span!("llm", gen_ai.operation.name = "chat");
            llm.in_scope(|| info!("an event"));
            event::bot_started_speaking();
            (this_trace(&llm), trace_of_logfire(&llm))
        })
    })
}

fn this_trace(span: &tracing::Span) -> String {
    use opentelemetry::trace::TraceContextExt as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    span.context().span().span_context().trace_id().to_string()
}

fn trace_of_logfire(span: &tracing::Span) -> String {
    use opentelemetry_032::trace::TraceContextExt as _;
    use tracing_opentelemetry_033::OpenTelemetrySpanExt as _;
    span.context().span().span_context().trace_id().to_string()
}

struct Logfire {
    logfire: logfire::Logfire,
    spans: logfire_sdk::InMemorySpanExporter,
}

impl Logfire {
    fn new() -> Self {
        let spans = logfire_sdk::InMemorySpanExporter::default();
        let processor = logfire_sdk::SimpleSpanProcessor::new(spans.clone());
        let logfire = logfire::configure()
            .local()
            .send_to_logfire(false)
            .with_console(None)
            .with_default_level_filter(LevelFilter::INFO)
            .with_additional_span_processor(processor)
            .finish()
            .unwrap();
        Self { logfire, spans }
    }

    fn filtered_layer<S>(&self) -> impl Layer<S> + Send + Sync
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let no_boundary = filter_fn(|metadata| !event::is_boundary(metadata));
        self.logfire.tracing_layer().with_filter(no_boundary)
    }

    /// Name and parent's name of each span.
    fn nesting(&self) -> Vec<(String, String)> {
        let spans = self.spans.get_finished_spans().unwrap();
        nesting(spans.into_iter().map(|span| Span {
            name: span.name.into_owned(),
            id: span.span_context.span_id().to_string(),
            parent: span.parent_span_id.to_string(),
        }))
    }
}

/// Of either version of opentelemetry.
struct Span {
    name: String,
    id: String,
    parent: String,
}

fn nesting(spans: impl Iterator<Item = Span>) -> Vec<(String, String)> {
    let spans: Vec<Span> = spans.collect();
    let name = |id: &str| {
        let span = spans.iter().find(|span| span.id == id);
        span.map_or_else(String::new, |span| span.name.clone())
    };
    let mut nesting: Vec<_> = spans
        .iter()
        .map(|span| (span.name.clone(), name(&span.parent)))
        .collect();
    nesting.sort();
    nesting
}

fn ours(spans: &InMemorySpanExporter) -> Vec<(String, String)> {
    let spans = spans.get_finished_spans().unwrap();
    nesting(spans.into_iter().map(|span| Span {
        name: span.name.into_owned(),
        id: span.span_context.span_id().to_string(),
        parent: span.parent_span_id.to_string(),
    }))
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, parent): &(&str, &str)| ((*name).to_owned(), (*parent).to_owned());
    expected.iter().map(owned).collect()
}

fn main() {
    for logfire_is_first in [true, false] {
        let spans = InMemorySpanExporter::default();
        let telemetry = Telemetry::builder()
            .variable("OTEL_TRACES_EXPORTER", "none")
            .exporter(spans.clone())
            .build()
            .unwrap();
        let logfire = Logfire::new();
        let subscriber = if logfire_is_first {
            let registry = tracing_subscriber::registry().with(logfire.filtered_layer());
            Dispatch::new(registry.with(telemetry.layer()))
        } else {
            let registry = tracing_subscriber::registry().with(telemetry.layer());
            Dispatch::new(registry.with(logfire.filtered_layer()))
        };
        let traces = tracing::dispatcher::with_default(&subscriber, call);
        telemetry.flush(PATIENCE).unwrap();
        logfire.logfire.force_flush().unwrap();
        assert_eq!(
            ours(&spans),
            pairs(&[
                ("conversation", "request"),
                ("llm", "turn"),
                ("request", ""),
                ("turn", "conversation"),
            ]),
            "this layer, Logfire first: {logfire_is_first}"
        );
        assert_eq!(
            logfire.nesting(),
            pairs(&[
                ("conversation", "request"),
                ("llm", "conversation"),
                ("request", ""),
            ]),
            "Logfire, first: {logfire_is_first}"
        );
        let mine = spans.get_finished_spans().unwrap()[0]
            .span_context
            .trace_id();
        let its = logfire.spans.get_finished_spans().unwrap()[0]
            .span_context
            .trace_id();
        assert_eq!(traces, (mine.to_string(), its.to_string()));
        assert_ne!(traces.0, traces.1, "one call, two traces");
    }
    println!("Logfire and this layer do what they do alone, in traces of their own");
}
