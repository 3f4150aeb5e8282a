//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

mod clock;
#[cfg(feature = "console")]
mod console;
mod content;
mod conversation;
mod core;
#[cfg(feature = "setup")]
mod environment;
#[cfg(feature = "setup")]
mod export;
mod fields;
mod handle;
mod latency;
mod layer;
pub mod names;
mod processor;
mod profile;
mod recognise;
mod service;
#[cfg(feature = "setup")]
mod telemetry;
mod timer;
mod turns;

pub use clock::ManualClock;
#[cfg(feature = "console")]
pub use console::{JsonLinesExporter, StdoutExporter};
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
