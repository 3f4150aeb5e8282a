//! Where summaries go, on the thread on which something ends: the observers' queue, metrics.

use super::{
    ConversationSummary, EndedService, EndedTurn, ServiceSummary, TurnStarted, TurnSummary,
};
use std::fmt;
use std::sync::Arc;
use tracing_core::Dispatch;

/// Takes summaries directly, on the program's threads: it must not block, emit nothing and run no code of the program.
///
/// Of one conversation, they come in order.
pub(crate) trait SummarySink: Send + Sync + 'static {
    /// Whether it reads what was said, which is left out of summaries otherwise.
    fn reads_words(&self) -> bool {
        false
    }

    /// Is called with the subscriber that the layer is part of.
    fn registered(&self, subscriber: &Dispatch) {
        let _ = subscriber;
    }

    /// A conversation of the type `conversation_type` has started.
    fn conversation_started(&self, conversation_type: &str) {
        let _ = conversation_type;
    }

    fn turn_started(&self, turn: &Arc<TurnStarted>) {
        let _ = turn;
    }

    /// Is called with each service. Makes its summary, unless that is left for later.
    fn take_service(&self, service: &Arc<EndedService>) {
        self.service_ended(&Arc::new(service.summary(self.reads_words())));
    }

    fn service_ended(&self, service: &Arc<ServiceSummary>) {
        let _ = service;
    }

    /// Is called with each turn. Makes its summary, unless that is left for later.
    fn take_turn(&self, turn: &Arc<EndedTurn>) {
        self.turn_ended(&Arc::new(turn.summary(self.reads_words())));
    }

    fn turn_ended(&self, turn: &Arc<TurnSummary>) {
        let _ = turn;
    }

    /// Is called once for each conversation that has started.
    fn conversation_ended(&self, conversation: &Arc<ConversationSummary>) {
        let _ = conversation;
    }
}

/// Those of one layer. Where there are none, no summary is made.
#[derive(Clone, Default)]
pub(crate) struct SummarySinks {
    sinks: Vec<Arc<dyn SummarySink>>,
    read_words: bool,
}

impl SummarySinks {
    pub(crate) fn push(&mut self, sink: Arc<dyn SummarySink>) {
        self.read_words |= sink.reads_words();
        self.sinks.push(sink);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Whether any of them reads what was said.
    pub(crate) fn read_words(&self) -> bool {
        self.read_words
    }

    pub(crate) fn for_each(&self, call: impl FnMut(&dyn SummarySink)) {
        self.sinks.iter().map(AsRef::as_ref).for_each(call);
    }
}

impl fmt::Debug for SummarySinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SummarySinks")
            .field(&self.sinks.len())
            .finish()
    }
}
