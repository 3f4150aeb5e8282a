//! A service span that was recorded.

use super::attributes::{count, duration, error, number, seconds, text, truth, value};
use super::snapshot::Snapshot;
use super::tree::Tree;
use crate::names;
use crate::service_kind::ServiceKind;
use crate::usage::Usage;
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A service span that has ended. Cheap to clone.
#[derive(Clone)]
pub struct RecordedService {
    conversation: Snapshot,
    span: Arc<SpanData>,
}

impl RecordedService {
    pub(super) fn new(conversation: Snapshot, span: Arc<SpanData>) -> Self {
        Self { conversation, span }
    }

    /// The name of its span.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> ServiceKind {
        ServiceKind::of(&self.text(names::GEN_AI_OPERATION_NAME))
    }

    /// The number of its turn; `None` between turns.
    #[must_use]
    pub fn turn_number(&self) -> Option<u32> {
        count(&self.span, names::TURN_NUMBER).and_then(|number| u32::try_from(number).ok())
    }

    /// `gen_ai.provider.name`, or nothing.
    #[must_use]
    pub fn provider(&self) -> String {
        self.text(names::GEN_AI_PROVIDER_NAME)
    }

    /// `gen_ai.request.model`, else `gen_ai.response.model`, or nothing.
    #[must_use]
    pub fn model(&self) -> String {
        let requested = text(&self.span, names::GEN_AI_REQUEST_MODEL);
        requested.unwrap_or_else(|| self.text(names::GEN_AI_RESPONSE_MODEL))
    }

    /// `gen_ai.tool.name`.
    #[must_use]
    pub fn tool_name(&self) -> Option<String> {
        text(&self.span, names::GEN_AI_TOOL_NAME)
    }

    /// How long it took to the first output (`metrics.ttfb`).
    ///
    /// # Panics
    ///
    /// It had no first output.
    #[track_caller]
    #[must_use]
    pub fn ttfb(&self) -> Duration {
        match seconds(&self.span, names::METRICS_TTFB) {
            Some(ttfb) => ttfb,
            None => panic!(
                "{} of {} has no time to first byte: it takes `first_byte` in it; stt takes a final transcript after \
                 `vad_user_stopped_speaking`",
                self.name(),
                match self.turn_number() {
                    Some(turn) =>
                        format!("turn {turn} of conversation {:?}", self.conversation.id()),
                    None => format!("conversation {:?}, between turns,", self.conversation.id()),
                }
            ),
        }
    }

    /// How long it lasted.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration(&self.span)
    }

    /// When it started, since its conversation did.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.conversation.started(&self.span)
    }

    /// Whether it was cut off.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        truth(&self.span, names::INTERRUPTED)
    }

    /// What went wrong, if anything did: the description of the status, else `error.type`.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        error(&self.span)
    }

    /// What it was given: `input` of a language model, `text` of text-to-speech, `gen_ai.tool.call.arguments` of a tool; or
    /// nothing.
    #[must_use]
    pub fn input(&self) -> String {
        self.text(match self.kind() {
            ServiceKind::Tts => names::TEXT,
            ServiceKind::Tool => names::GEN_AI_TOOL_CALL_ARGUMENTS,
            _ => names::INPUT,
        })
    }

    /// What it gave: `output` of a language model, `transcript` of speech-to-text, `gen_ai.tool.call.result` of a tool; or
    /// nothing.
    #[must_use]
    pub fn output(&self) -> String {
        self.text(match self.kind() {
            ServiceKind::Stt => names::TRANSCRIPT,
            ServiceKind::Tool => names::GEN_AI_TOOL_CALL_RESULT,
            _ => names::OUTPUT,
        })
    }

    /// What it used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let count = |key: &'static str| count(&self.span, key);
        let seconds = |key: &'static str| number(&self.span, key);
        Usage::read(count, seconds)
    }

    /// What it cost in US dollars, if that is known.
    #[must_use]
    pub fn cost_usd(&self) -> Option<f64> {
        number(&self.span, names::USAGE_COST_USD)
    }

    /// An attribute of its span.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<Value> {
        value(&self.span, key).cloned()
    }

    /// Its span.
    #[must_use]
    pub fn span(&self) -> &SpanData {
        &self.span
    }

    fn text(&self, key: &str) -> String {
        text(&self.span, key).unwrap_or_default()
    }
}

impl fmt::Debug for RecordedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = Tree::of_recorded(vec![self.span.clone()]);
        fmt::Debug::fmt(&tree, f)
    }
}
