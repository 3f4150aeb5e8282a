//! What both OTLP clients share: how spans become a request.

#[cfg(feature = "http")]
use std::io::Write;

use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};

use crate::profile::Profile;

/// Turns batches of spans into OTLP requests.
#[derive(Debug)]
pub(crate) struct Envelope {
    resource: ResourceAttributesWithSchema,
    profile: Profile,
}

impl Envelope {
    pub(crate) fn new(resource: &Resource, profile: Profile) -> Self {
        Self {
            resource: resource.into(),
            profile,
        }
    }

    pub(crate) fn request(&self, mut spans: Vec<SpanData>) -> ExportTraceServiceRequest {
        for span in &mut spans {
            // Here and not when the span ends: it costs the export thread, not the program.
            self.profile.apply(span);
        }
        ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        }
    }
}

pub(crate) const USER_AGENT: &str = concat!("tracing-conversation/", env!("CARGO_PKG_VERSION"));

#[cfg(feature = "http")]
pub(crate) fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
