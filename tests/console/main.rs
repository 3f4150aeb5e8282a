//! What the console exporters write for spans made by hand.
#![cfg(feature = "console")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod closed_pipe;
mod json;
mod spans;
