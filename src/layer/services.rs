//! Service spans: from their start over what they record to their end.

use super::ConversationLayer;
use super::conversations::id_recorded;
use super::place::Ours;
use crate::clock::lock;
use crate::core::{Found, Opening, undisturbed};
use crate::fields::{Fields, Given};
use crate::latency::FirstByte;
use crate::names;
use crate::processor::HandedOver;
use crate::recognise::Service;
use crate::service::{News, ServiceSpan, Work};
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tracing_core::Subscriber;
use tracing_core::field::Visit;
use tracing_core::span::{Attributes, Id};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn new_service(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: Context<'_, S>,
        named: bool,
    ) {
        let core = &*self.core;
        let mut service = Service::named(attributes.metadata().name());
        if service == Service::Other {
            // What some fields mean depends on it, and they may come first.
            attributes.record(&mut Fields(|field, given: Given<'_>| {
                if field == names::GEN_AI_OPERATION_NAME {
                    service = Service::named(&given.text());
                }
            }));
        }
        let now = core.clock.now();
        let mut work = Work::new(id.into_u64(), service, now);
        let mut news = News::default();
        let mut own_id = None;
        let mut turn_number = None;
        attributes.record(&mut Fields(|field, given: Given<'_>| match field {
            names::CONVERSATION_ID => own_id = Some(given.text().into_owned()),
            names::TURN_NUMBER => turn_number = given.integer(),
            _ => work.note(field, given, &core.settings.content, &mut news),
        }));
        work.is_new = false;
        news.service = false;

        let own_id = own_id.filter(|id| !id.is_empty());
        let place = self.place_of_new(attributes, &ctx);
        let conversation = match self.conversation(own_id.as_deref(), &place, Opening::Unknown) {
            Found::Live(live) => Some(live),
            // Work for a conversation that is over is nobody's.
            Found::Ended => return,
            Found::Unknown => None,
        };

        let mut parent = None;
        if let Some(live) = &conversation {
            live.act(core, now, |moment| {
                moment.service_started(&mut work, turn_number);
                if news.is_any() {
                    moment.service_told(&mut work, &news, now, self.limit());
                }
            });
            // Under a service span of the same turn it stays where `tracing` has it. Anything else above may have
            // been there for many turns.
            let nested = place.service.is_some_and(|(_, above)| {
                above.turn() == work.turn_number()
                    && above
                        .conversation
                        .as_ref()
                        .is_some_and(|of| Arc::ptr_eq(of, live))
            });
            if !nested {
                parent = Some(live.parent_context(core, work.turn.as_deref()).clone());
            }
        }
        self.keep(
            id,
            &ctx,
            Ours::Service(ServiceSpan::new(conversation, work)),
        );
        if named {
            self.make_named_span(attributes, id, ctx, parent);
        } else {
            self.make_span(attributes, id, ctx, parent);
        }
    }

    /// How much of what is said in a turn is kept.
    fn limit(&self) -> usize {
        self.core.settings.content.max_value_bytes()
    }

    /// Records fields on a span of ours. Tells whether there was one.
    pub(super) fn record(
        &self,
        id: &Id,
        record: &dyn Fn(&mut dyn Visit),
        ctx: &Context<'_, S>,
    ) -> bool {
        let ours = ctx
            .span(id)
            .and_then(|span| span.extensions().get::<Ours>().cloned());
        match ours {
            None => return false,
            Some(Ours::Joining(_)) => {
                if let Some(own_id) = id_recorded(record) {
                    self.keep(id, ctx, Ours::Joining(own_id.into()));
                }
                return false;
            }
            Some(Ours::Scope(live)) => self.describe(&live, record),
            Some(Ours::Service(service)) => {
                let mut news = News::default();
                if let Some(work) = &mut *lock(&service.work) {
                    // A value that emits something while it is formatted must not lead back to this lock.
                    undisturbed(|| {
                        record(&mut Fields(|field, given: Given<'_>| {
                            work.note(field, given, &self.core.settings.content, &mut news);
                        }));
                    });
                    if let Some(live) = service.conversation.as_ref().filter(|_| news.is_any()) {
                        let now = self.core.clock.now();
                        live.act(&self.core, now, |moment| {
                            moment.service_told(work, &news, now, self.limit());
                        });
                        service.set_turn(work);
                    }
                }
                if news.ended {
                    self.finish(id, &service, ctx);
                }
            }
        }
        true
    }

    pub(super) fn first_byte(&self, service: &ServiceSpan, what: FirstByte, ago: Duration) {
        let core = &*self.core;
        if let Some(work) = &mut *lock(&service.work) {
            let at = core.clock.now().saturating_sub(ago);
            work.first_byte.get_or_insert(at);
            if let Some(live) = &service.conversation {
                live.act(core, at, |moment| moment.first_byte(work, what));
            }
        }
    }

    /// Ends the work of a service span, and its OpenTelemetry span with it.
    pub(super) fn finish(&self, id: &Id, service: &ServiceSpan, ctx: &Context<'_, S>) {
        let Some(mut work) = service.take_work() else {
            return;
        };
        let core = &*self.core;
        let now = core.clock.now();
        if let Some(live) = &service.conversation {
            live.finish_service(core, now, &mut work);
        }
        let mut conclude = |context: &OtelContext| {
            let span = context.span();
            if !span.is_recording() {
                return;
            }
            let number = work.turn_number();
            let moved = number != work.began_in;
            let (mut attributes, status) = work.finish(&core.settings.content);
            let Some(live) = &service.conversation else {
                span.set_attributes(attributes);
                span.set_status(status);
                return span.end_with_timestamp(SystemTime::now());
            };
            live.add_marks(number, context, &mut attributes);
            span.set_attributes(attributes);
            span.set_status(status);
            let place = moved.then(|| {
                let parent = live.parent_context(core, work.turn.as_deref()).span();
                (parent.span_context().clone(), number)
            });
            HandedOver {
                span: span.span_context().span_id(),
                start: live.wall(work.started),
                place,
            }
            .during(|| span.end_with_timestamp(live.wall(now)));
        };
        match core.context_of(id) {
            Some(context) => undisturbed(|| conclude(&context)),
            None => self.inner_context(id, ctx, |context| conclude(&context)),
        }
    }
}
