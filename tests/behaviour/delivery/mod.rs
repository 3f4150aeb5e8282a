//! Spans leave by OTLP, whatever the other end does, and every one of them is accounted for.

#[cfg(feature = "grpc")]
pub(crate) mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(all(feature = "grpc", feature = "http", feature = "metrics"))]
mod metrics;
#[cfg(feature = "http")]
mod outages;
#[cfg(feature = "http")]
mod setup;
#[cfg(any(feature = "tls", feature = "tls-ring", feature = "tls-native"))]
mod tls;

use opentelemetry::trace::{Span, Tracer, TracerProvider};
use tracing_conversation::delivery::Delivered;
use tracing_conversation::{Builder, Telemetry};

/// Telemetry to `url`, blind to the environment of whoever runs the tests. Batches leave when they are full or asked
/// for, not when a slow machine has let half a second pass.
fn to(url: &str) -> Builder {
    Telemetry::builder()
        .service_name("test")
        .endpoint(url)
        .variable("OTEL_CONSOLE_EXPORT", "")
        .variable("CONVERSATION_PROFILE", "default")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "600000")
}

/// Makes so many spans, named `1`, `2`, ….
fn make(telemetry: &Telemetry, count: usize) {
    let tracer = telemetry.provider().tracer("test");
    for number in 1..=count {
        tracer.start(number.to_string()).end();
    }
}

fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

/// The one destination's figures: exported, dropped, rejected, failed, waiting.
fn counts(telemetry: &Telemetry) -> [u64; 5] {
    let all = telemetry.delivered();
    let [
        Delivered {
            exported,
            dropped_queue_full,
            rejected,
            failed,
            waiting,
            ..
        },
    ] = all[..]
    else {
        panic!("one destination: {all:?}");
    };
    [exported, dropped_queue_full, rejected, failed, waiting]
}

fn last_problem(telemetry: &Telemetry) -> String {
    telemetry.delivered()[0]
        .last_problem
        .clone()
        .unwrap_or_default()
}
