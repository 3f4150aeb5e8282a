//! Metrics as OTLP over gRPC.

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use tonic::codec::CompressionEncoding;

use super::MetricsSink;
use crate::{
    environment::{Connection, SetupError},
    export::{
        Answer,
        answer::partial,
        grpc_client::{Call, GrpcClient},
    },
};

/// Sends metrics over one channel.
pub(crate) struct GrpcMetricsSink(GrpcClient);

impl GrpcMetricsSink {
    /// Fails if certificates cannot be used.
    pub(crate) fn new(connection: &Connection) -> Result<Self, SetupError> {
        Ok(Self(GrpcClient::new(connection)?))
    }
}

impl MetricsSink for GrpcMetricsSink {
    async fn send(&mut self, metrics: &ResourceMetrics) -> Answer {
        let request = ExportMetricsServiceRequest::from(metrics);
        let call = async |call: Call| {
            let mut client = MetricsServiceClient::new(call.channel.clone());
            if call.gzip {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            let answer = client.export(call.request(request)).await?.into_inner();
            let partly = answer.partial_success.unwrap_or_default();
            let message = partly.error_message;
            Ok(partial(
                partly.rejected_data_points,
                "data points",
                &message,
            ))
        };
        self.0.call(call).await
    }
}
