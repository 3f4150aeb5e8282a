//! A turn: its span, and what is known of it while it is open.

use super::outbox::Place;
use super::totals::add_cost;
use crate::attribute_list::AttributeList;
use crate::clock::Time;
use crate::content::ContentPolicy;
use crate::latency::{Measured, MeasuredFrom};
use crate::names;
use crate::recording::{RootSpan, SpanExtras};
use crate::sentences::Sentences;
use crate::speech::TurnSpeech;
use crate::sums::Spent;
use crate::turns::EndReason;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, Key, KeyValue, StringValue, Value};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The turn that is open.
pub(super) struct OpenTurn {
    pub(super) turn: Turn,
    pub(super) facts: TurnFacts,
    /// The context of its span, once somebody has asked for it.
    pub(super) context: Option<Context>,
}

/// A turn, as a service span in it needs to know it.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) number: u32,
    pub(super) started: Duration,
    pub(super) span: TurnSpan,
    /// What contexts below the turn carry, without a span; made when a service starts in it.
    pub(super) base: Option<Context>,
}

/// The span of a turn, where it is known.
#[derive(Clone)]
pub(super) enum TurnSpan {
    /// A child of the conversation's span.
    Child(SpanId),
    /// The root of a trace of its own, once it is started.
    Root(Arc<OnceLock<RootSpan>>),
    /// A root that has ended.
    EndedRoot(TraceId, SpanId, TraceFlags),
}

impl Turn {
    pub(super) fn new(number: u32, started: Duration, span: TurnSpan) -> Self {
        Self {
            number,
            started,
            span,
            base: None,
        }
    }
}

/// What is kept of a turn that has ended.
pub(super) struct PastTurn {
    number: u32,
    span: PastSpan,
}

enum PastSpan {
    Child(SpanId),
    Root(Box<(TraceId, SpanId, TraceFlags)>),
}

impl PastTurn {
    pub(super) fn new(turn: &Turn) -> Self {
        let span = match &turn.span {
            TurnSpan::Child(span_id) => PastSpan::Child(*span_id),
            TurnSpan::Root(root) => {
                let context = root
                    .get()
                    .map_or(&SpanContext::NONE, |root| &root.span_context);
                PastSpan::Root(Box::new((
                    context.trace_id(),
                    context.span_id(),
                    context.trace_flags(),
                )))
            }
            TurnSpan::EndedRoot(trace, span, flags) => {
                PastSpan::Root(Box::new((*trace, *span, *flags)))
            }
        };
        Self {
            number: turn.number,
            span,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn turn(&self) -> Turn {
        let span = match &self.span {
            PastSpan::Child(span_id) => TurnSpan::Child(*span_id),
            PastSpan::Root(root) => TurnSpan::EndedRoot(root.0, root.1, root.2),
        };
        Turn::new(self.number, Duration::ZERO, span)
    }
}

impl TurnSpan {
    /// The span's context below `conversation`; `None` where it is a root that has not started.
    pub(super) fn context(&self, conversation: &SpanContext) -> Option<SpanContext> {
        match self {
            Self::Child(span_id) => Some(super::shared::child_of(conversation, *span_id)),
            Self::Root(root) => root.get().map(|root| root.span_context.clone()),
            Self::EndedRoot(trace, span, flags) => Some(SpanContext::new(
                *trace,
                *span,
                *flags,
                false,
                TraceState::NONE,
            )),
        }
    }
}

/// A turn that has ended, to be exported.
pub(super) struct EndedTurn {
    pub(super) turn: OpenTurn,
    pub(super) at: Time,
    pub(super) reason: EndReason,
    pub(super) speech: TurnSpeech,
    /// Of its summary.
    pub(super) place: Option<Place>,
}

/// What of the bot's words in the open turn was heard, as an event reports it.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    pub(crate) text: Option<Arc<str>>,
    pub(crate) seconds: Option<f64>,
}

impl Heard {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_none() && self.seconds.is_none()
    }
}

/// What is known of a turn, beside when it began.
#[derive(Default)]
pub(super) struct TurnFacts {
    pub(super) measured: Option<Measured>,
    pub(super) input: Speech,
    pub(super) output: Speech,
    /// The last answer of a language model: the output of a turn in which nothing was spoken.
    pub(super) answer: Option<Arc<str>>,
    pub(super) heard: Heard,
    /// What its services have used that have ended, where anybody asks.
    pub(super) spent: Option<Box<Spent>>,
    pub(super) attributes: AttributeList,
    pub(super) extras: Option<Box<SpanExtras>>,
}

impl TurnFacts {
    /// Sets an attribute of the turn; `turn.input` and `turn.output` add to what is known.
    pub(super) fn annotate(&mut self, key: Key, value: Value, limit: usize) {
        match key.as_str() {
            names::TURN_INPUT | names::TRANSCRIPT => {
                self.input.add(None, Arc::from(&*value.as_str()), limit);
            }
            names::TURN_OUTPUT | names::OUTPUT | names::TEXT => {
                self.output.add(None, Arc::from(&*value.as_str()), limit);
            }
            _ => {}
        }
        if !matches!(key.as_str(), names::TURN_INPUT | names::TURN_OUTPUT) {
            self.attributes.set(key, value);
        }
    }

    /// From the end of the user's speech to the start of the bot's.
    pub(super) fn user_bot_latency(&self) -> Option<Duration> {
        let measured = self.measured?;
        (measured.from == MeasuredFrom::UserSilence).then_some(measured.total)
    }

    /// Takes in what of the bot's words was heard. The last report counts.
    pub(super) fn set_heard(&mut self, heard: &Heard, policy: &ContentPolicy) {
        if let Some(text) = heard.text.as_ref().filter(|_| policy.captures()) {
            self.heard.text = Some(policy.bound_shared(text.clone()));
        }
        self.heard.seconds = heard.seconds.or(self.heard.seconds);
    }

    /// What was said, as it is exported.
    pub(super) fn take_words(&mut self, policy: &ContentPolicy) -> TurnWords {
        let answer = self.answer.take().filter(|answer| !answer.is_empty());
        let answer = || Some(StringValue::from(policy.bound_shared(answer?)));
        TurnWords {
            input: self.input.text.take(policy),
            output: self.output.text.take(policy).or_else(answer),
        }
    }

    /// Adds what is known to the attributes of the turn's span.
    pub(super) fn add_to(&mut self, attributes: &mut AttributeList, words: TurnWords) {
        if let Some(latency) = self.user_bot_latency() {
            attributes.set(names::TURN_USER_BOT_LATENCY_SECONDS, latency.as_secs_f64());
        }
        if let Some(measured) = self.measured
            && let Some(parts) = measured.parts
        {
            attributes.set(names::TURN_LATENCY_MEASURED_FROM, measured.from.as_str());
            attributes.extend(
                parts.iter().map(|(part, duration)| {
                    KeyValue::new(part.attribute(), duration.as_secs_f64())
                }),
            );
        }
        if let Some(spent) = &self.spent {
            add_cost(spent, attributes);
        }
        if let Some(input) = words.input {
            attributes.set(names::TURN_INPUT, input);
        }
        if let Some(output) = words.output {
            attributes.set(names::TURN_OUTPUT, output);
        }
        if let Some(heard) = self.heard.text.take() {
            attributes.set(names::TURN_HEARD_OUTPUT, StringValue::from(heard));
        }
        if let Some(seconds) = self.heard.seconds {
            attributes.set(names::TURN_PLAYED_SECONDS, seconds);
        }
        attributes.extend(std::mem::take(&mut self.attributes));
    }
}

/// Adds what a turn sums up to the attributes of its span.
pub(super) fn add_speech(speech: &TurnSpeech, attributes: &mut AttributeList) {
    let sums = &speech.sums;
    for (key, lasted) in [
        (names::TURN_USER_SPEECH_SECONDS, sums.user),
        (names::TURN_BOT_SPEECH_SECONDS, sums.bot),
        (names::TURN_DEAD_AIR_SECONDS, sums.dead_air),
        (
            names::TURN_INTERRUPTION_AFTER_SECONDS,
            speech.interrupted_after.unwrap_or_default(),
        ),
    ] {
        if !lasted.is_zero() {
            attributes.set(key, lasted.as_secs_f64());
        }
    }
    if let Some(lasted) = speech.barge_in_stop {
        attributes.set(names::TURN_BARGE_IN_STOP_SECONDS, lasted.as_secs_f64());
    }
}

/// What the user and the bot said in a turn.
pub(super) struct TurnWords {
    pub(super) input: Option<StringValue>,
    pub(super) output: Option<StringValue>,
}

/// What somebody said in a turn. A service may record the last of it once more, corrected or completed.
#[derive(Default)]
pub(super) struct Speech {
    text: Sentences,
    last_from: Option<u64>,
}

impl Speech {
    /// Adds `words`, which the service span `from` recorded. Past `limit` bytes nothing more is kept.
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

    /// Takes back what the span `from` recorded last: it was not final.
    pub(super) fn retract(&mut self, from: u64) {
        if self.last_from == Some(from) {
            *self.text.last_mut() = None;
            self.last_from = None;
        }
    }
}

/// Whether only the layer can know the value of a turn's attribute.
pub(super) fn is_derived(key: &str) -> bool {
    matches!(
        key,
        names::CONVERSATION_ID
            | names::GEN_AI_CONVERSATION_ID
            | names::TURN_NUMBER
            | names::TURN_TYPE
            | names::TURN_DURATION_SECONDS
            | names::TURN_WAS_INTERRUPTED
            | names::TURN_END_REASON
            | names::TURN_ENDED_BY_CONVERSATION_END
    )
}
