//! Another layer in the same registry that keeps OpenTelemetry data of spans: a second layer of this crate, or one of
//! `tracing_opentelemetry`.
//!
//! `tracing_opentelemetry` panics where two keep their data of the same span. So at the first span the layer asks for its
//! OpenTelemetry context without answering itself. If another layer answers, this one rests for good and says so.

use crate::reentrancy::guarded;
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing_core::Dispatch;
use tracing_core::span::Id;

/// Whether there is another layer.
pub(super) struct Neighbour(AtomicU8);

const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    None,
    Running,
    /// Nobody has answered before this layer.
    Asked,
}

thread_local! {
    static SEARCH: Cell<Search> = const { Cell::new(Search::None) };
}

impl Neighbour {
    pub(super) fn unknown() -> Self {
        Self(AtomicU8::new(UNKNOWN))
    }

    /// Whether there is another layer, if that is known.
    #[inline]
    pub(super) fn is_present(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => None,
            known => Some(known == PRESENT),
        }
    }

    /// Whether the layer rests, because there is another.
    #[inline]
    pub(super) fn is_resting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PRESENT
    }

    /// Whether the layer leaves it to others to answer for the wrapped layer.
    pub(super) fn defers(&self) -> bool {
        if SEARCH.get() == Search::None {
            return self.is_resting();
        }
        if self.0.load(Ordering::Relaxed) == UNKNOWN {
            SEARCH.set(Search::Asked);
        }
        true
    }

    /// Looks for another layer by the span `id`, which is new. Returns whether there is one.
    #[cold]
    pub(super) fn search(&self, id: &Id, subscriber: &Dispatch) -> bool {
        SEARCH.set(Search::Running);
        let context = guarded(|| tracing_opentelemetry::get_otel_context(id, subscriber));
        let is_alone = SEARCH.replace(Search::None) == Search::Asked && context.is_none();
        if is_alone {
            self.0.store(ABSENT, Ordering::Relaxed);
        }
        !is_alone
    }

    /// Has the layer rest. Returns whether it did not before.
    pub(super) fn rest(&self) -> bool {
        self.0.swap(PRESENT, Ordering::Relaxed) != PRESENT
    }
}
