//! Spans that are the scope of a conversation, and those that join one by its id.

use super::ConversationLayer;
use super::adopt::without_fields;
use super::recorded::Recorded;
use super::standing::Standing;
use super::table::{Found, Opening};
use super::tracer::with_proxy;
use super::tracked::TrackedSpan;
use crate::active_context::{self, attach};
use crate::conversation::service::exported_value;
use crate::conversation::{ActiveConversation, Scope};
use crate::field::span_kind;
use crate::names;
use crate::recording::Marks;
use crate::reentrancy::guarded;
use crate::turns::EndReason;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing_core::Subscriber;
use tracing_core::span::{Attributes, Id};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Fields that carry the headers of the request that a conversation is started by.
const PROPAGATED: &[&str] = &[names::TRACEPARENT, names::TRACESTATE, names::BAGGAGE];

/// The context that the fields of a scope carry, else `parent`. What cannot be read counts as not there.
fn remote_parent(recorded: &impl Recorded, parent: OtelContext) -> OtelContext {
    let mut headers: HashMap<String, String> = HashMap::new();
    recorded.each_of(PROPAGATED, |field, value| {
        if PROPAGATED.contains(&field) {
            headers.insert(field.to_owned(), value.text().into_owned());
        }
    });
    if headers.is_empty() {
        return parent;
    }
    // They may have something to say of headers that are wrong.
    guarded(|| {
        let parent = TraceContextPropagator::new().extract_with_context(&parent, &headers);
        BaggagePropagator::new().extract_with_context(&parent, &headers)
    })
}

/// Fields of a scope that every span of the conversation carries: backends read user and tags of each span, and where each
/// turn is a trace they have no other.
const ALWAYS_INHERITED: &[&str] = &[
    "user.id",
    "enduser.id",
    "user_id",
    "tags",
    "conversation.tags",
];

/// What the fields of a span say of the span itself, before anything else is made of them.
#[derive(Default)]
pub(super) struct SpanFields {
    pub(super) conversation: Option<Arc<str>>,
    pub(super) turn: Option<i64>,
    pub(super) name: Option<String>,
    pub(super) kind: Option<SpanKind>,
}

impl SpanFields {
    pub(super) fn read(recorded: &impl Recorded) -> Self {
        const NAMES: &[&str] = &[
            names::CONVERSATION_ID,
            names::TURN_NUMBER,
            names::OTEL_NAME,
            names::OTEL_KIND,
        ];
        let mut fields = Self::default();
        recorded.each_of(NAMES, |field, value| match field {
            names::CONVERSATION_ID => fields.conversation = value.conversation_id(),
            names::TURN_NUMBER => fields.turn = value.integer(),
            names::OTEL_NAME => fields.name = Some(value.text().into_owned()),
            names::OTEL_KIND => fields.kind = span_kind(&value.text()),
            _ => {}
        });
        fields
    }
}

impl<S> ConversationLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    /// `recorded` is what the span records at its start, under the names of the contract.
    pub(super) fn new_scope(
        &self,
        recorded: &impl Recorded,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: &Context<'_, S>,
    ) {
        let fields = SpanFields::read(recorded);
        let conversation_id = fields
            .conversation
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into());
        let known = self.state.table.find(&conversation_id).open();
        if known.as_ref().is_some_and(|known| known.is_scoped()) {
            // A second scope of an open conversation joins it.
            return self.join(Some(conversation_id), recorded, attributes, id, ctx);
        }
        let is_new = known.is_none();
        let conversation = known.unwrap_or_else(|| {
            ActiveConversation::open(&self.state.shared, conversation_id.clone())
        });
        self.describe(&conversation, recorded);
        if conversation.has_root() {
            // Events or services have opened it and its span is started: the scope comes too late to be that.
            self.join(Some(conversation_id), recorded, attributes, id, ctx);
            conversation.set_scope(Scope {
                id: id.clone(),
                name: names::CONVERSATION.into(),
                kind: SpanKind::Internal,
                parent: OtelContext::new(),
            });
            return self.track_scope(id, conversation);
        }
        let mut parent = self.parent_context(attributes, ctx);
        if parent.get::<Marks>().is_some() {
            // One conversation is one trace, also where it starts inside another.
            parent = OtelContext::new();
        }
        let parent = remote_parent(recorded, parent);
        conversation.set_scope(Scope {
            id: id.clone(),
            name: fields.name.map_or(names::CONVERSATION.into(), Into::into),
            kind: fields.kind.unwrap_or(SpanKind::Internal),
            parent: parent.clone(),
        });
        // Found by its id only now that its scope is known.
        if is_new && !self.state.admit(&conversation) {
            // Another scope of the same id was first.
            return self.join(Some(conversation_id), recorded, attributes, id, ctx);
        }
        let _attached = attach(parent);
        with_proxy(id, |proxy| self.wrapped.on_new_span(proxy, id, ctx.clone()));
        self.track_scope(id, conversation);
    }

    fn track_scope(&self, id: &Id, conversation: Arc<ActiveConversation>) {
        self.state
            .tracked
            .insert(id, TrackedSpan::Scope(conversation));
    }

    pub(super) fn new_joining(&self, attributes: &Attributes<'_>, id: &Id, ctx: &Context<'_, S>) {
        let fields = SpanFields::read(attributes);
        self.join(fields.conversation, attributes, attributes, id, ctx);
    }

    /// Starts an ordinary span in the conversation that it names; without a name, where it stands.
    pub(super) fn join(
        &self,
        conversation_id: Option<Arc<str>>,
        recorded: &impl Recorded,
        attributes: &Attributes<'_>,
        id: &Id,
        ctx: &Context<'_, S>,
    ) {
        let above = self.standing_of_new(attributes);
        let standing = match conversation_id {
            Some(id) => Some(self.standing_by_id(id, above)),
            None => above,
        };
        match recorded.renaming() {
            None => self.start_ordinary(standing.as_ref(), attributes, id, ctx),
            Some(renaming) => {
                without_fields(attributes, |attributes| {
                    self.start_ordinary(standing.as_ref(), attributes, id, ctx);
                });
                self.record_renamed(attributes.metadata(), id, renaming, ctx);
            }
        }
        self.state
            .tracked
            .insert(id, TrackedSpan::Joining(standing));
    }

    /// The standing in the conversation `id` of what stands in `above` otherwise.
    pub(super) fn standing_by_id(&self, id: Arc<str>, above: Option<Standing>) -> Standing {
        match (above, self.state.conversation(&id, Opening::Never)) {
            (Some(above), Found::Open(_)) if above.is_in(&id) => above,
            (_, Found::Open(conversation)) => Standing::Conversation(conversation),
            (_, Found::Ended | Found::Unknown) => Standing::Id(id),
        }
    }

    /// Sets the fields of a conversation's scope.
    pub(super) fn describe(
        &self,
        conversation: &Arc<ActiveConversation>,
        recorded: &impl Recorded,
    ) {
        let shared = &self.state.shared;
        let mut attributes = Vec::new();
        recorded.each(|field, value| {
            if !PROPAGATED.contains(&field)
                && let Some(value) = exported_value(field, value, &shared.content)
            {
                let is_named = |name: &String| name == field;
                if ALWAYS_INHERITED.contains(&field)
                    || shared.settings.inherited.iter().any(is_named)
                {
                    conversation.inherit(field, &value);
                }
                attributes.push(KeyValue::new(field, value));
            }
        });
        if !attributes.is_empty() {
            conversation.act(self.state.now(), |transition| {
                transition.describe(attributes);
            });
        }
    }

    pub(super) fn close_scope(&self, conversation: &Arc<ActiveConversation>, id: &Id) {
        let reason = EndReason::ConversationEnded;
        self.state.end(conversation, reason, Duration::ZERO);
        if let Found::Open(again) = self.state.table.find(conversation.id())
            && again.has_scope(id)
        {
            self.state.end(&again, reason, Duration::ZERO);
        }
    }

    /// The context that the wrapped layer would take for the parent's.
    pub(super) fn parent_context(
        &self,
        attributes: &Attributes<'_>,
        ctx: &Context<'_, S>,
    ) -> OtelContext {
        self.context_at(attributes.parent(), attributes.is_contextual(), ctx)
    }

    /// The same of any span or event, by its explicit parent and whether it is wherever its thread is.
    pub(super) fn context_at(
        &self,
        parent: Option<&Id>,
        is_contextual: bool,
        ctx: &Context<'_, S>,
    ) -> OtelContext {
        match parent {
            Some(parent) => self.context_of(parent, ctx).unwrap_or_default(),
            None if is_contextual => active_context::current(),
            None => OtelContext::new(),
        }
    }

    /// The context of an open span, which is started for that.
    pub(super) fn context_of(&self, id: &Id, ctx: &Context<'_, S>) -> Option<OtelContext> {
        match self.state.tracked.get(id) {
            Some(TrackedSpan::Service { service, .. }) => Some(service.context().clone()),
            Some(TrackedSpan::Scope(conversation) | TrackedSpan::Unrecorded(conversation)) => {
                Some(conversation.context().clone())
            }
            Some(TrackedSpan::Ordinary(_) | TrackedSpan::Joining(_)) | None => {
                ctx.span(id)?;
                self.state.shared.context_of(id)
            }
        }
    }
}
