//! A field that a rule sets, as the type that the contract gives it.

use super::source::{Source, number_in, seconds_in};
use crate::field::FieldValue;
use crate::names;

/// A field of the contract, and where it has its value from.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) to: &'static str,
    pub(crate) source: Source,
    is: Type,
}

/// What the contract has in a field. Where text says such a value, it becomes one.
#[derive(Clone, Copy, Debug)]
enum Type {
    Seconds,
    Number,
    Count,
    Truth,
    Any,
}

impl Setting {
    pub(crate) fn new(to: &'static str, source: Source) -> Self {
        let is = Type::of(to);
        Self { to, source, is }
    }

    /// What the field is set to where the needed field has the value `found`, if to anything.
    pub(crate) fn convert<'a>(&'a self, found: FieldValue<'a>) -> Option<FieldValue<'a>> {
        let value = self.source.convert(found)?;
        Some(self.is.typed(value))
    }

    /// The same of a field that has seconds.
    #[inline]
    pub(crate) fn seconds(&self, found: FieldValue<'_>) -> Option<f64> {
        self.source.number(found)
    }
}

impl Type {
    fn of(field: &str) -> Self {
        match field {
            names::STOP_SECS
            | names::START_SECS
            | names::PLAYED_SECS
            | names::AGO_SECS
            | names::METRICS_TTFB
            | names::METRICS_AUDIO_SECONDS
            | names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK => Self::Seconds,
            names::METRICS_CHARACTER_COUNT
            | names::TURN_NUMBER
            | "tool_count"
            | "gen_ai.request.max_tokens"
            | "gen_ai.request.seed"
            | "gen_ai.request.choice.count" => Self::Count,
            "gen_ai.request.temperature"
            | "gen_ai.request.top_p"
            | "gen_ai.request.top_k"
            | "gen_ai.request.frequency_penalty"
            | "gen_ai.request.presence_penalty" => Self::Number,
            names::IS_FINAL | names::INTERRUPTED | names::TTS_INTERRUPTED => Self::Truth,
            _ if field.starts_with("gen_ai.usage.") => Self::Count,
            _ => Self::Any,
        }
    }

    #[inline]
    fn typed(self, value: FieldValue<'_>) -> FieldValue<'_> {
        match (self, value) {
            (Self::Any, _) => value,
            (_, FieldValue::Str(text)) => self.typed_text(text).unwrap_or(value),
            (Self::Count, FieldValue::Float(_)) => value.integer().map_or(value, FieldValue::Int),
            _ => value,
        }
    }

    fn typed_text(self, text: &str) -> Option<FieldValue<'static>> {
        match self {
            Self::Seconds => seconds_in(FieldValue::Str(text)).map(FieldValue::Float),
            Self::Number => number_in(text).map(FieldValue::Float),
            Self::Count => text.trim().parse().ok().map(FieldValue::Int),
            Self::Truth => text.trim().parse().ok().map(FieldValue::Bool),
            Self::Any => None,
        }
    }
}
