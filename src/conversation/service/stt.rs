//! Speech to text.

use super::{Effects, ServiceRecord};
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
}

/// Returns whether the field needs no further handling.
pub(super) fn record(
    record: &mut ServiceRecord,
    field: &'static str,
    value: FieldValue<'_>,
    policy: &ContentPolicy,
    effects: &mut Effects,
) -> bool {
    match field {
        names::IS_FINAL => {
            record.transcription.is_final = value.boolean().or(record.transcription.is_final);
            effects.transcript = true;
            false
        }
        names::TRANSCRIPT => {
            effects.transcript = true;
            record.transcription.transcript = Some(if policy.captures() {
                value.shared_text(policy)
            } else {
                Arc::default()
            });
            true
        }
        _ => false,
    }
}

pub(super) fn finish(record: &mut ServiceRecord, policy: &ContentPolicy) {
    if record.transcription.final_transcript().is_none() {
        record.attributes.set(names::STT_INCOMPLETE, true);
    }
    let transcript = record.transcription.transcript.take();
    if let Some(transcript) = transcript.filter(|_| policy.captures()) {
        let transcript = StringValue::from(transcript);
        record.attributes.set(names::TRANSCRIPT, transcript);
    }
}
