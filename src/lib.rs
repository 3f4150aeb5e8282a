//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

mod content;
pub mod event;
pub mod instrument;
pub mod names;
mod spans;

pub use content::ContentPolicy;

/// What the macros expand to. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use tracing;
    pub use tracing_conversation_macros::declare_span;
}
