//! A turn: the span that stands for it, and what is known of it while it is open.

use crate::core::Core;
use crate::fields::{self, Text};
use crate::latency::{Measured, MeasuredFrom};
use crate::names;
use crate::turns::EndReason;
use opentelemetry::{Context, Key, KeyValue, StringValue, Value};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A turn, as long as anybody may still refer to it.
pub(crate) struct Turn {
    pub(crate) number: u32,
    pub(super) started: Duration,
    pub(super) context: OnceLock<Context>,
    /// Where the SDK keeps the attributes of its span.
    buffer: AtomicUsize,
}

impl Turn {
    pub(super) fn new(number: u32, started: Duration) -> Arc<Self> {
        Arc::new(Self {
            number,
            started,
            context: OnceLock::new(),
            buffer: AtomicUsize::new(0),
        })
    }

    pub(super) fn note_buffer(&self, room: &[KeyValue]) {
        self.buffer.store(room.as_ptr().addr(), Ordering::Relaxed);
    }

    pub(super) fn buffer(&self) -> usize {
        self.buffer.load(Ordering::Relaxed)
    }
}

/// A turn that has ended, to be exported.
pub(super) struct Finished {
    pub(super) turn: Arc<Turn>,
    pub(super) facts: TurnFacts,
    pub(super) at: Duration,
    pub(super) reason: EndReason,
}

/// What is known of a turn, beside when it began.
#[derive(Default)]
pub(super) struct TurnFacts {
    pub(super) measured: Option<Measured>,
    pub(super) heard: Words,
    pub(super) spoken: Words,
    pub(super) answered: Option<Arc<str>>,
    attributes: Vec<KeyValue>,
}

impl TurnFacts {
    /// Sets an attribute of the turn; what is said or heard adds to what has been.
    pub(super) fn annotate(&mut self, key: Key, value: Value, limit: usize) {
        match key.as_str() {
            names::TURN_INPUT | names::TRANSCRIPT => {
                self.heard.add(None, Arc::from(&*value.as_str()), limit)
            }
            names::TURN_OUTPUT | names::OUTPUT | names::TEXT => {
                self.spoken.add(None, Arc::from(&*value.as_str()), limit);
            }
            _ => {}
        }
        if !matches!(key.as_str(), names::TURN_INPUT | names::TURN_OUTPUT) {
            fields::set(&mut self.attributes, key, value);
        }
    }

    /// Whether the program has set attributes of the turn.
    pub(super) fn is_annotated(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// Tells what is known, as attributes.
    pub(super) fn tell(mut self, attributes: &mut Vec<KeyValue>, core: &Core) {
        if let Some(measured) = self.measured {
            if measured.from == MeasuredFrom::UserSilence {
                let seconds = measured.total.as_secs_f64();
                attributes.push(KeyValue::new(names::TURN_USER_BOT_LATENCY_SECONDS, seconds));
            }
            if let Some(parts) = measured.parts {
                attributes.push(KeyValue::new(
                    names::TURN_LATENCY_MEASURED_FROM,
                    measured.from.as_str(),
                ));
                let parts = parts.iter();
                attributes.extend(
                    parts.map(|(part, lasted)| {
                        KeyValue::new(part.attribute(), lasted.as_secs_f64())
                    }),
                );
            }
        }
        let policy = &core.settings.content;
        let heard = self.heard.text.take(policy);
        attributes.extend(heard.map(|heard| KeyValue::new(names::TURN_INPUT, heard)));
        let answered = || {
            let answered = self.answered.filter(|answered| !answered.is_empty())?;
            Some(StringValue::from(policy.bound_shared(answered)))
        };
        let spoken = self.spoken.text.take(policy).or_else(answered);
        attributes.extend(spoken.map(|spoken| KeyValue::new(names::TURN_OUTPUT, spoken)));
        for attribute in self.attributes {
            fields::set(attributes, attribute.key, attribute.value);
        }
    }
}

/// What was said in a turn. A service may tell the last of it once more, corrected or completed.
#[derive(Default)]
pub(super) struct Words {
    text: Text,
    last_from: Option<u64>,
}

impl Words {
    /// Adds `words`, which the span `from` told. Past `limit` bytes nothing more is kept.
    pub(super) fn add(&mut self, from: Option<u64>, words: Arc<str>, limit: usize) {
        let last = self.text.last_mut();
        let is_same = from.is_some() && self.last_from == from;
        if is_same && last.as_ref().is_none_or(|last| words.starts_with(&**last)) {
            *last = Some(words);
        } else {
            self.text.add(words, limit);
        }
        self.last_from = from;
    }

    /// Takes back what the span `from` told last: it was not meant to be final.
    pub(super) fn retract(&mut self, from: u64) {
        if self.last_from == Some(from) {
            *self.text.last_mut() = None;
            self.last_from = None;
        }
    }
}

/// Whether only the layer can know the value of an attribute.
pub(super) fn is_told_by_the_layer(key: &str) -> bool {
    matches!(
        key,
        names::CONVERSATION_ID
            | names::TURN_NUMBER
            | names::TURN_TYPE
            | names::TURN_DURATION_SECONDS
            | names::TURN_WAS_INTERRUPTED
            | names::TURN_END_REASON
            | names::TURN_ENDED_BY_CONVERSATION_END
    )
}
