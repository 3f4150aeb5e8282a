//! Service spans: from their start over what they record to their end.

use super::recorded::Recorded;
use super::scope::SpanFields;
use super::standing::Standing;
use super::table::{Found, Opening};
use super::tracer::with_proxy;
use super::tracked::TrackedSpan;
use super::{ConversationLayer, stack};
use crate::active_context::attach;
use crate::conversation::service::{Effects, NewService, ServiceSpan};
use crate::conversation::{ActiveConversation, Parent};
use crate::recording::Marks;
use crate::reentrancy::guarded;
use crate::service_kind::ServiceKind;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt as _;
use std::borrow::Cow;
use std::sync::{Arc, Weak};
use tracing_core::span::{Attributes, Id};
use tracing_core::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Where the work of a service comes from.
pub(super) struct ServiceOrigin<'a> {
    /// Tells it apart from the others of the layer.
    pub(super) key: u64,
    /// How its span is named, unless its fields say otherwise.
    pub(super) name: Cow<'static, str>,
    pub(super) does: ServiceKind,
    pub(super) fields: SpanFields,
    pub(super) standing: Option<Standing>,
    /// The explicit parent of the span or event that begins it.
    pub(super) parent: Option<&'a Id>,
    pub(super) is_contextual: bool,
}

/// What became of the work of a service that was to start.
pub(super) enum ServiceOutcome {
    /// It is under way. With what it recorded at its start.
    Started(Arc<ServiceSpan>, Effects),
    /// In a conversation that is not sampled.
    Unrecorded(Arc<ActiveConversation>),
    /// Its conversation is over. With where it stands.
    TooLate(Option<Standing>),
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// With `is_explicit`, the span declares where it belongs or how it is named. `recorded` is what it records at its
    /// start, under the names of the contract, and `does` what the service does as far as that is known.
    pub(super) fn new_service(
        &self,
        recorded: &impl Recorded,
        does: ServiceKind,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: &Context<'_, S>,
        is_explicit: bool,
    ) {
        let fields = if is_explicit {
            SpanFields::read(recorded)
        } else {
            SpanFields::default()
        };
        let standing = if attributes.is_root() {
            // Libraries open their roots so. A handle still says where they belong.
            stack::innermost_handle(&self.state)
        } else {
            self.standing_of_new(attributes)
        };
        let origin = ServiceOrigin {
            key: id.into_u64(),
            name: attributes.metadata().name().into(),
            does,
            fields,
            standing,
            parent: attributes.parent(),
            is_contextual: attributes.is_contextual(),
        };
        let (service, effects) = match self.start_service(origin, recorded, ctx) {
            ServiceOutcome::Started(service, effects) => (service, effects),
            ServiceOutcome::Unrecorded(conversation) => {
                let unrecorded = TrackedSpan::Unrecorded(conversation);
                return self.state.tracked.insert(id, unrecorded);
            }
            ServiceOutcome::TooLate(standing) => {
                if let Some(standing) = standing {
                    self.state
                        .tracked
                        .insert(id, TrackedSpan::Ordinary(standing));
                }
                return;
            }
        };
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

    /// Takes note of the ordinary span above a service span, which is moved out of it to its turn. Transcriptions are in a task
    /// of the session nearly always.
    #[cold]
    fn note_parent(&self, id: &Id, does: ServiceKind, turn: Option<u32>, ctx: &Context<'_, S>) {
        let seen = &self.state.shared.seen;
        seen.count_parent();
        if does != ServiceKind::Stt
            && let Some(TrackedSpan::Ordinary(Standing::Conversation(_))) =
                self.state.tracked.get(id)
            && let Some(metadata) = ctx.metadata(id)
        {
            seen.parent_of_service(metadata.name(), id.into_u64(), turn);
        }
    }

    /// Starts a service's work in the conversation that it belongs to.
    #[inline]
    pub(super) fn start_service(
        &self,
        origin: ServiceOrigin<'_>,
        recorded: &impl Recorded,
        ctx: &Context<'_, S>,
    ) -> ServiceOutcome {
        let shared = &self.state.shared;
        let now = self.state.now();
        let ServiceOrigin {
            key,
            fields,
            standing,
            ..
        } = origin;
        let found = self.conversation(
            fields.conversation.as_ref(),
            standing.as_ref(),
            Opening::Unknown,
        );
        let conversation = match found {
            Found::Open(conversation) => Some(conversation),
            Found::Ended => {
                // Work for a conversation that is over is not exported.
                return ServiceOutcome::TooLate(fields.conversation.map(Standing::Id).or(standing));
            }
            Found::Unknown => None,
        };

        // Nothing can be set on it either, so there is nothing to keep.
        if !self.has_span_ext
            && let Some(unrecorded) = conversation.as_ref().filter(|own| !own.is_recorded())
        {
            unrecorded.touch(now);
            return ServiceOutcome::Unrecorded(unrecorded.clone());
        }

        let start = conversation.as_ref().and_then(|conversation| {
            conversation.act(now, |transition| {
                transition.service_started(key, origin.does, fields.turn)
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
        shared.seen.services.add();
        if above.is_none()
            && shared.seen.wants_parents()
            && let Some(parent) = match origin.parent {
                Some(parent) => Some(parent.clone()),
                None if origin.is_contextual => stack::innermost_ordinary(&self.state),
                None => None,
            }
        {
            self.note_parent(&parent, origin.does, start.turn_number(), ctx);
        }
        let nearest = || self.context_at(origin.parent, origin.is_contextual, ctx);
        if let Some(above) = &above {
            above.expect_service_below();
        }
        let parent = match (&above, &conversation) {
            (Some(above), _) => parent_below(above, nearest()),
            (None, Some(conversation)) => conversation.parent_in(start.turn.as_ref()),
            (None, None) => parent_outside(nearest()),
        };
        let mut effects = Effects::default();
        let new = NewService {
            shared: shared.clone(),
            name: match fields.name {
                Some(name) => name.into(),
                None => origin.name,
            },
            kind: fields.kind,
            parent,
            pending_above: above.as_ref().and_then(|above| above.pending()),
            above: above.as_ref().map_or_else(Weak::new, Arc::downgrade),
            key,
            started: now,
            does: origin.does,
            start,
            conversation,
            is_movable: self.has_span_ext,
        };
        let service = ServiceSpan::new(new, |record| {
            recorded.each(|field, value| {
                record.record(field, value, &shared.content, &mut effects);
            });
        });
        if effects.concern_conversation() {
            service.apply(&effects);
        }
        ServiceOutcome::Started(service, effects)
    }

    pub(super) fn record_service(
        &self,
        service: &Arc<ServiceSpan>,
        id: &Id,
        recorded: &impl Recorded,
        ctx: &Context<'_, S>,
    ) {
        let mut effects = Effects::default();
        recorded.each(|field, value| service.record(field, value, &mut effects));
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
        if service.is_shown() {
            // The wrapped layer starts what is entered, and hands over what it has collected of it.
            guarded(|| {
                self.wrapped.on_enter(id, ctx.clone());
                self.wrapped.on_exit(id, ctx.clone());
            });
        }
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

/// The parent of a service span in another one: what `tracing` says, which may be an ordinary span in between.
fn parent_below(above: &Arc<ServiceSpan>, nearest: OtelContext) -> Parent {
    let own = above.as_parent();
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
fn parent_outside(mut base: OtelContext) -> Parent {
    if base.get::<Marks>().is_some() {
        // It is in a conversation that this span is not in.
        base = OtelContext::new();
    }
    let span_context = base.span().span_context().clone();
    Parent {
        is_recording: !span_context.is_valid() || span_context.is_sampled(),
        span_context,
        base,
    }
}
