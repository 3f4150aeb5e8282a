//! The form of OpenAI's chat API, which backends render as a chat.

use serde_json::{Map, Value, json};

use super::{Limited, Message, Part};

/// What the list of messages is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `[…]`
    List,
    /// `{"messages":[…],"tools":[…]}`, the tools only if there are any.
    Object,
}

/// Instructions and messages as JSON of at most `limit` bytes; the oldest messages are dropped first. `None` if there are
/// none or nothing fits.
pub(crate) fn chat_messages(
    instructions: &[Part],
    messages: &[Message],
    tools: &[Value],
    shape: Shape,
    limit: usize,
) -> Option<String> {
    let mut written: Vec<String> = Vec::with_capacity(messages.len() + 1);
    if !instructions.is_empty() {
        let system = Message::of("system", instructions.to_vec());
        written.extend(chat_message(&system).iter().map(Value::to_string));
    }
    for message in messages {
        written.extend(chat_message(message).iter().map(Value::to_string));
    }
    if written.is_empty() {
        return None;
    }
    let (before, after) = match shape {
        Shape::List => (String::new(), String::new()),
        Shape::Object => {
            let tools: Vec<String> = tools
                .iter()
                .map(|tool| super::chat_definition(tool).to_string())
                .collect();
            // Tools may use half of the limit.
            let tools = Limited::latest(&tools, limit / 2);
            let after = match tools.json.as_str() {
                "[]" => "}".to_owned(),
                json => format!(",\"tools\":{json}}}"),
            };
            ("{\"messages\":".to_owned(), after)
        }
    };
    let room = limit.checked_sub(before.len() + after.len())?;
    let list = Limited::latest(&written, room);
    (list.left_out < written.len()).then(|| format!("{before}{}{after}", list.json))
}

/// One message; each tool's response becomes a message of its own.
fn chat_message(message: &Message) -> Vec<Value> {
    let mut content: Vec<Value> = Vec::new();
    let mut reasoning: Vec<&str> = Vec::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut answers: Vec<Value> = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) => content.push(json!({"type": "text", "text": text})),
            Part::Reasoning(text) => reasoning.push(text),
            Part::ToolCall {
                id,
                name,
                arguments,
            } => calls.push(json!({
                "id": id,
                "type": "function",
                "function": {"name": name, "arguments": arguments.as_ref().map_or_else(String::new, as_text)},
            })),
            Part::ToolResponse { id, response } => answers.push(json!({
                "role": "tool",
                "tool_call_id": id,
                "content": as_text(response),
            })),
            Part::Other(fields) => content.push(chat_part(fields)),
        }
    }
    let mut fields = Map::new();
    if let Some(name) = &message.name {
        fields.insert("name".into(), name.as_str().into());
    }
    if !reasoning.is_empty() {
        fields.insert("reasoning_content".into(), reasoning.join("\n").into());
    }
    if !calls.is_empty() {
        fields.insert("tool_calls".into(), calls.into());
    }
    let is_needed = !content.is_empty() || !fields.is_empty() || answers.is_empty();
    fields.insert("role".into(), message.role.as_str().into());
    fields.insert("content".into(), only_text(content));
    let own = is_needed.then_some(Value::Object(fields));
    answers.into_iter().chain(own).collect()
}

/// A plain string if all parts are text, else the list of parts.
fn only_text(content: Vec<Value>) -> Value {
    let texts: Option<Vec<&str>> = content
        .iter()
        .map(|part| match part["type"].as_str() {
            Some("text") => part["text"].as_str(),
            _ => None,
        })
        .collect();
    match texts {
        Some(texts) => texts.join("\n").into(),
        None => content.into(),
    }
}

fn chat_part(fields: &Map<String, Value>) -> Value {
    let of = |key| fields.get(key).and_then(Value::as_str);
    let url = match (of("type"), of("modality")) {
        (Some("uri"), Some("image")) => of("uri").map(str::to_owned),
        (Some("blob"), Some("image")) => of("content").map(|content| {
            let mime_type = of("mime_type").unwrap_or("application/octet-stream");
            format!("data:{mime_type};base64,{content}")
        }),
        _ => None,
    };
    match url {
        Some(url) => json!({"type": "image_url", "image_url": {"url": url}}),
        None => Value::Object(fields.clone()),
    }
}

/// A string's content, or any other value as JSON.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
