//! Conversation, turn and service spans for voice agents, from plain `tracing`.
#![deny(unsafe_code)]

#[cfg(feature = "console")]
pub mod console;
mod content;
#[cfg(feature = "setup")]
mod environment;
#[cfg(feature = "setup")]
mod export;
pub mod names;
mod profile;
#[cfg(feature = "setup")]
mod telemetry;

pub use content::ContentPolicy;
#[cfg(feature = "setup")]
pub use environment::{Console, Protocol, SetupError};
#[cfg(feature = "setup")]
pub use export::Delivered;
pub use profile::Profile;
#[cfg(feature = "setup")]
pub use telemetry::{Builder, DeliveryError, Telemetry, init};
