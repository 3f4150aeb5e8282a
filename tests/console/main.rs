//! Output of the console exporters for constructed spans.
#![cfg(feature = "console")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod closed_pipe;
mod json;
mod scenes;
mod spans;
mod tree;
