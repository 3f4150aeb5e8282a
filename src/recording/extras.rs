//! What a program adds to a span of the layer through OpenTelemetry, besides attributes.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, Link, SpanContext, Status};
use opentelemetry_sdk::trace::{SpanEvents, SpanLimits, SpanLinks};
use std::borrow::Cow;
use std::time::SystemTime;

#[derive(Default)]
pub(crate) struct SpanExtras {
    pub(crate) events: SpanEvents,
    pub(crate) links: SpanLinks,
    pub(crate) status: Status,
    pub(crate) name: Option<Cow<'static, str>>,
}

impl SpanExtras {
    pub(crate) fn add_event(
        &mut self,
        name: Cow<'static, str>,
        time: SystemTime,
        mut attributes: Vec<KeyValue>,
        limits: &SpanLimits,
    ) {
        if self.events.events.len() < limits.max_events_per_span as usize {
            let dropped = truncate(&mut attributes, limits.max_attributes_per_event);
            let event = Event::new(name, time, attributes, dropped);
            self.events.events.push(event);
        } else {
            self.events.dropped_count = self.events.dropped_count.saturating_add(1);
        }
    }

    pub(crate) fn add_link(
        &mut self,
        span_context: SpanContext,
        mut attributes: Vec<KeyValue>,
        limits: &SpanLimits,
    ) {
        if self.links.links.len() < limits.max_links_per_span as usize {
            let dropped = truncate(&mut attributes, limits.max_attributes_per_link);
            self.links
                .links
                .push(Link::new(span_context, attributes, dropped));
        } else {
            self.links.dropped_count = self.links.dropped_count.saturating_add(1);
        }
    }

    /// Sets the status as the SDK does: `Ok` outranks an error, an error outranks nothing.
    pub(crate) fn set_status(&mut self, status: Status) {
        if status != Status::Unset && status > self.status {
            self.status = status;
        }
    }
}

/// Cuts a list to a limit, and says how much was dropped.
pub(crate) fn truncate(attributes: &mut Vec<KeyValue>, limit: u32) -> u32 {
    let limit = limit as usize;
    let dropped = attributes.len().saturating_sub(limit);
    attributes.truncate(limit);
    u32::try_from(dropped).unwrap_or(u32::MAX)
}
