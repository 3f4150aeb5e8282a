//! The thread on which observers are called, and the bounded queue in front of it.

use super::{
    ConversationSummary, Notice, Observer, ServiceSummary, SummarySink, TurnStarted, TurnSummary,
};
use crate::clock::lock;
use crate::content::ContentPolicy;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use tracing_core::dispatcher::{self, Dispatch, WeakDispatch};

/// So many summaries wait for the observers, at most.
const CAPACITY: usize = 8_192;

/// For so many there is room from the start: a few turns, while an observer is at work.
const USUAL: usize = 64;

/// Between two reports of summaries that were dropped.
const REPORT_PERIOD: Duration = Duration::from_secs(60);

/// What has become of the summaries for observers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The observers have been called with so many.
    pub(crate) delivered: u64,
    /// So many found the queue full.
    pub(crate) dropped: u64,
    /// So many wait, or are being handled.
    pub(crate) waiting: u64,
    /// How often an observer panicked.
    pub(crate) panics: u64,
}

/// Calls observers on a thread of their own. A clone is a handle to the same; the thread ends with the last.
#[derive(Clone)]
pub(crate) struct Observers(Arc<Handle>);

struct Handle(Arc<Queue>);

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.0.state).is_closed = true;
        self.0.wake.notify_one();
    }
}

struct Queue {
    observers: Vec<Arc<dyn Observer>>,
    content: ContentPolicy,
    state: Mutex<State>,
    /// Notified when there is something to do.
    wake: Condvar,
    /// Notified when everything has been handled.
    idle: Condvar,
    /// The subscriber that the layer is part of.
    subscriber: OnceLock<WeakDispatch>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Notice>,
    is_handling: bool,
    thread: Option<ThreadId>,
    /// Nobody will add anything any more.
    is_closed: bool,
    accepted: u64,
    counts: Observed,
}

impl Observers {
    /// `None` where there are no observers.
    pub(crate) fn new(observers: &[Arc<dyn Observer>], content: ContentPolicy) -> Option<Self> {
        (!observers.is_empty()).then(|| {
            Self(Arc::new(Handle(Arc::new(Queue {
                observers: observers.to_vec(),
                content,
                state: Mutex::new(State {
                    waiting: VecDeque::with_capacity(USUAL),
                    ..State::default()
                }),
                wake: Condvar::new(),
                idle: Condvar::new(),
                subscriber: OnceLock::new(),
            }))))
        })
    }

    /// What has become of the summaries so far.
    #[cfg(feature = "setup")]
    pub(crate) fn counts(&self) -> Observed {
        self.0.0.counts()
    }

    /// Waits until the observers have been called with what has happened so far, at most until `deadline`. Returns whether they
    /// have. On their own thread it returns at once: they cannot wait for themselves.
    pub(crate) fn flush_by(&self, deadline: Instant) -> bool {
        let queue = &self.0.0;
        let mut state = lock(&queue.state);
        let target = state.accepted;
        while state.counts.delivered < target {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.thread == Some(thread::current().id()) {
                return false;
            }
            let waited = queue.idle.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn push(&self, notice: Notice) {
        let queue = &self.0.0;
        let mut state = lock(&queue.state);
        if state.thread.is_none() {
            state.thread = start(queue);
        }
        // Without a thread nobody would ever take it.
        if state.thread.is_none() || state.waiting.len() >= CAPACITY {
            state.counts.dropped += 1;
            return;
        }
        state.waiting.push_back(notice);
        state.accepted += 1;
        let is_asleep = state.waiting.len() == 1 && !state.is_handling;
        drop(state);
        if is_asleep {
            queue.wake.notify_one();
        }
    }
}

impl SummarySink for Observers {
    fn reads_words(&self) -> bool {
        true
    }

    fn registered(&self, subscriber: &Dispatch) {
        // Events of the observers go there, also where it is not the global one.
        let _ = self.0.0.subscriber.set(subscriber.downgrade());
    }

    fn take(&self, notice: Notice) {
        // There is nothing that they could be called with.
        if !matches!(notice, Notice::ConversationStarted) {
            self.push(notice);
        }
    }
}

#[cold]
fn start(queue: &Arc<Queue>) -> Option<ThreadId> {
    let worker = Worker {
        queue: queue.clone(),
        dropped: 0,
        reported: None,
    };
    let thread = thread::Builder::new().name("conversation-observers".into());
    let started = thread.spawn(move || worker.run()).ok()?;
    Some(started.thread().id())
}

/// The observers' thread.
struct Worker {
    queue: Arc<Queue>,
    /// How many dropped summaries have been reported, and when.
    dropped: u64,
    reported: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        while let Some(notice) = self.queue.next() {
            if let Some(summary) = Summary::of(notice, &self.queue.content) {
                self.queue.in_subscriber(|| {
                    for observer in &self.queue.observers {
                        self.queue.call(&**observer, &summary);
                    }
                });
            }
            self.report_dropped();
        }
    }

    fn report_dropped(&mut self) {
        let dropped = self.queue.counts().dropped;
        let is_due = self.reported.is_none_or(|at| at.elapsed() >= REPORT_PERIOD);
        if dropped > self.dropped && is_due {
            let new = dropped - self.dropped;
            self.dropped = dropped;
            self.reported = Some(Instant::now());
            self.queue.in_subscriber(|| {
                tracing::warn!(
                    target: "tracing_conversation",
                    dropped = new,
                    limit = CAPACITY,
                    "observers are called too late: summaries were dropped; an observer has to return sooner"
                );
            });
        }
    }
}

impl Queue {
    fn counts(&self) -> Observed {
        let state = lock(&self.state);
        Observed {
            waiting: state.waiting.len() as u64 + u64::from(state.is_handling),
            ..state.counts
        }
    }

    /// Waits for the next summary. `None` when there will be no more.
    fn next(&self) -> Option<Notice> {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.is_handling) {
            state.counts.delivered += 1;
        }
        loop {
            if let Some(notice) = state.waiting.pop_front() {
                state.is_handling = true;
                return Some(notice);
            }
            self.idle.notify_all();
            if state.is_closed {
                return None;
            }
            let woken = self.wake.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs `act` so that its events and spans go to the layer's subscriber.
    fn in_subscriber(&self, act: impl FnOnce()) {
        let subscriber = self.subscriber.get().and_then(WeakDispatch::upgrade);
        match subscriber.filter(|subscriber| !is_default(subscriber)) {
            Some(subscriber) => dispatcher::with_default(&subscriber, act),
            None => act(),
        }
    }

    fn call(&self, observer: &dyn Observer, summary: &Summary) {
        let called = catch_unwind(AssertUnwindSafe(|| match summary {
            Summary::TurnStarted(turn) => observer.turn_started(turn),
            Summary::Service(service) => observer.service_ended(service),
            Summary::Turn(turn) => observer.turn_ended(turn),
            Summary::Conversation(conversation) => observer.conversation_ended(conversation),
        }));
        let Err(panic) = called else {
            return;
        };
        // What a program panics with may panic once more.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        let is_first = {
            let mut state = lock(&self.state);
            state.counts.panics += 1;
            state.counts.panics == 1
        };
        if is_first {
            tracing::warn!(
                target: "tracing_conversation",
                "an observer panicked; it goes on being called, and further panics are not reported"
            );
        }
    }
}

/// Whether `subscriber` is the default on this thread already: a scoped default slows `tracing` down in the whole program.
fn is_default(subscriber: &Dispatch) -> bool {
    // What the layer answers for is its own.
    let layer = |dispatch: &Dispatch| {
        dispatch
            .downcast_ref::<ContentPolicy>()
            .map(std::ptr::from_ref)
    };
    layer(subscriber).is_some() && dispatcher::get_default(layer) == layer(subscriber)
}

/// What observers are called with.
enum Summary {
    TurnStarted(TurnStarted),
    Service(Box<ServiceSummary>),
    Turn(Box<TurnSummary>),
    Conversation(Box<ConversationSummary>),
}

impl Summary {
    /// Makes the summary, with as much of what was said as the content policy allows.
    fn of(notice: Notice, policy: &ContentPolicy) -> Option<Self> {
        let summary = match notice {
            Notice::ConversationStarted => return None,
            Notice::TurnStarted(turn) => Self::TurnStarted(turn),
            Notice::ServiceEnded(service) => {
                let mut service = service.summary(true);
                service.apply(policy);
                Self::Service(Box::new(service))
            }
            Notice::TurnEnded(turn) => {
                let mut turn = turn.summary(true);
                turn.apply(policy);
                Self::Turn(Box::new(turn))
            }
            Notice::ConversationEnded(conversation) => {
                let mut conversation = Arc::unwrap_or_clone(conversation);
                conversation.apply(policy);
                Self::Conversation(Box::new(conversation))
            }
        };
        Some(summary)
    }
}
