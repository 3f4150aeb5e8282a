//! What happens in a conversation, while its state is held: arithmetic only.

use super::turn::{Finished, Turn, TurnFacts, is_told_by_the_layer};
use crate::clock::Time;
use crate::fields;
use crate::latency::{FirstByte, Latency, Stage};
use crate::recognise::Service;
use crate::service::{News, Work};
use crate::turns::{Change, EndReason, Speech, Turns};
use opentelemetry::{Key, KeyValue, Value};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Turns that a span with an explicit `turn.number` can still go to.
const REMEMBERED_TURNS: usize = 256;

/// What is known of a conversation.
pub(super) struct State {
    turns: Turns,
    latency: Latency,
    pub(super) open: Option<(Arc<Turn>, TurnFacts)>,
    past: VecDeque<Arc<Turn>>,
    pub(super) interruptions: u64,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) last_heard: Duration,
    pub(super) alarm_is_set: bool,
    pub(super) ended: bool,
}

impl State {
    /// A conversation that begins, and its first turn with it.
    #[inline]
    pub(super) fn new(turn_end_timeout: Duration) -> Self {
        let mut turns = Turns::new(turn_end_timeout);
        let mut open = None;
        turns.begin(Duration::ZERO, &mut |change| {
            if let Change::Started { number, at } = change {
                open = Some((Turn::new(number, at), TurnFacts::default()));
            }
        });
        Self {
            turns,
            latency: Latency::default(),
            open,
            past: VecDeque::new(),
            interruptions: 0,
            attributes: Vec::new(),
            last_heard: Duration::ZERO,
            alarm_is_set: false,
            ended: false,
        }
    }

    /// When to look at the turns again, unless that is arranged for. Deadlines only ever move away, so one alarm is
    /// enough: it looks, and arranges the next.
    #[inline]
    pub(super) fn next_alarm(&mut self) -> Option<Duration> {
        if self.alarm_is_set {
            return None;
        }
        let next = self.turns.deadline();
        self.alarm_is_set = next.is_some();
        next
    }
}

/// What goes on while the state is held.
pub(crate) struct Moment<'a> {
    state: &'a mut State,
    finished: &'a mut Option<Finished>,
    at: Duration,
}

impl<'a> Moment<'a> {
    /// The moment `at`; a turn that ends in it is left in `finished`.
    pub(super) fn new(
        state: &'a mut State,
        finished: &'a mut Option<Finished>,
        at: Duration,
    ) -> Self {
        Self {
            state,
            finished,
            at,
        }
    }

    /// Lets time pass.
    #[inline]
    pub(super) fn pass(&mut self) {
        if self
            .state
            .turns
            .deadline()
            .is_some_and(|deadline| deadline <= self.at)
        {
            self.turn(|turns, at, changes| {
                turns.advance(at, changes);
            });
        }
    }

    /// Ends the conversation. Gives the time at which that is.
    pub(super) fn finish(&mut self, reason: EndReason) -> Duration {
        let mut ended_at = self.at;
        self.turn(|turns, at, changes| ended_at = turns.finish(at, reason, changes));
        self.state.ended = true;
        self.state.past.clear();
        ended_at
    }

    #[inline]
    pub(super) fn interruptions(&self) -> u64 {
        self.state.interruptions
    }

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

    #[inline]
    pub(crate) fn user_stopped(&mut self) {
        self.state.latency.user_stopped(self.at);
    }

    #[inline]
    pub(crate) fn vad_started(&mut self) {
        self.state.latency.vad_started();
    }

    #[inline]
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

    #[inline]
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
        match &mut self.state.open {
            Some((_, facts)) => facts.annotate(key, value, limit),
            None => fields::set(&mut self.state.attributes, key, value),
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

    #[inline]
    pub(crate) fn first_byte(&mut self, work: &Work, what: FirstByte) {
        self.state.latency.first_byte(work.key, self.at, what);
    }

    /// Takes in what a service span recorded.
    pub(crate) fn service_told(&mut self, work: &mut Work, news: &News, now: Time, limit: usize) {
        if news.service
            && let Some(stage) = stage(work.service)
        {
            let started = self.at.saturating_sub(now.saturating_sub(work.started));
            self.state.latency.service_is(work.key, stage, started);
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
                Some(words) => facts.heard.add(Some(work.key), words.clone(), limit),
                None => facts.heard.retract(work.key),
            }
        }
        if let Some(words) = news.input.and_then(|key| work.told(key)) {
            facts.heard.add(Some(work.key), Arc::from(&*words), limit);
        }
        if let Some(sentence) = &news.sentence {
            facts.spoken.add(None, sentence.clone(), limit);
        }
        if let Some(answer) = &news.answer {
            match work.service {
                Service::Realtime => {
                    facts.spoken.add(Some(work.key), answer.clone(), limit);
                }
                _ => facts.answered = Some(answer.clone()),
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

fn stage(service: Service) -> Option<Stage> {
    match service {
        Service::Llm => Some(Stage::Llm),
        Service::Tool => Some(Stage::Tool),
        Service::Tts => Some(Stage::Tts),
        Service::Realtime => Some(Stage::Realtime),
        Service::Stt | Service::Other => None,
    }
}
