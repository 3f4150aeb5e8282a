//! Spans through opentelemetry-stdout, without its panics.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::future::Future;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::pin;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::terminal::{Escaping, needs_escaping};

/// Writes every span and its attributes to standard output, as [`opentelemetry_stdout`] lays them out. Characters that a
/// terminal would act on are escaped: `\u{1b}`.
///
/// That exporter prints line by line with `println!`, which panics when the reader is gone, as in `program | head -1`.
/// There is no asking beforehand: the reader may leave between any two lines. So the panic is caught where it arises,
/// and later spans are discarded. Its message would still reach standard error, because the panic hook speaks before
/// anything can catch; the first exporter made therefore wraps the program's hook in one that keeps quiet about panics
/// inside this exporter, on the thread and for the time that it prints. All other panics are told as before.
///
/// A program built with `panic = "abort"` cannot catch anything. There the spans are written as
/// [`JsonLinesExporter`](super::JsonLinesExporter) does, which needs no panic to notice that the reader is gone.
#[derive(Debug)]
pub struct StdoutExporter {
    #[cfg(panic = "unwind")]
    inner: opentelemetry_stdout::SpanExporter,
    #[cfg(not(panic = "unwind"))]
    inner: super::JsonLinesExporter,
    reader_gone: AtomicBool,
}

impl StdoutExporter {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        keep_quiet_about_closed_pipes();
        Self {
            #[cfg(panic = "unwind")]
            inner: opentelemetry_stdout::SpanExporter::default(),
            #[cfg(not(panic = "unwind"))]
            inner: super::JsonLinesExporter::stdout(),
            reader_gone: AtomicBool::new(false),
        }
    }
}

impl SpanExporter for StdoutExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.reader_gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let batch = batch.into_iter().map(escape_span).collect();
        let panic = match catch_quietly(|| finish(self.inner.export(batch))) {
            Ok(result) => return result,
            Err(panic) => message(&*panic),
        };
        if tells_of_a_closed_pipe(&panic) {
            self.reader_gone.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(OTelSdkError::InternalFailure(format!(
            "opentelemetry-stdout cannot print these spans: {panic}"
        )))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
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

thread_local! {
    static PRINTING: Cell<bool> = const { Cell::new(false) };
}

fn keep_quiet_about_closed_pipes() {
    static ONCE: Once = Once::new();
    // A thread that is panicking may not touch the hook.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            if !PRINTING.get() {
                told(panic);
            }
        }));
    });
}

fn catch_quietly<T>(print: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    PRINTING.set(true);
    // Nothing of ours is left half done by a panic: the batch is gone, and opentelemetry-stdout holds only flags.
    let result = catch_unwind(AssertUnwindSafe(print));
    PRINTING.set(false);
    result
}

/// Printing waits for nothing, so its future is ready at the first poll, inside the reach of [`catch_quietly`].
fn finish(export: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
    match pin!(export).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(OTelSdkError::InternalFailure(
            "printing to standard output did not finish".to_owned(),
        )),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(message), _) => message.clone(),
        (None, Some(message)) => (*message).to_owned(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

/// `println!` says `failed printing to stdout: Broken pipe (os error 32)`; wording and number depend on the system.
fn tells_of_a_closed_pipe(panic: &str) -> bool {
    panic
        .strip_prefix("failed printing to stdout: ")
        .and_then(|error| {
            error
                .rsplit_once("(os error ")?
                .1
                .strip_suffix(')')?
                .parse()
                .ok()
        })
        .is_some_and(|code| std::io::Error::from_raw_os_error(code).kind() == ErrorKind::BrokenPipe)
}
