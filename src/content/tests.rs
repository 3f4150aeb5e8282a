use std::time::SystemTime;

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::*;

fn span(attributes: Vec<KeyValue>) -> SpanData {
    SpanData {
        span_context: SpanContext::NONE,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "llm".into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn lines(attributes: &[KeyValue]) -> String {
    attributes
        .iter()
        .map(|kv| format!("{}={}\n", kv.key, kv.value))
        .collect()
}

fn applied(policy: &ContentPolicy, attributes: Vec<KeyValue>) -> String {
    let mut span = span(attributes);
    policy.apply(&mut span);
    lines(&span.attributes)
}

#[test]
fn capture_off_removes_content_from_every_part_of_span() {
    let said = "my pin is 1234";
    let mut span = span(
        [
            "input",
            "output",
            "text",
            "transcript",
            "tools",
            "turn.input",
            "turn.output",
            "gen_ai.system_instructions",
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "gen_ai.prompt.0.content",
            "gen_ai.tool.call.arguments",
            "gen_ai.tool.call.result",
            "exception.message",
            "exception.stacktrace",
            "error",
            "langfuse.observation.input",
            "input.value",
            "llm.input_messages.0.message.content",
        ]
        .into_iter()
        .map(|key| KeyValue::new(key, said))
        .chain([
            KeyValue::new("gen_ai.operation.name", "chat"),
            KeyValue::new("gen_ai.output.type", "text"),
            KeyValue::new("gen_ai.tool.name", "lookup"),
            KeyValue::new("error.type", "timeout"),
            KeyValue::new("tool_count", 2),
            KeyValue::new("partial_transcript", said),
            KeyValue::new("url.full", said),
            KeyValue::new("customer.tier", "premium"),
        ])
        .collect(),
    );
    span.status = Status::error(said);
    span.events.events = vec![
        Event::new(
            format!("heard {said}"),
            SystemTime::UNIX_EPOCH,
            vec![
                KeyValue::new("level", "INFO"),
                KeyValue::new("target", "bot"),
                KeyValue::new("code.file.path", "src/bot.rs"),
                KeyValue::new("heard", said),
                KeyValue::new("words", Value::Array(vec![StringValue::from(said)].into())),
                KeyValue::new("confidence", 0.5),
            ],
            0,
        ),
        Event::new("event src/bot.rs:7", SystemTime::UNIX_EPOCH, vec![], 0),
    ];
    span.links.links = vec![Link::new(
        SpanContext::NONE,
        vec![
            KeyValue::new("input", said),
            KeyValue::new("kind", said),
            KeyValue::new("attempt", 2),
        ],
        0,
    )];

    ContentPolicy::default()
        .with_capture(false)
        .with_allowed_keys(["customer.tier"])
        .apply(&mut span);

    assert!(!format!("{span:?}").contains("1234"), "{span:?}");
    assert_eq!(
        lines(&span.attributes),
        "gen_ai.operation.name=chat\n\
         gen_ai.output.type=text\n\
         gen_ai.tool.name=lookup\n\
         error.type=timeout\n\
         tool_count=2\n\
         customer.tier=premium\n"
    );
    assert_eq!(span.status, Status::error(""));
    assert_eq!(span.events[0].name, "event");
    assert_eq!(
        lines(&span.events[0].attributes),
        "level=INFO\ntarget=bot\ncode.file.path=src/bot.rs\nconfidence=0.5\n"
    );
    assert_eq!(span.events[1].name, "event src/bot.rs:7");
    assert_eq!(lines(&span.links[0].attributes), "attempt=2\n");
}

#[test]
fn capture_on_leaves_span_unchanged() {
    let mut before = span(vec![KeyValue::new("input", "hello"), KeyValue::new("n", 1)]);
    before.status = Status::error("no");
    let mut after = before.clone();
    ContentPolicy::default().apply(&mut after);
    assert_eq!(after, before);
}

#[test]
fn redaction_is_called_for_every_string_with_its_key() {
    let policy = ContentPolicy::default()
        .with_redaction(|key, value| value.contains("1234").then(|| format!("<{key}>")));
    let mut span = span(vec![
        KeyValue::new("input", "1234"),
        KeyValue::new("customer", "a 1234 b"),
        KeyValue::new("kept", "x"),
        KeyValue::new(
            "list",
            Value::Array(vec![StringValue::from("1234"), StringValue::from("y")].into()),
        ),
    ]);
    span.status = Status::error("1234");
    span.events.events = vec![Event::new(
        "got 1234".to_owned(),
        SystemTime::UNIX_EPOCH,
        vec![KeyValue::new("pin", "1234")],
        0,
    )];
    policy.apply(&mut span);
    assert_eq!(
        lines(&span.attributes),
        "input=<input>\ncustomer=<customer>\nkept=x\nlist=[\"<list>\",\"y\"]\n"
    );
    assert_eq!(span.status, Status::error("<otel.status_description>"));
    assert_eq!(span.events[0].name, "<message>");
    assert_eq!(lines(&span.events[0].attributes), "pin=<pin>\n");
}

#[test]
fn panicking_redaction_replaces_value() {
    let policy = ContentPolicy::default().with_redaction(|_, value| {
        assert!(!value.contains("1234"));
        None
    });
    assert_eq!(
        applied(
            &policy,
            vec![KeyValue::new("input", "1234"), KeyValue::new("a", "b")]
        ),
        "input=[redaction failed]\na=b\n"
    );
}

#[test]
fn redacted_value_is_cut_to_limit() {
    let policy = ContentPolicy::default()
        .with_redaction(|_, _| Some("x".repeat(1000)))
        .with_max_value_bytes(64);
    assert_eq!(
        applied(&policy, vec![KeyValue::new("a", "b")]),
        format!("a={}… [984 bytes cut]\n", "x".repeat(16))
    );
}

#[test]
fn cut_text_keeps_whole_characters_and_states_cut_bytes() {
    let policy = ContentPolicy::default().with_max_value_bytes(65);
    let text = "é".repeat(100);
    let bounded = policy.bound(text);
    assert_eq!(bounded, format!("{}… [184 bytes cut]", "é".repeat(8)));
    assert_eq!(policy.bound(bounded.clone()), bounded);
    assert_eq!(policy.bound("a".repeat(65)), "a".repeat(65));
}

#[test]
fn limit_applies_to_whole_list() {
    let policy = ContentPolicy::default().with_max_value_bytes(64);
    let list = |length: usize| {
        KeyValue::new(
            "list",
            Value::Array(vec![StringValue::from("0123456789".to_owned()); length].into()),
        )
    };
    assert_eq!(
        applied(&policy, vec![list(10)]),
        "list=[\"0123456789\",\"012345… [84 bytes cut]\"]\n"
    );
    assert_eq!(applied(&policy, vec![list(6)]).matches("012").count(), 6);
}

#[test]
fn cut_json_is_valid_at_every_limit() {
    let messages = serde_json::json!([
        {"role": "system", "content": "Be brief.\n\"Quoted\" \\ tab\t", "weight": 0.5},
        {"role": "user", "content": "Grüße 🦀 \u{1}", "seen": [true, null, -1.5e3, {}, []]},
        [[[[["deep"]]]]],
        {"role": "user", "content": "x".repeat(200)},
    ]);
    let crab_as_escapes = r#"{"a":"\ud83e\udd80\ud83e\udd80\ud83e\udd80\ud83e\udd80","b":[1, 2 , 3],"c":"the end of it all, and then some more for good measure"}"#;
    for text in [
        messages.to_string(),
        serde_json::to_string_pretty(&messages).unwrap(),
        crab_as_escapes.to_owned(),
        serde_json::Value::from("quoted ".repeat(40)).to_string(),
        format!("{}1{}", "[".repeat(90), "]".repeat(90)),
    ] {
        for limit in cut::MIN_LIMIT..text.len() {
            let policy = ContentPolicy::default().with_max_value_bytes(limit);
            let bounded = policy.bound(text.clone());
            assert!(bounded.len() <= limit, "{limit}: {bounded}");
            assert!(bounded.contains(" bytes cut]"), "{limit}: {bounded}");
            serde_json::from_str::<serde_json::Value>(&bounded)
                .unwrap_or_else(|e| panic!("{limit}: {e}: {bounded}"));
            assert_eq!(policy.bound(bounded.clone()), bounded);
        }
    }
}

#[test]
fn note_is_inserted_where_json_is_cut() {
    let policy = ContentPolicy::default().with_max_value_bytes(96);
    assert_eq!(
        policy
            .bound(r#"{"role":"user","content":"#.to_owned() + &format!("{:?}}}", "z".repeat(90))),
        r#"{"role":"user","content":"zzzzzzzzzzzzzzzzzzzzz… [71 bytes cut]"}"#
    );
    assert_eq!(
        policy.bound(format!("[{}]", vec!["12345678"; 20].join(","))),
        r#"[12345678,12345678,12345678,12345678,12345678,"… [136 bytes cut]"]"#
    );
    assert_eq!(
        policy.bound(format!("{{\"first\":12345,\"{}\":1}}", "k".repeat(90))),
        r#"{"first":12345,"…":"… [96 bytes cut]"}"#
    );
}

#[test]
fn invalid_json_is_cut_as_text() {
    let policy = ContentPolicy::default().with_max_value_bytes(64);
    for start in ["[laughs] ", "{not json} ", "\"quoted\" and ", "[1, 2] "] {
        let text = format!("{start}{}", "w".repeat(200));
        assert_eq!(
            policy.bound(text.clone()),
            format!("{}… [{} bytes cut]", &text[..16], text.len() - 16)
        );
    }
}

#[test]
fn buffered_pieces_are_cut_like_whole_text() {
    for text in [
        "{\"a\": [1, \"zwölf\", 3]} ".repeat(9),
        "ä, b and ç; ".repeat(20),
    ] {
        for limit in [64, 65, 66, 100, text.len(), text.len() + 1] {
            let policy = ContentPolicy::default().with_max_value_bytes(limit);
            for size in 1..9 {
                let mut buffer = policy.text_buffer();
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let end = (size..rest.len()).find(|at| rest.is_char_boundary(*at));
                    let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
                    buffer.push(piece);
                    rest = after;
                }
                assert_eq!(buffer.text(), policy.bound(text.clone()), "{limit} {size}");
            }
        }
    }
}

#[test]
fn debug_shows_settings() {
    assert_eq!(
        format!("{:?}", ContentPolicy::default().with_redaction(|_, _| None)),
        "ContentPolicy { capture: true, max_value_bytes: 65536, redaction: true, named: [] }"
    );
}
