//! The reentrancy guard: what samplers and processors of the program emit while the layer starts or ends a span is not
//! handled as a conversation's, because handling it could wait for itself.

use std::cell::Cell;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the layer is starting or ending a span on this thread.
#[inline]
pub(crate) fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs `act` under the guard.
#[inline]
pub(crate) fn guarded<R>(act: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            GUARDED.set(self.0);
        }
    }
    let _restore = Restore(GUARDED.replace(true));
    act()
}
