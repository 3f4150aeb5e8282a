//! The open conversations by their ids, and a bounded memory of those that have ended.

use crate::clock::{Time, lock};
use crate::conversation::ActiveConversation;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

/// When an id that is not open opens a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Never,
    /// When it is unknown.
    Unknown,
    /// Also when its conversation has ended.
    Ended,
}

impl Opening {
    pub(super) fn allows(self, found: &Found) -> bool {
        match found {
            Found::Open(_) => false,
            Found::Ended => self == Self::Ended,
            Found::Unknown => self != Self::Never,
        }
    }
}

#[derive(Clone)]
pub(crate) enum Found {
    Open(Arc<ActiveConversation>),
    Ended,
    Unknown,
}

impl Found {
    pub(crate) fn open(self) -> Option<Arc<ActiveConversation>> {
        match self {
            Self::Open(conversation) => Some(conversation),
            Self::Ended | Self::Unknown => None,
        }
    }
}

#[derive(Default)]
pub(crate) struct Table {
    open: RwLock<Open>,
    ended: Mutex<Ended>,
    is_watched: Mutex<bool>,
    warned_at: Mutex<Option<Time>>,
}

/// The open conversations.
#[derive(Default)]
struct Open {
    by_id: HashMap<Arc<str>, Arc<ActiveConversation>>,
    /// Those without a scope, the one that was heard of least recently first. The order is brought up to date as
    /// entries are taken out.
    strays: BinaryHeap<Reverse<Stray>>,
}

struct Stray {
    last_event: Time,
    conversation: Weak<ActiveConversation>,
}

impl PartialEq for Stray {
    fn eq(&self, other: &Self) -> bool {
        self.last_event == other.last_event
    }
}
impl Eq for Stray {}
impl PartialOrd for Stray {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Stray {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.last_event.cmp(&other.last_event)
    }
}

impl Stray {
    fn new(conversation: &Arc<ActiveConversation>) -> Self {
        Self {
            last_event: conversation.last_event(),
            conversation: Arc::downgrade(conversation),
        }
    }
}

impl Table {
    /// So many conversations may be open at once.
    pub(super) const MAX_OPEN: usize = 1 << 16;

    pub(crate) fn find(&self, id: &str) -> Found {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(conversation) = open.by_id.get(id) {
            return Found::Open(conversation.clone());
        }
        drop(open);
        if lock(&self.ended).contains(id) {
            Found::Ended
        } else {
            Found::Unknown
        }
    }

    /// Returns the open conversation `id`, else a new one, with the one that had to give way to it.
    ///
    /// `None` if there is no room: as many conversations are open as may be, and all have a scope.
    pub(super) fn open(
        &self,
        id: &str,
        open: impl FnOnce() -> Arc<ActiveConversation>,
    ) -> Option<(Arc<ActiveConversation>, Option<Arc<ActiveConversation>>)> {
        let mut table = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.by_id.get(id) {
            return Some((known.clone(), None));
        }
        let mut displaced = None;
        if table.by_id.len() >= Self::MAX_OPEN {
            let stray = table.least_recent_stray()?;
            table.by_id.remove(stray.id());
            lock(&self.ended).insert(stray.id());
            displaced = Some(stray);
        }
        let new = open();
        table.by_id.insert(new.id().clone(), new.clone());
        if !new.is_scoped() {
            table.add_stray(&new);
        }
        Some((new, displaced))
    }

    pub(super) fn forget(&self, ended: &ActiveConversation) {
        let mut table = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let is_known = table
            .by_id
            .get(ended.id())
            .is_some_and(|known| std::ptr::eq(&**known, ended));
        if is_known {
            table.by_id.remove(ended.id());
            lock(&self.ended).insert(ended.id());
        }
    }

    pub(crate) fn len(&self) -> usize {
        let table = self.open.read().unwrap_or_else(PoisonError::into_inner);
        table.by_id.len()
    }

    pub(super) fn all(&self) -> Vec<Arc<ActiveConversation>> {
        let table = self.open.read().unwrap_or_else(PoisonError::into_inner);
        table.by_id.values().cloned().collect()
    }

    /// Whether nobody watches for idle conversations yet.
    pub(super) fn needs_watch(&self) -> bool {
        !std::mem::replace(&mut *lock(&self.is_watched), true)
    }

    /// Whether there is anything left to watch.
    pub(super) fn keep_watch(&self) -> bool {
        let mut is_watched = lock(&self.is_watched);
        *is_watched = self.len() > 0;
        *is_watched
    }

    /// Whether a warning is due: at most one a minute.
    pub(super) fn may_warn(&self, now: Time) -> bool {
        let mut warned_at = lock(&self.warned_at);
        let is_due = warned_at.is_none_or(|at| now.saturating_sub(at) >= Duration::from_secs(60));
        if is_due {
            *warned_at = Some(now);
        }
        is_due
    }
}

impl Open {
    fn add_stray(&mut self, conversation: &Arc<ActiveConversation>) {
        if self.strays.len() > 2 * self.by_id.len() + 64 {
            // Most entries are of conversations that have ended.
            self.strays.retain(|Reverse(stray)| {
                let conversation = stray.conversation.upgrade();
                conversation.is_some_and(|conversation| !conversation.has_ended())
            });
        }
        self.strays.push(Reverse(Stray::new(conversation)));
    }

    /// Takes out the conversation without a scope that was heard of least recently.
    fn least_recent_stray(&mut self) -> Option<Arc<ActiveConversation>> {
        loop {
            let Reverse(stray) = self.strays.pop()?;
            let Some(conversation) = stray.conversation.upgrade() else {
                continue;
            };
            if conversation.is_scoped() || conversation.has_ended() {
                continue;
            }
            let current = Stray::new(&conversation);
            if current > stray {
                self.strays.push(Reverse(current));
                continue;
            }
            return Some(conversation);
        }
    }
}

/// The ids that ended last, as hashes.
#[derive(Default)]
struct Ended {
    hasher: RandomState,
    order: VecDeque<u64>,
    hashes: HashSet<u64>,
}

impl Ended {
    const MAX: usize = 1 << 14;

    fn insert(&mut self, id: &str) {
        let hash = self.hasher.hash_one(id);
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
            if self.order.len() > Self::MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.hashes.remove(&oldest);
            }
        }
    }

    fn contains(&self, id: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_ended_ids_is_bounded() {
        let mut ended = Ended::default();
        for n in 0..3 * Ended::MAX {
            ended.insert(&n.to_string());
            ended.insert(&n.to_string());
            assert!(ended.contains(&n.to_string()));
        }
        assert_eq!(
            (ended.order.len(), ended.hashes.len()),
            (Ended::MAX, Ended::MAX)
        );
        assert!(!ended.contains("0"));
    }
}
