//! A handle to an open conversation, for code that is not inside it.

use crate::conversation::{ActiveConversation, Transition};
use crate::layer::stack::{EnteredHandle, enter_handle, innermost_of_any};
use crate::layer::standing::Standing;
use crate::layer::{LayerState, Opening};
use crate::reentrancy::is_guarded;
use opentelemetry::{Context, Key, KeyValue, Value};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use tracing::{Span, dispatcher};

/// An open conversation: for a callback, another task or a pool thread outside its scope.
///
/// Cheap to clone, usable from any thread. It does not keep the conversation open; once that has ended, everything
/// returns `None` or does nothing.
///
/// ```
/// # use opentelemetry::trace::TracerProvider as _;
/// # use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
/// # use tracing_subscriber::prelude::*;
/// # let processor = tracing_conversation::ConversationProcessor::new(SimpleSpanProcessor::new(InMemorySpanExporter::default()));
/// # let provider = SdkTracerProvider::builder().with_span_processor(processor.clone()).build();
/// # let layer = tracing_conversation::layer(provider.tracer("doc"), &processor);
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
/// use tracing_conversation::Conversation;
///
/// let scope = tracing::info_span!("conversation", conversation.id = "call-7");
/// let conversation = scope.in_scope(|| Conversation::current()).expect("inside one");
/// assert_eq!(conversation.id(), "call-7");
/// assert_eq!(conversation.turn_number(), Some(1));
///
/// // Elsewhere: by its id. What runs inside belongs to the conversation.
/// let conversation = Conversation::by_id("call-7").expect("it is open");
/// conversation.in_scope(|| tracing::info!(conversation.event = "user_started_speaking"));
/// conversation.set_turn_attribute("intent", "book_a_table");
///
/// drop(scope);
/// assert!(conversation.context().is_none());
/// assert!(Conversation::by_id("call-7").is_none());
/// ```
#[derive(Clone)]
pub struct Conversation {
    conversation: Arc<ActiveConversation>,
    layer: Weak<LayerState>,
}

impl Conversation {
    /// The conversation that this code runs in, if it is open: that of the innermost `tracing` span or handle that is
    /// entered on this thread.
    #[must_use]
    pub fn current() -> Option<Self> {
        let (standing, layer) = innermost_of_any()?;
        Self::at(&standing, &*layer.upgrade()?)
    }

    /// The open conversation with this `conversation.id`, in the current subscriber's layer.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        dispatcher::get_default(|dispatch| {
            let layer = dispatch.downcast_ref::<LayerState>()?;
            Self::of_open(layer.table.find(id).open()?, layer)
        })
    }

    /// The conversation that a span belongs to, if it is open.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        let conversation = span.with_subscriber(|(id, dispatch)| {
            let layer = dispatch.downcast_ref::<LayerState>()?;
            Self::at(&layer.tracked.get(id)?.standing()?, layer)
        });
        conversation.flatten()
    }

    fn at(standing: &Standing, layer: &LayerState) -> Option<Self> {
        let found = match standing {
            Standing::Id(id) => layer.table.find(id),
            _ => layer.reopened(standing.conversation()?, Opening::Never),
        };
        Self::of_open(found.open()?, layer)
    }

    fn of_open(conversation: Arc<ActiveConversation>, layer: &LayerState) -> Option<Self> {
        (!conversation.has_ended()).then(|| Self {
            conversation,
            layer: layer.weak(),
        })
    }

    /// Its `conversation.id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.conversation.id()
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.conversation.has_ended()
    }

    /// The number of the open turn, counted from 1; `None` between turns.
    #[must_use]
    pub fn turn_number(&self) -> Option<u32> {
        self.conversation.open_turn_number()
    }

    /// The OpenTelemetry context of the conversation's span, to inject `traceparent` or to start spans under.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.can_act().then(|| self.conversation.context().clone())
    }

    /// The OpenTelemetry context of the open turn's span; `None` between turns.
    #[must_use]
    pub fn turn_context(&self) -> Option<Context> {
        self.can_act()
            .then(|| self.conversation.turn_context())
            .flatten()
    }

    /// Runs `act` inside the conversation: spans and events in it belong there, whatever span is current.
    ///
    /// Once the conversation has ended, `act` runs all the same, outside of it.
    pub fn in_scope<R>(&self, act: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        act()
    }

    /// Runs a future inside the conversation, at every poll. Like [`in_scope`](Self::in_scope) otherwise.
    ///
    /// ```no_run
    /// # async fn look_up_the_weather() {}
    /// # fn main() {
    /// use tracing_conversation::Conversation;
    ///
    /// if let Some(conversation) = Conversation::by_id("call-7") {
    ///     tokio::spawn(conversation.run(look_up_the_weather()));
    /// }
    /// # }
    /// ```
    pub fn run<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        InConversation {
            future,
            conversation: self.clone(),
        }
    }

    fn enter(&self) -> Option<EnteredHandle> {
        let context = self.context()?;
        let standing = Standing::Conversation(self.conversation.clone());
        Some(enter_handle(&self.layer, standing, context))
    }

    /// Emits an event of the conversation from anywhere, by one of the functions of [`event`](crate::event).
    ///
    /// ```
    /// # fn on_playback_finished(conversation: tracing_conversation::Conversation) {
    /// conversation.event().bot_stopped_speaking();
    /// # }
    /// ```
    pub fn event(&self) -> crate::event::EventBuilder<'_> {
        crate::event::in_conversation(self.id())
    }

    /// Sets an attribute of the conversation's span. Subject to the [content policy](crate::ContentPolicy).
    pub fn set_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        let attribute = KeyValue::new(key, value);
        self.act(attribute, |transition, attribute| {
            transition.describe([attribute]);
        });
    }

    /// Sets an attribute of the open turn's span; between turns, of the conversation's.
    ///
    /// `turn.input` and `turn.output`, in characters as they are spoken, add to what is known of the turn.
    pub fn set_turn_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        let attribute = KeyValue::new(key, value);
        self.act(attribute, |transition, attribute| {
            transition.annotate(attribute.key, attribute.value);
        });
    }

    /// Whether spans may be started and state be changed: not once it has ended, and not inside a sampler or processor,
    /// which the layer waits for.
    fn can_act(&self) -> bool {
        self.is_open() && !is_guarded()
    }

    fn act(&self, attribute: KeyValue, act: impl FnOnce(&mut Transition<'_>, KeyValue)) {
        let shared = &self.conversation.shared;
        if self.can_act() && shared.content.admits(attribute.key.as_str()) {
            self.conversation
                .act(shared.clock.now(), |transition| act(transition, attribute));
        }
    }
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation")
            .field("id", &self.id())
            .field("turn_number", &self.turn_number())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that runs inside a conversation.
    struct InConversation<F> {
        #[pin]
        future: F,
        conversation: Conversation,
    }
}

impl<F: Future> Future for InConversation<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.conversation.enter();
        this.future.poll(context)
    }
}
