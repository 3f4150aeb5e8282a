//! What code may do to a service span that has its context.

use super::ServiceSpan;
use crate::clock::lock;
use crate::names;
use crate::recording::{SpanExtras, SpanTarget};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, Status};
use std::borrow::Cow;
use std::time::SystemTime;

impl ServiceSpan {
    /// Adds to what the program has set on the span.
    fn with_extras(&self, act: impl FnOnce(&mut SpanExtras)) {
        if let Some(record) = &mut *lock(&self.record) {
            act(record.extras.get_or_insert_default());
        }
    }
}

/// The span as code sees it that has its context.
impl SpanTarget for ServiceSpan {
    fn is_recording(&self) -> bool {
        self.parent.is_recording && lock(&self.record).is_some()
    }

    fn set_attribute(&self, attribute: KeyValue) {
        let key = attribute.key.as_str();
        if matches!(key, names::CONVERSATION_ID | names::TURN_NUMBER)
            || !self.shared.content.admits(key)
        {
            return;
        }
        if let Some(record) = &mut *lock(&self.record) {
            record.is_set_from_outside = true;
            record.attributes.insert(attribute);
        }
    }

    fn add_event(&self, name: Cow<'static, str>, time: SystemTime, attributes: Vec<KeyValue>) {
        let limits = &self.shared.limits;
        self.with_extras(|extras| extras.add_event(name, time, attributes, limits));
    }

    fn add_link(&self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        let limits = &self.shared.limits;
        self.with_extras(|extras| extras.add_link(span_context, attributes, limits));
    }

    fn set_status(&self, status: Status) {
        if status == Status::Unset {
            return;
        }
        self.with_extras(|extras| extras.set_status(status));
    }

    fn set_name(&self, name: Cow<'static, str>) {
        self.with_extras(|extras| extras.name = Some(name));
    }
}
