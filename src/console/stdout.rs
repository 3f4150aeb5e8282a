//! Spans through opentelemetry-stdout, without its panics.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::printing::Printing;
use crate::terminal::{Escaping, needs_escaping};

/// Writes every span and its attributes to standard output, as [`opentelemetry_stdout`] lays them out. Characters that a
/// terminal would act on are escaped: `\u{1b}`.
///
/// That exporter prints line by line with `println!`, which panics when the reader is gone, as in `program | head -1`.
/// That cannot be checked beforehand: the reader may close it between any two lines. So the panic is caught where it
/// occurs, and later spans are discarded. Its message would still reach standard error, because the panic hook runs before
/// anything can catch; the first exporter therefore wraps the program's hook in one that ignores panics inside this
/// exporter, on the thread and for the time that it prints. All other panics are reported as before.
///
/// A program built with `panic = "abort"` cannot catch anything. There the spans are written as
/// [`JsonLinesExporter`](super::JsonLinesExporter) does, which needs no panic to notice that the reader is gone.
#[derive(Debug)]
pub struct StdoutExporter {
    #[cfg(panic = "unwind")]
    inner: opentelemetry_stdout::SpanExporter,
    #[cfg(not(panic = "unwind"))]
    inner: super::JsonLinesExporter,
    printing: Printing,
}

impl StdoutExporter {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        Self {
            #[cfg(panic = "unwind")]
            inner: opentelemetry_stdout::SpanExporter::default(),
            #[cfg(not(panic = "unwind"))]
            inner: super::JsonLinesExporter::stdout(),
            printing: Printing::new("spans"),
        }
    }
}

impl SpanExporter for StdoutExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.printing.print(|| {
            self.inner
                .export(batch.into_iter().map(escape_span).collect())
        })
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(&escape_resource(resource));
    }
}

fn escape_resource(resource: &Resource) -> Resource {
    let attributes = resource.iter().map(|(key, value)| {
        let mut pair = KeyValue::new(key.clone(), value.clone());
        escape_pair(&mut pair);
        pair
    });
    let escaped = Resource::builder_empty();
    match resource.schema_url() {
        Some(url) => escaped.with_schema_url(attributes, url.to_owned()),
        None => escaped.with_attributes(attributes),
    }
    .build()
}

/// Escapes whatever of a span a terminal would act on, for opentelemetry-stdout prints names and keys as they are.
fn escape_span(mut span: SpanData) -> SpanData {
    escape_name(&mut span.name);
    span.attributes.iter_mut().for_each(escape_pair);
    for event in &mut span.events.events {
        escape_name(&mut event.name);
        event.attributes.iter_mut().for_each(escape_pair);
    }
    for link in &mut span.links.links {
        link.attributes.iter_mut().for_each(escape_pair);
    }
    if let Status::Error { description } = &mut span.status {
        escape_name(description);
    }
    span
}

fn escape_pair(pair: &mut KeyValue) {
    if needs_escaping(pair.key.as_str()) {
        pair.key = escape(pair.key.as_str()).into();
    }
    match &mut pair.value {
        Value::String(text) => escape_text(text),
        Value::Array(Array::String(texts)) => texts.iter_mut().for_each(escape_text),
        _ => {}
    }
}

fn escape_text(text: &mut StringValue) {
    if needs_escaping(text.as_str()) {
        *text = escape(text.as_str()).into();
    }
}

fn escape_name(name: &mut Cow<'static, str>) {
    if needs_escaping(name) {
        *name = escape(name).into();
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Writing to a string cannot fail.
    let _ = Escaping(&mut escaped).write_str(text);
    escaped
}
