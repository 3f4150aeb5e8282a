//! Where summaries go, on the thread on which something ends: the observers' queue, metrics.

use super::{ConversationSummary, EndedService, EndedTurn, TurnStarted};
use std::fmt;
use std::sync::Arc;
use tracing_core::Dispatch;

/// Something that has happened in a conversation.
#[derive(Clone)]
pub(crate) enum Notice {
    ConversationStarted,
    TurnStarted(TurnStarted),
    ServiceEnded(Arc<EndedService>),
    TurnEnded(Arc<EndedTurn>),
    /// Comes once for each conversation that has started.
    ConversationEnded(Arc<ConversationSummary>),
}

/// Takes what happens directly, on the program's threads: it must not block, emit nothing and run no code of the program.
///
/// Notices of one conversation come in order.
pub(crate) trait SummarySink: Send + Sync + 'static {
    /// Whether it reads what was said, which is left out otherwise.
    fn reads_words(&self) -> bool {
        false
    }

    /// Is called with the subscriber that the layer is part of.
    fn registered(&self, subscriber: &Dispatch) {
        let _ = subscriber;
    }

    fn take(&self, notice: Notice);
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

    /// Calls all of them with the subscriber that the layer is part of.
    pub(crate) fn registered(&self, subscriber: &Dispatch) {
        for sink in &self.sinks {
            sink.registered(subscriber);
        }
    }

    /// Gives all of them a notice. The last gets it itself: what it does not keep, it drops where it likes.
    pub(crate) fn take(&self, notice: Notice) {
        if let Some((last, others)) = self.sinks.split_last() {
            for sink in others {
                sink.take(notice.clone());
            }
            last.take(notice);
        }
    }
}

impl fmt::Debug for SummarySinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SummarySinks")
            .field(&self.sinks.len())
            .finish()
    }
}
