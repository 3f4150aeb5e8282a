//! The open `tracing` spans that concern a conversation, by their ids.

use super::standing::Standing;
use crate::clock::lock;
use crate::conversation::ActiveConversation;
use crate::conversation::counted::{OpenService, OpenServices};
use crate::conversation::service::ServiceSpan;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tracing_core::span;

/// What the layer keeps of a span.
#[derive(Clone)]
pub(crate) enum TrackedSpan {
    /// The scope of a conversation.
    Scope(Arc<ActiveConversation>),
    Service {
        service: Arc<ServiceSpan>,
        /// Whether the wrapped layer keeps data of it.
        is_shown: bool,
    },
    /// A service span in a conversation that is not sampled.
    Unrecorded(Arc<ActiveConversation>),
    /// An ordinary span inside a conversation.
    Ordinary(Standing),
    /// An ordinary span that declares `conversation.id`, with where it stands so far.
    Joining(Option<Standing>),
}

impl TrackedSpan {
    /// Whether it is the layer's own, not the wrapped layer's.
    pub(super) fn is_owned(&self) -> bool {
        matches!(
            self,
            Self::Scope(_) | Self::Service { .. } | Self::Unrecorded(_)
        )
    }

    /// Whether the wrapped layer keeps data of it.
    pub(super) fn is_wrapped(&self) -> bool {
        match self {
            Self::Service { is_shown, .. } => *is_shown,
            Self::Unrecorded(_) => false,
            Self::Scope(_) | Self::Ordinary(_) | Self::Joining(_) => true,
        }
    }

    pub(crate) fn standing(self) -> Option<Standing> {
        match self {
            Self::Scope(conversation) | Self::Unrecorded(conversation) => {
                Some(Standing::Conversation(conversation))
            }
            Self::Service { service, .. } => Some(Standing::Service(service)),
            Self::Ordinary(standing) => Some(standing),
            Self::Joining(standing) => standing,
        }
    }
}

/// Keeps what belongs to each open span that concerns a conversation.
///
/// A negative look-up is lock-free and takes a few instructions, because that is what nearly every hook of the layer needs.
/// A registry's extensions would serve as well, and take several times as long.
pub(crate) struct TrackedSpans(Box<[Slot]>);

struct Slot {
    /// How many there are: read without the lock.
    count: AtomicU32,
    spans: Mutex<Spans>,
}

/// Hardly ever is there more than one.
#[derive(Default)]
struct Spans {
    first: Option<Entry>,
    more: Vec<Entry>,
}

struct Entry {
    id: u64,
    tracked: TrackedSpan,
    /// Whether rules have adopted it, or look up its fields.
    is_adopted: bool,
}

impl Default for TrackedSpans {
    fn default() -> Self {
        let slot = || Slot {
            count: AtomicU32::new(0),
            spans: Mutex::default(),
        };
        Self((0..Self::SLOTS).map(|_| slot()).collect())
    }
}

impl TrackedSpans {
    const SLOTS: usize = 1 << 10;

    #[inline]
    fn slot(&self, id: &span::Id) -> &Slot {
        // The registry puts the index low and the generation high: both vary.
        let hash = id.into_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        &self.0[hash as usize % Self::SLOTS]
    }

    /// Whether the span may be among them; never wrong in the negative.
    #[inline]
    pub(super) fn may_contain(&self, id: &span::Id) -> bool {
        self.slot(id).count.load(Ordering::Relaxed) != 0
    }

    /// Keeps `tracked` of a span, in place of what was there.
    pub(super) fn insert(&self, id: &span::Id, tracked: TrackedSpan) {
        let slot = self.slot(id);
        let mut spans = lock(&slot.spans);
        let replaced = match spans.find(id.into_u64()) {
            Some(known) => Some(std::mem::replace(&mut known.tracked, tracked)),
            None => {
                slot.count.fetch_add(1, Ordering::Relaxed);
                let new = Entry {
                    id: id.into_u64(),
                    tracked,
                    is_adopted: false,
                };
                match spans.first {
                    None => spans.first = Some(new),
                    Some(_) => spans.more.push(new),
                }
                None
            }
        };
        drop(spans);
        // What is dropped may be a conversation, with much to do.
        drop(replaced);
    }

    pub(super) fn remove(&self, id: &span::Id) -> Option<TrackedSpan> {
        let slot = self.slot(id);
        let mut spans = lock(&slot.spans);
        let id = id.into_u64();
        let removed = match &spans.first {
            Some(first) if first.id == id => spans.first.take(),
            _ => {
                let index = spans.more.iter().position(|other| other.id == id)?;
                Some(spans.more.swap_remove(index))
            }
        };
        slot.count.fetch_sub(1, Ordering::Relaxed);
        removed.map(|entry| entry.tracked)
    }

    #[inline]
    pub(crate) fn get(&self, id: &span::Id) -> Option<TrackedSpan> {
        let slot = self.slot(id);
        if slot.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut spans = lock(&slot.spans);
        spans.find(id.into_u64()).map(|entry| entry.tracked.clone())
    }

    /// The same, with whether rules have adopted it.
    #[inline]
    pub(super) fn find(&self, id: &span::Id) -> Option<(TrackedSpan, bool)> {
        self.may_contain(id).then(|| self.look_up(id)).flatten()
    }

    fn look_up(&self, id: &span::Id) -> Option<(TrackedSpan, bool)> {
        let mut spans = lock(&self.slot(id).spans);
        let entry = spans.find(id.into_u64())?;
        Some((entry.tracked.clone(), entry.is_adopted))
    }

    /// Notes that rules have adopted a span. One that was not tracked is, as one outside of conversations.
    pub(super) fn set_adopted(&self, id: &span::Id) {
        if !self.may_contain(id) || self.get(id).is_none() {
            self.insert(id, TrackedSpan::Joining(None));
        }
        if let Some(entry) = lock(&self.slot(id).spans).find(id.into_u64()) {
            entry.is_adopted = true;
        }
    }

    /// Has `show` called once for a service span, before it is closed. Returns whether it was.
    pub(super) fn show_once(&self, id: &span::Id, show: impl FnOnce(&ServiceSpan)) -> bool {
        let slot = self.slot(id);
        if let Some(Entry {
            tracked: TrackedSpan::Service { service, is_shown },
            ..
        }) = lock(&slot.spans).find(id.into_u64())
            && !*is_shown
        {
            show(service);
            *is_shown = true;
            return true;
        }
        false
    }

    /// All of them at this moment.
    pub(super) fn all(&self) -> Vec<(span::Id, TrackedSpan)> {
        let filled = self
            .0
            .iter()
            .filter(|slot| slot.count.load(Ordering::Relaxed) != 0);
        filled
            .flat_map(|slot| {
                let spans = lock(&slot.spans);
                let all = spans.first.iter().chain(&spans.more);
                all.map(|entry| (entry.id, entry.tracked.clone()))
                    .collect::<Vec<_>>()
            })
            .map(|(id, tracked)| (span::Id::from_u64(id), tracked))
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .iter()
            .all(|slot| slot.count.load(Ordering::Relaxed) == 0)
    }
}

impl OpenServices for TrackedSpans {
    fn open_service(&self, key: u64) -> Option<OpenService> {
        match self.get(&span::Id::from_u64(key))? {
            TrackedSpan::Service { service, .. } => service.as_open(),
            _ => None,
        }
    }
}

impl Spans {
    #[inline]
    fn find(&mut self, id: u64) -> Option<&mut Entry> {
        match &mut self.first {
            Some(first) if first.id == id => Some(first),
            _ => self.more.iter_mut().find(|other| other.id == id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_share_a_slot_are_distinct() {
        let tracked = TrackedSpans::default();
        let ids = || (1..=5_000_u64).map(|n| span::Id::from_u64((n << 36) | (n % 7 + 1)));
        let name = |id: &span::Id| id.into_u64().to_string();
        let joining = |text: String| TrackedSpan::Joining(Some(Standing::Id(text.into())));
        let text = |tracked: Option<TrackedSpan>| match tracked {
            Some(TrackedSpan::Joining(Some(Standing::Id(id)))) => Some(id.to_string()),
            _ => None,
        };
        for id in ids() {
            tracked.insert(&id, joining(name(&id)));
        }
        assert_eq!(tracked.all().len(), 5_000);
        for id in ids() {
            assert!(tracked.may_contain(&id));
            assert_eq!(text(tracked.get(&id)), Some(name(&id)));
        }
        let unknown = span::Id::from_u64(1);
        assert!(tracked.get(&unknown).is_none() && tracked.remove(&unknown).is_none());
        let replaced = ids().next().unwrap();
        tracked.insert(&replaced, joining("replaced".into()));
        assert_eq!(text(tracked.get(&replaced)).as_deref(), Some("replaced"));
        for id in ids() {
            assert!(tracked.remove(&id).is_some());
            assert!(tracked.remove(&id).is_none());
        }
        assert!(tracked.is_empty());
    }
}
