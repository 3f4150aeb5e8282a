//! A finished span in the words of the contract.

use std::time::{Duration, SystemTime};

use opentelemetry::{Array, Key, KeyValue, StringValue, Value, trace::SpanId};
use opentelemetry_sdk::trace::SpanData;

use super::words::Words;
use crate::names;

/// What kind of span it is.
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
    /// By the operation that the contract's row of aliases has, else by what only turns and conversations carry.
    pub(super) fn of(attributes: &[KeyValue]) -> Self {
        match text_of(attributes, names::GEN_AI_OPERATION_NAME) {
            Some("stt" | "speech_to_text" | "transcription") => Self::Stt,
            Some("chat" | "text_completion" | "generate_content" | "llm") => Self::Llm,
            Some("tts" | "text_to_speech" | "audio_generation") => Self::Tts,
            Some("execute_tool" | "tool") => Self::Tool,
            Some("realtime") => Self::Realtime,
            Some("invoke_agent") => Self::Agent,
            _ if value_of(attributes, names::TURN_TYPE).is_some() => Self::Turn,
            _ if value_of(attributes, names::CONVERSATION_TYPE).is_some() => Self::Conversation,
            _ => Self::Other,
        }
    }

    /// Whether a language model works there, with messages and tools.
    pub(super) fn has_messages(self) -> bool {
        matches!(self, Self::Llm | Self::Realtime | Self::Agent)
    }

    /// Whether a model works there that is paid for.
    pub(super) fn is_model(self) -> bool {
        matches!(self, Self::Stt | Self::Llm | Self::Tts | Self::Realtime)
    }
}

/// The value of an attribute; the last one counts where a key was recorded again.
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

/// Everything that a profile translates.
pub(super) struct Facts<'a> {
    pub(super) span: &'a SpanData,
    pub(super) kind: Kind,
    pub(super) words: &'a Words,
    /// The name under which people find the span.
    pub(super) name: String,
    /// Whether it is the span of a conversation whose turns are traces of their own: no turn, and not to be counted as
    /// one.
    pub(super) stands_beside_its_turns: bool,
    /// Whether it is the first turn of its trace in which the user said something.
    pub(super) has_first_input: bool,
    /// The longest that a value may be, in bytes.
    pub(super) limit: usize,
}

impl<'a> Facts<'a> {
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        value_of(&self.span.attributes, key)
    }

    pub(super) fn text(&self, key: &str) -> Option<StringValue> {
        match self.value(key)? {
            Value::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Value::I64(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn float(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::F64(number) => Some(*number).filter(|number| number.is_finite()),
            Value::I64(number) => Some(*number as f64),
            _ => None,
        }
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.value(key) == Some(&Value::Bool(true))
    }

    /// Under what the backend groups the spans of a conversation.
    pub(super) fn session(&self) -> Option<StringValue> {
        (!self.stands_beside_its_turns)
            .then(|| self.text(names::CONVERSATION_ID))
            .flatten()
    }

    /// What went in, as text.
    pub(super) fn input(&self) -> Option<StringValue> {
        let key = match self.kind {
            Kind::Conversation => CONVERSATION_INPUT,
            Kind::Turn => names::TURN_INPUT,
            Kind::Tts => names::TEXT,
            Kind::Tool => "gen_ai.tool.call.arguments",
            Kind::Llm | Kind::Realtime | Kind::Agent => return self.words.input_text(),
            Kind::Other => names::INPUT,
            Kind::Stt => return None,
        };
        self.text(key)
    }

    /// What came out, as text.
    pub(super) fn output(&self) -> Option<StringValue> {
        let key = match self.kind {
            Kind::Conversation => CONVERSATION_OUTPUT,
            Kind::Turn => names::TURN_OUTPUT,
            Kind::Stt => names::TRANSCRIPT,
            Kind::Tool => names::GEN_AI_TOOL_CALL_RESULT,
            Kind::Llm | Kind::Realtime | Kind::Agent => return self.words.output_text(),
            Kind::Other => names::OUTPUT,
            Kind::Tts => return None,
        };
        self.text(key)
    }

    /// When the first output came. A transcription's figure is not counted from its span's start.
    pub(super) fn first_output(&self) -> Option<SystemTime> {
        if self.kind == Kind::Stt {
            return None;
        }
        let seconds = self.float(names::METRICS_TTFB)?;
        self.span
            .start_time
            .checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    pub(super) fn is_root(&self) -> bool {
        self.span.parent_span_id == SpanId::INVALID
    }

    /// Whether the user cut the turn short; a conversation that ends in the middle of one is none.
    pub(super) fn is_interrupted_turn(&self) -> bool {
        self.kind == Kind::Turn
            && self.flag(names::TURN_WAS_INTERRUPTED)
            && !self.flag(names::TURN_ENDED_BY_CONVERSATION_END)
    }

    /// Who the user is.
    pub(super) fn user(&self) -> Option<StringValue> {
        // On a transcription, `user_id` is who spoke.
        let is_whole = matches!(self.kind, Kind::Conversation | Kind::Turn);
        self.text("user.id")
            .or_else(|| self.text("enduser.id"))
            .or_else(|| is_whole.then(|| self.text("user_id")).flatten())
    }

    /// The tags of the conversation: a list, or a text with commas.
    pub(super) fn tags(&self) -> Vec<StringValue> {
        let value = self
            .value("conversation.tags")
            .or_else(|| self.value("tags"));
        match value {
            Some(Value::Array(Array::String(tags))) => tags.clone(),
            Some(Value::String(text)) => {
                if let Ok(tags) = serde_json::from_str::<Vec<String>>(text.as_str()) {
                    return tags.into_iter().map(StringValue::from).collect();
                }
                let tags = text.as_str().split(',').map(str::trim);
                tags.filter(|tag| !tag.is_empty())
                    .map(|tag| StringValue::from(tag.to_owned()))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the service itself cost, in US dollars. Totals of turns, conversations and agents would be counted twice.
    pub(super) fn cost(&self) -> Option<f64> {
        self.kind
            .is_model()
            .then(|| self.float("usage.cost_usd"))
            .flatten()
    }
}

/// The user's first words (contract).
const CONVERSATION_INPUT: &str = "conversation.input";
/// The bot's last words (contract).
const CONVERSATION_OUTPUT: &str = "conversation.output";

/// The attributes to add.
#[derive(Default)]
pub(super) struct Added(pub(super) Vec<KeyValue>);

impl Added {
    pub(super) fn put(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push(KeyValue::new(Key::from_static_str(key), value));
        }
    }

    pub(super) fn put_at(&mut self, key: String, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push(KeyValue::new(key, value));
        }
    }
}
