//! OpenTelemetry's active context, also on a thread whose locals are being dropped: OpenTelemetry itself panics there.

use opentelemetry::{Context, ContextGuard};
use std::cell::Cell;

struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {}
}

thread_local! {
    static IS_KNOWN: Cell<bool> = const { Cell::new(false) };
    static ALIVE: Alive = const { Alive };
}

/// Whether the thread still has a context.
///
/// A thread's locals are dropped in the opposite order of their first use: as long as `ALIVE` is there, which is used
/// after the context, the context is.
#[inline]
fn is_alive() -> bool {
    if !IS_KNOWN.get() {
        if !is_there() {
            return false;
        }
        IS_KNOWN.set(true);
    }
    ALIVE.try_with(|_| ()).is_ok()
}

/// Whether the thread has a context at this moment: it may be gone already if the thread has not used it before.
#[cold]
pub(crate) fn is_there() -> bool {
    std::panic::catch_unwind(|| Context::map_current(|_| ())).is_ok()
}

/// Calls `read` with the active context, if there is one.
#[inline]
pub(crate) fn with_current<R>(read: impl FnOnce(&Context) -> R) -> Option<R> {
    is_alive().then(|| Context::map_current(read))
}

/// The active context, else an empty one.
pub(crate) fn current() -> Context {
    with_current(Context::clone).unwrap_or_default()
}

/// Makes `context` the active one until the guard is dropped.
#[inline]
pub(crate) fn attach(context: Context) -> Option<ContextGuard> {
    is_alive().then(|| context.attach())
}
