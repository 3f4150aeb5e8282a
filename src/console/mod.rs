//! Spans for people and files instead of a collector: what `OTEL_CONSOLE_EXPORT` chooses between.
//!
//! | exporter | `OTEL_CONSOLE_EXPORT` | what it writes |
//! |---|---|---|
//! | [`TreeExporter`] | `tree` | each turn and each conversation's summary, for people to read |
//! | [`JsonLinesExporter`] | `json` | OTLP/JSON, one request a line: input for a collector's file receiver |
//! | [`StdoutExporter`] | `true`, `1` or another word | every span and attribute, through opentelemetry-stdout |
//!
//! When the reader of standard output has closed it (`program | head -1`), an exporter discards what follows without an
//! error; export to other destinations goes on.

mod json;
mod output;
mod printing;
mod stdout;
#[cfg(feature = "metrics")]
mod stdout_metrics;
mod tree;

pub use json::JsonLinesExporter;
pub use stdout::StdoutExporter;
#[cfg(feature = "metrics")]
pub(crate) use stdout_metrics::StdoutMetricExporter;
pub use tree::TreeExporter;
