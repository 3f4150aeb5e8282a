//! A service span together with what has been seen of its work.

use std::fmt::Display;

use tracing::Span;

use super::observe::Observe;
use super::seen::State;

/// Holds a service span open until the work is done or dropped. Empty when nothing listens.
#[derive(Default)]
pub struct Service {
    live: Option<Box<Live>>,
}

pub(super) struct Live {
    pub(super) span: Span,
    pub(super) state: State,
}

impl Service {
    /// Takes over `span`.
    pub fn new(span: Span) -> Self {
        let live = (!span.is_disabled()).then(|| {
            let state = State::new(&span);
            Box::new(Live { span, state })
        });
        Self { live }
    }

    /// The span, or a disabled one.
    pub fn span(&self) -> Span {
        self.live
            .as_ref()
            .map_or_else(Span::none, |live| live.span.clone())
    }

    /// Whether nothing listens, or the work is done.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.live.is_none()
    }

    pub(super) fn live(&mut self) -> Option<&mut Live> {
        self.live.as_deref_mut()
    }

    /// The work has come to its end with `output`.
    pub(super) fn output<T>(&mut self, output: &T, look: &mut impl Observe<T>) {
        if let Some(Live { span, state }) = self.live() {
            let _entered = span.enter();
            state.item(span, |seen| look.observe(output, seen));
        }
        self.finish();
    }

    /// The work has failed, which is its end.
    pub(super) fn error<E: Display>(&mut self, error: &E) {
        if let Some(Live { span, state }) = self.live() {
            state.item(span, |seen| {
                seen.error(error);
            });
        }
        self.finish();
    }

    /// As [`error`](Self::error), for one that has no text.
    pub(super) fn failed(&mut self, error_type: &str) {
        if let Some(Live { span, state }) = self.live() {
            state.fail(span, error_type, None);
        }
        self.finish();
    }

    /// The work has come to its end.
    pub(super) fn finish(&mut self) {
        self.end(true);
    }

    fn end(&mut self, reached_end: bool) {
        if let Some(mut live) = self.live.take() {
            live.state.end(&live.span, reached_end);
        }
    }
}

impl Drop for Service {
    #[inline]
    fn drop(&mut self) {
        if !self.is_idle() {
            self.end(false);
        }
    }
}
