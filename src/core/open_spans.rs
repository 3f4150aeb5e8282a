//! Which spans are the layer's, at a glance.

use std::sync::atomic::{AtomicU32, Ordering};
use tracing_core::span;

/// Tells quickly, and never wrongly in the negative, whether a span is one of ours: counts per hash of the id.
pub(crate) struct OpenSpans([AtomicU32; Self::SLOTS]);

impl Default for OpenSpans {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; Self::SLOTS])
    }
}

impl OpenSpans {
    const SLOTS: usize = 1 << 11;

    #[inline]
    fn slot(&self, id: &span::Id) -> &AtomicU32 {
        // The registry puts the index low and the generation high: both vary.
        let hash = id.into_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        &self.0[hash as usize % Self::SLOTS]
    }

    pub(crate) fn add(&self, id: &span::Id) {
        self.slot(id).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, id: &span::Id) {
        self.slot(id).fetch_sub(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn may_have(&self, id: &span::Id) -> bool {
        self.slot(id).load(Ordering::Relaxed) != 0
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 0)
    }
}
