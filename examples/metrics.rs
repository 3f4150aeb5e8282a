//! Metrics of conversations on a meter provider of the program's, beside its own.
//!
//!     cargo run --example metrics --features metrics
//!
//! With `OTEL_METRICS_EXPORTER` in the environment and `tracing_conversation::init()`, none of the set-up below is needed.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream,
};
use std::error::Error;
use std::time::Duration;
use tracing::{info, info_span};
use tracing_conversation::Telemetry;

fn main() -> Result<(), Box<dyn Error>> {
    let provider = SdkMeterProvider::builder()
        .with_reader(
            PeriodicReader::builder(opentelemetry_stdout::MetricExporter::default()).build(),
        )
        .with_view(coarse)
        .build();
    let telemetry = Telemetry::builder()
        .default_variable("OTEL_TRACES_EXPORTER", "none")
        .with_meter_provider(&provider)
        .init()?;
    let calls = provider.meter("switchboard").u64_counter("calls").build();
    for number in 1..=3 {
        calls.add(1, &[]);
        call(number);
    }
    // Ends what is open; then the provider exports for the last time.
    telemetry.shutdown()?;
    provider.shutdown()?;
    Ok(())
}

/// A view: three buckets for the latency, in place of the twenty that the instrument advises.
fn coarse(instrument: &Instrument) -> Option<Stream> {
    (instrument.name() == "conversation.turn.user_bot_latency").then_some(())?;
    let boundaries = vec![0.01, 0.1];
    Stream::builder()
        .with_aggregation(Aggregation::ExplicitBucketHistogram {
            boundaries,
            record_min_max: true,
        })
        .build()
        .ok()
}

fn call(number: u64) {
    let conversation = info_span!("conversation", conversation.id = number);
    let _entered = conversation.enter();
    info!(conversation.event = "user_started_speaking");
    info!(conversation.event = "user_stopped_speaking");
    let llm = info_span!(
        "llm",
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = "openai",
        gen_ai.request.model = "gpt-4o",
        gen_ai.usage.input_tokens = 42_u64,
        gen_ai.usage.output_tokens = 7_u64
    );
    llm.in_scope(|| {
        std::thread::sleep(Duration::from_millis(20));
        info!(conversation.event = "first_byte");
    });
    drop(llm);
    info!(conversation.event = "bot_started_speaking");
    info!(conversation.event = "bot_stopped_speaking");
}
