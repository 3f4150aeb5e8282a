//! Converts messages of language models from their provider's form to that of OpenTelemetry's
//! [GenAI conventions](https://github.com/open-telemetry/semantic-conventions-genai/tree/main/docs/gen-ai).
//!
//! Pure functions. Time and memory are linear in the length of the text, for any text, and none of them panics.

mod chat;
mod elements;
mod limit;
mod part;
mod read;
mod tools;
mod write;

use serde_json::{Map, Value};

pub(crate) use chat::{Shape, chat_messages};
pub(crate) use limit::Limited;
pub(crate) use read::{input, instructions, output};
pub(crate) use tools::{chat_definition, definitions};

/// One message, as the conventions define it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// `system`, `user`, `assistant`, `tool`, or any other word that was recorded.
    pub(crate) role: String,
    pub(crate) name: Option<String>,
    /// Why generation ended; answers only.
    pub(crate) finish_reason: Option<String>,
    pub(crate) parts: Vec<Part>,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Reasoning(String),
    ToolCall {
        id: Option<String>,
        name: String,
        arguments: Option<Value>,
    },
    ToolResponse {
        id: Option<String>,
        response: Value,
    },
    /// Any other part, in the conventions' form. It has a `type`.
    Other(Map<String, Value>),
}

impl Message {
    fn text(role: &str, text: impl Into<String>) -> Self {
        Self::of(role, vec![Part::Text(text.into())])
    }

    fn of(role: &str, parts: Vec<Part>) -> Self {
        Self {
            role: role.to_owned(),
            name: None,
            finish_reason: None,
            parts,
        }
    }

    /// Whether the message contains a tool call.
    fn calls_a_tool(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::ToolCall { .. }))
    }
}

/// Maps the finish reasons of OpenAI, Anthropic and Gemini to those of the conventions. Unknown reasons are unchanged.
pub(crate) fn finish_reason(reason: &str) -> &str {
    match reason {
        "end_turn" | "stop_sequence" | "STOP" | "completed" => "stop",
        "tool_calls" | "function_call" | "tool_use" => "tool_call",
        "max_tokens" | "MAX_TOKENS" | "max_output_tokens" => "length",
        "refusal" | "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
            "content_filter"
        }
        other => other,
    }
}

/// Sets the finish reason that the conventions require of every answer: its own, else the one with the same index in
/// `recorded`, else `otherwise`, else one derived from its parts.
pub(crate) fn complete_finish_reasons(
    answers: &mut [Message],
    recorded: &[String],
    otherwise: Option<&str>,
) {
    for (index, answer) in answers.iter_mut().enumerate() {
        let known = answer.finish_reason.take();
        let known = known.or_else(|| recorded.get(index).cloned());
        let fallback = match otherwise {
            Some(otherwise) => otherwise,
            None if answer.calls_a_tool() => "tool_call",
            None => "stop",
        };
        answer.finish_reason = Some(match known {
            Some(known) => finish_reason(&known).to_owned(),
            None => fallback.to_owned(),
        });
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
