//! Any exporter of the SDK's kind as a sink: the console's, or one that the program brings.

use std::time::Duration;

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    trace::{SpanData, SpanExporter},
};

use super::{Answer, Sink};
use crate::profile::{Profiles, Translator};

/// Gives batches to an exporter.
#[derive(Debug)]
pub(crate) struct ExporterSink<E> {
    exporter: E,
    translator: Translator,
    retries: bool,
    timeout: Duration,
}

impl<E: SpanExporter + 'static> ExporterSink<E> {
    /// Each batch goes to the exporter once; its error is final.
    pub(crate) fn once(
        mut exporter: E,
        resource: &Resource,
        profiles: &Profiles,
        timeout: Duration,
    ) -> Self {
        exporter.set_resource(resource);
        Self {
            exporter,
            translator: profiles.translator(),
            retries: false,
            timeout,
        }
    }

    /// An exporter that returns an error gets the batch again later.
    pub(crate) fn with_retries(self) -> Self {
        Self {
            retries: true,
            ..self
        }
    }
}

impl<E: SpanExporter + 'static> Sink for ExporterSink<E> {
    type Parcel = Vec<SpanData>;

    fn pack(&mut self, mut spans: Vec<SpanData>) -> Vec<SpanData> {
        for span in &mut spans {
            self.translator.apply(span);
        }
        spans
    }

    async fn send(&mut self, spans: &mut Vec<SpanData>) -> Answer {
        let batch = if self.retries {
            spans.clone()
        } else {
            std::mem::take(spans)
        };
        match tokio::time::timeout(self.timeout, self.exporter.export(batch)).await {
            Ok(Ok(())) => Answer::Taken {
                rejected: 0,
                remark: None,
            },
            Ok(Err(error @ OTelSdkError::AlreadyShutdown)) => Answer::Failed(error.to_string()),
            Ok(Err(error)) if self.retries => Answer::Again {
                after: None,
                why: error.to_string(),
            },
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(_) => Answer::Failed(format!("no result within {:?}", self.timeout)),
        }
    }

    fn finish(&mut self, within: Duration) {
        // An exporter that has nothing to close answers Ok; any other answer comes too late to act on.
        let _ = self.exporter.shutdown_with_timeout(within);
    }
}
