//! Observers as one more destination.

use std::time::Instant;

use crate::{
    export::Delivered,
    observe::{Observed, Observers},
};

/// What has become of the summaries.
pub(super) fn delivered(observers: &Observers) -> Delivered {
    let Observed {
        delivered,
        dropped,
        waiting,
        panics,
    } = observers.counts();
    Delivered {
        destination: "observers".to_owned(),
        exported: delivered,
        dropped_queue_full: dropped,
        rejected: 0,
        failed: 0,
        waiting,
        restarts: panics,
        last_problem: None,
    }
}

pub(super) fn dropped(observers: Option<&Observers>) -> u64 {
    observers.map_or(0, |observers| observers.counts().dropped)
}

/// Waits for the observers until `deadline`, at most.
pub(super) fn wait(observers: Option<&Observers>, deadline: Instant) {
    if let Some(observers) = observers {
        observers.flush_by(deadline);
    }
}

/// Waits for the observers. The error says what they were not called with, of more than `before` that was dropped.
pub(super) fn verdict(
    observers: Option<&Observers>,
    deadline: Instant,
    before: u64,
) -> Result<(), String> {
    let Some(observers) = observers else {
        return Ok(());
    };
    let is_done = observers.flush_by(deadline);
    let Observed {
        dropped, waiting, ..
    } = observers.counts();
    let dropped = dropped - before;
    if is_done && dropped == 0 {
        return Ok(());
    }
    Err(format!(
        "observers: {dropped} summaries dropped, {waiting} still waiting"
    ))
}
