//! The warnings that are being emitted, each on a thread of its own.

use crate::clock::lock;
use std::sync::{Arc, Condvar, Mutex};
#[cfg(feature = "setup")]
use std::{sync::PoisonError, time::Duration};

#[derive(Default)]
pub(crate) struct Warnings {
    pending: Mutex<usize>,
    changed: Condvar,
}

/// A warning that is being emitted.
pub(crate) struct Pending(Arc<Warnings>);

impl Warnings {
    pub(crate) fn start(self: &Arc<Self>) -> Pending {
        *lock(&self.pending) += 1;
        Pending(self.clone())
    }

    /// Waits until none is pending, up to `patience`: a subscriber may take as long as it likes.
    #[cfg(feature = "setup")]
    pub(crate) fn finish(&self, patience: Duration) {
        let pending = lock(&self.pending);
        let waited = self
            .changed
            .wait_timeout_while(pending, patience, |pending| *pending > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        *lock(&self.0.pending) -= 1;
        self.0.changed.notify_all();
    }
}
