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
use crate::usage::{Figures, Usage};
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
    /// What of that a service span below it had recorded.
    pub(crate) recorded_below: Figures,
    pub(crate) cost_usd: Option<f64>,
    pub(crate) is_interrupted: bool,
    pub(crate) status: Status,
    pub(crate) recorded: RecordedFields,
}

/// What a service has recorded, as far as its summary has it.
#[derive(Default)]
pub(crate) struct RecordedFields {
    operation: Option<StringValue>,
    provider: Option<StringValue>,
    request_model: Option<StringValue>,
    response_model: Option<StringValue>,
    tool_name: Option<StringValue>,
    tool_type: Option<StringValue>,
    agent_name: Option<StringValue>,
    error_type: Option<StringValue>,
    ttfb_seconds: Option<f64>,
    words: Option<StringValue>,
}

impl RecordedFields {
    /// Those among the attributes of a service of this kind.
    pub(crate) fn of<'a>(
        attributes: impl IntoIterator<Item = &'a KeyValue>,
        kind: ServiceKind,
        with_words: bool,
    ) -> Self {
        let may_name_agent = matches!(kind, ServiceKind::Tool | ServiceKind::Other);
        let words = words_of(kind).filter(|_| with_words);
        let mut recorded = Self::default();
        for KeyValue { key, value, .. } in attributes {
            let text = match key.as_str() {
                names::GEN_AI_OPERATION_NAME => &mut recorded.operation,
                names::GEN_AI_PROVIDER_NAME => &mut recorded.provider,
                names::GEN_AI_REQUEST_MODEL => &mut recorded.request_model,
                names::GEN_AI_RESPONSE_MODEL => &mut recorded.response_model,
                names::GEN_AI_TOOL_NAME if may_name_agent => &mut recorded.tool_name,
                names::GEN_AI_TOOL_TYPE if kind == ServiceKind::Tool => &mut recorded.tool_type,
                names::GEN_AI_AGENT_NAME if may_name_agent => &mut recorded.agent_name,
                names::ERROR_TYPE => &mut recorded.error_type,
                names::METRICS_TTFB => {
                    if let Value::F64(seconds) = value {
                        recorded.ttfb_seconds = Some(*seconds);
                    }
                    continue;
                }
                key if Some(key) == words => &mut recorded.words,
                _ => continue,
            };
            if let Value::String(value) = value {
                *text = Some(value.clone());
            }
        }
        recorded
    }
}

impl EndedService {
    pub(crate) fn summary(&self, with_words: bool) -> ServiceSummary {
        let recorded = &self.recorded;
        let name = |text: &Option<StringValue>| Some(intern_name(text.as_ref()?.as_str()));
        let error = match &self.status {
            Status::Error { description } => Some(ServiceError {
                kind: name(&recorded.error_type).unwrap_or_else(|| names::ERROR_TYPE_OTHER.into()),
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
            operation: name(&recorded.operation),
            provider: name(&recorded.provider),
            request_model: name(&recorded.request_model),
            response_model: name(&recorded.response_model),
            tool_name: name(&recorded.tool_name),
            tool_type: name(&recorded.tool_type),
            agent_name: name(&recorded.agent_name),
            started: self.started,
            duration_seconds: self.lasted.as_secs_f64(),
            ttfb_seconds: recorded.ttfb_seconds,
            usage: self.usage,
            counted_usage: self.usage.without(self.recorded_below),
            cost_usd: self.cost_usd,
            is_interrupted: self.is_interrupted,
            error,
            text: recorded
                .words
                .as_ref()
                .filter(|_| with_words)
                .map(|text| Arc::from(text.as_str())),
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
