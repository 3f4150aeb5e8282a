//! How a service span starts: where it was planned to, as a root, or below a parent that the program has given it.

use super::{Elsewhere, ServiceSpan};
use crate::clock::lock;
use crate::conversation::service::{ServiceRecord, remote};
use crate::conversation::{ActiveConversation, Parent, child_of};
use crate::recording::{ContextSpan, Marks, PendingTurn, SpanTarget};
use opentelemetry::Context;
use opentelemetry::trace::{SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tracing_core::span::Id;

impl ServiceSpan {
    /// Has the wrapped layer start the span if that knows it, unless it is started. Returns its context if so.
    pub(super) fn start_shown(&self) -> Option<Context> {
        if self.starts_as_planned || self.started.get().is_some() || !self.is_shown() {
            return None;
        }
        let _starting = lock(&self.starting);
        if self.started.get().is_some() {
            return None;
        }
        // Comes back to `start_from`, with what the program has set on the span.
        self.shared.context_of(&Id::from_u64(self.key))
    }

    /// Starts the span, unless it is started. Returns how, unless that is as planned.
    #[inline]
    pub(super) fn elsewhere(&self) -> Option<&Elsewhere> {
        if self.starts_as_planned {
            return None;
        }
        self.start_shown();
        self.start_below(&self.parent.span_context, &self.parent.base, None)
    }

    fn start_below(
        &self,
        parent: &SpanContext,
        parent_context: &Context,
        base: Option<Context>,
    ) -> Option<&Elsewhere> {
        let started = self.started.get_or_init(|| {
            if !parent.is_valid() {
                return Some(Box::new(self.start_root(parent_context, base)));
            }
            // Without a base of its own, it has the planned parent.
            let base = Some(base?);
            Some(Box::new(Elsewhere {
                span_context: child_of(parent, self.span_id),
                parent_span_id: parent.span_id(),
                parent_is_remote: parent.is_remote(),
                is_recording: parent.is_sampled(),
                root: None,
                base,
            }))
        });
        started.as_deref()
    }

    fn start_root(&self, parent_context: &Context, base: Option<Context>) -> Elsewhere {
        let builder = SpanBuilder::from_name(self.name.clone())
            .with_kind(self.known_kind())
            .with_start_time(self.start);
        let root = self.shared.start_root(builder, parent_context);
        Elsewhere {
            span_context: root.span_context.clone(),
            parent_span_id: SpanId::INVALID,
            parent_is_remote: false,
            is_recording: root.is_recording,
            root: Some(root),
            base,
        }
    }

    /// The kind of its span by what is recorded of it so far.
    fn known_kind(&self) -> SpanKind {
        match &*lock(&self.record) {
            Some(record) => self.kind_with(record),
            None => self.kind.clone().unwrap_or(SpanKind::Internal),
        }
    }

    pub(super) fn kind_with(&self, record: &ServiceRecord) -> SpanKind {
        match &self.kind {
            Some(declared) => declared.clone(),
            None => remote::span_kind(record.kind, &record.attributes),
        }
    }

    /// The span's own context, for somebody who may send it along. The span is started if need be.
    fn span_context(&self) -> SpanContext {
        let elsewhere = self.elsewhere();
        self.is_in_use.store(true, Ordering::Relaxed);
        self.span_context_of(elsewhere)
    }

    pub(super) fn span_context_of(&self, elsewhere: Option<&Elsewhere>) -> SpanContext {
        match elsewhere {
            None => child_of(&self.parent.span_context, self.span_id),
            Some(elsewhere) => elsewhere.span_context.clone(),
        }
    }

    /// The context that the program has given it for its parent's, if it has.
    fn given_base(&self) -> Option<&Context> {
        self.elsewhere()?.base.as_ref()
    }

    /// Whether it has started below another parent than planned, which the program has given it.
    pub(super) fn has_own_parent(&self) -> bool {
        let started = self.started.get().and_then(Option::as_deref);
        started.is_some_and(|elsewhere| elsewhere.base.is_some())
    }

    /// The context of its span, which is started if need be.
    #[inline]
    pub(crate) fn context(self: &Arc<Self>) -> &Context {
        self.context.get_or_init(|| {
            // That of the wrapped layer is the same, unless the marks or the parent are others than it knows.
            let is_as_planned = || self.given_base().is_none() && self.pending_above.is_none();
            let context = match self.start_shown() {
                Some(shown) if is_as_planned() => shown,
                _ => self.base().with_span(self.context_span()),
            };
            self.have_children_wait(&context);
            context
        })
    }

    /// The parent of a service span that is started in this one.
    pub(crate) fn as_parent(self: &Arc<Self>) -> Parent {
        Parent {
            span_context: self.span_context(),
            base: self.base(),
            is_recording: self
                .elsewhere()
                .map_or(self.parent.is_recording, |elsewhere| elsewhere.is_recording),
        }
    }

    /// What contexts below it carry besides the span.
    fn base(&self) -> Context {
        let base = self.given_base().unwrap_or(&self.parent.base);
        let conversation = self.conversation.as_ref();
        match (conversation, &self.pending_above) {
            (Some(conversation), Some(pending)) => {
                base.with_value(self.marks_in(conversation, Some(pending.clone())))
            }
            _ => base.clone(),
        }
    }

    /// What marks a span below it.
    pub(crate) fn marks(&self) -> Option<Marks> {
        let conversation = self.conversation.as_ref()?;
        Some(self.marks_in(conversation, self.pending()))
    }

    fn marks_in(
        &self,
        conversation: &ActiveConversation,
        pending: Option<Arc<PendingTurn>>,
    ) -> Marks {
        let mut marks = Marks::new(&conversation.identity, self.turn());
        marks.pending = pending;
        marks
    }

    fn context_span(self: &Arc<Self>) -> ContextSpan {
        let target: Weak<Self> = Arc::downgrade(self);
        ContextSpan::new(self.span_context(), target)
    }

    /// The context that it hangs under unless the program says otherwise.
    pub(crate) fn parent_context(&self) -> Context {
        let parent = self.parent.span_context.clone();
        self.parent.base.with_remote_span_context(parent)
    }

    /// Starts the span below `parent`, unless it is started, with what the program has set on it before. Returns it as a
    /// context is to have it.
    pub(crate) fn start_from(
        self: &Arc<Self>,
        builder: SpanBuilder,
        parent: &Context,
    ) -> ContextSpan {
        let span = parent.span();
        let parent_span = span.span_context();
        let planned = &self.parent;
        if *parent_span == planned.span_context {
            self.start_below(parent_span, &planned.base, None);
        } else if !self.starts_as_planned && self.started.get().is_none() {
            let base = match self.marks() {
                Some(marks) => parent.with_value(marks),
                None => parent.clone(),
            };
            self.start_below(parent_span, parent, Some(base));
        }
        for attribute in builder.attributes.unwrap_or_default() {
            self.set_attribute(attribute);
        }
        for event in builder.events.unwrap_or_default() {
            self.add_event(event.name, event.timestamp, event.attributes);
        }
        for link in builder.links.unwrap_or_default() {
            self.add_link(link.span_context, link.attributes);
        }
        self.context_span()
    }
}
