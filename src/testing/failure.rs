//! What is printed of a test that fails.

use super::attributes::text;
use super::sink::Sink;
use super::tree::Tree;
use crate::clock::lock;
use crate::names;
use opentelemetry_sdk::trace::SpanData;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

/// Prints, while a failed test unwinds, what its conversations were: each once.
#[derive(Debug)]
pub(super) struct FailureReport {
    sink: Sink,
    printed: Mutex<HashSet<String>>,
}

impl FailureReport {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            printed: Mutex::default(),
        }
    }

    /// Prints every conversation if a test is failing.
    pub(super) fn print_all(&self) {
        if std::thread::panicking() {
            let spans = self.sink.spans();
            let ids = spans
                .iter()
                .filter_map(|span| text(span, names::CONVERSATION_ID));
            for id in ids.collect::<BTreeSet<_>>() {
                self.print(&id);
            }
        }
    }

    /// Prints one conversation if a test is failing.
    #[allow(clippy::print_stderr, reason = "a failing test's output")]
    pub(super) fn print(&self, id: &str) {
        if std::thread::panicking() && lock(&self.printed).insert(id.to_owned()) {
            let mut spans = self.sink.spans();
            spans.retain(|span| is_of(span, id));
            let tree = Tree::of_recorded(spans);
            eprint!("recorded of conversation {id:?}:\n{tree}");
        }
    }
}

/// Whether a span belongs to a conversation.
pub(super) fn is_of(span: &Arc<SpanData>, id: &str) -> bool {
    text(span, names::CONVERSATION_ID).as_deref() == Some(id)
}
