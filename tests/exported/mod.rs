//! Renders what was recorded as text, with every attribute that the instrumentation sets.

use std::fmt::Write as _;

use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use tracing_conversation::testing::ConversationRecorder;

/// Renders each span below its parent.
pub(crate) fn tree(recorder: &ConversationRecorder) -> String {
    let mut spans = recorder.spans();
    spans.sort_by_key(|span| span.start_time);
    let mut tree = String::from("\n");
    for span in &spans {
        let is_parent = |other: &SpanData| other.span_context.span_id() == span.parent_span_id;
        if !spans.iter().any(is_parent) {
            write(&mut tree, &spans, span, 0);
        }
    }
    tree
}

fn write(tree: &mut String, spans: &[SpanData], span: &SpanData, depth: usize) {
    let indent = "  ".repeat(depth);
    writeln!(tree, "{indent}{}", span.name).unwrap();
    let mut lines: Vec<String> = span
        .attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .filter(|line| is_shown(&span.name, line))
        .collect();
    lines.sort();
    match &span.status {
        Status::Unset => {}
        status => lines.push(format!("{status:?}")),
    }
    lines.extend(
        span.events
            .iter()
            .map(|event| format!("event {:?}", event.name)),
    );
    for line in lines {
        writeln!(tree, "{indent}  · {line}").unwrap();
    }
    for child in spans {
        if child.parent_span_id == span.span_context.span_id() {
            write(tree, spans, child, depth + 1);
        }
    }
}

/// Returns whether an attribute is shown. The attributes that the layer derives have their own tests.
fn is_shown(span: &str, line: &str) -> bool {
    let shown = ["turn.input", "turn.output", "turn.was_interrupted=true"];
    match span {
        "turn" => shown.iter().any(|shown| line.starts_with(shown)),
        "conversation" => {
            let is_derived = line.starts_with("conversation.") || line.starts_with("gen_ai.");
            !is_derived || line.starts_with("conversation.id=")
        }
        _ => ![
            "conversation.id",
            "gen_ai.conversation.id",
            "turn.number",
            "gen_ai.response.time_to_first_chunk",
        ]
        .iter()
        .any(|marked| line.starts_with(marked)),
    }
}
