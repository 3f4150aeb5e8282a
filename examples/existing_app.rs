//! A service that has its own `tracing` set-up, and tracing-opentelemetry in it, before this crate is added.
//!
//!     cargo run --example existing_app
//!
//! The lines that add this crate are marked `+`, the ones they replace `-`. Its logs, filters and spans stay as they were:
//! the request below is still a trace of its own, `traceparent` is still injected, and the bot's conversation appears
//! beside it.

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use std::collections::HashMap;
use std::error::Error;
use tracing::{Instrument as _, info, info_span, instrument};
use tracing_conversation::ConversationProcessor; // +
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{EnvFilter, prelude::*};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let batch =
        BatchSpanProcessor::builder(tracing_conversation::console::JsonLinesExporter::stdout())
            .build();
    let processor = ConversationProcessor::new(batch); // +
    let provider = SdkTracerProvider::builder()
        // -  .with_span_processor(batch)
        .with_span_processor(processor.clone()) // +
        .build();
    let tracer = provider.tracer("shop");

    // - let traces = tracing_opentelemetry::layer().with_tracer(tracer);
    let traces = tracing_conversation::layer(tracer, &processor); // +
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(logs.with_filter(EnvFilter::from_default_env()))
        .with(traces.with_filter(EnvFilter::new("info")))
        .init();

    order("espresso").await;
    let call = info_span!("conversation", conversation.id = "call-1"); // +
    bot().instrument(call).await; // + around what was `bot().await`
    provider.shutdown()?;
    Ok(())
}

/// What the service did all along.
#[instrument(fields(otel.kind = "server"))]
async fn order(item: &str) {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut headers);
    info!(
        item,
        traceparent = headers["traceparent"],
        "asking the kitchen"
    );
}

/// The bot told its story in `tracing` already; two of its log lines have become boundary events.
#[instrument]
async fn bot() {
    info!(
        conversation.event = "user_started_speaking",
        "the user speaks"
    ); // + the field
    answer("One espresso, please.").await;
    info!(
        conversation.event = "bot_started_speaking",
        "the bot speaks"
    ); // + the field
}

/// A span with `gen_ai.operation.name`, as libraries such as rig emit it, is a service span as it is.
#[instrument(fields(gen_ai.operation.name = "chat", gen_ai.request.model = "gpt-4o", gen_ai.usage.output_tokens))]
async fn answer(question: &str) {
    order("espresso").await;
    tracing::Span::current().record("gen_ai.usage.output_tokens", question.len() / 4);
}
