//! What kind of span it is, by its attributes.

use crate::names;
use crate::service_kind::ServiceKind;
use opentelemetry::{KeyValue, Value};

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Conversation,
    Turn,
    Stt,
    Llm,
    Tts,
    Tool,
    Agent,
    Realtime,
    /// A span of the program's own.
    Other,
}

impl Kind {
    /// Decided by `gen_ai.operation.name` and the contract's aliases, else by attributes that only turns and
    /// conversations have.
    pub(super) fn of(attributes: &[KeyValue]) -> Self {
        let operation = text_of(attributes, names::GEN_AI_OPERATION_NAME).unwrap_or_default();
        let has = |key| value_of(attributes, key).is_some();
        match ServiceKind::of(operation) {
            ServiceKind::Stt => Self::Stt,
            ServiceKind::Llm => Self::Llm,
            ServiceKind::Tts => Self::Tts,
            ServiceKind::Tool => Self::Tool,
            ServiceKind::Realtime => Self::Realtime,
            ServiceKind::Other if operation == "invoke_agent" => Self::Agent,
            ServiceKind::Other if has(names::TURN_TYPE) => Self::Turn,
            ServiceKind::Other if has(names::CONVERSATION_TYPE) => Self::Conversation,
            ServiceKind::Other => Self::Other,
        }
    }

    /// Whether spans of this kind record messages and tools.
    pub(super) fn has_messages(self) -> bool {
        matches!(self, Self::Llm | Self::Realtime | Self::Agent)
    }

    /// Whether spans of this kind are a model's request, with usage and cost of their own.
    pub(super) fn is_model(self) -> bool {
        matches!(self, Self::Stt | Self::Llm | Self::Tts | Self::Realtime)
    }
}

/// The value of an attribute; of a repeated key, the last one.
pub(super) fn value_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .rev()
        .find(|pair| pair.key.as_str() == key)
        .map(|pair| &pair.value)
}

pub(super) fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value_of(attributes, key)? {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    }
}
