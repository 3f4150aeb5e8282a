//! Events that are addressed to the layer.

use super::ConversationLayer;
use super::place::Place;
use crate::conversation::Membership;
use crate::core::{Found, Opening, undisturbed};
use crate::fields::{Fields, Given};
use crate::latency::FirstByte;
use crate::names;
use crate::recognise::Boundary;
use crate::service::attribute;
use crate::turns::EndReason;
use opentelemetry::KeyValue;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// What an event says, apart from the fields of an annotation.
#[derive(Default)]
struct Heard {
    boundary: Option<Boundary>,
    unknown: Option<String>,
    conversation: Option<String>,
    reason: Option<String>,
    stop: Duration,
    ago: Duration,
    is_tool_call: bool,
}

impl Heard {
    fn hear(&mut self, field: &'static str, given: Given<'_>) {
        match field {
            names::CONVERSATION_EVENT => {
                let name = given.text();
                self.boundary = Boundary::named(&name);
                // As much as a warning needs: a name may be anything, of any length.
                self.unknown = self
                    .boundary
                    .is_none()
                    .then(|| name.chars().take(80).collect());
            }
            names::CONVERSATION_ID => {
                self.conversation = Some(given.text().into_owned()).filter(|id| !id.is_empty());
            }
            names::STOP_SECS => self.stop = seconds(given),
            names::AGO_SECS => self.ago = seconds(given),
            names::REASON => self.reason = Some(given.text().into_owned()),
            names::TEXT => self.is_tool_call = given.boolean() == Some(false),
            _ => {}
        }
    }
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
            if let Some(name) = heard.unknown.filter(|name| self.core.is_news(name)) {
                self.core.warn_of(name);
            }
            return;
        };
        let about_a_service = matches!(boundary, Boundary::FirstByte | Boundary::Annotate);
        let by_context = !about_a_service && !self.core.joined_by_id_alone.load(Ordering::Relaxed);
        let place = match Membership::current().filter(|live| live.is_of(&self.core)) {
            // The nearest conversation is all there is to know.
            Some(live) if event.is_contextual() && by_context => Place::within(live),
            _ if event.is_contextual() => self.contextual_place(ctx.event_span(event)),
            _ => self.place_of(ctx.event_span(event)),
        };
        // What names another conversation is not about the service that it is said in.
        let service = place.service.as_ref().filter(|(_, service)| {
            heard.conversation.as_deref().is_none_or(|id| {
                let own = service.conversation.as_ref();
                own.is_some_and(|own| &*own.identity.id == id)
            })
        });
        match (boundary, service) {
            (Boundary::FirstByte, Some((_, service))) => {
                let what = if heard.is_tool_call {
                    FirstByte::ToolCall
                } else {
                    FirstByte::Output
                };
                return self.first_byte(service, what, heard.ago);
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
        let Found::Live(live) = self.conversation(heard.conversation.as_deref(), &place, opening)
        else {
            return;
        };
        let core = &*self.core;
        let content = &core.settings.content;
        let at = core.clock.now().saturating_sub(heard.ago);
        live.act(core, at, |moment| match boundary {
            Boundary::ClientConnected => moment.client_connected(),
            Boundary::UserStarted => moment.user_started(),
            Boundary::UserStopped => moment.user_stopped(),
            Boundary::VadStarted => moment.vad_started(),
            Boundary::VadStopped => moment.vad_stopped(heard.stop),
            Boundary::BotStarted => moment.bot_started(),
            Boundary::BotStopped => moment.bot_stopped(),
            Boundary::Interruption => moment.interrupted(),
            // A value that emits something while it is formatted must not lead back to the conversation.
            Boundary::Annotate => undisturbed(|| {
                event.record(&mut Fields(|field, given: Given<'_>| {
                    if let Some(value) = attribute(field, given, content) {
                        moment.annotate(field.into(), value, content.max_value_bytes());
                    }
                }));
            }),
            Boundary::ConversationEnded | Boundary::ClientDisconnected => {
                let reason = heard
                    .reason
                    .take()
                    .map(|reason| KeyValue::new(names::CONVERSATION_END_REASON, reason));
                moment.describe(reason.into_iter().collect());
            }
            Boundary::ConversationStarted | Boundary::FirstByte => {}
        });
        if matches!(
            boundary,
            Boundary::ConversationEnded | Boundary::ClientDisconnected
        ) {
            live.end(core, EndReason::ConversationEnded, heard.ago, None);
        }
    }
}
