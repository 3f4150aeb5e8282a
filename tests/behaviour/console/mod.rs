//! Output of the console exporters for constructed spans.

mod closed_pipe;
mod json;
mod scenes;
mod spans;
mod tree;
