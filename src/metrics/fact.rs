//! What is measured, without the texts of turns.

use std::{sync::Arc, time::Duration};

use crate::{
    latency::Measured,
    observe::{ConversationSummary, EndReason, EndedService, EndedTurn},
};

/// Something that is recorded with one or more instruments.
pub(super) enum Fact {
    /// A conversation has started.
    Started,
    Service(Arc<EndedService>),
    Turn(TurnFact),
    /// A conversation has ended.
    Ended {
        conversation_type: Arc<str>,
        seconds: f64,
    },
}

pub(super) struct TurnFact {
    pub(super) end_reason: EndReason,
    pub(super) lasted: Duration,
    pub(super) user_bot_latency: Option<Duration>,
    pub(super) barge_in_stop: Option<Duration>,
    pub(super) measured: Option<Measured>,
}

impl Fact {
    pub(super) fn turn(turn: &EndedTurn) -> Self {
        Self::Turn(TurnFact {
            end_reason: turn.end_reason,
            lasted: turn.lasted,
            user_bot_latency: turn.user_bot_latency,
            barge_in_stop: turn.speech.barge_in_stop,
            measured: turn.measured,
        })
    }

    pub(super) fn conversation(conversation: &ConversationSummary) -> Self {
        Self::Ended {
            conversation_type: conversation.conversation_type.clone(),
            seconds: conversation.duration_seconds,
        }
    }
}
