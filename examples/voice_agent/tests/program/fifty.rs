//! Fifty conversations at once: each has its own trace, and figures that add up.

use super::run;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[test]
fn fifty_conversations_at_once_do_not_cross() {
    assert_apart_and_summed_up(&["--fast", "--calls", "50"]);
}

#[test]
#[ignore = "takes as long as a call does"]
fn fifty_conversations_in_real_time_do_not_cross() {
    assert_apart_and_summed_up(&["--calls", "50"]);
}

fn assert_apart_and_summed_up(arguments: &[&str]) {
    let output = run(arguments, &[("OTEL_CONSOLE_EXPORT", "json")]);
    let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for span in spans(&line) {
            traces.entry(span.trace.clone()).or_default().push(span);
        }
    }
    assert_eq!(traces.len(), 50);
    let mut conversations = Vec::new();
    for spans in traces.values() {
        let id = spans[0].get("conversation.id").to_owned();
        let others: Vec<_> = spans
            .iter()
            .filter(|span| span.get("conversation.id") != id)
            .collect();
        assert!(others.is_empty(), "in the trace of {id}: {others:?}");
        assert_eq!(tree(spans), CONVERSATION, "{id}");
        for turn in spans.iter().filter(|span| span.name == "turn") {
            turn.assert_sum();
        }
        assert_summed_up(spans);
        conversations.push(id);
    }
    conversations.sort();
    conversations.dedup();
    assert_eq!(conversations.len(), 50);
}

/// What the conversation's span sums up is what its turns and services say.
fn assert_summed_up(spans: &[Span]) {
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let conversation = named("conversation").next().unwrap();
    let sum = |key: &str, of: &[&str]| -> f64 {
        let spans = spans.iter().filter(|span| of.contains(&&*span.name));
        spans.filter_map(|span| span.number(key)).sum()
    };
    let latencies: Vec<f64> = named("turn")
        .filter_map(|turn| turn.number("turn.user_bot_latency_seconds"))
        .collect();
    assert_eq!(latencies.len(), 4, "all turns but the greeting");
    let services = ["stt", "llm", "tts", "tool"];
    let failed = spans
        .iter()
        .filter(|span| services.contains(&&*span.name) && !span.get("error.type").is_empty());
    for (key, expected) in [
        ("conversation.turn_count", 5.0),
        ("conversation.interruption_count", 1.0),
        ("conversation.error_count", failed.count() as f64),
        (
            "conversation.user_speech_seconds",
            sum("turn.user_speech_seconds", &["turn"]),
        ),
        (
            "conversation.bot_speech_seconds",
            sum("turn.bot_speech_seconds", &["turn"]),
        ),
        (
            "conversation.user_bot_latency.mean",
            latencies.iter().sum::<f64>() / 4.0,
        ),
        (
            "conversation.user_bot_latency.max",
            latencies.iter().copied().fold(0.0, f64::max),
        ),
        (
            "conversation.usage.input_tokens",
            sum("gen_ai.usage.input_tokens", &services),
        ),
        (
            "conversation.usage.output_tokens",
            sum("gen_ai.usage.output_tokens", &services),
        ),
        (
            "conversation.usage.characters",
            sum("metrics.character_count", &services),
        ),
        (
            "conversation.usage.audio_seconds",
            sum("metrics.audio_seconds", &services),
        ),
        (
            "conversation.duration_seconds",
            (conversation.end - conversation.start) as f64 / 1e9,
        ),
    ] {
        let exported = conversation.number(key).unwrap_or(f64::NAN);
        assert!(
            (exported - expected).abs() < 1e-6,
            "{key} is {exported}, not {expected}: {spans:?}"
        );
    }
    let interrupted = named("turn")
        .find(|turn| turn.get("turn.end_reason") == "interrupted")
        .unwrap();
    let (heard, said) = (
        interrupted.get("turn.heard_output"),
        interrupted.get("turn.output"),
    );
    assert!(
        !heard.is_empty() && said.starts_with(heard),
        "heard of {said:?}: {heard:?}"
    );
}

const CONVERSATION: &str = r#"
conversation
  turn 1
    llm Hello, this is your travel assistant. How can I help you?
      POST /chat/completions
    tts Hello, this is your travel assistant. How can I help you?
  turn 2
    stt What is the weather like in Paris today?
    llm
      POST /chat/completions
    tool {"city":"Paris"}
      GET /v1/search
      GET /v1/forecast
    llm It is 13 degrees and partly cloudy in Paris. A light jacket will do.
      POST /chat/completions
    tts It is 13 degrees and partly cloudy in Paris. A light jacket will do.
  turn 3 interrupted
    stt What should I see while I am there?
    llm There is a lot to see in Paris. …
      POST /chat/completions
    tts There is a lot to see in Paris. … interrupted
  turn 4
    stt Sorry to interrupt, just one place please.
    llm rate_limit_exceeded
      POST /chat/completions 429
    llm Of course. Then take a walk along the river at sunset.
      POST /chat/completions
    tts Of course. Then take a walk along the river at sunset.
  turn 5
    stt That is all, thank you and goodbye.
    llm You are welcome. Have a good trip!
      POST /chat/completions
    tts You are welcome. Have a good trip!
"#;

/// How the answer begins that the user cuts off.
const INTERRUPTED: &str = "There is a lot to see in Paris.";

/// As much of a span as matters here. Values are as OTLP/JSON has them: integers are strings there.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn get(&self, key: &str) -> &str {
        self.attributes
            .get(key)
            .map(String::as_str)
            .unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key).parse().ok()
    }

    /// The parts of a turn's latency sum to it.
    fn assert_sum(&self) {
        let Ok(latency) = self.get("turn.user_bot_latency_seconds").parse::<f64>() else {
            return;
        };
        let parts = self
            .attributes
            .iter()
            .filter(|(key, _)| key.starts_with("turn.latency."))
            .filter_map(|(_, value)| value.parse::<f64>().ok());
        let sum: f64 = parts.sum();
        assert!(
            (sum - latency).abs() < 1e-6,
            "{sum} is not {latency}: {self:?}"
        );
    }
}

fn spans(line: &Value) -> Vec<Span> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let scopes = list(line, "resourceSpans")
        .into_iter()
        .flat_map(|resource| list(&resource, "scopeSpans"));
    let spans = scopes.flat_map(|scope| list(&scope, "spans"));
    spans
        .map(|span| {
            let attributes = list(&span, "attributes").into_iter().map(|attribute| {
                let value = attribute["value"]
                    .as_object()
                    .and_then(|kinds| kinds.values().next().cloned());
                (text(&attribute["key"]), text(&value.unwrap_or_default()))
            });
            Span {
                trace: text(&span["traceId"]),
                id: text(&span["spanId"]),
                parent: span["parentSpanId"].as_str().unwrap_or_default().to_owned(),
                name: text(&span["name"]),
                start: text(&span["startTimeUnixNano"]).parse().unwrap(),
                end: text(&span["endTimeUnixNano"]).parse().unwrap(),
                attributes: attributes.collect(),
            }
        })
        .collect()
}

fn tree(spans: &[Span]) -> String {
    fn below(spans: &[Span], parent: &str, depth: usize, out: &mut String) {
        let mut children: Vec<_> = spans.iter().filter(|span| span.parent == parent).collect();
        children.sort_by_key(|span| span.start);
        for span in children {
            let keys: &[&str] = match span.name.as_str() {
                "turn" => &["turn.number"],
                _ => &[
                    "transcript",
                    "output",
                    "text",
                    "gen_ai.tool.call.arguments",
                    "error.type",
                ],
            };
            let mut line = format!("{:indent$}{}", "", span.name, indent = 2 * depth);
            for value in keys
                .iter()
                .map(|key| span.get(key))
                .filter(|value| !value.is_empty())
            {
                // How much of the answer has come when the user cuts it off is up to the machine.
                match value.strip_prefix(INTERRUPTED) {
                    Some(_) => write!(line, " {INTERRUPTED} …").unwrap(),
                    None => write!(line, " {value}").unwrap(),
                }
            }
            let cut_off = [
                span.get("turn.was_interrupted"),
                span.get("tts.interrupted"),
            ];
            if cut_off.contains(&"true") {
                line.push_str(" interrupted");
            }
            writeln!(out, "{line}").unwrap();
            below(spans, &span.id, depth + 1, out);
        }
    }
    let mut out = String::from("\n");
    below(spans, "", 0, &mut out);
    out
}
