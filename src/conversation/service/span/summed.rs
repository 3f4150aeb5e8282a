//! What a service span adds to the sums of its conversation, and hands to those that observe it.

use super::{Awaited, Elsewhere, ServiceSpan};
use crate::clock::{Time, lock};
use crate::conversation::Place;
use crate::conversation::counted::{CountedService, OpenService};
use crate::conversation::service::ServiceRecord;
use crate::observe::{EndedService, Notice, RecordedFields};
use crate::prices::Cost;
use crate::reentrancy::guard_thread;
use crate::sums::{Charge, ServiceUsage};
use crate::usage::Usage;
use opentelemetry::trace::{SpanContext, Status};
use std::sync::{Arc, Mutex};

impl ServiceSpan {
    /// The service spans that it is exported below, up to a transcription that may still move: what is above that learns of
    /// what is below when the transcription ends.
    pub(super) fn services_above(&self) -> Vec<Arc<dyn CountedService>> {
        let mut found: Vec<Arc<dyn CountedService>> = Vec::new();
        let mut next = self.exported_below();
        while let Some(above) = next {
            next = match *lock(&above.awaited) {
                Awaited::Yes(_) => None,
                _ => above.exported_below(),
            };
            found.push(above);
        }
        found
    }

    /// The service span that it is exported below, if it has not moved from there.
    fn exported_below(&self) -> Option<Arc<Self>> {
        let has_moved = self.moved_to.get().is_some() || self.has_own_parent();
        if has_moved {
            None
        } else {
            self.above.upgrade()
        }
    }

    /// What it adds to the sums of its conversation so far, unless it is finished.
    pub(crate) fn as_open(self: &Arc<Self>) -> Option<OpenService> {
        let figures = lock(&self.record).as_ref()?.figures(&self.shared);
        Some(OpenService {
            key: self.key,
            turn: self.turn(),
            service: self.clone(),
            above: self.services_above(),
            figures,
        })
    }

    /// The service for those that observe it, once its record is complete.
    #[inline(never)]
    pub(super) fn ended(
        &self,
        elsewhere: Option<&Elsewhere>,
        record: &ServiceRecord,
        status: &Status,
        charge: Option<&Charge>,
        now: Time,
    ) -> Arc<EndedService> {
        let own = elsewhere.map(|elsewhere| &elsewhere.span_context);
        let trace = match (self.moved_to.get(), own) {
            (Some(moved_to), _) => &moved_to.parent,
            (None, Some(own)) => own,
            (None, None) => &self.parent.span_context,
        };
        let extras = record.extras.as_deref();
        let status = match extras {
            Some(extras) if extras.status > *status => &extras.status,
            _ => status,
        };
        let name = extras.and_then(|extras| extras.name.as_ref());
        let with_words = self.shared.sinks.read_words();
        Arc::new(EndedService {
            conversation_id: self.conversation.as_ref().map(|own| own.id().clone()),
            turn_number: self.turn(),
            trace_id: trace.trace_id(),
            span_id: own.map_or(self.span_id, SpanContext::span_id),
            name: name.unwrap_or(&self.name).clone(),
            kind: record.kind,
            started: self.start,
            lasted: now.saturating_sub(record.started),
            usage: charge.map_or_else(Usage::default, |charge| charge.usage),
            recorded_below: lock(&self.usage).recorded_below(),
            cost_usd: match charge.map(|charge| charge.cost) {
                Some(Cost::Usd(cost)) => Some(cost),
                Some(Cost::None | Cost::Unknown) | None => None,
            },
            is_interrupted: record.is_interrupted,
            status: status.clone(),
            recorded: RecordedFields::of(record.attributes.iter(), record.kind, with_words),
        })
    }

    /// Gives the service to those that observe it, in its place in its conversation.
    pub(super) fn submit(&self, ended: Option<Arc<EndedService>>, place: Option<Place>) {
        let Some(ended) = ended else {
            return;
        };
        match &self.conversation {
            Some(conversation) => conversation.submit_service(ended, place),
            None => {
                let _guarded = guard_thread();
                self.shared.sinks.take(Notice::ServiceEnded(ended));
            }
        }
    }
}

impl CountedService for ServiceSpan {
    fn usage(&self) -> &Mutex<ServiceUsage> {
        &self.usage
    }
}
