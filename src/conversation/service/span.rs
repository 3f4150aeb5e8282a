//! A service span: the layer's own data from its start to its end.

mod awaited;
mod finished;
mod started;
mod summed;
mod target;

use super::{Effects, ServiceRecord, ServiceStart};
use crate::clock::{Time, lock};
use crate::conversation::{ActiveConversation, Parent, Shared, Transition, Turn};
use crate::field::FieldValue;
use crate::latency::FirstByte;
use crate::recording::{PendingTurn, RootSpan};
use crate::service_kind::ServiceKind;
use crate::sums::ServiceUsage;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::SystemTime;

/// What a service span is made of.
pub(crate) struct NewService {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conversation: Option<Arc<ActiveConversation>>,
    pub(crate) name: Cow<'static, str>,
    /// As its program declares it.
    pub(crate) kind: Option<SpanKind>,
    pub(crate) parent: Parent,
    /// The service span that it was started in.
    pub(crate) above: Weak<ServiceSpan>,
    /// Of the transcription above whose turn is not known yet.
    pub(crate) pending_above: Option<Arc<PendingTurn>>,
    /// The id of its `tracing` span.
    pub(crate) key: u64,
    pub(crate) started: Time,
    pub(crate) does: ServiceKind,
    pub(crate) start: ServiceStart,
    /// Whether the program may still give it another parent.
    pub(crate) is_movable: bool,
}

pub(crate) struct ServiceSpan {
    shared: Arc<Shared>,
    /// The id of its `tracing` span.
    pub(crate) key: u64,
    pub(crate) conversation: Option<Arc<ActiveConversation>>,
    /// The number of its turn; 0 is none.
    turn: AtomicU32,
    is_finished: AtomicBool,
    name: Cow<'static, str>,
    kind: Option<SpanKind>,
    start: SystemTime,
    parent: Parent,
    span_id: SpanId,
    /// Whether it is certain that it starts below `parent`, with `span_id`.
    starts_as_planned: bool,
    above: Weak<Self>,
    pending_above: Option<Arc<PendingTurn>>,
    /// Of a transcription: what waits for its turn. Nothing else happens under this lock.
    awaited: Mutex<Awaited>,
    /// Where it turned out to belong, if that is not where it started.
    moved_to: OnceLock<Box<Moved>>,
    /// How else it has started, unless that is as planned.
    started: OnceLock<Option<Box<Elsewhere>>>,
    /// Whether somebody may have sent its context along.
    is_in_use: AtomicBool,
    /// Whether the wrapped layer keeps data of it.
    is_shown: AtomicBool,
    /// Held while its context is asked for, so that it does not close meanwhile.
    starting: Mutex<()>,
    context: OnceLock<Context>,
    usage: Mutex<ServiceUsage>,
    /// Until it is finished.
    record: Mutex<Option<ServiceRecord>>,
}

/// Whether spans below a transcription wait for its turn.
#[derive(Default)]
enum Awaited {
    /// They do not.
    #[default]
    No,
    /// They do, by this once there is one.
    Yes(Option<Arc<PendingTurn>>),
    /// It has moved, and they follow.
    Moved(Arc<PendingTurn>),
}

struct Moved {
    parent: SpanContext,
    /// Whether somebody may have sent its first context along.
    was_started: bool,
}

/// How a span has started that is a root, or that the program has given another parent.
struct Elsewhere {
    span_context: SpanContext,
    parent_span_id: SpanId,
    parent_is_remote: bool,
    is_recording: bool,
    /// Where it has no parent.
    root: Option<RootSpan>,
    /// What its context carries besides the span, where a program has given it another parent.
    base: Option<Context>,
}

impl ServiceSpan {
    /// A service span, with what `record` records of it at its start.
    #[inline]
    pub(crate) fn new(new: NewService, record: impl FnOnce(&mut ServiceRecord)) -> Arc<Self> {
        let start = match &new.conversation {
            Some(conversation) => conversation.wall(new.started),
            None => new.shared.clock.wall(),
        };
        let is_recording = new.parent.is_recording;
        let is_kept = is_recording || !new.shared.sinks.is_empty();
        let mut span = Arc::new(Self {
            span_id: new.shared.new_span_id(),
            starts_as_planned: !new.is_movable && new.parent.span_context.is_valid(),
            shared: new.shared,
            key: new.key,
            conversation: new.conversation,
            turn: AtomicU32::new(new.start.turn_number().unwrap_or(0)),
            is_finished: AtomicBool::new(false),
            name: new.name,
            kind: new.kind,
            start,
            parent: new.parent,
            above: new.above,
            pending_above: new.pending_above,
            awaited: Mutex::default(),
            moved_to: OnceLock::new(),
            started: OnceLock::new(),
            is_in_use: AtomicBool::new(false),
            is_shown: AtomicBool::new(false),
            starting: Mutex::default(),
            context: OnceLock::new(),
            usage: Mutex::default(),
            record: Mutex::new(Some(ServiceRecord::new(
                new.key,
                new.does,
                new.started,
                &new.start,
                is_kept,
            ))),
        });
        // In its final room: records are large, and nobody else has it yet.
        if let Some(Self {
            record: own,
            conversation,
            awaited,
            pending_above,
            ..
        }) = Arc::get_mut(&mut span)
            && let Ok(Some(own)) = own.get_mut()
        {
            if let Some(conversation) = conversation.as_ref().filter(|_| is_recording) {
                own.mark(&conversation.identity);
            }
            record(own);
            // A transcription below another goes where that one goes.
            own.turn_is_known |= pending_above.is_some();
            if own.awaits_turn() && conversation.is_some() {
                *awaited = Mutex::new(Awaited::Yes(None));
            }
        }
        span
    }

    #[inline]
    pub(crate) fn turn(&self) -> Option<u32> {
        Some(self.turn.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    #[inline]
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Relaxed)
    }

    /// Takes note that a service span starts in it.
    pub(crate) fn expect_service_below(&self) {
        lock(&self.usage).expect_below();
    }

    /// The service span that it was started in, if that is still open.
    pub(crate) fn above(&self) -> Option<Arc<Self>> {
        self.above.upgrade()
    }

    /// Keeps in mind that the wrapped layer has data of it.
    pub(crate) fn set_shown(&self) {
        self.is_shown.store(true, Ordering::Relaxed);
    }

    /// Whether the wrapped layer has data of it.
    pub(crate) fn is_shown(&self) -> bool {
        self.is_shown.load(Ordering::Relaxed)
    }

    /// Records a field.
    #[inline]
    pub(crate) fn record(&self, field: &'static str, value: FieldValue<'_>, effects: &mut Effects) {
        if let Some(record) = &mut *lock(&self.record) {
            record.record(field, value, &self.shared.content, effects);
        }
    }

    /// Lets the conversation take in what was recorded.
    pub(crate) fn apply(&self, effects: &Effects) {
        let Some(conversation) = &self.conversation else {
            return;
        };
        let now = self.shared.clock.now();
        let moved = self.transition(conversation, now, |transition, record| {
            if effects.kind
                && record.awaits_turn()
                && let awaited @ Awaited::No = &mut *lock(&self.awaited)
            {
                *awaited = Awaited::Yes(None);
            }
            transition.service_recorded(record, effects, now)
        });
        self.export_waiting(moved);
    }

    /// Notes the first byte of the service.
    pub(crate) fn first_byte(&self, at: Time, what: FirstByte) {
        match &mut *lock(&self.record) {
            Some(record) => record.note_first_byte(at),
            None => return,
        }
        if let Some(conversation) = &self.conversation {
            conversation.act(at, |transition| transition.first_byte(self.key, what));
        }
    }

    /// Takes a transition that may decide the turn of the span, which holds the record meanwhile.
    fn transition(
        &self,
        conversation: &ActiveConversation,
        now: Time,
        transition: impl FnOnce(&mut Transition<'_>, &mut ServiceRecord) -> Option<Option<Turn>>,
    ) -> Vec<SpanData> {
        let mut record = lock(&self.record);
        let Some(open) = record.as_mut() else {
            return Vec::new();
        };
        let decided = conversation.act(now, |now| transition(now, open)).flatten();
        match decided {
            Some(turn) => self.decide_turn(conversation, turn.as_ref(), record),
            None => Vec::new(),
        }
    }
}
