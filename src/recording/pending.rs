//! Spans below a transcription wait with it for its turn.

use crate::clock::lock;
use crate::names;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanContext;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// So many finished spans wait for a turn; more are exported as they are.
const MAX_WAITING: usize = 64;

/// The turn that a transcription turns out to belong to, for the spans below it.
#[derive(Default)]
pub(crate) struct PendingTurn(Mutex<State>);

enum State {
    Undecided(Vec<SpanData>),
    Decided(Decision),
}

impl Default for State {
    fn default() -> Self {
        Self::Undecided(Vec::new())
    }
}

/// Where a transcription and what is below it belong.
#[derive(Clone)]
pub(crate) struct Decision {
    pub(crate) turn: Option<u32>,
    /// The context of the parent, where the trace has changed.
    pub(crate) trace: Option<SpanContext>,
}

impl Decision {
    fn apply(&self, span: &mut SpanData) {
        set_turn_number(&mut span.attributes, self.turn);
        if let Some(parent) = &self.trace {
            span.span_context = moved(&span.span_context, parent);
        }
    }
}

/// The context of a span that has moved into the trace of `parent`.
pub(crate) fn moved(own: &SpanContext, parent: &SpanContext) -> SpanContext {
    SpanContext::new(
        parent.trace_id(),
        own.span_id(),
        parent.trace_flags(),
        false,
        parent.trace_state().clone(),
    )
}

fn set_turn_number(attributes: &mut Vec<KeyValue>, turn: Option<u32>) {
    let position = attributes
        .iter()
        .position(|attribute| attribute.key.as_str() == names::TURN_NUMBER);
    let number = turn.map(|number| KeyValue::new(names::TURN_NUMBER, i64::from(number)));
    match (position, number) {
        (Some(at), Some(number)) => attributes[at] = number,
        (Some(at), None) => {
            attributes.remove(at);
        }
        (None, number) => attributes.extend(number),
    }
}

impl PendingTurn {
    /// Gives a finished span back to be exported, corrected, or keeps it until the turn is known.
    pub(crate) fn submit(&self, mut span: SpanData) -> Option<SpanData> {
        match &mut *lock(&self.0) {
            State::Undecided(waiting) if waiting.len() < MAX_WAITING => {
                waiting.push(span);
                return None;
            }
            State::Undecided(_) => {}
            State::Decided(decision) => decision.apply(&mut span),
        }
        Some(span)
    }

    /// Sets the turn, and gives the spans that waited for it. The last decision holds.
    pub(crate) fn decide(&self, decision: Decision) -> Vec<SpanData> {
        let mut state = lock(&self.0);
        let mut waiting = match std::mem::take(&mut *state) {
            State::Undecided(waiting) => waiting,
            State::Decided(_) => Vec::new(),
        };
        for span in &mut waiting {
            decision.apply(span);
        }
        *state = State::Decided(decision);
        waiting
    }
}

/// A transcription whose turn may not be known yet.
pub(crate) trait Transcription: Send + Sync {
    /// What waits for its turn, as long as that is not known or where it has moved.
    fn pending(&self) -> Option<Arc<PendingTurn>>;
}

/// So many spans are remembered whose children wait.
const MAX_PARENTS: usize = 256;

/// The spans in a turn whose children wait for a transcription, by their ids.
///
/// A transcription could have a context of its own instead, with what waits for it as a value. That is three allocations
/// for each, and hardly ever does anything wait.
#[derive(Default)]
pub(crate) struct WaitingParents {
    count: AtomicUsize,
    parents: Mutex<Parents>,
}

/// Hardly ever is there more than one.
#[derive(Default)]
struct Parents {
    first: Option<(SpanId, Waits)>,
    more: Vec<(SpanId, Waits)>,
}

#[derive(Clone)]
enum Waits {
    With(Weak<dyn Transcription>),
    For(Arc<PendingTurn>),
}

impl WaitingParents {
    /// From now on children of the transcription `id` wait with it.
    pub(crate) fn add(&self, id: SpanId, transcription: Weak<dyn Transcription>) {
        self.insert(id, Waits::With(transcription));
    }

    fn insert(&self, id: SpanId, waits: Waits) {
        let mut parents = lock(&self.parents);
        let Parents { first, more } = &mut *parents;
        if first.is_none() {
            *first = Some((id, waits));
        } else {
            if more.len() >= MAX_PARENTS {
                more.remove(0);
            }
            more.push((id, waits));
        }
        self.count.store(parents.len(), Ordering::Relaxed);
    }

    /// The turn of the transcription `id` is known, and with it that of all that is `pending`. Where it has moved, spans
    /// that start below it still have to follow.
    pub(crate) fn settle(&self, id: SpanId, pending: Option<&Arc<PendingTurn>>, has_moved: bool) {
        let mut parents = lock(&self.parents);
        let Parents { first, more } = &mut *parents;
        if let (true, Some(pending)) = (has_moved, pending) {
            let mut all = first.iter_mut().chain(more);
            if let Some((_, waits)) = all.find(|(known, _)| *known == id) {
                *waits = Waits::For(pending.clone());
            }
            return;
        }
        let is_settled = |(known, waits): &(SpanId, Waits)| match (waits, pending) {
            (Waits::For(own), Some(pending)) if Arc::ptr_eq(own, pending) => true,
            _ => *known == id,
        };
        if first.as_ref().is_some_and(is_settled) {
            *first = None;
        }
        more.retain(|parent| !is_settled(parent));
        self.count.store(parents.len(), Ordering::Relaxed);
    }

    /// What the span `child` waits for. Its own children will wait too.
    #[inline]
    pub(super) fn of_child(&self, parent: SpanId, child: SpanId) -> Option<Arc<PendingTurn>> {
        match self.count.load(Ordering::Relaxed) {
            0 => None,
            _ => self.find(parent, child),
        }
    }

    #[cold]
    fn find(&self, parent: SpanId, child: SpanId) -> Option<Arc<PendingTurn>> {
        let waits = {
            let parents = lock(&self.parents);
            let mut all = parents.first.iter().chain(&parents.more);
            all.find(|(id, _)| *id == parent)?.1.clone()
        };
        let pending = match waits {
            Waits::With(transcription) => transcription.upgrade()?.pending()?,
            Waits::For(pending) => pending,
        };
        self.insert(child, Waits::For(pending.clone()));
        Some(pending)
    }
}

impl Parents {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }
}
