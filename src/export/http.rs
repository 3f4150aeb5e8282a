//! Spans as OTLP over HTTP/1.1, protobuf or JSON: opentelemetry-otlp behind this crate's worker.

use std::sync::Arc;

use opentelemetry_otlp::{
    Protocol as OtlpProtocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use prost::Message as _;

use super::{
    Answer, Sink,
    http_client::{Client, Payload, Shared},
};
use crate::{
    environment::{Connection, SetupError},
    profile::{Profiles, Translator},
};

pub(super) const SPANS: Payload = Payload {
    items: "spans",
    rejected_in_json: "rejectedSpans",
    json: |protobuf| {
        let request = ExportTraceServiceRequest::decode(protobuf).map_err(|e| e.to_string())?;
        crate::otlp_json::to_vec(request).map_err(|e| e.to_string())
    },
    rejected: |body| {
        let answer = ExportTraceServiceResponse::decode(body).ok()?;
        let partly = answer.partial_success?;
        Some((partly.rejected_spans, partly.error_message))
    },
};

/// Posts batches to one URL.
pub(crate) struct HttpSink {
    exporter: SpanExporter,
    client: Arc<Client>,
    translator: Translator,
}

impl HttpSink {
    /// Fails if certificates cannot be used.
    pub(crate) fn new(
        connection: &Connection,
        json: bool,
        resource: &Resource,
        profiles: &Profiles,
    ) -> Result<Self, SetupError> {
        let client = Arc::new(Client::new(connection, json, &SPANS)?);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Shared(Arc::clone(&client)))
            // Without its query, which may be a key: the library logs it.
            .with_endpoint(connection.destination())
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_timeout(connection.timeout)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| connection.unusable(error))?;
        exporter.set_resource(resource);
        Ok(Self {
            exporter,
            client,
            translator: profiles.translator(),
        })
    }
}

impl Sink for HttpSink {
    type Parcel = Vec<SpanData>;

    fn pack(&mut self, mut spans: Vec<SpanData>) -> Vec<SpanData> {
        for span in &mut spans {
            self.translator.apply(span);
        }
        spans
    }

    async fn send(&mut self, spans: &mut Vec<SpanData>) -> Answer {
        let exported = self.exporter.export(spans.clone());
        self.client.answer_to(exported).await
    }
}
