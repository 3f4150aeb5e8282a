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

/// A search on this thread.
#[derive(Clone, Copy)]
struct Search {
    /// The address of the one that searches.
    by: usize,
    /// Whether it was asked, because nobody has answered before it.
    was_asked: bool,
}

thread_local! {
    static SEARCH: Cell<Option<Search>> = const { Cell::new(None) };
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

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether the layer leaves it to others to answer for the wrapped layer.
    pub(super) fn defers(&self) -> bool {
        match SEARCH.get() {
            Some(search) if search.by == self.address() => {
                SEARCH.set(Some(Search {
                    was_asked: true,
                    ..search
                }));
                true
            }
            _ => self.is_resting(),
        }
    }

    /// Looks for another layer by the span `id`, which is new. Returns whether there is one.
    #[cold]
    pub(super) fn search(&self, id: &Id, subscriber: &Dispatch) -> bool {
        SEARCH.set(Some(Search {
            by: self.address(),
            was_asked: false,
        }));
        let context = guarded(|| tracing_opentelemetry::get_otel_context(id, subscriber));
        let was_asked = SEARCH.take().is_some_and(|search| search.was_asked);
        let is_alone = was_asked && context.is_none();
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
