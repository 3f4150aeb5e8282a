//! Calls, whose spans come in any order and between those of other calls.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::usage::Usage;

/// How many calls may overlap in the input; the layer itself keeps no more open.
const OPEN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// What is known about a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call {
    /// The file that its last span was in.
    pub(crate) run: u64,
    /// Conversation spans: more than one if an id was opened again.
    pub(crate) conversations: u64,
    /// What its spans say.
    pub(crate) usage: Usage,
    pub(crate) dead_air: Option<f64>,
    /// What its conversation span sums up, which is preferred.
    pub(crate) summed_usage: Usage,
    pub(crate) summed_dead_air: Option<f64>,
}

impl Call {
    pub(crate) fn usage(&self) -> Usage {
        self.summed_usage.or(self.usage)
    }

    pub(crate) fn dead_air(&self) -> Option<f64> {
        self.summed_dead_air.or(self.dead_air)
    }
}

/// The most recently seen calls, by a hash of their id.
#[derive(Debug)]
pub(crate) struct Calls {
    open: LruCache<u64, Call>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            open: LruCache::new(OPEN),
        }
    }
}

impl Calls {
    /// The call of this hash. If it is new and there is no room, the one that was not touched for longest is complete and
    /// goes to `complete`.
    pub(crate) fn touch(&mut self, call: u64, complete: impl FnOnce(u64, Call)) -> &mut Call {
        if self.open.len() == self.open.cap().get()
            && !self.open.contains(&call)
            && let Some((hash, oldest)) = self.open.pop_lru()
        {
            complete(hash, oldest);
        }
        self.open.get_or_insert_mut(call, Call::default)
    }

    /// Takes all that are left, the oldest first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, Call)> {
        std::iter::from_fn(|| self.open.pop_lru())
    }
}
