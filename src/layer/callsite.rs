//! What a callsite is to the layer: decided once a callsite, by its metadata.

use super::recorded::Recorded as _;
use crate::names;
use crate::service_kind::ServiceKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_core::Metadata;
use tracing_core::span::Attributes;

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
    /// A service span that declares where it belongs, or how it is named.
    ExplicitService = 5,
    /// An event addressed to the layer.
    Boundary = 6,
    /// A span or event that rules may match, or that they look up fields of.
    Adopted = 7,
}

/// What each callsite is to a layer: decided once a callsite, or again where two share a slot.
///
/// A layer's own, because its rules may adopt what to another layer is nothing.
pub(super) struct Callsites {
    /// The address of the callsite's metadata, which is never freed; what it is stands in the address's low bits, which
    /// alignment keeps clear.
    slots: Box<[AtomicUsize; SLOTS]>,
}

pub(super) const SLOTS: usize = 1 << 10;
const KIND: usize = 0b111;
const _: () = assert!(align_of::<Metadata<'static>>() > KIND);

impl Callsites {
    pub(super) fn new() -> Self {
        Self {
            slots: Box::new([const { AtomicUsize::new(0) }; SLOTS]),
        }
    }

    /// What a callsite is; `adopts` says once whether rules adopt what is of that kind without them.
    #[inline]
    pub(super) fn kind(
        &self,
        metadata: &'static Metadata<'static>,
        adopts: impl FnOnce(CallsiteKind) -> bool,
    ) -> CallsiteKind {
        let address = std::ptr::from_ref(metadata).addr();
        let slot = &self.slots[slot(address)];
        let known = slot.load(Ordering::Relaxed);
        if known & !KIND == address {
            return CallsiteKind::from_bits(known & KIND);
        }
        let own = CallsiteKind::of(metadata);
        let kind = if adopts(own) {
            CallsiteKind::Adopted
        } else {
            own
        };
        slot.store(address | kind as usize, Ordering::Relaxed);
        kind
    }
}

/// The slot of a callsite whose metadata is at `address`.
#[inline]
pub(super) fn slot(address: usize) -> usize {
    (address / align_of::<Metadata<'static>>()) % SLOTS
}

impl CallsiteKind {
    #[inline]
    fn from_bits(bits: usize) -> Self {
        match bits {
            2 => Self::Scope,
            3 => Self::Service,
            4 => Self::Joining,
            5 => Self::ExplicitService,
            6 => Self::Boundary,
            7 => Self::Adopted,
            _ => Self::Ordinary,
        }
    }

    /// Whether it is an event that the layer handles itself.
    #[inline]
    pub(super) fn is_own_event(self) -> bool {
        self as usize >= Self::Boundary as usize
    }

    /// What it is without rules, by the names of its fields alone.
    #[cold]
    pub(super) fn of(metadata: &Metadata<'static>) -> Self {
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

/// What a service does, by the name of its span, else by its operation. What some fields mean depends on it, and they may
/// come before the operation.
pub(super) fn service_kind(attributes: &Attributes<'_>) -> ServiceKind {
    let mut kind = ServiceKind::of(attributes.metadata().name());
    if kind == ServiceKind::Other {
        let operation = &[names::GEN_AI_OPERATION_NAME];
        attributes.each_of(operation, |field, value| {
            if field == names::GEN_AI_OPERATION_NAME {
                kind = ServiceKind::of(&value.text());
            }
        });
    }
    kind
}
