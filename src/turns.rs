//! The turn model: who speaks when, in; turns, out.
//!
//! A pure state machine. Times are offsets from the start of the conversation; it reads no clock, starts no thread and
//! knows neither `tracing` nor OpenTelemetry. Its rules are those of Pipecat's `TurnTrackingObserver`, save that a timer
//! left over from one turn can never end a later one and that a turn ended by silence ends where the bot stopped.

use std::time::Duration;

/// What moves the turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// The user takes the turn.
    UserStarted,
    /// Audio of the bot leaves.
    BotStarted,
    /// The last audio of the bot has left.
    BotStopped,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The user spoke after the bot had.
    UserSpoke,
    /// The user spoke while the bot did.
    Interrupted,
    /// Nobody spoke for the turn-end timeout.
    Silence,
    /// The conversation ended.
    ConversationEnded,
    /// The conversation was not heard of for the idle limit.
    ConversationLost,
}

impl EndReason {
    /// The value of `turn.end_reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UserSpoke => "user_spoke",
            Self::Interrupted => "interrupted",
            Self::Silence => "silence",
            Self::ConversationEnded => "conversation_ended",
            Self::ConversationLost => "conversation_lost",
        }
    }

    /// Whether the conversation's end ended the turn.
    pub(crate) fn is_conversation_end(self) -> bool {
        matches!(self, Self::ConversationEnded | Self::ConversationLost)
    }

    /// The value of `turn.was_interrupted`.
    pub(crate) fn is_interruption(self) -> bool {
        matches!(self, Self::Interrupted) || self.is_conversation_end()
    }
}

/// What becomes of the turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A turn begins.
    Started { number: u32, at: Duration },
    /// The open turn ends.
    Ended { at: Duration, reason: EndReason },
}

#[derive(Debug)]
struct OpenTurn {
    started: Duration,
    bot_has_spoken: bool,
    /// When the bot fell silent, while the turn-end timeout runs.
    silent_since: Option<Duration>,
    /// When that will be over.
    deadline: Option<Duration>,
}

/// The turns of one conversation.
#[derive(Debug)]
pub(crate) struct Turns {
    timeout: Duration,
    open: Option<OpenTurn>,
    number: u32,
    bot_is_speaking: bool,
    /// The latest time seen: time never runs backwards here, whatever callers say.
    now: Duration,
}

impl Turns {
    /// Turns that end when nothing follows the bot's speech for `timeout`.
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

    /// Takes in that somebody began or ceased to speak.
    pub(crate) fn hear(&mut self, at: Duration, speech: Speech, changes: &mut dyn FnMut(Change)) {
        let at = self.advance(at, changes);
        match speech {
            Speech::UserStarted => {
                if self.bot_is_speaking {
                    self.bot_is_speaking = false;
                    self.end(at, EndReason::Interrupted, changes);
                    self.start(at, changes);
                } else if self.open.as_ref().is_none_or(|turn| turn.bot_has_spoken) {
                    self.end(at, EndReason::UserSpoke, changes);
                    self.start(at, changes);
                }
            }
            Speech::BotStarted => {
                self.bot_is_speaking = true;
                if let Some(turn) = &mut self.open {
                    turn.bot_has_spoken = true;
                    turn.silent_since = None;
                    turn.deadline = None;
                }
            }
            Speech::BotStopped => {
                // After an interruption the bot's last audio still reports its end: that says nothing of the new turn.
                if std::mem::take(&mut self.bot_is_speaking)
                    && let Some(turn) = &mut self.open
                {
                    turn.silent_since = Some(at);
                    turn.deadline = at.checked_add(self.timeout);
                }
            }
        }
    }

    /// Lets time pass: ends the open turn if its timeout is over. Gives the time, never earlier than the last.
    pub(crate) fn advance(&mut self, at: Duration, changes: &mut dyn FnMut(Change)) -> Duration {
        self.now = self.now.max(at);
        if self.deadline().is_some_and(|deadline| deadline <= self.now)
            && let Some(silent_since) = self.open.as_ref().and_then(|turn| turn.silent_since)
        {
            self.end(silent_since, EndReason::Silence, changes);
        }
        self.now
    }

    /// Ends the conversation, and with it the open turn.
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

    /// When the open turn ends if nothing more is heard.
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

    /// Plays `script` (milliseconds and speech) and tells the turns as text.
    fn turns(script: &[(u64, Speech)], ends_at: u64) -> Vec<String> {
        let mut turns = Turns::new(Duration::from_millis(2_500));
        let mut told = Vec::new();
        let mut tell = |change| {
            told.push(match change {
                Change::Started { number, at } => {
                    format!("{} starts at {}", number, at.as_millis())
                }
                Change::Ended { at, reason } => {
                    format!("ends at {}: {}", at.as_millis(), reason.as_str())
                }
            });
        };
        turns.begin(Duration::ZERO, &mut tell);
        for (at, speech) in script {
            turns.hear(Duration::from_millis(*at), *speech, &mut tell);
        }
        turns.finish(
            Duration::from_millis(ends_at),
            EndReason::ConversationEnded,
            &mut tell,
        );
        told
    }

    use Speech::{BotStarted, BotStopped, UserStarted};

    #[test]
    fn the_first_turn_starts_with_the_conversation_and_ends_with_it() {
        assert_eq!(
            turns(&[], 900),
            ["1 starts at 0", "ends at 900: conversation_ended"]
        );
    }

    #[test]
    fn an_interruption_ends_the_turn_it_interrupts() {
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
    fn a_user_who_speaks_after_the_bot_starts_the_next_turn() {
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
    fn a_user_who_speaks_before_the_bot_stays_in_the_turn() {
        let script = [(100, UserStarted), (300, UserStarted)];
        assert_eq!(
            turns(&script, 500),
            ["1 starts at 0", "ends at 500: conversation_ended"]
        );
    }

    #[test]
    fn silence_ends_the_turn_where_the_bot_stopped() {
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
    fn a_bot_that_goes_on_within_the_timeout_keeps_its_turn() {
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
    fn a_stale_timer_never_ends_a_later_turn() {
        let script = [
            (500, BotStarted),
            (800, BotStopped),
            // The turn is over by silence; the bot speaks and stops between turns.
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
    fn a_bot_that_stops_without_having_spoken_says_nothing() {
        assert_eq!(
            turns(&[(100, BotStopped)], 9_000),
            ["1 starts at 0", "ends at 9000: conversation_ended"]
        );
    }

    #[test]
    fn time_that_runs_backwards_is_taken_as_standing_still() {
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
