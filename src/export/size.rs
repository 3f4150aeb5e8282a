//! How much memory a finished span holds.

use std::mem::size_of;

use opentelemetry::{Array, KeyValue, Value, trace::Status};
use opentelemetry_sdk::trace::SpanData;

/// An estimate in bytes, from above: texts that are shared or static are counted as if they were the span's own.
pub(crate) fn held_by(span: &SpanData) -> usize {
    let status = match &span.status {
        Status::Error { description } => description.len(),
        _ => 0,
    };
    let events: usize = span
        .events
        .iter()
        .map(|event| size_of_val(event) + event.name.len() + attributes(&event.attributes))
        .sum();
    let links: usize = span
        .links
        .iter()
        .map(|link| size_of_val(link) + attributes(&link.attributes))
        .sum();
    size_of::<SpanData>() + span.name.len() + attributes(&span.attributes) + status + events + links
}

fn attributes(of: &[KeyValue]) -> usize {
    of.iter()
        .map(|pair| size_of::<KeyValue>() + pair.key.as_str().len() + value(&pair.value))
        .sum()
}

fn value(of: &Value) -> usize {
    match of {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => texts
            .iter()
            .map(|text| size_of_val(text) + text.as_str().len())
            .sum(),
        Value::Array(Array::Bool(items)) => items.len(),
        Value::Array(Array::I64(items)) => items.len() * size_of::<i64>(),
        Value::Array(Array::F64(items)) => items.len() * size_of::<f64>(),
        _ => 0,
    }
}
