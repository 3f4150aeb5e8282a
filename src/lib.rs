//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

mod clock;
mod content;
mod conversation;
mod core;
mod fields;
mod latency;
mod layer;
pub mod names;
mod processor;
mod recognise;
mod service;
mod timer;
mod turns;

pub use clock::ManualClock;
pub use content::ContentPolicy;
pub use core::TraceMode;
pub use layer::{ConversationLayer, Conversations, layer};
pub use processor::ConversationProcessor;
