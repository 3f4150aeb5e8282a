//! Speech to speech: a language model that also transcribes and speaks.

use super::{Effects, ServiceRecord, llm};
use crate::content::ContentPolicy;
use crate::field::FieldValue;
use crate::names;

/// Returns whether the field needs no further handling.
pub(super) fn record(
    record: &mut ServiceRecord,
    field: &'static str,
    value: FieldValue<'_>,
    policy: &ContentPolicy,
    effects: &mut Effects,
) -> bool {
    match field {
        names::TRANSCRIPT | names::INPUT => {
            effects.input = Some(field);
            false
        }
        _ => llm::record(record, field, value, policy, effects),
    }
}
