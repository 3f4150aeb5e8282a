//! What the guard and an export thread know of each other.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::export::deadline::left;

/// How far the export to one destination has come.
#[derive(Debug)]
pub(super) struct Progress {
    destination: String,
    state: Mutex<State>,
    ended: Condvar,
    /// By when everything is to have ended, once the program ends.
    closing: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
struct State {
    /// Why the last export failed, if it did.
    problem: Option<String>,
    has_ended: bool,
}

impl Progress {
    pub(super) fn new(destination: String) -> Self {
        Self {
            destination,
            state: Mutex::default(),
            ended: Condvar::new(),
            closing: watch::Sender::new(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    /// Takes note of how an export went.
    pub(super) fn settle(&self, result: &Result<(), String>) {
        self.state().problem = result.as_ref().err().cloned();
    }

    /// Takes note that nothing more will be exported.
    pub(super) fn end(&self) {
        self.state().has_ended = true;
        self.ended.notify_all();
    }

    /// Has the export end by `stop`.
    pub(super) fn close(&self, stop: Instant) {
        self.closing.send_replace(Some(stop));
    }

    /// Waits until the export has ended. The error says what was not sent.
    pub(super) fn wait_ended(&self, deadline: Instant) -> Result<(), String> {
        let (state, _) = self
            .ended
            .wait_timeout_while(self.state(), left(deadline), |state| !state.has_ended)
            .unwrap_or_else(PoisonError::into_inner);
        match &state.problem {
            Some(why) => Err(self.failure(why)),
            None if state.has_ended => Ok(()),
            None => Err(self.failure("out of time")),
        }
    }

    /// Why the last export failed, with its destination.
    pub(super) fn problem(&self) -> Option<String> {
        self.state().problem.as_deref().map(|why| self.failure(why))
    }

    fn failure(&self, why: &str) -> String {
        format!("{}: metrics not sent ({why})", self.destination)
    }

    /// The time limit of an export that starts now and may take `timeout`.
    pub(super) fn limit(&self, timeout: Duration) -> Limit {
        let mut closing = self.closing.subscribe();
        let end = super::super::deadline(Instant::now(), timeout);
        let stop = *closing.borrow_and_update();
        Limit {
            end: stop.map_or(end, |stop| end.min(stop)),
            closing: stop.is_none().then_some(closing),
        }
    }
}

/// When an export has to have ended.
pub(super) struct Limit {
    pub(super) end: Instant,
    /// As long as the program does not end.
    closing: Option<watch::Receiver<Option<Instant>>>,
}

impl Limit {
    /// Waits until the program ends. An export that was under way then may take half of the time that is left: the last one
    /// comes after it.
    pub(super) async fn shortened(&mut self) {
        let stop = match &mut self.closing {
            Some(closing) => match closing.changed().await {
                Ok(()) => *closing.borrow_and_update(),
                // Nobody is left who could end anything.
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        };
        if let Some(stop) = stop {
            self.closing = None;
            self.end = self.end.min(Instant::now() + left(stop) / 2);
        }
    }
}
