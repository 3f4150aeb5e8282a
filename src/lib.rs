//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

#[cfg(feature = "console")]
pub mod console;
pub mod names;
