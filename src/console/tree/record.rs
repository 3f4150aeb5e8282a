//! The part of a span that the tree keeps, with sanitized texts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use opentelemetry::trace::Status;
use opentelemetry::{SpanId, TraceId, Value};
use opentelemetry_sdk::trace::SpanData;

use super::style::Role;
use super::text::{clean, name};
use crate::latency::Part;
use crate::names;
use crate::service_kind::ServiceKind;

/// A finished span.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) conversation: Option<String>,
    pub(super) turn: Option<u64>,
    pub(super) name: String,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    /// The error, if the span failed.
    pub(super) failure: Option<String>,
    /// US dollars.
    pub(super) cost: Option<f64>,
    /// Whether a price is missing in it.
    pub(super) cost_is_partial: bool,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// With what its span sums up, if it does.
    Conversation(Option<Box<Sums>>),
    Turn(Box<TurnFacts>),
    Service(Box<ServiceFacts>),
    Ordinary,
}

/// What a conversation sums up to. Agents' totals are not counted beside their requests.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) turns: u64,
    pub(super) interruptions: u64,
    pub(super) speech: SpeechSums,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) characters: u64,
    pub(super) audio_seconds: f64,
}

/// Seconds of a turn or a conversation in which the user spoke, the bot did, and an answer was overdue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpeechSums {
    pub(super) user: f64,
    pub(super) bot: f64,
    pub(super) dead_air: f64,
}

#[derive(Debug, Default)]
pub(super) struct TurnFacts {
    pub(super) end_reason: Option<String>,
    pub(super) interrupted: bool,
    pub(super) reply_seconds: Option<f64>,
    pub(super) speech: SpeechSums,
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    /// Of an interrupted turn, what of `output` was heard.
    pub(super) heard: Option<String>,
    /// Of an interrupted turn, how many seconds of the bot's speech were heard.
    pub(super) played_seconds: Option<f64>,
    /// The latency parts in seconds, in the order in which they occur.
    pub(super) latency: Vec<(String, f64)>,
    pub(super) measured_from: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct ServiceFacts {
    pub(super) service: ServiceKind,
    /// The displayed name: `stt`, `llm`, …, or the name of the operation.
    pub(super) label: String,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) voice: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) ttfb: Option<f64>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) cached_tokens: Option<u64>,
    pub(super) characters: Option<u64>,
    pub(super) audio_seconds: Option<f64>,
    pub(super) interrupted: bool,
    /// A transcript, or a tool's arguments.
    pub(super) input: Option<String>,
    /// An answer, spoken text, or a tool's result.
    pub(super) output: Option<String>,
}

/// Returns the display role of a kind of service.
pub(super) fn role(kind: ServiceKind) -> Role {
    match kind {
        ServiceKind::Stt => Role::Stt,
        ServiceKind::Llm => Role::Llm,
        ServiceKind::Tts => Role::Tts,
        ServiceKind::Tool => Role::Tool,
        ServiceKind::Realtime | ServiceKind::Other => Role::Other,
    }
}

const LATENCY_PREFIX: &str = "turn.latency.";

impl Record {
    pub(super) fn of(span: &SpanData) -> Self {
        let attributes = Attributes(span);
        let conversation = attributes
            .value(names::CONVERSATION_ID)
            .map(|id| unique_name(&id.as_str()));
        let kind = match (span.name.as_ref(), &conversation) {
            ("conversation", Some(_)) => Kind::Conversation(attributes.sums().map(Box::new)),
            ("turn", Some(_)) => Kind::Turn(Box::new(attributes.turn())),
            (name, _) => match attributes.service(name, conversation.is_some()) {
                Some(service) => Kind::Service(Box::new(service)),
                None => Kind::Ordinary,
            },
        };
        Self {
            trace: span.span_context.trace_id(),
            id: span.span_context.span_id(),
            parent: span.parent_span_id,
            conversation,
            turn: attributes.count(names::TURN_NUMBER),
            name: name(&span.name),
            start: span.start_time,
            end: span.end_time,
            failure: attributes.failure(),
            cost: attributes.number(names::USAGE_COST_USD),
            cost_is_partial: attributes.flag(names::USAGE_COST_IS_PARTIAL),
            kind,
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        seconds_between(self.start, self.end)
    }

    /// Returns whether the span is always shown, because it is a service or has failed.
    pub(super) fn is_always_shown(&self) -> bool {
        self.failure.is_some() || self.service().is_some()
    }

    pub(super) fn service(&self) -> Option<&ServiceFacts> {
        match &self.kind {
            Kind::Service(service) => Some(service),
            _ => None,
        }
    }
}

/// Sanitizes an id and keeps it unique: if sanitizing changes it, a hash is appended.
fn unique_name(id: &str) -> String {
    let mut shown = name(id);
    if shown != id {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        shown.push_str(&format!("#{:08x}", hasher.finish() as u32));
    }
    shown
}

/// Returns the seconds from `start` to `end`, negative if `end` is earlier.
pub(super) fn seconds_between(start: SystemTime, end: SystemTime) -> f64 {
    match end.duration_since(start) {
        Ok(duration) => duration.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    }
}

/// A span's attributes, read leniently: without this crate's processor, counts arrive as text.
struct Attributes<'a>(&'a SpanData);

impl Attributes<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        // The last value wins.
        self.0
            .attributes
            .iter()
            .rev()
            .find(|attribute| attribute.key.as_str() == key)
            .map(|attribute| &attribute.value)
    }

    fn text(&self, key: &str) -> Option<String> {
        let text = clean(&self.value(key)?.as_str());
        (!text.is_empty()).then_some(text)
    }

    fn name(&self, key: &str) -> Option<String> {
        let name = name(&self.value(key)?.as_str());
        (!name.is_empty()).then_some(name)
    }

    fn number(&self, key: &str) -> Option<f64> {
        let number = match self.value(key)? {
            Value::F64(number) => *number,
            Value::I64(number) => *number as f64,
            Value::String(number) => number.as_str().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn count(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::I64(number) => u64::try_from(*number).ok(),
            Value::String(number) => number.as_str().parse().ok(),
            Value::F64(number) if *number >= 0.0 && number.is_finite() => Some(*number as u64),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(flag)) => flag.as_str() == "true",
            _ => false,
        }
    }

    fn failure(&self) -> Option<String> {
        let kind = self
            .name(names::ERROR_TYPE)
            .filter(|kind| kind != names::ERROR_TYPE_OTHER);
        let text = match &self.0.status {
            Status::Error { description } => clean(description),
            _ if self.value(names::ERROR_TYPE).is_some() => String::new(),
            _ => return None,
        };
        Some(match kind {
            Some(kind) if text.is_empty() || text == kind => kind,
            Some(kind) => format!("{kind}: {text}"),
            None if text.is_empty() => "failed".to_owned(),
            None => text,
        })
    }

    fn sums(&self) -> Option<Sums> {
        // It is always there with the others.
        let turns = self.count(names::CONVERSATION_TURN_COUNT)?;
        let sum = |key| self.count(key).unwrap_or(0);
        Some(Sums {
            turns,
            interruptions: sum(names::CONVERSATION_INTERRUPTION_COUNT),
            speech: self.speech([
                names::CONVERSATION_USER_SPEECH_SECONDS,
                names::CONVERSATION_BOT_SPEECH_SECONDS,
                names::CONVERSATION_DEAD_AIR_SECONDS,
            ]),
            input_tokens: sum(names::CONVERSATION_USAGE_INPUT_TOKENS),
            output_tokens: sum(names::CONVERSATION_USAGE_OUTPUT_TOKENS),
            characters: sum(names::CONVERSATION_USAGE_CHARACTERS),
            audio_seconds: self
                .number(names::CONVERSATION_USAGE_AUDIO_SECONDS)
                .unwrap_or(0.0),
        })
    }

    fn speech(&self, keys: [&str; 3]) -> SpeechSums {
        let [user, bot, dead_air] =
            keys.map(|key| self.number(key).map_or(0.0, |seconds| seconds.max(0.0)));
        SpeechSums {
            user,
            bot,
            dead_air,
        }
    }

    fn turn(&self) -> TurnFacts {
        let mut latency: Vec<(String, f64)> = Vec::new();
        for attribute in &self.0.attributes {
            let Some(part) = attribute.key.as_str().strip_prefix(LATENCY_PREFIX) else {
                continue;
            };
            if let Value::F64(seconds) = attribute.value
                && seconds.is_finite()
                && latency.len() < 32
            {
                latency.push((name(part), seconds));
            }
        }
        // Unknown parts are placed before `pipeline`, the remainder.
        let position = |part: &str| {
            Part::ALL
                .iter()
                .position(|known| known.attribute().strip_prefix(LATENCY_PREFIX) == Some(part))
                .unwrap_or(Part::ALL.len() - 2)
        };
        latency.sort_by_key(|(part, _)| position(part));
        let is_cut_short = self.flag(names::TURN_WAS_INTERRUPTED);
        TurnFacts {
            end_reason: self.name(names::TURN_END_REASON),
            interrupted: is_cut_short && !self.flag(names::TURN_ENDED_BY_CONVERSATION_END),
            reply_seconds: self.number(names::TURN_USER_BOT_LATENCY_SECONDS),
            speech: self.speech([
                names::TURN_USER_SPEECH_SECONDS,
                names::TURN_BOT_SPEECH_SECONDS,
                names::TURN_DEAD_AIR_SECONDS,
            ]),
            input: self.text(names::TURN_INPUT),
            output: self.text(names::TURN_OUTPUT),
            heard: self
                .value(names::TURN_HEARD_OUTPUT)
                .filter(|_| is_cut_short)
                .map(|heard| clean(&heard.as_str())),
            played_seconds: self
                .number(names::TURN_PLAYED_SECONDS)
                .filter(|_| is_cut_short),
            latency,
            measured_from: self.name(names::TURN_LATENCY_MEASURED_FROM),
        }
    }

    fn service(&self, name: &str, in_conversation: bool) -> Option<ServiceFacts> {
        let operation = self.name(names::GEN_AI_OPERATION_NAME);
        let (service, label) = match &operation {
            Some(operation) => match ServiceKind::of(operation) {
                ServiceKind::Other => (ServiceKind::Other, operation.clone()),
                kind => (kind, kind.name().to_owned()),
            },
            None => {
                let (kind, _) = ServiceKind::of_known(name).filter(|_| in_conversation)?;
                (kind, kind.name().to_owned())
            }
        };
        let (input, output) = match service {
            ServiceKind::Stt => (names::TRANSCRIPT, ""),
            ServiceKind::Tts => ("", names::TEXT),
            ServiceKind::Tool => ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
            ServiceKind::Llm | ServiceKind::Realtime | ServiceKind::Other => ("", names::OUTPUT),
        };
        Some(ServiceFacts {
            service,
            label,
            provider: self.name(names::GEN_AI_PROVIDER_NAME),
            model: self.name(names::GEN_AI_REQUEST_MODEL),
            voice: self.name(names::VOICE_ID),
            tool: self.name(names::GEN_AI_TOOL_NAME),
            ttfb: self
                .number(names::METRICS_TTFB)
                .or_else(|| self.number(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)),
            input_tokens: self.count("gen_ai.usage.input_tokens"),
            output_tokens: self.count("gen_ai.usage.output_tokens"),
            cached_tokens: self.count("gen_ai.usage.cache_read.input_tokens"),
            characters: self.count(names::METRICS_CHARACTER_COUNT),
            audio_seconds: self.number(names::METRICS_AUDIO_SECONDS),
            interrupted: self.flag(names::INTERRUPTED) || self.flag(names::TTS_INTERRUPTED),
            input: self.text(input),
            output: self.text(output),
        })
    }
}
