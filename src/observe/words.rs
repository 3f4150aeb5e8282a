//! The content policy, applied to the words of summaries as to the attributes that they are of.

use super::{ConversationSummary, ServiceSummary, TurnSummary};
use crate::content::ContentPolicy;
use crate::names;
use crate::service_kind::ServiceKind;
use std::sync::Arc;

impl ServiceSummary {
    pub(super) fn apply(&mut self, policy: &ContentPolicy) {
        let key = match self.kind {
            ServiceKind::Stt => names::TRANSCRIPT,
            ServiceKind::Tts => names::TEXT,
            _ => names::OUTPUT,
        };
        apply(policy, key, &mut self.text);
        if let Some(error) = &mut self.error {
            apply(policy, names::OTEL_STATUS_DESCRIPTION, &mut error.message);
        }
    }
}

impl TurnSummary {
    pub(super) fn apply(&mut self, policy: &ContentPolicy) {
        for (key, words) in [
            (names::TURN_INPUT, &mut self.input),
            (names::TURN_OUTPUT, &mut self.output),
            (names::TURN_HEARD_OUTPUT, &mut self.heard_output),
        ] {
            apply(policy, key, words);
        }
    }
}

impl ConversationSummary {
    pub(super) fn apply(&mut self, policy: &ContentPolicy) {
        apply(policy, names::CONVERSATION_INPUT, &mut self.input);
        apply(policy, names::CONVERSATION_OUTPUT, &mut self.output);
    }
}

fn apply(policy: &ContentPolicy, key: &str, words: &mut Option<Arc<str>>) {
    if !policy.captures() {
        *words = None;
    }
    if let Some(text) = words
        && let Some(replaced) = policy.replacement(key, text)
    {
        *text = replaced.into();
    }
}
