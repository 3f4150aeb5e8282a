//! How a conversation joins the trace that it is started in.

use super::ActiveConversation;
use crate::field::FieldValue;
use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt as _, KeyValueMetadata};
use opentelemetry::trace::{Link, SpanBuilder, TraceContextExt as _};
use std::borrow::Cow;

impl ActiveConversation {
    /// The context that the conversation's span is started in: its caller's, or one of its own with a link to the caller.
    pub(super) fn join<'a>(
        &self,
        caller: &'a Context,
        builder: &mut SpanBuilder,
    ) -> Cow<'a, Context> {
        self.inherit_baggage(caller);
        let span = caller.span();
        let span_context = span.span_context();
        if !self.shared.settings.links_to_caller || !span_context.is_valid() {
            return Cow::Borrowed(caller);
        }
        let links = builder.links.get_or_insert_default();
        links.push(Link::with_context(span_context.clone()));
        let baggage = caller.baggage().iter().map(|(key, (value, metadata))| {
            KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
        });
        Cow::Owned(Context::new().with_baggage(baggage))
    }

    /// Marks every span with the entries of the baggage that the program has named, unless the scope has said otherwise.
    fn inherit_baggage(&self, caller: &Context) {
        let content = &self.shared.content;
        for name in &self.shared.settings.inherited {
            if let Some(value) = caller.baggage().get(name)
                && !self.identity.has_inherited(name)
                && content.admits(name)
                && let Some(value) = FieldValue::Str(value.as_str()).attribute_value(content)
            {
                self.identity.inherit(name.clone(), value);
            }
        }
    }
}
