//! Metrics as OTLP over HTTP/1.1, protobuf or JSON: opentelemetry-otlp with this crate's HTTP client.

use std::sync::Arc;

use opentelemetry_otlp::{
    MetricExporter, Protocol as OtlpProtocol, RetryPolicy, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_sdk::metrics::{
    Temporality, data::ResourceMetrics, exporter::PushMetricExporter as _,
};
use prost::Message as _;

use super::MetricsSink;
use crate::{
    environment::{Connection, SetupError},
    export::{
        Answer,
        http_client::{Client, Payload, Shared},
    },
};

const DATA_POINTS: Payload = Payload {
    items: "data points",
    rejected_in_json: "rejectedDataPoints",
    json: |protobuf| {
        let request = ExportMetricsServiceRequest::decode(protobuf).map_err(|e| e.to_string())?;
        serde_json::to_vec(&request).map_err(|e| e.to_string())
    },
    rejected: |body| {
        let answer = ExportMetricsServiceResponse::decode(body).ok()?;
        let partly = answer.partial_success?;
        Some((partly.rejected_data_points, partly.error_message))
    },
};

/// Posts metrics to one URL.
pub(crate) struct HttpMetricsSink {
    exporter: MetricExporter,
    client: Arc<Client>,
}

impl HttpMetricsSink {
    /// Fails if certificates cannot be used.
    pub(crate) fn new(
        connection: &Connection,
        json: bool,
        temporality: Temporality,
    ) -> Result<Self, SetupError> {
        let client = Arc::new(Client::new(connection, json, &DATA_POINTS)?);
        let exporter = MetricExporter::builder()
            .with_temporality(temporality)
            .with_http()
            .with_http_client(Shared(Arc::clone(&client)))
            // Without its query, which may be a key: the library logs it.
            .with_endpoint(connection.destination())
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_timeout(connection.timeout)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| connection.unusable(error))?;
        Ok(Self { exporter, client })
    }
}

impl MetricsSink for HttpMetricsSink {
    async fn send(&mut self, metrics: &ResourceMetrics) -> Answer {
        self.client.answer_to(self.exporter.export(metrics)).await
    }
}
