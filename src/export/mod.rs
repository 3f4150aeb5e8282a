//! Delivery of finished spans.
//!
//! [`Delivery`] is the `SpanProcessor` at the end of the chain. It hands each span to one [`Worker`] per
//! destination; a worker is a bounded queue and a thread that packs batches for a [`Sink`], tries again while the
//! destination is unavailable, and counts the outcome of every span. Nothing here ever blocks the program: a span that
//! finds the queue full is dropped and counted.

#[cfg(any(feature = "grpc", feature = "http"))]
mod answer;
mod backoff;
mod deadline;
mod exporter;
#[cfg(all(any(fuzzing, test), any(feature = "grpc", feature = "http")))]
pub(crate) mod fuzzed;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "grpc")]
mod grpc_client;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_client;
#[cfg(feature = "metrics")]
#[cfg_attr(
    not(any(feature = "console", feature = "grpc", feature = "http")),
    allow(dead_code, reason = "there is nowhere to export to")
)]
mod metrics;
#[cfg(any(feature = "grpc", feature = "http"))]
mod probe;
mod processor;
mod queue;
mod report;
mod size;
#[cfg(any(feature = "grpc", feature = "http"))]
mod tls;
#[cfg(feature = "http")]
mod transport;
mod worker;

pub(crate) use deadline::deadline;
pub(crate) use exporter::ExporterSink;
#[cfg(feature = "grpc")]
pub(crate) use grpc::GrpcSink;
#[cfg(feature = "http")]
pub(crate) use http::HttpSink;
#[cfg(all(feature = "metrics", feature = "grpc"))]
pub(crate) use metrics::GrpcMetricsSink;
#[cfg(all(feature = "metrics", feature = "http"))]
pub(crate) use metrics::HttpMetricsSink;
#[cfg(all(feature = "metrics", feature = "console"))]
pub(crate) use metrics::PushSink;
#[cfg(feature = "metrics")]
pub(crate) use metrics::{MetricsExport, MetricsExportBuilder, View};
#[cfg(all(feature = "metrics", any(feature = "grpc", feature = "http")))]
pub(crate) use probe::probe_metrics;
#[cfg(any(feature = "grpc", feature = "http"))]
pub(crate) use probe::{Probed, probe};
pub(crate) use processor::Delivery;
pub use queue::Delivered;
pub(crate) use report::Reporter;
pub(crate) use worker::Worker;

use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;

/// How both OTLP clients introduce themselves.
#[cfg(any(feature = "grpc", feature = "http"))]
const USER_AGENT: &str = concat!("tracing-conversation/", env!("CARGO_PKG_VERSION"));

/// The outcome of one attempt to send a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(dead_code, reason = "OTLP alone gives all of them")
)]
pub(crate) enum Answer {
    /// The destination accepted the batch, except for so many spans of it.
    Taken {
        rejected: u64,
        /// Its message, if any.
        remark: Option<String>,
    },
    /// The destination will never accept this batch.
    Refused(String),
    /// The batch is lost here, and trying again will not help.
    Failed(String),
    /// It may accept the batch later, not before the given time if there is one.
    Again {
        after: Option<Duration>,
        why: String,
    },
}

/// Where batches go: an OTLP endpoint, or an exporter of the SDK's kind such as the console's.
///
/// A sink lives on its worker's thread, inside that thread's runtime.
pub(crate) trait Sink: Send + 'static {
    /// A batch made ready, kept for as many attempts as it takes.
    type Parcel;

    /// Makes a batch ready; the one time that encoding is paid for.
    fn pack(&mut self, spans: Vec<SpanData>) -> Self::Parcel;

    /// Sends it once. Must be safe to drop before it is finished.
    fn send(&mut self, parcel: &mut Self::Parcel) -> impl Future<Output = Answer>;

    /// Called once, after the last batch.
    fn finish(&mut self, _within: Duration) {}
}
