//! Boundary events by their names, and what their fields say.

use super::recorded::Recorded as _;
use super::table::Opening;
use crate::conversation::Heard;
use crate::field::FieldValue;
use crate::names;
use crate::seen::SeenEvent;
use std::sync::Arc;
use std::time::Duration;
use tracing_core::Event;

/// A boundary event by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    ConversationStarted,
    ConversationEnded,
    ClientConnected,
    ClientDisconnected,
    UserStarted,
    UserStopped,
    VadStarted,
    VadStopped,
    BotStarted,
    BotStopped,
    Interruption,
    FirstByte,
    Annotate,
}

impl Boundary {
    #[inline]
    pub(super) fn named(name: &str) -> Option<Self> {
        use names::event as n;
        Some(match name {
            n::CONVERSATION_STARTED => Self::ConversationStarted,
            n::CONVERSATION_ENDED => Self::ConversationEnded,
            n::CLIENT_CONNECTED => Self::ClientConnected,
            n::CLIENT_DISCONNECTED => Self::ClientDisconnected,
            n::USER_STARTED_SPEAKING => Self::UserStarted,
            n::USER_STOPPED_SPEAKING => Self::UserStopped,
            n::VAD_USER_STARTED_SPEAKING => Self::VadStarted,
            n::VAD_USER_STOPPED_SPEAKING => Self::VadStopped,
            n::BOT_STARTED_SPEAKING => Self::BotStarted,
            n::BOT_STOPPED_SPEAKING => Self::BotStopped,
            n::INTERRUPTION => Self::Interruption,
            n::FIRST_BYTE => Self::FirstByte,
            n::ANNOTATE => Self::Annotate,
            _ => return None,
        })
    }

    /// What of a program's turns it shows, for the doctor.
    #[inline]
    pub(super) fn seen_as(self) -> u32 {
        let turn = SeenEvent::Turn as u32;
        match self {
            Self::UserStarted => turn | SeenEvent::UserStarted as u32,
            Self::UserStopped | Self::BotStopped => turn,
            Self::BotStarted => turn | SeenEvent::BotStarted as u32,
            Self::VadStarted | Self::VadStopped => SeenEvent::Vad as u32,
            _ => 0,
        }
    }

    pub(super) fn ends_conversation(self) -> bool {
        matches!(self, Self::ConversationEnded | Self::ClientDisconnected)
    }

    /// When it opens the conversation that it names.
    pub(super) fn opening(self) -> Opening {
        match self {
            Self::ConversationStarted | Self::ClientConnected => Opening::Ended,
            // The end of an unknown conversation has nothing to end, and a first byte needs a span to be of.
            Self::ConversationEnded | Self::ClientDisconnected | Self::FirstByte => Opening::Never,
            _ => Opening::Unknown,
        }
    }
}

/// What an event says, but for the fields of an annotation.
#[derive(Default)]
pub(super) struct BoundaryFields {
    pub(super) boundary: Option<Boundary>,
    pub(super) unknown_name: Option<String>,
    pub(super) conversation: Option<Arc<str>>,
    /// For how long it had been so when voice activity was confirmed.
    pub(super) since: Duration,
    pub(super) heard: Heard,
    pub(super) ago: Duration,
    pub(super) is_tool_call: bool,
    pub(super) reason: Option<String>,
}

impl BoundaryFields {
    /// The fields that say anything.
    pub(super) const NAMES: &[&str] = &[
        names::CONVERSATION_EVENT,
        names::CONVERSATION_ID,
        names::START_SECS,
        names::STOP_SECS,
        names::TEXT_HEARD,
        names::PLAYED_SECS,
        names::AGO_SECS,
        names::TEXT,
        names::REASON,
    ];

    /// Takes in what an event says.
    #[inline]
    pub(super) fn read(&mut self, event: &Event<'_>) {
        event.each_of(Self::NAMES, |field, value| self.set(field, value));
    }

    pub(super) fn set(&mut self, field: &'static str, value: FieldValue<'_>) {
        if let Some(field) = BoundaryField::named(field) {
            self.set_field(field, value);
        }
    }

    #[inline]
    pub(super) fn set_field(&mut self, field: BoundaryField, value: FieldValue<'_>) {
        match field {
            BoundaryField::Event => {
                let name = value.text();
                self.boundary = Boundary::named(&name);
                if self.boundary.is_none() {
                    // As much as a warning needs: a name may be anything, of any length.
                    self.unknown_name = Some(name.chars().take(80).collect());
                }
            }
            BoundaryField::Conversation => self.conversation = value.conversation_id(),
            BoundaryField::Since | BoundaryField::Ago | BoundaryField::PlayedSecs => {
                if let Some(seconds) = value.number() {
                    self.set_seconds(field, seconds);
                }
            }
            BoundaryField::Text => {
                self.is_tool_call =
                    matches!(value, FieldValue::Bool(false) | FieldValue::Str("false"));
            }
            BoundaryField::Reason => self.reason = Some(value.text().into_owned()),
            BoundaryField::TextHeard => self.heard.text = Some(value.text().into()),
        }
    }

    /// Sets a field that has seconds.
    #[inline]
    pub(super) fn set_seconds(&mut self, field: BoundaryField, seconds: f64) {
        let duration = || Duration::try_from_secs_f64(seconds).unwrap_or_default();
        match field {
            BoundaryField::Since => self.since = duration(),
            BoundaryField::Ago => self.ago = duration(),
            BoundaryField::PlayedSecs => self.heard.seconds = (seconds >= 0.0).then_some(seconds),
            _ => {}
        }
    }
}

/// A field that says something of a boundary event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoundaryField {
    Event,
    Conversation,
    /// `start_secs` or `stop_secs`.
    Since,
    Ago,
    Text,
    Reason,
    TextHeard,
    PlayedSecs,
}

impl BoundaryField {
    /// Whether it has seconds.
    pub(super) fn is_seconds(self) -> bool {
        matches!(self, Self::Since | Self::Ago | Self::PlayedSecs)
    }

    // One comparison of names in what reads an event, not two.
    #[inline(always)]
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            names::CONVERSATION_EVENT => Self::Event,
            names::CONVERSATION_ID => Self::Conversation,
            names::START_SECS | names::STOP_SECS => Self::Since,
            names::AGO_SECS => Self::Ago,
            names::TEXT => Self::Text,
            names::REASON => Self::Reason,
            names::TEXT_HEARD => Self::TextHeard,
            names::PLAYED_SECS => Self::PlayedSecs,
            _ => return None,
        })
    }
}
