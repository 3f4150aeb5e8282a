//! Language models.

use super::effects::Recording;
use crate::attribute_list::AttributeList;
use crate::field::FieldValue;
use crate::names;
use opentelemetry::StringValue;

/// Returns whether the field needs no further handling.
pub(super) fn record(
    field: &'static str,
    value: FieldValue<'_>,
    recording: &mut Recording<'_>,
) -> bool {
    if field != names::OUTPUT || !recording.policy.admits(field) {
        return false;
    }
    let answer = value.shared_text(recording.policy);
    recording.effects.answer = Some(answer.clone());
    if value.is_text() {
        recording.attributes.set(field, StringValue::from(answer));
    }
    value.is_text()
}

pub(super) fn finish(attributes: &mut AttributeList) {
    if !attributes.contains(names::GEN_AI_OUTPUT_TYPE) {
        attributes.set(names::GEN_AI_OUTPUT_TYPE, "text");
    }
}
