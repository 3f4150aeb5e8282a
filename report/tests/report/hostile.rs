//! What no exporter writes, and what somebody may put there.

use proptest::prelude::*;

use crate::{calls, run, stderr, stdout};

fn text_attribute(key: &str, value: &str) -> serde_json::Value {
    serde_json::json!({"key": key, "value": {"stringValue": value}})
}

/// A call whose every text has control characters in it.
fn poisoned() -> String {
    let poison = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n|`<b>\u{7f}\0";
    let mut spans = Vec::new();
    for (id, name, more) in [
        (
            1,
            "llm",
            vec![
                ("gen_ai.operation.name", "chat"),
                ("gen_ai.provider.name", poison),
                ("gen_ai.request.model", poison),
                ("error.type", poison),
            ],
        ),
        (2, poison, vec![("gen_ai.operation.name", poison)]),
        (
            3,
            "turn",
            vec![
                ("turn.type", "conversation"),
                ("turn.end_reason", poison),
                ("turn.input", poison),
                ("turn.output", poison),
            ],
        ),
        (4, "conversation", vec![("conversation.type", poison)]),
    ] {
        let mut attributes: Vec<_> = more
            .into_iter()
            .map(|(key, value)| text_attribute(key, value))
            .collect();
        attributes.push(text_attribute("conversation.id", poison));
        for key in [
            "turn.user_bot_latency_seconds",
            &format!("turn.latency.{poison}"),
        ] {
            attributes.push(serde_json::json!({"key": key, "value": {"doubleValue": 0.5}}));
        }
        spans.push(serde_json::json!({
            "traceId": "1".repeat(32), "spanId": format!("{id:016x}"), "parentSpanId": format!("{:016x}", if id < 3 { 3 } else { 4 }),
            "name": name, "startTimeUnixNano": "1", "endTimeUnixNano": "2000000000",
            "status": {"code": 2, "message": poison}, "attributes": attributes,
        }));
    }
    serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
}

fn assert_harmless(output: &std::process::Output) {
    for text in [stdout(output), stderr(output)] {
        let control = text.chars().find(|char| char.is_control() && *char != '\n');
        assert_eq!(control, None, "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let input = poisoned() + "\n\u{1b}[2J not JSON\n{\"resourceSpans\":\"\u{1b}[31m\u{9b}\"}\n";
    let id = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n|`<b>\u{7f}";
    let trace = "1".repeat(32);
    for arguments in [
        vec![],
        vec!["--format", "json"],
        vec!["--format", "markdown"],
        vec!["--tree", trace.as_str()],
        vec!["--tree", id],
    ] {
        let output = run(&arguments, input.as_bytes());
        assert_harmless(&output);
        // The text is there all the same.
        assert!(
            stdout(&output).contains("title") || stderr(&output).contains("title"),
            "{arguments:?}"
        );
    }
    let json = run(&["--format", "json"], input.as_bytes());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(
        json["worst_turns"][0]["conversation_id"]
            .as_str()
            .unwrap()
            .contains("\u{1b}]0;title\u{7}")
    );
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_the_first_ones_described() {
    let good = calls(1, 0.0, 1);
    let mut input = format!("starting up\n\n{good}");
    input.push_str(&good[..good.len() / 2]);
    input.push('\n');
    for _ in 0..10 {
        input.push_str("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"attributes\":[{\"key\":\"a\",\"value\":{\"doubleValue\":NaN}}]}]}]}]}\n");
    }
    let output = run(&["--format", "json"], input.as_bytes());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (
            &report["calls"],
            &report["input"]["lines"],
            &report["input"]["bad_lines"]
        ),
        (&1.into(), &13.into(), &12.into())
    );
    let bad = report["input"]["bad"].as_array().unwrap();
    let numbers: Vec<u64> = bad
        .iter()
        .map(|bad| bad["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 4, 5, 6, 7]);
    let complaints = stderr(&output);
    assert!(
        complaints.starts_with(
            "conversation-report: standard input: line 1: expected value (column 1)\n"
        ),
        "{complaints}"
    );
    assert!(
        complaints.ends_with("conversation-report: 7 more lines cannot be read\n"),
        "{complaints}"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn invalid_utf8_is_a_line_that_cannot_be_read() {
    let mut input =
        b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"\xff\xfe\"}]}]}]}\n"
            .to_vec();
    input.extend(calls(1, 0.0, 1).bytes());
    let output = run(&[], &input);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("line 1: "), "{}", stderr(&output));
}

/// Values of every type, where others are expected.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        prop_oneof![
            Just("NaN"),
            Just("-Infinity"),
            Just("1e400"),
            Just("-1"),
            Just("99999999999999999999"),
            Just("\u{1b}")
        ]
        .prop_map(Into::into),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            inner.prop_map(|value| serde_json::json!({"intValue": value})),
        ]
    })
}

/// Replaces the value that the numbers lead to.
fn put(
    at: &mut serde_json::Value,
    mut path: impl Iterator<Item = usize>,
    value: serde_json::Value,
) {
    let next = path.next();
    match (at, next) {
        (serde_json::Value::Object(map), Some(step)) if !map.is_empty() => {
            let step = step % map.len();
            if let Some(inner) = map.values_mut().nth(step) {
                put(inner, path, value);
            }
        }
        (serde_json::Value::Array(list), Some(step)) if !list.is_empty() => {
            let step = step % list.len();
            put(&mut list[step], path, value);
        }
        (at, _) => *at = value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nothing_makes_the_program_panic(
        seed in 0..1_000_u64,
        changes in prop::collection::vec((prop::collection::vec(0..50_usize, 4..14), any_json()), 1..20),
        cut in prop::option::of(0.0..1.0_f64),
        garbage in prop::collection::vec(any::<u8>(), 0..30),
        tree in any::<bool>(),
    ) {
        let mut calls = crate::made::Calls::new(seed, 0.0);
        let mut line: serde_json::Value = serde_json::from_str(&crate::made::line(&calls.next())).unwrap();
        for (path, value) in changes {
            put(&mut line, path.into_iter(), value);
        }
        let mut input = line.to_string().into_bytes();
        if let Some(cut) = cut {
            input.truncate((input.len() as f64 * cut) as usize);
        }
        input.push(b'\n');
        input.extend(garbage);
        let id = "1".repeat(32);
        let arguments = if tree { vec!["--tree", &id] } else { vec![] };
        let output = run(&arguments, &input);
        prop_assert!(matches!(output.status.code(), Some(0 | 2)), "{:?}\n{}", output.status, stderr(&output));
        prop_assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        assert_harmless(&output);
    }
}
