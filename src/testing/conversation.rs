//! A conversation that was recorded.

use super::attributes::{
    count, duration, is_conversation, is_service, is_turn, number, seconds, text, value,
};
use super::service::RecordedService;
use super::snapshot::{Snapshot, errors};
use super::tree::Tree;
use super::turn::RecordedTurn;
use crate::names;
use crate::usage::Usage;
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use std::fmt;
use std::time::Duration;

/// What has ended of a conversation, at the moment it was asked for. Cheap to clone.
#[derive(Clone)]
pub struct RecordedConversation(Snapshot);

impl RecordedConversation {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self(snapshot)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.span().is_some()
    }

    /// How long it lasted.
    ///
    /// # Panics
    ///
    /// It has not ended.
    #[track_caller]
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration(self.own())
    }

    /// How long the user spoke (`conversation.user_speech_seconds`).
    ///
    /// # Panics
    ///
    /// The conversation has not ended.
    #[track_caller]
    #[must_use]
    pub fn user_speech(&self) -> Duration {
        self.sum(names::CONVERSATION_USER_SPEECH_SECONDS)
    }

    /// How long the bot spoke (`conversation.bot_speech_seconds`).
    ///
    /// # Panics
    ///
    /// The conversation has not ended.
    #[track_caller]
    #[must_use]
    pub fn bot_speech(&self) -> Duration {
        self.sum(names::CONVERSATION_BOT_SPEECH_SECONDS)
    }

    /// How long the user was left without an answer, beyond the first two seconds of each wait
    /// (`conversation.dead_air_seconds`).
    ///
    /// # Panics
    ///
    /// The conversation has not ended.
    #[track_caller]
    #[must_use]
    pub fn dead_air(&self) -> Duration {
        self.sum(names::CONVERSATION_DEAD_AIR_SECONDS)
    }

    /// A sum that the conversation lacks where it is zero.
    #[track_caller]
    fn sum(&self, key: &str) -> Duration {
        seconds(self.own(), key).unwrap_or_default()
    }

    /// What its services used, as far as its span sums it up: tokens in and out, characters, seconds of audio.
    ///
    /// # Panics
    ///
    /// It has not ended.
    #[track_caller]
    #[must_use]
    pub fn usage(&self) -> Usage {
        let span = self.own();
        Usage {
            input_tokens: count(span, names::CONVERSATION_USAGE_INPUT_TOKENS),
            output_tokens: count(span, names::CONVERSATION_USAGE_OUTPUT_TOKENS),
            characters: count(span, names::CONVERSATION_USAGE_CHARACTERS),
            audio_seconds: number(span, names::CONVERSATION_USAGE_AUDIO_SECONDS),
            ..Usage::default()
        }
    }

    /// The turns that have ended, in order.
    #[must_use]
    pub fn turns(&self) -> Vec<RecordedTurn> {
        let turns = self.0.spans().iter().filter(|span| is_turn(span));
        turns
            .map(|span| RecordedTurn::new(self.0.clone(), span.clone()))
            .collect()
    }

    /// The turn with this number, from 1.
    ///
    /// # Panics
    ///
    /// No such turn has ended.
    #[track_caller]
    #[must_use]
    pub fn turn(&self, number: u32) -> RecordedTurn {
        let turns = self.turns();
        if let Some(turn) = turns.iter().rev().find(|turn| turn.number() == number) {
            return turn.clone();
        }
        let ended: Vec<String> = turns.iter().map(|turn| turn.number().to_string()).collect();
        match ended.as_slice() {
            [] => panic!("no turn of conversation {:?} has ended", self.id()),
            ended => panic!(
                "turn {number} of conversation {:?} has not ended; those that have: {}",
                self.id(),
                ended.join(", ")
            ),
        }
    }

    /// The service spans that have ended, in the order of their start, those between turns as well.
    #[must_use]
    pub fn services(&self) -> Vec<RecordedService> {
        let services = self.0.spans().iter().filter(|span| is_service(span));
        services
            .map(|span| RecordedService::new(self.0.clone(), span.clone()))
            .collect()
    }

    /// How many of its turns were interrupted by the user.
    #[must_use]
    pub fn interruptions(&self) -> usize {
        let turns = self.turns();
        turns.iter().filter(|turn| turn.interrupted()).count()
    }

    /// What went wrong in it: for each service and turn that failed its name and the error, as in `llm: rate limited`.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        errors(self.0.spans().iter())
    }

    /// The user's first words, or nothing.
    #[must_use]
    pub fn input(&self) -> String {
        self.text(names::CONVERSATION_INPUT)
    }

    /// The bot's last words, or nothing.
    #[must_use]
    pub fn output(&self) -> String {
        self.text(names::CONVERSATION_OUTPUT)
    }

    fn text(&self, key: &str) -> String {
        let span = self.span();
        span.and_then(|span| text(span, key)).unwrap_or_default()
    }

    /// What it cost in US dollars, as far as that is known.
    #[must_use]
    pub fn cost_usd(&self) -> Option<f64> {
        number(self.span()?, names::USAGE_COST_USD)
    }

    /// An attribute of the conversation's span.
    ///
    /// # Panics
    ///
    /// It has not ended.
    #[track_caller]
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<Value> {
        value(self.own(), key).cloned()
    }

    /// What has ended of it, as a tree of text.
    pub fn tree(&self) -> Tree {
        Tree::of_recorded(self.0.spans().to_vec())
    }

    /// The span of the conversation itself, once it has ended.
    #[must_use]
    pub fn span(&self) -> Option<&SpanData> {
        let mut spans = self.0.spans().iter().rev();
        spans.find(|span| is_conversation(span)).map(|span| &**span)
    }

    #[track_caller]
    fn own(&self) -> &SpanData {
        match self.span() {
            Some(span) => span,
            None => panic!("conversation {:?} has not ended", self.id()),
        }
    }
}

impl fmt::Debug for RecordedConversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.tree(), f)
    }
}
