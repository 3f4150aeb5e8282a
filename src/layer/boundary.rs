//! Boundary events: those addressed to the layer.

use super::recorded::Recorded;
use super::standing::Standing;
use super::table::{Found, Opening};
use super::tracked::TrackedSpan;
use super::{ConversationLayer, LayerState, stack};
use crate::conversation::service::{ServiceSpan, exported_value};
use crate::conversation::{ActiveConversation, Heard};
use crate::field::FieldValue;
use crate::latency::FirstByte;
use crate::names;
use crate::seen::SeenEvent;
use crate::turns::EndReason;
use opentelemetry::{KeyValue, Value};
use std::sync::Arc;
use std::time::Duration;
use tracing_core::span::Id;
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// A boundary event by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    ConversationStarted,
    ConversationEnded,
    ClientConnected,
    ClientDisconnected,
    UserStarted,
    UserStopped,
    VadStarted,
    VadStopped,
    BotStarted,
    BotStopped,
    Interruption,
    FirstByte,
    Annotate,
}

impl Boundary {
    #[inline]
    pub(super) fn named(name: &str) -> Option<Self> {
        use names::event as n;
        Some(match name {
            n::CONVERSATION_STARTED => Self::ConversationStarted,
            n::CONVERSATION_ENDED => Self::ConversationEnded,
            n::CLIENT_CONNECTED => Self::ClientConnected,
            n::CLIENT_DISCONNECTED => Self::ClientDisconnected,
            n::USER_STARTED_SPEAKING => Self::UserStarted,
            n::USER_STOPPED_SPEAKING => Self::UserStopped,
            n::VAD_USER_STARTED_SPEAKING => Self::VadStarted,
            n::VAD_USER_STOPPED_SPEAKING => Self::VadStopped,
            n::BOT_STARTED_SPEAKING => Self::BotStarted,
            n::BOT_STOPPED_SPEAKING => Self::BotStopped,
            n::INTERRUPTION => Self::Interruption,
            n::FIRST_BYTE => Self::FirstByte,
            n::ANNOTATE => Self::Annotate,
            _ => return None,
        })
    }

    /// What of a program's turns it shows, for the doctor.
    #[inline]
    fn seen_as(self) -> u32 {
        let turn = SeenEvent::Turn as u32;
        match self {
            Self::UserStarted => turn | SeenEvent::UserStarted as u32,
            Self::UserStopped | Self::BotStopped => turn,
            Self::BotStarted => turn | SeenEvent::BotStarted as u32,
            Self::VadStarted | Self::VadStopped => SeenEvent::Vad as u32,
            _ => 0,
        }
    }

    fn ends_conversation(self) -> bool {
        matches!(self, Self::ConversationEnded | Self::ClientDisconnected)
    }

    /// When it opens the conversation that it names.
    fn opening(self) -> Opening {
        match self {
            Self::ConversationStarted | Self::ClientConnected => Opening::Ended,
            // The end of an unknown conversation has nothing to end, and a first byte needs a span to be of.
            Self::ConversationEnded | Self::ClientDisconnected | Self::FirstByte => Opening::Never,
            _ => Opening::Unknown,
        }
    }
}

/// What an event says, but for the fields of an annotation.
#[derive(Default)]
pub(super) struct BoundaryFields {
    pub(super) boundary: Option<Boundary>,
    unknown_name: Option<String>,
    pub(super) conversation: Option<Arc<str>>,
    /// For how long it had been so when voice activity was confirmed.
    since: Duration,
    heard: Heard,
    ago: Duration,
    is_tool_call: bool,
    reason: Option<String>,
}

impl BoundaryFields {
    /// The fields that say anything.
    pub(super) const NAMES: &[&str] = &[
        names::CONVERSATION_EVENT,
        names::CONVERSATION_ID,
        names::START_SECS,
        names::STOP_SECS,
        names::TEXT_HEARD,
        names::PLAYED_SECS,
        names::AGO_SECS,
        names::TEXT,
        names::REASON,
    ];

    #[inline]
    fn read(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.each_of(Self::NAMES, |field, value| fields.set(field, value));
        fields
    }

    pub(super) fn set(&mut self, field: &'static str, value: FieldValue<'_>) {
        match field {
            names::CONVERSATION_EVENT => {
                let name = value.text();
                self.boundary = Boundary::named(&name);
                if self.boundary.is_none() {
                    // As much as a warning needs: a name may be anything, of any length.
                    self.unknown_name = Some(name.chars().take(80).collect());
                }
            }
            names::CONVERSATION_ID => self.conversation = value.conversation_id(),
            names::START_SECS | names::STOP_SECS => self.since = duration(value),
            names::AGO_SECS => self.ago = duration(value),
            names::TEXT => self.is_tool_call = value.boolean() == Some(false),
            names::REASON => self.reason = Some(value.text().into_owned()),
            names::TEXT_HEARD => self.heard.text = Some(value.text().into()),
            names::PLAYED_SECS => {
                self.heard.seconds = value.number().filter(|seconds| *seconds >= 0.0);
            }
            _ => {}
        }
    }
}

/// Where an event is emitted.
pub(super) struct EventPlace {
    pub(super) standing: Option<Standing>,
    /// Whether it is wherever its thread is.
    pub(super) is_contextual: bool,
}

/// A length of time in seconds; zero if it is none.
fn duration(value: FieldValue<'_>) -> Duration {
    value
        .number()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn boundary(&self, event: &Event<'_>, ctx: &Context<'_, S>) {
        let fields = BoundaryFields::read(event);
        match fields.boundary {
            Some(boundary) => {
                self.happen(boundary, &fields, &self.place_of(event), event, ctx);
            }
            None => self
                .state
                .warn_of_unknown_event(fields.unknown_name.unwrap_or_default()),
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
