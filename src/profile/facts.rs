//! Reads a finished span by the names of the contract.

use std::time::{Duration, SystemTime};

use opentelemetry::{Array, Key, KeyValue, StringValue, Value, trace::SpanId};
use opentelemetry_sdk::trace::SpanData;

use super::kind::{Kind, value_of};
use super::words::Words;
use crate::names;

/// What profiles translate.
pub(super) struct Facts<'a> {
    pub(super) span: &'a SpanData,
    pub(super) kind: Kind,
    pub(super) words: &'a Words,
    /// The display name.
    pub(super) name: String,
    /// Whether turns are traces of their own and the span is in none of them: it is in the trace of its conversation,
    /// which backends must not count as a turn.
    pub(super) is_outside_turns: bool,
    /// Whether this is the first turn of its trace that has an input.
    pub(super) has_first_input: bool,
    /// Maximum length of a value in bytes.
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

    /// The id under which a backend groups the spans of a conversation.
    pub(super) fn session(&self) -> Option<StringValue> {
        (!self.is_outside_turns)
            .then(|| self.text(names::CONVERSATION_ID))
            .flatten()
    }

    /// The input as text.
    pub(super) fn input(&self) -> Option<StringValue> {
        let key = match self.kind {
            Kind::Conversation => names::CONVERSATION_INPUT,
            Kind::Turn => names::TURN_INPUT,
            Kind::Tts => names::TEXT,
            Kind::Tool => "gen_ai.tool.call.arguments",
            Kind::Llm | Kind::Realtime | Kind::Agent => return self.words.input_text(),
            Kind::Other => names::INPUT,
            Kind::Stt => return None,
        };
        self.text(key)
    }

    /// The output as text.
    pub(super) fn output(&self) -> Option<StringValue> {
        let key = match self.kind {
            Kind::Conversation => names::CONVERSATION_OUTPUT,
            Kind::Turn => names::TURN_OUTPUT,
            Kind::Stt => names::TRANSCRIPT,
            Kind::Tool => names::GEN_AI_TOOL_CALL_RESULT,
            Kind::Llm | Kind::Realtime | Kind::Agent => return self.words.output_text(),
            Kind::Other => names::OUTPUT,
            Kind::Tts => return None,
        };
        self.text(key)
    }

    /// The time of the first output. Not for stt, whose `metrics.ttfb` is not measured from the span's start.
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

    /// Whether the user interrupted the turn; the end of the conversation does not count.
    pub(super) fn is_interrupted_turn(&self) -> bool {
        self.kind == Kind::Turn
            && self.flag(names::TURN_WAS_INTERRUPTED)
            && !self.flag(names::TURN_ENDED_BY_CONVERSATION_END)
    }

    /// The user's id.
    pub(super) fn user(&self) -> Option<StringValue> {
        // There, `user_id` is the speaker.
        let is_speaker = matches!(self.kind, Kind::Stt | Kind::Realtime);
        self.text("user.id")
            .or_else(|| self.text("enduser.id"))
            .or_else(|| (!is_speaker).then(|| self.text("user_id")).flatten())
    }

    /// The tags of the conversation, recorded as a list, a JSON list, or a text with commas.
    pub(super) fn tags(&self) -> Option<Vec<StringValue>> {
        let value = self
            .value("conversation.tags")
            .or_else(|| self.value("tags"));
        let tags: Vec<StringValue> = match value? {
            Value::Array(Array::String(tags)) => tags.clone(),
            Value::String(text) => match serde_json::from_str::<Vec<String>>(text.as_str()) {
                Ok(tags) => tags.into_iter().map(StringValue::from).collect(),
                Err(_) => {
                    let tags = text.as_str().split(',').map(str::trim);
                    tags.filter(|tag| !tag.is_empty())
                        .map(|tag| StringValue::from(tag.to_owned()))
                        .collect()
                }
            },
            _ => return None,
        };
        (!tags.is_empty()).then_some(tags)
    }

    /// The tags as an attribute's value.
    pub(super) fn tag_list(&self) -> Option<Value> {
        self.tags().map(|tags| Value::Array(Array::String(tags)))
    }

    /// The cost of a model's request in US dollars. Totals of turns, conversations and agents are left out, because
    /// backends sum up costs themselves.
    pub(super) fn cost(&self) -> Option<f64> {
        self.kind
            .is_model()
            .then(|| self.float("usage.cost_usd"))
            .flatten()
    }
}

/// Attributes to add to a span.
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
