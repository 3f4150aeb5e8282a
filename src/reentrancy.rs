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

/// Keeps this thread guarded until it is dropped.
pub(crate) struct Guard(bool);

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDED.set(self.0);
    }
}

#[inline]
pub(crate) fn guard_thread() -> Guard {
    Guard(GUARDED.replace(true))
}

/// Runs `act` under the guard.
#[inline]
pub(crate) fn guarded<R>(act: impl FnOnce() -> R) -> R {
    let _guard = guard_thread();
    act()
}
