//! init-tracing-opentelemetry and this layer: with its OpenTelemetry on, this layer rests; without, both its log and this layer work.

use init_tracing_opentelemetry::TracingConfig;
use opentelemetry_sdk::trace::InMemorySpanExporter;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tracing::{info, info_span};
use tracing_conversation::{Telemetry, event};
use tracing_subscriber::prelude::*;

/// Longer than any machine needs; never waited for unless the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn call() {
    info_span!("conversation", conversation.id = "call-1").in_scope(|| {
        event::user_started_speaking();
        info_span!("llm", gen_ai.operation.name = "chat").in_scope(|| info!("an event"));
        event::bot_started_speaking();
    });
}

fn telemetry() -> (Telemetry, InMemorySpanExporter) {
    let spans = InMemorySpanExporter::default();
    let telemetry = Telemetry::builder()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .exporter(spans.clone())
        .build()
        .unwrap();
    (telemetry, spans)
}

fn names(spans: &InMemorySpanExporter) -> Vec<String> {
    let spans = spans.get_finished_spans().unwrap();
    let mut names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
    names.sort();
    names
}

fn config(log: &Path) -> TracingConfig {
    TracingConfig::default().with_json_format().with_file(log)
}

/// As it comes: two layers want to keep the spans.
fn with_its_opentelemetry(log: &Path) {
    let (telemetry, spans) = telemetry();
    let guard = config(log)
        .init_subscriber_ext(|registry| registry.with(telemetry.layer()))
        .unwrap();
    assert!(guard.has_otel());
    call();
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(names(&spans), [""; 0], "this layer rests");
    let found = telemetry.check().to_string();
    assert!(
        found.contains("a second layer keeps OpenTelemetry spans"),
        "{found}"
    );
}

/// Its log alone, with this layer.
fn without_its_opentelemetry(log: &Path) {
    let (telemetry, spans) = telemetry();
    let _guard = config(log)
        .with_otel(false)
        .init_subscriber_ext(|registry| registry.with(telemetry.layer()))
        .unwrap();
    call();
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(names(&spans), ["conversation", "llm", "turn"]);
}

/// Its filter is one for the whole registry.
fn its_filter(log: &Path) {
    let (telemetry, spans) = telemetry();
    let _guard = config(log)
        .with_otel(false)
        .with_log_directives("warn")
        .init_subscriber_ext(|registry| registry.with(telemetry.layer()))
        .unwrap();
    call();
    tracing::warn!("an event");
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(names(&spans), [""; 0]);
}

/// Its parts in a registry of one's own, where its filter is for its log alone.
fn its_parts(log: &Path) {
    let (telemetry, spans) = telemetry();
    let config = config(log);
    let filter = config.build_filter_layer().unwrap();
    tracing_subscriber::registry()
        .with(telemetry.layer())
        .with(config.build_layer().unwrap().with_filter(filter))
        .init();
    call();
    telemetry.flush(PATIENCE).unwrap();
    assert_eq!(names(&spans), ["conversation", "llm", "turn"]);
}

type Way = fn(&Path);

const WAYS: [(&str, Way); 4] = [
    ("with its OpenTelemetry", with_its_opentelemetry),
    ("without its OpenTelemetry", without_its_opentelemetry),
    ("its filter", its_filter),
    ("its parts", its_parts),
];

/// Each way in a process of its own: its subscriber is the global one.
fn main() {
    let log = std::env::temp_dir().join(format!("beside-init-{}.log", std::process::id()));
    if let Some(asked_for) = std::env::args().nth(1) {
        // Its exporter is built in a runtime; without a protocol in the environment, it makes none.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _runtime = runtime.enter();
        let (_, way) = WAYS.iter().find(|(name, _)| *name == asked_for).unwrap();
        way(&log);
        let logged = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert!(logged.contains("an event"), "{logged}");
        return;
    }
    for (name, _) in WAYS {
        let status = Command::new(std::env::current_exe().unwrap())
            .arg(name)
            .status()
            .unwrap();
        assert!(status.success(), "{name}");
    }
    println!("init-tracing-opentelemetry: this layer rests beside its own, and works without");
}
