//! Text to speech.

use super::{Effects, ServiceRecord};
use crate::content::ContentPolicy;
use crate::field::FieldValue;
use crate::names;
use crate::sentences::Sentences;
use std::sync::Arc;

/// What a synthesis has recorded. Both add up, sentence by sentence.
#[derive(Default)]
pub(super) struct Synthesis {
    text: Sentences,
    characters_counted: usize,
    characters_recorded: Option<i64>,
}

/// Returns whether the field needs no further handling.
pub(super) fn record(
    record: &mut ServiceRecord,
    field: &'static str,
    value: FieldValue<'_>,
    policy: &ContentPolicy,
    effects: &mut Effects,
) -> bool {
    let synthesis = &mut record.synthesis;
    match field {
        names::TEXT => {
            let sentence = value.text();
            synthesis.characters_counted += sentence.chars().count();
            if policy.captures() && !sentence.is_empty() {
                let sentence: Arc<str> = Arc::from(&*sentence);
                effects.sentence = Some(sentence.clone());
                // What is beyond the limit on a value would not be exported anyway.
                synthesis.text.add(sentence, policy.max_value_bytes());
            }
        }
        names::METRICS_CHARACTER_COUNT => {
            if let Some(count) = value.integer() {
                let sum = synthesis.characters_recorded.unwrap_or(0);
                synthesis.characters_recorded = Some(sum.saturating_add(count));
            }
        }
        _ => return false,
    }
    true
}

pub(super) fn finish(record: &mut ServiceRecord, policy: &ContentPolicy) {
    if !record.attributes.contains(names::GEN_AI_OUTPUT_TYPE) {
        record.attributes.set(names::GEN_AI_OUTPUT_TYPE, "speech");
    }
    let counted = i64::try_from(record.synthesis.characters_counted)
        .ok()
        .filter(|count| *count > 0);
    if let Some(count) = record.synthesis.characters_recorded.or(counted) {
        record.attributes.set(names::METRICS_CHARACTER_COUNT, count);
    }
    if let Some(text) = record.synthesis.text.take(policy) {
        record.attributes.set(names::TEXT, text);
    }
    if record.is_interrupted {
        record.attributes.set(names::TTS_INTERRUPTED, true);
    }
}
