//! For any recorded text: no panic, and the result is valid JSON within its limit, in the conventions' form.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Arbitrary JSON, made mostly of the keys and types that the reader knows.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "role",
            "content",
            "parts",
            "type",
            "text",
            "name",
            "id",
            "tool_calls",
            "function",
            "arguments",
            "function_call",
            "tool_call_id",
            "messages",
            "contents",
            "input",
            "output",
            "system",
            "tools",
            "choices",
            "candidates",
            "message",
            "finish_reason",
            "functionCall",
            "functionResponse",
            "response",
            "inlineData",
            "data",
            "mimeType",
            "source",
            "image_url",
            "url",
            "input_audio",
            "format",
            "audio",
            "transcript",
            "summary",
            "thinking",
            "call_id",
            "model",
            "stop_reason",
            "…",
            "functionDeclarations",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    let text = prop_oneof![
        prop::sample::select(vec![
            "user",
            "assistant",
            "tool",
            "model",
            "text",
            "tool_use",
            "tool_result",
            "image",
            "image_url",
            "message",
            "function",
            "function_call",
            "function_call_output",
            "reasoning",
            "thinking",
            "tool_call",
            "tool_call_response",
            "input_audio",
            "document",
            "base64",
            "url",
            "{\"a\":1}",
            "… [12 bytes cut]",
            "data:image/png;base64,AA",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// JSON, JSON that was cut off anywhere, or any text.
fn any_text() -> impl Strategy<Value = String> {
    let cut = (any_json(), any::<prop::sample::Index>()).prop_map(|(json, index)| {
        let text = json.to_string();
        let mut end = index.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].to_owned()
    });
    prop_oneof![
        3 => any_json().prop_map(|json| json.to_string()),
        2 => cut,
        1 => any::<String>(),
        1 => "[\\[\\]{}\":,… a]{0,60}",
    ]
}

fn is_conventional(messages: &Value) -> bool {
    let is_part = |part: &Value| part["type"].is_string();
    messages.as_array().is_some_and(|messages| {
        messages.iter().all(|message| {
            message["role"].is_string()
                && message["parts"]
                    .as_array()
                    .is_some_and(|parts| parts.iter().all(is_part))
        })
    })
}

fn parsed(limited: &Limited, limit: usize) -> Value {
    assert!(
        limited.json.len() <= limit,
        "{} > {limit}",
        limited.json.len()
    );
    serde_json::from_str(&limited.json).expect("whole JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn messages_are_whole_whatever_is_recorded(text in any_text(), limit in 0_usize..2_000) {
        let mut request = input(&text);
        if let Some(limited) = Limited::messages(&mut request.messages, limit) {
            prop_assert!(is_conventional(&parsed(&limited, limit)), "{}", limited.json);
            // Taken over as it is the second time.
            let mut again = input(&limited.json).messages;
            if !request.messages.is_empty() {
                prop_assert_eq!(Limited::messages(&mut again, limit).map(|again| again.json), Some(limited.json));
            }
        }
        if let Some(limited) = Limited::instructions(&mut request.instructions, limit) {
            parsed(&limited, limit);
        }
        let mut answers = output(&text);
        complete_finish_reasons(&mut answers, &[], None);
        prop_assert!(!answers.is_empty());
        let chat = chat_messages(&[], &answers, &request.tools, Shape::Object, limit);
        if let Some(chat) = chat {
            prop_assert!(chat.len() <= limit);
            prop_assert!(serde_json::from_str::<Value>(&chat).is_ok());
        }
        if let Some(limited) = Limited::messages(&mut answers, limit) {
            prop_assert!(is_conventional(&parsed(&limited, limit)), "{}", limited.json);
        }
        if let Some(mut tools) = definitions(&text)
            && let Some(limited) = Limited::definitions(&mut tools, limit)
        {
            parsed(&limited, limit);
        }
        let mut parts = instructions(&text);
        if let Some(limited) = Limited::instructions(&mut parts, limit) {
            parsed(&limited, limit);
        }
    }
}

#[test]
fn a_text_of_nothing_but_brackets_takes_no_stack() {
    for bracket in ["[", "{\"a\":", "[{\"role\":\"user\",\"content\":["] {
        let deep = bracket.repeat(100_000);
        assert_eq!(input(&deep).messages, [Message::text("user", deep.clone())]);
        assert_eq!(output(&deep), [Message::text("assistant", deep.clone())]);
    }
}
