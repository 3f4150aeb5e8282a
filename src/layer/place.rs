//! Where a span or an event stands: in which conversation, under which service span.

use super::{ConversationLayer, entered};
use crate::conversation::{Live, Membership};
use crate::core::{Found, Opening};
use crate::service::ServiceSpan;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing_core::span::{Attributes, Id};
use tracing_core::{Dispatch, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// What the layer keeps of a span.
#[derive(Clone)]
pub(crate) enum Ours {
    /// The scope of a conversation.
    Scope(Arc<Live>),
    /// A span that says by its id which conversation it belongs to. An empty one is still to be recorded.
    Joining(Arc<str>),
    Service(Arc<ServiceSpan>),
}

/// What is above a span or an event.
#[derive(Default)]
pub(super) struct Place {
    pub(super) conversation: Option<Arc<Live>>,
    /// The id that a span nearer than the conversation gives.
    joining: Option<Arc<str>>,
    /// The nearest service span that is still at work.
    pub(super) service: Option<(Id, Arc<ServiceSpan>)>,
}

/// Reaches the layer's span data from outside, as `tracing-error` does it: the function knows the types that the caller
/// cannot.
pub(crate) struct ConversationOf(pub(crate) fn(&Dispatch, &Id) -> Option<Arc<Live>>);

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn conversation_of(dispatch: &Dispatch, id: &Id) -> Option<Arc<Live>> {
        let layer = dispatch.downcast_ref::<Self>()?;
        let span = dispatch.downcast_ref::<S>()?.span(id)?;
        let place = layer.place_of(Some(span));
        match layer.conversation(None, &place, Opening::Never) {
            Found::Live(live) => Some(live),
            Found::Ended | Found::Unknown => None,
        }
    }

    /// Where code stands that says nothing of it: what the thread is in, and what is above in `tracing`.
    ///
    /// A conversation whose context is active comes first: it was entered last, be it by a span or by a handle.
    pub(super) fn contextual_place(&self, span: Option<SpanRef<'_, S>>) -> Place {
        let mut place = self.place_of(span);
        let Some(entered) = Membership::current().filter(|live| live.is_of(&self.core)) else {
            return place;
        };
        // Where the context is that of the conversation further out, the span that joins another is nearer.
        if !place
            .conversation
            .as_ref()
            .is_some_and(|outer| Arc::ptr_eq(outer, &entered))
        {
            place.joining = None;
        }
        place.conversation = Some(entered);
        place
    }

    /// Where code stands whose OpenTelemetry context is just that of a conversation, or of a service span that is entered
    /// here: there is nothing in between that could say otherwise.
    fn entered_place(&self) -> Option<Place> {
        if self.core.joined_by_id_alone.load(Ordering::Relaxed) {
            return None;
        }
        let (live, span) = Membership::current_with_span()?;
        if !live.is_of(&self.core) {
            return None;
        }
        let service = if live.is_its_span(span) {
            None
        } else {
            let (id, service) = entered::innermost(&self.core)?;
            let own = service.context()?.span().span_context().span_id();
            if own != span || service.is_finished() {
                return None;
            }
            Some((id, service))
        };
        Some(Place {
            conversation: Some(live),
            joining: None,
            service,
        })
    }

    /// What is above, starting with `span` itself.
    pub(super) fn place_of(&self, span: Option<SpanRef<'_, S>>) -> Place {
        let mut place = Place::default();
        let mut above = span;
        while let Some(span) = above {
            place.conversation = match self.core.ours.get(&span.id()) {
                None => None,
                Some(Ours::Scope(live)) => Some(live),
                Some(Ours::Joining(id)) => {
                    if place.joining.is_none() && !id.is_empty() {
                        place.joining = Some(id);
                    }
                    None
                }
                Some(Ours::Service(service)) => {
                    let conversation = service.conversation.clone();
                    if place.service.is_none() && !service.is_finished() {
                        place.service = Some((span.id(), service));
                    }
                    conversation
                }
            };
            if place.conversation.is_some() {
                break;
            }
            above = span.parent();
        }
        place
    }

    /// The conversation that `id`, else the place, names; opened if `opening` allows.
    pub(super) fn conversation(&self, id: Option<&str>, place: &Place, opening: Opening) -> Found {
        match (id.or(place.joining.as_deref()), &place.conversation) {
            (Some(id), _) => self.core.conversation(id, opening),
            (None, Some(live)) if live.has_ended() => {
                // It may have been opened again, or is now.
                let id = &live.identity.id;
                let was_open = matches!(self.core.table.find(id), Found::Live(_));
                match self.core.conversation(id, opening.of_ended()) {
                    Found::Live(again) => {
                        if !was_open {
                            again.follow(live, &self.core);
                        }
                        Found::Live(again)
                    }
                    Found::Ended | Found::Unknown => Found::Ended,
                }
            }
            (None, Some(live)) => Found::Live(live.clone()),
            (None, None) => Found::Unknown,
        }
    }

    /// Where a new span stands.
    pub(super) fn place_of_new(&self, attributes: &Attributes<'_>, ctx: &Context<'_, S>) -> Place {
        match attributes.parent() {
            Some(parent) => self.place_of(ctx.span(parent)),
            None if attributes.is_contextual() => self
                .entered_place()
                .unwrap_or_else(|| self.contextual_place(ctx.lookup_current())),
            None => Place::default(),
        }
    }

    /// The context that the wrapped layer would take for the parent's.
    pub(super) fn parent_context(
        &self,
        attributes: &Attributes<'_>,
        ctx: &Context<'_, S>,
    ) -> OtelContext {
        match attributes.parent() {
            // A service span that is started already is asked itself, which is quicker.
            Some(parent) => match self.core.ours.get(parent) {
                Some(Ours::Service(service)) => self.started(parent, &service, ctx).clone(),
                _ => self.core.context_of(parent).unwrap_or_default(),
            },
            None if attributes.is_contextual() => OtelContext::current(),
            None => OtelContext::new(),
        }
    }
}
