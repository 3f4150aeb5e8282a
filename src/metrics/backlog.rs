//! Facts that wait to be recorded.

use std::sync::Mutex;

use super::fact::Fact;
use crate::clock::lock;

/// When so many wait, they are recorded without waiting for a collection.
const MANY: usize = 2_048;

/// More do not wait: whoever adds one records them.
const MOST: usize = 4 * MANY;

/// A bounded list; nothing is ever dropped from it.
#[derive(Default)]
pub(super) struct Backlog(Mutex<Vec<Fact>>);

/// How much more fits into a backlog.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Said once until facts are taken.
    Little,
    None,
}

impl Backlog {
    pub(super) fn push(&self, fact: Fact) -> Room {
        let mut facts = lock(&self.0);
        facts.push(fact);
        match facts.len() {
            MANY => Room::Little,
            MOST.. => Room::None,
            _ => Room::Enough,
        }
    }

    pub(super) fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut *lock(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backlog_asks_for_help_once_and_is_bounded() {
        let backlog = Backlog::default();
        let answers: Vec<Room> = (0..MOST).map(|_| backlog.push(Fact::Started)).collect();
        let at =
            |room: Room| -> Vec<usize> { (1..=MOST).filter(|n| answers[n - 1] == room).collect() };
        assert_eq!(at(Room::Little), [MANY]);
        assert_eq!(at(Room::None), [MOST]);
        assert_eq!(backlog.take().len(), MOST);
        assert_eq!(backlog.push(Fact::Started), Room::Enough);
    }
}
