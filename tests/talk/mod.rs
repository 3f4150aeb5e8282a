//! A conversation as a program would trace it, left open in the middle of a turn.

use tracing::{Span, info, info_span};

/// What arrives of it once telemetry has ended it, in the order in which it ends.
pub const SPANS: [&str; 4] = ["POST /v1/chat", "llm", "turn", "conversation"];

/// Returns the conversation's scope, so that it is still open afterwards.
pub fn talk() -> Span {
    let conversation = info_span!("conversation", conversation.id = "call-1");
    conversation.in_scope(|| {
        info!(conversation.event = "user_started_speaking");
        let llm = info_span!("llm", gen_ai.operation.name = "chat");
        llm.in_scope(|| info_span!("POST /v1/chat").in_scope(|| info!("answered")));
    });
    conversation
}
