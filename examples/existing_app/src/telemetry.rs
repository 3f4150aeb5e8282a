//! The program's telemetry. Lines marked `+` add tracing-conversation, lines marked `-` are what they replace.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use std::error::Error;
use tracing_conversation::console::{JsonLinesExporter, TreeExporter};
use tracing_conversation::{ConversationLayer, ConversationProcessor, rules::Rules}; // +
use tracing_subscriber::{EnvFilter, prelude::*};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules.toml");

pub(crate) fn start() -> Result<SdkTracerProvider, Box<dyn Error>> {
    let json = std::env::var("OTEL_CONSOLE_EXPORT").is_ok_and(|view| view == "json");
    let batch = if json {
        BatchSpanProcessor::builder(JsonLinesExporter::stdout()).build()
    } else {
        BatchSpanProcessor::builder(TreeExporter::stdout()).build()
    };
    let processor = ConversationProcessor::new(batch); // +
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone()) // + in place of `batch`
        .build();

    // - let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("restaurant"));
    let traces = ConversationLayer::builder(provider.tracer("restaurant"), &processor) // +
        .rules(Rules::from_path(RULES)?) // +
        .build(); // +
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(logs.with_filter(EnvFilter::from_default_env()))
        .with(traces.with_filter(EnvFilter::new("info")))
        .init();
    Ok(provider)
}
