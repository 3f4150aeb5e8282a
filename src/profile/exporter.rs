//! Translation in front of any exporter.

use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::{Profile, Profiles, Translator};
use crate::TraceMode;

/// Wraps an exporter and translates spans for the backend behind it.
///
/// Requests and answers of language models are exported in the form of OpenTelemetry's [GenAI conventions], whichever
/// provider's form the service recorded them in: `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions`,
/// `gen_ai.tool.definitions`. With a [`Profile`] spans carry what that backend reads as well.
///
/// [`init`](crate::init) and [`Telemetry`](crate::Telemetry) do the same by themselves. In a program that brings its own
/// provider it goes around the exporter, inside the batch processor: all the work is done on that processor's thread.
///
/// ```
/// use opentelemetry_sdk::trace::{BatchSpanProcessor, InMemorySpanExporter};
/// use tracing_conversation::{ConversationExporter, ConversationProcessor, Profile};
///
/// let exporter = InMemorySpanExporter::default();
/// let exporter = ConversationExporter::new(exporter).with_profile(Profile::Langfuse);
/// let batch = BatchSpanProcessor::builder(exporter).build();
/// let processor = ConversationProcessor::new(batch);
/// # drop(processor);
/// ```
///
/// [GenAI conventions]: https://github.com/open-telemetry/semantic-conventions-genai
#[derive(Debug)]
pub struct ConversationExporter<E> {
    exporter: E,
    profiles: Profiles,
    translator: Translator,
}

impl<E: SpanExporter> ConversationExporter<E> {
    /// Passes translated spans on to `exporter`, with [`Profile::Default`].
    pub fn new(exporter: E) -> Self {
        Self::with_profiles(exporter, Profiles::default())
    }

    /// The same with the profiles and limits of the environment.
    pub(crate) fn with_profiles(exporter: E, profiles: Profiles) -> Self {
        Self {
            exporter,
            translator: profiles.translator(),
            profiles,
        }
    }

    /// Adds a backend's profile. Call it several times for a collector that feeds several backends.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        self.with(|profiles| profiles.and(profile))
    }

    /// What is one trace; use the same value as for the layer. Default: [`TraceMode::Conversation`].
    ///
    /// With [`TraceMode::Turn`] spans outside turns, such as the conversation's own, carry no session id, because a backend
    /// would count their trace as one more turn.
    #[must_use]
    pub fn with_trace_mode(self, trace_mode: TraceMode) -> Self {
        self.with(|profiles| profiles.with_trace_mode(trace_mode))
    }

    /// How many bytes a converted value may have, as in
    /// [`ContentPolicy::with_max_value_bytes`](crate::ContentPolicy::with_max_value_bytes). Default: 64 KiB; the least is
    /// 64 bytes.
    ///
    /// The oldest messages are dropped first; `messages_cut` is their number.
    #[must_use]
    pub fn with_max_value_bytes(self, bytes: usize) -> Self {
        self.with(|profiles| profiles.with_max_value_bytes(bytes))
    }

    fn with(self, change: impl FnOnce(Profiles) -> Profiles) -> Self {
        Self::with_profiles(self.exporter, change(self.profiles))
    }
}

impl<E: SpanExporter> SpanExporter for ConversationExporter<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            self.translator.apply(span);
        }
        self.exporter.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
