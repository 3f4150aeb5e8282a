//! What a conversation sums up to at its end, as its span says it.

use crate::attribute_list::AttributeList;
use crate::names;
use crate::speech::SpeechSums;
use crate::sums::Spent;
use opentelemetry::Value;
use std::time::Duration;

pub(super) struct Totals {
    pub(super) duration: Duration,
    pub(super) turns: u32,
    pub(super) interruptions: u32,
    pub(super) errors: u32,
    /// The mean and the maximum of its turns' latencies, in seconds.
    pub(super) latency: Option<(f64, f64)>,
    pub(super) speech: SpeechSums,
    pub(super) spent: Spent,
}

impl Totals {
    /// Adds them to the attributes of the conversation's span: counts always, the rest where there is any.
    pub(super) fn add_to(&self, attributes: &mut AttributeList) {
        let duration = self.duration.as_secs_f64();
        attributes.set(names::CONVERSATION_DURATION_SECONDS, duration);
        for (key, count) in [
            (names::CONVERSATION_TURN_COUNT, self.turns),
            (names::CONVERSATION_INTERRUPTION_COUNT, self.interruptions),
            (names::CONVERSATION_ERROR_COUNT, self.errors),
        ] {
            attributes.set(key, i64::from(count));
        }
        let usage = &self.spent.usage;
        let (mean, max) = self.latency.unwrap_or_default();
        for (key, seconds) in [
            (names::CONVERSATION_USER_BOT_LATENCY_MEAN, mean),
            (names::CONVERSATION_USER_BOT_LATENCY_MAX, max),
            (
                names::CONVERSATION_USER_SPEECH_SECONDS,
                self.speech.user.as_secs_f64(),
            ),
            (
                names::CONVERSATION_BOT_SPEECH_SECONDS,
                self.speech.bot.as_secs_f64(),
            ),
            (
                names::CONVERSATION_DEAD_AIR_SECONDS,
                self.speech.dead_air.as_secs_f64(),
            ),
        ] {
            if seconds > 0.0 {
                attributes.set(key, seconds);
            }
        }
        for (key, count) in [
            (names::CONVERSATION_USAGE_INPUT_TOKENS, usage.input_tokens),
            (names::CONVERSATION_USAGE_OUTPUT_TOKENS, usage.output_tokens),
            (names::CONVERSATION_USAGE_CHARACTERS, usage.characters),
        ] {
            if let Some(count) = count.filter(|count| *count > 0) {
                attributes.set(key, i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        if let Some(seconds) = usage.audio_seconds.filter(|seconds| *seconds > 0.0) {
            // As services recorded them: integers leave as integers.
            let sum = if self.spent.seconds_are_integer() {
                Value::I64(seconds as i64)
            } else {
                Value::F64(seconds)
            };
            attributes.set(names::CONVERSATION_USAGE_AUDIO_SECONDS, sum);
        }
        add_cost(&self.spent, attributes);
    }
}

/// Adds what services cost to the attributes of a turn's or conversation's span, if there is a price for any.
pub(super) fn add_cost(spent: &Spent, attributes: &mut AttributeList) {
    if let Some(cost) = spent.cost_usd {
        attributes.set(names::USAGE_COST_USD, cost);
    }
    if spent.cost_is_partial() {
        attributes.set(names::USAGE_COST_IS_PARTIAL, true);
    }
}
