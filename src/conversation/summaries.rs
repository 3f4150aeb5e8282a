//! Turns and conversations that end, as plain data for those that observe them.

use super::ActiveConversation;
use super::totals::Totals;
use super::turn::{EndedTurn, TurnWords};
use crate::observe::{self, ConversationSummary};
use crate::turns::EndReason;
use opentelemetry::StringValue;
use opentelemetry::trace::SpanContext;
use std::sync::Arc;

impl ActiveConversation {
    /// A turn that ends. `words` is what was said in it.
    pub(super) fn ended_turn(
        &self,
        ended: &EndedTurn,
        span_context: &SpanContext,
        words: &TurnWords,
    ) -> Arc<observe::EndedTurn> {
        let (turn, facts) = (&ended.turn.turn, &ended.turn.facts);
        let read_words = self.shared.sinks.read_words();
        let words_of = |words: &Option<StringValue>| words.clone().filter(|_| read_words);
        Arc::new(observe::EndedTurn {
            conversation_id: self.id().clone(),
            number: turn.number,
            trace_id: span_context.trace_id(),
            span_id: span_context.span_id(),
            started: self.wall + turn.started,
            lasted: ended.at.saturating_sub(turn.started),
            end_reason: ended.reason,
            user_bot_latency: facts.user_bot_latency(),
            measured: facts.measured,
            speech: ended.speech,
            played_seconds: facts.heard.seconds,
            input: words_of(&words.input),
            output: words_of(&words.output),
            heard: facts.heard.text.clone().filter(|_| read_words),
            spent: facts.spent.as_deref().copied().unwrap_or_default(),
        })
    }

    /// The conversation, at its end.
    pub(super) fn summary(
        &self,
        totals: &Totals,
        reason: EndReason,
        span_context: &SpanContext,
        words: [&Option<StringValue>; 2],
    ) -> ConversationSummary {
        let read_words = self.shared.sinks.read_words();
        let [input, output] = words.map(|words| read_words.then(|| shared(words)).flatten());
        ConversationSummary {
            conversation_id: self.id().clone(),
            conversation_type: self.shared.settings.conversation_type.as_str().into(),
            trace_id: span_context.trace_id(),
            span_id: span_context.span_id(),
            started: self.wall,
            duration_seconds: totals.duration.as_secs_f64(),
            is_lost: reason == EndReason::ConversationLost,
            turn_count: totals.turns,
            interruption_count: totals.interruptions,
            error_count: totals.errors,
            mean_user_bot_latency_seconds: totals.latency.map(|(mean, _)| mean),
            max_user_bot_latency_seconds: totals.latency.map(|(_, max)| max),
            user_speech_seconds: totals.speech.user.as_secs_f64(),
            bot_speech_seconds: totals.speech.bot.as_secs_f64(),
            dead_air_seconds: totals.speech.dead_air.as_secs_f64(),
            usage: totals.spent.usage,
            cost_usd: totals.spent.cost_usd,
            cost_is_partial: totals.spent.cost_is_partial(),
            input,
            output,
        }
    }
}

fn shared(text: &Option<StringValue>) -> Option<Arc<str>> {
    text.as_ref().map(|text| Arc::from(text.as_str()))
}
