//! What a callsite is to the layer: decided once a callsite, by the names of its fields alone.

use crate::names;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_core::Metadata;

/// What a span or event is to the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum CallsiteKind {
    /// Nothing that the layer handles itself.
    Ordinary = 1,
    /// A span that is the scope of a conversation.
    Scope = 2,
    /// A span that is a service's work.
    Service = 3,
    /// Any other span that names its conversation.
    Joining = 4,
    /// An event addressed to the layer.
    Boundary = 5,
    /// A service span that declares where it belongs, or how it is named.
    ExplicitService = 6,
}

/// Answers already given, by the address of the callsite's metadata, which is never freed; the answer is in the address's
/// low bits, which alignment keeps clear. Where two callsites share a slot, one of them is looked at again.
static ANSWERS: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
const SLOTS: usize = 1 << 10;
const ANSWER: usize = 0b111;
const _: () = assert!(align_of::<Metadata<'static>>() > ANSWER);

impl CallsiteKind {
    #[inline]
    pub(super) fn of(metadata: &'static Metadata<'static>) -> Self {
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
            2 => Self::Scope,
            3 => Self::Service,
            4 => Self::Joining,
            5 => Self::Boundary,
            6 => Self::ExplicitService,
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
            let explicit = [
                names::CONVERSATION_ID,
                names::TURN_NUMBER,
                names::OTEL_NAME,
                names::OTEL_KIND,
            ];
            if explicit.into_iter().any(declares) {
                Self::ExplicitService
            } else {
                Self::Service
            }
        } else if !declares(names::CONVERSATION_ID) {
            Self::Ordinary
        } else if metadata.name() == names::CONVERSATION {
            Self::Scope
        } else {
            Self::Joining
        }
    }
}
