//! Speech to text.

use super::effects::Recording;
use crate::attribute_list::AttributeList;
use crate::content::ContentPolicy;
use crate::field::FieldValue;
use crate::names;
use opentelemetry::StringValue;
use std::sync::Arc;

/// What a transcription has recorded.
#[derive(Default)]
pub(super) struct Transcription {
    transcript: Option<Arc<str>>,
    is_final: Option<bool>,
}

impl Transcription {
    pub(super) fn transcript(&self) -> Option<&Arc<str>> {
        self.transcript.as_ref()
    }

    /// The transcript, if it is final. One that nobody calls interim is.
    pub(super) fn final_transcript(&self) -> Option<&Arc<str>> {
        self.transcript
            .as_ref()
            .filter(|_| self.is_final != Some(false))
    }

    /// Returns whether the field needs no further handling.
    pub(super) fn record(
        &mut self,
        field: &'static str,
        value: FieldValue<'_>,
        recording: &mut Recording<'_>,
    ) -> bool {
        match field {
            names::IS_FINAL => {
                self.is_final = value.boolean().or(self.is_final);
                recording.effects.transcript = true;
                false
            }
            names::TRANSCRIPT => {
                recording.effects.transcript = true;
                self.transcript = Some(if recording.policy.captures() {
                    value.shared_text(recording.policy)
                } else {
                    Arc::default()
                });
                true
            }
            _ => false,
        }
    }

    pub(super) fn finish(&mut self, attributes: &mut AttributeList, policy: &ContentPolicy) {
        if self.final_transcript().is_none() {
            attributes.set(names::STT_INCOMPLETE, true);
        }
        let transcript = self.transcript.take();
        if let Some(transcript) = transcript.filter(|_| policy.captures()) {
            attributes.set(names::TRANSCRIPT, StringValue::from(transcript));
        }
    }
}
