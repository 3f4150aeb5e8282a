//! Spans that are a conversation's scope, or join one by its id.

use super::ConversationLayer;
use super::place::Ours;
use crate::clock::lock;
use crate::conversation::{Live, Membership};
use crate::core::{Found, Opening, occupied, undisturbed};
use crate::fields::{Fields, Given};
use crate::names;
use crate::service::attribute;
use crate::turns::EndReason;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context as OtelContext, KeyValue};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing_core::Subscriber;
use tracing_core::field::{Field, ValueSet, Visit};
use tracing_core::span::{Attributes, Id};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    pub(super) fn new_conversation(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: Context<'_, S>,
    ) {
        let own_id = id_among(attributes).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let known = match self.core.table.find(&own_id) {
            // A second scope for a live conversation joins it.
            Found::Live(live) if live.is_scoped() => return self.join(attributes, id, ctx),
            Found::Live(live) => Some(live),
            Found::Ended | Found::Unknown => None,
        };
        let is_new = known.is_none();
        let live = known.unwrap_or_else(|| Live::open(&self.core, own_id.as_str().into()));
        self.describe(&live, &|visit| attributes.record(visit));
        if live.has_span() {
            // Events or services opened it, and it has shown already: the scope comes too late to be its span.
            self.join(attributes, id, ctx.clone());
        } else {
            let mut parent = self.parent_context(attributes, &ctx);
            if parent.get::<Membership>().is_some() {
                // One conversation is one trace, also where it is started from within another.
                parent = OtelContext::new();
            }
            let parent = parent.with_value(live.membership(None));
            self.make_scope(attributes, id, ctx.clone(), parent);
        }
        live.take_scope(id);
        // Found by its id only now that its span is there to be found.
        if is_new && !self.core.admit(&live) {
            // Another scope of the same id was quicker.
            return self.core.ours.put(id, Ours::Joining(own_id.into()));
        }
        self.core.awaits_enter.fetch_add(1, Ordering::Relaxed);
        self.core.ours.put(id, Ours::Scope(live.clone()));
        self.core.learn_by_default();
        if self.core.dispatch.get().is_none() {
            // Without a way back to the scope, its span has to be started here and now.
            self.inner_context(id, &ctx, |context| live.adopt(context));
        }
    }

    pub(super) fn join(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let own_id = id_among(attributes).unwrap_or_default();
        let live = self.core.conversation(&own_id, Opening::Never);
        self.core.ours.put(id, Ours::Joining(own_id.into()));
        let Found::Live(live) = live else {
            self.core.joined_by_id_alone.store(true, Ordering::Relaxed);
            if let Some(parent) = attributes.parent() {
                self.tell_if_service(parent, &ctx);
            }
            return undisturbed(|| self.inner.on_new_span(attributes, id, ctx));
        };
        self.make_ordinary(&live, attributes, id, ctx);
    }

    /// An ordinary span that names its parent, or may be in a conversation without its context telling so.
    #[cold]
    pub(super) fn new_ordinary(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(parent) = attributes.parent() {
            self.tell_if_service(parent, &ctx);
        }
        if self.core.astray.load(Ordering::Relaxed)
            && !occupied()
            && !Membership::is_current()
            && let Some(live) = self.place_of_new(attributes, &ctx).conversation
        {
            return self.make_ordinary(&live, attributes, id, ctx);
        }
        undisturbed(|| self.inner.on_new_span(attributes, id, ctx));
    }

    /// Makes a span where `tracing` puts it, else below the conversation, and marks it as the conversation's.
    fn make_ordinary(
        &self,
        live: &Live,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: Context<'_, S>,
    ) {
        let above = self.parent_context(attributes, &ctx);
        let parent = if above.has_active_span() {
            above.with_value(live.membership(None))
        } else {
            live.context(&self.core).clone()
        };
        let _attached = parent.attach();
        let attributes = Attributes::new(attributes.metadata(), attributes.values());
        undisturbed(|| self.inner.on_new_span(&attributes, id, ctx));
    }

    #[cold]
    pub(super) fn scope_entered(&self, id: &Id) {
        if let Some(Ours::Scope(live)) = self.core.ours.get(id) {
            live.entered(&self.core, !Membership::is_current());
        }
    }

    /// Sets the fields of a conversation's scope.
    pub(super) fn describe(&self, live: &Arc<Live>, record: &dyn Fn(&mut dyn Visit)) {
        let settings = &self.core.settings;
        let mut described = Vec::new();
        record(&mut Fields(|field, given: Given<'_>| {
            if let Some(value) = attribute(field, given, &settings.content) {
                if settings.inherited.iter().any(|name| name == field) {
                    live.inherit(field, &value);
                }
                described.push(KeyValue::new(field, value));
            }
        }));
        if !described.is_empty() {
            live.act(&self.core, self.core.clock.now(), |moment| {
                moment.describe(described)
            });
        }
    }

    /// Has the wrapped layer make the span of a scope under `parent`, else where `tracing` puts it, without its fields:
    /// those are ours to set when it ends, typed and once each. But for two of which only the wrapped layer can make use,
    /// for they cannot be set later.
    fn make_scope(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: Context<'_, S>,
        parent: OtelContext,
    ) {
        let fields = attributes.metadata().fields();
        let mut named: Vec<(Field, String)> = Vec::new();
        attributes.record(&mut Fields(|name, given: Given<'_>| {
            if let (names::OTEL_KIND | names::OTEL_NAME, Some(field)) = (name, fields.field(name)) {
                named.push((field, given.text().into_owned()));
            }
        }));
        let _attached = parent.attach();
        let make = |values: &ValueSet<'_>| {
            let made = Attributes::new(attributes.metadata(), values);
            undisturbed(|| self.inner.on_new_span(&made, id, ctx));
        };
        match &named[..] {
            [] => make(&fields.value_set(&NO_VALUES)),
            [(field, value)] => {
                let values: Values<'_, 1> = [(field, Some(value))];
                make(&fields.value_set(&values));
            }
            [(one, first), (other, second), ..] => {
                let values: Values<'_, 2> = [(one, Some(first)), (other, Some(second))];
                make(&fields.value_set(&values));
            }
        }
    }

    /// Gives the context of a span that is open here, which is started by asking.
    pub(super) fn inner_context(
        &self,
        id: &Id,
        ctx: &Context<'_, S>,
        give: impl FnOnce(OtelContext),
    ) {
        undisturbed(|| {
            self.aside.on_enter(id, ctx.clone());
            give(OtelContext::current());
            self.aside.on_exit(id, ctx.clone());
        });
    }

    /// Ends what the closing of a span ends. Tells whether the span itself has ended by that.
    pub(super) fn close(&self, id: &Id, ctx: &Context<'_, S>) -> bool {
        let Some(ours) = self.core.ours.get(id) else {
            return false;
        };
        let has_ended = match ours {
            Ours::Scope(live) => {
                let end = |live: &Arc<Live>| {
                    let reason = EndReason::ConversationEnded;
                    live.end(&self.core, reason, Duration::ZERO, None);
                };
                live.entered(&self.core, false);
                end(&live);
                if let Found::Live(again) = self.core.table.find(&live.identity.id)
                    && again.has_scope(id)
                {
                    end(&again);
                }
                // Whoever asks later finds the context here: the span is about to be gone.
                let _ = live.context(&self.core);
                false
            }
            Ours::Joining(_) => false,
            Ours::Service(service) => {
                self.finish(id, &service, ctx);
                *lock(&service.is_closed) = true;
                true
            }
        };
        // Not before: whoever finds the span on the way is to know it.
        self.core.ours.take(id);
        has_ended
    }
}

pub(super) type Values<'a, const N: usize> =
    [(&'a Field, Option<&'a dyn tracing_core::field::Value>); N];
pub(super) const NO_VALUES: Values<'static, 0> = [];

/// The conversation's id among a span's fields, if it is any.
fn id_among(attributes: &Attributes<'_>) -> Option<String> {
    id_recorded(&|visit| attributes.record(visit))
}

pub(super) fn id_recorded(record: &dyn Fn(&mut dyn Visit)) -> Option<String> {
    let mut id = None;
    record(&mut Fields(|field, given: Given<'_>| {
        if field == names::CONVERSATION_ID {
            id = Some(given.text().into_owned());
        }
    }));
    id.filter(|id| !id.is_empty())
}
