//! A service span together with what has been recorded for it.

use std::fmt::Display;

use tracing::Span;

use super::record_item::RecordItem;
use super::recorder::State;

/// Keeps a service span open until the work completes or is dropped. Idle if the span is disabled.
#[derive(Default)]
pub struct ServiceGuard {
    active: Option<Box<Active>>,
}

pub(super) struct Active {
    pub(super) span: Span,
    pub(super) state: State,
}

impl ServiceGuard {
    /// Creates a guard that ends `span`.
    pub fn new(span: Span) -> Self {
        let active = (!span.is_disabled()).then(|| {
            let state = State::new(&span);
            Box::new(Active { span, state })
        });
        Self { active }
    }

    /// Returns the span, or a disabled one.
    pub fn span(&self) -> Span {
        self.active
            .as_ref()
            .map_or_else(Span::none, |active| active.span.clone())
    }

    /// Runs `work` inside the span.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.active {
            Some(active) => active.span.in_scope(work),
            None => work(),
        }
    }

    /// Returns whether the span is disabled or has ended.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_none()
    }

    pub(super) fn active(&mut self) -> Option<&mut Active> {
        self.active.as_deref_mut()
    }

    /// Records `output` and ends the span.
    pub(super) fn output<T>(&mut self, output: &T, record: &mut impl RecordItem<T>) {
        if let Some(Active { span, state }) = self.active() {
            let _entered = span.enter();
            state.item(span, |recorder| record.record_item(output, recorder));
        }
        self.finish();
    }

    /// Records `error` and ends the span.
    pub(super) fn error<E: Display>(&mut self, error: &E) {
        if let Some(Active { span, state }) = self.active() {
            state.item(span, |recorder| {
                recorder.error(error);
            });
        }
        self.finish();
    }

    /// Like [`error`](Self::error), for an error that is not `Display`.
    pub(super) fn failed(&mut self, error_type: &str) {
        if let Some(Active { span, state }) = self.active() {
            state.fail(span, error_type, None);
        }
        self.finish();
    }

    /// Ends the span of work that ran to completion.
    pub(super) fn finish(&mut self) {
        self.end(true);
    }

    fn end(&mut self, is_complete: bool) {
        if let Some(mut active) = self.active.take() {
            active.state.end(&active.span, is_complete);
        }
    }
}

impl Drop for ServiceGuard {
    #[inline]
    fn drop(&mut self) {
        if !self.is_idle() {
            self.end(false);
        }
    }
}
