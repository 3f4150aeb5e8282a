//! A live conversation: its turns, what is known of them, and the OpenTelemetry spans that stand for them.
//!
//! The state sits behind one lock, held for arithmetic only. Whatever calls out — building a span (samplers, processors
//! of the program) or ending one — happens after the lock is let go.

mod identity;
mod moment;
mod turn;

use crate::clock::{Time, lock};
use crate::core::{Core, TraceMode};
use crate::fields;
use crate::names;
use crate::processor::{LastWords, is_recording, without_marks};
use crate::recognise::Service;
use crate::service::{USUAL_ATTRIBUTES, Work};
use crate::timer::Due;
use crate::tracer::LayerSpan;
use crate::turns::EndReason;
use opentelemetry::trace::{Link, SpanBuilder, SpanId, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};
use tracing_core::span;

pub(crate) use identity::{Identity, Membership};
pub(crate) use moment::Moment;
use moment::State;
use turn::Finished;
pub(crate) use turn::Turn;

pub(crate) struct Live {
    this: Weak<Live>,
    core: Weak<Core>,
    pub(crate) identity: Arc<Identity>,
    started: Time,
    wall: SystemTime,
    /// The span that is the conversation's scope, where there is one.
    scope: OnceLock<span::Id>,
    /// Whether the scope was given a parent that knows nothing of the conversation.
    is_astray: AtomicBool,
    is_entered: AtomicBool,
    context: OnceLock<Context>,
    state: Mutex<State>,
}

impl Live {
    pub(crate) fn open(core: &Arc<Core>, id: Arc<str>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            core: Arc::downgrade(core),
            identity: Arc::new(Identity::new(id, &core.settings.content)),
            started: core.clock.now(),
            wall: core.clock.wall(),
            scope: OnceLock::new(),
            is_astray: AtomicBool::new(false),
            is_entered: AtomicBool::new(false),
            context: OnceLock::new(),
            state: Mutex::new(State::new(core.settings.turn_end_timeout)),
        })
    }

    /// What made it, while that is there.
    pub(crate) fn core(&self) -> Option<Arc<Core>> {
        self.core.upgrade()
    }

    #[inline]
    pub(crate) fn is_of(&self, core: &Core) -> bool {
        std::ptr::eq(self.core.as_ptr(), core)
    }

    pub(crate) fn open_turn(&self) -> Option<Arc<Turn>> {
        lock(&self.state)
            .open
            .as_ref()
            .map(|(turn, _)| turn.clone())
    }

    pub(crate) fn is_scoped(&self) -> bool {
        self.scope.get().is_some()
    }

    pub(crate) fn has_scope(&self, id: &span::Id) -> bool {
        self.scope.get() == Some(id)
    }

    /// Makes `scope` the conversation's, unless it has one.
    pub(crate) fn take_scope(&self, scope: &span::Id) {
        let _ = self.scope.set(scope.clone());
    }

    /// Puts a conversation that was opened again in the scope of the one that ended there.
    pub(crate) fn follow(&self, ended: &Self, core: &Core) {
        // The scope's span is that of the one that ended.
        self.context(core);
        if let Some(scope) = ended.scope.get() {
            self.take_scope(scope);
        }
    }

    /// The scope is entered, or never will be.
    pub(crate) fn entered(&self, core: &Core, astray: bool) {
        if !self.is_entered.swap(true, Ordering::Relaxed) {
            core.awaits_enter.fetch_sub(1, Ordering::Relaxed);
            if astray {
                self.is_astray.store(true, Ordering::Relaxed);
                core.astray.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether `span` is the conversation's own.
    #[inline]
    pub(crate) fn is_its_span(&self, span: SpanId) -> bool {
        let own = self.context.get();
        own.is_some_and(|own| own.span().span_context().span_id() == span)
    }

    /// Whether the conversation's own span is started.
    pub(crate) fn has_span(&self) -> bool {
        self.context.get().is_some()
    }

    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// The mark that contexts below this conversation carry.
    pub(crate) fn membership(&self, turn: Option<&Turn>) -> Membership {
        let number = turn.map(|turn| turn.number);
        Membership::new(self.identity.clone(), number, self.this.clone())
    }

    /// A moment on the wall clock.
    #[inline]
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        self.wall + time.saturating_sub(self.started)
    }

    /// Lets something happen in the conversation, at `time`. `None` once it has ended.
    #[inline]
    pub(crate) fn act<R>(
        &self,
        core: &Core,
        time: Time,
        act: impl FnOnce(&mut Moment<'_>) -> R,
    ) -> Option<R> {
        let mut finished = None;
        let result = {
            let mut state = lock(&self.state);
            if state.ended {
                return None;
            }
            // Another thread may have come first with a later time: in a conversation it does not run backwards.
            let at = time.saturating_sub(self.started).max(state.last_heard);
            state.last_heard = at;
            let mut moment = Moment::new(&mut state, &mut finished, at);
            moment.pass();
            let result = act(&mut moment);
            if let Some(deadline) = state.next_alarm() {
                let this: Weak<dyn Due> = self.this.clone();
                core.timer.set(self.started.saturating_add(deadline), this);
            }
            result
        };
        if let Some(finished) = finished {
            self.export_turn(core, finished);
        }
        Some(result)
    }

    /// Ends the conversation, once. A `time` of `None` is now.
    pub(crate) fn end(
        self: &Arc<Self>,
        core: &Core,
        reason: EndReason,
        ago: Duration,
        time: Option<Duration>,
    ) {
        let mut finished = None;
        let (at, attributes) = {
            let mut state = lock(&self.state);
            if state.ended {
                return;
            }
            if time.is_some_and(|time| state.last_heard > time) {
                // It was heard of after all, while this was decided.
                return;
            }
            let now = core.clock.now().saturating_sub(self.started);
            let at = time
                .unwrap_or_else(|| now.saturating_sub(ago))
                .max(state.last_heard);
            let mut moment = Moment::new(&mut state, &mut finished, at);
            let ended_at = moment.finish(reason);
            (ended_at, std::mem::take(&mut state.attributes))
        };
        core.table.forget(self);
        // Built before its turns, should none of them have been.
        let context = self.context(core);
        if let Some(finished) = finished {
            self.export_turn(core, finished);
        }
        let span = context.span();
        if is_recording(&span) {
            let mut own = Vec::with_capacity(attributes.len() + 3);
            let astray = self.is_astray.load(Ordering::Relaxed);
            self.identity.add_missing_marks(astray, &mut own);
            own.extend([
                KeyValue::new(
                    names::CONVERSATION_TYPE,
                    core.settings.conversation_type.clone(),
                ),
                KeyValue::new(
                    names::GEN_AI_CONVERSATION_ID,
                    StringValue::from(self.identity.id.clone()),
                ),
            ]);
            for attribute in attributes {
                fields::set(&mut own, attribute.key, attribute.value);
            }
            let words = LastWords {
                start: Some(self.wall),
                place: None,
                attributes: own,
                status: Status::Unset,
                // What the program described it with may be anything.
                bounds: None,
                buffer: 0,
            };
            core.end(&span, words, self.wall + at);
        }
    }

    /// Ends the conversation if nothing has been heard of it for `limit`.
    pub(crate) fn end_if_idle(self: &Arc<Self>, core: &Core, now: Time, limit: Duration) {
        let last_heard = lock(&self.state).last_heard;
        let idle = now.saturating_sub(self.started).saturating_sub(last_heard);
        if idle >= limit {
            self.end(
                core,
                EndReason::ConversationLost,
                Duration::ZERO,
                Some(last_heard),
            );
        }
    }

    /// The context of the conversation's own span. Builds it at the first call, not before: until then a program may
    /// still give the scope's span a remote parent.
    pub(crate) fn context(&self, core: &Core) -> &Context {
        self.context.get_or_init(|| {
            let of_scope = self.scope.get().and_then(|scope| core.context_of(scope));
            let context = of_scope.unwrap_or_else(|| {
                let parent = Context::new().with_value(self.membership(None));
                self.build(
                    core,
                    SpanBuilder::from_name(names::CONVERSATION),
                    Duration::ZERO,
                    &parent,
                    false,
                )
            });
            self.marked_context(context)
        })
    }

    /// Takes `context` for that of the conversation's span.
    pub(crate) fn adopt(&self, context: Context) {
        let _ = self.context.set(self.marked_context(context));
    }

    /// A program that gave its scope another parent has taken away what spans below are marked by.
    fn marked_context(&self, context: Context) -> Context {
        match context.get::<Membership>() {
            Some(_) => context,
            None => {
                self.is_astray.store(true, Ordering::Relaxed);
                context.with_value(self.membership(None))
            }
        }
    }

    /// The context of a turn's span, built at the first call.
    pub(crate) fn turn_context<'a>(&self, core: &Core, turn: &'a Turn) -> &'a Context {
        turn.context.get_or_init(|| {
            let conversation = self.context(core);
            let mut builder = SpanBuilder::from_name(names::TURN);
            let room = core.room();
            turn.note_buffer(&room);
            builder.attributes = Some(room);
            let membership = self.membership(Some(turn));
            let parent = match core.settings.trace_mode {
                TraceMode::Conversation => conversation.with_value(membership),
                TraceMode::Turn => {
                    let link = Link::with_context(conversation.span().span_context().clone());
                    builder = builder.with_links(vec![link]);
                    Context::new().with_value(membership)
                }
            };
            self.build(core, builder, turn.started, &parent, true)
        })
    }

    /// Starts a span of the layer's own; if `marks_itself`, it is marked as it ends.
    fn build(
        &self,
        core: &Core,
        builder: SpanBuilder,
        at: Duration,
        parent: &Context,
        marks_itself: bool,
    ) -> Context {
        let builder = builder.with_start_time(self.wall + at);
        without_marks(marks_itself, || {
            parent.with_span(LayerSpan::new(
                core.tracer.build_with_context(builder, parent),
            ))
        })
    }

    /// The context that a service span placed in `turn` hangs under.
    #[inline]
    pub(crate) fn parent_context<'a>(&'a self, core: &Core, turn: Option<&'a Turn>) -> &'a Context {
        match turn {
            Some(turn) => self.turn_context(core, turn),
            None => self.context(core),
        }
    }

    /// The last word on a service span: where it belongs, and whether it was cut off.
    pub(crate) fn finish_service(&self, core: &Core, now: Time, work: &mut Work) {
        let interruptions = self
            .act(core, now, |moment| {
                moment.service_ended(work, self.started);
                moment.interruptions()
            })
            .unwrap_or_else(|| lock(&self.state).interruptions);
        let speaks = matches!(
            work.service,
            Service::Llm | Service::Tts | Service::Realtime
        );
        work.interrupted |= speaks && interruptions > work.interruptions;
    }

    /// Marks every span of the conversation from now on.
    pub(crate) fn inherit(&self, key: &'static str, value: &Value) {
        self.identity.inherit(key, value.clone());
    }

    #[inline(never)]
    fn export_turn(&self, core: &Core, finished: Finished) {
        let Finished {
            turn,
            facts,
            at,
            reason,
        } = finished;
        let span = self.turn_context(core, &turn).span();
        if !is_recording(&span) {
            return;
        }
        let mut own = Vec::with_capacity(USUAL_ATTRIBUTES);
        self.identity
            .give_marks(Some(turn.number), |mark| own.push(mark));
        // What the program annotated may be anything.
        let bounds = (!facts.is_annotated()).then(|| core.settings.content.bounds());
        own.extend([
            KeyValue::new(names::TURN_TYPE, "conversation"),
            KeyValue::new(
                names::TURN_DURATION_SECONDS,
                (at - turn.started).as_secs_f64(),
            ),
            KeyValue::new(names::TURN_WAS_INTERRUPTED, reason.is_interruption()),
            KeyValue::new(names::TURN_END_REASON, reason.as_str()),
        ]);
        if reason.is_conversation_end() {
            own.push(KeyValue::new(names::TURN_ENDED_BY_CONVERSATION_END, true));
        }
        facts.tell(&mut own, core);
        let words = LastWords {
            start: None,
            place: None,
            attributes: own,
            status: Status::Unset,
            bounds,
            buffer: turn.buffer(),
        };
        core.end(&span, words, self.wall + at);
    }
}

impl Due for Live {
    /// Lets time pass for the turns; that is nothing heard of the conversation.
    fn look(self: Arc<Self>, _now: Time) -> Option<Time> {
        let core = self.core.upgrade()?;
        let mut finished = None;
        let next = {
            let mut state = lock(&self.state);
            state.alarm_is_set = false;
            if state.ended {
                return None;
            }
            let at = core.clock.now().saturating_sub(self.started);
            let mut moment = Moment::new(&mut state, &mut finished, at);
            moment.pass();
            state.next_alarm()
        };
        if let Some(finished) = finished {
            self.export_turn(&core, finished);
        }
        next.map(|next| self.started.saturating_add(next))
    }
}
