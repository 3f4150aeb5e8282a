//! The conversations that are live, by their ids, and those that were.

use crate::clock::lock;
use crate::conversation::Live;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// When an id that is not live opens a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Never,
    /// When it has never been heard of.
    Unknown,
    /// Also when that conversation has ended.
    Ended,
}

impl Opening {
    /// What is allowed where the id is known to have ended.
    pub(crate) fn of_ended(self) -> Self {
        match self {
            Self::Ended => Self::Ended,
            Self::Never | Self::Unknown => Self::Never,
        }
    }
}

#[derive(Clone)]
pub(crate) enum Found {
    Live(Arc<Live>),
    Ended,
    Unknown,
}

/// Conversations by id: the live ones, and a bounded memory of those that ended.
#[derive(Default)]
pub(crate) struct Table {
    pub(super) live: RwLock<HashMap<Arc<str>, Arc<Live>>>,
    pub(super) ended: Mutex<Ended>,
    pub(super) watched: Mutex<bool>,
}

/// Conversations that may be open at once; beyond, new ones are ignored.
pub(super) const MOST_LIVE: usize = 1 << 16;

impl Table {
    pub(crate) fn find(&self, id: &str) -> Found {
        if let Some(live) = self
            .live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
        {
            return Found::Live(live.clone());
        }
        if lock(&self.ended).remembers(id) {
            Found::Ended
        } else {
            Found::Unknown
        }
    }

    /// The live conversation `id`, else a new one, if there is room for it.
    pub(super) fn open(&self, id: &str, open: impl FnOnce() -> Arc<Live>) -> Option<Arc<Live>> {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = live.get(id) {
            return Some(known.clone());
        }
        if live.len() >= MOST_LIVE {
            return None;
        }
        let new = open();
        live.insert(new.identity.id.clone(), new.clone());
        Some(new)
    }

    pub(crate) fn forget(&self, ended: &Arc<Live>) {
        let id = &ended.identity.id;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.get(id).is_some_and(|live| Arc::ptr_eq(live, ended)) {
            live.remove(id);
            lock(&self.ended).remember(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        self.live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Whether nobody watches for idle conversations yet.
    pub(super) fn needs_watch(&self) -> bool {
        !std::mem::replace(&mut *lock(&self.watched), true)
    }

    /// Whether there is anything left to watch.
    pub(super) fn keep_watch(&self) -> bool {
        let mut watched = lock(&self.watched);
        *watched = self.len() > 0;
        *watched
    }
}

/// The ids that ended last, as hashes: stragglers are told from newcomers as long as they are among them.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) hasher: RandomState,
    pub(super) order: VecDeque<u64>,
    pub(super) hashes: HashSet<u64>,
}

pub(super) const MOST_ENDED: usize = 1 << 14;

impl Ended {
    pub(super) fn remember(&mut self, id: &str) {
        let hash = self.hasher.hash_one(id);
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
            if self.order.len() > MOST_ENDED
                && let Some(oldest) = self.order.pop_front()
            {
                self.hashes.remove(&oldest);
            }
        }
    }

    pub(super) fn remembers(&self, id: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(id))
    }
}
