//! Boundary events: those addressed to the layer.

use super::boundary_event::{Boundary, BoundaryFields};
use super::recorded::Recorded;
use super::standing::Standing;
use super::table::{Found, Opening};
use super::tracked::TrackedSpan;
use super::{ConversationLayer, LayerState, stack};
use crate::conversation::ActiveConversation;
use crate::conversation::service::{ServiceSpan, exported_value};
use crate::latency::FirstByte;
use crate::names;
use crate::turns::EndReason;
use opentelemetry::{KeyValue, Value};
use std::sync::Arc;
use tracing_core::span::Id;
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Where an event is emitted.
pub(super) struct EventPlace {
    pub(super) standing: Option<Standing>,
    /// Whether it is wherever its thread is.
    pub(super) is_contextual: bool,
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn boundary(&self, event: &Event<'_>, ctx: &Context<'_, S>) {
        let mut fields = BoundaryFields::default();
        fields.read(event);
        self.boundary_of(&fields, &self.place_of(event), event, ctx);
    }

    /// The same of an event that is read already.
    #[inline]
    pub(super) fn boundary_of(
        &self,
        fields: &BoundaryFields,
        place: &EventPlace,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) {
        match fields.boundary {
            Some(boundary) => self.happen(boundary, fields, place, event, ctx),
            None => self
                .state
                .warn_of_unknown_event(fields.unknown_name.as_deref().unwrap_or_default()),
        }
    }

    pub(super) fn place_of(&self, event: &Event<'_>) -> EventPlace {
        let is_contextual = event.is_contextual();
        let standing = match event.parent() {
            Some(parent) => self
                .state
                .tracked
                .get(parent)
                .and_then(TrackedSpan::standing),
            None if is_contextual => stack::innermost(&self.state),
            None => stack::innermost_handle(&self.state),
        };
        EventPlace {
            standing,
            is_contextual,
        }
    }

    /// Lets a boundary event happen where `place` says. `recorded` are the fields of an annotation.
    #[inline]
    pub(super) fn happen(
        &self,
        boundary: Boundary,
        fields: &BoundaryFields,
        place: &EventPlace,
        recorded: &impl Recorded,
        ctx: &Context<'_, S>,
    ) {
        if matches!(boundary, Boundary::FirstByte | Boundary::Annotate)
            && let Some(service) = self.service_of(fields, place)
        {
            return match boundary {
                Boundary::FirstByte => self.first_byte(&service, fields),
                _ => {
                    self.record_service(&service, &Id::from_u64(service.key), recorded, ctx);
                }
            };
        }
        self.state.shared.seen.event(boundary.seen_as());
        let standing = place.standing.as_ref();
        if fields.conversation.is_none()
            && let Some(conversation) = standing.and_then(Standing::conversation)
            && self.apply(conversation, boundary, fields, recorded)
        {
            return;
        }
        let found = self.conversation(fields.conversation.as_ref(), standing, boundary.opening());
        match found {
            Found::Open(conversation) => {
                self.apply(&conversation, boundary, fields, recorded);
            }
            Found::Ended => self.state.shared.seen.late_events.add(),
            Found::Unknown => self.state.shared.seen.events_outside.add(),
        }
    }

    /// The nearest service span of the conversation that an event belongs to.
    fn service_of(&self, fields: &BoundaryFields, place: &EventPlace) -> Option<Arc<ServiceSpan>> {
        let standing = place.standing.as_ref();
        let is_wanted = |standing: &Standing| match &fields.conversation {
            Some(id) => standing.is_in(id),
            None => true,
        };
        let nearest = standing.filter(|standing| is_wanted(standing));
        if let Some(service) = nearest.and_then(Standing::open_service) {
            return Some(service);
        }
        let conversation = match &fields.conversation {
            Some(id) => id.clone(),
            None => standing?.conversation()?.id().clone(),
        };
        if !place.is_contextual {
            return None;
        }
        let found = stack::find_service(&self.state, |standing| standing.is_in(&conversation));
        found.as_ref().and_then(Standing::open_service)
    }

    pub(super) fn first_byte(&self, service: &ServiceSpan, fields: &BoundaryFields) {
        let what = if fields.is_tool_call {
            FirstByte::ToolCall
        } else {
            FirstByte::Output
        };
        service.first_byte(self.state.now().saturating_sub(fields.ago), what);
    }

    /// Applies an event to a conversation. Returns whether that has not ended.
    #[inline]
    fn apply(
        &self,
        conversation: &Arc<ActiveConversation>,
        boundary: Boundary,
        fields: &BoundaryFields,
        recorded: &impl Recorded,
    ) -> bool {
        if boundary == Boundary::Annotate {
            return self.annotate(conversation, fields, recorded);
        }
        let at = self.state.now().saturating_sub(fields.ago);
        let applied = conversation.act(at, |transition| match boundary {
            Boundary::ClientConnected => transition.client_connected(),
            Boundary::UserStarted => transition.user_started(&fields.heard),
            Boundary::UserStopped => transition.user_stopped(),
            Boundary::VadStarted => transition.vad_started(fields.since),
            Boundary::VadStopped => transition.vad_stopped(fields.since),
            Boundary::BotStarted => transition.bot_started(),
            Boundary::BotStopped => transition.bot_stopped(&fields.heard),
            Boundary::Interruption => transition.interruption(&fields.heard),
            Boundary::ConversationEnded | Boundary::ClientDisconnected => {
                if let Some(reason) = &fields.reason {
                    let reason = reason.clone();
                    transition.describe([KeyValue::new(names::CONVERSATION_END_REASON, reason)]);
                }
            }
            Boundary::ConversationStarted | Boundary::FirstByte | Boundary::Annotate => {}
        });
        if applied.is_some() && boundary.ends_conversation() {
            self.state
                .end(conversation, EndReason::ConversationEnded, fields.ago);
        }
        applied.is_some()
    }

    /// Applies an annotation. Returns whether the conversation has not ended.
    #[inline(never)]
    fn annotate(
        &self,
        conversation: &Arc<ActiveConversation>,
        fields: &BoundaryFields,
        recorded: &impl Recorded,
    ) -> bool {
        // Formatted before the conversation is locked: it may ask for the conversation.
        let content = &self.state.shared.content;
        let mut annotation: Vec<(&'static str, Value)> = Vec::new();
        recorded.each(|field, value| {
            if let Some(value) = exported_value(field, value, content) {
                annotation.push((field, value));
            }
        });
        let at = self.state.now().saturating_sub(fields.ago);
        let applied = conversation.act(at, |transition| {
            for (field, value) in annotation {
                transition.annotate(field.into(), value);
            }
        });
        applied.is_some()
    }
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// The conversation that `id`, else the standing, names; opened if `opening` allows.
    pub(super) fn conversation(
        &self,
        id: Option<&Arc<str>>,
        standing: Option<&Standing>,
        opening: Opening,
    ) -> Found {
        match (id, standing) {
            (Some(id), _) | (None, Some(Standing::Id(id))) => self.state.conversation(id, opening),
            (None, Some(standing)) => match standing.conversation() {
                Some(conversation) => self.state.reopened(conversation, opening),
                None => Found::Unknown,
            },
            (None, None) => Found::Unknown,
        }
    }
}

impl LayerState {
    /// `conversation`, or once it has ended the one that goes by its id now, opened if `opening` allows.
    pub(crate) fn reopened(
        &self,
        conversation: &Arc<ActiveConversation>,
        opening: Opening,
    ) -> Found {
        if !conversation.has_ended() {
            return Found::Open(conversation.clone());
        }
        let id = conversation.id();
        let was_open = self.table.find(id).open().is_some();
        let opening = match opening {
            Opening::Ended => Opening::Ended,
            Opening::Unknown | Opening::Never => Opening::Never,
        };
        match self.conversation(id, opening) {
            Found::Open(again) => {
                if !was_open {
                    again.continue_scope_of(conversation);
                }
                Found::Open(again)
            }
            Found::Ended | Found::Unknown => Found::Ended,
        }
    }
}
