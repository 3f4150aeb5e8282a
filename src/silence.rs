//! Threads whose `tracing` spans and events the layer ignores.
//!
//! HTTP and gRPC clients trace what they do. While they carry spans of ours that must not become spans itself, or
//! export would feed itself forever. A scoped dispatcher (`set_default`) on the export thread would do, but while one
//! is alive anywhere, `tracing` leaves its fast path in the whole program. So the thread is marked, and the layer
//! looks at the mark.

use std::{cell::Cell, marker::PhantomData};

thread_local! {
    // Without a destructor: it can be read until the very end of a thread.
    static SILENCED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the layer ignores what this thread emits.
#[inline]
pub(crate) fn is_silenced() -> bool {
    SILENCED.get()
}

/// Silences the current thread until the guard is dropped. Guards nest.
#[must_use = "the thread is silenced only while the guard lives"]
pub(crate) fn silence_this_thread() -> SilenceGuard {
    SilenceGuard {
        before: SILENCED.replace(true),
        _not_send: PhantomData,
    }
}

/// Keeps a thread silenced; made by [`silence_this_thread`].
#[derive(Debug)]
pub(crate) struct SilenceGuard {
    before: bool,
    /// Dropped on another thread, it would unsilence that one.
    _not_send: PhantomData<*const ()>,
}

impl Drop for SilenceGuard {
    fn drop(&mut self) {
        SILENCED.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_nest_and_silence_only_their_own_thread() {
        assert!(!is_silenced());
        let outer = silence_this_thread();
        {
            let _inner = silence_this_thread();
        }
        assert!(is_silenced(), "the outer guard still lives");
        assert!(std::thread::spawn(|| !is_silenced()).join().unwrap());
        drop(outer);
        assert!(!is_silenced());
    }
}
