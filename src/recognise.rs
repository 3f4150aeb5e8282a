//! What a call site is to the layer: decided once a call site, by the names of its fields alone.

use crate::names;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_core::Metadata;

/// What a span or event is to the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum CallSite {
    /// None of the layer's business.
    Ordinary = 1,
    /// A span that is a conversation.
    Conversation = 2,
    /// A span that is a piece of a service's work.
    Service = 3,
    /// Any other span that says which conversation it belongs to.
    Joining = 4,
    /// An event addressed to the layer.
    Boundary = 5,
    /// A service span that declares more than what it does: where it belongs, or how it is named.
    PlacedService = 6,
}

/// Answers already given, by the address of the call site's metadata, which is never freed; the answer sits in the
/// address's low bits, which alignment keeps clear. A slot that two call sites share is merely asked again.
static ANSWERS: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
const SLOTS: usize = 1 << 10;
const ANSWER: usize = 0b111;
const _: () = assert!(align_of::<Metadata<'static>>() > ANSWER);

impl CallSite {
    /// What `metadata` describes.
    #[inline]
    pub(crate) fn of(metadata: &'static Metadata<'static>) -> Self {
        let address = std::ptr::from_ref(metadata).addr();
        let slot = &ANSWERS[(address / align_of::<Metadata<'static>>()) % SLOTS];
        let known = slot.load(Ordering::Relaxed);
        if known & !ANSWER == address {
            return Self::from_answer(known & ANSWER);
        }
        let answer = Self::read(metadata);
        slot.store(address | answer as usize, Ordering::Relaxed);
        answer
    }

    #[inline]
    fn from_answer(answer: usize) -> Self {
        match answer {
            2 => Self::Conversation,
            3 => Self::Service,
            4 => Self::Joining,
            5 => Self::Boundary,
            6 => Self::PlacedService,
            _ => Self::Ordinary,
        }
    }

    #[cold]
    fn read(metadata: &Metadata<'static>) -> Self {
        let declares = |name| metadata.fields().field(name).is_some();
        if metadata.is_event() {
            if declares(names::CONVERSATION_EVENT) {
                Self::Boundary
            } else {
                Self::Ordinary
            }
        } else if declares(names::GEN_AI_OPERATION_NAME) {
            let places = [
                names::CONVERSATION_ID,
                names::TURN_NUMBER,
                names::OTEL_NAME,
                names::OTEL_KIND,
            ];
            if places.into_iter().any(declares) {
                Self::PlacedService
            } else {
                Self::Service
            }
        } else if !declares(names::CONVERSATION_ID) {
            Self::Ordinary
        } else if metadata.name() == names::CONVERSATION {
            Self::Conversation
        } else {
            Self::Joining
        }
    }
}

/// The events addressed to the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
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
    pub(crate) fn named(name: &str) -> Option<Self> {
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
}

/// What a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Stt,
    Llm,
    Tts,
    Tool,
    Realtime,
    /// Something that keeps its own name.
    Other,
}

/// The values of `gen_ai.operation.name`, and the span names of the crate's own macros, that say what a service does.
const OPERATIONS: &[(Service, &[&str])] = &[
    (Service::Stt, &["stt", "speech_to_text", "transcription"]),
    (
        Service::Llm,
        &["chat", "text_completion", "generate_content", "llm"],
    ),
    (Service::Tts, &["tts", "text_to_speech", "audio_generation"]),
    (Service::Tool, &["execute_tool", "tool"]),
    (Service::Realtime, &["realtime"]),
];

impl Service {
    /// What an operation does, and its name, if it is one of those that are known.
    pub(crate) fn known(operation: &str) -> Option<(Self, &'static str)> {
        for (service, names) in OPERATIONS {
            for name in *names {
                if *name == operation {
                    return Some((*service, name));
                }
            }
        }
        None
    }

    pub(crate) fn named(operation: &str) -> Self {
        Self::known(operation).map_or(Self::Other, |(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_of_an_operation_is_known_and_every_other_keeps_its_own_name() {
        let known = |name| Service::named(name);
        assert_eq!(
            ["stt", "speech_to_text", "transcription"].map(known),
            [Service::Stt; 3]
        );
        assert_eq!(
            ["chat", "text_completion", "generate_content"].map(known),
            [Service::Llm; 3]
        );
        assert_eq!(
            ["tts", "text_to_speech", "audio_generation"].map(known),
            [Service::Tts; 3]
        );
        assert_eq!(
            ["execute_tool", "realtime"].map(known),
            [Service::Tool, Service::Realtime]
        );
        assert_eq!(
            ["invoke_agent", "embeddings", ""].map(known),
            [Service::Other; 3]
        );
    }
}
