//! The turns that users waited for longest.

use crate::otlp::{Span, Value};
use crate::vocabulary;

/// How many are kept.
const KEPT: usize = 10;

/// How many characters of a conversation's id are kept; the layer cuts it at as many bytes.
const ID_CHARS: usize = 1_024;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorstTurn {
    pub(crate) latency: f64,
    pub(crate) conversation: String,
    pub(crate) turn: Option<u64>,
    pub(crate) trace: Option<u128>,
    pub(crate) span: Option<u64>,
    /// The part that took longest, and how long.
    pub(crate) part: Option<(String, f64)>,
    pub(crate) end_reason: Option<String>,
}

/// In falling order; of the same latency the first to come is first.
#[derive(Debug, Default)]
pub(crate) struct Worst(Vec<WorstTurn>);

impl Worst {
    pub(crate) fn add(&mut self, latency: f64, conversation: &str, turn: &Span<'_>) {
        let at = self.0.partition_point(|kept| kept.latency >= latency);
        if at >= KEPT {
            return;
        }
        let parts = vocabulary::parts(turn).filter_map(|(part, value)| {
            let seconds = value.number().filter(|seconds| seconds.is_finite())?;
            Some((shortened(part, 100), seconds))
        });
        self.0.truncate(KEPT - 1);
        self.0.insert(
            at,
            WorstTurn {
                latency,
                conversation: shortened(conversation, ID_CHARS),
                turn: turn.get("turn.number").and_then(Value::count),
                trace: turn.trace_id,
                span: turn.span_id,
                part: parts.max_by(|a, b| a.1.total_cmp(&b.1)),
                end_reason: vocabulary::end_reason(turn).map(|reason| shortened(reason, 100)),
            },
        );
    }

    pub(crate) fn turns(&self) -> &[WorstTurn] {
        &self.0
    }
}

fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
