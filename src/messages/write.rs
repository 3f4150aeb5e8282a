//! The conventions' form, as JSON. Identifying fields come first, long ones last.

use serde_json::Value;

use super::{Message, Part};

/// One message of `gen_ai.input.messages` or `gen_ai.output.messages`.
pub(super) fn message(message: &Message) -> String {
    let parts: Vec<String> = message.parts.iter().map(part).collect();
    let mut json = frame(message);
    json.push_str(&parts.join(","));
    json.push_str("]}");
    json
}

/// A message up to and including the bracket that opens its parts.
pub(super) fn frame(message: &Message) -> String {
    let mut object = Object::default();
    object.text("role", &message.role);
    object.text_if("name", message.name.as_deref());
    object.text_if("finish_reason", message.finish_reason.as_deref());
    object.key("parts");
    object.json.push('[');
    object.json
}

/// One part of a message, or of `gen_ai.system_instructions`.
pub(super) fn part(part: &Part) -> String {
    let mut object = Object::default();
    match part {
        Part::Text(text) => {
            object.text("type", "text");
            object.text("content", text);
        }
        Part::Reasoning(text) => {
            object.text("type", "reasoning");
            object.text("content", text);
        }
        Part::ToolCall {
            id,
            name,
            arguments,
        } => {
            object.text("type", "tool_call");
            object.text_if("id", id.as_deref());
            object.text("name", name);
            if let Some(arguments) = arguments {
                object.value("arguments", arguments);
            }
        }
        Part::ToolResponse { id, response } => {
            object.text("type", "tool_call_response");
            object.text_if("id", id.as_deref());
            object.value("response", response);
        }
        Part::Other(fields) => {
            let (kind, rest): (Vec<_>, Vec<_>) = fields.iter().partition(|(key, _)| *key == "type");
            for (key, value) in kind.into_iter().chain(rest) {
                object.value(key, value);
            }
        }
    }
    object.end()
}

/// A tool definition.
pub(super) fn definition(definition: &Value) -> String {
    let mut object = Object::default();
    let Some(fields) = definition.as_object() else {
        return definition.to_string();
    };
    const FIRST: [&str; 3] = ["type", "name", "description"];
    for key in FIRST {
        if let Some(value) = fields.get(key) {
            object.value(key, value);
        }
    }
    for (key, value) in fields {
        if !FIRST.contains(&key.as_str()) {
            object.value(key, value);
        }
    }
    object.end()
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A JSON object under construction.
#[derive(Default)]
struct Object {
    json: String,
}

impl Object {
    fn key(&mut self, key: &str) {
        self.json.push(if self.json.is_empty() { '{' } else { ',' });
        self.json.push_str(&quoted(key));
        self.json.push(':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.json.push_str(&quoted(text));
    }

    fn text_if(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn value(&mut self, key: &str, value: &Value) {
        self.key(key);
        self.json.push_str(&value.to_string());
    }

    fn end(mut self) -> String {
        if self.json.is_empty() {
            self.json.push('{');
        }
        self.json.push('}');
        self.json
    }
}
