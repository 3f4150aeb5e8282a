//! What the backends read beyond the contract: each profile adds its backend's own names for the same facts.

mod json;
mod langfuse;
mod langsmith;
mod openinference;
mod opik;

use std::time::{Duration, SystemTime};

use opentelemetry::{Key, KeyValue, StringValue, Value, trace::SpanId};
use opentelemetry_sdk::trace::SpanData;

use crate::names;
use crate::service_kind::ServiceKind;

/// Whose names a span carries besides those of the contract.
///
/// A profile adds attributes and never changes one that is there. It adds nothing that the span does not say
/// already: without content in the span there is none in what is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// OpenTelemetry's GenAI conventions and Pipecat's names alone: Jaeger, Tempo, any collector.
    #[default]
    Default,
    /// [Langfuse](https://langfuse.com).
    Langfuse,
    /// [OpenInference](https://github.com/Arize-ai/openinference): Phoenix and Arize.
    OpenInference,
    /// [LangSmith](https://www.langchain.com/langsmith).
    LangSmith,
    /// [Opik](https://www.comet.com/opik).
    Opik,
}

impl Profile {
    /// The values of `CONVERSATION_PROFILE`.
    #[cfg(feature = "setup")]
    pub(crate) const NAMES: &[(&str, Self)] = &[
        ("default", Self::Default),
        ("langfuse", Self::Langfuse),
        ("openinference", Self::OpenInference),
        ("langsmith", Self::LangSmith),
        ("opik", Self::Opik),
    ];

    /// The profile of the backend that a URL belongs to, as far as host, port and path tell.
    #[cfg(feature = "setup")]
    pub(crate) fn of_endpoint(url: &str) -> Self {
        let url = url.to_ascii_lowercase();
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let in_host = |word| authority.contains(word);
        if in_host("langfuse") || path.starts_with("/api/public/otel") {
            Self::Langfuse
        } else if in_host("smith.langchain") || in_host("langsmith") {
            Self::LangSmith
        } else if in_host("opik") || in_host("comet.com") || path.contains("/v1/private/otel") {
            Self::Opik
        } else if in_host("phoenix") || in_host("arize") || authority.ends_with(":6006") {
            Self::OpenInference
        } else {
            Self::Default
        }
    }

    /// Adds to a finished span what the backend reads.
    pub(crate) fn apply(&self, span: &mut SpanData) {
        let translate = match self {
            Self::Default => return,
            Self::Langfuse => langfuse::translate,
            Self::OpenInference => openinference::translate,
            Self::LangSmith => langsmith::translate,
            Self::Opik => opik::translate,
        };
        let mut added = Added::default();
        translate(&Facts::of(span), &mut added);
        for pair in added.0 {
            if !span.attributes.iter().any(|there| there.key == pair.key) {
                span.attributes.push(pair);
            }
        }
    }
}

/// What kind of span it is, in the words of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
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

/// A finished span in the words of the contract.
struct Facts<'a> {
    span: &'a SpanData,
    kind: Kind,
}

impl<'a> Facts<'a> {
    fn of(span: &'a SpanData) -> Self {
        let mut facts = Self {
            span,
            kind: Kind::Other,
        };
        let operation = facts.text(names::GEN_AI_OPERATION_NAME);
        let operation = operation.as_ref().map_or("", StringValue::as_str);
        facts.kind = match ServiceKind::of(operation) {
            ServiceKind::Stt => Kind::Stt,
            ServiceKind::Llm => Kind::Llm,
            ServiceKind::Tts => Kind::Tts,
            ServiceKind::Tool => Kind::Tool,
            ServiceKind::Realtime => Kind::Realtime,
            ServiceKind::Other if operation == "invoke_agent" => Kind::Agent,
            ServiceKind::Other if facts.value(names::TURN_TYPE).is_some() => Kind::Turn,
            ServiceKind::Other if facts.value(names::CONVERSATION_TYPE).is_some() => {
                Kind::Conversation
            }
            ServiceKind::Other => Kind::Other,
        };
        facts
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        // The last one counts where a key was recorded again.
        self.span
            .attributes
            .iter()
            .rev()
            .find(|pair| pair.key.as_str() == key)
            .map(|pair| &pair.value)
    }

    fn text(&self, key: &str) -> Option<StringValue> {
        match self.value(key)? {
            Value::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn integer(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Value::I64(number) => Some(*number),
            _ => None,
        }
    }

    fn session(&self) -> Option<StringValue> {
        self.text(names::CONVERSATION_ID)
    }

    /// What went in, as text.
    fn input(&self) -> Option<StringValue> {
        self.text(match self.kind {
            Kind::Turn => names::TURN_INPUT,
            Kind::Tts => names::TEXT,
            Kind::Tool => "gen_ai.tool.call.arguments",
            Kind::Llm | Kind::Realtime | Kind::Agent => names::INPUT,
            Kind::Stt | Kind::Conversation | Kind::Other => return None,
        })
    }

    /// What came out, as text.
    fn output(&self) -> Option<StringValue> {
        self.text(match self.kind {
            Kind::Turn => names::TURN_OUTPUT,
            Kind::Stt => names::TRANSCRIPT,
            Kind::Tool => "gen_ai.tool.call.result",
            Kind::Llm | Kind::Realtime | Kind::Agent => names::OUTPUT,
            Kind::Tts | Kind::Conversation | Kind::Other => return None,
        })
    }

    /// When the first output came. A transcription's figure is not counted from its span's start.
    fn first_output(&self) -> Option<SystemTime> {
        if self.kind == Kind::Stt {
            return None;
        }
        let Value::F64(seconds) = self.value(names::METRICS_TTFB)? else {
            return None;
        };
        self.span
            .start_time
            .checked_add(Duration::try_from_secs_f64(*seconds).ok()?)
    }

    fn is_root(&self) -> bool {
        self.span.parent_span_id == SpanId::INVALID
    }
}

/// The attributes to add.
#[derive(Default)]
struct Added(Vec<KeyValue>);

impl Added {
    fn put(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push(KeyValue::new(Key::from_static_str(key), value));
        }
    }
}

#[cfg(test)]
mod tests;
