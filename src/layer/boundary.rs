//! Events that are addressed to the layer.

use super::ConversationLayer;
use super::place::Ours;
use crate::clock::lock;
use crate::conversation::{Live, Membership, Moment};
use crate::core::{Found, Opening, undisturbed};
use crate::fields::{Fields, Given};
use crate::latency::FirstByte;
use crate::names;
use crate::recognise::Boundary;
use crate::service::{ServiceSpan, attribute};
use crate::turns::EndReason;
use opentelemetry::KeyValue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// What an event says, apart from its texts and the fields of an annotation.
#[derive(Default)]
struct Heard {
    boundary: Option<Boundary>,
    /// Whether it names the conversation that it is of.
    is_addressed: bool,
    stop: Duration,
    ago: Duration,
    is_tool_call: bool,
}

impl Heard {
    fn hear(&mut self, field: &'static str, given: Given<'_>) {
        match field {
            names::CONVERSATION_EVENT => self.boundary = Boundary::named(&given.text()),
            names::CONVERSATION_ID => self.is_addressed = true,
            names::STOP_SECS => self.stop = seconds(given),
            names::AGO_SECS => self.ago = seconds(given),
            names::TEXT => self.is_tool_call = given.boolean() == Some(false),
            _ => {}
        }
    }
}

/// The text of a field of an event, if it has any.
fn text_of(event: &Event<'_>, name: &str) -> Option<String> {
    let mut text = None;
    event.record(&mut Fields(|field, given: Given<'_>| {
        if field == name {
            text = Some(given.text().into_owned());
        }
    }));
    text
}

/// A length of time given in seconds; anything else is none.
fn seconds(given: Given<'_>) -> Duration {
    given
        .number()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_default()
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn boundary(&self, event: &Event<'_>, ctx: &Context<'_, S>) {
        let mut heard = Heard::default();
        event.record(&mut Fields(|field, given: Given<'_>| {
            heard.hear(field, given)
        }));
        let Some(boundary) = heard.boundary else {
            // As much as a warning needs: a name may be anything, of any length.
            let name = text_of(event, names::CONVERSATION_EVENT).unwrap_or_default();
            let name: String = name.chars().take(80).collect();
            if self.core.is_news(&name) {
                self.core.warn_of(name);
            }
            return;
        };
        let about_a_service = matches!(boundary, Boundary::FirstByte | Boundary::Annotate);
        let by_context = event.is_contextual()
            && !heard.is_addressed
            && !about_a_service
            && !self.core.joined_by_id_alone.load(Ordering::Relaxed);
        if by_context
            && let Some(live) = Membership::current().filter(|live| live.is_of(&self.core))
            && self.hears(&live, boundary, &heard, event)
        {
            // The nearest conversation is all there is to know.
            return;
        }
        if boundary == Boundary::FirstByte
            && !heard.is_addressed
            && let Some(Ours::Service(service)) =
                event.parent().and_then(|id| self.core.ours.get(id))
            && !service.is_finished()
        {
            return self.first_byte(&service, &heard);
        }
        self.search_hearer(boundary, &heard, event, ctx);
    }

    /// Has the conversation or service hear that an event is about, by all that there is to go by.
    fn search_hearer(
        &self,
        boundary: Boundary,
        heard: &Heard,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) {
        let place = if event.is_contextual() {
            self.contextual_place(ctx.event_span(event))
        } else {
            self.place_of(ctx.event_span(event))
        };
        let id = heard
            .is_addressed
            .then(|| text_of(event, names::CONVERSATION_ID))
            .flatten()
            .filter(|id| !id.is_empty());
        // What names another conversation is not about the service that it is said in.
        let service = place.service.as_ref().filter(|(_, service)| {
            id.as_deref().is_none_or(|id| {
                let own = service.conversation.as_ref();
                own.is_some_and(|own| &*own.identity.id == id)
            })
        });
        match (boundary, service) {
            (Boundary::FirstByte, Some((_, service))) => {
                return self.first_byte(service, heard);
            }
            (Boundary::Annotate, Some((id, _))) => {
                self.record(id, &|visit| event.record(visit), ctx);
                return;
            }
            _ => {}
        }

        let opening = match boundary {
            Boundary::ConversationStarted | Boundary::ClientConnected => Opening::Ended,
            // The end of what nobody knows of is no news, and a first byte needs a span to be of.
            Boundary::ConversationEnded | Boundary::ClientDisconnected | Boundary::FirstByte => {
                Opening::Never
            }
            _ => Opening::Unknown,
        };
        if let Found::Live(live) = self.conversation(id.as_deref(), &place, opening) {
            self.hears(&live, boundary, heard, event);
        }
    }

    /// Lets a conversation hear an event. Tells whether it is still live.
    fn hears(
        &self,
        live: &Arc<Live>,
        boundary: Boundary,
        heard: &Heard,
        event: &Event<'_>,
    ) -> bool {
        let core = &*self.core;
        let at = core.clock.now().saturating_sub(heard.ago);
        let is_end = matches!(
            boundary,
            Boundary::ConversationEnded | Boundary::ClientDisconnected
        );
        if is_end && let Some(reason) = text_of(event, names::REASON) {
            live.act(core, at, |moment| {
                moment.describe(vec![KeyValue::new(names::CONVERSATION_END_REASON, reason)]);
            });
        }
        let is_live = live.act(core, at, |moment| match boundary {
            Boundary::ClientConnected => moment.client_connected(),
            Boundary::UserStarted => moment.user_started(),
            Boundary::UserStopped => moment.user_stopped(),
            Boundary::VadStarted => moment.vad_started(),
            Boundary::VadStopped => moment.vad_stopped(heard.stop),
            Boundary::BotStarted => moment.bot_started(),
            Boundary::BotStopped => moment.bot_stopped(),
            Boundary::Interruption => moment.interrupted(),
            Boundary::Annotate => self.annotate(moment, event),
            Boundary::ConversationStarted
            | Boundary::ConversationEnded
            | Boundary::ClientDisconnected
            | Boundary::FirstByte => {}
        });
        if is_end {
            live.end(core, EndReason::ConversationEnded, heard.ago, None);
        }
        is_live.is_some()
    }

    #[inline(never)]
    fn annotate(&self, moment: &mut Moment<'_>, event: &Event<'_>) {
        let content = &self.core.settings.content;
        // A value that emits something while it is formatted must not lead back to the conversation.
        undisturbed(|| {
            event.record(&mut Fields(|field, given: Given<'_>| {
                if let Some(value) = attribute(field, given, content) {
                    moment.annotate(field.into(), value, content.max_value_bytes());
                }
            }));
        });
    }

    fn first_byte(&self, service: &ServiceSpan, heard: &Heard) {
        let what = if heard.is_tool_call {
            FirstByte::ToolCall
        } else {
            FirstByte::Output
        };
        let core = &*self.core;
        if let Some(work) = &mut *lock(&service.work) {
            let at = core.clock.now().saturating_sub(heard.ago);
            work.first_byte.get_or_insert(at);
            if let Some(live) = &service.conversation {
                live.act(core, at, |moment| moment.first_byte(work, what));
            }
        }
    }
}
