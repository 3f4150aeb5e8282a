//! The program's telemetry. Lines marked `+` add tracing-conversation, lines marked `-` are what they replace.

use std::error::Error;
use tracing_conversation::{Telemetry, rules::Rules}; // +
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules.toml");

pub(crate) fn start() -> Result<Telemetry, Box<dyn Error>> {
    // - let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    // - let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    // - let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("restaurant"));
    let telemetry = Telemetry::builder() // +
        .default_variable("OTEL_CONSOLE_EXPORT", "tree") // +
        .rules(Rules::from_path(RULES)?) // +
        .build()?; // +
    let traces = telemetry.layer(); // +
    let level = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::registry()
        .with(traces)
        .with(fmt::layer().with_writer(std::io::stderr).with_filter(level))
        .init();
    Ok(telemetry)
}
