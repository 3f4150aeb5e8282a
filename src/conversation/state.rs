//! The state of a conversation, and the transitions that it takes under its lock: arithmetic only, no code of the program.

use super::counted::{CountedService, OpenService, ServiceFigures};
use super::outbox::{Outbox, Place};
use super::service::{Effects, ServiceRecord, ServiceStart};
use super::shared::Shared;
use super::totals::Totals;
use super::turn::{EndedTurn, Heard, OpenTurn, PastTurn, Turn, TurnFacts, TurnSpan, is_derived};
use crate::attribute_list::AttributeList;
use crate::clock::{Time, lock};
use crate::latency::{FirstByte, Latency, MeasuredFrom};
use crate::observe::{Notice, TurnStarted};
use crate::service_kind::ServiceKind;
use crate::settings::TraceMode;
use crate::speech::{Speech, SpeechSums};
use crate::sums::Sums;
use crate::turns::{Change, EndReason, SpeechEvent, Turns};
use opentelemetry::{Key, KeyValue, StringValue, Value};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Turns that a span with an explicit `turn.number` can still go to.
const MAX_PAST_TURNS: usize = 256;

pub(super) struct State {
    turns: Turns,
    /// Boxed: a conversation in which nothing has happened has none.
    measures: Option<Box<Measures>>,
    pub(super) sums: Sums,
    /// The keys of the service spans that have not ended.
    pub(super) open_services: Vec<u64>,
    pub(super) open: Option<OpenTurn>,
    past: VecDeque<PastTurn>,
    pub(super) interruptions: u64,
    pub(super) attributes: AttributeList,
    /// The user's first words and the bot's last, of turns that have ended.
    pub(super) first_input: Option<StringValue>,
    pub(super) last_output: Option<StringValue>,
    /// When something happened last, from the conversation's start.
    pub(super) last_event: Duration,
    pub(super) deadline_is_set: bool,
    pub(super) ended: bool,
}

/// What is measured of the events in a conversation.
#[derive(Default)]
struct Measures {
    latency: Latency,
    speech: Speech,
}

impl State {
    /// A conversation that begins, and its first turn with it.
    pub(super) fn new(shared: &Shared) -> Self {
        let mut turns = Turns::new(shared.settings.turn_end_timeout);
        let mut open = None;
        turns.begin(Duration::ZERO, &mut |change| {
            if let Change::Started { number, at } = change {
                open = Some(open_turn(shared, number, at));
            }
        });
        Self {
            turns,
            measures: None,
            sums: Sums::default(),
            open_services: Vec::new(),
            open,
            past: VecDeque::new(),
            interruptions: 0,
            attributes: AttributeList::default(),
            first_input: None,
            last_output: None,
            last_event: Duration::ZERO,
            deadline_is_set: false,
            ended: false,
        }
    }

    /// What the conversation sums up to, if it ends at `duration`.
    pub(super) fn totals(&self, duration: Duration) -> Totals {
        Totals {
            duration,
            turns: self.sums.turns,
            interruptions: self.sums.interruptions,
            errors: self.sums.errors,
            latency: self.sums.latency(),
            speech: self.speech_sums(),
            spent: self.sums.spent(),
        }
    }

    fn speech_sums(&self) -> SpeechSums {
        let measures = self.measures.as_ref();
        measures.map_or_else(SpeechSums::default, |measures| measures.speech.total())
    }

    fn latency(&mut self) -> &mut Latency {
        &mut self.measures.get_or_insert_default().latency
    }

    fn speech(&mut self) -> &mut Speech {
        &mut self.measures.get_or_insert_default().speech
    }

    /// When the open turn may end by silence, unless a deadline is set. Deadlines only ever move away, so one at a time is
    /// enough: when it is reached, the next is set.
    #[inline]
    pub(super) fn next_deadline(&mut self) -> Option<Duration> {
        if self.deadline_is_set {
            return None;
        }
        let next = self.turns.deadline();
        self.deadline_is_set = next.is_some();
        next
    }
}

fn open_turn(shared: &Shared, number: u32, at: Duration) -> OpenTurn {
    let span = match shared.settings.trace_mode {
        TraceMode::Conversation => TurnSpan::Child(shared.new_span_id()),
        TraceMode::Turn => TurnSpan::Root(Arc::default()),
    };
    OpenTurn {
        turn: Turn::new(number, at, span),
        facts: TurnFacts::default(),
        context: None,
    }
}

/// Where the summaries of a conversation go.
#[derive(Clone, Copy)]
pub(super) struct Summaries<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) id: &'a Arc<str>,
    pub(super) conversation_started: SystemTime,
}

impl Summaries<'_> {
    pub(super) fn turn_started(&self, number: u32, at: Duration) {
        self.outbox.push(Notice::TurnStarted(TurnStarted {
            conversation_id: self.id.clone(),
            number,
            started: self.conversation_started + at,
        }));
    }
}

/// Something that happens in a conversation at a certain time.
pub(crate) struct Transition<'a> {
    shared: &'a Shared,
    pub(super) state: &'a mut State,
    /// Where summaries go, if anybody takes them.
    summaries: Option<Summaries<'a>>,
    /// The turn that it ends, if any.
    ended: &'a mut Option<EndedTurn>,
    at: Duration,
}

impl<'a> Transition<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        state: &'a mut State,
        summaries: Option<Summaries<'a>>,
        ended: &'a mut Option<EndedTurn>,
        at: Duration,
    ) -> Self {
        Self {
            shared,
            state,
            summaries,
            ended,
            at,
        }
    }

    /// Lets time pass.
    #[inline]
    pub(super) fn advance(&mut self) {
        let deadline = self.state.turns.deadline();
        if deadline.is_some_and(|deadline| deadline <= self.at) {
            self.with_turns(|turns, at, changes| {
                turns.advance(at, changes);
            });
        }
    }

    /// Ends the conversation. Returns the time of its end.
    pub(super) fn finish(&mut self, reason: EndReason) -> Duration {
        let mut ended_at = self.at;
        // First a turn that has ended by silence: what is being said now does not count for it.
        self.with_turns(|turns, at, changes| ended_at = turns.advance(at, changes));
        self.state.speech().finish(ended_at);
        self.with_turns(|turns, at, changes| ended_at = turns.finish(at, reason, changes));
        self.state.ended = true;
        self.state.past = VecDeque::new();
        ended_at
    }

    fn with_turns(&mut self, act: impl FnOnce(&mut Turns, Duration, &mut dyn FnMut(Change))) {
        let State {
            turns,
            open,
            past,
            measures,
            sums,
            ..
        } = &mut *self.state;
        let (shared, ended) = (self.shared, &mut *self.ended);
        let summaries = &self.summaries;
        let mut is_interrupted = false;
        act(turns, self.at, &mut |change| match change {
            Change::Started { number, at } => {
                let measures = measures.get_or_insert_default();
                measures.speech.turn_started(at, is_interrupted);
                if let Some(summaries) = summaries {
                    summaries.turn_started(number, at);
                }
                *open = Some(open_turn(shared, number, at));
            }
            Change::Ended { at, reason } => {
                is_interrupted = reason == EndReason::Interrupted;
                let speech = &mut measures.get_or_insert_default().speech;
                if is_interrupted {
                    speech.interrupted(at);
                }
                let speech = speech.turn_ended();
                if let Some(turn) = open.take() {
                    sums.add_turn(is_interrupted, turn.facts.user_bot_latency());
                    if past.len() >= MAX_PAST_TURNS {
                        past.pop_front();
                    }
                    past.push_back(PastTurn::new(&turn.turn));
                    // No transition ends two turns: one that starts in it is still open after it.
                    *ended = Some(EndedTurn {
                        turn,
                        at,
                        reason,
                        speech,
                        place: summaries.as_ref().map(|to| to.outbox.reserve()),
                    });
                }
            }
        });
    }

    pub(crate) fn client_connected(&mut self) {
        self.state.latency().client_connected(self.at);
    }

    pub(crate) fn user_started(&mut self, heard: &Heard) {
        self.set_heard(heard);
        self.state.latency().user_started();
        // Before a turn ends or starts: the silence that it ends belongs to the turn that was open.
        self.state.speech().user_started(self.at, Duration::ZERO);
        let number = self.state.open.as_ref().map(|open| open.turn.number);
        self.with_turns(|turns, at, changes| turns.apply(at, SpeechEvent::UserStarted, changes));
        if self.ended.as_ref().is_some_and(|ended| {
            ended.reason == EndReason::Interrupted && Some(ended.turn.turn.number) == number
        }) {
            self.interrupted();
        }
    }

    pub(crate) fn user_stopped(&mut self) {
        self.state.latency().user_stopped(self.at);
        self.state.speech().user_stopped(self.at, Duration::ZERO);
    }

    pub(crate) fn vad_started(&mut self, after: Duration) {
        self.state.latency().vad_started();
        self.state.speech().user_started(self.at, after);
    }

    pub(crate) fn vad_stopped(&mut self, after: Duration) {
        self.state.latency().vad_stopped(self.at, after);
        self.state.speech().user_stopped(self.at, after);
    }

    pub(crate) fn bot_started(&mut self) {
        self.state.speech().bot_started(self.at);
        self.with_turns(|turns, at, changes| turns.apply(at, SpeechEvent::BotStarted, changes));
        let measured = self.state.latency().bot_started(self.at);
        if let (Some(open), Some(measured)) = (&mut self.state.open, measured) {
            // A client that connects again does not make a second greeting of the turn.
            let is_greeting = measured.from == MeasuredFrom::ClientConnected;
            if !(is_greeting && open.facts.measured.is_some()) {
                open.facts.measured = Some(measured);
            }
        }
    }

    pub(crate) fn bot_stopped(&mut self, heard: &Heard) {
        self.set_heard(heard);
        self.state.speech().bot_stopped(self.at);
        self.with_turns(|turns, at, changes| turns.apply(at, SpeechEvent::BotStopped, changes));
    }

    /// The pipeline drops what it was saying.
    pub(crate) fn interruption(&mut self, heard: &Heard) {
        self.set_heard(heard);
        self.interrupted();
    }

    /// Takes in what was heard of the bot's words in the open turn. Before the bot has spoken in it, this is a late report
    /// about an earlier turn.
    #[inline]
    fn set_heard(&mut self, heard: &Heard) {
        if heard.is_empty() || !self.state.turns.bot_has_spoken() {
            return;
        }
        if let Some(open) = &mut self.state.open {
            open.facts.set_heard(heard, &self.shared.content);
        }
    }

    /// What is being answered or spoken is cut off.
    fn interrupted(&mut self) {
        self.state.interruptions += 1;
    }

    /// Sets an attribute of the open turn, else of the conversation.
    pub(crate) fn annotate(&mut self, key: Key, value: Value) {
        if is_derived(key.as_str()) {
            return;
        }
        let limit = self.shared.content.max_value_bytes();
        match &mut self.state.open {
            Some(open) => open.facts.annotate(key, value, limit),
            None => self.state.attributes.set(key, value),
        }
    }

    /// Sets attributes of the conversation.
    pub(crate) fn describe(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.state.attributes.extend(attributes);
    }

    /// Finds the turn of a service span that starts, and begins to measure it.
    pub(crate) fn service_started(
        &mut self,
        key: u64,
        kind: ServiceKind,
        explicit_turn: Option<i64>,
    ) -> ServiceStart {
        let state = &mut *self.state;
        let explicit = explicit_turn.and_then(|number| {
            let open = state.open.as_ref().map(|open| &open.turn);
            if let Some(turn) = open.filter(|turn| i64::from(turn.number) == number) {
                return Some(turn.clone());
            }
            let mut past = state.past.iter().rev();
            past.find(|turn| i64::from(turn.number()) == number)
                .map(PastTurn::turn)
        });
        if kind.is_timed() {
            state.latency().service_started(key, kind, self.at);
        }
        state.open_services.push(key);
        ServiceStart {
            turn_is_explicit: explicit.is_some(),
            turn: explicit.or_else(|| state.open.as_ref().map(|open| open.turn.clone())),
            interruptions: state.interruptions,
        }
    }

    pub(crate) fn first_byte(&mut self, key: u64, what: FirstByte) {
        self.state.latency().first_byte(key, self.at, what);
    }

    /// Takes in what a service span recorded. Returns its turn where that is decided by it.
    pub(crate) fn service_recorded(
        &mut self,
        record: &mut ServiceRecord,
        effects: &Effects,
        now: Time,
    ) -> Option<Option<Turn>> {
        let limit = self.shared.content.max_value_bytes();
        if effects.kind && record.kind.is_timed() {
            let started = self.at.saturating_sub(now.saturating_sub(record.started));
            self.state
                .latency()
                .set_service_kind(record.key, record.kind, started);
        }
        if let Some(at) = effects.first_byte_after {
            let started = self.at.saturating_sub(now.saturating_sub(record.started));
            let at = started.saturating_add(at);
            self.state
                .latency()
                .first_byte(record.key, at, FirstByte::Output);
        }
        let mut decided = None;
        if effects.transcript && record.has_transcript() {
            decided = self.decide_turn(record);
            if record.final_transcript().is_some() {
                let lag = self.state.latency().final_transcript(self.at);
                record.final_transcript_at = Some(now);
                record.transcription_lag = lag
                    .map(|lag| lag.as_secs_f64())
                    .or(record.transcription_lag);
            }
        }
        let Some(OpenTurn { turn, facts, .. }) = &mut self.state.open else {
            return decided;
        };
        if record.turn != Some(turn.number) {
            return decided;
        }
        let from = Some(record.key);
        if effects.transcript && record.has_transcript() {
            match record.final_transcript() {
                Some(words) => facts.input.add(from, words.clone(), limit),
                None => facts.input.retract(record.key),
            }
        }
        if let Some(words) = effects.input.and_then(|key| record.attribute_text(key)) {
            facts.input.add(from, Arc::from(&*words), limit);
        }
        if let Some(sentence) = &effects.sentence {
            facts.output.add(None, sentence.clone(), limit);
        }
        if let Some(answer) = &effects.answer {
            match record.kind {
                ServiceKind::Realtime => facts.output.add(from, answer.clone(), limit),
                _ => facts.answer = Some(answer.clone()),
            }
        }
        decided
    }

    /// A transcription belongs to the turn in which its first transcript arrives. Returns that turn, once.
    fn decide_turn(&mut self, record: &mut ServiceRecord) -> Option<Option<Turn>> {
        if record.kind != ServiceKind::Stt || std::mem::replace(&mut record.turn_is_known, true) {
            return None;
        }
        let turn = self.state.open.as_ref().map(|open| open.turn.clone());
        record.turn = turn.as_ref().map(|turn| turn.number);
        Some(turn)
    }

    /// Ends the measurement of a service span. Returns its turn where that is decided by its end.
    pub(crate) fn service_ended(
        &mut self,
        record: &mut ServiceRecord,
        conversation_started: Time,
    ) -> Option<Option<Turn>> {
        let decided = self.decide_turn(record);
        self.state.latency().service_ended(record.key, self.at);
        if record.kind == ServiceKind::Stt
            && record.transcription_lag.is_none()
            && let Some(at) = record.final_transcript_at
        {
            let lag = self
                .state
                .latency()
                .since_speech_end(at.saturating_sub(conversation_started));
            record.transcription_lag = lag.map(|lag| lag.as_secs_f64());
        }
        decided
    }

    /// Reserves the place of a summary, if anybody takes it.
    pub(crate) fn reserve_place(&self) -> Option<Place> {
        Some(self.summaries?.outbox.reserve())
    }

    /// Counts a service that has ended, once. `above` are the services that it is below.
    pub(crate) fn count_service(
        &mut self,
        key: u64,
        turn: Option<u32>,
        figures: &ServiceFigures,
        service: &dyn CountedService,
        above: &[Arc<dyn CountedService>],
    ) {
        let open = &mut self.state.open_services;
        let Some(at) = open.iter().position(|open| *open == key) else {
            return;
        };
        // In the order of their starts: what is below another comes after it.
        open.remove(at);
        let sums = &mut self.state.sums;
        sums.add_service(figures.has_failed);
        let mut own = lock(service.usage());
        let charge = figures.charge.as_ref().filter(|own| !own.is_empty());
        if charge.is_some() || own.is_recorded_below() {
            let charge = charge.copied().unwrap_or_default();
            let mut above: Vec<_> = above.iter().map(|service| lock(service.usage())).collect();
            let above = above.iter_mut().map(|usage| &mut **usage);
            let counted = sums.add_charge(charge, &mut own, above);
            // On a turn's span there is its cost alone.
            let is_asked_for = self.summaries.is_some() || self.shared.settings.prices.is_some();
            if is_asked_for
                && let Some(open) = &mut self.state.open
                && turn == Some(open.turn.number)
            {
                open.facts.spent.get_or_insert_default().add(&counted);
            }
        }
    }

    /// Counts a service with what it has recorded so far, unless it has ended meanwhile.
    pub(super) fn count_open_service(&mut self, open: &OpenService) {
        self.count_service(
            open.key,
            open.turn,
            &open.figures,
            &*open.service,
            &open.above,
        );
    }
}
