//! A transcription whose turn is not known yet, and what waits below it until it is.

use super::{Awaited, Moved, ServiceSpan};
use crate::clock::lock;
use crate::conversation::service::ServiceRecord;
use crate::conversation::{ActiveConversation, Turn};
use crate::names;
use crate::recording::{Decision, Marks, PendingTurn, Transcription};
use crate::reentrancy::guarded;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::trace::SpanData;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, Weak};

impl ServiceSpan {
    /// Has spans that are started below this one in `context`, its own, wait for its turn if that is not known, or follow it to
    /// where it has moved.
    pub(super) fn have_children_wait(self: &Arc<Self>, context: &Context) {
        if !matches!(*lock(&self.awaited), Awaited::No)
            && let Some(marks) = context.get::<Marks>()
        {
            let transcription: Weak<Self> = Arc::downgrade(self);
            let id = context.span().span_context().span_id();
            marks.waiting.add(id, transcription);
        }
    }

    /// Of the transcription whose turn the spans below this one wait for, if any. In a trace that such a transcription has
    /// left, spans below it follow by the same.
    pub(crate) fn pending(&self) -> Option<Arc<PendingTurn>> {
        if self.pending_above.is_some() {
            return self.pending_above.clone();
        }
        match &mut *lock(&self.awaited) {
            Awaited::No => None,
            Awaited::Yes(pending) => Some(pending.get_or_insert_default().clone()),
            Awaited::Moved(pending) => Some(pending.clone()),
        }
    }

    /// Waits no longer for its turn, which is known. Returns the spans that waited.
    pub(super) fn settle(&self, trace: Option<SpanContext>, has_moved: bool) -> Vec<SpanData> {
        let pending = {
            let mut awaited = lock(&self.awaited);
            let pending = match std::mem::take(&mut *awaited) {
                Awaited::No => None,
                Awaited::Yes(pending) => pending,
                Awaited::Moved(pending) => Some(pending),
            };
            if has_moved {
                let pending = pending.unwrap_or_default();
                *awaited = Awaited::Moved(pending.clone());
                Some(pending)
            } else {
                pending
            }
        };
        if let Some(context) = self.context.get()
            && let Some(marks) = context.get::<Marks>()
        {
            let id = context.span().span_context().span_id();
            marks.waiting.settle(id, pending.as_ref(), has_moved);
        }
        pending.map_or_else(Vec::new, |pending| {
            pending.decide(Decision {
                turn: self.turn(),
                trace,
            })
        })
    }

    /// Moves the span to the turn that it turned out to belong to. Returns the spans that waited for that.
    pub(super) fn decide_turn(
        &self,
        conversation: &ActiveConversation,
        turn: Option<&Turn>,
        mut record: MutexGuard<'_, Option<ServiceRecord>>,
    ) -> Vec<SpanData> {
        let number = turn.map(|turn| turn.number);
        let has_moved = number != self.turn();
        self.turn.store(number.unwrap_or(0), Ordering::Relaxed);
        if let Some(record) = record.as_mut().filter(|_| has_moved) {
            match number {
                Some(number) => record.attributes.set(names::TURN_NUMBER, i64::from(number)),
                None => record.attributes.remove(names::TURN_NUMBER),
            }
        }
        drop(record);
        let mut trace = None;
        // Where the program has given the span another parent, it stays there.
        if has_moved && !self.has_own_parent() {
            let parent = conversation.parent_in(turn).span_context;
            if parent.trace_id() != self.parent.span_context.trace_id() {
                trace = Some(parent.clone());
            }
            let was_started = self.is_in_use.load(Ordering::Relaxed);
            let _ = self.moved_to.set(Box::new(Moved {
                parent,
                was_started,
            }));
        }
        self.settle(trace, has_moved)
    }

    pub(super) fn export_waiting(&self, spans: Vec<SpanData>) {
        if !spans.is_empty() {
            guarded(|| self.shared.processor.export_all(spans));
        }
    }
}

impl Transcription for ServiceSpan {
    fn pending(&self) -> Option<Arc<PendingTurn>> {
        self.pending()
    }
}
