//! The stages between the user's audio and the bot's, each a task that lives as long as its conversation:
//!
//! ```text
//! audio → listen → (speech-to-text) → turns → think → sentences → (text-to-speech) → speak → audio
//! ```
//!
//! They are joined by bounded channels. A stage ends when its input does, and thereby ends the next.

pub(crate) mod listen;
pub(crate) mod sentences;
pub(crate) mod speak;
pub(crate) mod think;
pub(crate) mod turns;
