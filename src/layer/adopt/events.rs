//! Events that rules adopt.

use super::kept::{is_within, kept_above};
use super::works::WorkPlace;
use super::{Adopted, AdoptedCallsite, Adoption, Application, Step};
use crate::conversation::service::{Effects, ServiceSpan};
use crate::field::{FieldValue, NamedFields};
use crate::layer::ConversationLayer;
use crate::layer::boundary::EventPlace;
use crate::layer::boundary_event::{Boundary, BoundaryFields};
use crate::layer::callsite::CallsiteKind;
use crate::layer::recorded::{NoFields, Recorded};
use crate::layer::scope::SpanFields;
use crate::layer::service::{ServiceOrigin, ServiceOutcome};
use crate::reentrancy::is_guarded;
use crate::rules::{KeptValue, PlainValues};
use crate::service_kind::ServiceKind;
use std::sync::Arc;
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// An event that rules may adopt.
struct AdoptedEvent<'a> {
    event: &'a Event<'a>,
    callsite: &'a AdoptedCallsite,
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// An event of an adopted callsite.
    pub(in crate::layer) fn adopted_event(&self, event: &Event<'_>, ctx: &Context<'_, S>) {
        let Some(adoption) = &self.state.adoption else {
            return self.ordinary_event(event, ctx);
        };
        let shared;
        let callsite = match adoption.callsite_in_slot(event.metadata()) {
            Some(callsite) => callsite,
            None => match adoption.callsite(event.metadata()) {
                Some(callsite) => {
                    shared = callsite;
                    &shared
                }
                None => return self.ordinary_event(event, ctx),
            },
        };
        let is_boundary = callsite.kind == CallsiteKind::Boundary;
        if is_guarded() {
            return if is_boundary {
            } else {
                self.ordinary_event(event, ctx);
            };
        }
        let adopted = AdoptedEvent { event, callsite };
        if is_boundary {
            self.own_event(adoption, &adopted, ctx);
        }
        let mut is_taken = is_boundary;
        let mut ends: Vec<usize> = Vec::new();
        let record = |visit: &mut dyn tracing_core::field::Visit| event.record(visit);
        callsite.checks.matching(
            callsite.metadata,
            &record,
            &callsite.message,
            &|name| is_within(nearest(event, ctx), name),
            |step, plain| {
                if let Step::Apply(application) = step {
                    application.take();
                }
                if adoption.is_dry_run {
                    return;
                }
                is_taken = true;
                match step {
                    Step::End(rule) => ends.push(*rule),
                    Step::Apply(application) => {
                        // Its own work ends before the next begins; what else the event ends, ends after what it means.
                        let rule = application.rule;
                        if adoption.has_works
                            && let Some(own) = ends.iter().position(|end| *end == rule)
                        {
                            ends.remove(own);
                            self.end_work(adoption, rule, &adopted, ctx);
                        }
                        self.apply_to_event(adoption, application, &adopted, plain, ctx);
                    }
                }
            },
        );
        if adoption.has_works {
            for rule in &ends {
                self.end_work(adoption, *rule, &adopted, ctx);
            }
        }
        if !is_taken && *callsite.metadata.level() <= adoption.level {
            self.ordinary_event(event, ctx);
        }
    }

    /// A boundary event in the words of the contract, which may be of the work that a rule has begun.
    #[inline(never)]
    fn own_event(&self, adoption: &Adoption, adopted: &AdoptedEvent<'_>, ctx: &Context<'_, S>) {
        let event = adopted.event;
        let mut fields = BoundaryFields::default();
        fields.read(event);
        let place = self.place_of(event);
        if let Some(boundary @ (Boundary::FirstByte | Boundary::Annotate)) = fields.boundary
            && let Some(work) = self.work_of(adoption, &fields, &place, event, ctx)
        {
            return self.happen_to_work(boundary, &work, &fields, event);
        }
        self.boundary_of(&fields, &place, event, ctx);
    }

    fn apply_to_event(
        &self,
        adoption: &Adoption,
        application: &Application,
        adopted: &AdoptedEvent<'_>,
        plain: &PlainValues,
        ctx: &Context<'_, S>,
    ) {
        let event = adopted.event;
        let rule = &adoption.rules[application.rule];
        let Some(boundary) = rule.boundary else {
            return self.as_recorded(adoption, application, event, ctx, |recorded| {
                self.begin_work(adoption, application.rule, recorded, adopted, ctx);
            });
        };
        let mut fields = BoundaryFields::default();
        if adopted.callsite.has_boundary_fields {
            self.as_recorded(adoption, application, event, ctx, |recorded| {
                recorded.each_of(BoundaryFields::NAMES, |field, value| {
                    fields.set(field, value);
                });
            });
        } else {
            let unread = application.set_plain(rule, plain, &mut fields);
            if unread != 0 {
                self.as_recorded(adoption, application, event, ctx, |recorded| {
                    recorded.visit_set_by(rule, unread, &mut |field, value| {
                        fields.set(field, value);
                    });
                });
            }
        }
        let place = self.place_of(event);
        if !matches!(boundary, Boundary::FirstByte | Boundary::Annotate) {
            return self.happen(boundary, &fields, &place, &NoFields, ctx);
        }
        self.as_recorded(adoption, application, event, ctx, |recorded| {
            match self.work_of(adoption, &fields, &place, event, ctx) {
                Some(work) => self.happen_to_work(boundary, &work, &fields, recorded),
                None => self.happen(boundary, &fields, &place, recorded, ctx),
            }
        });
    }

    /// Calls `act` with what an event records under the names that a rule gives it.
    #[inline(never)]
    fn as_recorded(
        &self,
        adoption: &Adoption,
        application: &Application,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
        act: impl FnOnce(&Adopted<'_>),
    ) {
        let record = |visit: &mut dyn tracing_core::field::Visit| event.record(visit);
        let above = |name: &str| kept_above(nearest(event, ctx), name);
        act(&Adopted {
            adoption,
            applied: &[application.rule],
            record: &record,
            above: Some(&above),
            operation: adoption.rules[application.rule].operation(),
        });
    }

    #[inline(never)]
    fn happen_to_work(
        &self,
        boundary: Boundary,
        work: &Arc<ServiceSpan>,
        fields: &BoundaryFields,
        recorded: &impl Recorded,
    ) {
        match boundary {
            Boundary::FirstByte => self.first_byte(work, fields),
            _ => record_work(work, recorded),
        }
    }

    /// The work that an event is inside of.
    #[inline(never)]
    fn work_of(
        &self,
        adoption: &Adoption,
        fields: &BoundaryFields,
        place: &EventPlace,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) -> Option<Arc<ServiceSpan>> {
        if !adoption.has_works {
            return None;
        }
        let conversation = self.conversation_id(fields.conversation.as_ref(), place);
        let at = WorkPlace {
            conversation,
            target: event.metadata().target(),
            span: nearest(event, ctx).map(|span| span.id().into_u64()),
            is_in_service: place
                .standing
                .as_ref()
                .is_some_and(|standing| standing.open_service().is_some()),
        };
        let key = |name: &str| key_of(name, event, ctx);
        adoption.works.inside(&at, |rule| {
            adoption.rules[rule].rule.key.as_deref().map(key)
        })
    }

    fn conversation_id(&self, id: Option<&Arc<str>>, place: &EventPlace) -> Option<Arc<str>> {
        let standing = || {
            let conversation = place.standing.as_ref()?.conversation()?;
            Some(conversation.id().clone())
        };
        id.cloned().or_else(standing)
    }

    /// Begins the work of a service that no span stands for.
    #[inline(never)]
    fn begin_work(
        &self,
        adoption: &Adoption,
        rule: usize,
        recorded: &Adopted<'_>,
        adopted: &AdoptedEvent<'_>,
        ctx: &Context<'_, S>,
    ) {
        let event = adopted.event;
        let applied = &adoption.rules[rule].rule;
        let operation = recorded.operation.unwrap_or_default();
        let does = ServiceKind::of(operation);
        let name = match &applied.name {
            Some(name) => name.clone(),
            None if does == ServiceKind::Other => operation.to_owned(),
            None => does.name().to_owned(),
        };
        let place = self.place_of(event);
        let origin = ServiceOrigin {
            key: adoption.works.new_key(),
            name: name.into(),
            does,
            fields: SpanFields::read(recorded),
            standing: place.standing,
            parent: event.parent(),
            is_contextual: event.is_contextual(),
        };
        let outcome = self.start_service(origin, recorded, ctx);
        let ServiceOutcome::Started(service, effects) = outcome else {
            return;
        };
        if effects.ended {
            return service.finish();
        }
        let key = applied.key.as_deref();
        let key = key.and_then(|name| key_of(name, event, ctx));
        let span = nearest(event, ctx).map(|span| span.id().into_u64());
        adoption
            .works
            .begin(rule, key, event.metadata().target(), span, service);
    }

    /// Ends the work that the event of `rule` has begun, with what the event that ends it records.
    #[inline(never)]
    fn end_work(
        &self,
        adoption: &Adoption,
        rule: usize,
        adopted: &AdoptedEvent<'_>,
        ctx: &Context<'_, S>,
    ) {
        let event = adopted.event;
        let record = |visit: &mut dyn tracing_core::field::Visit| event.record(visit);
        let recorded = Adopted {
            adoption,
            applied: &[rule],
            record: &record,
            above: None,
            operation: None,
        };
        let fields = SpanFields::read(&recorded);
        let conversation =
            self.conversation_id(fields.conversation.as_ref(), &self.place_of(event));
        let key = adoption.rules[rule].rule.key.as_deref();
        let key = key.map(|name| key_of(name, event, ctx));
        if let Some(work) = adoption.works.end(rule, conversation.as_deref(), key) {
            record_work(&work, &recorded);
            work.finish();
        }
    }
}

/// Records fields on work that no span stands for.
fn record_work(work: &Arc<ServiceSpan>, recorded: &impl Recorded) {
    let mut effects = Effects::default();
    recorded.each(|field, value| work.record(field, value, &mut effects));
    if effects.concern_conversation() {
        work.apply(&effects);
    }
}

/// The nearest span of an event.
fn nearest<'a, S>(event: &Event<'_>, ctx: &'a Context<'_, S>) -> Option<SpanRef<'a, S>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    match event.parent() {
        Some(parent) => ctx.span(parent),
        None if event.is_contextual() => ctx.lookup_current(),
        None => None,
    }
}

/// The text that pairs the events of one piece of work.
fn key_of<S>(field: &str, event: &Event<'_>, ctx: &Context<'_, S>) -> Option<Box<str>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let mut key = None;
    event.record(&mut NamedFields::new(
        |name| name == field,
        |_: &'static str, value: FieldValue<'_>| key = Some(KeptValue::from(value)),
    ));
    let key = key.or_else(|| kept_above(nearest(event, ctx), field))?;
    Some(key.text().into())
}
