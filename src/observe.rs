//! Observers: what a running program learns of its own conversations.
//!
//! An [`Observer`] is called with every turn that starts and every turn, service and conversation that ends, as plain data
//! that says what the spans say. It is installed with [`LayerBuilder::with_observer`](crate::LayerBuilder::with_observer) or
//! `Builder::with_observer`; several may be.
//!
//! ```
//! # #[cfg(feature = "setup")] {
//! use tracing_conversation::Telemetry;
//! use tracing_conversation::observe::{Observer, TurnSummary};
//!
//! struct SlowTurns;
//!
//! impl Observer for SlowTurns {
//!     fn turn_ended(&self, turn: &TurnSummary) {
//!         if turn.user_bot_latency_seconds.is_some_and(|seconds| seconds > 2.0) {
//!             tracing::warn!(call = %turn.conversation_id, turn = turn.number, "the bot was slow");
//!         }
//!     }
//! }
//!
//! let telemetry = Telemetry::builder().with_observer(SlowTurns).build();
//! # }
//! ```
//!
//! Observers share one thread. Between it and the program's threads is a queue of 8,192 summaries: what does not fit is dropped,
//! counted (`Telemetry::delivered` has the count) and reported as a warning, and nobody waits. Flushing and shutting down wait for
//! the observers. A conversation that is not sampled is observed all the same; a service span is observed where it ends, also
//! after its conversation. Within a conversation everything comes in order.
//!
//! What was said is subject to the [`ContentPolicy`](crate::ContentPolicy), whose redaction runs on the observers' thread for it.

mod ended;
#[cfg(feature = "serde")]
mod hex;
mod queue;
mod summary_sink;
mod words;

pub use crate::latency::{MeasuredFrom, Part as LatencyPart};
pub use crate::service_kind::ServiceKind;
pub use crate::turns::EndReason;
pub use crate::usage::Usage;
pub(crate) use ended::{EndedService, EndedTurn, RecordedFields};
#[cfg(feature = "setup")]
pub(crate) use queue::Observed;
pub(crate) use queue::Observers;
pub(crate) use summary_sink::{Notice, SummarySink, SummarySinks};

use opentelemetry::trace::{SpanId, TraceId};
use std::sync::Arc;
use std::time::SystemTime;

/// Is called with what happens in conversations, in order within each, on a thread of the observers' own.
///
/// So an observer may be slow, emit events and open conversations. One that panics goes on being called; the panic is
/// reported once.
pub trait Observer: Send + Sync + 'static {
    /// A turn has started.
    fn turn_started(&self, turn: &TurnStarted) {
        let _ = turn;
    }

    /// A service span has ended.
    fn service_ended(&self, service: &ServiceSummary) {
        let _ = service;
    }

    /// A turn has ended.
    fn turn_ended(&self, turn: &TurnSummary) {
        let _ = turn;
    }

    /// A conversation has ended.
    fn conversation_ended(&self, conversation: &ConversationSummary) {
        let _ = conversation;
    }
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn turn_started(&self, turn: &TurnStarted) {
        (**self).turn_started(turn);
    }

    fn service_ended(&self, service: &ServiceSummary) {
        (**self).service_ended(service);
    }

    fn turn_ended(&self, turn: &TurnSummary) {
        (**self).turn_ended(turn);
    }

    fn conversation_ended(&self, conversation: &ConversationSummary) {
        (**self).conversation_ended(conversation);
    }
}

/// A turn that has started.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TurnStarted {
    /// The id of its conversation.
    pub conversation_id: Arc<str>,
    /// Its number in the conversation, from 1.
    pub number: u32,
    /// When it started.
    pub started: SystemTime,
}

/// A service span that has ended.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ServiceSummary {
    /// The id of its conversation, if it belongs to one.
    pub conversation_id: Option<Arc<str>>,
    /// The number of its turn, if it belongs to one.
    pub turn_number: Option<u32>,
    /// The trace of its span.
    #[cfg_attr(feature = "serde", serde(with = "hex::trace_id"))]
    pub trace_id: TraceId,
    /// The id of its span.
    #[cfg_attr(feature = "serde", serde(with = "hex::span_id"))]
    pub span_id: SpanId,
    /// The name of its span.
    pub name: Arc<str>,
    /// What it does.
    pub kind: ServiceKind,
    /// The same as the service recorded it: `gen_ai.operation.name`.
    pub operation: Option<Arc<str>>,
    /// `gen_ai.provider.name`.
    pub provider: Option<Arc<str>>,
    /// `gen_ai.request.model`.
    pub request_model: Option<Arc<str>>,
    /// `gen_ai.response.model`.
    pub response_model: Option<Arc<str>>,
    /// `gen_ai.tool.name`, of a tool.
    pub tool_name: Option<Arc<str>>,
    /// `gen_ai.tool.type`, of a tool.
    pub tool_type: Option<Arc<str>>,
    /// `gen_ai.agent.name`, of an agent, or of a tool that names the agent that runs it.
    pub agent_name: Option<Arc<str>>,
    /// When it started.
    pub started: SystemTime,
    /// How long it lasted.
    pub duration_seconds: f64,
    /// Seconds to its first output: `metrics.ttfb`.
    pub ttfb_seconds: Option<f64>,
    /// What it used.
    pub usage: Usage,
    /// What of that counts in sums: no service span below it had recorded the same figure when it ended. Agents report totals
    /// over their requests.
    pub counted_usage: Usage,
    /// What it cost in US dollars, if its price is known: `usage.cost_usd`. Of a service that reports totals over its requests,
    /// the cost of all; in sums, that of each request counts.
    pub cost_usd: Option<f64>,
    /// Whether it was cut off.
    pub is_interrupted: bool,
    /// How it failed, if it did.
    pub error: Option<ServiceError>,
    /// What it transcribed, answered or spoke, as far as the [`ContentPolicy`](crate::ContentPolicy) allows.
    pub text: Option<Arc<str>>,
}

/// How a service failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ServiceError {
    /// `error.type`.
    pub kind: Arc<str>,
    /// The description of the span's status, as far as the [`ContentPolicy`](crate::ContentPolicy) allows.
    pub message: Option<Arc<str>>,
}

/// A turn that has ended.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TurnSummary {
    /// The id of its conversation.
    pub conversation_id: Arc<str>,
    /// Its number in the conversation, from 1.
    pub number: u32,
    /// The trace of its span.
    #[cfg_attr(feature = "serde", serde(with = "hex::trace_id"))]
    pub trace_id: TraceId,
    /// The id of its span.
    #[cfg_attr(feature = "serde", serde(with = "hex::span_id"))]
    pub span_id: SpanId,
    /// When it started.
    pub started: SystemTime,
    /// How long it lasted.
    pub duration_seconds: f64,
    /// Why it ended.
    pub end_reason: EndReason,
    /// From the end of the user's speech to the start of the bot's.
    pub user_bot_latency_seconds: Option<f64>,
    /// How that, or the time to a greeting, splits into parts.
    pub latency: Option<LatencyParts>,
    /// `turn.user_speech_seconds`; 0 if the user did not speak.
    pub user_speech_seconds: f64,
    /// `turn.bot_speech_seconds`; 0 if the bot did not speak.
    pub bot_speech_seconds: f64,
    /// `turn.dead_air_seconds`; 0 if there was none.
    pub dead_air_seconds: f64,
    /// How long the bot had spoken when it was interrupted.
    pub interrupted_after_seconds: Option<f64>,
    /// In a turn that began by interrupting the bot: how long that went on.
    pub barge_in_stop_seconds: Option<f64>,
    /// Of what the bot said, so many seconds were played, if the program reports it.
    pub played_seconds: Option<f64>,
    /// What the user said, as far as the [`ContentPolicy`](crate::ContentPolicy) allows.
    pub input: Option<Arc<str>>,
    /// What the bot said, likewise.
    pub output: Option<Arc<str>>,
    /// What of that was heard, likewise, if the program reports it.
    pub heard_output: Option<Arc<str>>,
    /// What its services used that had ended before it did.
    pub usage: Usage,
    /// What that cost in US dollars, as far as prices are known.
    pub cost_usd: Option<f64>,
    /// Whether the price of a service is missing in [`cost_usd`](Self::cost_usd).
    pub cost_is_partial: bool,
}

/// The parts of the time that the bot took to speak.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LatencyParts {
    /// What they are measured from.
    pub measured_from: MeasuredFrom,
    /// Their sum.
    pub total_seconds: f64,
    /// Each part that occurred, with its seconds.
    pub parts: Vec<(LatencyPart, f64)>,
}

/// A conversation that has ended.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ConversationSummary {
    /// Its id.
    pub conversation_id: Arc<str>,
    /// `conversation.type`.
    pub conversation_type: Arc<str>,
    /// The trace of its span.
    #[cfg_attr(feature = "serde", serde(with = "hex::trace_id"))]
    pub trace_id: TraceId,
    /// The id of its span.
    #[cfg_attr(feature = "serde", serde(with = "hex::span_id"))]
    pub span_id: SpanId,
    /// When it started.
    pub started: SystemTime,
    /// How long it lasted.
    pub duration_seconds: f64,
    /// Whether it was given up: nothing had happened in it for too long, or there was no room for it.
    pub is_lost: bool,
    /// How many turns it had.
    pub turn_count: u32,
    /// How many of them the user ended by interrupting the bot.
    pub interruption_count: u32,
    /// How many of its services failed.
    pub error_count: u32,
    /// The mean of its turns' [`user_bot_latency_seconds`](TurnSummary::user_bot_latency_seconds).
    pub mean_user_bot_latency_seconds: Option<f64>,
    /// The highest of them.
    pub max_user_bot_latency_seconds: Option<f64>,
    /// How long the user spoke.
    pub user_speech_seconds: f64,
    /// How long the bot spoke.
    pub bot_speech_seconds: f64,
    /// How long the user was left without an answer, beyond 2 seconds each time.
    pub dead_air_seconds: f64,
    /// What its services used.
    pub usage: Usage,
    /// What that cost in US dollars, as far as prices are known.
    pub cost_usd: Option<f64>,
    /// Whether the price of a service is missing in [`cost_usd`](Self::cost_usd).
    pub cost_is_partial: bool,
    /// The user's first words, as far as the [`ContentPolicy`](crate::ContentPolicy) allows.
    pub input: Option<Arc<str>>,
    /// The bot's last words, likewise.
    pub output: Option<Arc<str>>,
}
