//! Who a span belongs to.

use super::Live;
use crate::content::ContentPolicy;
use crate::fields;
use crate::names;
use opentelemetry::trace::{SpanId, TraceContextExt};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// Who a span belongs to, as its OpenTelemetry context carries it: inherited by every span below.
#[derive(Clone)]
pub(crate) struct Membership {
    pub(crate) identity: Arc<Identity>,
    pub(crate) turn: Option<u32>,
    live: Weak<Live>,
}

impl Membership {
    pub(super) fn new(identity: Arc<Identity>, turn: Option<u32>, live: Weak<Live>) -> Self {
        Self {
            identity,
            turn,
            live,
        }
    }

    pub(crate) fn is_current() -> bool {
        with_current(|context| context.get::<Self>().map(|_| ())).is_some()
    }

    /// The same, with the span whose context it is.
    #[inline]
    pub(crate) fn current_with_span() -> Option<(Arc<Live>, SpanId)> {
        with_current(|context| {
            let live = context.get::<Self>()?.live.upgrade()?;
            Some((live, context.span().span_context().span_id()))
        })
    }

    /// The conversation whose context is active on this thread.
    #[inline]
    pub(crate) fn current() -> Option<Arc<Live>> {
        with_current(|context| context.get::<Self>()?.live.upgrade())
    }
}

struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {}
}

thread_local! {
    static IS_KNOWN: Cell<bool> = const { Cell::new(false) };
    static ALIVE: Alive = const { Alive };
}

/// Asks the active context. A thread that is about to go has none any more, and OpenTelemetry panics if it is asked.
///
/// What a thread keeps goes in the opposite order in which it came: as long as `ALIVE` is there, which comes after it, the
/// context is.
#[inline]
fn with_current<R>(ask: impl FnOnce(&Context) -> Option<R>) -> Option<R> {
    if !IS_KNOWN.get() {
        // It may be gone already, if it is only now that the thread has anything to say.
        std::panic::catch_unwind(|| Context::map_current(|_| ())).ok()?;
        IS_KNOWN.set(true);
    }
    ALIVE.try_with(|_| ()).ok()?;
    Context::map_current(ask)
}

/// What every span of a conversation is marked with.
pub(crate) struct Identity {
    pub(crate) id: Arc<str>,
    /// The same as spans carry it: as much as the policy allows.
    told_id: Arc<str>,
    /// Attributes that the program wants on every span.
    inherited: RwLock<Vec<KeyValue>>,
    /// Whether there are any.
    inherits: AtomicBool,
    /// Set once the processor has marked a span: the layer need not do it as well.
    marked: AtomicBool,
}

impl Identity {
    pub(super) fn new(id: Arc<str>, policy: &ContentPolicy) -> Self {
        Self {
            told_id: policy.bound_shared(id.clone()),
            id,
            inherited: RwLock::default(),
            inherits: AtomicBool::new(false),
            marked: AtomicBool::new(false),
        }
    }

    /// Marks every span of the conversation with one more attribute from now on.
    pub(super) fn inherit(&self, key: &'static str, value: Value) {
        let mut inherited = self
            .inherited
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        fields::set(&mut inherited, key, value);
        self.inherits.store(true, Ordering::Relaxed);
    }

    /// Gives the attributes of a span in `turn` to the processor.
    pub(crate) fn mark(&self, turn: Option<u32>, give: impl FnMut(KeyValue)) {
        self.marked.store(true, Ordering::Relaxed);
        self.give_marks(turn, give);
    }

    /// Gives the attributes of a span in `turn`.
    #[inline]
    pub(crate) fn give_marks(&self, turn: Option<u32>, mut give: impl FnMut(KeyValue)) {
        give(KeyValue::new(
            names::CONVERSATION_ID,
            StringValue::from(self.told_id.clone()),
        ));
        if let Some(number) = turn {
            give(KeyValue::new(names::TURN_NUMBER, i64::from(number)));
        }
        if self.inherits() {
            self.inherited
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .cloned()
                .for_each(give);
        }
    }

    /// Adds the marks that the span of the conversation itself still lacks; one that was given another parent is `astray`
    /// and lacks them in any case.
    pub(super) fn add_missing_marks(&self, astray: bool, attributes: &mut Vec<KeyValue>) {
        if astray || !self.marked.load(Ordering::Relaxed) {
            self.give_marks(None, |mark| attributes.push(mark));
        }
    }

    /// Whether spans carry more than who they belong to.
    #[inline]
    pub(crate) fn inherits(&self) -> bool {
        self.inherits.load(Ordering::Relaxed)
    }
}
