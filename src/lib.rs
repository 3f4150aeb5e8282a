//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

mod clock;
#[cfg(feature = "console")]
mod console;
mod content;
mod conversation;
mod core;
mod fields;
mod handle;
mod latency;
mod layer;
pub mod names;
mod processor;
mod recognise;
mod service;
mod timer;
mod turns;

pub use clock::ManualClock;
#[cfg(feature = "console")]
pub use console::{JsonLinesExporter, StdoutExporter};
pub use content::ContentPolicy;
pub use core::TraceMode;
pub use handle::Conversation;
pub use layer::{ConversationLayer, Conversations, layer};
pub use processor::ConversationProcessor;
