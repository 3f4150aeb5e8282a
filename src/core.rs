//! What the hooks of the layer, the timer and the handles share: settings, the table of live conversations, the tracer.

mod occupied;
mod open_spans;
mod table;
#[cfg(test)]
mod tests;

use crate::clock::{Clock, ManualClock, Time, lock};
use crate::content::ContentPolicy;
use crate::conversation::Live;
use crate::layer::Ours;
use crate::processor::{LastWords, Way, end_with};
use crate::service::USUAL_ATTRIBUTES;
use crate::timer::{Due, Timer};
use crate::turns::EndReason;
use opentelemetry::trace::SpanRef;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};
use tracing_core::Dispatch;
use tracing_core::dispatcher::{self, WeakDispatch};
use tracing_core::span;

pub(crate) use occupied::{asking, is_asking, occupied, undisturbed, with};
pub(crate) use open_spans::OpenSpans;
use table::Table;
pub(crate) use table::{Found, Opening};

/// What is one trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceMode {
    /// A conversation: its turns are children of its span.
    #[default]
    Conversation,
    /// A turn: the root of its own trace, linked to the span of its conversation.
    Turn,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) turn_end_timeout: Duration,
    pub(crate) idle_limit: Duration,
    pub(crate) conversation_type: String,
    pub(crate) trace_mode: TraceMode,
    pub(crate) content: ContentPolicy,
    pub(crate) inherited: Vec<String>,
    /// In place of the machine's clock.
    pub(crate) clock: Option<ManualClock>,
    /// Whether the wrapped layer has nothing of its own to add to a span.
    pub(crate) otel_layer_is_lean: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            turn_end_timeout: Duration::from_millis(2_500),
            idle_limit: Duration::from_secs(60 * 60),
            conversation_type: "voice".to_owned(),
            trace_mode: TraceMode::default(),
            content: ContentPolicy::default(),
            inherited: Vec::new(),
            clock: None,
            otel_layer_is_lean: true,
        }
    }
}

pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) tracer: SdkTracer,
    pub(crate) clock: Clock,
    pub(crate) table: Table,
    pub(crate) timer: Timer,
    /// The layer's spans that are open.
    pub(crate) ours: Arc<OpenSpans<Ours>>,
    /// Whether anybody has asked the wrapped layer for the OpenTelemetry data of a span, and can be answered.
    is_asked: AtomicBool,
    tells_at_once: AtomicBool,
    first_question: Mutex<()>,
    /// The subscriber that the layer is part of: the way to a span's context from outside the layer's hooks.
    pub(crate) dispatch: OnceLock<WeakDispatch>,
    /// Whether there ever was a span that joined a conversation by an id that was not live, or not known yet: the context
    /// that is active in it is not that conversation's.
    pub(crate) joined_by_id_alone: AtomicBool,
    /// What there is to do when a span is entered: as many scopes have not been entered yet, and one more while the
    /// subscriber is not known.
    pub(crate) awaits_enter: AtomicU32,
    /// Whether there ever was a scope with a parent that knows nothing of the conversation: what is in it cannot tell by
    /// its context where it belongs.
    pub(crate) astray: AtomicBool,
    /// Whether the tracer's provider has one processor alone, which is ours.
    has_one_processor: AtomicBool,
    /// That many attributes a span has been found to take.
    roomy: AtomicUsize,
    unknown_events: Mutex<HashSet<String>>,
    this: Weak<Core>,
}

impl Core {
    pub(crate) fn new(
        tracer: SdkTracer,
        settings: Settings,
        ours: Arc<OpenSpans<Ours>>,
    ) -> Arc<Self> {
        let clock = settings
            .clock
            .clone()
            .map_or_else(Clock::default, Clock::Manual);
        Arc::new_cyclic(|this| Self {
            tracer,
            timer: Timer::new(clock.clone()),
            clock,
            table: Table::default(),
            ours,
            is_asked: AtomicBool::new(!settings.otel_layer_is_lean),
            tells_at_once: AtomicBool::new(!settings.otel_layer_is_lean),
            first_question: Mutex::default(),
            dispatch: OnceLock::new(),
            joined_by_id_alone: AtomicBool::new(false),
            awaits_enter: AtomicU32::new(1),
            astray: AtomicBool::new(false),
            has_one_processor: AtomicBool::new(false),
            roomy: AtomicUsize::new(0),
            unknown_events: Mutex::default(),
            this: this.clone(),
            settings,
        })
    }

    /// Keeps the way to the subscriber that the layer is part of, if `dispatch` is one. The first is as good as any other.
    pub(crate) fn learn(&self, dispatch: &Dispatch) {
        let is_ours = dispatch
            .downcast_ref::<Self>()
            .is_some_and(|core| std::ptr::eq(core, self));
        if is_ours && self.dispatch.set(dispatch.downgrade()).is_ok() {
            self.awaits_enter.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The same by the thread's default. Some wrappers keep the subscriber from us, `Option` among them.
    pub(crate) fn learn_by_default(&self) {
        if self.dispatch.get().is_none() {
            dispatcher::get_default(|dispatch| self.learn(dispatch));
        }
    }

    /// The OpenTelemetry context of an open span, which is started by asking.
    pub(crate) fn context_of(&self, id: &span::Id) -> Option<Context> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        asking(|| undisturbed(|| tracing_opentelemetry::get_otel_context(id, &dispatch)))
    }

    /// Whether the wrapped layer has to know of a service span from the start.
    #[inline]
    pub(crate) fn tells_at_once(&self) -> bool {
        self.tells_at_once.load(Ordering::SeqCst) || self.dispatch.get().is_none()
    }

    /// Sees to it that the wrapped layer knows of the service spans, because somebody asks it.
    ///
    /// The first question has it told of those that are open. The way to them leads through the subscriber, to which a span
    /// that follows from itself is nothing to speak of. Whoever asks may not hold the extensions of a span: neither the
    /// standard library's `RwLock` nor `get_otel_context` allow for it.
    pub(crate) fn asked(&self) {
        if self.is_asked.load(Ordering::SeqCst) || is_asking() {
            return;
        }
        let _first = lock(&self.first_question);
        if self.is_asked.load(Ordering::SeqCst) {
            return;
        }
        self.tells_at_once.store(true, Ordering::SeqCst);
        self.learn_by_default();
        if let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) {
            for (id, ours) in self.ours.all() {
                if let Ours::Service(_) = ours {
                    asking(|| dispatch.record_follows_from(&id, &id));
                }
            }
        }
        self.is_asked.store(true, Ordering::SeqCst);
    }

    /// Whether this is the first time that `name` is met. Remembers only so many.
    pub(crate) fn is_news(&self, name: &str) -> bool {
        let mut known = lock(&self.unknown_events);
        known.len() < 128 && known.insert(name.to_owned())
    }

    /// Warns that nothing is known of an event called `name`.
    ///
    /// From a thread of its own: `tracing` loses or misroutes what is emitted while it delivers something else.
    pub(crate) fn warn_of(&self, name: String) {
        let warn = move || {
            tracing::warn!(
                target: "tracing_conversation",
                "conversation.event = {name:?} is unknown and ignored; \
                 tracing_conversation::names::event lists what is known"
            );
        };
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade);
        let thread = std::thread::Builder::new().name("conversation-warning".into());
        // Where no thread can be had, the warning is what can be done without.
        let _ = thread.spawn(move || match dispatch {
            Some(dispatch) => dispatcher::with_default(&dispatch, warn),
            None => warn(),
        });
    }

    /// The conversation `id`, opened if `opening` allows.
    pub(crate) fn conversation(&self, id: &str, opening: Opening) -> Found {
        let found = self.table.find(id);
        match (&found, opening) {
            (Found::Unknown, Opening::Unknown | Opening::Ended)
            | (Found::Ended, Opening::Ended) => {
                let Some(core) = self.this.upgrade() else {
                    return found;
                };
                let opened = self.table.open(id, || Live::open(&core, id.into()));
                self.watch();
                opened.map_or(found, Found::Live)
            }
            _ => found,
        }
    }

    /// Makes a conversation known by its id, unless there is one, or are too many.
    pub(crate) fn admit(&self, live: &Arc<Live>) -> bool {
        let admitted = self.table.open(&live.identity.id, || live.clone());
        self.watch();
        admitted.is_some_and(|admitted| Arc::ptr_eq(&admitted, live))
    }

    /// Sees to it that idle conversations are looked for as long as there are any conversations.
    fn watch(&self) {
        if self.table.needs_watch() {
            let this: Weak<dyn Due> = self.this.clone();
            self.timer
                .set(self.clock.now().saturating_add(self.watch_interval()), this);
        }
    }

    /// Room for the attributes that the SDK will be told of at the end of a span.
    #[inline]
    pub(crate) fn room(&self) -> Vec<KeyValue> {
        if self.has_one_processor.load(Ordering::Relaxed) {
            Vec::new()
        } else {
            Vec::with_capacity(USUAL_ATTRIBUTES)
        }
    }

    /// Ends a span, with everything that there is to say of it.
    ///
    /// Where our processor is the only one, it takes the attributes over as they are. That it is, and that the SDK's limits
    /// leave nothing out, is learned from the spans that end before.
    pub(crate) fn end(&self, span: &SpanRef<'_>, words: LastWords, at: SystemTime) {
        let way = if !self.has_one_processor.load(Ordering::Relaxed) {
            Way::OneByOne
        } else if words.attributes.len() > self.roomy.load(Ordering::Relaxed) {
            Way::OneByOneAlone
        } else {
            Way::AllAtOnce
        };
        let learned = end_with(span, words, way, || {
            undisturbed(|| span.end_with_timestamp(at));
        });
        if let Some(number) = learned {
            self.has_one_processor.store(true, Ordering::Relaxed);
            self.roomy.fetch_max(number, Ordering::Relaxed);
        }
    }

    /// Ends every open conversation.
    pub(crate) fn end_all(&self, reason: EndReason) {
        for live in self.table.all() {
            live.end(self, reason, Duration::ZERO, None);
        }
    }

    fn watch_interval(&self) -> Duration {
        (self.settings.idle_limit / 8).max(Duration::from_millis(10))
    }
}

impl Due for Core {
    /// Ends what has been idle for too long.
    fn look(self: Arc<Self>, now: Time) -> Option<Time> {
        let all = self.table.all();
        for live in &all {
            live.end_if_idle(&self, now, self.settings.idle_limit);
        }
        self.table
            .keep_watch()
            .then(|| now.saturating_add(self.watch_interval()))
    }
}

impl Drop for Core {
    /// Ends what is still open, where the layer is exchanged or its subscriber goes: nobody will tell of it any more.
    fn drop(&mut self) {
        let now = self.clock.now();
        for (_, ours) in self.ours.all() {
            if let Ours::Service(service) = ours {
                service.is_orphan.store(true, Ordering::Relaxed);
                if service.is_finished_now() {
                    service.end(self, now);
                }
            }
        }
        self.end_all(EndReason::ConversationEnded);
    }
}
