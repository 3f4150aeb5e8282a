//! Runs the replay example: timelines in, OTLP/JSON out, and errors for invalid timelines.
//!
//! For each `tests/timelines/NAME.jsonl`, `NAME.txt` contains the expected tree.

use crate::examples::command;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

fn replay(arguments: &[&str]) -> Output {
    command("replay").args(arguments).output().unwrap()
}

fn timeline(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/timelines")
        .join(name)
}

/// The attributes shown of a span, in this order.
const SHOWN: &[&str] = &[
    "conversation.id",
    "conversation.type",
    "gen_ai.conversation.id",
    "customer.tier",
    "conversation.end_reason",
    "turn.number",
    "turn.end_reason",
    "turn.was_interrupted",
    "turn.user_bot_latency_seconds",
    "turn.input",
    "turn.output",
    "replay.span",
    "metrics.ttfb",
    "metrics.character_count",
    "transcript",
    "text",
    "voice_id",
    "interrupted",
];

const PARTS: &[&str] = &[
    "endpointing_wait",
    "transcription",
    "turn_detection",
    "first_request",
    "llm_inference",
    "llm_tool_call",
    "function_handler",
    "sentence_aggregation",
    "speech_synthesis",
    "output_transport",
    "pipeline",
];

struct Span {
    name: String,
    parent: String,
    id: String,
    from: u64,
    to: u64,
    error: Option<String>,
    attributes: BTreeMap<String, String>,
}

/// Formats in milliseconds, the resolution of the timelines.
fn seconds(nanoseconds: f64) -> String {
    let rounded = (nanoseconds / 1e6).round() / 1e3;
    rounded.to_string()
}

fn read(stdout: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for line in std::str::from_utf8(stdout).unwrap().lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for resource in request["resourceSpans"].as_array().unwrap() {
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().map(read_span));
            }
        }
    }
    spans
}

fn read_span(span: &Value) -> Span {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let value = |value: &Value| {
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        match &**kind {
            "doubleValue" => seconds(value.as_f64().unwrap() * 1e9),
            "boolValue" => value.to_string(),
            _ => text(value),
        }
    };
    let attributes = span["attributes"].as_array().unwrap().iter();
    Span {
        name: text(&span["name"]),
        parent: text(&span["parentSpanId"]),
        id: text(&span["spanId"]),
        from: text(&span["startTimeUnixNano"]).parse().unwrap(),
        to: text(&span["endTimeUnixNano"]).parse().unwrap(),
        error: (span["status"]["code"] == 2).then(|| text(&span["status"]["message"])),
        attributes: attributes
            .map(|attribute| (text(&attribute["key"]), value(&attribute["value"])))
            .collect(),
    }
}

fn tree(mut spans: Vec<Span>) -> String {
    fn render(spans: &[Span], start: u64, parent: &str, depth: usize, tree: &mut String) {
        for span in spans.iter().filter(|span| span.parent == parent) {
            let indent = "  ".repeat(depth);
            let [from, to] = [span.from, span.to].map(|at| seconds((at - start) as f64));
            tree.push_str(&format!("{indent}{} {from}..{to}", span.name));
            // Conversation id and turn number are shown once each; nesting shows the rest.
            let implied = |key: &str| match &*span.name {
                "conversation" => false,
                "turn" => key == "conversation.id",
                _ => ["conversation.id", "turn.number"].contains(&key),
            };
            for key in SHOWN.iter().filter(|key| !implied(key)) {
                if let Some(value) = span.attributes.get(*key) {
                    tree.push_str(&format!(" {key}={value}"));
                }
            }
            if let Some(error) = &span.error {
                tree.push_str(&format!(
                    " error={error} error.type={}",
                    span.attributes["error.type"]
                ));
            }
            tree.push('\n');
            if let Some(from) = span.attributes.get("turn.latency.measured_from") {
                tree.push_str(&format!("{indent}  latency from {from}:"));
                for part in PARTS {
                    if let Some(lasted) = span.attributes.get(&format!("turn.latency.{part}")) {
                        tree.push_str(&format!(" {part}={lasted}"));
                    }
                }
                tree.push('\n');
            }
            render(spans, start, &span.id, depth + 1, tree);
        }
    }
    spans.sort_by_key(|span| span.from);
    let start = spans.first().map_or(0, |span| span.from);
    let mut tree = String::new();
    render(&spans, start, "", 0, &mut tree);
    tree
}

#[test]
fn timelines_produce_expected_trees() {
    for name in ["interruption", "late_and_odd"] {
        let output = replay(&[timeline(&format!("{name}.jsonl")).to_str().unwrap()]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let expected = std::fs::read_to_string(timeline(&format!("{name}.txt"))).unwrap();
        let made = tree(read(&output.stdout));
        assert_eq!(made, expected, "{name}:\n{made}");
    }
}

#[test]
fn turn_end_timeout_is_configurable() {
    let path = timeline("late_and_odd.jsonl");
    let output = replay(&["--turn-end-timeout", "10", path.to_str().unwrap()]);
    let spans = read(&output.stdout);
    let reasons: Vec<_> = spans
        .iter()
        .filter_map(|span| span.attributes.get("turn.end_reason"))
        .collect();
    assert!(
        !reasons.is_empty() && !reasons.iter().any(|reason| *reason == "silence"),
        "{reasons:?}"
    );
}

/// Replays a timeline of these lines; returns the exit status and standard error.
fn replay_lines(name: &str, lines: &str) -> (Option<i32>, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, lines).unwrap();
    let output = replay(&[path.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    (
        output.status.code(),
        stderr
            .replace(&format!("{}: ", path.display()), "")
            .trim_end()
            .to_owned(),
    )
}

#[test]
fn invalid_timeline_reports_line_and_reason() {
    let started = r#"{"at": 0, "conversation": "c1", "event": "conversation_started"}"#;
    for (line, reason) in [
        ("{", "line 3: not JSON: "),
        ("7", "line 3: 7 is not a JSON object"),
        (
            r#"{"conversation": "c1", "event": "x"}"#,
            "line 3: \"at\" has to be a number of seconds from 0 to 1e9",
        ),
        (
            r#"{"at": -1, "conversation": "c1", "event": "x"}"#,
            "line 3: \"at\" has to be a number of seconds from 0 to 1e9",
        ),
        (
            r#"{"at": 1e300, "conversation": "c1", "event": "x"}"#,
            "line 3: \"at\" has to be a number of seconds from 0 to 1e9",
        ),
        (
            r#"{"at": "1", "conversation": "c1", "event": "x"}"#,
            "line 3: \"at\" has to be a number of seconds from 0 to 1e9",
        ),
        (
            r#"{"at": 1, "event": "x"}"#,
            "line 3: \"conversation\" is missing",
        ),
        (
            r#"{"at": 1, "conversation": 7, "event": "x"}"#,
            "line 3: \"conversation\" has to be a string, not 7",
        ),
        (
            r#"{"at": 1, "conversation": "c1"}"#,
            "line 3: neither \"event\" nor \"span\" is there",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "event": "x", "span": "y"}"#,
            "line 3: \"event\" and \"span\" exclude each other",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "span": "s"}"#,
            "line 3: \"op\" is missing",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "span": "s", "op": "stop"}"#,
            "line 3: \"op\" is \"stop\"; it is one of start, first_byte, record, end",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "span": "s", "op": "start"}"#,
            "line 3: \"service\" is missing",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "span": "s", "op": "record", "attributes": []}"#,
            "line 3: \"attributes\" has to be an object, not []",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "span": "s", "op": "first_byte", "text": "no"}"#,
            "line 3: \"text\" has to be true or false, not \"no\"",
        ),
        (
            r#"{"at": 1, "conversation": "c1", "span": "s", "op": "end"}"#,
            "line 3: span \"s\" was never started",
        ),
    ] {
        let (status, stderr) = replay_lines("unreadable.jsonl", &format!("{started}\n\n{line}\n"));
        assert_eq!(status, Some(2), "{line}");
        assert!(stderr.starts_with(reason), "{line}: {stderr}");
    }
}

#[test]
fn missing_timeline_or_argument_is_error() {
    for (arguments, expected) in [
        (
            &["no/such/timeline.jsonl"][..],
            "no/such/timeline.jsonl: cannot be read: ",
        ),
        (&[], "usage: replay "),
        (
            &["--turn-end-timeout", "soon", "x.jsonl"],
            "--turn-end-timeout \"soon\" is not a number of seconds from 0 up",
        ),
        (&["--fast", "x.jsonl"], "\"--fast\" is not understood"),
        (&["x.jsonl", "y.jsonl"], "\"y.jsonl\" is not understood"),
    ] {
        let output = replay(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn lines_out_of_order_and_unknown_events_are_replayed() {
    let (status, stderr) = replay_lines(
        "odd.jsonl",
        concat!(
            "{\"at\": 1.0, \"conversation\": \"c1\", \"event\": \"conversation_started\"}\n",
            "{\"at\": 0.5, \"conversation\": \"c1\", \"event\": \"no_such_event\", \"n\": 7, \"list\": [1, 2], \"null\": null}\n",
            "   \n",
            "{\"at\": 2.0, \"conversation\": \"c1\", \"event\": \"conversation_ended\", \"reason\": \"done\"}",
        ),
    );
    assert_eq!(status, Some(0), "{stderr}");
}
