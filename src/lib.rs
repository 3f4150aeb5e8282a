//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

pub mod names;

#[cfg(feature = "setup")]
mod environment;
#[cfg(feature = "setup")]
mod export;
mod profile;
