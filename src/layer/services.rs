//! Service spans: from their start over what they record to their end.

use super::ConversationLayer;
use super::conversations::NO_VALUES;
use super::conversations::id_recorded;
use super::entered;
use super::place::Ours;
use crate::clock::lock;
use crate::core::{Found, Opening, undisturbed};
use crate::fields::{Fields, Given};
use crate::names;
use crate::recognise::Service;
use crate::service::{News, ServiceSpan};
use crate::tracer::telling_of;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::SpanKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing_core::Subscriber;
use tracing_core::field::{FieldSet, Visit};
use tracing_core::span::{Attributes, Id};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// What a service span wants of its place and its name.
#[derive(Default)]
pub(super) struct Wanted {
    conversation: Option<String>,
    turn: Option<i64>,
    name: Option<String>,
    kind: Option<SpanKind>,
}

impl Wanted {
    pub(super) fn among(attributes: &Attributes<'_>) -> Self {
        let mut wanted = Self::default();
        attributes.record(&mut Fields(|field, given: Given<'_>| match field {
            names::CONVERSATION_ID => {
                wanted.conversation = Some(given.text().into_owned()).filter(|id| !id.is_empty());
            }
            names::TURN_NUMBER => wanted.turn = given.integer(),
            names::OTEL_NAME => wanted.name = Some(given.text().into_owned()),
            names::OTEL_KIND => wanted.kind = kind_named(&given.text()),
            _ => {}
        }));
        wanted
    }
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn new_service(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: Context<'_, S>,
        wanted: Wanted,
    ) {
        let core = &*self.core;
        let now = core.clock.now();
        let place = self.place_of_new(attributes, &ctx);
        let wanted_id = wanted.conversation.as_deref();
        let conversation = match self.conversation(wanted_id, &place, Opening::Unknown) {
            Found::Live(live) => Some(live),
            // Work for a conversation that is over is nobody's.
            Found::Ended => return,
            Found::Unknown => None,
        };

        let mut service = Service::named(attributes.metadata().name());
        if service == Service::Other {
            // What some fields mean depends on it, and they may come first.
            attributes.record(&mut Fields(|field, given: Given<'_>| {
                if field == names::GEN_AI_OPERATION_NAME {
                    service = Service::named(&given.text());
                }
            }));
        }
        let name = attributes.metadata().name();
        let mut span = Arc::new(ServiceSpan::new(id, service, name, now));
        // Nobody else has it yet.
        let Some(new) = Arc::get_mut(&mut span) else {
            return;
        };
        let mut parent = None;
        if let Some(work) = new.work_mut() {
            if let Some(live) = &conversation {
                live.act(core, now, |moment| {
                    moment.service_started(work, wanted.turn);
                });
                work.mark(&live.identity);
            }
            let mut news = News::default();
            attributes.record(&mut Fields(|field, given: Given<'_>| {
                work.note(field, given, &core.settings.content, &mut news);
            }));
            if let Some(live) = &conversation {
                if news.is_any() {
                    live.act(core, now, |moment| {
                        moment.service_told(work, &news, now, self.limit());
                    });
                }
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
        }
        let parent = parent.unwrap_or_else(|| self.parent_context(attributes, &ctx));
        new.place(conversation, parent);
        if let Some(name) = wanted.name {
            new.plan.name = name.into();
        }
        new.plan.kind = wanted.kind;
        core.ours.put(id, Ours::Service(span));
        if core.tells_at_once() {
            self.tell_if_service(id, &ctx);
        }
    }

    /// Tells whether the span is a service's.
    pub(super) fn enter_service(&self, id: &Id, ctx: &Context<'_, S>) -> bool {
        let Some(Ours::Service(service)) = self.core.ours.get(id) else {
            return false;
        };
        let context = self.started(id, &service, ctx).clone();
        entered::enter(&self.core, id, service, context);
        true
    }

    /// Tells the wrapped layer of a service span: it is about to hear of it in other ways.
    pub(super) fn tell_if_service(&self, id: &Id, ctx: &Context<'_, S>) {
        if let Some(Ours::Service(service)) = self.core.ours.get(id) {
            self.tell(id, &service, ctx);
        }
    }

    /// The same of the service span that is entered here last.
    pub(super) fn tell_innermost(&self, ctx: &Context<'_, S>) {
        if let Some((id, service)) = entered::innermost(&self.core) {
            self.tell(&id, &service, ctx);
        }
    }

    /// The wrapped layer learns that there is a service span, and where it belongs.
    fn tell(&self, id: &Id, service: &ServiceSpan, ctx: &Context<'_, S>) {
        if service.is_told.load(Ordering::SeqCst) {
            return;
        }
        let is_closed = lock(&service.is_closed);
        if *is_closed || service.is_told.load(Ordering::SeqCst) {
            return;
        }
        let Some(metadata) = ctx.metadata(id) else {
            return;
        };
        let fields = FieldSet::new(&[], metadata.callsite());
        let values = fields.value_set(&NO_VALUES);
        let attributes = Attributes::new(metadata, &values);
        let attached = service.parent().clone().attach();
        telling_of(id, || self.inner.on_new_span(&attributes, id, ctx.clone()));
        drop(attached);
        service.is_told.store(true, Ordering::SeqCst);
        if service.context().is_some() {
            self.start_inner(id, ctx);
        }
    }

    /// The context of a service span, which is started if need be.
    pub(super) fn started<'a>(
        &self,
        id: &Id,
        service: &'a ServiceSpan,
        ctx: &Context<'_, S>,
    ) -> &'a OtelContext {
        if let Some(context) = service.context() {
            return context;
        }
        if service.is_told.load(Ordering::SeqCst) {
            // With what the wrapped layer knows of it, another parent for instance.
            self.start_inner(id, ctx);
        }
        service.start(&self.core)
    }

    /// Has the wrapped layer start a span, and hand over what it was told of it.
    fn start_inner(&self, id: &Id, ctx: &Context<'_, S>) {
        self.inner_context(id, ctx, drop);
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
        match self.core.ours.get(id) {
            None => return false,
            Some(Ours::Joining(_)) => {
                if let Some(own_id) = id_recorded(record) {
                    self.core.ours.put(id, Ours::Joining(own_id.into()));
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

    /// Ends the work of a service span, and its OpenTelemetry span with it.
    pub(super) fn finish(&self, id: &Id, service: &ServiceSpan, ctx: &Context<'_, S>) {
        if !service.is_finished_now() {
            return;
        }
        let now = self.core.clock.now();
        self.started(id, service, ctx);
        if service.is_told.load(Ordering::SeqCst) {
            self.start_inner(id, ctx);
        }
        service.end(&self.core, now);
    }
}

/// The kinds that tracing-opentelemetry knows, under its names for them.
fn kind_named(name: &str) -> Option<SpanKind> {
    [
        ("client", SpanKind::Client),
        ("server", SpanKind::Server),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
        ("internal", SpanKind::Internal),
    ]
    .into_iter()
    .find(|(known, _)| known.eq_ignore_ascii_case(name))
    .map(|(_, kind)| kind)
}
