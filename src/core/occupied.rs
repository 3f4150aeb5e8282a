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

/// Acts with a value of the thread's set to `value`, and restores it, also after a panic.
#[inline]
pub(crate) fn with<T: Copy, R>(
    place: &'static LocalKey<Cell<T>>,
    value: T,
    act: impl FnOnce() -> R,
) -> R {
    struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(place, place.replace(value));
    act()
}
