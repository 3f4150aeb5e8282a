//! Spans below a transcription wait with it for its turn.

use crate::clock::lock;
use crate::names;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::trace::SpanData;
use std::sync::Mutex;

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
