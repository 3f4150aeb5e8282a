//! What the services record: everything that OpenTelemetry's conventions have a name for.

use super::*;
use opentelemetry::Array;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanExporter};
use std::collections::HashMap;
use tracing_conversation::ConversationExporter;

/// Attributes as text, with `#1`, `#2`, … in the place of ids and ports, which are others in each run.
#[derive(Default)]
struct Numbered {
    numbers: HashMap<String, usize>,
}

impl Numbered {
    fn text(&mut self, span: &SpanData, key: &str) -> Option<String> {
        let value = match get(span, key)? {
            Value::Array(Array::String(texts)) => {
                let texts: Vec<_> = texts.iter().map(|text| text.as_str()).collect();
                format!("{texts:?}")
            }
            value => value.as_str().into_owned(),
        };
        Some(match key {
            "gen_ai.response.id" | "gen_ai.tool.call.id" | "server.port" => self.number(value),
            "url.full" => {
                let port = get(span, "server.port").unwrap().as_str().into_owned();
                let number = self.number(port.clone());
                value.replace(&port, &number)
            }
            "gen_ai.input.messages" | "gen_ai.output.messages" => self.in_messages(&value),
            _ => value,
        })
    }

    fn number(&mut self, id: String) -> String {
        let next = self.numbers.len() + 1;
        format!("#{}", self.numbers.entry(id).or_insert(next))
    }

    /// Messages in brief.
    fn in_messages(&mut self, json: &str) -> String {
        let messages: serde_json::Value = serde_json::from_str(json).unwrap();
        let mut brief = Vec::new();
        for message in messages.as_array().unwrap() {
            let role = message["role"].as_str().unwrap();
            for part in message["parts"].as_array().unwrap() {
                let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
                let content = match text("type").as_str() {
                    "text" => text("content"),
                    "tool_call" => format!(
                        "{} {}({})",
                        self.number(text("id")),
                        text("name"),
                        part["arguments"]
                    ),
                    "tool_call_response" => {
                        format!("{} {}", self.number(text("id")), part["response"])
                    }
                    kind => panic!("{kind} in {json}"),
                };
                brief.push(format!("{role}: {content}"));
            }
            if let Some(reason) = message["finish_reason"].as_str() {
                brief.push(reason.to_owned());
            }
        }
        brief.join(" / ")
    }
}

/// The spans as a backend gets them: what services record of messages in the form of OpenTelemetry's conventions.
async fn exported(recorder: &ConversationRecorder) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let conversations = ConversationExporter::new(exporter.clone());
    conversations.export(recorder.spans()).await.unwrap();
    exporter.get_finished_spans().unwrap()
}

/// The spans of a turn, one after the other, with those attributes of each that `keys` name.
fn attributes(spans: &[SpanData], turn: i64, keys: &[&str]) -> String {
    let mut numbered = Numbered::default();
    let mut of_turn: Vec<_> = spans
        .iter()
        .filter(|span| get(span, "turn.number") == Some(&Value::I64(turn)))
        .collect();
    of_turn.sort_by_key(|span| span.start_time);
    let mut out = String::from("\n");
    for span in of_turn {
        let kind = match span.span_kind {
            SpanKind::Client => " (client)",
            _ => "",
        };
        writeln!(out, "{}{kind} {:?}", span.name, span.status).unwrap();
        for key in keys {
            if let Some(text) = numbered.text(span, key) {
                writeln!(out, "    {key} = {text}").unwrap();
            }
        }
    }
    out
}

#[tokio::test]
async fn services_record_messages_ids_addresses_and_reasons() {
    let (recorder, _) = converse("recorded", Vec::new()).await;
    let spans = exported(&recorder).await;
    let keys = [
        "server.address",
        "server.port",
        "gen_ai.request.stream",
        "gen_ai.response.id",
        "gen_ai.response.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.id",
        "http.request.method",
        "http.response.status_code",
        "network.protocol.version",
        "url.full",
        "url.template",
    ];
    assert_eq!(
        attributes(&spans, 2, &keys),
        r#"
stt (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    gen_ai.response.id = #2
turn Unset
llm (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    gen_ai.request.stream = true
    gen_ai.response.id = #3
    gen_ai.response.model = gpt-4o-mini
    gen_ai.response.finish_reasons = ["tool_calls"]
    gen_ai.input.messages = assistant: Hello, this is your travel assistant. How can I help you? / user: What is the weather like in Paris today?
    gen_ai.output.messages = assistant: #4 get_weather({"city":"Paris"}) / tool_call
POST /chat/completions (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    http.request.method = POST
    http.response.status_code = 200
    network.protocol.version = 1.1
    url.full = http://127.0.0.1:#1/v1/chat/completions
    url.template = /chat/completions
tool Unset
    gen_ai.tool.call.id = #4
GET /v1/search (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    http.request.method = GET
    http.response.status_code = 200
    network.protocol.version = 1.1
    url.full = http://127.0.0.1:#1/v1/search?name=Paris&count=1
    url.template = /v1/search
GET /v1/forecast (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    http.request.method = GET
    http.response.status_code = 200
    network.protocol.version = 1.1
    url.full = http://127.0.0.1:#1/v1/forecast?latitude=48.85341&longitude=2.3488&current=temperature_2m%2Cweather_code
    url.template = /v1/forecast
llm (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    gen_ai.request.stream = true
    gen_ai.response.id = #5
    gen_ai.response.model = gpt-4o-mini
    gen_ai.response.finish_reasons = ["stop"]
    gen_ai.input.messages = assistant: Hello, this is your travel assistant. How can I help you? / user: What is the weather like in Paris today? / assistant: #4 get_weather({"city":"Paris"}) / tool: #4 "{\"city\":\"Paris\",\"conditions\":\"partly cloudy\",\"temperature_celsius\":13.1}"
    gen_ai.output.messages = assistant: It is 13 degrees and partly cloudy in Paris. A light jacket will do. / stop
POST /chat/completions (client) Unset
    server.address = 127.0.0.1
    server.port = #1
    http.request.method = POST
    http.response.status_code = 200
    network.protocol.version = 1.1
    url.full = http://127.0.0.1:#1/v1/chat/completions
    url.template = /chat/completions
tts (client) Unset
    server.address = 127.0.0.1
    server.port = #1
"#
    );
}

#[tokio::test]
async fn refused_request_is_an_error_of_its_http_span_too() {
    let rate_limit = Fault {
        provider: Provider::OpenAi,
        nth: 1,
        kind: Kind::Status(429),
    };
    let (recorder, _) = converse("refused", vec![rate_limit]).await;
    let spans = exported(&recorder).await;
    let keys = [
        "error.type",
        "http.response.status_code",
        "gen_ai.output.messages",
    ];
    assert_eq!(
        attributes(&spans, 1, &keys),
        r#"
turn Unset
llm (client) Error { description: "HTTP 429: Rate limit reached for requests. Please try again in 1s." }
    error.type = rate_limit_exceeded
POST /chat/completions (client) Error { description: "" }
    error.type = 429
    http.response.status_code = 429
llm (client) Unset
    gen_ai.output.messages = assistant: Hello, this is your travel assistant. How can I help you? / stop
POST /chat/completions (client) Unset
    http.response.status_code = 200
tts (client) Unset
"#
    );
}

#[tokio::test]
async fn speech_to_speech_records_messages_ids_and_reasons() {
    let call = |pace| caller::call(&caller::script(), pace).unwrap();
    let (recorder, _) = converse_with("s2s-recorded", Vec::new(), true, call).await;
    let spans = exported(&recorder).await;
    let keys = [
        "server.address",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.id",
    ];
    assert_eq!(
        attributes(&spans, 2, &keys),
        r#"
turn Unset
realtime (client) Unset
    server.address = 127.0.0.1
    gen_ai.response.id = #1
    gen_ai.response.finish_reasons = ["tool_calls"]
    gen_ai.input.messages = user: What is the weather like in Paris today?
    gen_ai.output.messages = assistant: #2 get_weather({"city":"Paris"}) / tool_call
tool Unset
    gen_ai.tool.call.id = #2
GET /v1/search (client) Unset
    server.address = 127.0.0.1
GET /v1/forecast (client) Unset
    server.address = 127.0.0.1
realtime (client) Unset
    server.address = 127.0.0.1
    gen_ai.response.id = #3
    gen_ai.response.finish_reasons = ["stop"]
    gen_ai.input.messages = tool: #2 "{\"city\":\"Paris\",\"conditions\":\"partly cloudy\",\"temperature_celsius\":13.1}"
    gen_ai.output.messages = assistant: It is 13 degrees and partly cloudy in Paris. A light jacket will do. / stop
"#
    );
}
