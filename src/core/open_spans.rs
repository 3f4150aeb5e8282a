//! The layer's spans that are open, by their ids.

use crate::clock::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tracing_core::span;

/// Keeps what belongs to each open span of ours.
///
/// Tells at a glance that a span is not among them, for that is what nearly every hook of the layer wants to know. A
/// registry has a place for such things as well; to find them there takes several times as long.
pub(crate) struct OpenSpans<T>(Box<[Slot<T>]>);

struct Slot<T> {
    /// How many there are: read without the lock.
    count: AtomicU32,
    spans: Mutex<Spans<T>>,
}

/// Hardly ever is there more than one.
struct Spans<T> {
    first: Option<(u64, T)>,
    more: Vec<(u64, T)>,
}

impl<T> Default for OpenSpans<T> {
    fn default() -> Self {
        let slot = || Slot {
            count: AtomicU32::new(0),
            spans: Mutex::new(Spans {
                first: None,
                more: Vec::new(),
            }),
        };
        Self((0..Self::SLOTS).map(|_| slot()).collect())
    }
}

impl<T> OpenSpans<T> {
    const SLOTS: usize = 1 << 10;

    #[inline]
    fn slot(&self, id: &span::Id) -> &Slot<T> {
        // The registry puts the index low and the generation high: both vary.
        let hash = id.into_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        &self.0[hash as usize % Self::SLOTS]
    }

    /// Whether the span may be among them; never wrong in the negative.
    #[inline]
    pub(crate) fn may_have(&self, id: &span::Id) -> bool {
        self.slot(id).count.load(Ordering::Relaxed) != 0
    }

    /// What is kept of a span; `what` takes the place of what was there.
    pub(crate) fn put(&self, id: &span::Id, what: T) {
        let slot = self.slot(id);
        let mut spans = lock(&slot.spans);
        let replaced = match spans.find(id.into_u64()) {
            Some(known) => Some(std::mem::replace(known, what)),
            None => {
                slot.count.fetch_add(1, Ordering::Relaxed);
                let new = (id.into_u64(), what);
                match spans.first {
                    None => spans.first = Some(new),
                    Some(_) => spans.more.push(new),
                }
                None
            }
        };
        drop(spans);
        // What is let go may be a conversation, with much to do as it goes.
        drop(replaced);
    }

    pub(crate) fn take(&self, id: &span::Id) -> Option<T> {
        let slot = self.slot(id);
        let mut spans = lock(&slot.spans);
        let id = id.into_u64();
        let taken = match &spans.first {
            Some((first, _)) if *first == id => spans.first.take(),
            _ => {
                let index = spans.more.iter().position(|(other, _)| *other == id)?;
                Some(spans.more.swap_remove(index))
            }
        };
        slot.count.fetch_sub(1, Ordering::Relaxed);
        taken.map(|(_, what)| what)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .iter()
            .all(|slot| slot.count.load(Ordering::Relaxed) == 0)
    }
}

impl<T: Clone> OpenSpans<T> {
    #[inline]
    pub(crate) fn get(&self, id: &span::Id) -> Option<T> {
        let slot = self.slot(id);
        if slot.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        lock(&slot.spans)
            .find(id.into_u64())
            .map(|what| what.clone())
    }

    /// All of them at this moment.
    pub(crate) fn all(&self) -> Vec<(span::Id, T)> {
        let filled = self
            .0
            .iter()
            .filter(|slot| slot.count.load(Ordering::Relaxed) != 0);
        filled
            .flat_map(|slot| {
                let spans = lock(&slot.spans);
                let all = spans.first.iter().chain(&spans.more).cloned();
                all.collect::<Vec<_>>()
            })
            .map(|(id, what)| (span::Id::from_u64(id), what))
            .collect()
    }
}

impl<T> Spans<T> {
    #[inline]
    fn find(&mut self, id: u64) -> Option<&mut T> {
        match &mut self.first {
            Some((first, what)) if *first == id => Some(what),
            _ => {
                let found = self.more.iter_mut().find(|(other, _)| *other == id);
                found.map(|(_, what)| what)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_spans_in_one_slot_are_told_apart() {
        let open = OpenSpans::default();
        let ids = || (1..=5_000_u64).map(|n| span::Id::from_u64((n << 36) | (n % 7 + 1)));
        for id in ids() {
            open.put(&id, id.into_u64());
        }
        assert_eq!(open.all().len(), 5_000);
        for id in ids() {
            assert!(open.may_have(&id));
            assert_eq!(open.get(&id), Some(id.into_u64()));
        }
        let stranger = span::Id::from_u64(1);
        assert_eq!((open.get(&stranger), open.take(&stranger)), (None, None));
        open.put(&span::Id::from_u64((1 << 36) | 2), 0);
        assert_eq!(open.get(&span::Id::from_u64((1 << 36) | 2)), Some(0));
        for id in ids() {
            assert!(open.take(&id).is_some());
            assert_eq!(open.take(&id), None);
        }
        assert!(open.is_empty());
    }
}
