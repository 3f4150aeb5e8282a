//! Programs with names of their own, adopted by rules: what is exported equals what the contract's words give.

mod details;
mod documentation;
mod fields_style;
mod messages_style;
mod mistakes;
mod presets;
mod reference;
mod report;
#[cfg(any(feature = "console", feature = "http", feature = "grpc"))]
mod setup;
mod targets_style;
mod tasks_style;
mod twins;

use crate::stage::Stage;
use opentelemetry::Value;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use std::fmt::Write as _;
use tracing_conversation::rules::Rules;

/// A stage whose layer has the rules of `file`.
pub(crate) fn adopted(file: &str) -> Stage {
    let rules = Rules::from_toml(file).unwrap();
    Stage::with(|layer| layer.rules(rules))
}

/// Runs `program` under the rules of `file`, and renders everything that is exported.
pub(crate) fn exported(file: &str, program: impl FnOnce(&Stage)) -> String {
    let stage = adopted(file);
    stage.play(|| program(&stage));
    everything(&stage.spans())
}

/// Renders spans below their parents with all that is exported of them but ids, times from the first start.
pub(crate) fn everything(spans: &[SpanData]) -> String {
    let mut tree = String::from("\n");
    let mut spans: Vec<&SpanData> = spans.iter().collect();
    spans.sort_by_key(|span| (span.start_time, span.name.clone(), span.end_time));
    for span in &spans {
        let has_parent = |other: &&&SpanData| other.span_context.span_id() == span.parent_span_id;
        if spans.iter().find(has_parent).is_none() {
            write(&mut tree, &spans, span, 0);
        }
    }
    tree
}

/// The same without what the layer derives of turns and conversations.
pub(crate) fn recorded(spans: &[SpanData]) -> String {
    let everything = everything(spans);
    let is_derived = |line: &&str| {
        let line = line.trim_start();
        let of = |prefix| line.starts_with(prefix);
        of("· turn.")
            || of("· gen_ai.conversation.id")
            || of("· conversation.") && !of("· conversation.id ")
    };
    let lines = everything.split_inclusive('\n');
    lines.filter(|line| !is_derived(line)).collect()
}

fn write(tree: &mut String, spans: &[&SpanData], span: &SpanData, depth: usize) {
    let first = spans[0].start_time;
    let since = |time: std::time::SystemTime| time.duration_since(first).unwrap().as_millis();
    let indent = "  ".repeat(depth);
    let (start, end) = (since(span.start_time), since(span.end_time));
    let kind = &span.span_kind;
    writeln!(tree, "{indent}{} {start}..{end} {kind:?}", span.name).unwrap();
    let mut lines: Vec<String> = span
        .attributes
        .iter()
        .map(|attribute| match &attribute.value {
            Value::F64(value) => format!("{} = {value:?}", attribute.key),
            Value::String(text) => format!("{} = {:?}", attribute.key, text.as_str()),
            value => format!("{} = {value}", attribute.key),
        })
        .collect();
    lines.sort();
    if span.status != Status::Unset {
        lines.push(format!("status {:?}", span.status));
    }
    lines.extend(
        span.events
            .iter()
            .map(|event| format!("event {:?}", event.name)),
    );
    lines.extend(span.links.iter().map(|_| "link".to_owned()));
    for line in lines {
        writeln!(tree, "{indent}  · {line}").unwrap();
    }
    for child in spans {
        if child.parent_span_id == span.span_context.span_id() {
            write(tree, spans, child, depth + 1);
        }
    }
}
