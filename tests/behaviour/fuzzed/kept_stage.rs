//! One stage for many programs: to make one takes several times as long as most programs do.

use super::checks::check;
use crate::stage::Stage;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::time::{Duration, SystemTime};

struct Kept {
    stage: Stage,
    born: SystemTime,
    /// How many programs it has served.
    programs: u64,
}

thread_local! {
    // A thread's last stage outlives it: what spans want of the thread as they are dropped may have gone before.
    static KEPT: RefCell<Option<ManuallyDrop<Kept>>> = const { RefCell::new(None) };
}

/// Plays a program and checks what it leaves.
///
/// It is given a number of its own, to make its ids from: those of programs before it are known to have ended.
pub(crate) fn play(program: impl FnOnce(&Stage, u64)) {
    let mut kept = KEPT.take().map_or_else(Kept::new, ManuallyDrop::into_inner);
    kept.stage.play(|| program(&kept.stage, kept.programs));
    kept.stage.conversations.end_all();
    check(&kept.stage);
    kept.stage.output.exporter.reset();
    kept.programs += 1;
    // One that failed is not used again: a smaller case that fails has to fail by itself.
    if !kept.is_old() {
        KEPT.set(Some(ManuallyDrop::new(kept)));
    }
}

impl Kept {
    fn new() -> Self {
        let stage = Stage::new();
        Self {
            born: stage.clock.wall(),
            stage,
            programs: 0,
        }
    }

    /// Whether it has served so many that a new one costs each next to nothing, or its clock nears the hundred years after
    /// which it stops.
    fn is_old(&self) -> bool {
        const LONG: Duration = Duration::from_secs(30 * 31_557_600);
        self.programs == 200 || self.stage.clock.wall() > self.born + LONG
    }
}
