//! What the console exporters write for spans made by hand.
#![cfg(feature = "console")]

mod json;
mod spans;
