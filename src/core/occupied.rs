//! What must not be disturbed by what it causes.

use std::cell::Cell;
use std::thread::LocalKey;

thread_local! {
    static OCCUPIED: Cell<bool> = const { Cell::new(false) };
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the layer is building or ending spans on this thread: samplers and processors of the program may run. What
/// they emit is none of a conversation's business, and handling it could wait for itself.
#[inline]
pub(crate) fn occupied() -> bool {
    OCCUPIED.get()
}

/// Builds or ends spans.
#[inline]
pub(crate) fn undisturbed<R>(act: impl FnOnce() -> R) -> R {
    with(&OCCUPIED, true, act)
}

/// Whether it is the layer itself that asks the wrapped layer for what that knows of a span.
pub(crate) fn is_asking() -> bool {
    ASKING.get()
}

/// Asks the wrapped layer.
pub(crate) fn asking<R>(ask: impl FnOnce() -> R) -> R {
    with(&ASKING, true, ask)
}

/// Acts with a flag set to `value`, also if that panics.
#[inline]
pub(crate) fn with<R>(
    flag: &'static LocalKey<Cell<bool>>,
    value: bool,
    act: impl FnOnce() -> R,
) -> R {
    struct Restore(&'static LocalKey<Cell<bool>>, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(flag, flag.replace(value));
    act()
}
