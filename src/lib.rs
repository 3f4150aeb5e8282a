//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

mod content;
pub mod event;
pub mod instrument;
pub mod names;
mod spans;

pub use content::ContentPolicy;
#[cfg(feature = "attributes")]
pub use tracing_conversation_macros::{traced_llm, traced_stt, traced_tool, traced_tts};

/// What the macros expand to. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use tracing;
    pub use tracing_conversation_macros::declare_span;

    #[cfg(feature = "attributes")]
    pub use crate::instrument::{returned, service::Service};
}
