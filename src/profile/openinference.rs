//! OpenInference: span kind, session, input and output values; for models also messages, tools, parameters, token counts.

use opentelemetry::{Array, StringValue, Value as Attribute};
use serde_json::{Map, Value};

use super::facts::{Added, Facts};
use super::kind::Kind;
use super::lists::STOP_SEQUENCES;
use crate::messages::{Message, Part, chat_definition};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    let kind = match facts.kind {
        Kind::Llm | Kind::Realtime => Some("LLM"),
        Kind::Tool => Some("TOOL"),
        Kind::Agent | Kind::Conversation => Some("AGENT"),
        // OpenInference has no kind for speech; as LLM, these spans would be counted and priced as model calls.
        Kind::Stt | Kind::Tts | Kind::Turn => Some("CHAIN"),
        Kind::Other => None,
    };
    add.put("openinference.span.kind", kind);
    add.put("session.id", facts.session());
    add.put("user.id", facts.user());
    add.put("tag.tags", facts.tag_list());
    put_text(add, "input.value", "input.mime_type", facts.input());
    put_text(add, "output.value", "output.mime_type", facts.output());
    if facts.kind.has_messages() {
        put_messages(facts, add);
    }
    match facts.kind {
        Kind::Llm | Kind::Realtime => put_model(facts, add),
        Kind::Tool => {
            add.put("tool.name", facts.text(names::GEN_AI_TOOL_NAME));
            add.put("tool.description", facts.text("gen_ai.tool.description"));
            add.put("tool.id", facts.text("gen_ai.tool.call.id"));
            add.put("tool.parameters", facts.input());
        }
        Kind::Agent => add.put("agent.name", facts.text("gen_ai.agent.name")),
        _ => {}
    }
    add.put("llm.cost.total", facts.cost());
}

fn put_model(facts: &Facts<'_>, add: &mut Added) {
    let model = facts.text(names::GEN_AI_RESPONSE_MODEL);
    let model = model.or_else(|| facts.text(names::GEN_AI_REQUEST_MODEL));
    add.put("llm.model_name", model);
    if let Some(provider) = facts.text(names::GEN_AI_PROVIDER_NAME) {
        let (host, system) = provider_and_system(provider.as_str());
        add.put("llm.provider", Some(host.to_owned()));
        add.put("llm.system", system);
    }
    add.put("llm.invocation_parameters", invocation_parameters(facts));
    let reason = facts.words.output.first();
    let reason = reason.and_then(|answer| answer.finish_reason.clone());
    add.put("llm.finish_reason", reason);
    let prompt = facts.integer(names::GEN_AI_USAGE_INPUT_TOKENS);
    let completion = facts.integer(names::GEN_AI_USAGE_OUTPUT_TOKENS);
    add.put("llm.token_count.prompt", prompt);
    add.put("llm.token_count.completion", completion);
    add.put(
        "llm.token_count.total",
        prompt
            .zip(completion)
            .map(|(prompt, completion)| prompt.saturating_add(completion)),
    );
    for (key, name) in [
        (
            "llm.token_count.prompt_details.cache_read",
            names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        ),
        (
            "llm.token_count.prompt_details.cache_write",
            names::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
        ),
        (
            "llm.token_count.prompt_details.audio",
            names::GEN_AI_USAGE_AUDIO_INPUT_TOKENS,
        ),
        (
            "llm.token_count.completion_details.reasoning",
            names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
        ),
        (
            "llm.token_count.completion_details.audio",
            names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,
        ),
    ] {
        add.put(key, facts.integer(name));
    }
}

/// OpenInference's values of `llm.provider` and `llm.system` for a provider's name in the conventions.
fn provider_and_system(provider: &str) -> (&str, Option<&'static str>) {
    match provider {
        "openai" => ("openai", Some("openai")),
        "anthropic" => ("anthropic", Some("anthropic")),
        "cohere" => ("cohere", Some("cohere")),
        "mistral_ai" => ("mistralai", Some("mistralai")),
        "azure.ai.openai" => ("azure", Some("openai")),
        "azure.ai.inference" => ("azure", None),
        "aws.bedrock" => ("aws", None),
        "gcp.vertex_ai" => ("google", Some("vertexai")),
        "gcp.gemini" | "gcp.gen_ai" => ("google", None),
        "x_ai" => ("xai", None),
        other => (other, None),
    }
}

/// Request parameters under OpenAI's names, as JSON.
fn invocation_parameters(facts: &Facts<'_>) -> Option<String> {
    const NAMES: [(&str, &str); 9] = [
        ("gen_ai.request.temperature", "temperature"),
        ("gen_ai.request.top_p", "top_p"),
        ("gen_ai.request.top_k", "top_k"),
        ("gen_ai.request.max_tokens", "max_tokens"),
        ("gen_ai.request.frequency_penalty", "frequency_penalty"),
        ("gen_ai.request.presence_penalty", "presence_penalty"),
        ("gen_ai.request.seed", "seed"),
        ("gen_ai.request.stream", "stream"),
        ("gen_ai.request.choice.count", "n"),
    ];
    let mut parameters: Map<String, Value> = NAMES
        .iter()
        .filter_map(|(name, key)| {
            let value = match facts.value(name)? {
                Attribute::Bool(flag) => Value::from(*flag),
                Attribute::I64(number) => Value::from(*number),
                Attribute::F64(number) => Value::from(*number),
                Attribute::String(text) => Value::from(text.as_str()),
                _ => return None,
            };
            Some(((*key).to_owned(), value))
        })
        .collect();
    if let Some(Attribute::Array(Array::String(stop))) = facts.value(STOP_SEQUENCES) {
        let stop: Vec<&str> = stop.iter().map(StringValue::as_str).collect();
        parameters.insert("stop".into(), stop.into());
    }
    (!parameters.is_empty()).then(|| Value::Object(parameters).to_string())
}

/// Instructions come first. Phoenix converts the conventions' attributes itself in the same order and keeps keys that are
/// already present, so the message indices have to agree.
fn put_messages(facts: &Facts<'_>, add: &mut Added) {
    let words = facts.words;
    let system = (!words.instructions.is_empty()).then(|| Message {
        role: "system".into(),
        name: None,
        finish_reason: None,
        parts: words.instructions.clone(),
    });
    for (index, message) in system.iter().chain(&words.input).enumerate() {
        put_message(&format!("llm.input_messages.{index}"), message, add);
    }
    for (index, message) in words.output.iter().enumerate() {
        put_message(&format!("llm.output_messages.{index}"), message, add);
    }
    for (index, tool) in words.tools.iter().enumerate() {
        add.put_at(
            format!("llm.tools.{index}.tool.json_schema"),
            Some(chat_definition(tool).to_string()),
        );
    }
}

fn put_message(at: &str, message: &Message, add: &mut Added) {
    let mut put =
        |key: &str, value: Option<String>| add.put_at(format!("{at}.message.{key}"), value);
    put("role", Some(message.role.clone()));
    put("name", message.name.clone());
    put("finish_reason", message.finish_reason.clone());
    // A message with a tool's response has no other content.
    for part in message.parts.iter().rev() {
        if let Part::ToolResponse { id, response } = part {
            put("tool_call_id", id.clone());
            put("content", Some(as_text(response)));
            return;
        }
    }
    let mut contents: Vec<(&str, &str, String)> = Vec::new();
    let mut calls = 0;
    for part in &message.parts {
        match part {
            Part::Text(text) => contents.push(("text", "text", text.clone())),
            Part::Reasoning(text) => contents.push(("reasoning", "text", text.clone())),
            Part::ToolCall {
                id,
                name,
                arguments,
            } => {
                let at = format!("tool_calls.{calls}.tool_call");
                put(&format!("{at}.id"), id.clone());
                put(&format!("{at}.function.name"), Some(name.clone()));
                put(
                    &format!("{at}.function.arguments"),
                    arguments.as_ref().map(as_text),
                );
                calls += 1;
            }
            Part::Other(fields) => {
                contents.extend(image(fields).map(|url| ("image", "image.image.url", url)));
            }
            Part::ToolResponse { .. } => {}
        }
    }
    if let [("text", _, text)] = contents.as_slice() {
        put("content", Some(text.clone()));
        return;
    }
    for (index, (kind, field, content)) in contents.into_iter().enumerate() {
        let at = format!("contents.{index}.message_content");
        put(&format!("{at}.type"), Some(kind.to_owned()));
        put(&format!("{at}.{field}"), Some(content));
    }
}

/// The URL of an image, or a data URL.
fn image(fields: &Map<String, Value>) -> Option<String> {
    let of = |key| fields.get(key).and_then(Value::as_str);
    match (of("type")?, of("modality")?) {
        ("uri", "image") => of("uri").map(str::to_owned),
        ("blob", "image") => {
            let mime_type = of("mime_type").unwrap_or("application/octet-stream");
            Some(format!("data:{mime_type};base64,{}", of("content")?))
        }
        _ => None,
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn put_text(add: &mut Added, key: &'static str, type_key: &'static str, text: Option<StringValue>) {
    let mime_type = text.as_ref().map(|text| {
        let parsed = serde_json::from_str::<Value>(text.as_str());
        if parsed.is_ok_and(|value| value.is_object() || value.is_array()) {
            "application/json"
        } else {
            "text/plain"
        }
    });
    add.put(key, text);
    add.put(type_key, mime_type);
}
