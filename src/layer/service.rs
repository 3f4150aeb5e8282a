//! Service spans: from their start over what they record to their end.

use super::scope::SpanFields;
use super::standing::Standing;
use super::table::{Found, Opening};
use super::tracer::with_proxy;
use super::tracked::TrackedSpan;
use super::{ConversationLayer, stack};
use crate::active_context::attach;
use crate::conversation::Parent;
use crate::conversation::service::{Effects, NewService, ServiceSpan};
use crate::field::{FieldValue, FieldVisitor, SelectedFields};
use crate::names;
use crate::recording::Marks;
use crate::reentrancy::guarded;
use crate::service_kind::ServiceKind;
use opentelemetry::trace::TraceContextExt as _;
use std::sync::{Arc, Weak};
use tracing_core::field::Visit;
use tracing_core::span::{Attributes, Id};
use tracing_core::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// With `is_explicit`, the span declares where it belongs or how it is named.
    pub(super) fn new_service(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: &Context<'_, S>,
        is_explicit: bool,
    ) {
        let shared = &self.state.shared;
        let now = self.state.now();
        let fields = if is_explicit {
            SpanFields::read(&|visit| attributes.record(visit))
        } else {
            SpanFields::default()
        };
        let standing = if attributes.is_root() {
            // Libraries open their roots so. A handle still says where they belong.
            stack::innermost_handle(&self.state)
        } else {
            self.standing_of_new(attributes)
        };
        let found = self.conversation(
            fields.conversation.as_ref(),
            standing.as_ref(),
            Opening::Unknown,
        );
        let conversation = match found {
            Found::Open(conversation) => Some(conversation),
            Found::Ended => {
                // Work for a conversation that is over is not exported.
                let ended = fields.conversation.map(Standing::Id).or(standing);
                if let Some(standing) = ended {
                    self.state
                        .tracked
                        .insert(id, TrackedSpan::Ordinary(standing));
                }
                return;
            }
            Found::Unknown => None,
        };

        // Nothing can be set on it either, so there is nothing to keep.
        if !self.has_span_ext
            && let Some(unrecorded) = conversation.as_ref().filter(|own| !own.is_recorded())
        {
            unrecorded.touch(now);
            let unrecorded = TrackedSpan::Unrecorded(unrecorded.clone());
            return self.state.tracked.insert(id, unrecorded);
        }

        let metadata = attributes.metadata();
        let key = id.into_u64();
        let does = service_kind(attributes);
        let start = conversation.as_ref().and_then(|conversation| {
            conversation.act(now, |transition| {
                transition.service_started(key, does, fields.turn)
            })
        });
        let start = start.unwrap_or_default();

        // In a service span of the same turn it stays where `tracing` has it. Anything else above may have been there for
        // many turns.
        let above = standing
            .as_ref()
            .and_then(Standing::open_service)
            .filter(|above| match (&above.conversation, &conversation) {
                (Some(of_above), Some(own)) => {
                    Arc::ptr_eq(of_above, own) && above.turn() == start.turn_number()
                }
                (None, None) => true,
                _ => false,
            });
        let parent = match (&above, &conversation) {
            (Some(above), _) => self.parent_below(above, attributes, ctx),
            (None, Some(conversation)) => conversation.parent_in(start.turn.as_ref()),
            (None, None) => self.parent_outside(attributes, ctx),
        };
        let mut effects = Effects::default();
        let new = NewService {
            shared: shared.clone(),
            name: match fields.name {
                Some(name) => name.into(),
                None => metadata.name().into(),
            },
            kind: fields.kind,
            parent,
            pending_above: above.as_ref().and_then(|above| above.pending()),
            above: above.as_ref().map_or_else(Weak::new, Arc::downgrade),
            key,
            started: now,
            does,
            start,
            conversation,
        };
        let service = ServiceSpan::new(new, |record| {
            attributes.record(&mut FieldVisitor(
                |field: &'static str, value: FieldValue<'_>| {
                    record.record(field, value, &shared.content, &mut effects);
                },
            ));
        });
        if effects.concern_conversation() {
            service.apply(&effects);
        }
        self.state.tracked.insert(
            id,
            TrackedSpan::Service {
                service: service.clone(),
                is_shown: false,
            },
        );
        if self.has_span_ext {
            self.show(id, ctx);
        }
        if effects.ended {
            self.finish(&service, id, ctx);
        }
    }

    /// The parent of a service span in another one: what `tracing` says, which may be an ordinary span in between.
    fn parent_below(
        &self,
        above: &Arc<ServiceSpan>,
        attributes: &Attributes<'_>,
        ctx: &Context<'_, S>,
    ) -> Parent {
        let own = above.as_parent();
        let nearest = self.parent_context(attributes, ctx);
        let span = nearest.span().span_context().clone();
        let is_other = span.is_valid()
            && span.trace_id() == own.span_context.trace_id()
            && span.span_id() != own.span_context.span_id();
        if !is_other {
            return own;
        }
        Parent {
            is_recording: span.is_sampled(),
            span_context: span,
            base: nearest,
        }
    }

    /// The parent of a service span outside of any conversation: what `tracing` says.
    fn parent_outside(&self, attributes: &Attributes<'_>, ctx: &Context<'_, S>) -> Parent {
        let mut base = self.parent_context(attributes, ctx);
        if base.get::<Marks>().is_some() {
            // It is in a conversation that this span is not in.
            base = opentelemetry::Context::new();
        }
        let span_context = base.span().span_context().clone();
        Parent {
            is_recording: !span_context.is_valid() || span_context.is_sampled(),
            span_context,
            base,
        }
    }

    pub(super) fn record_service(
        &self,
        service: &Arc<ServiceSpan>,
        id: &Id,
        record: &dyn Fn(&mut dyn Visit),
        ctx: &Context<'_, S>,
    ) {
        let mut effects = Effects::default();
        record(&mut FieldVisitor(
            |field: &'static str, value: FieldValue<'_>| {
                service.record(field, value, &mut effects);
            },
        ));
        if effects.concern_conversation() {
            service.apply(&effects);
        }
        if effects.ended {
            self.finish(service, id, ctx);
        }
    }

    /// Ends a service span before it is closed.
    #[cold]
    fn finish(&self, service: &Arc<ServiceSpan>, id: &Id, ctx: &Context<'_, S>) {
        // The wrapped layer starts what is entered, and hands over what it has collected of it.
        guarded(|| {
            self.wrapped.on_enter(id, ctx.clone());
            self.wrapped.on_exit(id, ctx.clone());
        });
        service.finish();
    }

    /// Shows a service span to the wrapped layer, which is about to need it.
    pub(super) fn show_if_service(&self, id: &Id, ctx: &Context<'_, S>) {
        if !self.has_span_ext && self.state.tracked.may_contain(id) {
            self.show(id, ctx);
        }
    }

    /// The same of the service span that an event is in.
    pub(super) fn show_service_of(&self, event: &Event<'_>, ctx: &Context<'_, S>) {
        match event.parent() {
            Some(parent) => self.show_if_service(parent, ctx),
            None if stack::is_empty() || !event.is_contextual() => {}
            None => {
                if let Some(innermost) = stack::innermost_span(&self.state) {
                    self.show(&innermost, ctx);
                }
            }
        }
    }

    fn show(&self, id: &Id, ctx: &Context<'_, S>) {
        self.state.tracked.show_once(id, |service| {
            service.set_shown();
            let _attached = attach(service.parent_context());
            with_proxy(id, |proxy| self.wrapped.on_new_span(proxy, id, ctx.clone()));
        });
    }
}

/// What a service does, by the name of its span, else by its operation. What some fields mean depends on it, and they may
/// come before the operation.
fn service_kind(attributes: &Attributes<'_>) -> ServiceKind {
    let mut kind = ServiceKind::of(attributes.metadata().name());
    if kind == ServiceKind::Other {
        let operation = &[names::GEN_AI_OPERATION_NAME];
        attributes.record(&mut SelectedFields::new(operation, |field, value| {
            if field == names::GEN_AI_OPERATION_NAME {
                kind = ServiceKind::of(&value.text());
            }
        }));
    }
    kind
}
