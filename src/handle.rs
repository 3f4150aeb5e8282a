//! A handle to a live conversation, for code that is not inside it.

use crate::conversation::{Live, Membership};
use crate::core::{Core, Found, occupied};
use crate::layer::ConversationOf;
use opentelemetry::trace::FutureExt as _;
use opentelemetry::{Context, Key, KeyValue, Value};
use std::sync::Arc;
use tracing::{Span, dispatcher};

/// A live conversation: for a callback, another task or a pool thread that never saw its scope.
///
/// Cheap to clone, usable from any thread. It does not keep the conversation open; once that has ended, everything
/// answers `None` or does nothing.
///
/// ```
/// # use opentelemetry::trace::TracerProvider as _;
/// # use opentelemetry_sdk::trace::SdkTracerProvider;
/// # use tracing_subscriber::prelude::*;
/// # let provider = SdkTracerProvider::builder().build();
/// # let layer = tracing_conversation::layer(provider.tracer("doc"));
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
/// use tracing_conversation::Conversation;
///
/// let scope = tracing::info_span!("conversation", conversation.id = "call-7");
/// let conversation = scope.in_scope(|| Conversation::current()).expect("inside one");
/// assert_eq!(conversation.id(), "call-7");
/// assert_eq!(conversation.turn_number(), Some(1));
///
/// // Elsewhere: by its id. What runs inside belongs to the conversation.
/// let conversation = Conversation::by_id("call-7").expect("it is live");
/// conversation.in_scope(|| tracing::info!(conversation.event = "user_started_speaking"));
/// conversation.set_turn_attribute("intent", "book_a_table");
///
/// drop(scope);
/// assert!(conversation.context().is_none());
/// assert!(Conversation::by_id("call-7").is_none());
/// ```
#[derive(Clone)]
pub struct Conversation {
    live: Arc<Live>,
}

impl Conversation {
    /// The conversation that this code runs in, if it is live.
    ///
    /// That is the one whose span, or a span below, is current in OpenTelemetry or in `tracing`.
    #[must_use]
    pub fn current() -> Option<Self> {
        let entered = Membership::current().and_then(Self::if_live);
        entered.or_else(|| Self::of(&Span::current()))
    }

    /// The live conversation with this `conversation.id`, in the current subscriber's layer.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        dispatcher::get_default(
            |dispatch| match dispatch.downcast_ref::<Core>()?.table.find(id) {
                Found::Live(live) => Self::if_live(live),
                Found::Ended | Found::Unknown => None,
            },
        )
    }

    /// The conversation that a span belongs to, if it is live.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        let live = span.with_subscriber(|(id, dispatch)| {
            let ConversationOf(conversation_of) = dispatch.downcast_ref::<ConversationOf>()?;
            conversation_of(dispatch, id)
        });
        live.flatten().and_then(Self::if_live)
    }

    fn if_live(live: Arc<Live>) -> Option<Self> {
        (!live.has_ended()).then_some(Self { live })
    }

    /// Its `conversation.id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.live.identity.id
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.live.has_ended()
    }

    /// The number of the open turn, counted from 1; `None` between turns.
    #[must_use]
    pub fn turn_number(&self) -> Option<u32> {
        self.live.open_turn().map(|turn| turn.number)
    }

    /// The OpenTelemetry context of the conversation's span, to inject `traceparent` or to start spans under.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        let core = self.core()?;
        Some(self.live.context(&core).clone())
    }

    /// The OpenTelemetry context of the open turn's span; `None` between turns.
    #[must_use]
    pub fn turn_context(&self) -> Option<Context> {
        let core = self.core()?;
        let turn = self.live.open_turn()?;
        Some(self.live.turn_context(&core, &turn).clone())
    }

    /// Runs `act` inside the conversation: spans and events in it belong there, whatever span is current.
    ///
    /// Once the conversation has ended, `act` runs all the same, outside of it.
    pub fn in_scope<R>(&self, act: impl FnOnce() -> R) -> R {
        let _attached = self.context().map(Context::attach);
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
        future.with_context(self.context().unwrap_or_else(Context::current))
    }

    /// An event of the conversation, to be emitted from anywhere: one of the functions of [`event`](crate::event).
    ///
    /// ```
    /// # fn on_playback_finished(conversation: tracing_conversation::Conversation) {
    /// conversation.event().bot_stopped_speaking();
    /// # }
    /// ```
    pub fn event(&self) -> crate::event::Moment<'_> {
        crate::event::in_conversation(self.id())
    }

    /// Sets an attribute of the conversation's span. Subject to the [content policy](crate::ContentPolicy).
    pub fn set_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        let attribute = KeyValue::new(key, value);
        self.act(&attribute.key.clone(), |moment, _| {
            moment.describe(vec![attribute])
        });
    }

    /// Sets an attribute of the open turn's span; between turns, of the conversation's.
    ///
    /// `turn.input` and `turn.output`, in characters as they are spoken, add to what is known of the turn.
    pub fn set_turn_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        self.act(&key.clone(), |moment, limit| {
            moment.annotate(key, value, limit)
        });
    }

    /// What is needed to start and end spans. Not to be had where that is going on: a sampler or processor that asks would
    /// wait for itself.
    fn core(&self) -> Option<Arc<Core>> {
        self.live.core().filter(|_| self.is_live() && !occupied())
    }

    fn act(&self, key: &Key, act: impl FnOnce(&mut crate::conversation::Moment<'_>, usize)) {
        let Some(core) = self.core() else { return };
        let content = &core.settings.content;
        if content.admits(key.as_str()) {
            self.live.act(&core, core.clock.now(), |moment| {
                act(moment, content.max_value_bytes())
            });
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
