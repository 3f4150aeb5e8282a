//! Every test that uses no global state, in one binary: the layer, the macros, the exporters and delivery through the
//! public API.
//!
//! What needs a global subscriber, a global provider or the threads of a process to itself is in `tests/own_process`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may fail, and print why"
)]

#[cfg(all(feature = "console", feature = "http"))]
mod examples;
#[path = "../exported/mod.rs"]
mod exported;
mod field_log;
#[cfg(all(feature = "console", feature = "http"))]
#[path = "../programs/mod.rs"]
mod programs;
#[path = "../stage/mod.rs"]
mod stage;
#[cfg(any(feature = "grpc", feature = "http"))]
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "attributes")]
mod attributes;
#[cfg(feature = "console")]
mod console;
mod context_requests;
mod conversations;
mod costs;
#[cfg(any(feature = "grpc", feature = "http"))]
mod delivery;
#[cfg(all(feature = "console", feature = "http"))]
mod doctor;
mod documents;
mod fuzzed;
mod handle;
#[cfg(all(feature = "attributes", feature = "rules"))]
mod handlers;
mod hostile;
mod instrument;
mod joining;
mod lost;
mod many;
mod membership;
#[cfg(feature = "metrics")]
mod metrics;
mod neighbours;
#[cfg(feature = "setup")]
mod observed_telemetry;
mod observers;
mod processors;
#[cfg(feature = "console")]
mod profiles;
mod random_sums;
mod recorder;
#[cfg(all(feature = "console", feature = "http"))]
mod replay;
#[cfg(feature = "http")]
mod reports;
#[cfg(feature = "rules")]
mod rules;
mod services;
mod side_by_side;
mod span_ext;
mod stream_adapter;
mod sums;
mod transcriptions;
mod values;
mod words;
