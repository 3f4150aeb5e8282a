//! Printing by exporters that panic when the reader has closed standard output.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::pin;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

/// One exporter's printing. Once the reader of standard output is gone, everything later is discarded.
#[derive(Debug)]
pub(super) struct Printing {
    /// What is printed, in the plural.
    items: &'static str,
    reader_gone: AtomicBool,
}

impl Printing {
    pub(super) fn new(items: &'static str) -> Self {
        keep_quiet_about_closed_pipes();
        Self {
            items,
            reader_gone: AtomicBool::new(false),
        }
    }

    /// Has an exporter of opentelemetry-stdout print.
    pub(super) fn print<F: Future<Output = OTelSdkResult>>(
        &self,
        export: impl FnOnce() -> F,
    ) -> OTelSdkResult {
        if self.reader_gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let panic = match catch_quietly(|| finish(export())) {
            Ok(result) => return result,
            Err(panic) => message(&*panic),
        };
        if tells_of_a_closed_pipe(&panic) {
            self.reader_gone.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let items = self.items;
        Err(OTelSdkError::InternalFailure(format!(
            "opentelemetry-stdout cannot print these {items}: {panic}"
        )))
    }
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
    // A panic leaves no state of the crate inconsistent: what was to be printed is gone, and opentelemetry-stdout holds only flags.
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
