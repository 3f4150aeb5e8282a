//! Attributes that are lists in the conventions, and texts in `tracing`, which has no lists.

use opentelemetry::{Array, KeyValue, StringValue, Value};

const LISTS: &[&str] = &[super::words::FINISH_REASONS, STOP_SEQUENCES];
pub(super) const STOP_SEQUENCES: &str = "gen_ai.request.stop_sequences";

/// Makes lists of them: of a JSON list its texts, of any other text a list of one.
pub(super) fn restore(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        if let Value::String(text) = &attribute.value
            && LISTS.contains(&attribute.key.as_str())
        {
            attribute.value = Value::Array(Array::String(list(text)));
        }
    }
}

fn list(text: &StringValue) -> Vec<StringValue> {
    match serde_json::from_str::<Vec<String>>(text.as_str()) {
        Ok(texts) => texts.into_iter().map(StringValue::from).collect(),
        Err(_) if text.as_str().is_empty() => Vec::new(),
        Err(_) => vec![text.clone()],
    }
}
