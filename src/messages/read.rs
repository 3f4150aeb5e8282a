//! Reads what a service recorded as its request or answer: message lists of OpenAI (both APIs), Anthropic and Gemini,
//! their whole requests and responses, the conventions' own form, or plain text.

use serde_json::{Map, Value};

use super::elements::whole_elements;
use super::part::{NOTE_KEY, call, into_object, is_part, part, parts, response, take_text};
use super::{Message, Part, tools};

/// A request to a language model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) instructions: Vec<Part>,
    pub(crate) messages: Vec<Message>,
    /// Tool definitions, if the text is a whole request that includes them.
    pub(crate) tools: Vec<Value>,
    /// How many messages are known to have been cut off before.
    pub(crate) missing: usize,
}

/// Reads a request. Text of unknown form becomes one message of the user.
pub(crate) fn input(text: &str) -> Request {
    const ROLE: &str = "user";
    let (value, is_cut) = match parse(text) {
        Some(parsed) => parsed,
        None => return Request::of(vec![Message::text(ROLE, text)]),
    };
    let mut request = match value {
        Value::Array(list) => match message_list(list, ROLE) {
            Some((messages, missing)) => Request {
                messages,
                missing,
                ..Request::default()
            },
            None => Request::of(vec![Message::text(ROLE, text)]),
        },
        Value::Object(object) => {
            whole_request(object).unwrap_or_else(|| Request::of(vec![Message::text(ROLE, text)]))
        }
        _ => Request::of(vec![Message::text(ROLE, text)]),
    };
    request.missing += usize::from(is_cut);
    request
}

/// Reads an answer. Text of unknown form becomes one message of the assistant.
pub(crate) fn output(text: &str) -> Vec<Message> {
    const ROLE: &str = "assistant";
    let as_text = || vec![Message::text(ROLE, text)];
    match parse(text) {
        Some((Value::Array(list), _)) => answer_list(list).unwrap_or_else(as_text),
        Some((Value::Object(object), _)) => whole_response(object).unwrap_or_else(as_text),
        _ => as_text(),
    }
}

/// Reads system instructions: plain text or a list of parts.
pub(crate) fn instructions(text: &str) -> Vec<Part> {
    match parse(text) {
        Some((Value::Array(list), _))
            if list.iter().all(|item| match item {
                Value::Object(object) => object.contains_key("type") || is_part(object),
                Value::String(_) => true,
                _ => false,
            }) =>
        {
            parts(Value::Array(list))
        }
        Some((Value::Object(object), _))
            if object.get("parts").is_some_and(Value::is_array) || is_part(&object) =>
        {
            parts(Value::Object(object))
        }
        _ => vec![Part::Text(text.to_owned())],
    }
}

impl Request {
    fn of(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }
}

/// Parses a JSON list or object. Of a list that was cut off, returns the complete elements and `true`.
fn parse(text: &str) -> Option<(Value, bool)> {
    let json = text.trim();
    if !json.starts_with(['[', '{']) {
        return None;
    }
    match serde_json::from_str(json) {
        Ok(value) => Some((value, false)),
        Err(error) if error.is_eof() || ends_in_note(json) => {
            let elements = whole_elements(json.strip_prefix('[')?);
            let is_list = !elements.is_empty()
                && elements.iter().all(|element| {
                    element
                        .as_object()
                        .is_some_and(|object| is_message(object) || is_part(object))
                });
            is_list.then_some((Value::Array(elements), true))
        }
        Err(_) => None,
    }
}

/// Whether a text ends in the note that the content policy appends to a cut value.
fn ends_in_note(text: &str) -> bool {
    text.ends_with(" bytes cut]")
}

fn is_note(text: &str) -> bool {
    text.starts_with("… [") && ends_in_note(text)
}

/// Reads a list of messages; also returns the number of notes about cut messages. `None` if it is another kind of list.
fn message_list(list: Vec<Value>, role: &str) -> Option<(Vec<Message>, usize)> {
    let is_one = |value: &Value| match value {
        Value::Object(object) => is_message(object),
        Value::String(_) => true,
        _ => false,
    };
    if list.is_empty() || !list.iter().all(is_one) {
        return None;
    }
    let mut missing = 0;
    let mut messages = Vec::with_capacity(list.len());
    for value in list {
        match value {
            Value::String(text) if is_note(&text) => missing += 1,
            Value::String(text) => messages.push(Message::text(role, text)),
            // OpenAI's reasoning is often encrypted, and then without a text.
            Value::Object(object) if is_empty_reasoning(&object) => {}
            Value::Object(object) => {
                let is_conventional = object.contains_key("parts") && !is_gemini(&object);
                let message = message(object, role);
                if is_conventional {
                    messages.push(message);
                } else {
                    messages.extend(apart(message));
                }
            }
            _ => {}
        }
    }
    (!messages.is_empty() || missing > 0).then_some((messages, missing))
}

fn is_empty_reasoning(object: &Map<String, Value>) -> bool {
    let is_empty = |key| {
        object
            .get(key)
            .is_none_or(|list| list.as_array().is_none_or(Vec::is_empty))
    };
    object.get("type").and_then(Value::as_str) == Some("reasoning")
        && object.contains_key("summary")
        && is_empty("summary")
        && is_empty("content")
}

/// Whether a message has Gemini's parts, which have no `type`.
fn is_gemini(object: &Map<String, Value>) -> bool {
    object
        .get("parts")
        .and_then(Value::as_array)
        .is_some_and(|parts| parts.iter().any(|part| part.get("type").is_none()))
}

/// Splits the responses of several tools in one message into one message each, because backends show one response per
/// message. Anything else in it follows.
fn apart(message: Message) -> Vec<Message> {
    let answers_a_call = |part: &Part| matches!(part, Part::ToolResponse { .. });
    if message.parts.len() < 2 || !message.parts.iter().any(answers_a_call) {
        return vec![message];
    }
    let (answers, rest): (Vec<_>, Vec<_>) = message.parts.into_iter().partition(answers_a_call);
    let mut messages: Vec<Message> = answers
        .into_iter()
        .map(|answer| Message::of("tool", vec![answer]))
        .collect();
    if !rest.is_empty() {
        messages.push(Message {
            parts: rest,
            ..message
        });
    }
    messages
}

/// Whether an object is a message, or an item of OpenAI's Responses API that is equivalent to one.
fn is_message(object: &Map<String, Value>) -> bool {
    const BODIES: [&str; 6] = [
        "content",
        "parts",
        "tool_calls",
        "function_call",
        "audio",
        NOTE_KEY,
    ];
    let has_role = object.get("role").is_some_and(Value::is_string);
    let has = |key| object.contains_key(key);
    match object.get("type").and_then(Value::as_str) {
        Some("function_call") => has("name") && has("arguments"),
        Some("function_call_output") => has("call_id"),
        Some("reasoning") => has("summary"),
        _ => has_role && BODIES.iter().any(|key| has(*key)),
    }
}

/// Reads one message; `role` is the default for a message without one.
fn message(mut object: Map<String, Value>, role: &str) -> Message {
    match object.get("type").and_then(Value::as_str) {
        Some("function_call") => {
            let call = call(&mut object);
            return Message::of("assistant", call.into_iter().collect());
        }
        Some("function_call_output") => {
            let part = Part::ToolResponse {
                id: take_text(&mut object, &["call_id"]),
                response: response(object.remove("output").unwrap_or_default()),
            };
            return Message::of("tool", vec![part]);
        }
        Some("reasoning") => return Message::of("assistant", part(object)),
        _ => {}
    }
    let given = take_text(&mut object, &["role"]);
    let given = given.as_deref().unwrap_or(role);
    let name = take_text(&mut object, &["name"]);
    let finish_reason = take_text(
        &mut object,
        &["finish_reason", "stop_reason", "finishReason"],
    );
    let mut read = Vec::new();
    if let Some(thoughts) = take_text(&mut object, &["reasoning_content", "reasoning"]) {
        read.push(Part::Reasoning(thoughts));
    }
    let body = object.remove("parts").or_else(|| object.remove("content"));
    if given == "tool" && object.contains_key("tool_call_id") {
        read.push(Part::ToolResponse {
            id: take_text(&mut object, &["tool_call_id"]),
            response: response(body.unwrap_or_default()),
        });
    } else {
        read.extend(parts(body.unwrap_or_default()));
    }
    let calls = match object.remove("tool_calls") {
        Some(Value::Array(calls)) => calls,
        _ => object.remove("function_call").into_iter().collect(),
    };
    let has_calls = !calls.is_empty();
    read.extend(
        calls
            .into_iter()
            .filter_map(into_object)
            .filter_map(|mut object| call(&mut object)),
    );
    if let Some(Value::Object(mut audio)) = object.remove("audio") {
        read.extend(take_text(&mut audio, &["transcript"]).map(Part::Text));
    }
    read.extend(take_text(&mut object, &["refusal"]).map(Part::Text));
    read.extend(take_text(&mut object, &[NOTE_KEY]).map(Part::Text));
    // OpenAI sends an empty text beside tool calls.
    if has_calls {
        read.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    }
    let role = role_of(given, &read);
    Message {
        role,
        name,
        finish_reason,
        parts: read,
    }
}

/// Maps a provider's role to the conventions'.
fn role_of(role: &str, parts: &[Part]) -> String {
    let answers_a_call = |part: &Part| matches!(part, Part::ToolResponse { .. });
    let role = match role {
        "model" | "ai" => "assistant",
        "developer" => "system",
        "human" => "user",
        "function" => "tool",
        // Anthropic and Gemini put tool responses in user messages.
        "user" if !parts.is_empty() && parts.iter().all(answers_a_call) => "tool",
        other => other,
    };
    role.to_owned()
}

/// Reads a whole request body, or a single message.
fn whole_request(mut object: Map<String, Value>) -> Option<Request> {
    if is_message(&object) {
        return Some(Request::of(vec![message(object, "user")]));
    }
    let list = ["messages", "contents", "input"]
        .iter()
        .find_map(|key| object.remove(*key))?;
    let (messages, missing) = match list {
        Value::Array(list) => message_list(list, "user")?,
        Value::String(text) if object.contains_key("model") => {
            (vec![Message::text("user", text)], 0)
        }
        _ => return None,
    };
    let instructions = [
        "system",
        "systemInstruction",
        "system_instruction",
        "instructions",
    ]
    .iter()
    .find_map(|key| object.remove(*key));
    let tools = object.remove("tools").map(tools::of_value);
    Some(Request {
        instructions: instructions.map(parts).unwrap_or_default(),
        messages,
        tools: tools.flatten().unwrap_or_default(),
        missing,
    })
}

/// Reads a list as an answer: messages, parts of one message, or tool calls.
fn answer_list(list: Vec<Value>) -> Option<Vec<Message>> {
    if list.is_empty() {
        return None;
    }
    let all = |is_one: fn(&Map<String, Value>) -> bool| {
        list.iter().all(|item| item.as_object().is_some_and(is_one))
    };
    if all(is_part) {
        return Some(vec![Message::of("assistant", parts(Value::Array(list)))]);
    }
    if !all(is_message) {
        return None;
    }
    let is_of_items = all(|object| object.contains_key("type"));
    let (messages, _) = message_list(list, "assistant")?;
    if messages.is_empty() {
        return None;
    }
    Some(if is_of_items {
        merged(messages)
    } else {
        messages
    })
}

/// Joins consecutive items of the same role, as in an answer of OpenAI's Responses API.
fn merged(messages: Vec<Message>) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for message in messages {
        match merged.last_mut() {
            Some(last) if last.role == message.role => last.parts.extend(message.parts),
            _ => merged.push(message),
        }
    }
    merged
}

/// Reads a whole response body, a single message, or a single part.
fn whole_response(mut object: Map<String, Value>) -> Option<Vec<Message>> {
    if is_message(&object) {
        return Some(vec![message(object, "assistant")]);
    }
    if let Some(Value::Array(choices)) = object.get_mut("choices") {
        return choices_of(std::mem::take(choices), "message");
    }
    if let Some(Value::Array(candidates)) = object.get_mut("candidates") {
        return choices_of(std::mem::take(candidates), "content");
    }
    if let Some(Value::Array(items)) = object.get_mut("output") {
        return answer_list(std::mem::take(items));
    }
    // A message without a role, as aggregated from a stream.
    let calls = object.get("tool_calls").is_some_and(Value::is_array);
    let ended = ["stop_reason", "finish_reason"]
        .iter()
        .any(|key| object.contains_key(*key));
    if calls || ended && object.contains_key("content") {
        return Some(vec![message(object, "assistant")]);
    }
    // Ollama's response.
    if let Some(Value::Object(inner)) = object.get_mut("message") {
        let inner = std::mem::take(inner);
        return is_message(&inner).then(|| vec![message(inner, "assistant")]);
    }
    is_part(&object).then(|| vec![Message::of("assistant", part(object))])
}

/// Reads OpenAI's choices or Gemini's candidates, each as one answer.
fn choices_of(choices: Vec<Value>, key: &str) -> Option<Vec<Message>> {
    let answers: Option<Vec<Message>> = choices
        .into_iter()
        .map(|choice| {
            let mut choice = into_object(choice)?;
            let mut answer = match choice.remove(key) {
                Some(Value::Object(inner)) => message(inner, "assistant"),
                _ => Message::text("assistant", take_text(&mut choice, &["text"])?),
            };
            let reason = take_text(&mut choice, &["finish_reason", "finishReason"]);
            answer.finish_reason = reason.or(answer.finish_reason);
            Some(answer)
        })
        .collect();
    answers.filter(|answers| !answers.is_empty())
}
