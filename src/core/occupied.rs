//! What must not be disturbed by what it causes.

use std::cell::Cell;

thread_local! {
    static OCCUPIED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the layer is building or ending spans on this thread: samplers and processors of the program may run. What
/// they emit is none of a conversation's business, and handling it could wait for itself.
#[inline]
pub(crate) fn occupied() -> bool {
    OCCUPIED.get()
}

/// Builds or ends spans.
pub(crate) fn undisturbed<R>(act: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            OCCUPIED.set(self.0);
        }
    }
    let _restore = Restore(OCCUPIED.replace(true));
    act()
}
