//! Metrics through opentelemetry-stdout, without its panics.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::{
    Temporality, data::ResourceMetrics, exporter::PushMetricExporter,
};

use super::output::Output;
#[cfg(panic = "unwind")]
use super::printing::Printing;
use crate::otlp_json;

/// Writes metrics to standard output as [`opentelemetry_stdout`] lays them out.
///
/// As OTLP/JSON lines where a text among them would drive the terminal, for that prints names and values as they are and an
/// exporter cannot change them; and in a program built with `panic = "abort"`, which cannot catch what it does when its reader
/// is gone.
pub(crate) struct StdoutMetricExporter {
    #[cfg(panic = "unwind")]
    inner: opentelemetry_stdout::MetricExporter,
    #[cfg(panic = "unwind")]
    printing: Printing,
    lines: Output,
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
            lines: Output::new(std::io::stdout()),
            temporality,
        }
    }

    fn print(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::from(metrics);
        let unwritable =
            |error: serde_json::Error| OTelSdkError::InternalFailure(error.to_string());
        #[cfg(panic = "unwind")]
        if !drives_terminal(&serde_json::to_value(&request).map_err(unwritable)?) {
            return self.printing.print(|| self.inner.export(metrics));
        }
        let mut line = otlp_json::to_shown(&request).map_err(unwritable)?;
        line.push(b'\n');
        self.lines.write_block(&line)
    }
}

#[cfg(panic = "unwind")]
fn drives_terminal(json: &serde_json::Value) -> bool {
    use serde_json::Value;
    match json {
        Value::String(text) => crate::terminal::needs_escaping(text),
        Value::Array(values) => values.iter().any(drives_terminal),
        Value::Object(fields) => fields.values().any(drives_terminal),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
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
