//! Speech to speech: a language model that also transcribes and speaks.

use super::effects::Recording;
use super::llm;
use crate::field::FieldValue;
use crate::names;

/// Returns whether the field needs no further handling.
pub(super) fn record(
    field: &'static str,
    value: FieldValue<'_>,
    recording: &mut Recording<'_>,
) -> bool {
    match field {
        names::TRANSCRIPT | names::INPUT => {
            recording.effects.input = Some(field);
            false
        }
        _ => llm::record(field, value, recording),
    }
}
