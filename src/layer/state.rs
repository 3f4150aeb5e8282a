//! What the hooks of a layer, its handles and its timer share.

use super::adopt::Adoption;
use super::table::{Found, Opening, Table};
use super::tracked::{TrackedSpan, TrackedSpans};
use crate::clock::{Time, lock};
use crate::conversation::{ActiveConversation, Shared};
use crate::observe::SummarySinks;
use crate::recording::ConversationProcessor;
use crate::seen::Advice;
use crate::settings::LayerSettings;
use crate::timer::Due;
use crate::turns::EndReason;
use opentelemetry_sdk::trace::SdkTracer;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// So many unknown event names are remembered, each of which was warned of once.
const MAX_UNKNOWN_EVENTS: usize = 128;

pub(crate) struct LayerState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) table: Table,
    pub(crate) tracked: Arc<TrackedSpans>,
    unknown_events: Mutex<HashSet<String>>,
    pub(super) adoption: Option<Adoption>,
    this: Weak<Self>,
}

impl LayerState {
    pub(super) fn new(
        tracer: SdkTracer,
        processor: ConversationProcessor,
        settings: LayerSettings,
        sinks: SummarySinks,
    ) -> Arc<Self> {
        let (adoption, faults) = Adoption::new(&settings);
        let tracked: Arc<TrackedSpans> = Arc::default();
        let services: Weak<TrackedSpans> = Arc::downgrade(&tracked);
        let shared = Shared::new(tracer, processor, settings, sinks, services);
        let shared = Arc::new(shared);
        let state = Arc::new_cyclic(|this| Self {
            shared,
            table: Table::default(),
            tracked,
            unknown_events: Mutex::default(),
            adoption,
            this: this.clone(),
        });
        for fault in faults {
            state.warn(move || {
                tracing::warn!(target: "tracing_conversation", "a rule is left out: {fault}");
            });
        }
        state
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    pub(super) fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// The open conversation `id`, opened if `opening` allows.
    pub(crate) fn conversation(&self, id: &Arc<str>, opening: Opening) -> Found {
        let found = self.table.find(id);
        if !opening.allows(&found) {
            return found;
        }
        let opened = self
            .table
            .open(id, || ActiveConversation::open(&self.shared, id.clone()));
        match opened {
            Some((conversation, displaced)) => {
                self.after_opening(displaced);
                conversation.deliver_summaries();
                Found::Open(conversation)
            }
            None => {
                self.warn_of_full_table();
                found
            }
        }
    }

    /// Makes a conversation known by its id, unless there is one. Returns whether it is known now.
    pub(super) fn admit(&self, conversation: &Arc<ActiveConversation>) -> bool {
        let opened = self.table.open(conversation.id(), || conversation.clone());
        let Some((known, displaced)) = opened else {
            self.warn_of_full_table();
            return false;
        };
        self.after_opening(displaced);
        known.deliver_summaries();
        Arc::ptr_eq(&known, conversation)
    }

    fn after_opening(&self, displaced: Option<Arc<ActiveConversation>>) {
        self.shared.seen.conversations.add();
        if let Some(displaced) = displaced {
            self.end_works(&displaced);
            displaced.end(EndReason::ConversationLost, Duration::ZERO);
            self.warn_of_full_table();
        }
        if self.table.needs_watch() {
            let this: Weak<dyn Due> = self.this.clone();
            let at = self.now().saturating_add(self.watch_interval());
            self.shared.timer.set(at, this);
        }
    }

    fn warn_of_full_table(&self) {
        if self.table.may_warn(self.now()) {
            self.warn(|| {
                tracing::warn!(
                    target: "tracing_conversation",
                    limit = Table::MAX_OPEN,
                    "so many conversations are open that those opened by an id alone give way; emit \
                     conversation_ended when a conversation is over"
                );
            });
        }
    }

    pub(super) fn end(&self, conversation: &ActiveConversation, reason: EndReason, ago: Duration) {
        self.end_works(conversation);
        if conversation.end(reason, ago) {
            self.table.forget(conversation);
            self.shared.seen.ended_by_program.add();
            if let Some(advice) = self.shared.seen.lacks() {
                self.advise(advice);
            }
        }
    }

    /// Says once what the program lacks, unless it is no voice agent, or a test or replay.
    fn advise(&self, advice: Advice) {
        let settings = &self.shared.settings;
        if settings.conversation_type == "voice"
            && settings.clock.is_none()
            && self.shared.seen.is_first(advice)
        {
            self.warn(move || {
                tracing::warn!(target: "tracing_conversation", "{}", advice.text());
            });
        }
    }

    /// Says so if the program has opened conversations and ended none. A single one may be cut off by the program's end.
    #[cfg(feature = "setup")]
    pub(super) fn advise_to_end(&self) {
        if self.table.len() > 1 && self.shared.seen.ended_by_program.get() == 0 {
            self.advise(Advice::ConversationsNeverEnd);
        }
    }

    /// Ends what rules have begun in a conversation, which is over.
    fn end_works(&self, conversation: &ActiveConversation) {
        if let Some(adoption) = &self.adoption {
            adoption.end_works(conversation.id());
        }
    }

    /// Says once which rules have taken nothing.
    pub(super) fn conclude_rules(&self) {
        if let Some(adoption) = &self.adoption {
            adoption.conclude(|unused| {
                self.warn(move || tracing::warn!(target: "tracing_conversation", "{unused}"));
            });
        }
    }

    /// Ends every open conversation.
    pub(super) fn end_all(&self, reason: EndReason) {
        for conversation in self.table.all() {
            self.end(&conversation, reason, Duration::ZERO);
        }
    }

    /// Warns once of an event whose name is unknown.
    #[cold]
    pub(super) fn warn_of_unknown_event(&self, name: &str) {
        self.shared.seen.unknown_events.add();
        let is_new = {
            let mut known = lock(&self.unknown_events);
            known.len() < MAX_UNKNOWN_EVENTS && known.insert(name.to_owned())
        };
        if is_new {
            let name = name.to_owned();
            self.warn(move || {
                tracing::warn!(
                    target: "tracing_conversation",
                    "conversation.event = {name:?} is unknown and ignored; \
                     tracing_conversation::names::event lists what is known"
                );
            });
        }
    }

    /// Emits a warning.
    pub(super) fn warn(&self, warn: impl FnOnce() + Send + 'static) {
        self.shared.warn(warn);
    }

    /// Waits until the warnings so far are emitted, up to `patience`.
    #[cfg(feature = "setup")]
    pub(super) fn finish_warnings(&self, patience: Duration) {
        self.shared.warnings.finish(patience);
    }

    fn watch_interval(&self) -> Duration {
        (self.shared.settings.idle_limit / 8).max(Duration::from_millis(10))
    }
}

impl Due for LayerState {
    /// Ends the conversations that have been idle for too long.
    fn check(self: Arc<Self>, now: Time) -> Option<Time> {
        for conversation in self.table.all() {
            if conversation.end_if_idle(now, self.shared.settings.idle_limit) {
                self.end_works(&conversation);
                self.table.forget(&conversation);
                self.shared.seen.lost.add();
                self.advise(Advice::ConversationsNeverEnd);
            }
        }
        self.table
            .keep_watch()
            .then(|| now.saturating_add(self.watch_interval()))
    }
}

impl Drop for LayerState {
    /// Ends what is open when the layer is replaced or its subscriber dropped: no hook will be called for it any more.
    fn drop(&mut self) {
        for (_, tracked) in self.tracked.all() {
            if let TrackedSpan::Service { service, .. } = tracked {
                service.finish();
            }
        }
        if let Some(adoption) = &self.adoption {
            adoption.end_all_works();
        }
        self.end_all(EndReason::ConversationEnded);
        self.conclude_rules();
        self.shared.timer.stop();
    }
}
