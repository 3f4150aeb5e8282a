//! Conversation, turn and service spans for voice agents, from plain `tracing`.
//!
//! A voice agent emits `tracing` spans and events. [`init`], [`Telemetry`] or [`layer`] turn them into OpenTelemetry traces
//! that answer its maker's questions: what was said in which turn, where the time between the user's last word and the
//! bot's first went, what it cost, and who interrupted whom.
//!
//! ```no_run
//! use tracing::{info, info_span};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #   #[cfg(feature = "console")]
//!     let _telemetry = tracing_conversation::init()?;
//!     let call = info_span!("conversation", conversation.id = "call-1");
//!     call.in_scope(|| {
//!         info!(conversation.event = "user_started_speaking");
//!         let llm = info_span!("llm", gen_ai.operation.name = "chat", gen_ai.usage.output_tokens = 17);
//!         llm.in_scope(|| info!(conversation.event = "first_byte"));
//!         drop(llm);
//!         info!(conversation.event = "bot_started_speaking");
//!     });
//!     Ok(())
//! }
//! ```
//!
//! # What goes in
//!
//! | emitted | meaning |
//! |---|---|
//! | a span named `conversation` with the field `conversation.id` | a conversation, from its creation to `conversation_ended` or its close; an empty id is replaced by a UUID; other fields become attributes |
//! | `conversation.id` on an event or another span | belongs to that conversation, wherever it is emitted; an event or service span opens an unknown one |
//! | an event with `conversation.event` | one of [`names::event`], whatever its level, target and message; [`event`] has a function for each |
//! | a span with `gen_ai.operation.name` | a service span, of the kind that the value names: `stt`, `speech_to_text`, `transcription`; `chat`, `text_completion`, `generate_content`; `tts`, `text_to_speech`, `audio_generation`; `execute_tool`; `realtime`; any other keeps its own name |
//!
//! Fields of boundary events: `stop_secs`, `start_secs` (seconds that voice activity took to be confirmed), `reason`,
//! `text_heard` and `played_secs` (of `user_started_speaking`, `interruption` and `bot_stopped_speaking`: what was heard of the
//! bot's words in the open turn),
//! `text` (of `first_byte`: `false` at the start of a tool call), `ago_secs` (seconds before now that it happened).
//!
//! Code belongs to the conversation of the innermost `tracing` span or [`Conversation`] handle that is entered on its
//! thread; a span keeps where it stood when it was made. `conversation.id` on an event or span wins over both.
//!
//! A service records on its span what it knows, under the names of [`names`] and of OpenTelemetry's GenAI conventions.
//! What it records as `metrics.ttfb` itself is kept. `text` of a text-to-speech span adds up, sentence by sentence,
//! as does `metrics.character_count`; anything else recorded again replaces the earlier value. A failure is recorded as
//! `otel.status_code = "ERROR"`, `otel.status_description`, `error` or `error.type`.
//!
//! A program that has names of its own for all this says by [`rules`] what they mean, and need not be changed.
//!
//! # What comes out
//!
//! One trace a conversation: turns are children of its span, service spans are children of the turn that is open when
//! they start, between turns of the conversation. Speech-to-text belongs to the turn in which its first transcript
//! arrives. A service span inside another of the same turn stays there; ordinary spans stay where `tracing` has them.
//!
//! Turns follow Pipecat's rules. The first starts with the conversation; the next when the user speaks while or after the
//! bot did; a turn also ends when the bot has been silent for the [turn-end timeout](LayerBuilder::turn_end_timeout), and
//! then where the bot stopped. It is exported within a second of its end, without a further event and without a runtime.
//!
//! `turn.latency.*` splits the seconds from the end of the user's speech (from `client_connected`, for a greeting) to the
//! bot's first audio into parts that sum to it: `endpointing_wait`, `transcription`, `turn_detection`, `first_request`,
//! `llm_inference`, `llm_tool_call`, `function_handler`, `sentence_aggregation`, `speech_synthesis`, `output_transport`,
//! and `pipeline` for the rest. They need the voice activity events; without those, `user_stopped_speaking` gives
//! `turn.user_bot_latency_seconds` alone.
//!
//! Turns and conversations carry sums: how long each side spoke, dead air (what an answer takes beyond two seconds), how soon
//! the bot stopped when it was interrupted, counts, mean and maximum latency, tokens, characters and audio of all services.
//! Constants in [`names`] have them all.
//!
//! # Metrics
//!
//! With the feature `metrics`, OpenTelemetry instruments measure the same: latency and its parts, turns by how they end, open
//! conversations, requests, tokens, errors. They are those of a meter provider of the program's
//! (`LayerBuilder::with_meter_provider`), or go where `OTEL_METRICS_EXPORTER` says, and need no trace to be sampled. Instruments,
//! queries, a dashboard and alerts: [docs/metrics.md](https://github.com/tracing-conversation/tracing-conversation/blob/main/docs/metrics.md).
//!
//! # Set-up
//!
//! - [`init`] installs a whole registry from the environment.
//! - [`Telemetry`] gives layer and guard for a registry of your own, from the environment and a [`Builder`].
//! - [`layer`] and [`ConversationProcessor`] go into a program that has its own provider.
//!
//! A filter on the whole registry silences traces too; put it on the layer that it is meant for.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `http` | yes | OTLP over HTTP, protobuf and JSON |
//! | `grpc` | no | OTLP over gRPC |
//! | `tls`, `tls-ring`, `tls-native` | no | `https` endpoints: through rustls as it comes, rustls with ring, the system's TLS |
//! | `console` | yes | the tree view, OTLP/JSON lines, opentelemetry-stdout |
//! | `rules` | yes | [rules] from TOML files, `CONVERSATION_RULES` |
//! | `setup` | with `http`, `grpc` or `console` | [`init`], [`Telemetry`], delivery to exporters of your own |
//! | `metrics` | no | metrics, to a meter provider of the program's or, with `setup`, from the environment |
//! | `serde` | no | `Serialize` and `Deserialize` for the data of [`observe`] |
//! | `attributes` | no | `#[traced_stt]`, `#[traced_llm]`, `#[traced_tts]`, `#[traced_tool]`, `#[traced_agent]` |
//! | `testing` | no | `testing`: a recorder for a program's own tests |
//!
//! Without any of them, the layer is there alone, with rules in code.
//!
//! # Versions
//!
//! Types of these crates are part of this crate's interface; each is re-exported, so that a program need not depend on the
//! same version itself.
//!
//! | tracing-conversation | [`opentelemetry`], [`opentelemetry_sdk`] | [`tracing_opentelemetry`] | `tracing-subscriber` | Rust |
//! |---|---|---|---|---|
//! | 0.1 | 0.33 | 0.34 | 0.3.22 | 1.88 |
//!
//! # What it does not do
//!
//! It never panics, never waits for I/O, and holds a bounded amount of memory: values are cut at 64 KiB and ids at 1 KiB, at
//! most 65,536 conversations are open at once, one without any event for an hour is ended, and exporters drop what their
//! queues cannot hold, and report it. A span is exported when its last handle is dropped; where a library keeps handles
//! (connection pools do), the adapters of [`instrument`] end it in time.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![warn(unreachable_pub)]

mod active_context;
mod attribute_list;
#[cfg(feature = "attributes")]
mod attributes;
mod clock;
#[cfg(feature = "console")]
pub mod console;
mod content;
mod conversation;
#[cfg(feature = "setup")]
mod environment;
pub mod event;
#[cfg(feature = "setup")]
mod export;
mod field;
mod field_value;
mod handle;
pub mod instrument;
mod interned;
mod latency;
mod layer;
mod messages;
#[cfg(feature = "metrics")]
mod metrics;
pub mod names;
pub mod observe;
#[cfg(any(feature = "console", feature = "http"))]
mod otlp_json;
pub mod prices;
mod profile;
mod recording;
mod reentrancy;
pub mod rules;
mod seen;
mod sentences;
mod service_kind;
mod settings;
mod silence;
mod spans;
mod speech;
mod sums;
#[cfg(feature = "setup")]
mod telemetry;
#[cfg(feature = "setup")]
mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
mod turns;
mod usage;

#[cfg(feature = "attributes")]
pub use attributes::{traced_agent, traced_llm, traced_stt, traced_tool, traced_tts};
pub use clock::ManualClock;
pub use content::ContentPolicy;
#[cfg(feature = "setup")]
pub use environment::{Console, Protocol, SetupError};
pub use handle::Conversation;
pub use layer::{ConversationLayer, Conversations, LayerBuilder, layer};
pub use profile::{ConversationExporter, Profile};
pub use recording::ConversationProcessor;
pub use settings::TraceMode;
#[cfg(feature = "setup")]
pub use telemetry::{Builder, Telemetry, init};

/// What is wrong, and the remedy.
#[cfg(feature = "setup")]
pub mod doctor {
    pub use crate::telemetry::Diagnosis;
}

/// What became of the spans on their way to each destination.
#[cfg(feature = "setup")]
pub mod delivery {
    pub use crate::export::Delivered;
    pub use crate::telemetry::DeliveryError;
}

/// What the targets of `fuzz/` run inside the crate.
#[cfg(all(fuzzing, feature = "grpc", feature = "http"))]
#[doc(hidden)]
pub mod fuzzed {
    pub use crate::environment::fuzzed::run as environment;
    pub use crate::export::fuzzed::run as answer;
}

#[doc(no_inline)]
pub use {opentelemetry, opentelemetry_sdk, tracing_opentelemetry};

/// What the macros expand to. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::field_value::field_value;
    pub use crate::instrument::{returned, service_guard::ServiceGuard};
    pub use tracing;
    pub use tracing_conversation_macros::declare_span;
}

/// The snippets of the README and the guides, which compile and run as documentation tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/instrumenting.md")]
    #[cfg(feature = "attributes")]
    struct Instrumenting;

    #[doc = include_str!("../docs/beside-others.md")]
    struct BesideOthers;

    #[doc = include_str!("../docs/migrating-from-tracing-opentelemetry.md")]
    #[cfg(feature = "console")]
    struct MigratingFromTracingOpenTelemetry;

    #[doc = include_str!("../docs/rules.md")]
    struct Rules;

    #[doc = include_str!("../docs/testing.md")]
    #[cfg(feature = "testing")]
    struct Testing;

    #[doc = include_str!("../docs/which-events.md")]
    struct WhichEvents;
}
