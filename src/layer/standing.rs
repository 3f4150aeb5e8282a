//! Where a span stands: in which conversation, under which service span. Decided when the span is made, and inherited.

use crate::conversation::ActiveConversation;
use crate::conversation::service::ServiceSpan;
use opentelemetry::Context;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) enum Standing {
    Conversation(Arc<ActiveConversation>),
    Service(Arc<ServiceSpan>),
    /// In the conversation with this id, which is not open.
    Id(Arc<str>),
}

impl Standing {
    pub(crate) fn conversation(&self) -> Option<&Arc<ActiveConversation>> {
        match self {
            Self::Conversation(conversation) => Some(conversation),
            Self::Service(service) => service.conversation.as_ref(),
            Self::Id(_) => None,
        }
    }

    /// The OpenTelemetry context of code that stands there.
    pub(super) fn context(&self) -> Option<Context> {
        match self {
            Self::Conversation(conversation) => Some(conversation.context().clone()),
            Self::Service(service) => Some(service.context().clone()),
            Self::Id(_) => None,
        }
    }

    /// The nearest service span that is still at work.
    pub(super) fn open_service(&self) -> Option<Arc<ServiceSpan>> {
        let Self::Service(nearest) = self else {
            return None;
        };
        let mut service = nearest.clone();
        while service.is_finished() {
            service = service.above()?;
        }
        Some(service)
    }

    /// Whether it is in the conversation with this id.
    pub(super) fn is_in(&self, id: &str) -> bool {
        self.conversation()
            .is_some_and(|conversation| &**conversation.id() == id)
    }
}
