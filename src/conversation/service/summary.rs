//! A service span that ends, as plain data for those that observe it.

use crate::attribute_list::AttributeList;
use crate::clock::Time;
use crate::interned::intern_name;
use crate::names;
use crate::observe::{ServiceError, ServiceSummary, Usage};
use crate::prices::Cost;
use crate::service_kind::ServiceKind;
use crate::sums::Charge;
use opentelemetry::Value;
use opentelemetry::trace::{SpanContext, Status};
use std::sync::Arc;
use std::time::SystemTime;

/// What a summary is made of, beside what the service recorded.
pub(super) struct EndedService<'a> {
    pub(super) conversation_id: Option<&'a Arc<str>>,
    pub(super) turn_number: Option<u32>,
    pub(super) span_context: SpanContext,
    pub(super) name: &'a str,
    pub(super) kind: ServiceKind,
    pub(super) started: SystemTime,
    pub(super) lasted: Time,
    pub(super) charge: Charge,
    pub(super) counted_usage: Usage,
    pub(super) is_interrupted: bool,
    pub(super) status: &'a Status,
    /// Whether anybody reads what was said.
    pub(super) with_words: bool,
}

impl EndedService<'_> {
    /// Makes the summary; `attributes` are all that its span has.
    pub(super) fn summary(self, attributes: &AttributeList) -> ServiceSummary {
        let text = |key| match attributes.get(key)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        };
        let name = |key| text(key).map(intern_name);
        let words = match self.kind {
            ServiceKind::Stt => Some(names::TRANSCRIPT),
            ServiceKind::Llm | ServiceKind::Realtime => Some(names::OUTPUT),
            ServiceKind::Tts => Some(names::TEXT),
            ServiceKind::Tool | ServiceKind::Other => None,
        };
        let words = words.filter(|_| self.with_words);
        let error = match self.status {
            Status::Error { description } => Some(ServiceError {
                kind: name(names::ERROR_TYPE).unwrap_or_else(|| names::ERROR_TYPE_OTHER.into()),
                message: (self.with_words && !description.is_empty())
                    .then(|| Arc::from(&**description)),
            }),
            Status::Unset | Status::Ok => None,
        };
        ServiceSummary {
            conversation_id: self.conversation_id.cloned(),
            turn_number: self.turn_number,
            trace_id: self.span_context.trace_id(),
            span_id: self.span_context.span_id(),
            name: intern_name(self.name),
            kind: self.kind,
            operation: name(names::GEN_AI_OPERATION_NAME),
            provider: name(names::GEN_AI_PROVIDER_NAME),
            request_model: name(names::GEN_AI_REQUEST_MODEL),
            response_model: name(names::GEN_AI_RESPONSE_MODEL),
            tool_name: name(names::GEN_AI_TOOL_NAME),
            started: self.started,
            duration_seconds: self.lasted.as_secs_f64(),
            ttfb_seconds: match attributes.get(names::METRICS_TTFB) {
                Some(Value::F64(seconds)) => Some(*seconds),
                _ => None,
            },
            usage: self.charge.usage,
            counted_usage: self.counted_usage,
            cost_usd: match self.charge.cost {
                Cost::Usd(cost) => Some(cost),
                Cost::None | Cost::Unknown => None,
            },
            is_interrupted: self.is_interrupted,
            error,
            text: words.and_then(text).map(Arc::from),
        }
    }
}
