//! A conversation that is open: its turns, what is known of them, and the spans that stand for them.
//!
//! The state is behind one lock, held for arithmetic only. Whatever runs code of the program, such as starting or ending a
//! span (samplers, processors), happens after the lock is released.

pub(crate) mod counted;
mod joining;
mod outbox;
pub(crate) mod service;
mod shared;
mod state;
mod summaries;
mod totals;
mod turn;
mod warnings;

use crate::attribute_list::AttributeList;
use crate::clock::{Time, lock};
use crate::names;
use crate::observe::{EndedService, Notice};
use crate::recording::{
    ContextSpan, Ended, Identity, Marks, RootSpan, SpanExtras, SpanTarget, truncate,
};
use crate::reentrancy::{guard_thread, guarded};
use crate::settings::TraceMode;
use crate::timer::Due;
use crate::turns::EndReason;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};
use tracing_core::span;

use outbox::Outbox;
pub(crate) use outbox::Place;
pub(crate) use shared::{Shared, child_of};
pub(crate) use state::Transition;
use state::{State, Summaries};
use turn::{EndedTurn, OpenTurn, TurnSpan, TurnWords, add_speech};
pub(crate) use turn::{Heard, Turn};

pub(crate) struct ActiveConversation {
    this: Weak<Self>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) identity: Arc<Identity>,
    started: Time,
    wall: SystemTime,
    scope: OnceLock<Scope>,
    /// Boxed: the span of the SDK is large, and an idle conversation has none.
    root: OnceLock<Box<Root>>,
    /// Held while the scope's span is asked for, so that it does not close meanwhile.
    starting_root: Mutex<()>,
    state: Mutex<State>,
    /// Where its summaries go, if anybody takes them.
    outbox: Option<Box<Outbox>>,
}

/// The `tracing` span that is the scope of a conversation.
pub(crate) struct Scope {
    pub(crate) id: span::Id,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    /// What the conversation's span hangs under unless the program says otherwise.
    pub(crate) parent: Context,
}

/// The span of the conversation, once it is started.
struct Root {
    span: RootSpan,
    /// Its context, with the marks for what is below.
    context: Context,
}

/// Where a new span hangs.
pub(crate) struct Parent {
    pub(crate) span_context: SpanContext,
    /// What the contexts below carry besides a span.
    pub(crate) base: Context,
    /// Whether spans below it are exported.
    pub(crate) is_recording: bool,
}

impl ActiveConversation {
    pub(crate) fn open(shared: &Arc<Shared>, id: Arc<str>) -> Arc<Self> {
        let started = shared.clock.now();
        let outbox = (!shared.sinks.is_empty()).then(Box::<Outbox>::default);
        let opened = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shared: shared.clone(),
            identity: Arc::new(Identity::new(id, &shared.content)),
            started,
            wall: shared.clock.wall(),
            scope: OnceLock::new(),
            root: OnceLock::new(),
            starting_root: Mutex::default(),
            state: Mutex::new(State::new(shared)),
            outbox,
        });
        if let Some(summaries) = opened.summaries() {
            summaries.outbox.push(Notice::ConversationStarted);
            summaries.turn_started(1, Duration::ZERO);
        }
        opened
    }

    fn summaries(&self) -> Option<Summaries<'_>> {
        Some(Summaries {
            outbox: self.outbox.as_deref()?,
            id: self.id(),
            conversation_started: self.wall,
        })
    }

    /// Gives those that observe the conversation what has happened in it. Not under its lock.
    #[inline]
    pub(crate) fn deliver_summaries(&self) {
        if let Some(outbox) = &self.outbox {
            outbox.deliver(&self.shared.sinks);
        }
    }

    /// Gives them a notice in its place, else after what has happened so far. Not under the conversation's lock.
    fn submit(&self, notice: Notice, place: Option<Place>) {
        if let Some(outbox) = &self.outbox {
            outbox.submit(place, notice, &self.shared.sinks);
        }
    }

    /// Gives them a service that has ended. One that ends after the conversation comes after it.
    fn submit_service(&self, ended: Arc<EndedService>, place: Option<Place>) {
        self.submit(Notice::ServiceEnded(ended), place);
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.identity.id
    }

    pub(crate) fn open_turn_number(&self) -> Option<u32> {
        let state = lock(&self.state);
        state.open.as_ref().map(|open| open.turn.number)
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    pub(crate) fn is_scoped(&self) -> bool {
        self.scope.get().is_some()
    }

    pub(crate) fn has_scope(&self, id: &span::Id) -> bool {
        self.scope.get().is_some_and(|scope| scope.id == *id)
    }

    /// Makes `scope` the conversation's, unless it has one.
    pub(crate) fn set_scope(&self, scope: Scope) {
        let _ = self.scope.set(scope);
    }

    /// Continues in the scope of a conversation that has ended there. The scope's span remains that one's.
    pub(crate) fn continue_scope_of(&self, ended: &Self) {
        self.root();
        if let Some(scope) = ended.scope.get() {
            self.set_scope(Scope {
                id: scope.id.clone(),
                name: scope.name.clone(),
                kind: scope.kind.clone(),
                parent: Context::new(),
            });
        }
    }

    /// When something happened last, on the layer's clock.
    pub(crate) fn last_event(&self) -> Time {
        self.started.saturating_add(lock(&self.state).last_event)
    }

    /// A time on the wall clock.
    #[inline]
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        self.wall + time.saturating_sub(self.started)
    }

    /// Takes a transition at `time`. `None` once the conversation has ended.
    #[inline]
    pub(crate) fn act<R>(
        &self,
        time: Time,
        transition: impl FnOnce(&mut Transition<'_>) -> R,
    ) -> Option<R> {
        let mut ended = None;
        let result = {
            let mut state = lock(&self.state);
            if state.ended {
                return None;
            }
            // Another thread may have come first with a later time: in a conversation it does not run backwards.
            let at = time.saturating_sub(self.started).max(state.last_event);
            state.last_event = at;
            let summaries = self.summaries();
            let mut now = Transition::new(&self.shared, &mut state, summaries, &mut ended, at);
            now.advance();
            let result = transition(&mut now);
            if let Some(deadline) = state.next_deadline() {
                let this: Weak<dyn Due> = self.this.clone();
                let deadline = self.started.saturating_add(deadline);
                self.shared.timer.set(deadline, this);
            }
            result
        };
        if let Some(ended) = &mut ended {
            self.export_turn(ended);
        }
        self.deliver_summaries();
        Some(result)
    }

    /// Takes note that something happened that changes nothing.
    pub(crate) fn touch(&self, time: Time) {
        self.act(time, |_| {});
    }

    /// Whether anything of the conversation may be exported or observed. Its span is started for that.
    pub(crate) fn is_recorded(&self) -> bool {
        // With a trace a turn, each turn is sampled for itself.
        self.outbox.is_some()
            || self.shared.settings.trace_mode == TraceMode::Turn
            || self.root().span.is_recording
    }

    /// Ends the conversation, `ago` before now. Returns whether it had not ended before.
    pub(crate) fn end(&self, reason: EndReason, ago: Duration) -> bool {
        let now = self.shared.clock.now().saturating_sub(self.started);
        self.end_with(reason, |last_event| {
            Some(now.saturating_sub(ago).max(last_event))
        })
    }

    /// Ends the conversation if nothing has happened in it for `limit`. Returns whether that is so.
    pub(crate) fn end_if_idle(&self, now: Time, limit: Duration) -> bool {
        let now = now.saturating_sub(self.started);
        self.end_with(EndReason::ConversationLost, |last_event| {
            (now.saturating_sub(last_event) >= limit).then_some(last_event)
        })
    }

    /// `time` says when it ends, if it does, by when something happened last.
    fn end_with(&self, reason: EndReason, time: impl Fn(Duration) -> Option<Duration>) -> bool {
        let end = |state: &State| (!state.ended).then(|| time(state.last_event)).flatten();
        let open_services = {
            let state = lock(&self.state);
            if end(&state).is_none() {
                return false;
            }
            state.open_services.clone()
        };
        // Not under the lock: a service takes it while its own is held.
        let open_services: Vec<_> = open_services
            .into_iter()
            .filter_map(|key| self.shared.open_service(key))
            .collect();
        let mut ended_turn = None;
        let (totals, attributes, place) = {
            let mut state = lock(&self.state);
            let Some(at) = end(&state) else {
                return false;
            };
            let summaries = self.summaries();
            let mut now = Transition::new(&self.shared, &mut state, summaries, &mut ended_turn, at);
            // What is below another first, which the other learns from it.
            for open in open_services.iter().rev() {
                now.count_open_service(open);
            }
            let ended_at = now.finish(reason);
            let place = now.reserve_place();
            let attributes = std::mem::take(&mut state.attributes);
            (state.totals(ended_at), attributes, place)
        };
        // Before its turns, should none of them have started it.
        let root = self.root();
        if let Some(turn) = &mut ended_turn {
            self.export_turn(turn);
        }
        let (input, output) = {
            let mut state = lock(&self.state);
            (state.first_input.take(), state.last_output.take())
        };
        if place.is_some() {
            let span_context = &root.span.span_context;
            let summary = self.summary(&totals, reason, span_context, [&input, &output]);
            self.submit(Notice::ConversationEnded(Arc::new(summary)), place);
        }
        if root.span.is_recording {
            let mut all = AttributeList::with_room();
            self.identity.for_each_mark(None, |mark| all.insert(mark));
            let kind = self.shared.settings.conversation_type.clone();
            all.set(names::CONVERSATION_TYPE, kind);
            totals.add_to(&mut all);
            let words = [
                (names::CONVERSATION_INPUT, input),
                (names::CONVERSATION_OUTPUT, output),
            ];
            for (key, words) in words {
                if let Some(words) = words {
                    all.set(key, words);
                }
            }
            all.extend(attributes);
            let ended = Ended {
                attributes: all.into_parts().0,
                status: Status::Unset,
                time: self.wall + totals.duration,
            };
            self.end_root(&root.span, ended);
        }
        self.deliver_summaries();
        true
    }

    fn end_root(&self, root: &RootSpan, ended: Ended) {
        guarded(|| self.shared.processor.end_root(root, ended));
    }

    /// The context of the conversation's span, with the marks for what is below it.
    pub(crate) fn context(&self) -> &Context {
        &self.root().context
    }

    /// Returns whether the conversation's span is started.
    pub(crate) fn has_root(&self) -> bool {
        self.root.get().is_some()
    }

    /// The span of the conversation. It is started by the first that needs it, not before: until then a program may still
    /// give the scope a remote parent.
    fn root(&self) -> &Root {
        if let Some(root) = self.root.get() {
            return root;
        }
        let Some(scope) = self.scope.get() else {
            return self.root.get_or_init(|| {
                let builder = SpanBuilder::from_name(names::CONVERSATION);
                self.new_root(builder, &Context::new())
            });
        };
        let _starting = lock(&self.starting_root);
        if self.root.get().is_none() {
            // Comes back to `start_root`, with what the program has set on the scope.
            self.shared.context_of(&scope.id);
        }
        self.root
            .get_or_init(|| self.new_scope_root(SpanBuilder::default(), scope, &scope.parent))
    }

    /// Starts the span of a scope below `parent`, unless it is started. Returns it as the scope's context is to have it.
    pub(crate) fn start_root(&self, mut builder: SpanBuilder, parent: &Context) -> ContextSpan {
        let attributes = builder.attributes.take().unwrap_or_default();
        if !attributes.is_empty() {
            lock(&self.state).attributes.extend(attributes);
        }
        let root = self.root.get_or_init(|| match self.scope.get() {
            Some(scope) => self.new_scope_root(builder, scope, parent),
            None => self.new_root(SpanBuilder::from_name(names::CONVERSATION), parent),
        });
        self.context_span(&root.span)
    }

    fn new_scope_root(&self, builder: SpanBuilder, scope: &Scope, parent: &Context) -> Box<Root> {
        let builder = SpanBuilder {
            name: scope.name.clone(),
            span_kind: Some(scope.kind.clone()),
            ..builder
        };
        self.new_root(builder, parent)
    }

    fn new_root(&self, builder: SpanBuilder, parent: &Context) -> Box<Root> {
        let mut builder = builder.with_start_time(self.wall);
        let parent = self.join(parent, &mut builder);
        let span = self.shared.start_root(builder, &parent);
        let marks = Marks::new(&self.identity, None);
        let context = parent.with_span(self.context_span(&span)).with_value(marks);
        Box::new(Root { span, context })
    }

    fn context_span(&self, root: &RootSpan) -> ContextSpan {
        ContextSpan::new(root.span_context.clone(), self.this.clone())
    }

    /// Where a service span in `turn` hangs, or one between turns.
    pub(crate) fn parent_in(&self, turn: Option<&Turn>) -> Parent {
        let root = self.root();
        let Some(turn) = turn else {
            return Parent {
                span_context: root.span.span_context.clone(),
                base: root.context.clone(),
                is_recording: root.span.is_recording,
            };
        };
        let (span_context, is_recording) = self.turn_span(turn, root);
        Parent {
            span_context,
            base: self.turn_base(turn, root),
            is_recording,
        }
    }

    /// The context of a turn's span and whether it is recorded. The span is started if need be.
    fn turn_span(&self, turn: &Turn, root: &Root) -> (SpanContext, bool) {
        if let TurnSpan::Root(own) = &turn.span {
            let own = own.get_or_init(|| self.new_turn_root(turn, root));
            return (own.span_context.clone(), own.is_recording);
        }
        let context = turn.span.context(&root.span.span_context);
        let context = context.unwrap_or(SpanContext::NONE);
        let is_recording = match turn.span {
            TurnSpan::Child(_) => root.span.is_recording,
            _ => context.is_sampled(),
        };
        (context, is_recording)
    }

    fn new_turn_root(&self, turn: &Turn, root: &Root) -> RootSpan {
        let builder = SpanBuilder::from_name(names::TURN)
            .with_start_time(self.wall + turn.started)
            .with_links(vec![Link::with_context(root.span.span_context.clone())]);
        self.shared.start_root(builder, &Context::new())
    }

    /// What contexts below a turn carry. Made once for the open turn.
    fn turn_base(&self, turn: &Turn, root: &Root) -> Context {
        if let Some(base) = &turn.base {
            return base.clone();
        }
        let marks = Marks::new(&self.identity, Some(turn.number));
        let base = match self.shared.settings.trace_mode {
            TraceMode::Conversation => root.context.with_value(marks),
            TraceMode::Turn => Context::new().with_value(marks),
        };
        if let Some(open) = &mut lock(&self.state).open
            && open.turn.number == turn.number
        {
            open.turn.base = Some(base.clone());
        }
        base
    }

    /// The context of the open turn's span.
    pub(crate) fn turn_context(&self) -> Option<Context> {
        let root = self.root();
        let turn = {
            let state = lock(&self.state);
            let open = state.open.as_ref()?;
            if let Some(context) = &open.context {
                return Some(context.clone());
            }
            open.turn.clone()
        };
        let (span_context, _) = self.turn_span(&turn, root);
        let target = Arc::new(TurnTarget {
            conversation: self.this.clone(),
            number: turn.number,
        });
        let weak: Weak<TurnTarget> = Arc::downgrade(&target);
        let context = self
            .turn_base(&turn, root)
            .with_span(ContextSpan::new(span_context, weak))
            // Keeps what the span refers to for as long as the context is.
            .with_value(target);
        if let Some(open) = &mut lock(&self.state).open
            && open.turn.number == turn.number
        {
            open.context = Some(context.clone());
        }
        Some(context)
    }

    /// Marks every span of the conversation with one more attribute from now on.
    pub(crate) fn inherit(&self, key: &'static str, value: &Value) {
        self.identity.inherit(key, value.clone());
    }

    /// When the conversation started, on the layer's clock.
    pub(crate) fn started(&self) -> Time {
        self.started
    }

    pub(crate) fn interruptions(&self) -> u64 {
        lock(&self.state).interruptions
    }

    /// Keeps what was said in a turn, for the conversation's span.
    fn keep_words(&self, turn: &TurnWords) {
        let mut state = lock(&self.state);
        if state.first_input.is_none() {
            state.first_input.clone_from(&turn.input);
        }
        if turn.output.is_some() {
            state.last_output.clone_from(&turn.output);
        }
    }

    #[inline(never)]
    fn export_turn(&self, ended: &mut EndedTurn) {
        self.shared.seen.turns.add();
        let root = self.root();
        let (span_context, is_recording) = self.turn_span(&ended.turn.turn, root);
        let place = ended.place.take();
        if !is_recording && place.is_none() {
            return;
        }
        let content = &self.shared.content;
        let words = ended.turn.facts.take_words(content);
        self.keep_words(&words);
        if place.is_some() {
            let ended = self.ended_turn(ended, &span_context, &words);
            self.submit(Notice::TurnEnded(ended), place);
        }
        if !is_recording {
            return;
        }
        let OpenTurn { turn, facts, .. } = &mut ended.turn;
        let (at, reason) = (ended.at, ended.reason);
        let mut attributes = AttributeList::with_room();
        self.identity
            .for_each_mark(Some(turn.number), |mark| attributes.insert(mark));
        attributes.set(names::TURN_TYPE, "conversation");
        let duration = (at - turn.started).as_secs_f64();
        attributes.set(names::TURN_DURATION_SECONDS, duration);
        attributes.set(names::TURN_WAS_INTERRUPTED, reason.is_interruption());
        attributes.set(names::TURN_END_REASON, reason.as_str());
        if reason.is_conversation_end() {
            attributes.set(names::TURN_ENDED_BY_CONVERSATION_END, true);
        }
        add_speech(&ended.speech, &mut attributes);
        // What the program annotated may be anything.
        let is_bounded = facts.attributes.is_empty();
        facts.add_to(&mut attributes, words);
        let (mut attributes, dropped) = attributes.into_parts();
        let time = self.wall + at;
        let is_plain = is_bounded && facts.extras.is_none();
        let extras = facts.extras.take();
        let extras = extras.map_or_else(SpanExtras::default, |extras| *extras);
        if let TurnSpan::Root(own) = &turn.span {
            if let Some(own) = own.get() {
                let ended = Ended {
                    attributes,
                    status: extras.status.clone(),
                    time,
                };
                own.add(extras);
                self.end_root(own, ended);
            }
            return;
        }
        let limit = self.shared.limits.max_attributes_per_span;
        let span = || SpanData {
            span_context,
            parent_span_id: root.span.span_context.span_id(),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: extras.name.unwrap_or(Cow::Borrowed(names::TURN)),
            start_time: self.wall + turn.started,
            end_time: time,
            dropped_attributes_count: dropped + truncate(&mut attributes, limit),
            attributes,
            events: extras.events,
            links: extras.links,
            status: extras.status,
            instrumentation_scope: self.shared.instrumentation_scope(),
        };
        let _guarded = guard_thread();
        if is_plain {
            self.shared.processor.export_plain(content.bounds(), span);
        } else {
            self.shared.processor.export(span(), None);
        }
    }
}

impl Due for ActiveConversation {
    /// Lets time pass for the turns, which is not an event of the conversation.
    fn check(self: Arc<Self>, _now: Time) -> Option<Time> {
        let mut ended = None;
        let next = {
            let mut state = lock(&self.state);
            state.deadline_is_set = false;
            if state.ended {
                return None;
            }
            let at = self.shared.clock.now().saturating_sub(self.started);
            let summaries = self.summaries();
            Transition::new(&self.shared, &mut state, summaries, &mut ended, at).advance();
            state.next_deadline()
        };
        if let Some(ended) = &mut ended {
            self.export_turn(ended);
        }
        self.deliver_summaries();
        next.map(|next| self.started.saturating_add(next))
    }
}

/// The conversation's span, as code sees it that has its context.
impl SpanTarget for ActiveConversation {
    fn is_recording(&self) -> bool {
        !self.has_ended() && self.root.get().is_some_and(|root| root.span.is_recording)
    }

    fn set_attribute(&self, attribute: KeyValue) {
        if self.shared.content.admits(attribute.key.as_str()) {
            lock(&self.state).attributes.insert(attribute);
        }
    }

    fn add_event(&self, name: Cow<'static, str>, time: SystemTime, attributes: Vec<KeyValue>) {
        self.with_root(|span| span.add_event_with_timestamp(name, time, attributes));
    }

    fn add_link(&self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        self.with_root(|span| span.add_link(span_context, attributes));
    }

    fn set_status(&self, status: Status) {
        self.with_root(|span| span.set_status(status));
    }

    fn set_name(&self, name: Cow<'static, str>) {
        self.with_root(|span| span.update_name(name));
    }
}

impl ActiveConversation {
    fn with_root(&self, act: impl FnOnce(&mut opentelemetry_sdk::trace::Span)) {
        if let Some(root) = self.root.get() {
            root.span.with_span(act);
        }
    }
}

/// The span of an open turn, as code sees it that has its context.
struct TurnTarget {
    conversation: Weak<ActiveConversation>,
    number: u32,
}

impl TurnTarget {
    fn with_open<R>(&self, act: impl FnOnce(&mut OpenTurn, &ActiveConversation) -> R) -> Option<R> {
        let conversation = self.conversation.upgrade()?;
        let mut state = lock(&conversation.state);
        let open = state.open.as_mut()?;
        (open.turn.number == self.number).then(|| act(open, &conversation))
    }

    /// Adds to what the program has set on the span.
    fn with_extras(&self, act: impl FnOnce(&mut SpanExtras, &ActiveConversation)) {
        self.with_open(|open, conversation| {
            act(open.facts.extras.get_or_insert_default(), conversation);
        });
    }
}

impl SpanTarget for TurnTarget {
    fn is_recording(&self) -> bool {
        self.with_open(|open, conversation| match &open.turn.span {
            TurnSpan::Root(root) => root.get().is_some_and(|root| root.is_recording),
            _ => conversation
                .root
                .get()
                .is_some_and(|root| root.span.is_recording),
        })
        .unwrap_or(false)
    }

    fn set_attribute(&self, attribute: KeyValue) {
        let Some(conversation) = self.conversation.upgrade() else {
            return;
        };
        let shared = &conversation.shared;
        if shared.content.admits(attribute.key.as_str()) {
            let now = shared.clock.now();
            conversation.act(now, |now| now.annotate(attribute.key, attribute.value));
        }
    }

    fn add_event(&self, name: Cow<'static, str>, time: SystemTime, attributes: Vec<KeyValue>) {
        self.with_extras(|extras, conversation| {
            extras.add_event(name, time, attributes, &conversation.shared.limits);
        });
    }

    fn add_link(&self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        self.with_extras(|extras, conversation| {
            extras.add_link(span_context, attributes, &conversation.shared.limits);
        });
    }

    fn set_status(&self, status: Status) {
        self.with_extras(|extras, _| extras.set_status(status));
    }

    fn set_name(&self, name: Cow<'static, str>) {
        self.with_extras(|extras, _| extras.name = Some(name));
    }
}
