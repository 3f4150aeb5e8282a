//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

#[cfg(feature = "attributes")]
mod attributes;
mod clock;
#[cfg(feature = "console")]
mod console;
mod content;
mod conversation;
mod core;
#[cfg(feature = "setup")]
mod environment;
pub mod event;
#[cfg(feature = "setup")]
mod export;
mod fields;
mod handle;
pub mod instrument;
mod latency;
mod layer;
pub mod names;
mod processor;
mod profile;
mod recognise;
mod service;
mod spans;
#[cfg(feature = "setup")]
mod telemetry;
mod timer;
mod turns;

#[cfg(feature = "attributes")]
pub use attributes::{traced_llm, traced_stt, traced_tool, traced_tts};
pub use clock::ManualClock;
#[cfg(feature = "console")]
pub use console::{JsonLinesExporter, StdoutExporter, TreeExporter};
pub use content::ContentPolicy;
pub use core::TraceMode;
#[cfg(feature = "setup")]
pub use environment::{Console, Protocol, SetupError};
#[cfg(feature = "setup")]
pub use export::Delivered;
pub use handle::Conversation;
pub use layer::{ConversationLayer, Conversations, layer};
pub use processor::ConversationProcessor;
pub use profile::Profile;
#[cfg(feature = "setup")]
pub use telemetry::{Builder, DeliveryError, Telemetry, init};

/// What the macros expand to. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::instrument::{returned, service::Service};
    pub use tracing;
    pub use tracing_conversation_macros::declare_span;
}
