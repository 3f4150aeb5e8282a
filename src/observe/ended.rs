//! What ends, as it is handed over on the program's threads. Summaries are made from it where they are read: that takes
//! several times as long.

use super::{LatencyParts, ServiceError, ServiceSummary, TurnSummary};
use crate::interned::intern_name;
use crate::latency::Measured;
use crate::names;
use crate::service_kind::ServiceKind;
use crate::speech::TurnSpeech;
use crate::sums::Spent;
use crate::turns::EndReason;
use crate::usage::Usage;
use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry::{KeyValue, StringValue, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A service span that has ended.
pub(crate) struct EndedService {
    pub(crate) conversation_id: Option<Arc<str>>,
    pub(crate) turn_number: Option<u32>,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: ServiceKind,
    pub(crate) started: SystemTime,
    pub(crate) lasted: Duration,
    pub(crate) usage: Usage,
    pub(crate) counted_usage: Usage,
    pub(crate) cost_usd: Option<f64>,
    pub(crate) is_interrupted: bool,
    pub(crate) status: Status,
    /// Those that a summary [needs](Self::for_each_needed).
    pub(crate) attributes: Vec<KeyValue>,
}

impl EndedService {
    /// Calls `take` with each attribute that a summary of a service of this kind needs.
    #[inline]
    pub(crate) fn for_each_needed(
        kind: ServiceKind,
        with_words: bool,
        mut take: impl FnMut(&'static str),
    ) {
        take(names::GEN_AI_OPERATION_NAME);
        take(names::GEN_AI_PROVIDER_NAME);
        take(names::GEN_AI_REQUEST_MODEL);
        take(names::GEN_AI_RESPONSE_MODEL);
        take(names::METRICS_TTFB);
        take(names::ERROR_TYPE);
        if matches!(kind, ServiceKind::Tool | ServiceKind::Other) {
            take(names::GEN_AI_TOOL_NAME);
            take(names::GEN_AI_AGENT_NAME);
        }
        if kind == ServiceKind::Tool {
            take(names::GEN_AI_TOOL_TYPE);
        }
        if let Some(words) = words_of(kind).filter(|_| with_words) {
            take(words);
        }
    }

    pub(crate) fn summary(&self, with_words: bool) -> ServiceSummary {
        let value = |key: &str| {
            let mut attributes = self.attributes.iter();
            let found = attributes.find(|attribute| attribute.key.as_str() == key);
            found.map(|attribute| &attribute.value)
        };
        let text = |key| match value(key)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        };
        let name = |key| text(key).map(intern_name);
        let error = match &self.status {
            Status::Error { description } => Some(ServiceError {
                kind: name(names::ERROR_TYPE).unwrap_or_else(|| names::ERROR_TYPE_OTHER.into()),
                message: (with_words && !description.is_empty()).then(|| Arc::from(&**description)),
            }),
            Status::Unset | Status::Ok => None,
        };
        ServiceSummary {
            conversation_id: self.conversation_id.clone(),
            turn_number: self.turn_number,
            trace_id: self.trace_id,
            span_id: self.span_id,
            name: intern_name(&self.name),
            kind: self.kind,
            operation: name(names::GEN_AI_OPERATION_NAME),
            provider: name(names::GEN_AI_PROVIDER_NAME),
            request_model: name(names::GEN_AI_REQUEST_MODEL),
            response_model: name(names::GEN_AI_RESPONSE_MODEL),
            tool_name: name(names::GEN_AI_TOOL_NAME),
            tool_type: name(names::GEN_AI_TOOL_TYPE),
            agent_name: name(names::GEN_AI_AGENT_NAME),
            started: self.started,
            duration_seconds: self.lasted.as_secs_f64(),
            ttfb_seconds: match value(names::METRICS_TTFB) {
                Some(Value::F64(seconds)) => Some(*seconds),
                _ => None,
            },
            usage: self.usage,
            counted_usage: self.counted_usage,
            cost_usd: self.cost_usd,
            is_interrupted: self.is_interrupted,
            error,
            text: words_of(self.kind)
                .filter(|_| with_words)
                .and_then(text)
                .map(Arc::from),
        }
    }
}

/// The attribute that has what a service transcribed, answered or spoke.
fn words_of(kind: ServiceKind) -> Option<&'static str> {
    match kind {
        ServiceKind::Stt => Some(names::TRANSCRIPT),
        ServiceKind::Llm | ServiceKind::Realtime => Some(names::OUTPUT),
        ServiceKind::Tts => Some(names::TEXT),
        ServiceKind::Tool | ServiceKind::Other => None,
    }
}

/// A turn that has ended.
pub(crate) struct EndedTurn {
    pub(crate) conversation_id: Arc<str>,
    pub(crate) number: u32,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) started: SystemTime,
    pub(crate) lasted: Duration,
    pub(crate) end_reason: EndReason,
    pub(crate) user_bot_latency: Option<Duration>,
    pub(crate) measured: Option<Measured>,
    pub(crate) speech: TurnSpeech,
    pub(crate) played_seconds: Option<f64>,
    pub(crate) input: Option<StringValue>,
    pub(crate) output: Option<StringValue>,
    pub(crate) heard: Option<Arc<str>>,
    pub(crate) spent: Spent,
}

impl EndedTurn {
    pub(super) fn summary(&self, with_words: bool) -> TurnSummary {
        let seconds = |lasted: Option<Duration>| lasted.map(|lasted| lasted.as_secs_f64());
        let words = |text: &Option<StringValue>| {
            let text = text.as_ref().filter(|_| with_words);
            text.map(|text| Arc::from(text.as_str()))
        };
        TurnSummary {
            conversation_id: self.conversation_id.clone(),
            number: self.number,
            trace_id: self.trace_id,
            span_id: self.span_id,
            started: self.started,
            duration_seconds: self.lasted.as_secs_f64(),
            end_reason: self.end_reason,
            user_bot_latency_seconds: seconds(self.user_bot_latency),
            latency: self.measured.and_then(latency_parts),
            user_speech_seconds: self.speech.sums.user.as_secs_f64(),
            bot_speech_seconds: self.speech.sums.bot.as_secs_f64(),
            dead_air_seconds: self.speech.sums.dead_air.as_secs_f64(),
            interrupted_after_seconds: seconds(self.speech.interrupted_after),
            barge_in_stop_seconds: seconds(self.speech.barge_in_stop),
            played_seconds: self.played_seconds,
            input: words(&self.input),
            output: words(&self.output),
            heard_output: self.heard.clone().filter(|_| with_words),
            usage: self.spent.usage,
            cost_usd: self.spent.cost_usd,
            cost_is_partial: self.spent.cost_is_partial(),
        }
    }
}

fn latency_parts(measured: Measured) -> Option<LatencyParts> {
    let parts = measured.parts?;
    Some(LatencyParts {
        measured_from: measured.from,
        total_seconds: measured.total.as_secs_f64(),
        parts: parts
            .iter()
            .map(|(part, lasted)| (part, lasted.as_secs_f64()))
            .collect(),
    })
}
