//! What is kept of open spans for what is below them, and for their end.

use super::{AdoptedCallsite, Adoption};
use crate::clock::lock;
use crate::field::{FieldValue, NamedFields};
use crate::layer::boundary_event::BoundaryFields;
use crate::rules::{KeptValue, Pattern};
use std::sync::{Arc, Mutex};
use tracing_core::Subscriber;
use tracing_core::field::Visit;
use tracing_core::span::Id;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// What is kept of an open span that rules have adopted, or whose fields are looked up from below.
pub(in crate::layer) struct AdoptedSpan {
    pub(super) callsite: Arc<AdoptedCallsite>,
    pub(super) applied: Box<[usize]>,
    pub(super) sources: Mutex<Vec<(&'static str, KeptValue)>>,
    /// What the events say that its end is.
    pub(super) closing: Mutex<BoundaryFields>,
}

impl AdoptedSpan {
    /// The value of a field that is looked up from below.
    pub(super) fn kept(&self, field: &str) -> Option<KeptValue> {
        let sources = lock(&self.sources);
        let source = sources.iter().find(|(name, _)| *name == field);
        source.map(|(_, value)| value.clone())
    }

    pub(super) fn keep(&self, adoption: &Adoption, record: &dyn Fn(&mut dyn Visit)) {
        if !self.callsite.has_sources {
            return;
        }
        // Formatted before the lock is taken: it may come back here.
        let mut new = Vec::new();
        record(&mut NamedFields::new(
            |name| adoption.sources.iter().any(|source| **source == *name),
            |name: &'static str, value: FieldValue<'_>| new.push((name, KeptValue::from(value))),
        ));
        let mut sources = lock(&self.sources);
        for (name, value) in new {
            match sources.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => sources.push((name, value)),
            }
        }
    }
}

/// What a span, or one above it, has recorded in a field.
pub(super) fn kept_above<S>(span: Option<SpanRef<'_, S>>, field: &str) -> Option<KeptValue>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    span?.scope().find_map(|span| {
        let extensions = span.extensions();
        extensions.get::<Arc<AdoptedSpan>>()?.kept(field)
    })
}

/// Whether `span`, or one above it, has such a name.
pub(super) fn is_within<S>(span: Option<SpanRef<'_, S>>, name: &Pattern) -> bool
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    span.is_some_and(|span| span.scope().any(|span| name.matches(span.name())))
}

pub(super) fn adopted_span<S>(id: &Id, ctx: &Context<'_, S>) -> Option<Arc<AdoptedSpan>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let span = ctx.span(id)?;
    let extensions = span.extensions();
    extensions.get::<Arc<AdoptedSpan>>().cloned()
}
