//! Layers of other crates beside that of tracing-conversation, in one registry: each has to do what it does alone.
//!
//! What needs more than a place in the registry has a program of its own beside this one.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
use sentry::integrations::tracing as sentry_tracing;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::{Instrument as _, error, info, info_span};
use tracing_conversation::{ConversationProcessor, event};
use tracing_error::{ErrorLayer, SpanTrace};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::{Layer as _, fmt, prelude::*};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

async fn call() {
    event::user_started_speaking();
    let llm = info_span!("llm", gen_ai.operation.name = "chat");
    async {
        event::first_byte();
        log::info!("from the log crate");
        info!(tokens = 7, "an event");
        error!("out of voice");
        tokio::task::yield_now().await;
        assert!(
            SpanTrace::capture().to_string().contains("llm"),
            "tracing-error"
        );
    }
    .instrument(llm)
    .await;
    event::bot_started_speaking();
}

fn main() {
    let directory = std::env::temp_dir().join(format!("beside-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();

    let spans = InMemorySpanExporter::default();
    let processor = ConversationProcessor::new(SimpleSpanProcessor::new(spans.clone()));
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let logs = InMemoryLogExporter::default();
    let logger = SdkLoggerProvider::builder()
        .with_simple_exporter(logs.clone())
        .build();
    let (text, json) = (Written::default(), Written::default());
    let (file, file_guard) =
        tracing_appender::non_blocking(tracing_appender::rolling::never(&directory, "log"));
    let no_boundary = || filter_fn(|metadata| !event::is_boundary(metadata));

    let captured = sentry::test::with_captured_events(|| {
        let (text, json) = (text.clone(), json.clone());
        let subscriber = tracing_subscriber::registry()
            .with(
                fmt::layer()
                    .with_ansi(false)
                    .with_writer(move || text.clone())
                    .with_filter(no_boundary()),
            )
            .with(fmt::layer().json().with_writer(move || json.clone()))
            .with(
                fmt::layer()
                    .with_ansi(false)
                    .with_writer(file)
                    .with_filter(no_boundary()),
            )
            .with(ErrorLayer::default())
            .with(sentry_tracing::SpanLayer::new().with_filter(LevelFilter::INFO))
            .with(sentry_tracing::ErrorLayer::new().with_filter(LevelFilter::ERROR))
            .with(OpenTelemetryTracingBridge::new(&logger).with_filter(no_boundary()))
            .with(tracing_conversation::layer(
                provider.tracer("beside"),
                &processor,
            ));
        tracing::subscriber::set_global_default(subscriber).unwrap();
        tracing_log::LogTracer::init().unwrap();
        let scope = info_span!("conversation", conversation.id = "call-1");
        // On this thread, to which sentry's hub is bound.
        runtime.block_on(call().instrument(scope));
    });
    drop(file_guard);

    let spans = spans.get_finished_spans().unwrap();
    let mut names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
    names.sort();
    names.retain(|name| ["conversation", "llm", "turn"].contains(&name.as_str()));
    assert_eq!(names, ["conversation", "llm", "turn"], "the conversation");
    let llm = spans.iter().find(|span| span.name == "llm").unwrap();
    let events: Vec<_> = llm
        .events
        .iter()
        .map(|event| event.name.to_string())
        .collect();
    for message in ["from the log crate", "an event", "out of voice"] {
        assert!(
            events.contains(&message.to_owned()),
            "span events: {events:?}"
        );
    }

    let text = text.text();
    assert_eq!(count(&text, "conversation.event"), 0, "fmt, text: {text}");
    for part in [
        "conversation{conversation.id=\"call-1\"}:llm",
        "tokens=7",
        "from the log crate",
    ] {
        assert!(text.contains(part), "fmt, text: {text}");
    }
    let json = json.text();
    assert_eq!(
        count(&json, "\"conversation.event\""),
        3,
        "fmt, JSON: {json}"
    );
    assert!(json.contains("\"tokens\":7"), "fmt, JSON: {json}");
    let file = std::fs::read_to_string(directory.join("log")).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(file.contains("an event"), "tracing-appender: {file}");

    let records = logs.get_emitted_logs().unwrap();
    let of_llm = records.iter().filter(|record| {
        let context = record.record.trace_context();
        context.is_some_and(|context| context.span_id == llm.span_context.span_id())
    });
    assert_eq!(
        of_llm.count(),
        3,
        "opentelemetry-appender-tracing: {records:?}"
    );

    let errors: Vec<_> = captured
        .iter()
        .filter_map(|event| event.message.clone())
        .collect();
    assert_eq!(errors, ["out of voice"], "sentry");
    println!("each of them does what it does alone");
}
