//! Spans that rules adopt.

use super::kept::{AdoptedSpan, adopted_span, is_within, kept_above};
use super::{Adopted, AdoptedCallsite, Adoption, Step};
use crate::clock::lock;
use crate::layer::ConversationLayer;
use crate::layer::boundary::EventPlace;
use crate::layer::boundary_event::{Boundary, BoundaryFields};
use crate::layer::callsite::{CallsiteKind, service_kind};
use crate::layer::recorded::{NoFields, Recorded};
use crate::layer::scope::SpanFields;
use crate::layer::standing::Standing;
use crate::layer::tracked::TrackedSpan;
use crate::reentrancy::is_guarded;
use crate::rules::{KeptValue, Meaning};
use crate::service_kind::ServiceKind;
use std::sync::{Arc, Mutex};
use tracing_core::Subscriber;
use tracing_core::field::Visit;
use tracing_core::span::{Attributes, Id, Record};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// A span of an adopted callsite.
    #[cold]
    pub(in crate::layer) fn new_adopted(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: &Context<'_, S>,
    ) {
        let adoption = self.state.adoption.as_ref();
        let callsite = adoption.and_then(|adoption| adoption.callsite(attributes.metadata()));
        let (Some(adoption), Some(callsite)) = (adoption, callsite) else {
            let kind = CallsiteKind::of(attributes.metadata());
            return self.new_span(kind, attributes, id, ctx.clone());
        };
        let kind = callsite.kind;
        if is_guarded() {
            return self.new_span(kind, attributes, id, ctx.clone());
        }
        let record = |visit: &mut dyn Visit| attributes.record(visit);
        let applied = self.applied(adoption, &callsite, &record, id, ctx);
        let is_plain = applied.is_empty() || adoption.is_dry_run;
        let mut closing = BoundaryFields::default();
        if is_plain {
            let is_ordinary = kind == CallsiteKind::Ordinary;
            if !is_ordinary || *callsite.metadata.level() <= adoption.level {
                self.new_span(kind, attributes, id, ctx.clone());
            } else if let Some(standing) = self.standing_of_new(attributes) {
                // It is not exported, but what is in it stands where it does.
                self.state
                    .tracked
                    .insert(id, TrackedSpan::Ordinary(standing));
            }
        } else {
            let above = |name: &str| kept_above(parent(id, ctx), name);
            let decides =
                |rule: &&usize| !matches!(adoption.rules[**rule].rule.meaning, Meaning::Span);
            let decided = applied.iter().find(decides).copied();
            let operation = decided.and_then(|rule| adoption.rules[rule].operation());
            let is_service = matches!(kind, CallsiteKind::Service | CallsiteKind::ExplicitService);
            let recorded = Adopted {
                adoption,
                applied: &applied,
                record: &record,
                above: Some(&above),
                // What the span says itself comes first.
                operation: operation.filter(|_| !is_service && kind != CallsiteKind::Scope),
            };
            let opening = adoption.openings(&applied);
            if !opening.is_empty() || adoption.closings(&applied).next().is_some() {
                recorded.each_of(BoundaryFields::NAMES, |field, value| {
                    closing.set(field, value)
                });
            }
            let is_scope = kind == CallsiteKind::Scope
                || (!is_service && operation.is_none() && decided.is_some());
            if is_scope {
                self.new_scope(&recorded, attributes, id, ctx);
                let place = EventPlace {
                    standing: self.state.tracked.get(id).and_then(TrackedSpan::standing),
                    is_contextual: false,
                };
                self.open_or_close(&opening, &closing, &place, &recorded, ctx);
            } else {
                let place = EventPlace {
                    standing: self.standing_of_new(attributes),
                    is_contextual: attributes.is_contextual(),
                };
                self.open_or_close(&opening, &closing, &place, &recorded, ctx);
                if is_service || operation.is_some() {
                    let does = match operation.filter(|_| !is_service).map(ServiceKind::of) {
                        Some(known) if known != ServiceKind::Other => known,
                        _ => service_kind(attributes),
                    };
                    self.new_service(&recorded, does, attributes, id, ctx, true);
                } else {
                    let conversation = SpanFields::read(&recorded).conversation;
                    self.join(conversation, &recorded, attributes, id, ctx);
                }
            }
        }
        if is_plain && !callsite.has_sources {
            return;
        }
        let adopted = AdoptedSpan {
            applied: if is_plain {
                Box::default()
            } else {
                applied.into()
            },
            callsite,
            sources: Mutex::default(),
            closing: Mutex::new(closing),
        };
        adopted.keep(adoption, &record);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().replace(Arc::new(adopted));
            self.state.tracked.set_adopted(id);
        }
    }

    /// The rules that match a new span: of those that make it a conversation or a service, the first.
    fn applied(
        &self,
        adoption: &Adoption,
        callsite: &AdoptedCallsite,
        record: &dyn Fn(&mut dyn Visit),
        id: &Id,
        ctx: &Context<'_, S>,
    ) -> Vec<usize> {
        let mut applied = Vec::new();
        let mut is_decided = false;
        callsite.checks.matching(
            callsite.metadata,
            record,
            &callsite.message,
            &|name| is_within(parent(id, ctx), name),
            |step, _| {
                let Step::Apply(application) = step else {
                    return;
                };
                let rule = application.rule;
                let decides = !matches!(adoption.rules[rule].rule.meaning, Meaning::Span);
                if !(decides && is_decided) {
                    application.take();
                    applied.push(rule);
                }
                is_decided |= decides;
            },
        );
        applied
    }

    fn open_or_close(
        &self,
        boundaries: &[Boundary],
        fields: &BoundaryFields,
        place: &EventPlace,
        recorded: &impl Recorded,
        ctx: &Context<'_, S>,
    ) {
        for boundary in boundaries {
            self.happen(*boundary, fields, place, recorded, ctx);
        }
    }

    /// What is recorded late on an adopted span.
    #[cold]
    pub(in crate::layer) fn record_adopted(
        &self,
        tracked: TrackedSpan,
        id: &Id,
        values: &Record<'_>,
        ctx: Context<'_, S>,
    ) {
        let adopted = adopted_span(id, &ctx);
        let (Some(adopted), Some(adoption)) = (adopted, &self.state.adoption) else {
            return self.record(tracked, id, values, ctx);
        };
        let record = |visit: &mut dyn Visit| values.record(visit);
        adopted.keep(adoption, &record);
        if adopted.applied.is_empty() {
            return self.record(tracked, id, values, ctx);
        }
        let recorded = Adopted {
            adoption,
            applied: &adopted.applied,
            record: &record,
            above: None,
            operation: None,
        };
        if adoption.closings(&adopted.applied).next().is_some() {
            let mut late: Vec<(&'static str, KeptValue)> = Vec::new();
            recorded.each_of(BoundaryFields::NAMES, |field, value| {
                late.push((field, value.into()));
            });
            let mut closing = lock(&adopted.closing);
            for (field, value) in &late {
                closing.set(field, value.value());
            }
        }
        match tracked {
            TrackedSpan::Scope(conversation) => self.describe(&conversation, &recorded),
            TrackedSpan::Service { service, .. } => {
                self.record_service(&service, id, &recorded, &ctx);
            }
            TrackedSpan::Unrecorded(_) => {}
            TrackedSpan::Joining(_) | TrackedSpan::Ordinary(_) => {
                self.record_renamed(adopted.callsite.metadata, id, &recorded, &ctx);
                self.join_late(id, &recorded, &ctx);
            }
        }
    }

    /// What has to be done when an adopted span closes.
    pub(in crate::layer) fn closing(
        &self,
        id: &Id,
        ctx: &Context<'_, S>,
    ) -> Option<Arc<AdoptedSpan>> {
        let adoption = self.state.adoption.as_ref()?;
        let adopted = adopted_span(id, ctx)?;
        let closes = adoption.closings(&adopted.applied).next().is_some();
        (closes && !is_guarded()).then_some(adopted)
    }

    /// Lets the events happen that the end of a span is, which stood in `standing`.
    pub(in crate::layer) fn close_adopted(
        &self,
        adopted: &AdoptedSpan,
        standing: Option<Standing>,
        ctx: &Context<'_, S>,
    ) {
        let Some(adoption) = &self.state.adoption else {
            return;
        };
        let place = EventPlace {
            standing,
            is_contextual: false,
        };
        let boundaries: Vec<Boundary> = adoption.closings(&adopted.applied).collect();
        let fields = std::mem::take(&mut *lock(&adopted.closing));
        self.open_or_close(&boundaries, &fields, &place, &NoFields, ctx);
    }
}

impl Adoption {
    fn openings(&self, applied: &[usize]) -> Vec<Boundary> {
        let rules = applied.iter();
        rules.filter_map(|rule| self.rules[*rule].open).collect()
    }

    fn closings(&self, applied: &[usize]) -> impl Iterator<Item = Boundary> {
        applied.iter().filter_map(|rule| self.rules[*rule].close)
    }
}

/// The span above a span.
fn parent<'a, S>(id: &Id, ctx: &'a Context<'_, S>) -> Option<SpanRef<'a, S>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    ctx.span(id)?.parent()
}
