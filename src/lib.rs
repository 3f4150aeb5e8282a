//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

pub mod names;

mod content;

pub use content::ContentPolicy;
