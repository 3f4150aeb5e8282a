//! Export of metrics: a reader of the SDK's for each destination, and the guard's end of it.
//!
//! The SDK's `PeriodicReader` collects on a thread of its own and waits there for [`MetricsExporter`], which sends what was
//! collected within a time limit: its own, or that of the program's end. The reader itself heeds no limit when it is flushed
//! and waits five seconds when it is shut down, which is why [`MetricsExport`] waits for it elsewhere.

mod exporter;
mod flush;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
mod progress;
mod provider;

#[cfg(feature = "console")]
pub(crate) use exporter::PushSink;
#[cfg(feature = "grpc")]
pub(crate) use grpc::GrpcMetricsSink;
#[cfg(feature = "http")]
pub(crate) use http::HttpMetricsSink;
pub(crate) use provider::{MetricsExport, MetricsExportBuilder, View};

use opentelemetry_sdk::metrics::data::ResourceMetrics;

use super::Answer;

/// Where metrics go.
pub(crate) trait MetricsSink: Send + 'static {
    /// Sends what was collected, once. Must be safe to drop before it is finished.
    fn send(&mut self, metrics: &ResourceMetrics) -> impl Future<Output = Answer>;
}
