//! Language models.

use super::{Effects, ServiceRecord};
use crate::content::ContentPolicy;
use crate::field::FieldValue;
use crate::names;
use opentelemetry::StringValue;

/// Returns whether the field needs no further handling.
pub(super) fn record(
    record: &mut ServiceRecord,
    field: &'static str,
    value: FieldValue<'_>,
    policy: &ContentPolicy,
    effects: &mut Effects,
) -> bool {
    if field != names::OUTPUT || !policy.admits(field) {
        return false;
    }
    let answer = value.shared_text(policy);
    effects.answer = Some(answer.clone());
    if value.is_text() {
        record.attributes.set(field, StringValue::from(answer));
    }
    value.is_text()
}

pub(super) fn finish(record: &mut ServiceRecord) {
    if !record.attributes.contains(names::GEN_AI_OUTPUT_TYPE) {
        record.attributes.set(names::GEN_AI_OUTPUT_TYPE, "text");
    }
}
