//! What is measured, without the texts and ids of the summaries that it comes from.

use std::sync::Arc;

use crate::observe::{
    ConversationSummary, EndReason, LatencyParts, ServiceKind, ServiceSummary, TurnSummary, Usage,
};

/// Something that is recorded with one or more instruments.
pub(super) enum Fact {
    /// A conversation has started.
    Started,
    Service(ServiceFact),
    Turn(TurnFact),
    /// A conversation has ended.
    Ended {
        conversation_type: Arc<str>,
        seconds: f64,
    },
}

pub(super) struct ServiceFact {
    pub(super) kind: ServiceKind,
    pub(super) operation: Option<Arc<str>>,
    pub(super) provider: Option<Arc<str>>,
    pub(super) model: Option<Arc<str>>,
    pub(super) tool: Option<Arc<str>>,
    pub(super) error: Option<Arc<str>>,
    pub(super) seconds: f64,
    pub(super) ttfb: Option<f64>,
    pub(super) usage: Usage,
}

pub(super) struct TurnFact {
    pub(super) end_reason: EndReason,
    pub(super) seconds: f64,
    pub(super) user_bot_latency: Option<f64>,
    pub(super) barge_in_stop: Option<f64>,
    pub(super) latency: Option<LatencyParts>,
}

impl Fact {
    pub(super) fn service(service: &ServiceSummary) -> Self {
        Self::Service(ServiceFact {
            kind: service.kind,
            operation: service.operation.clone(),
            provider: service.provider.clone(),
            model: service.request_model.clone(),
            tool: service.tool_name.clone(),
            error: service.error.as_ref().map(|error| error.kind.clone()),
            seconds: service.duration_seconds,
            ttfb: service.ttfb_seconds,
            usage: service.counted_usage,
        })
    }

    pub(super) fn turn(turn: &TurnSummary) -> Self {
        Self::Turn(TurnFact {
            end_reason: turn.end_reason,
            seconds: turn.duration_seconds,
            user_bot_latency: turn.user_bot_latency_seconds,
            barge_in_stop: turn.barge_in_stop_seconds,
            latency: turn.latency.clone(),
        })
    }

    pub(super) fn conversation(conversation: &ConversationSummary) -> Self {
        Self::Ended {
            conversation_type: conversation.conversation_type.clone(),
            seconds: conversation.duration_seconds,
        }
    }
}
