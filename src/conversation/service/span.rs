//! A service span: the layer's own data from its start to its end.

use super::{Effects, ServiceRecord, ServiceStart, remote};
use crate::attribute_list::AttributeList;
use crate::clock::{Time, lock};
use crate::conversation::{ActiveConversation, Parent, Shared, Transition, Turn, child_of};
use crate::field::FieldValue;
use crate::latency::FirstByte;
use crate::names;
use crate::prices::Cost;
use crate::recording::{
    ContextSpan, Decision, Ended, Marks, PendingTurn, RootSpan, SpanExtras, SpanTarget,
    Transcription, moved, truncate,
};
use crate::reentrancy::{guard_thread, guarded};
use crate::service_kind::ServiceKind;
use crate::sums::{Charge, ServiceUsage};
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::SystemTime;
use tracing_core::span::Id;

mod summed;

/// What a service span has recorded, at its end.
struct Finished {
    attributes: AttributeList,
    extras: Option<Box<SpanExtras>>,
    status: Status,
    kind: SpanKind,
    time: SystemTime,
    /// Whether all attributes keep to the bounds of the content policy.
    is_bounded: bool,
}

impl Finished {
    /// Whether nothing but attributes was recorded, all of which the layer has bounded.
    fn is_plain(&self) -> bool {
        self.is_bounded && self.extras.is_none() && !matches!(self.status, Status::Error { .. })
    }
}

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

    /// Has the wrapped layer start the span if that knows it, unless it is started. Returns its context if so.
    fn start_shown(&self) -> Option<Context> {
        if self.starts_as_planned || self.started.get().is_some() || !self.is_shown() {
            return None;
        }
        let _starting = lock(&self.starting);
        if self.started.get().is_some() {
            return None;
        }
        // Comes back to `start_from`, with what the program has set on the span.
        self.shared.context_of(&Id::from_u64(self.key))
    }

    /// Starts the span, unless it is started. Returns how, unless that is as planned.
    #[inline]
    fn elsewhere(&self) -> Option<&Elsewhere> {
        if self.starts_as_planned {
            return None;
        }
        self.start_shown();
        self.start_below(&self.parent.span_context, &self.parent.base, None)
    }

    fn start_below(
        &self,
        parent: &SpanContext,
        parent_context: &Context,
        base: Option<Context>,
    ) -> Option<&Elsewhere> {
        let started = self.started.get_or_init(|| {
            if !parent.is_valid() {
                return Some(Box::new(self.start_root(parent_context, base)));
            }
            // Without a base of its own, it has the planned parent.
            let base = Some(base?);
            Some(Box::new(Elsewhere {
                span_context: child_of(parent, self.span_id),
                parent_span_id: parent.span_id(),
                parent_is_remote: parent.is_remote(),
                is_recording: parent.is_sampled(),
                root: None,
                base,
            }))
        });
        started.as_deref()
    }

    fn start_root(&self, parent_context: &Context, base: Option<Context>) -> Elsewhere {
        let builder = SpanBuilder::from_name(self.name.clone())
            .with_kind(self.known_kind())
            .with_start_time(self.start);
        let root = self.shared.start_root(builder, parent_context);
        Elsewhere {
            span_context: root.span_context.clone(),
            parent_span_id: SpanId::INVALID,
            parent_is_remote: false,
            is_recording: root.is_recording,
            root: Some(root),
            base,
        }
    }

    /// The kind of its span by what is recorded of it so far.
    fn known_kind(&self) -> SpanKind {
        match &*lock(&self.record) {
            Some(record) => self.kind_with(record),
            None => self.kind.clone().unwrap_or(SpanKind::Internal),
        }
    }

    fn kind_with(&self, record: &ServiceRecord) -> SpanKind {
        match &self.kind {
            Some(declared) => declared.clone(),
            None => remote::span_kind(record.kind, &record.attributes),
        }
    }

    /// The span's own context, for somebody who may send it along. The span is started if need be.
    fn span_context(&self) -> SpanContext {
        let elsewhere = self.elsewhere();
        self.is_in_use.store(true, Ordering::Relaxed);
        self.span_context_of(elsewhere)
    }

    fn span_context_of(&self, elsewhere: Option<&Elsewhere>) -> SpanContext {
        match elsewhere {
            None => child_of(&self.parent.span_context, self.span_id),
            Some(elsewhere) => elsewhere.span_context.clone(),
        }
    }

    /// The context that the program has given it for its parent's, if it has.
    fn given_base(&self) -> Option<&Context> {
        self.elsewhere()?.base.as_ref()
    }

    /// Whether it has started below another parent than planned, which the program has given it.
    fn has_own_parent(&self) -> bool {
        let started = self.started.get().and_then(Option::as_deref);
        started.is_some_and(|elsewhere| elsewhere.base.is_some())
    }

    /// The context of its span, which is started if need be.
    #[inline]
    pub(crate) fn context(self: &Arc<Self>) -> &Context {
        self.context.get_or_init(|| {
            // That of the wrapped layer is the same, unless the marks or the parent are others than it knows.
            let is_as_planned = || self.given_base().is_none() && self.pending_above.is_none();
            let context = match self.start_shown() {
                Some(shown) if is_as_planned() => shown,
                _ => self.base().with_span(self.context_span()),
            };
            self.have_children_wait(&context);
            context
        })
    }

    /// The parent of a service span that is started in this one.
    pub(crate) fn as_parent(self: &Arc<Self>) -> Parent {
        Parent {
            span_context: self.span_context(),
            base: self.base(),
            is_recording: self
                .elsewhere()
                .map_or(self.parent.is_recording, |elsewhere| elsewhere.is_recording),
        }
    }

    /// What contexts below it carry besides the span.
    fn base(&self) -> Context {
        let base = self.given_base().unwrap_or(&self.parent.base);
        let conversation = self.conversation.as_ref();
        match (conversation, &self.pending_above) {
            (Some(conversation), Some(pending)) => {
                base.with_value(self.marks_in(conversation, Some(pending.clone())))
            }
            _ => base.clone(),
        }
    }

    /// Has spans that are started below this one in `context`, its own, wait for its turn if that is not known, or follow it to
    /// where it has moved.
    fn have_children_wait(self: &Arc<Self>, context: &Context) {
        if !matches!(*lock(&self.awaited), Awaited::No)
            && let Some(marks) = context.get::<Marks>()
        {
            let transcription: Weak<Self> = Arc::downgrade(self);
            let id = context.span().span_context().span_id();
            marks.waiting.add(id, transcription);
        }
    }

    /// What marks a span below it.
    pub(crate) fn marks(&self) -> Option<Marks> {
        let conversation = self.conversation.as_ref()?;
        Some(self.marks_in(conversation, self.pending()))
    }

    fn marks_in(
        &self,
        conversation: &ActiveConversation,
        pending: Option<Arc<PendingTurn>>,
    ) -> Marks {
        let mut marks = Marks::new(&conversation.identity, self.turn());
        marks.pending = pending;
        marks
    }

    fn context_span(self: &Arc<Self>) -> ContextSpan {
        let target: Weak<Self> = Arc::downgrade(self);
        ContextSpan::new(self.span_context(), target)
    }

    /// The context that it hangs under unless the program says otherwise.
    pub(crate) fn parent_context(&self) -> Context {
        let parent = self.parent.span_context.clone();
        self.parent.base.with_remote_span_context(parent)
    }

    /// Starts the span below `parent`, unless it is started, with what the program has set on it before. Returns it as a
    /// context is to have it.
    pub(crate) fn start_from(
        self: &Arc<Self>,
        builder: SpanBuilder,
        parent: &Context,
    ) -> ContextSpan {
        let span = parent.span();
        let parent_span = span.span_context();
        let planned = &self.parent;
        if *parent_span == planned.span_context {
            self.start_below(parent_span, &planned.base, None);
        } else if !self.starts_as_planned && self.started.get().is_none() {
            let base = match self.marks() {
                Some(marks) => parent.with_value(marks),
                None => parent.clone(),
            };
            self.start_below(parent_span, parent, Some(base));
        }
        for attribute in builder.attributes.unwrap_or_default() {
            self.set_attribute(attribute);
        }
        for event in builder.events.unwrap_or_default() {
            self.add_event(event.name, event.timestamp, event.attributes);
        }
        for link in builder.links.unwrap_or_default() {
            self.add_link(link.span_context, link.attributes);
        }
        self.context_span()
    }

    /// Of the transcription whose turn the spans below this one wait for, if any. In a trace that such a transcription has
    /// left, spans below it follow by the same.
    pub(crate) fn pending(&self) -> Option<Arc<PendingTurn>> {
        if self.pending_above.is_some() {
            return self.pending_above.clone();
        }
        match &mut *lock(&self.awaited) {
            Awaited::No => None,
            Awaited::Yes(pending) => Some(pending.get_or_insert_default().clone()),
            Awaited::Moved(pending) => Some(pending.clone()),
        }
    }

    /// Waits no longer for its turn, which is known. Returns the spans that waited.
    fn settle(&self, trace: Option<SpanContext>, has_moved: bool) -> Vec<SpanData> {
        let pending = {
            let mut awaited = lock(&self.awaited);
            let pending = match std::mem::take(&mut *awaited) {
                Awaited::No => None,
                Awaited::Yes(pending) => pending,
                Awaited::Moved(pending) => Some(pending),
            };
            if has_moved {
                let pending = pending.unwrap_or_default();
                *awaited = Awaited::Moved(pending.clone());
                Some(pending)
            } else {
                pending
            }
        };
        if let Some(context) = self.context.get()
            && let Some(marks) = context.get::<Marks>()
        {
            let id = context.span().span_context().span_id();
            marks.waiting.settle(id, pending.as_ref(), has_moved);
        }
        pending.map_or_else(Vec::new, |pending| {
            pending.decide(Decision {
                turn: self.turn(),
                trace,
            })
        })
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
        let key = match &mut *lock(&self.record) {
            Some(record) => {
                record.note_first_byte(at);
                record.key
            }
            None => return,
        };
        if let Some(conversation) = &self.conversation {
            conversation.act(at, |transition| transition.first_byte(key, what));
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

    /// Moves the span to the turn that it turned out to belong to. Returns the spans that waited for that.
    fn decide_turn(
        &self,
        conversation: &ActiveConversation,
        turn: Option<&Turn>,
        mut record: MutexGuard<'_, Option<ServiceRecord>>,
    ) -> Vec<SpanData> {
        let number = turn.map(|turn| turn.number);
        let has_moved = number != self.turn();
        self.turn.store(number.unwrap_or(0), Ordering::Relaxed);
        if let Some(record) = record.as_mut().filter(|_| has_moved) {
            match number {
                Some(number) => record.attributes.set(names::TURN_NUMBER, i64::from(number)),
                None => record.attributes.remove(names::TURN_NUMBER),
            }
        }
        drop(record);
        let mut trace = None;
        // Where the program has given the span another parent, it stays there.
        if has_moved && !self.has_own_parent() {
            let parent = conversation.parent_in(turn).span_context;
            if parent.trace_id() != self.parent.span_context.trace_id() {
                trace = Some(parent.clone());
            }
            let was_started = self.is_in_use.load(Ordering::Relaxed);
            let _ = self.moved_to.set(Box::new(Moved {
                parent,
                was_started,
            }));
        }
        self.settle(trace, has_moved)
    }

    fn export_waiting(&self, spans: Vec<SpanData>) {
        if !spans.is_empty() {
            guarded(|| self.shared.processor.export_all(spans));
        }
    }

    /// Ends the work and exports the span, once.
    pub(crate) fn finish(&self) {
        if self.is_finished.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = self.shared.clock.now();
        let elsewhere = self.elsewhere();
        if !self.starts_as_planned {
            // Whoever has asked for its context has got it.
            drop(lock(&self.starting));
        }
        let above = self.services_above();
        let mut guard = lock(&self.record);
        let figures = match guard.as_ref() {
            Some(record) => record.figures(&self.shared),
            None => return,
        };
        let mut place = None;
        if let (Some(record), Some(conversation)) = (guard.as_mut(), &self.conversation) {
            let started = conversation.started();
            let ended = conversation.act(now, |transition| {
                let decided = transition.service_ended(record, started);
                // In another turn it is not exported below them.
                let stays = decided.is_none() || record.turn == self.turn();
                let above = if stays { &*above } else { &[] };
                transition.count_service(self.key, record.turn, &figures, self, above);
                place = transition.reserve_place();
                (transition.state.interruptions, decided)
            });
            let (interruptions, decided) = match ended {
                Some(ended) => ended,
                None => (conversation.interruptions(), None),
            };
            record.is_interrupted |=
                record.kind.is_interruptible() && interruptions > record.interruptions;
            if let Some(turn) = decided {
                let waiting = self.decide_turn(conversation, turn.as_ref(), guard);
                self.export_waiting(waiting);
                guard = lock(&self.record);
            }
        }
        let Some(record) = guard.as_mut() else {
            return;
        };
        let is_recording =
            elsewhere.map_or(self.parent.is_recording, |elsewhere| elsewhere.is_recording);
        let sinks = &self.shared.sinks;
        if !is_recording && sinks.is_empty() {
            return self.close(guard);
        }
        let status = record.finish(&self.shared.content);
        if let Some(Charge {
            cost: Cost::Usd(cost),
            ..
        }) = figures.charge
        {
            record.attributes.set(names::USAGE_COST_USD, cost);
        }
        let ended = (!sinks.is_empty())
            .then(|| self.ended(elsewhere, record, &status, figures.charge.as_ref(), now));
        if !is_recording {
            self.close(guard);
            return self.submit(ended, place);
        }
        let finished = Finished {
            kind: self.kind_with(record),
            attributes: std::mem::take(&mut record.attributes),
            extras: record.extras.take(),
            is_bounded: !record.is_set_from_outside,
            status,
            time: match &self.conversation {
                Some(conversation) => conversation.wall(now),
                None => self.shared.clock.wall().max(self.start),
            },
        };
        self.close(guard);
        // Not under the lock: processors run.
        let _guarded = guard_thread();
        self.submit(ended, place);
        if let Some(root) = elsewhere.and_then(|elsewhere| elsewhere.root.as_ref()) {
            return self.end_root(root, self.span_data(elsewhere, finished));
        }
        let processor = &self.shared.processor;
        let pending = self.pending_above.as_deref();
        if finished.is_plain() && pending.is_none() {
            let bounds = self.shared.content.bounds();
            processor.export_plain(bounds, || self.span_data(elsewhere, finished));
        } else {
            processor.export(self.span_data(elsewhere, finished), pending);
        }
    }

    /// Forgets the record.
    #[inline]
    fn close(&self, mut record: MutexGuard<'_, Option<ServiceRecord>>) {
        let turn_is_known = record.as_ref().is_none_or(|record| record.turn_is_known);
        *record = None;
        drop(record);
        // What waits for a conversation that has ended meanwhile waits no longer.
        if !turn_is_known && matches!(*lock(&self.awaited), Awaited::Yes(_)) {
            self.export_waiting(self.settle(None, false));
        }
    }

    #[cold]
    fn end_root(&self, root: &RootSpan, span: SpanData) {
        root.add(SpanExtras {
            events: span.events,
            links: span.links,
            status: Status::Unset,
            name: Some(span.name),
        });
        let ended = Ended {
            attributes: span.attributes,
            status: span.status,
            time: span.end_time,
        };
        self.shared.processor.end_root(root, ended);
    }

    /// The span as it is exported.
    #[inline]
    fn span_data(&self, elsewhere: Option<&Elsewhere>, finished: Finished) -> SpanData {
        let mut extras = finished
            .extras
            .map_or_else(SpanExtras::default, |extras| *extras);
        extras.set_status(finished.status);
        let (mut attributes, dropped_attributes) = finished.attributes.into_parts();
        let mut span_context = self.span_context_of(elsewhere);
        let mut parent_span_id = elsewhere
            .map_or(self.parent.span_context.span_id(), |elsewhere| {
                elsewhere.parent_span_id
            });
        if let Some(moved_to) = self.moved_to.get() {
            let Moved {
                parent,
                was_started,
            } = &**moved_to;
            parent_span_id = parent.span_id();
            if parent.trace_id() != span_context.trace_id() {
                let new = moved(&span_context, parent);
                if *was_started {
                    let link = Link::with_context(span_context);
                    extras.links.links.push(link);
                }
                span_context = new;
            }
        }
        let limit = self.shared.limits.max_attributes_per_span;
        SpanData {
            span_context,
            parent_span_id,
            parent_span_is_remote: elsewhere
                .map_or(self.parent.span_context.is_remote(), |elsewhere| {
                    elsewhere.parent_is_remote
                }),
            span_kind: finished.kind,
            name: extras.name.unwrap_or_else(|| self.name.clone()),
            start_time: self.start,
            end_time: finished.time,
            dropped_attributes_count: dropped_attributes + truncate(&mut attributes, limit),
            attributes,
            events: extras.events,
            links: extras.links,
            status: extras.status,
            instrumentation_scope: self.shared.instrumentation_scope(),
        }
    }

    /// Adds to what the program has set on the span.
    fn with_extras(&self, act: impl FnOnce(&mut SpanExtras)) {
        if let Some(record) = &mut *lock(&self.record) {
            act(record.extras.get_or_insert_default());
        }
    }
}

impl Transcription for ServiceSpan {
    fn pending(&self) -> Option<Arc<PendingTurn>> {
        self.pending()
    }
}

/// The span as code sees it that has its context.
impl SpanTarget for ServiceSpan {
    fn is_recording(&self) -> bool {
        self.parent.is_recording && lock(&self.record).is_some()
    }

    fn set_attribute(&self, attribute: KeyValue) {
        let key = attribute.key.as_str();
        if matches!(key, names::CONVERSATION_ID | names::TURN_NUMBER)
            || !self.shared.content.admits(key)
        {
            return;
        }
        if let Some(record) = &mut *lock(&self.record) {
            record.is_set_from_outside = true;
            record.attributes.insert(attribute);
        }
    }

    fn add_event(&self, name: Cow<'static, str>, time: SystemTime, attributes: Vec<KeyValue>) {
        let limits = &self.shared.limits;
        self.with_extras(|extras| extras.add_event(name, time, attributes, limits));
    }

    fn add_link(&self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        let limits = &self.shared.limits;
        self.with_extras(|extras| extras.add_link(span_context, attributes, limits));
    }

    fn set_status(&self, status: Status) {
        if status == Status::Unset {
            return;
        }
        self.with_extras(|extras| extras.set_status(status));
    }

    fn set_name(&self, name: Cow<'static, str>) {
        self.with_extras(|extras| extras.name = Some(name));
    }
}
