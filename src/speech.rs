//! How long the user and the bot speak, and how long the user is left without an answer.
//!
//! A pure state machine beside the turn model: times are offsets from the start of the conversation. A piece of speech counts
//! whole, for the turn that is open when its end is known.

use std::time::Duration;

/// An answer may take so long before the silence is dead air.
const ANSWER_IS_OWED_FOR: Duration = Duration::from_secs(2);

/// Sums of one turn, or of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpeechSums {
    pub(crate) user: Duration,
    pub(crate) bot: Duration,
    pub(crate) dead_air: Duration,
}

/// What is known of the speech in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnSpeech {
    pub(crate) sums: SpeechSums,
    /// How long the bot had spoken when it was interrupted.
    pub(crate) interrupted_after: Option<Duration>,
    /// In a turn that began by an interruption, how long the bot went on.
    pub(crate) barge_in_stop: Option<Duration>,
}

/// The speech in one conversation.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    user_since: Option<Duration>,
    bot_since: Option<Duration>,
    /// The end of the user's speech, while neither has spoken since.
    owed_since: Option<Duration>,
    last_user_end: Duration,
    /// When the open turn began by an interruption, until the bot is known to have stopped or to speak again.
    barged_in_at: Option<Duration>,
    /// Of the open turn; between turns, of no turn.
    turn: TurnSpeech,
    total: SpeechSums,
}

impl Speech {
    /// The user is speaking at `at`, and has been for `since`.
    pub(crate) fn user_started(&mut self, at: Duration, since: Duration) {
        if self.user_since.is_none() {
            let from = at.saturating_sub(since).max(self.last_user_end);
            self.user_since = Some(from);
            self.spoken(from);
        }
    }

    /// The user is silent at `at`, and has been for `since`.
    pub(crate) fn user_stopped(&mut self, at: Duration, since: Duration) {
        if let Some(from) = self.user_since.take() {
            let to = at.saturating_sub(since).max(from);
            self.last_user_end = to;
            self.each_sum(|sums| sums.user += to - from);
            if self.bot_since.is_none() {
                self.owed_since = Some(to);
            }
        }
    }

    pub(crate) fn bot_started(&mut self, at: Duration) {
        self.spoken(at);
        self.bot_since.get_or_insert(at);
        self.barged_in_at = None;
    }

    pub(crate) fn bot_stopped(&mut self, at: Duration) {
        self.end_bot(at);
        if let Some(began) = self.barged_in_at.take() {
            self.turn.barge_in_stop = Some(at.saturating_sub(began));
        }
    }

    /// The user interrupts the bot, which ends the open turn at `at`.
    pub(crate) fn interrupted(&mut self, at: Duration) {
        self.turn.interrupted_after = self.end_bot(at);
    }

    pub(crate) fn turn_started(&mut self, at: Duration, by_interruption: bool) {
        self.turn = TurnSpeech::default();
        self.barged_in_at = by_interruption.then_some(at);
    }

    /// Returns what is known of the turn that ends.
    pub(crate) fn turn_ended(&mut self) -> TurnSpeech {
        self.barged_in_at = None;
        std::mem::take(&mut self.turn)
    }

    /// Ends what is being said, because the conversation ends, before its last turn does.
    pub(crate) fn finish(&mut self, at: Duration) {
        self.user_stopped(at, Duration::ZERO);
        self.end_bot(at);
        self.spoken(at);
    }

    /// Returns the sums of the conversation so far.
    pub(crate) fn total(&self) -> SpeechSums {
        self.total
    }

    /// Somebody speaks from `from` on: no answer is owed any more.
    fn spoken(&mut self, from: Duration) {
        if let Some(since) = self.owed_since.take() {
            let silent = from.saturating_sub(since);
            if let Some(dead_air) = silent.checked_sub(ANSWER_IS_OWED_FOR) {
                self.each_sum(|sums| sums.dead_air += dead_air);
            }
        }
    }

    /// Ends a piece of the bot's speech. Returns how long it lasted.
    fn end_bot(&mut self, at: Duration) -> Option<Duration> {
        let lasted = at.saturating_sub(self.bot_since.take()?);
        self.each_sum(|sums| sums.bot += lasted);
        Some(lasted)
    }

    fn each_sum(&mut self, add: impl Fn(&mut SpeechSums)) {
        add(&mut self.turn.sums);
        add(&mut self.total);
    }
}

#[cfg(test)]
mod properties;
