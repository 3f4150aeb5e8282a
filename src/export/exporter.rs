//! Any exporter of the SDK's kind as a sink: the console's, or one that the program brings.

use std::time::Duration;

use crate::profile::Profile;
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter},
};

use super::{Answer, Sink};

/// Gives each batch to the exporter once; what the exporter says is final.
#[derive(Debug)]
pub(crate) struct ExporterSink<E> {
    exporter: E,
    profile: Profile,
}

impl<E: SpanExporter + 'static> ExporterSink<E> {
    pub(crate) fn new(mut exporter: E, resource: &Resource, profile: Profile) -> Self {
        exporter.set_resource(resource);
        Self { exporter, profile }
    }
}

impl<E: SpanExporter + 'static> Sink for ExporterSink<E> {
    type Parcel = Vec<SpanData>;

    fn pack(&mut self, mut spans: Vec<SpanData>) -> Vec<SpanData> {
        for span in &mut spans {
            self.profile.apply(span);
        }
        spans
    }

    async fn send(&mut self, spans: &mut Vec<SpanData>) -> Answer {
        match self.exporter.export(std::mem::take(spans)).await {
            Ok(()) => Answer::Taken {
                rejected: 0,
                remark: None,
            },
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    fn finish(&mut self, within: Duration) {
        // An exporter that has nothing to close answers Ok; any other word comes too late to act on.
        let _ = self.exporter.shutdown_with_timeout(within);
    }
}
