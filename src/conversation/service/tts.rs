//! Text to speech.

use super::effects::Recording;
use crate::attribute_list::AttributeList;
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

impl Synthesis {
    /// Returns whether the field needs no further handling.
    pub(super) fn record(
        &mut self,
        field: &'static str,
        value: FieldValue<'_>,
        recording: &mut Recording<'_>,
    ) -> bool {
        match field {
            names::TEXT => {
                let sentence = value.text();
                self.characters_counted += sentence.chars().count();
                if recording.policy.captures() && !sentence.is_empty() {
                    let sentence: Arc<str> = Arc::from(&*sentence);
                    recording.effects.sentence = Some(sentence.clone());
                    // What is beyond the limit on a value would not be exported anyway.
                    self.text.add(sentence, recording.policy.max_value_bytes());
                }
            }
            names::METRICS_CHARACTER_COUNT => {
                if let Some(count) = value.integer() {
                    let sum = self.characters_recorded.unwrap_or(0);
                    self.characters_recorded = Some(sum.saturating_add(count));
                }
            }
            _ => return false,
        }
        true
    }

    /// How many characters are to be spoken: as recorded, else as counted.
    pub(super) fn character_count(&self) -> Option<i64> {
        let counted = i64::try_from(self.characters_counted);
        let counted = counted.ok().filter(|count| *count > 0);
        self.characters_recorded.or(counted)
    }

    pub(super) fn finish(
        &mut self,
        attributes: &mut AttributeList,
        policy: &ContentPolicy,
        is_interrupted: bool,
    ) {
        if !attributes.contains(names::GEN_AI_OUTPUT_TYPE) {
            attributes.set(names::GEN_AI_OUTPUT_TYPE, "speech");
        }
        if let Some(count) = self.character_count() {
            attributes.set(names::METRICS_CHARACTER_COUNT, count);
        }
        if let Some(text) = self.text.take(policy) {
            attributes.set(names::TEXT, text);
        }
        if is_interrupted {
            attributes.set(names::TTS_INTERRUPTED, true);
        }
    }
}
