//! The same readings, computed from exported spans.

use std::collections::BTreeMap;

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::{Reading, Readings, series};
use crate::stage::seconds;

const VOICE: &[f64] = &[
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0,
];
const CONVERSATION: &[f64] = &[
    5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];
const TURN: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0,
];
const OPERATION: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const AGENT: &[f64] = &[
    0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
];
const TOKENS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0,
    16777216.0, 67108864.0,
];

/// What was measured, by series, and with which bounds.
#[derive(Default)]
pub(super) struct Measured {
    histograms: BTreeMap<String, (&'static [f64], Vec<f64>)>,
    sums: BTreeMap<String, f64>,
}

impl Measured {
    /// Takes what finished spans say, in the order in which they ended.
    pub(super) fn by(spans: &[SpanData]) -> Self {
        let mut measured = Self::default();
        for (index, span) in spans.iter().enumerate() {
            match &*span.name {
                "conversation" => measured.conversation(span),
                "turn" => measured.turn(span),
                _ => measured.service(span, &spans[..index]),
            }
        }
        measured
    }

    /// As readings, with `active` conversations of `started`.
    pub(super) fn readings(self, started: usize, active: i64) -> Readings {
        let mut readings = Readings::default();
        if started > 0 {
            let active = Reading::Sum(active as f64);
            readings.0.insert("conversation.active{}".into(), active);
        }
        for (series, sum) in self.sums {
            readings.0.insert(series, Reading::Sum(sum));
        }
        for (series, (bounds, values)) in self.histograms {
            let mut buckets = vec![0; bounds.len() + 1];
            for value in &values {
                // A bound belongs to the bucket below it.
                let bucket = bounds.iter().take_while(|bound| value > bound).count();
                buckets[bucket] += 1;
            }
            let reading = Reading::Histogram {
                count: values.len() as u64,
                sum: values.iter().sum(),
                bounds: bounds.to_vec(),
                buckets,
            };
            readings.0.insert(series, reading);
        }
        readings
    }

    fn record(
        &mut self,
        name: &str,
        bounds: &'static [f64],
        value: f64,
        attributes: &[Option<KeyValue>],
    ) {
        let series = series(name, attributes.iter().flatten());
        let histogram = self
            .histograms
            .entry(series)
            .or_insert((bounds, Vec::new()));
        histogram.1.push(value);
    }

    fn count(&mut self, name: &str, value: f64, attributes: &[Option<KeyValue>]) {
        *self
            .sums
            .entry(series(name, attributes.iter().flatten()))
            .or_default() += value;
    }

    fn conversation(&mut self, span: &SpanData) {
        let kind = get(span, "conversation.type");
        self.record(
            "conversation.duration",
            CONVERSATION,
            seconds(span),
            &[kind],
        );
    }

    fn turn(&mut self, span: &SpanData) {
        let reason = get(span, "turn.end_reason");
        self.record("conversation.turn.duration", TURN, seconds(span), &[reason]);
        for (name, key) in [
            (
                "conversation.turn.user_bot_latency",
                "turn.user_bot_latency_seconds",
            ),
            (
                "conversation.turn.barge_in.stop",
                "turn.barge_in.stop_seconds",
            ),
        ] {
            if let Some(value) = number(span, key) {
                self.record(name, VOICE, value, &[]);
            }
        }
        for attribute in &span.attributes {
            if let Some(part) = attribute.key.as_str().strip_prefix("turn.latency.")
                && let Value::F64(value) = attribute.value
            {
                let part = Some(KeyValue::new("part", part.to_owned()));
                let from = get(span, "turn.latency.measured_from");
                self.record("conversation.turn.latency", VOICE, value, &[part, from]);
            }
        }
    }

    /// Takes a service span; `earlier` ended before it.
    fn service(&mut self, span: &SpanData, earlier: &[SpanData]) {
        let Some(operation) = get(span, "gen_ai.operation.name") else {
            return;
        };
        let name = operation.value.as_str().into_owned();
        let operation = Some(operation);
        let provider = get(span, "gen_ai.provider.name");
        let model = get(span, "gen_ai.request.model");
        let error = get(span, "error.type");
        let ttfb = number(span, "metrics.ttfb");
        match name.as_str() {
            "chat" | "text_completion" | "generate_content" | "tts" | "realtime" => {
                let attributes = [operation.clone(), provider.clone(), model.clone(), error];
                let name = "gen_ai.client.operation.duration";
                self.record(name, OPERATION, seconds(span), &attributes);
                if let Some(ttfb) = ttfb {
                    let name = "gen_ai.client.operation.time_to_first_chunk";
                    self.record(name, OPERATION, ttfb, &attributes);
                }
            }
            "stt" => {
                if let Some(ttfb) = ttfb {
                    let attributes = [provider.clone(), model.clone()];
                    self.record("conversation.stt.ttfb", VOICE, ttfb, &attributes);
                }
            }
            "execute_tool" => {
                let [tool, tool_type, agent] =
                    ["gen_ai.tool.name", "gen_ai.tool.type", "gen_ai.agent.name"]
                        .map(|key| get(span, key));
                let attributes = [tool, tool_type, agent, error];
                let name = "gen_ai.execute_tool.duration";
                self.record(name, OPERATION, seconds(span), &attributes);
            }
            "invoke_agent" => {
                let attributes = [get(span, "gen_ai.agent.name"), model.clone(), error];
                let name = "gen_ai.invoke_agent.duration";
                self.record(name, AGENT, seconds(span), &attributes);
            }
            _ => {}
        }
        let counted = |key: &str| number(span, key).filter(|_| !is_told_below(span, earlier, key));
        for (key, token_type) in [
            ("gen_ai.usage.input_tokens", "input"),
            ("gen_ai.usage.output_tokens", "output"),
        ] {
            if let Some(tokens) = counted(key) {
                let token_type = Some(KeyValue::new("gen_ai.token.type", token_type));
                let attributes = [
                    operation.clone(),
                    provider.clone(),
                    model.clone(),
                    token_type,
                ];
                self.record("gen_ai.client.token.usage", TOKENS, tokens, &attributes);
            }
        }
        for (key, name) in [
            ("metrics.character_count", "conversation.speech.characters"),
            ("metrics.audio_seconds", "conversation.speech.audio"),
        ] {
            if let Some(value) = counted(key) {
                self.count(name, value, &[provider.clone(), model.clone()]);
            }
        }
    }
}

/// Whether one of the `earlier` spans that are below `span`, at any depth, has the figure too.
fn is_told_below(span: &SpanData, earlier: &[SpanData], key: &str) -> bool {
    earlier
        .iter()
        .filter(|child| child.parent_span_id == span.span_context.span_id())
        .any(|child| number(child, key).is_some() || is_told_below(child, earlier, key))
}

fn get(span: &SpanData, key: &str) -> Option<KeyValue> {
    let mut attributes = span.attributes.iter();
    attributes
        .find(|attribute| attribute.key.as_str() == key)
        .cloned()
}

fn number(span: &SpanData, key: &str) -> Option<f64> {
    match get(span, key)?.value {
        Value::F64(value) => Some(value),
        Value::I64(value) => Some(value as f64),
        other => panic!("{key} is {other:?}"),
    }
}
