//! Metrics through opentelemetry-stdout, without its panics.

use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{
    Temporality, data::ResourceMetrics, exporter::PushMetricExporter,
};

#[cfg(panic = "unwind")]
use super::printing::Printing;

/// Writes metrics to standard output as [`opentelemetry_stdout`] lays them out; a program built with `panic = "abort"`, which
/// cannot catch what that does when its reader is gone, as OTLP/JSON lines.
pub(crate) struct StdoutMetricExporter {
    #[cfg(panic = "unwind")]
    inner: opentelemetry_stdout::MetricExporter,
    #[cfg(panic = "unwind")]
    printing: Printing,
    #[cfg(not(panic = "unwind"))]
    output: super::output::Output,
    temporality: Temporality,
}

impl StdoutMetricExporter {
    /// Writes to standard output.
    pub(crate) fn new(temporality: Temporality) -> Self {
        Self {
            #[cfg(panic = "unwind")]
            inner: opentelemetry_stdout::MetricExporter::builder()
                .with_temporality(temporality)
                .build(),
            #[cfg(panic = "unwind")]
            printing: Printing::new("metrics"),
            #[cfg(not(panic = "unwind"))]
            output: super::output::Output::new(std::io::stdout()),
            temporality,
        }
    }

    #[cfg(panic = "unwind")]
    fn print(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.printing.print(|| self.inner.export(metrics))
    }

    #[cfg(not(panic = "unwind"))]
    fn print(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
        use opentelemetry_sdk::error::OTelSdkError;
        let mut line = serde_json::to_vec(&ExportMetricsServiceRequest::from(metrics))
            .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        line.push(b'\n');
        self.output.write_block(&line)
    }
}

impl PushMetricExporter for StdoutMetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.print(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}
