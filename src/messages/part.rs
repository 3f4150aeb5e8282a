//! Reads parts of messages by their `type`, or by their keys if they have none.

use serde_json::{Map, Value, json};

use super::Part;

/// The key under which the content policy notes, in an object, how many bytes it cut.
pub(super) const NOTE_KEY: &str = "…";

/// Reads a `content` or `parts` field: a string, a list, or a single part.
pub(super) fn parts(value: Value) -> Vec<Part> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::Text(text)],
        Value::Array(list) => list.into_iter().flat_map(parts_of_element).collect(),
        Value::Object(mut object) => match object.remove("parts") {
            Some(inner @ Value::Array(_)) => parts(inner),
            Some(inner) => {
                object.insert("parts".into(), inner);
                part(object)
            }
            None => part(object),
        },
        other => vec![Part::Text(other.to_string())],
    }
}

fn parts_of_element(value: Value) -> Vec<Part> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::Text(text)],
        Value::Object(object) => part(object),
        other => vec![Part::Text(other.to_string())],
    }
}

/// Whether an object is recognisable as a part outside a message.
pub(super) fn is_part(object: &Map<String, Value>) -> bool {
    match object.get("type").and_then(Value::as_str) {
        Some("text" | "input_text" | "output_text") => has_text(object),
        Some("tool_call" | "tool_use") => object.contains_key("name"),
        Some("function") => object.get("function").is_some_and(Value::is_object),
        Some("thinking" | "reasoning") => {
            object.contains_key("thinking") || object.get("content").is_some_and(Value::is_string)
        }
        Some(_) => false,
        None => {
            GEMINI_CALLS.iter().any(|key| object.contains_key(*key))
                || object.len() == 1 && object.get("text").is_some_and(Value::is_string)
        }
    }
}

const GEMINI_CALLS: [&str; 2] = ["functionCall", "function_call"];
const GEMINI_RESPONSES: [&str; 2] = ["functionResponse", "function_response"];
const GEMINI_DATA: [&str; 2] = ["inlineData", "inline_data"];
const GEMINI_FILES: [&str; 2] = ["fileData", "file_data"];

fn has_text(object: &Map<String, Value>) -> bool {
    ["text", "content"]
        .iter()
        .any(|key| object.get(*key).is_some_and(Value::is_string))
}

/// Reads one part. A list of reasoning summaries gives several.
pub(super) fn part(mut object: Map<String, Value>) -> Vec<Part> {
    let kind = object
        .get("type")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let read = match kind.as_deref() {
        Some("text" | "input_text" | "output_text" | "summary_text") => text(&mut object),
        Some("refusal") => take_text(&mut object, &["refusal"]).map(Part::Text),
        Some("thinking") => take_text(&mut object, &["thinking"]).map(Part::Reasoning),
        Some("reasoning") => return reasoning(object),
        Some("tool_call") => conventional_call(&mut object),
        Some("tool_call_response") => conventional_response(&mut object),
        Some("tool_use") => take_text(&mut object, &["name"]).map(|name| Part::ToolCall {
            id: take_text(&mut object, &["id"]),
            name,
            arguments: object.remove("input"),
        }),
        Some("tool_result") => Some(Part::ToolResponse {
            id: take_text(&mut object, &["tool_use_id"]),
            response: response(object.remove("content").unwrap_or_default()),
        }),
        Some("function") => call(&mut object),
        Some("image_url" | "input_image") => image_url(&mut object),
        Some("image" | "document") => source(&mut object),
        Some("input_audio") => audio(&mut object),
        Some(_) => None,
        None => return untyped(object),
    };
    vec![read.unwrap_or(Part::Other(object))]
}

/// A text part without further fields.
fn text(object: &mut Map<String, Value>) -> Option<Part> {
    // A part in the conventions' form with further fields keeps them.
    if object.contains_key("content") && object.len() > 2 {
        return None;
    }
    take_text(object, &["text", "content"]).map(Part::Text)
}

/// OpenAI's lists of summaries and texts, or the conventions' single text.
fn reasoning(mut object: Map<String, Value>) -> Vec<Part> {
    if object.contains_key("summary") {
        let texts = ["summary", "content"]
            .iter()
            .filter_map(|key| object.remove(*key))
            .filter_map(|list| match list {
                Value::Array(list) => Some(list),
                _ => None,
            });
        return texts
            .flatten()
            .filter_map(into_object)
            .filter_map(|mut item| take_text(&mut item, &["text"]).map(Part::Reasoning))
            .collect();
    }
    match object.get("content") {
        Some(Value::String(_)) if object.len() == 2 => {
            let content = take_text(&mut object, &["content"]).unwrap_or_default();
            vec![Part::Reasoning(content)]
        }
        _ => vec![Part::Other(object)],
    }
}

fn conventional_call(object: &mut Map<String, Value>) -> Option<Part> {
    const KNOWN: [&str; 4] = ["type", "id", "name", "arguments"];
    if object.keys().any(|key| !KNOWN.contains(&key.as_str())) {
        return None;
    }
    take_text(object, &["name"]).map(|name| Part::ToolCall {
        id: take_text(object, &["id"]),
        name,
        arguments: object.remove("arguments"),
    })
}

fn conventional_response(object: &mut Map<String, Value>) -> Option<Part> {
    const KNOWN: [&str; 4] = ["type", "id", "response", "result"];
    if object.keys().any(|key| !KNOWN.contains(&key.as_str())) {
        return None;
    }
    // The conventions' examples use `result`, their schema `response`.
    let response = object.remove("response");
    let response = response.or_else(|| object.remove("result"))?;
    Some(Part::ToolResponse {
        id: take_text(object, &["id"]),
        response,
    })
}

/// OpenAI's tool call, whose arguments are JSON in a string.
pub(super) fn call(object: &mut Map<String, Value>) -> Option<Part> {
    let id = take_text(object, &["id", "call_id"]);
    let mut function = match object.remove("function") {
        Some(Value::Object(function)) => function,
        _ => std::mem::take(object),
    };
    Some(Part::ToolCall {
        id,
        name: take_text(&mut function, &["name"])?,
        arguments: function.remove("arguments").map(arguments),
    })
}

/// Parses arguments that are an object or a list in a string.
pub(super) fn arguments(value: Value) -> Value {
    match value {
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(parsed @ (Value::Object(_) | Value::Array(_))) => parsed,
            _ => Value::String(text),
        },
        other => other,
    }
}

/// A tool's response; a list of nothing but texts becomes one string.
pub(super) fn response(value: Value) -> Value {
    let Value::Array(list) = &value else {
        return value;
    };
    let texts: Option<Vec<&str>> = list
        .iter()
        .map(|item| match item {
            Value::String(text) => Some(text.as_str()),
            Value::Object(object) if object.len() <= 2 => {
                object.get("text").and_then(Value::as_str)
            }
            _ => None,
        })
        .collect();
    match texts {
        Some(texts) if !texts.is_empty() => Value::String(texts.join("\n")),
        _ => value,
    }
}

fn image_url(object: &mut Map<String, Value>) -> Option<Part> {
    let url = match object.get("image_url")? {
        Value::String(url) => url.clone(),
        Value::Object(image) => image.get("url")?.as_str()?.to_owned(),
        _ => return None,
    };
    Some(by_address(&url, "image"))
}

/// Anthropic's image or document: inline data, a URL, or a file id.
fn source(object: &mut Map<String, Value>) -> Option<Part> {
    let kind = object.get("type")?.as_str()?.to_owned();
    let source = object.get("source")?.as_object()?;
    let of = |key| source.get(key).and_then(Value::as_str);
    Some(match of("type")? {
        "base64" => blob(&kind, of("media_type"), of("data")?),
        "url" => by_address(of("url")?, &kind),
        "file" => other(json!({"type": "file", "modality": kind, "file_id": of("file_id")?})),
        "text" => Part::Text(of("data")?.to_owned()),
        _ => return None,
    })
}

fn audio(object: &mut Map<String, Value>) -> Option<Part> {
    let audio = object.get("input_audio")?.as_object()?;
    let of = |key| audio.get(key).and_then(Value::as_str);
    let mime_type = of("format").map(|format| format!("audio/{format}"));
    Some(blob("audio", mime_type.as_deref(), of("data")?))
}

/// Gemini's parts have no type; they are recognised by their key.
fn untyped(mut object: Map<String, Value>) -> Vec<Part> {
    let is_thought = object.get("thought").and_then(Value::as_bool) == Some(true);
    if let Some(text) = take_text(&mut object, &["text"]) {
        return vec![if is_thought {
            Part::Reasoning(text)
        } else {
            Part::Text(text)
        }];
    }
    if let Some(mut call) = take_object(&mut object, &GEMINI_CALLS)
        && let Some(name) = take_text(&mut call, &["name"])
    {
        return vec![Part::ToolCall {
            id: take_text(&mut call, &["id"]),
            name,
            arguments: call.remove("args").or_else(|| call.remove("arguments")),
        }];
    }
    if let Some(mut answer) = take_object(&mut object, &GEMINI_RESPONSES) {
        // Without ids, Gemini matches responses to calls by the function's name.
        return vec![Part::ToolResponse {
            id: take_text(&mut answer, &["id", "name"]),
            response: answer.remove("response").unwrap_or_default(),
        }];
    }
    if let Some(data) = take_object(&mut object, &GEMINI_DATA) {
        let mime_type = mime_type(&data);
        if let Some(content) = data.get("data").and_then(Value::as_str) {
            return vec![blob(modality(mime_type), mime_type, content)];
        }
    }
    if let Some(file) = take_object(&mut object, &GEMINI_FILES) {
        let mime_type = mime_type(&file);
        let address = ["fileUri", "file_uri"]
            .iter()
            .find_map(|key| file.get(*key).and_then(Value::as_str));
        if let Some(address) = address {
            return vec![uri(modality(mime_type), mime_type, address)];
        }
    }
    if let Some(note) = take_text(&mut object, &[NOTE_KEY]) {
        return vec![Part::Text(note)];
    }
    object.insert("type".into(), "unknown".into());
    vec![Part::Other(object)]
}

fn mime_type(data: &Map<String, Value>) -> Option<&str> {
    ["mimeType", "mime_type"]
        .iter()
        .find_map(|key| data.get(*key).and_then(Value::as_str))
}

fn modality(mime_type: Option<&str>) -> &'static str {
    match mime_type.and_then(|kind| kind.split('/').next()) {
        Some("image") => "image",
        Some("audio") => "audio",
        Some("video") => "video",
        _ => "document",
    }
}

/// A blob for a data URL, a reference for any other.
fn by_address(url: &str, modality: &str) -> Part {
    let data = url
        .strip_prefix("data:")
        .and_then(|data| data.split_once(','));
    match data {
        Some((kind, content)) => blob(modality, kind.split(';').next(), content),
        None => uri(modality, None, url),
    }
}

fn blob(modality: &str, mime_type: Option<&str>, content: &str) -> Part {
    let mut part = json!({"type": "blob", "modality": modality, "content": content});
    if let Some(mime_type) = mime_type.filter(|kind| !kind.is_empty()) {
        part["mime_type"] = mime_type.into();
    }
    other(part)
}

fn uri(modality: &str, mime_type: Option<&str>, uri: &str) -> Part {
    let mut part = json!({"type": "uri", "modality": modality, "uri": uri});
    if let Some(mime_type) = mime_type {
        part["mime_type"] = mime_type.into();
    }
    other(part)
}

fn other(value: Value) -> Part {
    Part::Other(into_object(value).unwrap_or_default())
}

pub(super) fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Removes and returns the first of the fields that is a string.
pub(super) fn take_text(object: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match object.get_mut(*key) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            object.remove(*key);
            Some(text)
        }
        _ => None,
    })
}

fn take_object(object: &mut Map<String, Value>, keys: &[&str]) -> Option<Map<String, Value>> {
    keys.iter().find_map(|key| match object.get_mut(*key) {
        Some(Value::Object(inner)) => {
            let inner = std::mem::take(inner);
            object.remove(*key);
            Some(inner)
        }
        _ => None,
    })
}
