//! The turn model: derives turns from speech events.
//!
//! A pure state machine: it reads no clock, starts no thread and knows neither `tracing` nor OpenTelemetry. Times are
//! offsets from the start of the conversation. The rules are those of Pipecat's `TurnTrackingObserver`, except that a
//! stale timer never ends a later turn and that a turn ended by silence ends when the bot stopped.

use std::time::Duration;

/// The speech events that turns depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpeechEvent {
    /// The user takes the turn.
    UserStarted,
    /// The bot's first audio is sent.
    BotStarted,
    /// The bot's last audio has been sent.
    BotStopped,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EndReason {
    /// The user spoke after the bot had.
    UserSpoke,
    /// The user spoke while the bot was speaking.
    Interrupted,
    /// Nobody spoke for the turn-end timeout.
    Silence,
    /// The conversation ended.
    ConversationEnded,
    /// The conversation had no event for the idle timeout.
    ConversationLost,
}

impl EndReason {
    /// Returns the value of `turn.end_reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserSpoke => "user_spoke",
            Self::Interrupted => "interrupted",
            Self::Silence => "silence",
            Self::ConversationEnded => "conversation_ended",
            Self::ConversationLost => "conversation_lost",
        }
    }

    /// Returns whether the turn ended because the conversation did.
    pub fn is_conversation_end(self) -> bool {
        matches!(self, Self::ConversationEnded | Self::ConversationLost)
    }

    /// Returns the value of `turn.was_interrupted`.
    pub fn is_interruption(self) -> bool {
        matches!(self, Self::Interrupted) || self.is_conversation_end()
    }
}

/// A change that an event causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A turn starts.
    Started { number: u32, at: Duration },
    /// The open turn ends.
    Ended { at: Duration, reason: EndReason },
}

#[derive(Debug)]
struct OpenTurn {
    started: Duration,
    bot_has_spoken: bool,
    /// When the bot stopped speaking, while the turn-end timeout is running.
    silent_since: Option<Duration>,
    /// When the turn-end timeout expires.
    deadline: Option<Duration>,
}

/// The turns of one conversation.
#[derive(Debug)]
pub(crate) struct Turns {
    timeout: Duration,
    open: Option<OpenTurn>,
    number: u32,
    bot_is_speaking: bool,
    /// The latest time passed in: earlier times are clamped to it.
    now: Duration,
}

impl Turns {
    /// Creates a model that ends a turn `timeout` after the bot's speech, unless somebody speaks before.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            open: None,
            number: 0,
            bot_is_speaking: false,
            now: Duration::ZERO,
        }
    }

    /// Starts the first turn.
    pub(crate) fn begin(&mut self, at: Duration, changes: &mut dyn FnMut(Change)) {
        self.start(at, changes);
    }

    /// Applies a speech event.
    pub(crate) fn apply(
        &mut self,
        at: Duration,
        event: SpeechEvent,
        changes: &mut dyn FnMut(Change),
    ) {
        let at = self.advance(at, changes);
        match event {
            SpeechEvent::UserStarted => {
                if self.bot_is_speaking {
                    self.bot_is_speaking = false;
                    self.end(at, EndReason::Interrupted, changes);
                    self.start(at, changes);
                } else if self.open.as_ref().is_none_or(|turn| turn.bot_has_spoken) {
                    self.end(at, EndReason::UserSpoke, changes);
                    self.start(at, changes);
                }
            }
            SpeechEvent::BotStarted => {
                self.bot_is_speaking = true;
                if let Some(turn) = &mut self.open {
                    turn.bot_has_spoken = true;
                    turn.silent_since = None;
                    turn.deadline = None;
                }
            }
            SpeechEvent::BotStopped => {
                // After an interruption the bot's pending audio still reports its end, which does not concern the new turn.
                if std::mem::take(&mut self.bot_is_speaking)
                    && let Some(turn) = &mut self.open
                {
                    turn.silent_since = Some(at);
                    turn.deadline = at.checked_add(self.timeout);
                }
            }
        }
    }

    /// Ends the open turn if its timeout has expired. Returns `at`, clamped to the latest time seen.
    pub(crate) fn advance(&mut self, at: Duration, changes: &mut dyn FnMut(Change)) -> Duration {
        self.now = self.now.max(at);
        if self.deadline().is_some_and(|deadline| deadline <= self.now)
            && let Some(silent_since) = self.open.as_ref().and_then(|turn| turn.silent_since)
        {
            self.end(silent_since, EndReason::Silence, changes);
        }
        self.now
    }

    /// Ends the open turn because the conversation ends. Returns `at`, clamped to the latest time seen.
    pub(crate) fn finish(
        &mut self,
        at: Duration,
        reason: EndReason,
        changes: &mut dyn FnMut(Change),
    ) -> Duration {
        let at = self.advance(at, changes);
        self.end(at, reason, changes);
        at
    }

    /// Returns whether the bot has spoken in the open turn.
    #[inline]
    pub(crate) fn bot_has_spoken(&self) -> bool {
        self.open.as_ref().is_some_and(|turn| turn.bot_has_spoken)
    }

    /// Returns when the open turn ends, unless there is another event.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.open.as_ref()?.deadline
    }

    fn start(&mut self, at: Duration, changes: &mut dyn FnMut(Change)) {
        self.number = self.number.saturating_add(1);
        self.open = Some(OpenTurn {
            started: at,
            bot_has_spoken: false,
            silent_since: None,
            deadline: None,
        });
        changes(Change::Started {
            number: self.number,
            at,
        });
    }

    fn end(&mut self, at: Duration, reason: EndReason, changes: &mut dyn FnMut(Change)) {
        if let Some(turn) = self.open.take() {
            changes(Change::Ended {
                at: at.max(turn.started),
                reason,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies `script` (milliseconds and events) and returns the changes as text.
    fn turns(script: &[(u64, SpeechEvent)], ends_at: u64) -> Vec<String> {
        let mut turns = Turns::new(Duration::from_millis(2_500));
        let mut changes = Vec::new();
        let mut record = |change| {
            changes.push(match change {
                Change::Started { number, at } => {
                    format!("{} starts at {}", number, at.as_millis())
                }
                Change::Ended { at, reason } => {
                    format!("ends at {}: {}", at.as_millis(), reason.as_str())
                }
            });
        };
        turns.begin(Duration::ZERO, &mut record);
        for (at, event) in script {
            turns.apply(Duration::from_millis(*at), *event, &mut record);
        }
        turns.finish(
            Duration::from_millis(ends_at),
            EndReason::ConversationEnded,
            &mut record,
        );
        changes
    }

    use SpeechEvent::{BotStarted, BotStopped, UserStarted};

    #[test]
    fn first_turn_starts_and_ends_with_conversation() {
        assert_eq!(
            turns(&[], 900),
            ["1 starts at 0", "ends at 900: conversation_ended"]
        );
    }

    #[test]
    fn interruption_ends_turn() {
        let script = [
            (100, UserStarted),
            (500, BotStarted),
            (800, UserStarted),
            (900, BotStopped),
        ];
        assert_eq!(
            turns(&script, 9_000),
            [
                "1 starts at 0",
                "ends at 800: interrupted",
                "2 starts at 800",
                "ends at 9000: conversation_ended"
            ]
        );
    }

    #[test]
    fn user_speech_after_bot_starts_next_turn() {
        let script = [(500, BotStarted), (800, BotStopped), (1_000, UserStarted)];
        assert_eq!(
            turns(&script, 1_500),
            [
                "1 starts at 0",
                "ends at 1000: user_spoke",
                "2 starts at 1000",
                "ends at 1500: conversation_ended"
            ]
        );
    }

    #[test]
    fn user_speech_before_bot_stays_in_turn() {
        let script = [(100, UserStarted), (300, UserStarted)];
        assert_eq!(
            turns(&script, 500),
            ["1 starts at 0", "ends at 500: conversation_ended"]
        );
    }

    #[test]
    fn silence_ends_turn_when_bot_stopped() {
        let script = [(500, BotStarted), (800, BotStopped)];
        assert_eq!(
            turns(&script, 3_300),
            ["1 starts at 0", "ends at 800: silence"]
        );
        assert_eq!(
            turns(&script, 3_299),
            ["1 starts at 0", "ends at 3299: conversation_ended"]
        );
    }

    #[test]
    fn bot_resuming_within_timeout_keeps_turn_open() {
        let script = [
            (500, BotStarted),
            (800, BotStopped),
            (3_299, BotStarted),
            (4_000, BotStopped),
        ];
        assert_eq!(
            turns(&script, 9_000),
            ["1 starts at 0", "ends at 4000: silence"]
        );
    }

    #[test]
    fn stale_timer_does_not_end_later_turn() {
        let script = [
            (500, BotStarted),
            (800, BotStopped),
            // Silence has ended the turn; the bot starts and stops between turns.
            (4_000, BotStarted),
            (4_100, BotStopped),
            (4_200, UserStarted),
        ];
        assert_eq!(
            turns(&script, 9_000),
            [
                "1 starts at 0",
                "ends at 800: silence",
                "2 starts at 4200",
                "ends at 9000: conversation_ended"
            ]
        );
    }

    #[test]
    fn bot_stop_without_start_is_ignored() {
        assert_eq!(
            turns(&[(100, BotStopped)], 9_000),
            ["1 starts at 0", "ends at 9000: conversation_ended"]
        );
    }

    #[test]
    fn earlier_time_is_clamped_to_latest() {
        let script = [
            (500, BotStarted),
            (700, UserStarted),
            (100, BotStarted),
            (0, UserStarted),
        ];
        assert_eq!(
            turns(&script, 0),
            [
                "1 starts at 0",
                "ends at 700: interrupted",
                "2 starts at 700",
                "ends at 700: interrupted",
                "3 starts at 700",
                "ends at 700: conversation_ended"
            ]
        );
    }
}

#[cfg(test)]
mod properties;
