//! Summaries on their way from a conversation to those that take them, in the order in which things happened.

use crate::clock::lock;
use crate::observe::{Notice, SummarySinks};
use crate::reentrancy::guard_thread;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// So many wait behind one that is not written yet, at most.
const MAX_WAITING: usize = 256;

/// The place of a notice that is reserved under the conversation's lock, where the order is decided, and written after it.
pub(crate) struct Place(u64);

#[derive(Default)]
pub(super) struct Outbox {
    /// Held while notices are given to the sinks, which keeps them in order.
    waiting: Mutex<Waiting>,
    may_have_ready: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    notices: VecDeque<Option<Notice>>,
    /// The place of the first.
    first: u64,
}

impl Outbox {
    /// Reserves the next place.
    pub(super) fn reserve(&self) -> Place {
        let mut waiting = lock(&self.waiting);
        waiting.notices.push_back(None);
        Place(waiting.first + waiting.notices.len() as u64 - 1)
    }

    /// Adds a notice in the next place.
    pub(super) fn push(&self, notice: Notice) {
        lock(&self.waiting).notices.push_back(Some(notice));
        self.may_have_ready.store(true, Ordering::Relaxed);
    }

    /// Writes a notice to its place, else to the next one, and [delivers](Self::deliver). Not under the conversation's lock.
    pub(super) fn submit(&self, place: Option<Place>, notice: Notice, sinks: &SummarySinks) {
        let mut waiting = lock(&self.waiting);
        match place {
            Some(place) => waiting.write(&place, notice),
            None => waiting.notices.push_back(Some(notice)),
        }
        self.deliver_from(waiting, sinks);
    }

    /// Gives the sinks what is written, up to the first place that is not. Who comes to write that place delivers the rest.
    /// Not under the conversation's lock.
    #[inline]
    pub(super) fn deliver(&self, sinks: &SummarySinks) {
        if self.may_have_ready.load(Ordering::Relaxed) {
            self.deliver_from(lock(&self.waiting), sinks);
        }
    }

    fn deliver_from(&self, mut waiting: MutexGuard<'_, Waiting>, sinks: &SummarySinks) {
        // What a sink may emit is not the program's.
        let _guarded = guard_thread();
        self.may_have_ready.store(false, Ordering::Relaxed);
        while let Some(notice) = waiting.next() {
            sinks.take(notice);
        }
    }
}

impl Waiting {
    fn write(&mut self, place: &Place, notice: Notice) {
        let index = place.0.checked_sub(self.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = index.and_then(|index| self.notices.get_mut(index)) {
            *slot = Some(notice);
        }
    }

    fn next(&mut self) -> Option<Notice> {
        loop {
            let is_written = self.notices.front()?.is_some();
            if !is_written && self.notices.len() <= MAX_WAITING {
                return None;
            }
            self.first += 1;
            // Whoever is to write it may never come, should a sampler of the program have panicked.
            if let Some(notice) = self.notices.pop_front()? {
                return Some(notice);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{SummarySink, TurnStarted};
    use std::sync::Arc;
    use std::time::SystemTime;

    /// Keeps the numbers of the turns that started.
    #[derive(Default)]
    struct Numbers(Mutex<Vec<u32>>);

    impl SummarySink for Numbers {
        fn take(&self, notice: Notice) {
            if let Notice::TurnStarted(turn) = notice {
                lock(&self.0).push(turn.number);
            }
        }
    }

    fn turn(number: u32) -> Notice {
        Notice::TurnStarted(TurnStarted {
            conversation_id: "c1".into(),
            number,
            started: SystemTime::UNIX_EPOCH,
        })
    }

    /// An outbox, and what it delivers.
    #[derive(Default)]
    struct Delivery {
        outbox: Outbox,
        numbers: Arc<Numbers>,
    }

    impl Delivery {
        fn sinks(&self) -> SummarySinks {
            let mut sinks = SummarySinks::default();
            sinks.push(self.numbers.clone());
            sinks
        }

        fn taken(&self) -> Vec<u32> {
            std::mem::take(&mut *lock(&self.numbers.0))
        }

        fn deliver(&self) -> Vec<u32> {
            self.outbox.deliver(&self.sinks());
            self.taken()
        }

        fn submit(&self, place: Place, notice: Notice) -> Vec<u32> {
            self.outbox.submit(Some(place), notice, &self.sinks());
            self.taken()
        }
    }

    #[test]
    fn notices_wait_for_those_that_come_before_them() {
        let delivery = Delivery::default();
        let outbox = &delivery.outbox;
        outbox.push(turn(1));
        let first = outbox.reserve();
        let second = outbox.reserve();
        outbox.push(turn(4));
        assert_eq!(delivery.deliver(), [1]);
        assert!(delivery.submit(second, turn(3)).is_empty());
        assert_eq!(delivery.submit(first, turn(2)), [2, 3, 4]);
        outbox.push(turn(5));
        assert_eq!(delivery.deliver(), [5]);
    }

    #[test]
    fn place_that_is_never_written_does_not_hold_up_the_rest_for_ever() {
        let delivery = Delivery::default();
        let outbox = &delivery.outbox;
        let lost = outbox.reserve();
        for number in 0..MAX_WAITING as u32 {
            assert!(delivery.deliver().is_empty());
            outbox.push(turn(number));
        }
        assert_eq!(delivery.deliver().len(), MAX_WAITING);
        assert!(delivery.submit(lost, turn(0)).is_empty());
    }
}
