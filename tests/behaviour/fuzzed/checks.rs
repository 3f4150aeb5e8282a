//! What holds of the spans that any program leaves.

use crate::stage::{Stage, assert_each_key_once, attribute, seconds};
use opentelemetry::SpanId;
use opentelemetry_sdk::trace::SpanData;
use std::collections::{HashMap, HashSet};

/// Fails unless everything has ended and the exported spans are trees of consistent figures.
pub(crate) fn check(stage: &Stage) {
    assert_eq!(stage.conversations.open(), 0);
    let spans = stage.spans();
    assert_each_key_once(&spans);
    let ids: HashSet<SpanId> = spans
        .iter()
        .map(|span| span.span_context.span_id())
        .collect();
    assert_eq!(ids.len(), spans.len(), "a span is exported twice");
    let mut turns: HashMap<SpanId, Vec<u32>> = HashMap::new();
    for span in &spans {
        assert!(span.end_time >= span.start_time, "{span:?}");
        let parent = span.parent_span_id;
        assert!(
            parent == SpanId::INVALID || ids.contains(&parent),
            "{span:?}"
        );
        if span.name == "turn" && attribute(span, "turn.duration_seconds").is_some() {
            check_turn(span);
            let number = attribute(span, "turn.number").unwrap().parse().unwrap();
            turns.entry(parent).or_default().push(number);
        }
    }
    for numbers in turns.values() {
        let expected: Vec<u32> = (1..).take(numbers.len()).collect();
        assert_eq!(*numbers, expected, "turns are exported in their order");
    }
}

/// Its length is its duration; the parts of its latency sum to the latency.
fn check_turn(span: &SpanData) {
    let figure = |key: &str| attribute(span, key).map(|value| value.parse::<f64>().unwrap());
    let duration = figure("turn.duration_seconds").unwrap();
    assert!((duration - seconds(span)).abs() < 1e-6, "{span:?}");
    let parts: Vec<f64> = span
        .attributes
        .iter()
        .map(|pair| pair.key.as_str())
        .filter(|key| key.starts_with("turn.latency.") && *key != "turn.latency.measured_from")
        .filter_map(figure)
        .collect();
    assert!(parts.iter().all(|seconds| *seconds >= 0.0), "{span:?}");
    if let Some(latency) = figure("turn.user_bot_latency_seconds") {
        assert!(latency >= 0.0, "{span:?}");
        let sum: f64 = parts.iter().sum();
        assert!(parts.is_empty() || (sum - latency).abs() < 1e-6, "{span:?}");
    }
}
