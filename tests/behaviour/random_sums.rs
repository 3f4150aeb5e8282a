//! The sums of random conversations, computed anew from what was emitted and from the other spans.

use crate::stage::{Stage, attribute, scope};
use opentelemetry::Value;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_conversation::event;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Voice activity, confirmed so many milliseconds after its start.
    VadStarted(u64),
    VadStopped(u64),
    UserStarted,
    UserStopped,
    BotStarted,
    BotStopped,
    /// A service starts, perhaps in the one that started last.
    Start(bool),
    /// The service that started last records tokens.
    Record(i64),
    /// It ends, perhaps with an error.
    End(bool),
}

use Step::*;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..700_u64).prop_map(VadStarted),
        2 => (0..1_200_u64).prop_map(VadStopped),
        3 => Just(UserStarted),
        2 => Just(UserStopped),
        3 => Just(BotStarted),
        3 => Just(BotStopped),
        2 => any::<bool>().prop_map(Start),
        2 => (0..100_i64).prop_map(Record),
        1 => any::<bool>().prop_map(End),
    ]
}

/// Steps with their times in milliseconds, no two at the same, and the end.
fn steps() -> impl Strategy<Value = (Vec<(u64, Step)>, u64)> {
    let gap = || prop_oneof![3 => 1..800_u64, 1 => 2_000..6_000_u64];
    (prop::collection::vec((gap(), step()), 0..60), gap()).prop_map(|(steps, rest)| {
        let mut at = 0;
        let steps: Vec<_> = steps
            .into_iter()
            .map(|(gap, step)| {
                at += gap;
                (at, step)
            })
            .collect();
        (steps, at + rest)
    })
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

fn play(steps: &[(u64, Step)], end: u64) -> Vec<SpanData> {
    let stage = Stage::new();
    stage.play(|| {
        let scope = scope().entered();
        let mut services: Vec<Span> = Vec::new();
        let mut now = 0;
        for &(at, step) in steps {
            stage.pass(at - now);
            now = at;
            match step {
                VadStarted(since) => event::vad_user_started_speaking(seconds(since)),
                VadStopped(since) => event::vad_user_stopped_speaking(seconds(since)),
                UserStarted => event::user_started_speaking(),
                UserStopped => event::user_stopped_speaking(),
                BotStarted => event::bot_started_speaking(),
                BotStopped => event::bot_stopped_speaking(),
                Start(is_nested) => {
                    let start = || {
                        info_span!(
                            "llm",
                            gen_ai.operation.name = "chat",
                            gen_ai.usage.input_tokens = Empty,
                            otel.status_code = Empty
                        )
                    };
                    let above = services.last().filter(|_| is_nested);
                    let service = above.map_or_else(start, |above| above.in_scope(start));
                    services.push(service);
                }
                Record(tokens) => {
                    if let Some(service) = services.last() {
                        service.record("gen_ai.usage.input_tokens", tokens);
                    }
                }
                End(fails) => {
                    if let Some(service) = services.pop()
                        && fails
                    {
                        service.record("otel.status_code", "ERROR");
                    }
                }
            }
        }
        stage.pass(end - now);
        event::conversation_ended();
        drop(scope);
    });
    stage.spans()
}

/// A stretch of time in milliseconds, and when its end was known.
#[derive(Clone, Copy)]
struct Stretch {
    from: u64,
    to: u64,
    known: u64,
}

#[derive(Default)]
struct Stretches {
    user: Vec<Stretch>,
    bot: Vec<Stretch>,
    owed: Vec<Stretch>,
}

/// Goes through the events once. `interruptions` are the times at which a turn was interrupted.
fn stretches(steps: &[(u64, Step)], interruptions: &[u64], end: u64) -> Stretches {
    let mut found = Stretches::default();
    let (mut user, mut bot, mut owed) = (None, None, None);
    let mut events = steps.to_vec();
    events.extend([(end, UserStopped), (end, BotStopped), (end, BotStarted)]);
    for (at, step) in events {
        let spoken = match step {
            VadStarted(_) | UserStarted if user.is_none() => {
                let since = if let VadStarted(since) = step {
                    since
                } else {
                    0
                };
                let earliest = found.user.last().map_or(0, |last: &Stretch| last.to);
                let from = at.saturating_sub(since).max(earliest);
                user = Some(from);
                Some(from)
            }
            VadStopped(_) | UserStopped => {
                if let Some(from) = user.take() {
                    let since = if let VadStopped(since) = step {
                        since
                    } else {
                        0
                    };
                    let to = at.saturating_sub(since).max(from);
                    found.user.push(Stretch {
                        from,
                        to,
                        known: at,
                    });
                    owed = if bot.is_none() { Some(to) } else { owed };
                }
                None
            }
            BotStarted => {
                bot.get_or_insert(at);
                Some(at)
            }
            _ => None,
        };
        if let Some(from) = spoken
            && let Some(since) = owed.take()
        {
            let to = from.max(since);
            found.owed.push(Stretch {
                from: since,
                to,
                known: to,
            });
        }
        let is_cut = step == UserStarted && interruptions.contains(&at);
        if (is_cut || step == BotStopped)
            && let Some(from) = bot.take()
        {
            found.bot.push(Stretch {
                from,
                to: at,
                known: at,
            });
        }
    }
    found
}

/// The sum of `length` in seconds, over the stretches whose end was known in a turn, or in the conversation; `None` for zero.
fn sum(all: &[Stretch], within: Option<(u64, u64)>, length: impl Fn(u64) -> u64) -> Option<f64> {
    let is_within = |known: u64| within.is_none_or(|(from, to)| from < known && known <= to);
    let lengths = all.iter().filter(|one| is_within(one.known));
    let total: u64 = lengths.map(|one| length(one.to - one.from)).sum();
    (total > 0).then(|| seconds(total))
}

fn dead_air(silent: u64) -> u64 {
    silent.saturating_sub(2_000)
}

fn number(span: &SpanData, key: &str) -> Option<f64> {
    let mut attributes = span.attributes.iter();
    match attributes.find(|one| one.key.as_str() == key)?.value {
        Value::F64(number) => Some(number),
        Value::I64(number) => Some(number as f64),
        _ => None,
    }
}

fn are_close(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-6,
        (one, other) => one == other,
    }
}

/// Input tokens, of services below which none recorded any.
fn tokens(services: &[&SpanData]) -> Option<f64> {
    let recorded = |service: &SpanData| number(service, "gen_ai.usage.input_tokens");
    let parents: HashMap<_, _> = services
        .iter()
        .map(|service| (service.span_context.span_id(), service.parent_span_id))
        .collect();
    let is_below = |service: &SpanData, above: &SpanData| {
        let mut at = service.parent_span_id;
        while let Some(parent) = parents.get(&at) {
            if at == above.span_context.span_id() {
                return true;
            }
            at = *parent;
        }
        false
    };
    let is_counted = |service: &&&SpanData| {
        let mut others = services.iter();
        !others.any(|other| recorded(other).is_some() && is_below(other, service))
    };
    let total: f64 = services
        .iter()
        .filter(is_counted)
        .filter_map(|one| recorded(one))
        .sum();
    (total > 0.0).then_some(total)
}

proptest! {
    #[test]
    fn sums_are_those_of_the_events_and_of_the_other_spans((steps, end) in steps()) {
        let spans = play(&steps, end);
        let conversation = spans.iter().find(|span| span.name == "conversation").unwrap();
        let start = conversation.start_time;
        let at = |time: SystemTime| time.duration_since(start).unwrap().as_millis() as u64;
        let turns: Vec<_> = spans.iter().filter(|span| span.name == "turn").collect();
        let services: Vec<_> = spans.iter().filter(|span| span.name == "llm").collect();
        let reason = |turn: &SpanData| attribute(turn, "turn.end_reason").unwrap();
        let interrupted = turns.iter().filter(|turn| reason(turn) == "interrupted");
        let interruptions: Vec<_> = interrupted.map(|turn| at(turn.end_time)).collect();
        let Stretches { user, bot, owed } = stretches(&steps, &interruptions, end);
        let latencies: Vec<_> = turns
            .iter()
            .filter_map(|turn| number(turn, "turn.user_bot_latency_seconds"))
            .collect();
        let mean = latencies.iter().sum::<f64>() / latencies.len() as f64;
        let failed = services.iter().filter(|one| matches!(one.status, Status::Error { .. }));

        for (key, expected) in [
            ("conversation.duration_seconds", Some(seconds(end))),
            ("conversation.turn_count", Some(turns.len() as f64)),
            ("conversation.interruption_count", Some(interruptions.len() as f64)),
            ("conversation.error_count", Some(failed.count() as f64)),
            ("conversation.user_speech_seconds", sum(&user, None, |length| length)),
            ("conversation.bot_speech_seconds", sum(&bot, None, |length| length)),
            ("conversation.dead_air_seconds", sum(&owed, None, dead_air)),
            ("conversation.user_bot_latency.mean", Some(mean).filter(|mean| *mean > 0.0)),
            (
                "conversation.user_bot_latency.max",
                latencies.iter().copied().reduce(f64::max).filter(|max| *max > 0.0),
            ),
            ("conversation.usage.input_tokens", tokens(&services)),
        ] {
            let found = number(conversation, key);
            prop_assert!(are_close(found, expected), "{key} = {found:?}, expected {expected:?}");
        }
        for turn in &turns {
            // Until its time is up, a turn that ends by silence is open as far as anybody knows.
            if reason(turn) == "silence" {
                continue;
            }
            let bounds = (at(turn.start_time), at(turn.end_time));
            let cut = bot.iter().find(|one| one.known == bounds.1 && interruptions.contains(&bounds.1));
            for (key, expected) in [
                ("turn.user_speech_seconds", sum(&user, Some(bounds), |length| length)),
                ("turn.bot_speech_seconds", sum(&bot, Some(bounds), |length| length)),
                ("turn.dead_air_seconds", sum(&owed, Some(bounds), dead_air)),
                ("turn.interruption.after_seconds", cut.map(|cut| seconds(cut.to - cut.from))),
                ("turn.barge_in.stop_seconds", barge_in_stop(&steps, bounds, &interruptions)),
            ] {
                let found = number(turn, key);
                prop_assert!(are_close(found, expected), "{key} = {found:?}, expected {expected:?}");
            }
        }
    }
}

/// In a turn that began by an interruption: when the bot stopped, unless it spoke again before.
fn barge_in_stop(
    steps: &[(u64, Step)],
    (from, to): (u64, u64),
    interruptions: &[u64],
) -> Option<f64> {
    if !interruptions.contains(&from) {
        return None;
    }
    let mut bot = steps
        .iter()
        .filter(|(at, step)| from < *at && *at <= to && matches!(step, BotStarted | BotStopped));
    let (at, step) = bot.next()?;
    (*step == BotStopped).then(|| seconds(at - from))
}
