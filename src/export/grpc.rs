//! Spans as OTLP over gRPC.

use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use tonic::codec::CompressionEncoding;

use super::{
    Answer, Sink,
    answer::partial,
    grpc_client::{Call, GrpcClient},
};
use crate::{
    environment::{Connection, SetupError},
    profile::{Profiles, Translator},
};

/// Sends batches over one channel.
pub(crate) struct GrpcSink {
    client: GrpcClient,
    resource: ResourceAttributesWithSchema,
    translator: Translator,
}

impl GrpcSink {
    /// Fails if certificates cannot be used.
    pub(crate) fn new(
        connection: &Connection,
        resource: &Resource,
        profiles: &Profiles,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: GrpcClient::new(connection)?,
            resource: resource.into(),
            translator: profiles.translator(),
        })
    }
}

impl Sink for GrpcSink {
    type Parcel = ExportTraceServiceRequest;

    fn pack(&mut self, mut spans: Vec<SpanData>) -> ExportTraceServiceRequest {
        for span in &mut spans {
            // Here and not when the span ends: it costs the export thread, not the program.
            self.translator.apply(span);
        }
        ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        }
    }

    async fn send(&mut self, parcel: &mut ExportTraceServiceRequest) -> Answer {
        let request = parcel.clone();
        let call = async |call: Call| {
            let mut client = TraceServiceClient::new(call.channel.clone());
            if call.gzip {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            let answer = client.export(call.request(request)).await?.into_inner();
            let partly = answer.partial_success.unwrap_or_default();
            Ok(partial(
                partly.rejected_spans,
                "spans",
                &partly.error_message,
            ))
        };
        self.client.call(call).await
    }
}
