//! What a service span collects between its start and its end.

use super::cost::cost;
use super::effects::{Effects, Recording};
use super::stt::Transcription;
use super::tts::Synthesis;
use super::{llm, realtime};
use crate::attribute_list::AttributeList;
use crate::clock::Time;
use crate::content::ContentPolicy;
use crate::conversation::counted::ServiceFigures;
use crate::conversation::{Shared, Turn};
use crate::field::FieldValue;
use crate::interned::intern;
use crate::names;
use crate::recording::{Identity, SpanExtras};
use crate::service_kind::ServiceKind;
use crate::sums::Charge;
use crate::usage::Usage;
use opentelemetry::trace::Status;
use opentelemetry::{StringValue, Value};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Where a service span starts in its conversation.
#[derive(Default)]
pub(crate) struct ServiceStart {
    pub(crate) turn: Option<Turn>,
    /// Whether the program says which turn it is.
    pub(crate) turn_is_explicit: bool,
    /// How often the conversation had been interrupted.
    pub(crate) interruptions: u64,
}

impl ServiceStart {
    pub(crate) fn turn_number(&self) -> Option<u32> {
        self.turn.as_ref().map(|turn| turn.number)
    }
}

pub(crate) struct ServiceRecord {
    /// Tells the service span apart from the others of the layer.
    pub(crate) key: u64,
    pub(crate) kind: ServiceKind,
    /// The number of the turn that it belongs to.
    pub(crate) turn: Option<u32>,
    /// Whether that is final. That of a transcription is known with its first transcript.
    pub(crate) turn_is_known: bool,
    pub(crate) started: Time,
    /// How often the conversation had been interrupted when the span started.
    pub(crate) interruptions: u64,
    /// Whether anybody takes what is recorded.
    is_kept: bool,
    first_byte: Option<Time>,
    /// Seconds from the end of the user's speech to the final transcript.
    pub(crate) transcription_lag: Option<f64>,
    pub(crate) final_transcript_at: Option<Time>,
    transcription: Transcription,
    synthesis: Synthesis,
    pub(super) is_interrupted: bool,
    /// Seconds, as the service recorded it.
    ttfb: Option<f64>,
    status: RecordedStatus,
    pub(super) attributes: AttributeList,
    /// Whether a field was recorded that may be of what it used.
    may_have_charge: bool,
    /// Whether the program has set attributes that the layer has not bounded.
    pub(super) is_set_from_outside: bool,
    pub(super) extras: Option<Box<SpanExtras>>,
}

#[derive(Default)]
struct RecordedStatus {
    ok: bool,
    failed: bool,
    description: Option<String>,
}

/// Whether a field is exported as an attribute: it is neither the layer's own nor tracing-opentelemetry's.
fn is_exported(field: &str) -> bool {
    let own = matches!(
        field,
        names::CONVERSATION_ID
            | names::GEN_AI_CONVERSATION_ID
            | names::CONVERSATION_EVENT
            | names::TURN_NUMBER
            | names::AGO_SECS
            | names::SERVICE_ENDED
            | "message"
    );
    !own && !field.starts_with("otel.")
}

/// A field's value as it is exported, if it is.
pub(crate) fn exported_value(
    field: &'static str,
    value: FieldValue<'_>,
    policy: &ContentPolicy,
) -> Option<Value> {
    (is_exported(field) && policy.admits(field))
        .then(|| value.attribute_value(policy))
        .flatten()
}

/// Whether a field may be one of a [`Charge`]. The eighth byte rules out most.
#[inline]
fn may_be_charge(field: &str) -> bool {
    match field.as_bytes().get(7) {
        Some(b'u') => field.starts_with("gen_ai.usage."),
        Some(b'.') => field.starts_with("metrics."),
        Some(b'o') => field == names::USAGE_COST_USD,
        _ => false,
    }
}

/// A recorded number of tokens or characters.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::I64(count) => u64::try_from(*count).ok(),
        Value::F64(count) if count.fract() == 0.0 && (0.0..9e15).contains(count) => {
            Some(*count as u64)
        }
        _ => None,
    }
}

/// A recorded length of time.
fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::I64(seconds) => Some(*seconds as f64),
        Value::F64(seconds) => Some(*seconds),
        _ => None,
    }
    .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
}

impl ServiceRecord {
    pub(super) fn new(
        key: u64,
        kind: ServiceKind,
        started: Time,
        start: &ServiceStart,
        is_kept: bool,
    ) -> Self {
        Self {
            key,
            kind,
            turn: start.turn_number(),
            turn_is_known: start.turn_is_explicit,
            started,
            interruptions: start.interruptions,
            is_kept,
            first_byte: None,
            transcription_lag: None,
            final_transcript_at: None,
            transcription: Transcription::default(),
            synthesis: Synthesis::default(),
            is_interrupted: false,
            ttfb: None,
            status: RecordedStatus::default(),
            attributes: if is_kept {
                AttributeList::with_room()
            } else {
                AttributeList::default()
            },
            may_have_charge: false,
            is_set_from_outside: false,
            extras: None,
        }
    }

    /// Marks the span as its conversation's. The marks come first: where there are too many attributes, the last are
    /// dropped.
    pub(super) fn mark(&mut self, identity: &Identity) {
        let attributes = &mut self.attributes;
        identity.for_each_mark(self.turn, |mark| attributes.insert(mark));
    }

    /// Whether it is a transcription whose turn is not known yet.
    pub(super) fn awaits_turn(&self) -> bool {
        self.kind == ServiceKind::Stt && !self.turn_is_known
    }

    /// Takes in a recorded field.
    pub(crate) fn record(
        &mut self,
        field: &'static str,
        value: FieldValue<'_>,
        policy: &ContentPolicy,
        effects: &mut Effects,
    ) {
        if !self.is_kept {
            effects.ended |= field == names::SERVICE_ENDED && value.boolean() == Some(true);
            return;
        }
        match field {
            names::GEN_AI_OPERATION_NAME => {
                let operation = value.text();
                let (kind, operation) = match ServiceKind::of_known(&operation) {
                    Some((kind, name)) => (kind, StringValue::from(name)),
                    None => {
                        let own = policy.bounded(&operation).into_owned();
                        (ServiceKind::Other, StringValue::from(own))
                    }
                };
                effects.kind |= self.kind != kind;
                self.kind = kind;
                self.attributes.set(field, operation);
            }
            names::GEN_AI_PROVIDER_NAME
            | names::GEN_AI_REQUEST_MODEL
            | names::GEN_AI_RESPONSE_MODEL
            | names::GEN_AI_TOOL_NAME
            | names::LANGUAGE
            | names::VOICE_ID => match value {
                FieldValue::Str(text) => self.attributes.set(field, intern(text, policy)),
                _ => self.keep(field, value, policy),
            },
            names::SERVICE_ENDED => effects.ended |= value.boolean() == Some(true),
            names::INTERRUPTED | names::TTS_INTERRUPTED => {
                self.is_interrupted |= value.boolean() == Some(true);
            }
            names::OTEL_STATUS_CODE => {
                let code = value.text();
                let status = &mut self.status;
                status.ok = code.eq_ignore_ascii_case("ok");
                status.failed = code.eq_ignore_ascii_case("error") || status.failed && !status.ok;
            }
            "error" if value.boolean().is_some() => {
                self.status.failed |= value.boolean() == Some(true);
            }
            names::OTEL_STATUS_DESCRIPTION | "error" => {
                self.status.failed = true;
                if policy.captures() {
                    let description = policy.bounded(&value.text()).into_owned();
                    self.status.description = Some(description);
                }
            }
            names::METRICS_TTFB | names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK => {
                if let Some(seconds) = value.number().filter(|seconds| *seconds > 0.0) {
                    self.ttfb = Some(seconds);
                    if self.first_byte.is_none() && self.kind != ServiceKind::Stt {
                        effects.first_byte_after = Duration::try_from_secs_f64(seconds).ok();
                    }
                }
            }
            names::ERROR_TYPE => {
                self.status.failed = true;
                self.keep(field, value, policy);
            }
            _ if !is_exported(field) => {}
            _ => {
                self.may_have_charge |= may_be_charge(field);
                let recording = &mut Recording {
                    attributes: &mut self.attributes,
                    policy,
                    effects,
                };
                let is_recorded = match self.kind {
                    ServiceKind::Stt => self.transcription.record(field, value, recording),
                    ServiceKind::Llm => llm::record(field, value, recording),
                    ServiceKind::Tts => self.synthesis.record(field, value, recording),
                    ServiceKind::Realtime => realtime::record(field, value, recording),
                    ServiceKind::Tool | ServiceKind::Other => false,
                };
                if !is_recorded {
                    self.keep(field, value, policy);
                }
            }
        }
    }

    fn keep(&mut self, field: &'static str, value: FieldValue<'_>, policy: &ContentPolicy) {
        if policy.admits(field)
            && let Some(value) = value.attribute_value(policy)
        {
            self.attributes.set(field, value);
        }
    }

    /// Notes the first byte of the service. The first one counts.
    pub(crate) fn note_first_byte(&mut self, at: Time) {
        self.first_byte.get_or_insert(at);
    }

    /// The text of an attribute recorded so far.
    pub(crate) fn attribute_text(&self, key: &str) -> Option<Cow<'_, str>> {
        Some(self.attributes.get(key)?.as_str())
    }

    pub(crate) fn has_transcript(&self) -> bool {
        self.transcription.transcript().is_some()
    }

    pub(crate) fn final_transcript(&self) -> Option<&Arc<str>> {
        self.transcription.final_transcript()
    }

    /// What it adds to the sums of its conversation, so far.
    pub(super) fn figures(&self, shared: &Shared) -> ServiceFigures {
        let is_tts = self.kind == ServiceKind::Tts;
        let characters = is_tts.then(|| self.synthesis.character_count()).flatten();
        let has_charge = self.may_have_charge || self.is_set_from_outside || characters.is_some();
        ServiceFigures {
            has_failed: self.has_failed(),
            charge: has_charge.then(|| self.charge(characters, shared)),
        }
    }

    /// What was used, and what that cost. `characters` are those of a synthesis.
    fn charge(&self, characters: Option<i64>, shared: &Shared) -> Charge {
        let attributes = &self.attributes;
        let mut usage = Usage::default();
        if self.may_have_charge || self.is_set_from_outside {
            usage = Usage::read(
                |key| count(attributes.get(key)?),
                |key| seconds(attributes.get(key)?),
            );
        }
        if let Some(characters) = characters {
            usage.characters = u64::try_from(characters).ok();
        }
        let is_integer = |key| matches!(attributes.get(key), Some(Value::I64(_)));
        Charge {
            usage,
            seconds_are_integer: usage.audio_seconds.is_some()
                && is_integer(names::METRICS_AUDIO_SECONDS),
            cost: cost(shared, &usage, attributes),
        }
    }

    /// Whether its span is going to have the status of an error. `Ok` outranks it, as with the SDK.
    fn has_failed(&self) -> bool {
        match self.extras.as_deref().map(|extras| &extras.status) {
            Some(Status::Ok) => false,
            Some(Status::Error { .. }) => self.status.failed || !self.status.ok,
            Some(Status::Unset) | None => self.status.failed,
        }
    }

    /// Derives what is known only at the end. Returns the status.
    pub(super) fn finish(&mut self, policy: &ContentPolicy) -> Status {
        let waited = || {
            let waited = self.first_byte?.checked_sub(self.started)?;
            Some(waited.as_secs_f64())
        };
        let measured = match self.kind {
            ServiceKind::Stt => self.transcription_lag,
            ServiceKind::Tool => None,
            _ => waited(),
        };
        if let Some(seconds) = self.ttfb.or(measured.filter(|seconds| *seconds > 0.0)) {
            self.attributes.set(names::METRICS_TTFB, seconds);
            self.attributes
                .set(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds);
        }
        match self.kind {
            ServiceKind::Stt => self.transcription.finish(&mut self.attributes, policy),
            ServiceKind::Llm => llm::finish(&mut self.attributes),
            ServiceKind::Tts => {
                self.synthesis
                    .finish(&mut self.attributes, policy, self.is_interrupted);
            }
            ServiceKind::Realtime | ServiceKind::Tool | ServiceKind::Other => {}
        }
        if self.is_interrupted {
            self.attributes.set(names::INTERRUPTED, true);
        }
        if self.status.failed {
            if !self.attributes.contains(names::ERROR_TYPE) {
                self.attributes
                    .set(names::ERROR_TYPE, names::ERROR_TYPE_OTHER);
            }
            Status::error(self.status.description.take().unwrap_or_default())
        } else if self.status.ok {
            Status::Ok
        } else {
            Status::Unset
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_service_is_looked_at() {
        let is_looked_at = |key| assert!(may_be_charge(key), "{key}");
        let _ = Usage::read(
            |key| {
                is_looked_at(key);
                None
            },
            |key| {
                is_looked_at(key);
                None
            },
        );
        is_looked_at(names::USAGE_COST_USD);
        for key in ["gen_ai.request.model", "metrics", "output", "turn.output"] {
            assert!(!may_be_charge(key), "{key}");
        }
    }
}
