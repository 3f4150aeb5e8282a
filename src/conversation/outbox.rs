//! Summaries on their way from a conversation to those that take them, in the order in which things happened.

use crate::clock::lock;
use crate::observe::{ConversationSummary, EndedService, EndedTurn, SummarySinks, TurnStarted};
use crate::reentrancy::guard_thread;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// So many wait behind one that is not written yet, at most.
const MAX_WAITING: usize = 256;

/// Something that sinks are given.
pub(super) enum Notice {
    ConversationStarted,
    TurnStarted(Arc<TurnStarted>),
    ServiceEnded(Arc<EndedService>),
    TurnEnded(Arc<EndedTurn>),
    ConversationEnded(Arc<ConversationSummary>),
}

/// The place of a notice that is reserved under the conversation's lock, where the order is decided, and written after it.
pub(crate) struct Place(u64);

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    may_have_ready: AtomicBool,
    /// Held while notices are given to the sinks.
    delivering: Mutex<()>,
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

    /// Writes a notice to its place.
    pub(super) fn write(&self, place: &Place, notice: Notice) {
        let mut waiting = lock(&self.waiting);
        let index = place.0.checked_sub(waiting.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = index.and_then(|index| waiting.notices.get_mut(index)) {
            *slot = Some(notice);
            self.may_have_ready.store(true, Ordering::Relaxed);
        }
    }

    /// Adds a notice in the next place.
    pub(super) fn push(&self, notice: Notice) {
        lock(&self.waiting).notices.push_back(Some(notice));
        self.may_have_ready.store(true, Ordering::Relaxed);
    }

    /// Gives the sinks what is written, up to the first place that is not. Who comes to write that place delivers the rest.
    pub(super) fn deliver(&self, sinks: &SummarySinks, conversation_type: &str) {
        if !self.may_have_ready.load(Ordering::Relaxed) {
            return;
        }
        let _delivering = lock(&self.delivering);
        // What a sink may emit is not the program's.
        let _guarded = guard_thread();
        self.may_have_ready.store(false, Ordering::Relaxed);
        while let Some(notice) = self.next() {
            sinks.for_each(|sink| match &notice {
                Notice::ConversationStarted => sink.conversation_started(conversation_type),
                Notice::TurnStarted(turn) => sink.turn_started(turn),
                Notice::ServiceEnded(service) => sink.take_service(service),
                Notice::TurnEnded(turn) => sink.take_turn(turn),
                Notice::ConversationEnded(conversation) => sink.conversation_ended(conversation),
            });
        }
    }

    fn next(&self) -> Option<Notice> {
        let mut waiting = lock(&self.waiting);
        loop {
            let is_written = waiting.notices.front()?.is_some();
            if !is_written && waiting.notices.len() <= MAX_WAITING {
                return None;
            }
            waiting.first += 1;
            // Whoever is to write it may never come, should a sampler of the program have panicked.
            if let Some(notice) = waiting.notices.pop_front()? {
                return Some(notice);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::SummarySink;
    use std::time::SystemTime;

    /// Keeps the numbers of the turns that started.
    #[derive(Default)]
    struct Numbers(Mutex<Vec<u32>>);

    impl SummarySink for Numbers {
        fn turn_started(&self, turn: &Arc<TurnStarted>) {
            lock(&self.0).push(turn.number);
        }
    }

    fn turn(number: u32) -> Notice {
        Notice::TurnStarted(Arc::new(TurnStarted {
            conversation_id: "c1".into(),
            number,
            started: SystemTime::UNIX_EPOCH,
        }))
    }

    fn numbers(act: impl FnOnce(&Outbox, &dyn Fn() -> Vec<u32>)) {
        let numbers = Arc::new(Numbers::default());
        let mut sinks = SummarySinks::default();
        sinks.push(numbers.clone());
        let outbox = Outbox::default();
        act(&outbox, &|| {
            outbox.deliver(&sinks, "voice");
            std::mem::take(&mut *lock(&numbers.0))
        });
    }

    #[test]
    fn notices_wait_for_those_that_come_before_them() {
        numbers(|outbox, deliver| {
            outbox.push(turn(1));
            let first = outbox.reserve();
            let second = outbox.reserve();
            outbox.push(turn(4));
            assert_eq!(deliver(), [1]);
            outbox.write(&second, turn(3));
            assert!(deliver().is_empty());
            outbox.write(&first, turn(2));
            assert_eq!(deliver(), [2, 3, 4]);
            outbox.push(turn(5));
            assert_eq!(deliver(), [5]);
        });
    }

    #[test]
    fn place_that_is_never_written_does_not_hold_up_the_rest_for_ever() {
        numbers(|outbox, deliver| {
            let lost = outbox.reserve();
            for number in 0..MAX_WAITING as u32 {
                assert!(deliver().is_empty());
                outbox.push(turn(number));
            }
            assert_eq!(deliver().len(), MAX_WAITING);
            outbox.write(&lost, turn(0));
            assert!(deliver().is_empty());
        });
    }
}
