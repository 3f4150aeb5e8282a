//! What marks a span as a conversation's.

use super::PendingTurn;
use super::pending::WaitingParents;
use crate::attribute_list::AttributeList;
use crate::content::ContentPolicy;
use crate::names;
use opentelemetry::trace::{SpanId, TraceContextExt as _};
use opentelemetry::{Context, Key, KeyValue, StringValue, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A conversation, as its spans carry it.
pub(crate) struct Identity {
    pub(crate) id: Arc<str>,
    /// The id as the policy allows it to be exported.
    exported_id: Arc<str>,
    /// Fields of the scope that the program wants on every span.
    inherited: RwLock<Vec<KeyValue>>,
    inherits: AtomicBool,
}

impl Identity {
    pub(crate) fn new(id: Arc<str>, policy: &ContentPolicy) -> Self {
        Self {
            exported_id: policy.bound_shared(id.clone()),
            id,
            inherited: RwLock::default(),
            inherits: AtomicBool::new(false),
        }
    }

    /// Marks every span that starts from now on with one more attribute.
    pub(crate) fn inherit(&self, key: impl Into<Key>, value: Value) {
        let mut inherited = self
            .inherited
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut attributes: AttributeList = inherited.drain(..).collect();
        attributes.set(key, value);
        inherited.extend(attributes);
        self.inherits.store(true, Ordering::Relaxed);
    }

    /// Whether spans are marked with an attribute of that key besides.
    pub(crate) fn has_inherited(&self, key: &str) -> bool {
        let inherited = self
            .inherited
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        inherited.iter().any(|mark| mark.key.as_str() == key)
    }

    /// Calls `set` with each attribute of a span in `turn`, the turn's number last but for what is inherited.
    #[inline]
    pub(crate) fn for_each_mark(&self, turn: Option<u32>, mut set: impl FnMut(KeyValue)) {
        let id = || StringValue::from(self.exported_id.clone());
        set(KeyValue::new(names::CONVERSATION_ID, id()));
        set(KeyValue::new(names::GEN_AI_CONVERSATION_ID, id()));
        if let Some(number) = turn {
            set(KeyValue::new(names::TURN_NUMBER, i64::from(number)));
        }
        if self.inherits.load(Ordering::Relaxed) {
            self.inherited
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .cloned()
                .for_each(set);
        }
    }
}

/// What a span below an OpenTelemetry context is marked with; a value of that context.
pub(crate) struct Marks {
    pub(crate) identity: Arc<Identity>,
    pub(crate) turn: Option<u32>,
    /// Set where everything below waits for the turn of a transcription, or follows it to another.
    pub(crate) pending: Option<Arc<PendingTurn>>,
    /// Otherwise, below which spans it does.
    pub(crate) waiting: WaitingParents,
}

impl Marks {
    pub(crate) fn new(identity: &Arc<Identity>, turn: Option<u32>) -> Self {
        Self {
            identity: identity.clone(),
            turn,
            pending: None,
            waiting: WaitingParents::default(),
        }
    }

    /// What a span `child` waits for that is started in `context`, of which these are the marks.
    #[inline]
    pub(super) fn pending_of(&self, child: SpanId, context: &Context) -> Option<Arc<PendingTurn>> {
        if self.pending.is_some() {
            return self.pending.clone();
        }
        let parent = context.span().span_context().span_id();
        self.waiting.of_child(parent, child)
    }

    /// Takes the place of the marks among the attributes of a span.
    pub(super) fn replace(&self, attributes: &mut Vec<KeyValue>) {
        attributes.retain(|attribute| {
            !matches!(
                attribute.key.as_str(),
                names::CONVERSATION_ID | names::GEN_AI_CONVERSATION_ID | names::TURN_NUMBER
            )
        });
        let identity = &self.identity;
        identity.for_each_mark(self.turn, |mark| attributes.push(mark));
    }
}

impl PartialEq for Marks {
    fn eq(&self, other: &Self) -> bool {
        let pending = |marks: &Self| marks.pending.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.identity, &other.identity)
            && self.turn == other.turn
            && pending(self) == pending(other)
    }
}
