//! The end of a service span, and what is exported of it.

use super::{Awaited, Elsewhere, Moved, ServiceSpan};
use crate::attribute_list::AttributeList;
use crate::clock::lock;
use crate::conversation::service::ServiceRecord;
use crate::names;
use crate::prices::Cost;
use crate::recording::{Ended, RootSpan, SpanExtras, moved, truncate};
use crate::reentrancy::guard_thread;
use crate::sums::Charge;
use opentelemetry::trace::{Link, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// What a service span has recorded, at its end.
struct Finished {
    attributes: AttributeList,
    extras: Option<Box<SpanExtras>>,
    status: Status,
    kind: SpanKind,
    time: SystemTime,
    /// Whether all attributes keep to the bounds of the content policy.
    is_bounded: bool,
}

impl Finished {
    /// Whether nothing but attributes was recorded, all of which the layer has bounded.
    fn is_plain(&self) -> bool {
        self.is_bounded && self.extras.is_none() && !matches!(self.status, Status::Error { .. })
    }
}

impl ServiceSpan {
    /// Ends the work and exports the span, once.
    pub(crate) fn finish(&self) {
        if self.is_finished.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = self.shared.clock.now();
        let elsewhere = self.elsewhere();
        if !self.starts_as_planned {
            // Whoever has asked for its context has got it.
            drop(lock(&self.starting));
        }
        let above = self.services_above();
        let mut guard = lock(&self.record);
        let figures = match guard.as_ref() {
            Some(record) => record.figures(&self.shared),
            None => return,
        };
        let mut place = None;
        if let (Some(record), Some(conversation)) = (guard.as_mut(), &self.conversation) {
            let started = conversation.started();
            let ended = conversation.act(now, |transition| {
                let decided = transition.service_ended(record, started);
                // In another turn it is not exported below them.
                let stays = decided.is_none() || record.turn == self.turn();
                let above = if stays { &*above } else { &[] };
                transition.count_service(self.key, record.turn, &figures, self, above);
                place = transition.reserve_place();
                (transition.state.interruptions, decided)
            });
            let (interruptions, decided) = match ended {
                Some(ended) => ended,
                None => (conversation.interruptions(), None),
            };
            record.is_interrupted |=
                record.kind.is_interruptible() && interruptions > record.interruptions;
            if let Some(turn) = decided {
                let waiting = self.decide_turn(conversation, turn.as_ref(), guard);
                self.export_waiting(waiting);
                guard = lock(&self.record);
            }
        }
        let Some(record) = guard.as_mut() else {
            return;
        };
        let is_recording =
            elsewhere.map_or(self.parent.is_recording, |elsewhere| elsewhere.is_recording);
        let sinks = &self.shared.sinks;
        if !is_recording && sinks.is_empty() {
            return self.close(guard);
        }
        let status = record.finish(&self.shared.content);
        if let Some(Charge {
            cost: Cost::Usd(cost),
            ..
        }) = figures.charge
        {
            record.attributes.set(names::USAGE_COST_USD, cost);
        }
        let ended = (!sinks.is_empty())
            .then(|| self.ended(elsewhere, record, &status, figures.charge.as_ref(), now));
        if !is_recording {
            self.close(guard);
            return self.submit(ended, place);
        }
        let finished = Finished {
            kind: self.kind_with(record),
            attributes: std::mem::take(&mut record.attributes),
            extras: record.extras.take(),
            is_bounded: !record.is_set_from_outside,
            status,
            time: match &self.conversation {
                Some(conversation) => conversation.wall(now),
                None => self.shared.clock.wall().max(self.start),
            },
        };
        self.close(guard);
        // Not under the lock: processors run.
        let _guarded = guard_thread();
        self.submit(ended, place);
        if let Some(root) = elsewhere.and_then(|elsewhere| elsewhere.root.as_ref()) {
            return self.end_root(root, self.span_data(elsewhere, finished));
        }
        let processor = &self.shared.processor;
        let pending = self.pending_above.as_deref();
        if finished.is_plain() && pending.is_none() {
            let bounds = self.shared.content.bounds();
            processor.export_plain(bounds, || self.span_data(elsewhere, finished));
        } else {
            processor.export(self.span_data(elsewhere, finished), pending);
        }
    }

    /// Forgets the record.
    #[inline]
    fn close(&self, mut record: MutexGuard<'_, Option<ServiceRecord>>) {
        let turn_is_known = record.as_ref().is_none_or(|record| record.turn_is_known);
        *record = None;
        drop(record);
        // What waits for a conversation that has ended meanwhile waits no longer.
        if !turn_is_known && matches!(*lock(&self.awaited), Awaited::Yes(_)) {
            self.export_waiting(self.settle(None, false));
        }
    }

    #[cold]
    fn end_root(&self, root: &RootSpan, span: SpanData) {
        root.add(SpanExtras {
            events: span.events,
            links: span.links,
            status: Status::Unset,
            name: Some(span.name),
        });
        let ended = Ended {
            attributes: span.attributes,
            status: span.status,
            time: span.end_time,
        };
        self.shared.processor.end_root(root, ended);
    }

    /// The span as it is exported.
    #[inline]
    fn span_data(&self, elsewhere: Option<&Elsewhere>, finished: Finished) -> SpanData {
        let mut extras = finished
            .extras
            .map_or_else(SpanExtras::default, |extras| *extras);
        extras.set_status(finished.status);
        let (mut attributes, dropped_attributes) = finished.attributes.into_parts();
        let mut span_context = self.span_context_of(elsewhere);
        let mut parent_span_id = elsewhere
            .map_or(self.parent.span_context.span_id(), |elsewhere| {
                elsewhere.parent_span_id
            });
        if let Some(moved_to) = self.moved_to.get() {
            let Moved {
                parent,
                was_started,
            } = &**moved_to;
            parent_span_id = parent.span_id();
            if parent.trace_id() != span_context.trace_id() {
                let new = moved(&span_context, parent);
                if *was_started {
                    let link = Link::with_context(span_context);
                    extras.links.links.push(link);
                }
                span_context = new;
            }
        }
        let limit = self.shared.limits.max_attributes_per_span;
        SpanData {
            span_context,
            parent_span_id,
            parent_span_is_remote: elsewhere
                .map_or(self.parent.span_context.is_remote(), |elsewhere| {
                    elsewhere.parent_is_remote
                }),
            span_kind: finished.kind,
            name: extras.name.unwrap_or_else(|| self.name.clone()),
            start_time: self.start,
            end_time: finished.time,
            dropped_attributes_count: dropped_attributes + truncate(&mut attributes, limit),
            attributes,
            events: extras.events,
            links: extras.links,
            status: extras.status,
            instrumentation_scope: self.shared.instrumentation_scope(),
        }
    }
}
