//! Another layer in the same registry that keeps OpenTelemetry data of spans: a second layer of this crate, or one of
//! `tracing_opentelemetry`.
//!
//! `tracing_opentelemetry` panics where two keep their data of the same span. So at the first span the layer asks for its
//! OpenTelemetry context without answering itself. If another layer answers, this one rests for good and says so.

use super::{ConversationLayer, LayerState};
use crate::reentrancy::guarded;
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing_core::span::Id;
use tracing_core::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::registry::LookupSpan;

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
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// Keeps the way to the subscriber that the layer is part of. Rests if another layer of this crate is found first.
    pub(super) fn register(&self, dispatch: &Dispatch) {
        let Some(first) = dispatch.downcast_ref::<LayerState>() else {
            return;
        };
        self.state.shared.set_subscriber(dispatch);
        if !std::ptr::eq(first, &*self.state) {
            self.rest();
        }
    }

    /// The same by the thread's default subscriber: `Option` and other wrappers do not pass
    /// [`on_register_dispatch`](tracing_subscriber::Layer::on_register_dispatch) on.
    pub(super) fn register_default(&self) {
        if !self.state.shared.has_subscriber() {
            dispatcher::get_default(|dispatch| self.register(dispatch));
        }
    }

    /// Whether the layer ignores the span `id`, which is new.
    #[inline]
    pub(super) fn ignores(&self, id: &Id) -> bool {
        match self.neighbour.0.load(Ordering::Relaxed) {
            ABSENT => false,
            PRESENT => true,
            _ => self.finds_neighbour(id),
        }
    }

    #[cold]
    fn finds_neighbour(&self, id: &Id) -> bool {
        self.register_default();
        let Some(subscriber) = self.state.shared.subscriber() else {
            return false;
        };
        SEARCH.set(Search::Running);
        let context = guarded(|| tracing_opentelemetry::get_otel_context(id, &subscriber));
        let is_alone = SEARCH.replace(Search::None) == Search::Asked && context.is_none();
        if is_alone {
            self.neighbour.0.store(ABSENT, Ordering::Relaxed);
        } else {
            self.rest();
        }
        !is_alone
    }

    fn rest(&self) {
        if self.neighbour.0.swap(PRESENT, Ordering::Relaxed) != PRESENT {
            self.state.warn(|| {
                tracing::warn!(
                    target: "tracing_conversation",
                    "two layers of one registry keep OpenTelemetry spans, so that of tracing_conversation rests; remove \
                     tracing_opentelemetry::layer(), which it wraps, or the second layer of tracing_conversation"
                );
            });
        }
    }
}
