//! Spans as a tree of text.

use super::attributes::{is_conversation, value};
use crate::names;
use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry::{Array, Value};
use opentelemetry_sdk::trace::SpanData;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

/// What is shown of a span unless something else is asked for. The first two are not shown again of the spans below.
const USUAL: [&str; 12] = [
    names::CONVERSATION_ID,
    names::TURN_NUMBER,
    names::TURN_END_REASON,
    names::TURN_USER_BOT_LATENCY_SECONDS,
    names::TURN_INPUT,
    names::TURN_OUTPUT,
    names::TRANSCRIPT,
    names::OUTPUT,
    names::TEXT,
    names::GEN_AI_TOOL_NAME,
    names::METRICS_TTFB,
    "status",
];

/// Spans as text, for snapshots and for reading: one line a span, indented below its parent, siblings in the order of their
/// start.
///
/// Its [`Display`](fmt::Display) and [`Debug`](fmt::Debug) forms are the text. It has no ids of spans and traces, and times as
/// seconds since the start of their conversation, so that with a virtual clock it is the same in each run:
///
/// ```
/// # use std::time::Duration;
/// # use tracing::{info, info_span};
/// use tracing_conversation::testing::ConversationRecorder;
///
/// let recorder = ConversationRecorder::new();
/// recorder.run(|| {
///     let call = info_span!("conversation", conversation.id = "call-1");
///     call.in_scope(|| {
///         recorder.advance(Duration::from_millis(250));
///         let llm = info_span!("llm", gen_ai.operation.name = "chat", output = "Hello!");
///         llm.in_scope(|| recorder.advance(Duration::from_millis(500)));
///     });
/// });
/// assert_eq!(
///     recorder.tree().to_string(),
///     "conversation 0–0.75 conversation.id=call-1\n\
///     \x20 turn 0–0.75 turn.number=1 turn.end_reason=conversation_ended turn.output=Hello!\n\
///     \x20   llm 0.25–0.75 output=Hello!\n"
/// );
/// assert_eq!(
///     recorder.tree().only(&["gen_ai.operation.name"]).without_times().to_string(),
///     "conversation\n  turn\n    llm gen_ai.operation.name=chat\n"
/// );
/// ```
#[derive(Clone)]
#[must_use]
pub struct Tree {
    spans: Vec<Arc<SpanData>>,
    keys: Vec<String>,
    repeats_marks: bool,
    has_times: bool,
}

impl Tree {
    /// The tree of any spans, such as those of an `InMemorySpanExporter`.
    pub fn of<'a>(spans: impl IntoIterator<Item = &'a SpanData>) -> Self {
        Self::of_recorded(spans.into_iter().cloned().map(Arc::new).collect())
    }

    pub(super) fn of_recorded(spans: Vec<Arc<SpanData>>) -> Self {
        Self {
            spans,
            keys: USUAL.map(str::to_owned).to_vec(),
            repeats_marks: false,
            has_times: true,
        }
    }

    /// Shows these attributes too, of the spans that have them.
    ///
    /// `status` is the status of the span, unless it is unset: `ok`, or `error(…)` with its description. `trace` is the number
    /// of its trace, in the order in which they appear.
    pub fn with(mut self, keys: &[&str]) -> Self {
        let more = keys.iter().map(|key| (*key).to_owned());
        self.keys.extend(more);
        self
    }

    /// Shows these attributes, and no others; see [`with`](Self::with).
    pub fn only(mut self, keys: &[&str]) -> Self {
        self.keys.clear();
        self.repeats_marks = true;
        self.with(keys)
    }

    /// Shows no times, for programs that do not run on a virtual clock.
    pub fn without_times(mut self) -> Self {
        self.has_times = false;
        self
    }

    /// The lines of the text, each without its line break.
    pub fn lines(&self) -> Vec<String> {
        let mut writer = Writer::new(self);
        writer.write_below(None, 0);
        writer.lines
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Writer<'a> {
    tree: &'a Tree,
    /// The indices of the spans below each that is there.
    below: HashMap<Option<SpanId>, Vec<usize>>,
    /// When each conversation started, as far as its spans are there.
    starts: HashMap<String, SystemTime>,
    traces: Vec<TraceId>,
    lines: Vec<String>,
}

impl<'a> Writer<'a> {
    fn new(tree: &'a Tree) -> Self {
        let spans = &tree.spans;
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|index| {
            let span = &spans[*index];
            (span.start_time, !is_conversation(span))
        });
        let id = |index: usize| spans[index].span_context.span_id();
        let known: HashMap<SpanId, usize> =
            order.iter().map(|index| (id(*index), *index)).collect();
        let mut below: HashMap<_, Vec<usize>> = HashMap::new();
        let mut starts = HashMap::new();
        for index in order {
            let span = &spans[index];
            let parent = Some(span.parent_span_id).filter(|parent| known.contains_key(parent));
            below.entry(parent).or_default().push(index);
            starts.entry(conversation(span)).or_insert(span.start_time);
        }
        Self {
            tree,
            below,
            starts,
            traces: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn write_below(&mut self, above: Option<&SpanData>, depth: usize) {
        let parent = above.map(|above| above.span_context.span_id());
        // Taken out, so that a circle of parents ends.
        for index in self.below.remove(&parent).unwrap_or_default() {
            let span = self.tree.spans[index].clone();
            let trace = span.span_context.trace_id();
            if !self.traces.contains(&trace) {
                self.traces.push(trace);
            }
            let mut line = "  ".repeat(depth);
            if parent.is_none() && span.parent_span_id != SpanId::INVALID {
                line.push_str("? ");
            }
            push_on_one_line(&mut line, &span.name);
            if self.tree.has_times {
                let start = self.starts.get(&conversation(&span));
                let start = start.copied().unwrap_or(span.start_time);
                let _ = write!(
                    line,
                    " {}–{}",
                    offset(start, span.start_time),
                    offset(start, span.end_time)
                );
            }
            for key in &self.tree.keys {
                let is_repeated = || {
                    !self.tree.repeats_marks
                        && matches!(key.as_str(), names::CONVERSATION_ID | names::TURN_NUMBER)
                        && above.is_some_and(|above| value(above, key) == value(&span, key))
                };
                if let Some(value) = self.shown(&span, key).filter(|_| !is_repeated()) {
                    let _ = write!(line, " {key}=");
                    push_on_one_line(&mut line, &value);
                }
            }
            self.lines.push(line);
            self.write_below(Some(&span), depth + 1);
        }
    }

    fn shown(&self, span: &SpanData, key: &str) -> Option<String> {
        match key {
            "status" => match &span.status {
                Status::Unset => None,
                Status::Ok => Some("ok".to_owned()),
                Status::Error { description } => Some(format!("error({description})")),
            },
            "trace" => {
                let trace = span.span_context.trace_id();
                let at = self.traces.iter().position(|known| *known == trace)?;
                Some((at + 1).to_string())
            }
            key => value(span, key).map(as_text),
        }
    }
}

/// The conversation of a span; of spans outside of any, nothing.
fn conversation(span: &SpanData) -> String {
    let id = value(span, names::CONVERSATION_ID);
    id.map(as_text).unwrap_or_default()
}

/// Strings as they are, numbers in Rust's notation.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::F64(number) => format!("{number:?}"),
        Value::Array(Array::String(texts)) => {
            format!(
                "{:?}",
                texts.iter().map(|text| text.as_str()).collect::<Vec<_>>()
            )
        }
        other => other.to_string(),
    }
}

/// Seconds from `start` to `time`, to the microsecond.
fn offset(start: SystemTime, time: SystemTime) -> f64 {
    let seconds = match time.duration_since(start) {
        Ok(after) => after.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    };
    (seconds * 1e6).round() / 1e6
}

fn push_on_one_line(line: &mut String, text: &str) {
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
}
