//! Reads the attributes of a span.

use crate::names;
use opentelemetry::Value;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use std::time::Duration;

pub(super) fn value<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let mut attributes = span.attributes.iter();
    let attribute = attributes.find(|attribute| attribute.key.as_str() == key)?;
    Some(&attribute.value)
}

pub(super) fn text(span: &SpanData, key: &str) -> Option<String> {
    value(span, key).map(|value| value.as_str().into_owned())
}

pub(super) fn truth(span: &SpanData, key: &str) -> bool {
    matches!(value(span, key), Some(Value::Bool(true)))
}

pub(super) fn count(span: &SpanData, key: &str) -> Option<u64> {
    match value(span, key)? {
        Value::I64(count) => u64::try_from(*count).ok(),
        _ => None,
    }
}

pub(super) fn number(span: &SpanData, key: &str) -> Option<f64> {
    match value(span, key)? {
        Value::I64(number) => Some(*number as f64),
        Value::F64(number) => Some(*number),
        _ => None,
    }
}

pub(super) fn seconds(span: &SpanData, key: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(number(span, key)?).ok()
}

pub(super) fn duration(span: &SpanData) -> Duration {
    let lasted = span.end_time.duration_since(span.start_time);
    lasted.unwrap_or_default()
}

/// What went wrong, if anything did: the description of the status, else `error.type`.
pub(super) fn error(span: &SpanData) -> Option<String> {
    let Status::Error { description } = &span.status else {
        return None;
    };
    if !description.is_empty() {
        return Some(description.to_string());
    }
    let kind = text(span, names::ERROR_TYPE);
    Some(kind.unwrap_or_else(|| names::ERROR_TYPE_OTHER.to_owned()))
}

/// Whether a span is that of a conversation itself.
pub(super) fn is_conversation(span: &SpanData) -> bool {
    value(span, names::CONVERSATION_TYPE).is_some()
}

pub(super) fn is_turn(span: &SpanData) -> bool {
    value(span, names::TURN_TYPE).is_some()
}

pub(super) fn is_service(span: &SpanData) -> bool {
    value(span, names::GEN_AI_OPERATION_NAME).is_some()
}
