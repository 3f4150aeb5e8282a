use serde_json::{Value, json};

use super::*;

const LIMIT: usize = 64 * 1024;

/// What a request becomes.
fn converted(input: &Value) -> Value {
    written(&mut super::input(&input.to_string()).messages)
}

fn answer(output: &Value) -> Value {
    let mut answers = output_of(&output.to_string());
    written(&mut answers)
}

fn output_of(text: &str) -> Vec<Message> {
    let mut answers = super::output(text);
    complete_finish_reasons(&mut answers, &[], None);
    answers
}

fn written(messages: &mut Vec<Message>) -> Value {
    let limited = Limited::messages(messages, LIMIT).expect("there is room");
    assert_eq!(limited.left_out, 0);
    serde_json::from_str(&limited.json).expect("JSON")
}

fn text(role: &str, text: &str) -> Value {
    json!({"role": role, "parts": [{"type": "text", "content": text}]})
}

fn said(text: &str) -> Value {
    json!([{"role": "assistant", "finish_reason": "stop", "parts": [{"type": "text", "content": text}]}])
}

#[test]
fn openai_chat_messages() {
    let input = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "Ann", "content": "Weather?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}},
            {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": "not JSON"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "{\"sky\":\"clear\"}"},
        {"role": "user", "content": [
            {"type": "text", "text": "And this?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
        ]},
        {"role": "assistant", "content": "", "refusal": null, "reasoning_content": "Hm."},
    ]);
    assert_eq!(
        converted(&input),
        json!([
            text("system", "Be brief."),
            {"role": "user", "name": "Ann", "parts": [{"type": "text", "content": "Weather?"}]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Bern"}},
                {"type": "tool_call", "id": "call_2", "name": "clock", "arguments": "not JSON"},
            ]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "call_1", "response": "{\"sky\":\"clear\"}"},
            ]},
            {"role": "user", "parts": [
                {"type": "text", "content": "And this?"},
                {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
                {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "BBBB"},
            ]},
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": ""},
            ]},
        ])
    );
}

#[test]
fn openai_response_items() {
    let input = json!([
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "clear"},
    ]);
    assert_eq!(
        converted(&input),
        json!([
            text("user", "Weather?"),
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "clear"}]},
        ])
    );
}

#[test]
fn anthropic_messages() {
    let request = json!({
        "model": "claude", "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", }],
        "tools": [{"name": "weather", "description": "It", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                {"type": "text", "text": "I see."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bern"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "clear"}]},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t2", "content": "noon"},
                {"type": "tool_result", "tool_use_id": "t3", "content": "cold"},
                {"type": "text", "text": "So?"},
            ]},
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ]},
        ],
    });
    let mut read = super::input(&request.to_string());
    assert_eq!(read.instructions, [Part::Text("Be brief.".into())]);
    assert_eq!(
        Value::from(read.tools),
        json!([{"type": "function", "name": "weather", "description": "It", "parameters": {"type": "object"}}])
    );
    assert_eq!(
        written(&mut read.messages),
        json!([
            text("user", "Weather?"),
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "I see."},
                {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"city": "Bern"}},
            ]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "clear"}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t2", "response": "noon"}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t3", "response": "cold"}]},
            text("user", "So?"),
            {"role": "user", "parts": [
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
            ]},
        ])
    );
}

#[test]
fn gemini_contents() {
    let request = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": {"type": "object"}}]}, {"googleSearch": {}}],
        "contents": [
            {"role": "user", "parts": [{"text": "Weather?"}]},
            {"role": "model", "parts": [
                {"text": "Hm.", "thought": true},
                {"functionCall": {"name": "weather", "args": {"city": "Bern"}}},
            ]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"sky": "clear"}}}]},
            {"role": "user", "parts": [
                {"inlineData": {"mimeType": "audio/wav", "data": "BBBB"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v.mp4"}},
            ]},
        ],
    });
    let mut read = super::input(&request.to_string());
    assert_eq!(read.instructions, [Part::Text("Be brief.".into())]);
    assert_eq!(
        Value::from(read.tools),
        json!([
            {"type": "function", "name": "weather", "parameters": {"type": "object"}},
            {"type": "googleSearch", "name": "googleSearch"},
        ])
    );
    assert_eq!(
        written(&mut read.messages),
        json!([
            text("user", "Weather?"),
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "tool_call", "name": "weather", "arguments": {"city": "Bern"}},
            ]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "weather", "response": {"sky": "clear"}},
            ]},
            {"role": "user", "parts": [
                {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "BBBB"},
                {"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://b/v.mp4"},
            ]},
        ])
    );
}

#[test]
fn the_conventions_own_form_stays_as_it_is() {
    let messages = json!([
        text("user", "Weather?"),
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Bern"}},
            {"type": "text", "content": "Hm.", "mood": "thoughtful"},
            {"type": "server_tool_call", "name": "search", "server_tool_call": {"type": "web_search", "q": "x"}},
            {"type": "file", "modality": "audio", "file_id": "f1"},
            {"type": "reasoning", "content": "So."},
        ]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"sky": "clear"}}]},
    ]);
    assert_eq!(converted(&messages), messages);
    let answers = json!([
        {"role": "assistant", "finish_reason": "length", "parts": [{"type": "text", "content": "Cl"}]},
    ]);
    assert_eq!(answer(&answers), answers);
}

#[test]
fn what_has_no_known_form_is_text() {
    for plain in [
        "Weather?",
        "",
        "[laughs] Weather?",
        "[1, 2]",
        "{\"city\": \"Bern\"}",
        "{\"role\": \"admin\", \"rights\": []}",
        "{\"message\": \"Weather?\"}",
        "{\"choices\": [\"a\", \"b\"]}",
        "{\"input\": [1]}",
        "[{\"title\": \"a\", \"content\": \"b\"}]",
        "[",
        "{",
        "null",
        "\"Weather?\"",
        "[]",
    ] {
        assert_eq!(
            super::input(plain).messages,
            [Message::text("user", plain)],
            "{plain}"
        );
        assert_eq!(
            super::output(plain),
            [Message::text("assistant", plain)],
            "{plain}"
        );
    }
}

#[test]
fn answers_in_every_form() {
    assert_eq!(
        answer(&json!({"role": "assistant", "content": "Clear."})),
        said("Clear.")
    );
    assert_eq!(
        answer(
            &json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Clear."}, "finish_reason": "stop"}]})
        ),
        said("Clear.")
    );
    assert_eq!(
        answer(
            &json!({"id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Clear."}], "stop_reason": "end_turn"})
        ),
        said("Clear.")
    );
    assert_eq!(
        answer(
            &json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "Clear."}]}, "finishReason": "STOP"}]})
        ),
        said("Clear.")
    );
    assert_eq!(
        answer(
            &json!({"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Clear."}]}]})
        ),
        said("Clear.")
    );
    assert_eq!(
        answer(&json!({"message": {"role": "assistant", "content": "Clear."}, "done": true})),
        said("Clear.")
    );
    assert_eq!(
        answer(&json!([{"type": "text", "text": "Clear."}])),
        said("Clear.")
    );
}

#[test]
fn a_refusal_is_an_answer() {
    assert_eq!(
        answer(&json!({"choices": [{
            "message": {"role": "assistant", "content": null, "refusal": "No."},
            "finish_reason": "stop",
        }]})),
        said("No.")
    );
}

#[test]
fn an_answer_that_calls_a_tool_is_an_answer() {
    let call = json!([{"role": "assistant", "finish_reason": "tool_call", "parts": [
        {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Bern"}},
    ]}]);
    let openai = json!({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}});
    for output in [
        json!({"tool_calls": [openai]}),
        json!({"role": "assistant", "content": "", "tool_calls": [openai]}),
        json!([openai]),
        json!([{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Bern"}}]),
        json!([{"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Bern"}}}]),
        json!([{"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Bern\"}"}]),
        json!([{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Bern"}}]),
    ] {
        assert_eq!(answer(&output), call, "{output}");
    }
}

#[test]
fn finish_reasons_are_those_of_the_conventions() {
    let reason = |recorded: &[&str], otherwise| {
        let mut answers = super::output("Clear.");
        let recorded: Vec<String> = recorded.iter().map(ToString::to_string).collect();
        complete_finish_reasons(&mut answers, &recorded, otherwise);
        answers[0].finish_reason.clone().expect("always there")
    };
    assert_eq!(reason(&[], None), "stop");
    assert_eq!(reason(&[], Some("error")), "error");
    assert_eq!(reason(&["tool_calls"], Some("error")), "tool_call");
    assert_eq!(reason(&["MAX_TOKENS"], None), "length");
    assert_eq!(reason(&["a_new_one"], None), "a_new_one");
}

#[test]
fn instructions_are_parts() {
    let be_brief = [Part::Text("Be brief.".into())];
    for text in [
        "Be brief.",
        r#"[{"type":"text","content":"Be brief."}]"#,
        r#"[{"type":"text","text":"Be brief."}]"#,
        r#"["Be brief."]"#,
        r#"{"parts":[{"text":"Be brief."}]}"#,
    ] {
        assert_eq!(super::instructions(text), be_brief, "{text}");
    }
    assert_eq!(super::instructions("[x]"), [Part::Text("[x]".into())]);
}

#[test]
fn tools_in_every_form() {
    let weather = json!([{"type": "function", "name": "weather", "description": "It", "parameters": {"type": "object"}}]);
    for tools in [
        json!([{"type": "function", "function": {"name": "weather", "description": "It", "parameters": {"type": "object"}}}]),
        json!([{"name": "weather", "description": "It", "input_schema": {"type": "object"}}]),
        json!({"function_declarations": [{"name": "weather", "description": "It", "parameters": {"type": "object"}}]}),
        weather.clone(),
    ] {
        assert_eq!(
            definitions(&tools.to_string()).map(Value::from),
            Some(weather.clone()),
            "{tools}"
        );
    }
    // Cut off in the second.
    assert_eq!(
        definitions(
            r#"[{"name":"weather","description":"It","input_schema":{"type":"object"}},{"name":"cl"#
        )
        .map(Value::from),
        Some(weather)
    );
    assert_eq!(definitions("weather"), None);
    assert_eq!(definitions("[1]"), None);
}

#[test]
fn the_oldest_messages_give_way() {
    let mut messages: Vec<Message> = (0..100)
        .map(|number| Message::text("user", format!("message {number:02}")))
        .collect();
    let length =
        "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"message 00\"}]},".len();
    let limited = Limited::messages(&mut messages, 10 * length + 1).expect("there is room");
    assert_eq!(limited.left_out, 90);
    assert_eq!(limited.json.len(), 10 * length + 1);
    assert_eq!(messages.len(), 10);
    assert_eq!(messages[0], Message::text("user", "message 90"));
    assert_eq!(super::input(&limited.json).messages, messages);
}

#[test]
fn a_message_that_is_too_long_by_itself_keeps_its_beginning() {
    let mut messages = vec![
        Message::text("user", "Before."),
        Message::text("user", "\"\n".repeat(1_000)),
    ];
    let limited = Limited::messages(&mut messages, 200).expect("there is room");
    assert_eq!(limited.left_out, 1);
    assert!(limited.json.len() <= 200, "{}", limited.json);
    let [Message { parts, .. }] = &messages[..] else {
        panic!("{messages:?}");
    };
    let [Part::Text(text)] = &parts[..] else {
        panic!("{parts:?}");
    };
    assert!(text.starts_with("\"\n\"\n"), "{text}");
    assert!(text.ends_with(" bytes cut]"), "{text}");
    assert_eq!(super::input(&limited.json).messages, messages);
}

#[test]
fn parameters_of_tools_give_way_before_the_tools_do() {
    let tool = |name: &str| json!({"type": "function", "name": name, "parameters": {"x": "y".repeat(100)}});
    let mut tools = vec![tool("a"), tool("b"), tool("c")];
    let limited = Limited::definitions(&mut tools, 200).expect("there is room");
    assert_eq!(
        limited.json,
        r#"[{"type":"function","name":"a"},{"type":"function","name":"b"},{"type":"function","name":"c"}]"#
    );
    let limited = Limited::definitions(&mut tools, 64).expect("there is room");
    assert_eq!((limited.left_out, tools.len()), (1, 2));
}

#[test]
fn a_list_that_was_cut_off_gives_what_is_whole_in_it() {
    let whole = r#"[{"role":"user","content":"One."},{"role":"assistant","content":"Two."},"#;
    let expected = [
        Message::text("user", "One."),
        Message::text("assistant", "Two."),
    ];
    for rest in [
        "",
        "{\"role\":\"us",
        "{\"role\":\"user\",\"content\":\"Thr… [1048 bytes cut]",
        "{\"role\":\"user\",\"con… [1048 bytes cut]",
        "\"… [1048 bytes cut]\"]",
    ] {
        let read = super::input(&format!("{whole}{rest}"));
        assert_eq!(read.messages, expected, "{rest}");
        assert_eq!(read.missing, 1, "{rest}");
    }
    // As the content policy cuts JSON.
    let read = super::input(&format!(
        "{whole}{{\"role\":\"user\",\"content\":\"Thr… [1048 bytes cut]\"}}]"
    ));
    assert_eq!(
        read.messages[2],
        Message::text("user", "Thr… [1048 bytes cut]")
    );
    let read = super::input(&format!(
        "{whole}{{\"role\":\"user\",\"…\":\"… [1048 bytes cut]\"}}]"
    ));
    assert_eq!(
        read.messages[2],
        Message::text("user", "… [1048 bytes cut]")
    );
}

#[test]
fn chats_are_as_openai_has_them() {
    let input = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "clear"},
    ]);
    let messages = super::input(&input.to_string()).messages;
    let instructions = [Part::Text("Be brief.".into())];
    let chat = |tools: &[Value], shape, limit| {
        let text = chat_messages(&instructions, &messages, tools, shape, limit)?;
        assert!(text.len() <= limit);
        Some(serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let list = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "clear"},
    ]);
    assert_eq!(chat(&[], Shape::List, LIMIT), Some(list.clone()));
    assert_eq!(
        chat(
            &[json!({"type": "function", "name": "weather"})],
            Shape::Object,
            LIMIT
        ),
        Some(json!({
            "messages": list,
            "tools": [{"type": "function", "function": {"name": "weather"}}],
        }))
    );
    assert_eq!(
        chat(&[], Shape::List, 100),
        Some(json!([{"role": "tool", "tool_call_id": "c1", "content": "clear"}]))
    );
    assert_eq!(chat(&[], Shape::List, 10), None);
}
