//! Records what a program's conversations were.

use super::attributes::{is_conversation, text};
use super::conversation::RecordedConversation;
use super::failure::{FailureReport, is_of};
use super::sink::Sink;
use super::snapshot::Snapshot;
use super::tree::Tree;
use crate::clock::ManualClock;
use crate::content::ContentPolicy;
use crate::layer::{ConversationFilter, ConversationLayer, Conversations, LayerBuilder};
use crate::names;
use crate::recording::ConversationProcessor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData};
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{DefaultGuard, SetGlobalDefaultError};
use tracing::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Records the conversations of a program under test. See the [module](super).
///
/// A clone is a handle to the same recorder.
#[derive(Clone)]
pub struct ConversationRecorder(Arc<Inner>);

struct Inner {
    sink: Sink,
    clock: Option<ManualClock>,
    provider: SdkTracerProvider,
    processor: ConversationProcessor,
    conversations: Conversations,
    dispatch: Dispatch,
    failure: Arc<FailureReport>,
}

/// Settings of a [`ConversationRecorder`], each with a default.
#[must_use = "a builder does nothing until `build`"]
pub struct ConversationRecorderBuilder {
    clock: Option<ManualClock>,
    content: ContentPolicy,
    level: LevelFilter,
    set: Box<dyn FnOnce(LayerBuilder<Registry>) -> LayerBuilder<Registry>>,
}

impl ConversationRecorderBuilder {
    /// Goes by `clock`, which the program under test may go by as well. Default: a virtual clock of its own.
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Goes by the machine's clock. Turns end by silence as in production, on a thread of their own.
    pub fn real_time(mut self) -> Self {
        self.clock = None;
        self
    }

    /// What of the words is recorded, as [`ConversationProcessor::with_content`] has it exported. Default: everything.
    pub fn content(mut self, policy: ContentPolicy) -> Self {
        self.content = policy;
        self
    }

    /// From which level upwards ordinary spans and events are recorded. Default: `INFO`, as `Telemetry` exports them.
    pub fn level(mut self, level: impl Into<LevelFilter>) -> Self {
        self.level = level.into();
        self
    }

    /// Settings of the layer, such as the turn-end timeout.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tracing_conversation::testing::ConversationRecorder;
    ///
    /// let recorder = ConversationRecorder::builder()
    ///     .layer(|layer| layer.turn_end_timeout(Duration::from_millis(800)))
    ///     .build();
    /// ```
    pub fn layer(
        mut self,
        set: impl FnOnce(LayerBuilder<Registry>) -> LayerBuilder<Registry> + 'static,
    ) -> Self {
        self.set = Box::new(set);
        self
    }

    /// The recorder.
    pub fn build(self) -> ConversationRecorder {
        let sink = Sink::default();
        let processor = ConversationProcessor::new(sink.clone()).with_content(self.content);
        let provider = SdkTracerProvider::builder()
            // Whatever OTEL_TRACES_SAMPLER and a remote parent say.
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(processor.clone())
            .build();
        let layer = (self.set)(new_layer(&provider, &processor, self.clock.as_ref()));
        let rules = layer.own_rules();
        let layer = layer.level(self.level).build();
        let conversations = layer.conversations();
        let layer = layer.with_filter(ConversationFilter::new(self.level, true, rules));
        let dispatch = Dispatch::new(Registry::default().with(layer));
        let failure = Arc::new(FailureReport::new(sink.clone()));
        ConversationRecorder(Arc::new(Inner {
            sink,
            clock: self.clock,
            provider,
            processor,
            conversations,
            dispatch,
            failure,
        }))
    }
}

fn new_layer<S>(
    provider: &SdkTracerProvider,
    processor: &ConversationProcessor,
    clock: Option<&ManualClock>,
) -> LayerBuilder<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = ConversationLayer::builder(provider.tracer("test"), processor);
    match clock {
        Some(clock) => layer.clock(clock.clone()),
        None => layer,
    }
}

impl Default for ConversationRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl ConversationRecorder {
    /// A recorder on a virtual clock, with the defaults of everything.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A recorder with settings.
    pub fn builder() -> ConversationRecorderBuilder {
        ConversationRecorderBuilder {
            clock: Some(ManualClock::new()),
            content: ContentPolicy::default(),
            level: LevelFilter::INFO,
            set: Box::new(std::convert::identity),
        }
    }

    /// Runs `program` with the recorder as this thread's subscriber.
    pub fn run<R>(&self, program: impl FnOnce() -> R) -> R {
        dispatcher::with_default(&self.0.dispatch, program)
    }

    /// Makes the recorder this thread's subscriber until the guard is dropped: for a test that is one function, and for a
    /// runtime that runs on this thread alone.
    #[must_use = "the recorder is the thread's subscriber until the guard is dropped"]
    pub fn enter(&self) -> DefaultGuard {
        dispatcher::set_default(&self.0.dispatch)
    }

    /// Makes the recorder the subscriber of the whole process, for programs that start threads of their own.
    ///
    /// A process has one such subscriber, which all its tests share. So tests tell their conversations apart by their ids:
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use std::time::Duration;
    /// use tracing::{Instrument as _, info, info_span};
    /// use tracing_conversation::testing::ConversationRecorder;
    ///
    /// static RECORDER: LazyLock<ConversationRecorder> = LazyLock::new(|| {
    ///     let recorder = ConversationRecorder::builder().real_time().build();
    ///     recorder.install().expect("the first subscriber of the process");
    ///     recorder
    /// });
    ///
    /// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
    /// # async fn main() {
    /// let recorder = RECORDER.clone();
    /// tokio::spawn(
    ///     async { info!(conversation.event = "user_started_speaking") }
    ///         .instrument(info_span!("conversation", conversation.id = "call-1")),
    /// );
    /// let call = tokio::time::timeout(Duration::from_secs(60), recorder.ended("call-1")).await.expect("it ends");
    /// assert_eq!(call.turns().len(), 1);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The process has a global subscriber already.
    pub fn install(&self) -> Result<(), SetGlobalDefaultError> {
        dispatcher::set_global_default(self.0.dispatch.clone())
    }

    /// The recorder as a subscriber, for whatever wants one (`WithSubscriber::with_subscriber`, another thread).
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.0.dispatch.clone()
    }

    /// A layer that records here, for a registry of your own. It has no filter.
    ///
    /// ```
    /// # use tracing_subscriber::prelude::*;
    /// use tracing_conversation::testing::ConversationRecorder;
    ///
    /// let recorder = ConversationRecorder::new();
    /// let subscriber = tracing_subscriber::registry()
    ///     .with(tracing_subscriber::fmt::layer().with_test_writer())
    ///     .with(recorder.layer().build());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     tracing::info_span!("conversation", conversation.id = "call-1");
    /// });
    /// assert!(recorder.conversation("call-1").has_ended());
    /// ```
    pub fn layer<S>(&self) -> LayerBuilder<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        new_layer(&self.0.provider, &self.0.processor, self.0.clock.as_ref())
    }

    /// Advances the virtual clock; what is due by then happens now.
    ///
    /// # Panics
    ///
    /// The recorder goes by the machine's clock.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }

    /// The virtual clock.
    ///
    /// # Panics
    ///
    /// The recorder goes by the machine's clock.
    #[track_caller]
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        match &self.0.clock {
            Some(clock) => clock,
            None => panic!("this recorder goes by the machine's clock, which cannot be advanced"),
        }
    }

    /// How many conversations are open in the recorder's own subscriber.
    #[must_use]
    pub fn open_conversations(&self) -> usize {
        self.0.conversations.open()
    }

    /// Ends the conversations that are open in the recorder's own subscriber, as the end of the program does.
    pub fn end_conversations(&self) {
        self.0.conversations.end_all();
    }

    /// The conversations of which any span has ended, in the order of their start.
    #[must_use]
    pub fn conversations(&self) -> Vec<RecordedConversation> {
        let mut spans = self.0.sink.spans();
        spans.sort_by_key(|span| span.start_time);
        let mut known = HashSet::new();
        let ids = spans
            .iter()
            .filter_map(|span| text(span, names::CONVERSATION_ID));
        let new = ids.filter(|id| known.insert(id.clone()));
        new.map(|id| self.recorded(id, &spans)).collect()
    }

    /// The conversation with this id, as far as its spans have ended.
    ///
    /// # Panics
    ///
    /// No span of such a conversation has ended.
    #[track_caller]
    #[must_use]
    pub fn conversation(&self, id: &str) -> RecordedConversation {
        match self.find(id) {
            Some(conversation) => conversation,
            None => panic!(
                "no span of a conversation {id:?} has ended; {}",
                self.there_are()
            ),
        }
    }

    /// The only conversation.
    ///
    /// # Panics
    ///
    /// There is none, or several.
    #[track_caller]
    #[must_use]
    pub fn only_conversation(&self) -> RecordedConversation {
        let mut conversations = self.conversations();
        match (conversations.pop(), conversations.is_empty()) {
            (Some(only), true) => only,
            _ => panic!("there is not one conversation; {}", self.there_are()),
        }
    }

    /// Blocks until the conversation with this id has ended, because of other threads.
    ///
    /// Not for a program whose runtime runs on this thread: it would wait for itself. That awaits
    /// [`ended`](Self::ended).
    ///
    /// # Panics
    ///
    /// It has not ended after `patience`.
    #[track_caller]
    pub fn wait_for(&self, id: &str, patience: Duration) -> RecordedConversation {
        if self
            .0
            .sink
            .wait(patience, |spans| end_of(id, spans))
            .is_none()
        {
            panic!(
                "conversation {id:?} has not ended within {patience:?}; {}",
                self.there_are()
            );
        }
        self.conversation(id)
    }

    /// Blocks until `happened` returns true because of other threads; it is called whenever a span has ended.
    ///
    /// # Panics
    ///
    /// It still returns false after `patience`.
    #[track_caller]
    pub fn wait_until(&self, patience: Duration, happened: impl Fn(&Self) -> bool) {
        let mut known = 0;
        let deadline = std::time::Instant::now().checked_add(patience);
        while !happened(self) {
            let left = deadline.map_or(patience, |deadline| {
                deadline.saturating_duration_since(std::time::Instant::now())
            });
            let more = self
                .0
                .sink
                .wait(left, |spans| (spans.len() > known).then_some(spans.len()));
            match more {
                Some(count) => known = count,
                None => panic!(
                    "it has not happened within {patience:?}; {}",
                    self.there_are()
                ),
            }
        }
    }

    /// Waits until the conversation with this id has ended. It waits as long as that takes: put it under your runtime's
    /// timeout.
    pub fn ended(&self, id: &str) -> Ended {
        Ended {
            recorder: self.clone(),
            id: id.to_owned(),
        }
    }

    /// Everything that has ended, ordinary spans outside of conversations as well, as a tree of text.
    pub fn tree(&self) -> Tree {
        Tree::of_recorded(self.0.sink.spans())
    }

    /// Everything that has ended, in the order in which it did.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanData> {
        let spans = self.0.sink.spans();
        spans.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    fn find(&self, id: &str) -> Option<RecordedConversation> {
        let spans = self.0.sink.spans();
        let is_known = spans.iter().any(|span| is_of(span, id));
        is_known.then(|| self.recorded(id.to_owned(), &spans))
    }

    fn recorded(&self, id: String, spans: &[Arc<SpanData>]) -> RecordedConversation {
        let failure = self.0.failure.clone();
        RecordedConversation::new(Snapshot::new(id, spans, failure))
    }

    /// What there is, for a message.
    fn there_are(&self) -> String {
        let conversations = self.conversations();
        let ids: Vec<&str> = conversations.iter().map(RecordedConversation::id).collect();
        let recorded = match ids.as_slice() {
            [] => "none is recorded".to_owned(),
            ids => format!("recorded: {}", ids.join(", ")),
        };
        match self.open_conversations() {
            0 => recorded,
            open => format!("{recorded}; {open} still open"),
        }
    }
}

/// The end of a conversation, if it has ended.
fn end_of(id: &str, spans: &[Arc<SpanData>]) -> Option<()> {
    let mut spans = spans.iter().rev();
    spans
        .any(|span| is_conversation(span) && is_of(span, id))
        .then_some(())
}

/// Resolves once a conversation has ended. Made by [`ConversationRecorder::ended`].
#[must_use = "a future does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Ended {
    recorder: ConversationRecorder,
    id: String,
}

impl Future for Ended {
    type Output = RecordedConversation;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RecordedConversation> {
        let Self { recorder, id } = &*self;
        let ended = recorder.0.sink.poll(cx.waker(), |spans| end_of(id, spans));
        match ended.and_then(|()| recorder.find(id)) {
            Some(conversation) => Poll::Ready(conversation),
            None => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for ConversationRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ConversationRecorder")
            .field(&self.tree())
            .finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.failure.print_all();
    }
}
