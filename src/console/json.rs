//! OTLP/JSON, one export request a line.

use std::io::Write;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::output::Output;
use crate::otlp_json::to_vec;

/// Writes every batch of spans as one line of [OTLP/JSON]: an `ExportTraceServiceRequest` as a collector's file receiver
/// reads it, and as `jq` does.
///
/// Ids are lower-case hexadecimal, integers and times are strings, enumerations are numbers. JSON has no number for
/// NaN and the infinities, and receivers disagree on what stands for them in a `doubleValue`, so such an attribute
/// leaves as a `stringValue`: `NaN`, `Infinity` or `-Infinity`. Characters that a terminal would act on are escaped.
///
/// ```
/// use opentelemetry_sdk::trace::SdkTracerProvider;
/// use tracing_conversation::console::JsonLinesExporter;
///
/// let provider = SdkTracerProvider::builder().with_simple_exporter(JsonLinesExporter::stdout()).build();
/// # drop(provider);
/// ```
///
/// [OTLP/JSON]: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
#[derive(Debug)]
pub struct JsonLinesExporter {
    output: Output,
    resource: ResourceAttributesWithSchema,
}

impl JsonLinesExporter {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        Self::to_writer(std::io::stdout())
    }

    /// Writes to `writer`, a file for instance. Each line is one write, followed by a flush.
    pub fn to_writer(writer: impl Write + Send + 'static) -> Self {
        Self {
            output: Output::new(writer),
            resource: ResourceAttributesWithSchema::default(),
        }
    }

    fn line(&self, batch: Vec<SpanData>) -> serde_json::Result<Vec<u8>> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let mut line = to_vec(ExportTraceServiceRequest { resource_spans })?;
        line.push(b'\n');
        Ok(line)
    }
}

impl SpanExporter for JsonLinesExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if batch.is_empty() {
            return Ok(());
        }
        let line = self.line(batch).map_err(|error| {
            OTelSdkError::InternalFailure(format!("cannot write spans as JSON: {error}"))
        })?;
        self.output.write_block(&line)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.output.flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
        // A resource hands out its attributes in the order of a hash map; the same program should print the same line.
        self.resource.attributes.0.sort_by(|a, b| a.key.cmp(&b.key));
    }
}
