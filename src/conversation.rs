//! A live conversation: its turns, what is known of them, and the OpenTelemetry spans that stand for them.
//!
//! The state sits behind one lock, held for arithmetic only. Whatever calls out — building a span (samplers, processors
//! of the program) or ending one — happens after the lock is let go.

use crate::clock::{Time, lock};
use crate::core::{Core, TraceMode, undisturbed};
use crate::fields;
use crate::latency::{FirstByte, Latency, Measured, Stage};
use crate::names;
use crate::processor::HandedOver;
use crate::recognise::Service;
use crate::service::{News, USUAL_ATTRIBUTES, Work};
use crate::timer::Due;
use crate::turns::{Change, EndReason, Speech, Turns};
use opentelemetry::trace::{Link, SpanBuilder, TraceContextExt, Tracer};
use opentelemetry::{Context, Key, KeyValue, StringValue, Value};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};
use tracing_core::span;

/// Turns that a span with an explicit `turn.number` can still go to.
const REMEMBERED_TURNS: usize = 256;

/// Who a span belongs to, as its OpenTelemetry context carries it: inherited by every span below.
#[derive(Clone)]
pub(crate) struct Membership {
    pub(crate) identity: Arc<Identity>,
    pub(crate) turn: Option<u32>,
    live: Weak<Live>,
}

impl Membership {
    pub(crate) fn is_current() -> bool {
        Context::map_current(|context| context.get::<Self>().is_some())
    }

    /// The conversation whose context is active on this thread.
    pub(crate) fn current() -> Option<Arc<Live>> {
        Context::map_current(|context| context.get::<Self>()?.live.upgrade())
    }
}

/// What every span of a conversation is marked with.
pub(crate) struct Identity {
    pub(crate) id: Arc<str>,
    /// Attributes that the program wants on every span.
    inherited: RwLock<Vec<KeyValue>>,
    /// Set once the processor has marked a span: the layer need not do it as well.
    marked: AtomicBool,
}

impl Identity {
    /// Gives the attributes of a span in `turn`, to the processor.
    pub(crate) fn mark(&self, turn: Option<u32>, give: impl FnMut(KeyValue)) {
        self.marked.store(true, Ordering::Relaxed);
        self.give_marks(turn, give);
    }

    fn give_marks(&self, turn: Option<u32>, mut give: impl FnMut(KeyValue)) {
        give(KeyValue::new(
            names::CONVERSATION_ID,
            StringValue::from(self.id.clone()),
        ));
        if let Some(number) = turn {
            give(KeyValue::new(names::TURN_NUMBER, i64::from(number)));
        }
        self.inherited
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .for_each(give);
    }

    /// Adds the marks that a span which the layer finishes still lacks; one that was given another parent is `astray`
    /// and lacks them in any case.
    fn add_missing_marks(&self, turn: Option<u32>, astray: bool, attributes: &mut Vec<KeyValue>) {
        if astray || !self.marked.load(Ordering::Relaxed) {
            self.give_marks(turn, |mark| attributes.push(mark));
        }
    }
}

/// A turn, as long as anybody may still refer to it.
pub(crate) struct Turn {
    pub(crate) number: u32,
    started: Duration,
    context: OnceLock<Context>,
}

#[derive(Default)]
struct TurnFacts {
    measured: Option<Measured>,
    heard: Words,
    spoken: Words,
    answered: String,
    attributes: Vec<KeyValue>,
}

/// What was said in a turn, the last of it apart: a service may tell it once more, corrected or completed.
#[derive(Default)]
struct Words {
    settled: String,
    last: String,
    last_from: Option<u64>,
}

impl Words {
    /// Adds `words`, which the span `from` told. Past `limit` bytes nothing more is kept.
    fn add(&mut self, from: Option<u64>, words: &str, limit: usize) {
        let completes = from.is_some() && self.last_from == from && words.starts_with(&*self.last);
        if !completes && self.settled.len() <= limit {
            fields::append(&mut self.settled, &self.last);
        }
        self.last_from = from;
        self.last.clear();
        self.last.push_str(words);
    }

    /// Takes back what the span `from` told last: it was not meant to be final.
    fn retract(&mut self, from: u64) {
        if self.last_from == Some(from) {
            self.last.clear();
            self.last_from = None;
        }
    }

    fn into_text(mut self) -> String {
        if self.settled.is_empty() {
            return self.last;
        }
        fields::append(&mut self.settled, &self.last);
        self.settled
    }
}

struct Finished {
    turn: Arc<Turn>,
    facts: TurnFacts,
    at: Duration,
    reason: EndReason,
}

pub(crate) struct State {
    turns: Turns,
    latency: Latency,
    open: Option<(Arc<Turn>, TurnFacts)>,
    past: VecDeque<Arc<Turn>>,
    interruptions: u64,
    attributes: Vec<KeyValue>,
    last_heard: Duration,
    alarm_is_set: bool,
    ended: bool,
}

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

/// What goes on while the state is held.
pub(crate) struct Moment<'a> {
    state: &'a mut State,
    finished: &'a mut Option<Finished>,
    at: Duration,
}

impl Live {
    pub(crate) fn open(core: &Arc<Core>, id: Arc<str>) -> Arc<Self> {
        let mut turns = Turns::new(core.settings.turn_end_timeout);
        let mut open = None;
        turns.begin(Duration::ZERO, &mut |change| {
            if let Change::Started { number, at } = change {
                open = Some((Turn::new(number, at), TurnFacts::default()));
            }
        });
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            core: Arc::downgrade(core),
            identity: Arc::new(Identity {
                id,
                inherited: RwLock::default(),
                marked: AtomicBool::new(false),
            }),
            started: core.clock.now(),
            wall: core.clock.wall(),
            scope: OnceLock::new(),
            is_astray: AtomicBool::new(false),
            is_entered: AtomicBool::new(false),
            context: OnceLock::new(),
            state: Mutex::new(State {
                turns,
                latency: Latency::default(),
                open,
                past: VecDeque::new(),
                interruptions: 0,
                attributes: Vec::new(),
                last_heard: Duration::ZERO,
                alarm_is_set: false,
                ended: false,
            }),
        })
    }

    /// What made it, while that is there.
    pub(crate) fn core(&self) -> Option<Arc<Core>> {
        self.core.upgrade()
    }

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
            core.unentered.fetch_sub(1, Ordering::Relaxed);
            if astray {
                self.is_astray.store(true, Ordering::Relaxed);
                core.astray.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether the conversation's own span is started.
    pub(crate) fn has_span(&self) -> bool {
        self.context.get().is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// The mark that contexts below this conversation carry.
    pub(crate) fn membership(&self, turn: Option<&Turn>) -> Membership {
        Membership {
            identity: self.identity.clone(),
            turn: turn.map(|turn| turn.number),
            live: self.this.clone(),
        }
    }

    /// A moment on the wall clock.
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        self.wall + time.saturating_sub(self.started)
    }

    /// Lets something happen in the conversation, at `time`. `None` once it has ended.
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
            let mut moment = Moment {
                state: &mut state,
                finished: &mut finished,
                at,
            };
            moment.turn(|turns, at, changes| {
                turns.advance(at, changes);
            });
            let result = act(&mut moment);
            if let Some(deadline) = state.next_alarm() {
                let this: Weak<dyn Due> = self.this.clone();
                core.timer.set(self.started.saturating_add(deadline), this);
            }
            result
        };
        self.export_turn(core, finished);
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
            let mut moment = Moment {
                state: &mut state,
                finished: &mut finished,
                at,
            };
            let mut ended_at = at;
            moment.turn(|turns, at, changes| ended_at = turns.finish(at, reason, changes));
            state.ended = true;
            state.past.clear();
            (ended_at, std::mem::take(&mut state.attributes))
        };
        core.table.forget(self);
        // Built before its turns, should none of them have been.
        let context = self.context(core);
        self.export_turn(core, finished);
        let span = context.span();
        if span.is_recording() {
            let mut own = Vec::with_capacity(attributes.len() + 3);
            let astray = self.is_astray.load(Ordering::Relaxed);
            self.identity.add_missing_marks(None, astray, &mut own);
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
            span.set_attributes(own);
            HandedOver {
                span: span.span_context().span_id(),
                start: self.wall,
                place: None,
            }
            .during(|| undisturbed(|| span.end_with_timestamp(self.wall + at)));
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
            let builder = SpanBuilder::from_name(names::TURN)
                .with_attributes(Vec::with_capacity(USUAL_ATTRIBUTES));
            let membership = self.membership(Some(turn));
            match core.settings.trace_mode {
                TraceMode::Conversation => self.build(
                    core,
                    builder,
                    turn.started,
                    &conversation.with_value(membership),
                ),
                TraceMode::Turn => {
                    let link = Link::with_context(conversation.span().span_context().clone());
                    let root = Context::new().with_value(membership);
                    self.build(core, builder.with_links(vec![link]), turn.started, &root)
                }
            }
        })
    }

    fn build(&self, core: &Core, builder: SpanBuilder, at: Duration, parent: &Context) -> Context {
        let builder = builder.with_start_time(self.wall + at);
        parent.with_span(undisturbed(|| {
            core.tracer.build_with_context(builder, parent)
        }))
    }

    /// The context that a service span placed in `turn` hangs under.
    pub(crate) fn parent_context<'a>(&'a self, core: &Core, turn: Option<&'a Turn>) -> &'a Context {
        match turn {
            Some(turn) => self.turn_context(core, turn),
            None => self.context(core),
        }
    }

    /// Adds to a finished service span what it is still to be marked with.
    pub(crate) fn add_marks(
        &self,
        turn: Option<u32>,
        context: &Context,
        attributes: &mut Vec<KeyValue>,
    ) {
        let astray = context.get::<Membership>().is_none();
        self.identity.add_missing_marks(turn, astray, attributes);
    }

    fn export_turn(&self, core: &Core, finished: Option<Finished>) {
        let Some(Finished {
            turn,
            facts,
            at,
            reason,
        }) = finished
        else {
            return;
        };
        let span = self.turn_context(core, &turn).span();
        if !span.is_recording() {
            return;
        }
        let mut own = Vec::with_capacity(USUAL_ATTRIBUTES);
        self.identity
            .add_missing_marks(Some(turn.number), false, &mut own);
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
        span.set_attributes(own);
        undisturbed(|| span.end_with_timestamp(self.wall + at));
    }
}

impl TurnFacts {
    fn tell(self, attributes: &mut Vec<KeyValue>, core: &Core) {
        if let Some(measured) = self.measured {
            if measured.from == crate::latency::MeasuredFrom::UserSilence {
                let seconds = measured.total.as_secs_f64();
                attributes.push(KeyValue::new(names::TURN_USER_BOT_LATENCY_SECONDS, seconds));
            }
            if let Some(parts) = measured.parts {
                attributes.push(KeyValue::new(
                    names::TURN_LATENCY_MEASURED_FROM,
                    measured.from.as_str(),
                ));
                let parts = parts.iter();
                attributes.extend(
                    parts.map(|(part, lasted)| {
                        KeyValue::new(part.attribute(), lasted.as_secs_f64())
                    }),
                );
            }
        }
        let words = |key, words: String| {
            (!words.is_empty()).then(|| KeyValue::new(key, core.settings.content.bound(words)))
        };
        attributes.extend(words(names::TURN_INPUT, self.heard.into_text()));
        let spoken = self.spoken.into_text();
        attributes.extend(words(
            names::TURN_OUTPUT,
            if spoken.is_empty() {
                self.answered
            } else {
                spoken
            },
        ));
        for attribute in self.attributes {
            match attributes.iter_mut().find(|own| own.key == attribute.key) {
                Some(own) => own.value = attribute.value,
                None => attributes.push(attribute),
            }
        }
    }
}

impl Turn {
    fn new(number: u32, started: Duration) -> Arc<Self> {
        Arc::new(Self {
            number,
            started,
            context: OnceLock::new(),
        })
    }
}

impl Moment<'_> {
    fn turn(&mut self, act: impl FnOnce(&mut Turns, Duration, &mut dyn FnMut(Change))) {
        let State {
            turns, open, past, ..
        } = &mut *self.state;
        let finished = &mut *self.finished;
        act(turns, self.at, &mut |change| match change {
            Change::Started { number, at } => {
                *open = Some((Turn::new(number, at), TurnFacts::default()))
            }
            Change::Ended { at, reason } => {
                if let Some((turn, facts)) = open.take() {
                    if past.len() >= REMEMBERED_TURNS {
                        past.pop_front();
                    }
                    past.push_back(turn.clone());
                    // No moment ends two turns: one that starts in it is still open after it.
                    *finished = Some(Finished {
                        turn,
                        facts,
                        at,
                        reason,
                    });
                }
            }
        });
    }

    pub(crate) fn client_connected(&mut self) {
        self.state.latency.client_connected(self.at);
    }

    pub(crate) fn user_started(&mut self) {
        self.state.latency.user_started();
        let turn = self.state.open.as_ref().map(|(turn, _)| turn.number);
        self.turn(|turns, at, changes| turns.hear(at, Speech::UserStarted, changes));
        if self.finished.as_ref().is_some_and(|last| {
            last.reason == EndReason::Interrupted && Some(last.turn.number) == turn
        }) {
            self.interrupted();
        }
    }

    pub(crate) fn user_stopped(&mut self) {
        self.state.latency.user_stopped(self.at);
    }

    pub(crate) fn vad_started(&mut self) {
        self.state.latency.vad_started();
    }

    pub(crate) fn vad_stopped(&mut self, after: Duration) {
        self.state.latency.vad_stopped(self.at, after);
    }

    pub(crate) fn bot_started(&mut self) {
        self.turn(|turns, at, changes| turns.hear(at, Speech::BotStarted, changes));
        let measured = self.state.latency.bot_started(self.at);
        if let (Some((_, facts)), Some(measured)) = (&mut self.state.open, measured) {
            facts.measured = Some(measured);
        }
    }

    pub(crate) fn bot_stopped(&mut self) {
        self.turn(|turns, at, changes| turns.hear(at, Speech::BotStopped, changes));
    }

    /// What is being answered or spoken is cut off.
    pub(crate) fn interrupted(&mut self) {
        self.state.interruptions += 1;
    }

    /// Sets an attribute of the open turn, else of the conversation.
    pub(crate) fn annotate(&mut self, key: Key, value: Value, limit: usize) {
        if is_told_by_the_layer(key.as_str()) {
            return;
        }
        let Some((_, facts)) = &mut self.state.open else {
            fields::set(&mut self.state.attributes, key, value);
            return;
        };
        match key.as_str() {
            names::TURN_INPUT | names::TRANSCRIPT => facts.heard.add(None, &value.as_str(), limit),
            names::TURN_OUTPUT | names::OUTPUT | names::TEXT => {
                facts.spoken.add(None, &value.as_str(), limit)
            }
            _ => {}
        }
        if !matches!(key.as_str(), names::TURN_INPUT | names::TURN_OUTPUT) {
            fields::set(&mut facts.attributes, key, value);
        }
    }

    /// Sets attributes of the conversation.
    pub(crate) fn describe(&mut self, attributes: Vec<KeyValue>) {
        for attribute in attributes {
            fields::set(&mut self.state.attributes, attribute.key, attribute.value);
        }
    }

    /// Finds the turn of a service span that begins, and starts its clock.
    pub(crate) fn service_started(&mut self, work: &mut Work, explicit_turn: Option<i64>) {
        let state = &mut *self.state;
        let open = state.open.as_ref().map(|(turn, _)| turn);
        let explicit = explicit_turn.and_then(|number| {
            open.into_iter()
                .chain(state.past.iter().rev())
                .find(|turn| i64::from(turn.number) == number)
        });
        work.placed = explicit.is_some();
        work.turn = explicit.or(open).cloned();
        work.began_in = work.turn_number();
        work.interruptions = state.interruptions;
        if let Some(stage) = stage(work.service) {
            state.latency.service_started(work.key, stage, self.at);
        }
    }

    pub(crate) fn first_byte(&mut self, work: &Work, what: FirstByte) {
        self.state.latency.first_byte(work.key, self.at, what);
    }

    /// Takes in what a service span recorded.
    pub(crate) fn service_told(&mut self, work: &mut Work, news: &News, now: Time, limit: usize) {
        if news.service
            && let Some(stage) = stage(work.service)
        {
            let started = self.at.saturating_sub(now.saturating_sub(work.started));
            self.state.latency.service_started(work.key, stage, started);
        }
        if news.transcript && work.has_transcript() {
            self.place_transcription(work);
            if work.final_transcript().is_some() {
                let lag = self.state.latency.final_transcript(self.at);
                work.final_transcript_at = Some(now);
                work.transcription_lag =
                    lag.map(|lag| lag.as_secs_f64()).or(work.transcription_lag);
            }
        }
        let Some((turn, facts)) = &mut self.state.open else {
            return;
        };
        if work.turn_number() != Some(turn.number) {
            return;
        }
        if news.transcript && work.has_transcript() {
            match work.final_transcript() {
                Some(words) => facts.heard.add(Some(work.key), words, limit),
                None => facts.heard.retract(work.key),
            }
        }
        if let Some(words) = news.input.and_then(|key| work.told(key)) {
            facts.heard.add(Some(work.key), &words, limit);
        }
        if let Some(from) = news.text_from {
            facts.spoken.add(None, work.spoken_from(from), limit);
        }
        if let Some(answer) = work.told(names::OUTPUT).filter(|_| news.output) {
            match work.service {
                Service::Realtime => facts.spoken.add(Some(work.key), &answer, limit),
                Service::Llm => facts.answered = answer.into_owned(),
                _ => {}
            }
        }
    }

    /// A transcription belongs to the turn in which its first transcript arrives.
    fn place_transcription(&mut self, work: &mut Work) {
        if work.service == Service::Stt && !work.placed {
            work.turn = self.state.open.as_ref().map(|(turn, _)| turn.clone());
            work.placed = true;
        }
    }

    pub(crate) fn service_ended(&mut self, work: &mut Work, started: Time) {
        self.place_transcription(work);
        self.state.latency.service_ended(work.key, self.at);
        if work.service == Service::Stt
            && work.transcription_lag.is_none()
            && let Some(at) = work.final_transcript_at
        {
            let lag = self
                .state
                .latency
                .since_speech_end(at.saturating_sub(started));
            work.transcription_lag = lag.map(|lag| lag.as_secs_f64());
        }
    }
}

impl Live {
    /// The last word on a service span: where it belongs, and whether it was cut off.
    pub(crate) fn finish_service(&self, core: &Core, now: Time, work: &mut Work) {
        let interruptions = self
            .act(core, now, |moment| {
                moment.service_ended(work, self.started);
                moment.state.interruptions
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
        let mut inherited = self
            .identity
            .inherited
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        fields::set(&mut inherited, key, value.clone());
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
            let mut moment = Moment {
                state: &mut state,
                finished: &mut finished,
                at,
            };
            moment.turn(|turns, at, changes| {
                turns.advance(at, changes);
            });
            state.next_alarm()
        };
        self.export_turn(&core, finished);
        next.map(|next| self.started.saturating_add(next))
    }
}

impl State {
    /// When to look at the turns again, unless that is arranged for. Deadlines only ever move away, so one alarm is
    /// enough: it looks, and arranges the next.
    fn next_alarm(&mut self) -> Option<Duration> {
        let next = self.turns.deadline().filter(|_| !self.alarm_is_set);
        self.alarm_is_set |= next.is_some();
        next
    }
}

/// Whether only the layer can know the value of an attribute.
fn is_told_by_the_layer(key: &str) -> bool {
    matches!(
        key,
        names::CONVERSATION_ID
            | names::TURN_NUMBER
            | names::TURN_TYPE
            | names::TURN_DURATION_SECONDS
            | names::TURN_WAS_INTERRUPTED
            | names::TURN_END_REASON
            | names::TURN_ENDED_BY_CONVERSATION_END
    )
}

fn stage(service: Service) -> Option<Stage> {
    match service {
        Service::Llm => Some(Stage::Llm),
        Service::Tool => Some(Stage::Tool),
        Service::Tts => Some(Stage::Tts),
        Service::Realtime => Some(Stage::Realtime),
        Service::Stt | Service::Other => None,
    }
}
