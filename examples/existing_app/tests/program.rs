//! The program's names, adopted by rules, give the tree that the contract's own names would.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::Value;
use std::process::Command;

struct Span {
    id: String,
    parent: String,
    name: String,
    start: u64,
    shown: String,
}

const SHOWN: &[&str] = &[
    "conversation.id",
    "line",
    "turn.number",
    "turn.end_reason",
    "transcript",
    "gen_ai.request.model",
    "gen_ai.usage.output_tokens",
    "output",
    "gen_ai.tool.name",
    "gen_ai.tool.call.result",
    "text",
    "path",
];

fn spans(line: &str) -> Vec<Span> {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut spans = Vec::new();
    for scope in line["resourceSpans"][0]["scopeSpans"].as_array().unwrap() {
        for span in scope["spans"].as_array().unwrap() {
            let attributes = span["attributes"].as_array().unwrap();
            let value = |key: &&str| {
                let attribute = attributes
                    .iter()
                    .find(|attribute| attribute["key"] == *key)?;
                let value = attribute["value"].as_object()?.values().next()?;
                Some(format!(
                    " {key}={}",
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned)
                ))
            };
            spans.push(Span {
                id: text(&span["spanId"]),
                parent: text(&span["parentSpanId"]),
                name: text(&span["name"]),
                start: text(&span["startTimeUnixNano"]).parse().unwrap(),
                shown: SHOWN.iter().filter_map(value).collect(),
            });
        }
    }
    spans
}

fn below(spans: &[Span], parent: &str, depth: usize, tree: &mut Vec<String>) {
    let mut children: Vec<_> = spans.iter().filter(|span| span.parent == parent).collect();
    children.sort_by_key(|span| span.start);
    for span in children {
        tree.push(format!("{}{}{}", "  ".repeat(depth), span.name, span.shown));
        below(spans, &span.id, depth + 1, tree);
    }
}

#[test]
fn names_of_the_program_become_a_conversation() {
    let output = Command::new(env!("CARGO_BIN_EXE_existing_app"))
        .env("OTEL_CONSOLE_EXPORT", "json")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let spans: Vec<Span> = printed.lines().flat_map(spans).collect();
    let mut tree = Vec::new();
    below(&spans, "", 0, &mut tree);
    assert_eq!(
        tree,
        [
            "request path=/call",
            "conversation conversation.id=CA42 line=7",
            "  turn conversation.id=CA42 turn.number=1 turn.end_reason=user_spoke",
            "    recognize conversation.id=CA42 turn.number=1 transcript=What is for lunch?",
            "    complete conversation.id=CA42 turn.number=1 gen_ai.request.model=small-1 \
             gen_ai.usage.output_tokens=3 output=There is risotto.",
            "      look_up_menu conversation.id=CA42 turn.number=1 gen_ai.tool.name=menu \
             gen_ai.tool.call.result=risotto",
            "        request path=/menu",
            "    synthesize conversation.id=CA42 turn.number=1 text=There is risotto.",
            "  turn conversation.id=CA42 turn.number=2 turn.end_reason=conversation_ended",
            "    recognize conversation.id=CA42 turn.number=2 transcript=I take that.",
            "    complete conversation.id=CA42 turn.number=2 gen_ai.request.model=small-1 \
             gen_ai.usage.output_tokens=5 output=It is on its way.",
            "    synthesize conversation.id=CA42 turn.number=2 text=It is on its way.",
        ]
    );
}
