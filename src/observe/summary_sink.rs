//! Where summaries go, on the thread on which something ends: the observers' queue, metrics.

use super::{ConversationSummary, ServiceSummary, TurnStarted, TurnSummary};
use std::fmt;
use std::sync::Arc;

/// Takes summaries directly, on the program's threads: it must not block, emit nothing and run no code of the program.
///
/// Of one conversation, they come in order.
pub(crate) trait SummarySink: Send + Sync + 'static {
    /// A conversation of the type `conversation_type` has started.
    fn conversation_started(&self, conversation_type: &str) {
        let _ = conversation_type;
    }

    fn turn_started(&self, turn: &Arc<TurnStarted>) {
        let _ = turn;
    }

    fn service_ended(&self, service: &Arc<ServiceSummary>) {
        let _ = service;
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
pub(crate) struct SummarySinks(Vec<Arc<dyn SummarySink>>);

impl SummarySinks {
    pub(crate) fn push(&mut self, sink: Arc<dyn SummarySink>) {
        self.0.push(sink);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn for_each(&self, call: impl FnMut(&dyn SummarySink)) {
        self.0.iter().map(AsRef::as_ref).for_each(call);
    }
}

impl fmt::Debug for SummarySinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SummarySinks").field(&self.0.len()).finish()
    }
}
